//! Where a container can be reached from here: on a network that it shares with Tidegate, or not at all and then it is said.
//!
//! Invariant: an address is taken only from a network that this process is on. On the machine itself that is every network of the
//! engine; in a container it is that container's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use config::problem::{Problem, Reason};

use super::container::{Container, Id, Place};
use super::labels::NETWORK;

/// Where Tidegate itself is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// On the machine, outside of any container, or in a container that shares the machine's network.
    Machine,
    /// In a container that is on these networks.
    Networks(BTreeSet<String>),
}

/// Where this process is, by the container that its own files tell of.
pub(super) fn here(own: Option<&str>, containers: &BTreeMap<Id, Container>) -> Here {
    let found = own.and_then(|own| containers.get(own));
    match found.map(|own| place(own, containers)) {
        Some(Place::Networks(networks)) => Here::Networks(networks.keys().cloned().collect()),
        Some(Place::Nowhere) => Here::Networks(BTreeSet::new()),
        Some(Place::Host | Place::Of(_)) | None => Here::Machine,
    }
}

/// Where a container is, in the end: a sidecar is where the one is whose network it shares.
fn place<'c>(container: &'c Container, containers: &'c BTreeMap<Id, Container>) -> &'c Place {
    match &container.place {
        // The engine allows no longer chains.
        Place::Of(other) => containers.get(other).map_or(&container.place, |other| &other.place),
        place => place,
    }
}

/// The addresses of a container, of the network that is the right one.
///
/// # Errors
/// It is on no network that this process is on, or not on the one that was asked for.
pub(super) fn addresses(
    container: &Container,
    containers: &BTreeMap<Id, Container>,
    here: &Here,
    asked: Option<&str>,
) -> Result<Vec<IpAddr>, Problem> {
    match place(container, containers) {
        Place::Host if *here == Here::Machine => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
        Place::Host => Err(unreachable(container, "it shares the machine's own network (`network_mode: host`)", here, UNPLACE)),
        Place::Nowhere => Err(unreachable(container, "it is on no network (`network_mode: none`)", here, UNPLACE)),
        Place::Of(other) => {
            let lost = format_args!("it shares the network of container {other}, which is not there");
            Err(unreachable(container, lost, here, "start that container first, and this one anew"))
        }
        Place::Networks(networks) => {
            let names = |name: &str| name == asked.unwrap_or_default() || asked.is_some_and(|asked| is_short(asked, name, container));
            let shared = |name: &String| match here {
                Here::Machine => true,
                Here::Networks(own) => own.contains(name),
            };
            let wanted = networks.iter().filter(|(name, _)| asked.is_none() || names(name));
            let mut usable = wanted.filter(|(name, _)| shared(name)).map(|(_, at)| &at.addresses).peekable();
            if usable.peek().is_none() {
                return Err(match asked.filter(|_| networks.keys().any(shared)) {
                    Some(asked) => unasked(container, networks.keys().filter(|name| shared(name)), asked),
                    None => unreachable(container, on(networks.keys()), here, "give both one network (`networks:` of their services)"),
                });
            }
            // Of several the first by name that has an address: the same one each time.
            Ok(usable.find(|addresses| !addresses.is_empty()).cloned().unwrap_or_default())
        }
    }
}

/// Compose puts the project's name before that of a network.
fn is_short(asked: &str, name: &str, container: &Container) -> bool {
    container.project().is_some_and(|project| name.strip_prefix(project).and_then(|rest| rest.strip_prefix('_')) == Some(asked))
}

fn on<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "it is on no network".to_owned() } else { format!("it is on {}", names.join(", ")) }
}

/// What to do about a container that is on no network of the engine by its own will.
const UNPLACE: &str = "remove its `network_mode:`, and give it a network that Tidegate is on (`networks:`)";

fn unreachable(container: &Container, where_it_is: impl fmt::Display, here: &Here, fix: &str) -> Problem {
    let here = match here {
        Here::Machine => "on the machine itself".to_owned(),
        Here::Networks(own) if own.is_empty() => "on none".to_owned(),
        Here::Networks(own) => format!("on {}", own.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
    };
    let found = format!("container {} cannot be reached: {where_it_is}, and Tidegate is {here}", container.name);
    let problem = Problem::error(Reason::AddressRefused, found).expected("a network that both are on");
    problem.fix(format!("{fix}; until then nobody answers for it"))
}

/// Another network was asked for than those that would do.
fn unasked<'n>(container: &Container, would_do: impl Iterator<Item = &'n String>, asked: &str) -> Problem {
    let would_do: Vec<&str> = would_do.map(String::as_str).collect();
    let found = format!("container {} cannot be reached on it", container.name);
    let problem = Problem::error(Reason::AddressRefused, found).at(format!("{NETWORK} or docker.network: {asked}"));
    let problem = problem.expected(format!("a network that both are on: {}", would_do.join(", ")));
    problem.fix("correct the name, or put the container and Tidegate on that network; until then nobody answers for it")
}

#[cfg(test)]
mod tests {
    use super::super::container::Attached;
    use super::*;

    fn attached(pairs: &[(&str, &str)]) -> Place {
        let at = |address: &str| Attached { addresses: address.parse().ok().into_iter().collect() };
        Place::Networks(pairs.iter().map(|(name, address)| ((*name).to_owned(), at(address))).collect())
    }

    fn container(id: &str, place: Place) -> Container {
        let labels = [("com.docker.compose.project".to_owned(), "shop".to_owned())].into();
        Container { id: id.into(), name: id.to_owned(), labels, place, ..Container::default() }
    }

    fn all(containers: &[&Container]) -> BTreeMap<Id, Container> {
        containers.iter().map(|container| (container.id.clone(), (*container).clone())).collect()
    }

    fn ip(text: &str) -> Vec<IpAddr> {
        vec![text.parse().unwrap()]
    }

    #[test]
    fn only_a_network_that_both_are_on_counts() {
        let web = container("web", attached(&[("other", "10.9.0.2"), ("shop_apps", "10.1.0.2"), ("shop_edge", "10.2.0.2")]));
        let own = container("tidegate", attached(&[("shop_apps", "10.1.0.3"), ("shop_edge", "10.2.0.3")]));
        let there = all(&[&web, &own]);
        let here = here(Some("tidegate"), &there);
        let reached = |asked| addresses(&web, &there, &here, asked).map_err(|problem| problem.to_string());
        assert_eq!(reached(None), Ok(ip("10.1.0.2")), "the first by name of those shared");
        assert_eq!(reached(Some("shop_edge")), Ok(ip("10.2.0.2")));
        assert_eq!(reached(Some("edge")), Ok(ip("10.2.0.2")), "as the compose file calls it");
        let why = reached(Some("other")).unwrap_err();
        assert!(
            why.contains("docker.network: other: container web cannot be reached on it; expected a network that both are on: shop_apps"),
            "{why}"
        );
        let far = container("far", attached(&[("other", "10.9.0.3")]));
        let why = addresses(&far, &there, &here, Some("other")).unwrap_err().to_string();
        assert!(why.contains("it is on other, and Tidegate is on shop_apps, shop_edge"), "{why}");
        assert_eq!(addresses(&web, &there, &Here::Machine, None), Ok(ip("10.9.0.2")), "the machine is on all of them");
    }

    #[test]
    fn who_shares_a_network_has_its_owners_addresses() {
        let app = container("app", attached(&[("shop_apps", "10.1.0.2")]));
        let sidecar = container("sidecar", Place::Of("app".into()));
        let lost = container("lost", Place::Of("gone".into()));
        let there = all(&[&app, &sidecar, &lost]);
        let beside = here(Some("sidecar"), &there);
        assert_eq!(beside, Here::Networks(["shop_apps".to_owned()].into()));
        assert_eq!(addresses(&sidecar, &there, &beside, None), Ok(ip("10.1.0.2")));
        assert!(addresses(&lost, &there, &beside, None).unwrap_err().to_string().contains("container gone, which is not there"));
    }

    #[test]
    fn the_machines_own_network_is_loopback_to_the_machine_alone() {
        let host = container("host", Place::Host);
        let own = container("tidegate", attached(&[("shop_apps", "10.1.0.3")]));
        let there = all(&[&host, &own]);
        assert_eq!(addresses(&host, &there, &here(None, &there), None), Ok(ip("127.0.0.1")));
        assert_eq!(here(Some("host"), &there), Here::Machine);
        assert!(addresses(&host, &there, &here(Some("tidegate"), &there), None).is_err());
    }

    #[test]
    fn a_container_that_does_not_run_has_no_address_and_that_is_no_problem() {
        let web = container("web", attached(&[("shop_apps", "")]));
        let there = all(&[&web]);
        assert_eq!(addresses(&web, &there, &Here::Machine, None), Ok(Vec::new()));
    }
}
