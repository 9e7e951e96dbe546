//! Every way we know to reach an inside service from outside, as one piece of data.
//!
//! The property tests and `tidegate demo` try the same list, so a trick that is added here is tried by both. A trick is the raw
//! bytes that a stranger sends to the external HTTP listener, with `{placeholders}` that a [`Scene`] fills in. Nothing here
//! opens a socket; who tries a trick sends [`Trick::bytes`], collects the answer until the connection is quiet, and asks
//! [`Trick::held`].

mod list;

use std::net::{IpAddr, SocketAddr};

pub use list::TRICKS;

/// One attempt from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trick {
    /// Short and unique, for reports.
    pub name: &'static str,
    /// The mistake in a proxy that would let it through.
    pub why: &'static str,
    /// The bytes to send, with placeholders.
    pub request: &'static str,
    /// What a gate that holds does with it.
    pub expect: Expect,
}

/// What a gate that holds does with a trick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A 4xx of our own, or a closed connection: see [`refused`].
    Refused,
    /// It names the public site, so the public app may answer it; the inside may not: see [`leaks`].
    PublicOrRefused,
}

/// Where a trick is tried: what is outside, and what must stay inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// A host that the external listener serves with a public app.
    pub external_host: String,
    /// The external listener.
    pub external: SocketAddr,
    /// Name of the sealed Service.
    pub sealed_service: String,
    /// Its namespace.
    pub sealed_namespace: String,
    /// A host that an external Ingress asked for and was refused, because the Service behind it is sealed.
    pub sealed_host: String,
    /// A host that the internal listener serves with the sealed Service.
    pub internal_host: String,
    /// The sealed Service's virtual IP and port.
    pub vip: SocketAddr,
    /// One replica of the sealed Service.
    pub replica: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

impl Trick {
    /// The bytes to send in this scene.
    pub fn bytes(&self, scene: &Scene) -> Vec<u8> {
        let mut out = String::with_capacity(self.request.len() + 128);
        let mut rest = self.request;
        while let Some((before, placeholder, after)) = next_placeholder(rest) {
            out.push_str(before);
            match scene.value(placeholder) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[before.len()..rest.len() - after.len()]),
            }
            rest = after;
        }
        out.push_str(rest);
        out.into_bytes()
    }

    /// Whether the gate held: `answer` is all that came back, `secret` is what only the sealed Service sends.
    pub fn held(&self, answer: &[u8], secret: &[u8]) -> bool {
        match self.expect {
            Expect::Refused => refused(answer, secret),
            Expect::PublicOrRefused => !leaks(answer, secret),
        }
    }
}

/// The text before the next `{placeholder}`, its name, and the text after it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

impl Scene {
    /// What a placeholder stands for; `None` for a word that no scene knows.
    fn value(&self, placeholder: &str) -> Option<String> {
        Some(match placeholder {
            "host" => self.external_host.clone(),
            "HOST" => self.external_host.to_uppercase(),
            "service" => self.sealed_service.clone(),
            "namespace" => self.sealed_namespace.clone(),
            "sealed" => self.sealed_host.clone(),
            "SEALED" => self.sealed_host.to_uppercase(),
            "inner" => self.internal_host.clone(),
            "INNER" => self.internal_host.to_uppercase(),
            "vip" => self.vip.to_string(),
            "vip-ip" => literal(self.vip.ip()),
            "vip-port" => self.vip.port().to_string(),
            "vip-mapped" => mapped(self.vip.ip()),
            "vip-decimal" => number(self.vip.ip()).to_string(),
            "vip-hex" => format!("{:#x}", number(self.vip.ip())),
            "vip-octal" => octal(self.vip.ip()),
            "vip-dashes" => self.vip.ip().to_string().replace(['.', ':'], "-"),
            "replica" => self.replica.to_string(),
            "replica-dashes" => self.replica.ip().to_string().replace(['.', ':'], "-"),
            "admin" => self.admin.to_string(),
            "admin-port" => self.admin.port().to_string(),
            "external" => self.external.to_string(),
            "smuggled" => self.smuggled(),
            "smuggled-length" => self.smuggled().len().to_string(),
            "smuggled-hex" => format!("{:x}", self.smuggled().len()),
            _ => return None,
        })
    }

    /// A whole request to the inside, to hide in something else.
    fn smuggled(&self) -> String {
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.internal_host)
    }
}

fn literal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn mapped(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("[{}]", ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn octal(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.octets().map(|octet| format!("0{octet:o}")).join("."),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// What only our admin listener says: a stranger who reads this got inside without any Service.
const ADMIN_WORDS: [&[u8]; 3] = [b"tidegate_snapshot_version", b"\"sealed\":", b"\"replica\":"];

/// Whether the answer holds something from the inside: the secret, or words of the admin API.
pub fn leaks(answer: &[u8], secret: &[u8]) -> bool {
    let holds = |word: &[u8]| memchr::memmem::find(answer, word).is_some();
    holds(secret) || ADMIN_WORDS.iter().any(|word| holds(word))
}

/// Whether the answer is a refusal of our own: every response in it is a 4xx, or the connection closed without one; and nothing
/// of the inside is in it.
pub fn refused(answer: &[u8], secret: &[u8]) -> bool {
    let ours = answer.is_empty() || answer.starts_with(b"HTTP/1.") || only_greets(answer);
    ours && !leaks(answer, secret) && statuses(answer).all(|status| (400..500).contains(&status))
}

/// Whether it is HTTP/2 and answers nothing: whole frames (RFC 9113 section 4.1), none of them HEADERS or DATA.
fn only_greets(mut answer: &[u8]) -> bool {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    while let [high, middle, low, kind, _, _, _, _, _, rest @ ..] = answer {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let Some(next) = rest.get(length..).filter(|_| !matches!(*kind, DATA | HEADERS)) else { return false };
        answer = next;
    }
    answer.is_empty()
}

/// The status of every HTTP/1 response in `answer`, a second one behind the first included.
pub fn statuses(answer: &[u8]) -> impl Iterator<Item = u16> + '_ {
    memchr::memmem::find_iter(answer, b"HTTP/1.").map(|at| {
        let digits = answer.get(at + 9..at + 12).and_then(|digits| std::str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0) // 0 is no refusal: what cannot be read is not trusted
    })
}

#[cfg(test)]
mod tests;
