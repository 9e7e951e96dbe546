//! Which endpoints are near: on our node or in our zone, as `spec.trafficDistribution` and the hints of slices ask for it.
//!
//! As kube-proxy decides it (Kubernetes docs, "Traffic distribution"; KEP-3015): by node, else by zone, and only when every endpoint that may
//! be picked says for whom it is and one is for us; else none is nearer than others. Hints of a slice are believed whatever the Service says,
//! since whoever wrote them was asked to. Where nobody writes them (pods of a folder), an endpoint is for its own node and zone.

use std::slice;

use config::object::{Distribution, Name};
use config::problem::{Problem, Reason};

use super::members::Member;
use super::{Entry, Ground};

const FIELD: &str = "spec.trafficDistribution";

/// What a service prefers, and where we are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Near<'w> {
    pub(super) distribution: Option<Distribution>,
    pub(super) node: Option<&'w str>,
    pub(super) zone: Option<&'w str>,
}

impl Near<'_> {
    /// Puts those first that are near, and says how many they are; 0 when none is nearer than others.
    pub(super) fn first<T>(self, all: &mut [T], member: impl Fn(&T) -> &Member) -> usize {
        let nodes = |one: &T| self.is_for(self.node, self.nodes_of(member(one)));
        let zones = |one: &T| self.is_for(self.zone, self.zones_of(member(one)));
        let side: &dyn Fn(&T) -> Option<bool> = if fits(all, nodes) {
            &nodes
        } else if fits(all, zones) {
            &zones
        } else {
            return 0;
        };
        all.sort_by_key(|one| side(one) != Some(true)); // stable
        let near = all.partition_point(|one| side(one) == Some(true));
        if near == all.len() { 0 } else { near }
    }

    /// `None` when it says nothing, or when we do not know where we are.
    fn is_for(self, here: Option<&str>, names: &[Name]) -> Option<bool> {
        let here = here?;
        (!names.is_empty()).then(|| names.iter().any(|name| **name == *here))
    }

    fn nodes_of(self, member: &Member) -> &[Name] {
        match &member.hints {
            Some(hints) => &hints.nodes,
            None if self.distribution == Some(Distribution::SameNode) => named(member.node.as_ref()),
            None => &[],
        }
    }

    fn zones_of(self, member: &Member) -> &[Name] {
        match &member.hints {
            Some(hints) => &hints.zones,
            None if self.distribution.is_some() => named(member.zone.as_ref()),
            None => &[],
        }
    }
}

/// Whether all say for whom they are, and one is for us. The first that says nothing ends the walk: nearly always the very first.
fn fits<T>(all: &[T], side: impl Fn(&T) -> Option<bool>) -> bool {
    all.iter().try_fold(false, |found, one| side(one).map(|here| found | here)) == Some(true)
}

fn named(name: Option<&Name>) -> &[Name] {
    name.map_or(&[], slice::from_ref)
}

/// Why a service's wish has no effect, when that is for what an operator left out.
pub(super) fn note(entry: &Entry, ground: &Ground) -> Option<Problem> {
    let distribution = entry.service().distribution?;
    let problem = |found: &str, fix: &str| Some(Problem::note(Reason::NotServed, found).at(FIELD).fix(fix));
    if ground.zone.is_none() && (distribution == Distribution::SameZone || ground.node.is_none()) {
        let found = "nobody says where this Tidegate is: no endpoint is nearer than others";
        return problem(found, "set `zone` (or --zone, TIDEGATE_ZONE), and `nodeName` for `PreferSameNode`");
    }
    let near = Near { distribution: Some(distribution), node: Some(""), zone: Some("") };
    let silent = |member: &Member| near.zones_of(member).is_empty() && near.nodes_of(member).is_empty();
    let picked = entry.ports.iter().flat_map(|port| port.candidates(None));
    let member = picked.map(super::seats::Seat::member).find(|member| silent(member))?;
    let found = format!("nobody says in which zone its endpoint {} is: no endpoint is nearer than others", member.address);
    problem(&found, "give its pod the label `topology.kubernetes.io/zone`, or its entry in the slice a `zone`")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use config::object::Hints;

    use super::*;
    use crate::lifecycle::Identity;

    fn member(last: u8, node: Option<&str>, zone: Option<&str>, hints: Option<(&[&str], &[&str])>) -> Member {
        let names = |names: &[&str]| names.iter().map(|&name| Name::from(name)).collect();
        let hints = hints.map(|(nodes, zones)| Arc::new(Hints { nodes: names(nodes), zones: names(zones) }));
        Member::at(([10, 0, 0, last], 80).into(), Identity::Address, node.map(Name::from), zone.map(Name::from), hints)
    }

    /// The last byte of each address in order, and how many are near.
    fn order(near: Near<'_>, members: &[Member]) -> (Vec<u8>, usize) {
        let mut all: Vec<&Member> = members.iter().collect();
        let count = near.first(&mut all, |member| member);
        let last = |member: &&Member| if let std::net::IpAddr::V4(ip) = member.address.ip() { ip.octets()[3] } else { 0 };
        (all.iter().map(last).collect(), count)
    }

    const ZONE: Near<'_> = Near { distribution: Some(Distribution::SameZone), node: Some("n2"), zone: Some("a") };
    const NODE: Near<'_> = Near { distribution: Some(Distribution::SameNode), ..ZONE };
    const UNSAID: Near<'_> = Near { distribution: None, ..ZONE };

    #[test]
    fn an_endpoint_is_for_its_own_node_and_zone() {
        let three =
            [member(1, Some("n1"), Some("b"), None), member(2, Some("n2"), Some("a"), None), member(3, Some("n3"), Some("a"), None)];
        assert_eq!(order(ZONE, &three), (vec![2, 3, 1], 2));
        assert_eq!(order(NODE, &three), (vec![2, 1, 3], 1));
        assert_eq!(order(Near { node: Some("n9"), ..NODE }, &three), (vec![2, 3, 1], 2), "no one on the node: the zone");
        assert_eq!(order(Near { node: None, ..NODE }, &three), (vec![2, 3, 1], 2), "nobody knows our node");
        assert_eq!(order(Near { zone: Some("c"), ..ZONE }, &three), (vec![1, 2, 3], 0), "no one in the zone: all");
        assert_eq!(order(Near { zone: None, ..ZONE }, &three), (vec![1, 2, 3], 0));
        assert_eq!(order(UNSAID, &three), (vec![1, 2, 3], 0), "nobody asked for it");
        assert_eq!(order(ZONE, &three[1..]), (vec![2, 3], 0), "all are near: none is nearer");
        assert_eq!(order(ZONE, &[]), (vec![], 0));
    }

    #[test]
    fn one_that_says_nothing_makes_all_alike() {
        let two = [member(1, Some("n1"), None, None), member(2, Some("n2"), Some("a"), None)];
        assert_eq!(order(ZONE, &two), (vec![1, 2], 0));
        assert_eq!(order(NODE, &two), (vec![2, 1], 1), "both say their node");
    }

    #[test]
    fn hints_are_believed_whatever_else_is_said() {
        let hinted = [member(1, Some("n2"), Some("a"), Some((&[], &["b"]))), member(2, None, Some("b"), Some((&[], &["a", "c"])))];
        for near in [UNSAID, ZONE, NODE] {
            assert_eq!(order(near, &hinted), (vec![2, 1], 1), "{near:?}");
        }
        let by_node = [member(1, None, None, Some((&["n1"], &["a"]))), member(2, None, None, Some((&["n2"], &["b"])))];
        assert_eq!(order(UNSAID, &by_node), (vec![2, 1], 1), "the node before the zone");
        let mixed = [member(1, None, Some("a"), None), member(2, None, None, Some((&[], &["a"])))];
        assert_eq!(order(UNSAID, &mixed), (vec![1, 2], 0), "the first has none");
    }
}
