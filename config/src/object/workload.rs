//! apps/v1 Deployment, ReplicaSet and StatefulSet: how many replicas somebody wants, and which pods are meant.
//!
//! Invariant: a selector selects as the API does (labels and expressions, all of them). Which pods there are is the registry's to know.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Kind, Labels, Meta, Name};

/// apps/v1 Deployment, ReplicaSet or StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its metadata.
    pub meta: Meta,
    /// [`Kind::Deployment`], [`Kind::ReplicaSet`] or [`Kind::StatefulSet`].
    pub kind: Kind,
    /// `spec.replicas`; 1 when absent.
    pub replicas: u32,
    /// `spec.selector`; never empty.
    pub selector: Selector,
    /// The controller among `metadata.ownerReferences`: of a ReplicaSet its Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// The controller that `metadata.ownerReferences` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// `kind`, of whatever API.
    pub kind: Name,
    /// `name`, in the namespace of what it owns.
    pub name: Name,
    /// `uid`; absent in hand-written files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Name>,
}

impl Owner {
    /// Whether it is this object. An object that was made anew under the same name is another one.
    pub fn is(&self, kind: Kind, meta: &Meta) -> bool {
        let same = self.uid.is_none() || meta.uid.is_none() || self.uid == meta.uid;
        *self.kind == *kind.as_str() && self.name == meta.name && same
    }
}

/// meta/v1 LabelSelector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Selector {
    /// `matchLabels`
    pub labels: Labels,
    /// `matchExpressions`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<Expression>,
}

/// One of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// `key`
    pub key: Box<str>,
    /// `operator` and `values`
    pub test: Test,
}

/// What is asked of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Test {
    In(BTreeSet<Box<str>>),
    /// Also true of what lacks the label.
    NotIn(BTreeSet<Box<str>>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Whether all of it holds for these labels.
    pub fn selects(&self, labels: &Labels) -> bool {
        let equal = self.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        equal && self.expressions.iter().all(|expression| expression.holds(labels))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }
}

impl Expression {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn a_selector_selects_as_the_api_does() {
        let values = |values: &[&str]| values.iter().map(|&value| value.into()).collect();
        let with = |key: &str, test| Selector { labels: labels(&[("app", "a")]), expressions: vec![Expression { key: key.into(), test }] };
        let pod = labels(&[("app", "a"), ("tier", "web")]);
        for (selector, selects) in [
            (with("tier", Test::In(values(&["web", "api"]))), true),
            (with("tier", Test::In(values(&["api"]))), false),
            (with("zone", Test::In(values(&["a"]))), false),
            (with("tier", Test::NotIn(values(&["web"]))), false),
            (with("zone", Test::NotIn(values(&["a"]))), true),
            (with("tier", Test::Exists), true),
            (with("zone", Test::Exists), false),
            (with("zone", Test::DoesNotExist), true),
            (with("tier", Test::DoesNotExist), false),
        ] {
            assert_eq!(selector.selects(&pod), selects, "{selector:?}");
            assert!(!selector.selects(&labels(&[("app", "b"), ("tier", "web")])), "the labels must be equal too");
        }
    }

    #[test]
    fn an_owner_of_the_same_name_and_another_uid_is_another() {
        let owner = |uid: Option<&str>| Owner { kind: "ReplicaSet".into(), name: "web-1".into(), uid: uid.map(Name::from) };
        let meta = |uid: Option<&str>| Meta { name: "web-1".into(), uid: uid.map(Name::from), ..Meta::default() };
        for (mine, its, is) in [(None, None, true), (Some("1"), None, true), (Some("1"), Some("1"), true), (Some("1"), Some("2"), false)] {
            assert_eq!(owner(mine).is(Kind::ReplicaSet, &meta(its)), is, "{mine:?} {its:?}");
        }
        assert!(!owner(None).is(Kind::StatefulSet, &meta(None)));
    }
}
