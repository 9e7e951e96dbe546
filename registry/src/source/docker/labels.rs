//! The labels of a container that are Tidegate's: the smallest way to say what it serves, and to whom.
//!
//! Invariant: fail closed. Nothing is exposed by them without `tidegate.dev/exposure: external`; an unknown key, or a value that does
//! not fit, is an error and seals the container, and so is a key that looks like the one of exposure. Labels alone decide here; whether
//! others agree is for whoever puts replicas together.

use config::exposure::{EXPOSURE_LABEL, Exposure, OUR_PREFIX};
use config::host::HostPattern;
use config::object::{AppProtocol, Name};
use config::problem::{Problem, Reason};

use super::container::Container;

/// Hosts that it answers to, separated by commas.
pub(super) const HOST: &str = "tidegate.dev/host";
/// The port that it listens on.
pub(super) const PORT: &str = "tidegate.dev/port";
/// What it speaks there, as `appProtocol` of a Service has it.
const APP_PROTOCOL: &str = "tidegate.dev/app-protocol";
/// A Secret of its namespace, for the hosts.
const TLS_SECRET: &str = "tidegate.dev/tls-secret";
/// The namespace that it is in.
pub(super) const NAMESPACE: &str = "tidegate.dev/namespace";
/// The network on which it is reached.
pub(super) const NETWORK: &str = "tidegate.dev/network";

/// What they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) port: Option<u16>,
    pub(super) app_protocol: Option<Name>,
    pub(super) tls_secret: Option<Name>,
    pub(super) namespace: Option<Name>,
    pub(super) network: Option<String>,
    /// `tidegate.dev/exposure`
    pub(super) exposure: Option<Exposure>,
    /// Something of them cannot be understood.
    pub(super) unclear: bool,
}

impl Labels {
    /// Whether they ask for a Service.
    pub(super) fn serve(&self) -> bool {
        self.port.is_some() || !self.hosts.is_empty()
    }
}

/// Reads the labels of a container, and tells what is wrong with them.
pub(super) fn read(container: &Container) -> (Labels, Vec<Problem>) {
    let mut said = Labels::default();
    let mut problems = Vec::new();
    for (key, value) in container.labels.iter().filter(|(key, _)| key.starts_with(OUR_PREFIX) || is_like_exposure(key)) {
        if let Err(Unfit { found, expected, fix }) = said.take(key, value) {
            said.unclear = true;
            let problem = Problem::error(Reason::Invalid, found).at(format!("label {key}")).expected(expected);
            problems.push(problem.fix(format!("{fix}; until then the container is sealed: nothing of it is exposed")));
        }
    }
    if said.exposure == Some(Exposure::External) && said.hosts.is_empty() && !said.unclear {
        let problem = Problem::note(Reason::Invalid, "`external`, and no host").at(format!("label {EXPOSURE_LABEL}"));
        let problem = problem.expected(format!("`{HOST}` beside it, or an Ingress for its Service"));
        problems.push(problem.fix("name the hosts that it answers to; by its labels nothing of it is served outside"));
    }
    (said, problems)
}

/// Whoever wrote it meant to say who may reach the container: to overlook it would leave open what was to be closed.
fn is_like_exposure(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("tidegat") && key.contains("expos")
}

/// Why a label cannot be used.
struct Unfit {
    found: String,
    expected: &'static str,
    fix: &'static str,
}

fn unfit<T>(value: &str, expected: &'static str, fix: &'static str) -> Result<T, Unfit> {
    Err(Unfit { found: format!("`{value}`"), expected, fix })
}

impl Labels {
    fn take(&mut self, key: &str, value: &str) -> Result<(), Unfit> {
        match key {
            HOST => self.hosts = hosts(value)?,
            PORT => self.port = Some(port(value)?),
            APP_PROTOCOL => self.app_protocol = Some(app_protocol(value)?),
            TLS_SECRET => self.tls_secret = Some(name(value, "give the name of a Secret in the container's namespace")?),
            NAMESPACE => self.namespace = Some(name(value, "give a namespace's name")?),
            NETWORK => self.network = Some(text(value, "a network's name", "name one of the container's networks")?.to_string()),
            EXPOSURE_LABEL => match value.parse() {
                Ok(exposure) => self.exposure = Some(exposure),
                Err(_) => return unfit(value, "`external` or `internal`", "write one of the two words"),
            },
            _ => {
                let expected = "one of tidegate.dev/host, port, exposure, app-protocol, tls-secret, namespace, network";
                return Err(Unfit { found: "an unknown label".to_owned(), expected, fix: "correct its spelling, or remove it" });
            }
        }
        Ok(())
    }
}

fn hosts(value: &str) -> Result<Vec<HostPattern>, Unfit> {
    let read = |text: &str| match HostPattern::parse_ingress(text.trim()) {
        Ok(host) if host != HostPattern::Any => Ok(host),
        _ => unfit(value, "hosts such as `app.example.com` or `*.example.com`, separated by commas", "correct the host"),
    };
    value.split(',').map(read).collect()
}

fn port(value: &str) -> Result<u16, Unfit> {
    match value.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => unfit(value, "1 to 65535", "give the number of the port that the container listens on"),
    }
}

fn app_protocol(value: &str) -> Result<Name, Unfit> {
    match AppProtocol::of(Some(value)) {
        AppProtocol::Opaque => unfit(value, "`http`, `h2c`, `grpc` or `https`", "say what the container speaks, or nothing for any TCP"),
        _ => Ok(value.into()),
    }
}

fn text(value: &str, expected: &'static str, fix: &'static str) -> Result<Name, Unfit> {
    if value.is_empty() { unfit(value, expected, fix) } else { Ok(value.into()) }
}

fn name(value: &str, fix: &'static str) -> Result<Name, Unfit> {
    if value == super::objects::as_name(value) {
        Ok(value.into())
    } else {
        unfit(value, "up to 63 lower-case letters, digits and `-`", fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> (Labels, Vec<Problem>) {
        let labels = pairs.iter().map(|(key, value)| (format!("tidegate.dev/{key}"), (*value).to_owned())).collect();
        read(&Container { labels, ..Container::default() })
    }

    #[test]
    fn all_that_can_be_said_is_read() {
        let (said, problems) = labels(&[
            ("host", "a.example.com, *.example.org"),
            ("port", "8080"),
            ("exposure", "external"),
            ("app-protocol", "grpc"),
            ("tls-secret", "web-tls"),
            ("namespace", "shop"),
            ("network", "apps"),
        ]);
        assert_eq!(problems, []);
        let hosts = ["a.example.com", "*.example.org"].map(|host| HostPattern::parse_ingress(host).unwrap()).to_vec();
        let expected = Labels {
            hosts,
            port: Some(8080),
            app_protocol: Some("grpc".into()),
            tls_secret: Some("web-tls".into()),
            namespace: Some("shop".into()),
            network: Some("apps".to_owned()),
            exposure: Some(Exposure::External),
            unclear: false,
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_cannot_be_understood_seals_and_is_told() {
        for (key, value) in [
            ("host", ""),
            ("host", "a b"),
            ("host", "*"),
            ("host", "a.example.com,"),
            ("port", "0"),
            ("port", "65536"),
            ("port", "http"),
            ("exposure", "public"),
            ("app-protocol", ""),
            ("app-protocol", "htpp"),
            ("app-protocol", "tcp"),
            ("tls-secret", "Web"),
            ("namespace", "a_b"),
            ("network", ""),
            ("hosts", "a.example.com"),
        ] {
            let (said, problems) = labels(&[(key, value), ("exposure", "external")]);
            let (said, problems) = if key == "exposure" { labels(&[(key, value)]) } else { (said, problems) };
            assert!(said.unclear, "{key}={value}");
            let text = problems[0].to_string();
            assert!(text.contains(&format!("label tidegate.dev/{key}")) && text.contains("sealed"), "{text}");
        }
        let other = |key: &str| read(&Container { labels: [(key.to_owned(), "internal".to_owned())].into(), ..Container::default() });
        assert_eq!(other("other/key"), (Labels::default(), vec![]));
        for key in ["Tidegate.dev/exposure", " tidegate.dev/exposure", "tidegate.io/exposure", "tidegate.exposed", "tidegat.dev/exposure"] {
            let (said, problems) = other(key);
            assert!(said.unclear, "{key}");
            assert!(problems[0].to_string().contains(&format!("label {key}: an unknown label")), "{}", problems[0]);
        }
    }

    #[test]
    fn what_is_to_be_outside_and_has_no_host_is_told_and_not_sealed() {
        let (said, problems) = labels(&[("port", "80"), ("exposure", "external")]);
        assert!(!said.unclear && problems[0].to_string().contains("`external`, and no host"), "{problems:?}");
    }
}
