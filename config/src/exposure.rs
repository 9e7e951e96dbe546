//! External or internal: the one word that decides who may reach a thing.
//!
//! Invariant: there is no default and no unknown. Text that is neither word is an error, and whoever reads that error must seal.

use std::fmt;
use std::str::FromStr;

use crate::annotations;
use crate::object::Kind;

/// Label (on a Namespace, Service or IngressClass) that states an exposure.
pub const EXPOSURE_LABEL: &str = "tidegate.dev/exposure";
/// Prefix of every label and annotation key that is ours; an unknown key under it is an error and seals.
pub const OUR_PREFIX: &str = "tidegate.dev/";

/// Annotation of a Service: a Secret or ConfigMap whose `ca.crt` its replicas are verified by.
pub const UPSTREAM_CA: &str = "tidegate.dev/upstream-ca";
/// Annotation of a Service: the name that its replicas' certificate must have.
pub const UPSTREAM_NAME: &str = "tidegate.dev/upstream-name";
/// Annotation of a Service: a Secret whose certificate its replicas are shown.
pub const UPSTREAM_CERTIFICATE: &str = "tidegate.dev/upstream-certificate";
/// Annotation of a Service: its replicas expect a PROXY protocol header at the start of each opaque connection.
pub const PROXY_PROTOCOL: &str = "tidegate.dev/proxy-protocol";
/// Annotation of a Service (and of an Ingress): how an endpoint is picked.
pub const BALANCE: &str = "tidegate.dev/balance";
/// Annotation of a Service: requests and opaque connections that each of its ports may have under way.
pub const MAX_IN_FLIGHT: &str = "tidegate.dev/max-in-flight";
/// Annotation of a Service: the same for each endpoint.
pub const MAX_ENDPOINT_IN_FLIGHT: &str = "tidegate.dev/max-endpoint-in-flight";
/// Annotation of a Service: how many more may wait until there is room.
pub const MAX_PENDING: &str = "tidegate.dev/max-pending";
/// Annotation of a Service: a new endpoint, or one that returns, grows to its full share in this time.
pub const SLOW_START: &str = "tidegate.dev/slow-start";
/// Annotation of an Ingress: a Secret or ConfigMap whose `ca.crt` its clients' certificates are verified by.
pub const CLIENT_CA: &str = "tidegate.dev/client-ca";
/// Annotation of an Ingress: `optional` serves clients without a certificate too.
pub const CLIENT_VERIFY: &str = "tidegate.dev/client-verify";
/// How ingress-nginx' annotations about client certificates start.
pub const NGINX_TLS: &str = "nginx.ingress.kubernetes.io/auth-tls-";

/// Annotations under our prefix that say nothing about exposure, and the kind that each belongs to. Elsewhere they are unknown.
const ANNOTATIONS: [(Kind, &str); 11] = [
    (Kind::Service, UPSTREAM_CA),
    (Kind::Service, UPSTREAM_NAME),
    (Kind::Service, UPSTREAM_CERTIFICATE),
    (Kind::Service, PROXY_PROTOCOL),
    (Kind::Service, BALANCE),
    (Kind::Service, MAX_IN_FLIGHT),
    (Kind::Service, MAX_ENDPOINT_IN_FLIGHT),
    (Kind::Service, MAX_PENDING),
    (Kind::Service, SLOW_START),
    (Kind::Ingress, CLIENT_CA),
    (Kind::Ingress, CLIENT_VERIFY),
];

/// Whether an annotation of such an object is known and says nothing about exposure.
pub fn is_annotation_of(kind: Kind, key: &str) -> bool {
    ANNOTATIONS.contains(&(kind, key)) || (kind == Kind::Ingress && annotations::is_known(key))
}

/// On which kind an annotation is known and says nothing about exposure.
pub fn kind_of_annotation(key: &str) -> Option<Kind> {
    let listed = ANNOTATIONS.iter().find(|(_, known)| *known == key).map(|(kind, _)| *kind);
    listed.or_else(|| annotations::is_known(key).then_some(Kind::Ingress))
}

/// The annotations that a Service may have.
pub fn service_annotations() -> impl Iterator<Item = &'static str> {
    ANNOTATIONS.iter().filter(|(kind, _)| *kind == Kind::Service).map(|(_, key)| *key)
}

/// Which side of the gate something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// The world may see it.
    External,
    /// Only the inside may see it.
    Internal,
}

impl Exposure {
    /// The word used in settings, labels, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Exposure::External => "external",
            Exposure::Internal => "internal",
        }
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is neither `external` nor `internal`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found `{0}`, expected `external` or `internal`")]
pub struct UnknownExposure(pub String);

impl FromStr for Exposure {
    type Err = UnknownExposure;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "external" => Ok(Exposure::External),
            "internal" => Ok(Exposure::Internal),
            other => Err(UnknownExposure(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_exact_words_parse() {
        assert_eq!("external".parse(), Ok(Exposure::External));
        assert_eq!("internal".parse(), Ok(Exposure::Internal));
        for wrong in ["", "External", "INTERNAL", "public", " internal", "internal "] {
            assert!(wrong.parse::<Exposure>().is_err(), "{wrong:?} must not parse");
        }
    }
}
