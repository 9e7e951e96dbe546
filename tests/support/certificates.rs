//! An authority of the test's own, and the Secrets and ConfigMaps that hold what it issues.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, SignatureAlgorithm, date_time_ymd,
};

/// Issues certificates; clients are told to trust it.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = params.self_signed(&key).expect("it can be signed").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with an ECDSA key.
    pub fn ecdsa(&self, hosts: &[&str]) -> Issued {
        self.issue(hosts, &PKCS_ECDSA_P256_SHA256)
    }

    /// A certificate with an RSA key.
    pub fn rsa(&self, hosts: &[&str]) -> Issued {
        self.issue(hosts, &PKCS_RSA_SHA256)
    }

    /// A certificate that is valid until this day of this year and month.
    pub fn until(&self, hosts: &[&str], (year, month, day): (i32, u8, u8)) -> Issued {
        self.with(hosts, &PKCS_ECDSA_P256_SHA256, "a site of a test", |params| params.not_after = date_time_ymd(year, month, day))
    }

    /// A certificate that was valid once.
    pub fn expired(&self, hosts: &[&str]) -> Issued {
        self.with(hosts, &PKCS_ECDSA_P256_SHA256, "a site of a test", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        })
    }

    /// A certificate for a client of this name.
    pub fn person(&self, name: &str) -> Issued {
        self.with(&[], &PKCS_ECDSA_P256_SHA256, name, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A Secret with its own certificate as `ca.crt`: `NAMESPACE/NAME`, or `NAME` in `default`.
    pub fn secret(&self, name: &str) -> String {
        let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{namespace: {namespace}, name: {name}}}\nstringData:\n  ca.crt: |\n{}",
            block(&self.pem)
        )
    }

    /// A ConfigMap with its own certificate as `ca.crt`, in `default`.
    pub fn config_map(&self, name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  ca.crt: |\n{}", block(&self.pem))
    }

    fn issue(&self, hosts: &[&str], kind: &'static SignatureAlgorithm) -> Issued {
        self.with(hosts, kind, "a site of a test", |_| {}) // a name other than its issuer's
    }

    fn with(&self, hosts: &[&str], kind: &'static SignatureAlgorithm, name: &str, change: impl Fn(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate_for(kind).expect("a key can be made");
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("the names are host names");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let chain = params.signed_by(&key, &self.issuer).expect("it can be signed").pem();
        Issued { chain, key: key.serialize_pem() }
    }
}

impl Issued {
    /// A Secret of type `kubernetes.io/tls` with it: `NAMESPACE/NAME`, or `NAME` in `default`.
    pub fn secret(&self, name: &str) -> String {
        secret(name, &self.chain, &self.key)
    }

    /// Lines of the private key's base64: whoever finds one has found a secret.
    pub fn key_lines(&self) -> Vec<&str> {
        self.key.lines().filter(|line| !line.starts_with('-') && line.len() > 20).collect()
    }
}

fn block(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// A Secret of type `kubernetes.io/tls` with these texts.
pub fn secret(name: &str, chain: &str, key: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{namespace: {namespace}, name: {name}}}\n\
         stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        block(chain),
        block(key)
    )
}
