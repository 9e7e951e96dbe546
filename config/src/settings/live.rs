//! What of changed settings counts while the process runs, and what waits for a restart.
//!
//! Invariant: every setting is in one of the two lists; what waits keeps the value that the process runs with, and is named.

use super::{Dns, Settings};

/// Settings to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// What counts from now on.
    pub settings: Settings,
    /// Keys of `tidegate.yaml` that have another value now.
    pub changed: Vec<&'static str>,
    /// Keys whose new value counts only after a restart.
    pub waiting: Vec<&'static str>,
}

impl Settings {
    /// These settings, which the process runs with, renewed by what the operator wants now.
    pub fn renewed(&self, wanted: &Settings) -> Renewed {
        // Spelled out, so that a new setting cannot be forgotten here.
        let Settings {
            manifests,
            docker,
            http,
            https,
            internal_http,
            admin,
            metrics,
            service_cidr,
            claim_service_cidr,
            internal_cidrs,
            trusted_proxies,
            external_addresses,
            node_name,
            zone,
            external_names,
            external_names_inside,
            dns_servers,
            dns,
            state_dir,
            workers,
            exit_with,
            log,
            access_log,
            exposure_mode,
            ingress_classes,
            tls_default_secret,
            proxy_protocol,
            slow_start_ms,
            outlier,
            limits,
        } = self;
        let live = [
            ("internalCidrs", *internal_cidrs == wanted.internal_cidrs),
            ("trustedProxies", *trusted_proxies == wanted.trusted_proxies),
            ("accessLog", *access_log == wanted.access_log),
            ("exposure.mode", *exposure_mode == wanted.exposure_mode),
            ("ingress.classes", *ingress_classes == wanted.ingress_classes),
            ("tls.defaultSecret", *tls_default_secret == wanted.tls_default_secret),
            ("proxyProtocol", *proxy_protocol == wanted.proxy_protocol),
            ("dns.zone", dns.zone == wanted.dns.zone),
            ("dns.search", dns.search == wanted.dns.search),
            ("dns.ttlS", dns.ttl_s == wanted.dns.ttl_s),
            ("dns.forward", dns.forward == wanted.dns.forward),
            ("slowStartMs", *slow_start_ms == wanted.slow_start_ms),
            ("outlier", *outlier == wanted.outlier),
            ("limits", *limits == wanted.limits),
        ];
        let fixed = [
            ("manifests", *manifests == wanted.manifests),
            ("docker.enabled", docker.enabled == wanted.docker.enabled),
            ("docker.socket", docker.socket == wanted.docker.socket),
            ("docker.network", docker.network == wanted.docker.network),
            ("docker.projects", docker.projects == wanted.docker.projects),
            ("http", *http == wanted.http),
            ("https", *https == wanted.https),
            ("internalHttp", *internal_http == wanted.internal_http),
            ("admin", *admin == wanted.admin),
            ("metrics", *metrics == wanted.metrics),
            ("serviceCidr", *service_cidr == wanted.service_cidr),
            ("claimServiceCidr", *claim_service_cidr == wanted.claim_service_cidr),
            ("external.addresses", *external_addresses == wanted.external_addresses),
            ("nodeName", *node_name == wanted.node_name),
            ("zone", *zone == wanted.zone),
            ("externalName.allow", *external_names == wanted.external_names),
            ("externalName.allowInside", *external_names_inside == wanted.external_names_inside),
            ("dns.servers", *dns_servers == wanted.dns_servers),
            ("dns.listen", dns.listen == wanted.dns.listen),
            ("stateDir", *state_dir == wanted.state_dir),
            ("workers", *workers == wanted.workers),
            ("exitWith", *exit_with == wanted.exit_with),
            ("log", *log == wanted.log),
        ];
        let others = |keys: &[(&'static str, bool)]| keys.iter().filter(|(_, same)| !same).map(|(key, _)| *key).collect();
        let settings = Settings {
            manifests: manifests.clone(),
            docker: docker.clone(),
            http: *http,
            https: *https,
            internal_http: *internal_http,
            admin: *admin,
            metrics: *metrics,
            service_cidr: *service_cidr,
            claim_service_cidr: *claim_service_cidr,
            external_addresses: external_addresses.clone(),
            node_name: node_name.clone(),
            zone: zone.clone(),
            external_names: external_names.clone(),
            external_names_inside: external_names_inside.clone(),
            dns_servers: dns_servers.clone(),
            dns: Dns { listen: dns.listen.clone(), ..wanted.dns.clone() },
            state_dir: state_dir.clone(),
            workers: *workers,
            exit_with: exit_with.clone(),
            log: *log,
            ..wanted.clone()
        };
        Renewed { settings, changed: others(&live), waiting: others(&fixed) }
    }
}
