//! Bytes of one manifest file in, typed objects and problems out.
//!
//! YAML (several documents) and JSON, `kind: List` included. Pure: no file is opened here. One bad object never hides its
//! neighbours; a file that is not YAML at all gives no objects and one problem with its line. Nothing of a Secret is ever quoted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use serde_json::Value;

use crate::object::{Kind, Name, Namespace, Object, ObjectKey, Workload};
use crate::problem::{Problem, Reason};

pub(crate) mod document;

mod bounds;
pub(crate) mod check;
mod client;
mod config_map;
mod fields;
mod ingress;
mod kind;
mod list;
mod meta;
mod pod;
mod probe;
mod seal;
mod secret;
mod service;
mod slice;
mod upstream;
mod wipe;
mod workload;

#[cfg(test)]
mod tests;

use check::Findings;
use document::{Document, Repeated};
use kind::Recognised;
use list::Around;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The objects that can be used, in file order.
    pub objects: Vec<Object>,
    /// Objects that are named but cannot be used: their last good version stays.
    pub refused: Vec<ObjectKey>,
    /// Everything wrong or worth knowing; places without the file.
    pub problems: Vec<Problem>,
    /// Kinds that are not read, as `apiVersion/kind`, and how many of each.
    pub skipped: BTreeMap<String, usize>,
    /// The text is not YAML or JSON: whatever the file said before stays.
    pub broken: bool,
    /// A document does not say what it is: it may be any object that the file held before, a seal included, so those stay too.
    pub unnamed: bool,
    /// Those of `refused` that carry a key under `tidegate.dev/` which is not plainly `exposure: external`: they are sealed.
    pub sealed: BTreeSet<ObjectKey>,
    /// Documents that carry such a key and do not say what they are; the name that each gives, if it gives one.
    pub lost_seals: Vec<Option<Name>>,
}

/// Reads one file's bytes.
pub fn parse(bytes: &[u8]) -> Manifest {
    document::read(bytes).unwrap_or_else(|problem| Manifest { problems: vec![problem], broken: true, ..Manifest::default() })
}

/// A value that should be an object, and how to speak of it when it has no name.
#[derive(Clone, Copy)]
struct Item<'a> {
    value: &'a Value,
    spot: Spot<'a>,
    around: Around<'a>,
}

impl Item<'_> {
    /// Whether something in it, or in the List around it, was meant to seal it.
    fn seals(&self, kind: Option<Kind>) -> bool {
        self.around.sealed || seal::carried(kind, self.value)
    }
}

/// Where a document or an item of a List is.
#[derive(Clone, Copy)]
enum Spot<'a> {
    Line(u64),
    Ordinal(usize),
    Item(usize, &'a Spot<'a>),
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spot::Line(line) => write!(f, "the document at line {line}"),
            Spot::Ordinal(ordinal) => write!(f, "document {ordinal}"),
            Spot::Item(index, list) => write!(f, "items[{index}] of {list}"),
        }
    }
}

impl Extend<Document> for Manifest {
    fn extend<I: IntoIterator<Item = Document>>(&mut self, documents: I) {
        for mut document in documents {
            self.document(&document);
            wipe::wipe(&mut document.value);
        }
    }
}

impl Manifest {
    fn document(&mut self, document: &Document) {
        let spot = document.line.map_or(Spot::Ordinal(document.ordinal), Spot::Line);
        self.item(Item { value: &document.value, spot, around: Around::default() }, &document.repeated);
    }

    /// `repeated` holds the keys, inside this item, that were given twice.
    fn item(&mut self, item: Item<'_>, repeated: &[Repeated]) {
        let Some(fields) = item.value.as_object() else {
            let found = format!("{} is {}", item.spot, fields::shape(item.value));
            let problem = Problem::error(Reason::Invalid, found).expected("a Kubernetes object with `apiVersion` and `kind`");
            return self.nameless(item, repeated, problem);
        };
        let word = |key: &str| fields.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        let (api_version, kind) = match (word("apiVersion"), word("kind"), item.around.inherited) {
            (Some(api_version), Some(kind), _) => (api_version, kind),
            (None, None, Some(inherited)) => inherited,
            (api_version, ..) => {
                let field = if api_version.is_none() { "apiVersion" } else { "kind" };
                let problem = Problem::error(Reason::Invalid, format!("{} has no `{field}`", item.spot)).at(field).expected("text");
                let fix = "say what it is, for example `apiVersion: v1` and `kind: Service`";
                return self.nameless(item, repeated, problem.fix(fix));
            }
        };
        if let Some(list) = kind::list(api_version, kind).filter(|list| list.ours || fields.get("items").is_some_and(Value::is_array)) {
            return self.list(list, api_version, fields, item, repeated);
        }
        match kind::recognise(api_version, kind) {
            Recognised::Ours(Kind::Secret) | Recognised::Meant(Kind::Secret, _) if !secret::is_read(fields) => {
                *self.skipped.entry(format!("{api_version}/{kind}")).or_default() += 1;
            }
            Recognised::Ours(kind) => self.ours(kind, item, repeated),
            Recognised::Meant(meant, right) => self.meant(meant, (api_version, kind), right, item, repeated),
            Recognised::Unheard if item.seals(None) => {
                let problem = Problem::error(Reason::Invalid, format!("`{kind}`, which {api_version} does not have")).at("kind");
                let problem = problem.of(item.spot).expected("a kind that can be sealed, since it carries a key under `tidegate.dev/`");
                self.nameless(item, repeated, problem.fix("correct `kind`"));
            }
            Recognised::Unheard | Recognised::NotOurs => *self.skipped.entry(format!("{api_version}/{kind}")).or_default() += 1,
        }
    }

    /// Something that does not say what it is: it may be any object.
    fn nameless(&mut self, item: Item<'_>, repeated: &[Repeated], problem: Problem) {
        self.problems.push(problem);
        self.unnamed = true;
        if item.seals(None) || repeated.iter().any(|repeated| repeated.ours) {
            self.lost_seals.push(metadata(item.value, "name").map(Name::from));
        }
    }

    fn ours(&mut self, kind: Kind, item: Item<'_>, repeated: &[Repeated]) {
        let mut findings = Findings::default();
        for repeated in repeated {
            let problem = Problem::error(Reason::Invalid, "the key is given twice").at(&repeated.path).expected("each key once");
            findings.push(problem.fix("remove one of the two"));
        }
        let mut objects = convert(kind, item.value, &mut findings);
        let refused = findings.has_errors() || item.around.refused;
        let unclear = findings.is_unclear() || item.around.sealed;
        objects.iter_mut().for_each(|object| object.meta_mut().unclear |= unclear);
        let place = place(kind, item);
        self.problems.extend(findings.into_problems().map(|problem| problem.of(&place)));
        if refused {
            self.refuse(kind, item, repeated);
        } else {
            self.objects.extend(objects);
        }
    }

    /// One of our kinds by another word, or in another `apiVersion`.
    fn meant(&mut self, kind: Kind, (found, word): (&str, &str), right: &str, item: Item<'_>, repeated: &[Repeated]) {
        let place = place(kind, item);
        if word != kind.as_str() {
            let problem = Problem::error(Reason::Invalid, format!("`{word}`")).of(&place).at("kind");
            self.problems.push(problem.expected(format!("`{}`", kind.as_str())).fix(format!("write `kind: {}`", kind.as_str())));
        }
        if found != right {
            let problem = Problem::error(Reason::UnsupportedVersion, format!("`{found}`")).of(place).at("apiVersion");
            let more = match kind {
                Kind::Ingress => "; in v1 a backend is `service: {name, port: {number}}` and each path needs a `pathType`",
                Kind::EndpointSlice => "; in v1 `topology` is `nodeName` and `zone`",
                _ => "",
            };
            self.problems.push(problem.expected(format!("`{right}`")).fix(format!("write `apiVersion: {right}`{more}")));
        }
        self.refuse(kind, item, repeated);
    }

    /// An object that cannot be used, after its problems were told.
    fn refuse(&mut self, kind: Kind, item: Item<'_>, repeated: &[Repeated]) {
        let seals = item.seals(Some(kind)) || repeated.iter().any(|repeated| repeated.ours);
        match name_of(kind, item.value) {
            Some(key) => {
                let keys = all_keys(key, item.value);
                if seals {
                    self.sealed.extend(keys.iter().cloned());
                }
                self.refused.extend(keys);
            }
            None => {
                self.unnamed = true;
                self.lost_seals.extend(seals.then_some(None));
            }
        }
    }
}

fn place(kind: Kind, item: Item<'_>) -> String {
    name_of(kind, item.value).map_or_else(|| format!("{} in {}", kind.as_str(), item.spot), |key| key.to_string())
}

fn convert(kind: Kind, value: &Value, out: &mut Findings) -> Vec<Object> {
    match kind {
        Kind::Namespace => fields::read::<core::Namespace>(value, out)
            .map(|raw| Object::Namespace(Namespace { meta: meta::cluster_scoped(raw.metadata, meta::NameRule::Label, out) }))
            .into_iter()
            .collect(),
        Kind::Pod => fields::read::<core::Pod>(value, out).map(|raw| Object::Pod(pod::convert(raw, out))).into_iter().collect(),
        Kind::Service => {
            fields::read::<core::Service>(value, out).and_then(|raw| service::convert(raw, out)).map(Object::Service).into_iter().collect()
        }
        Kind::EndpointSlice => fields::read::<discovery::EndpointSlice>(value, out)
            .and_then(|raw| slice::convert(raw, out))
            .map(Object::EndpointSlice)
            .into_iter()
            .collect(),
        Kind::Endpoints => fields::read::<core::Endpoints>(value, out)
            .map(|raw| slice::from_endpoints(raw, out))
            .unwrap_or_default()
            .into_iter()
            .map(Object::EndpointSlice)
            .collect(),
        Kind::Ingress => {
            fields::read::<networking::Ingress>(value, out).map(|raw| Object::Ingress(ingress::convert(raw, out))).into_iter().collect()
        }
        Kind::IngressClass => fields::read::<networking::IngressClass>(value, out)
            .map(|raw| Object::IngressClass(ingress::class(raw, out)))
            .into_iter()
            .collect(),
        Kind::Secret => secret::read(value, out).map(Object::Secret).into_iter().collect(),
        Kind::ConfigMap => config_map::read(value, out).map(Object::ConfigMap).into_iter().collect(),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet => workload(kind, value, out).map(Object::Workload).into_iter().collect(),
    }
}

fn workload(kind: Kind, value: &Value, out: &mut Findings) -> Option<Workload> {
    match kind {
        Kind::Deployment => workload::deployment(fields::read::<apps::Deployment>(value, out)?, out),
        Kind::ReplicaSet => workload::replica_set(fields::read::<apps::ReplicaSet>(value, out)?, out),
        _ => workload::stateful_set(fields::read::<apps::StatefulSet>(value, out)?, out),
    }
}

/// The name of an object that may be wrong in every other respect.
fn name_of(kind: Kind, value: &Value) -> Option<ObjectKey> {
    let namespace = match kind {
        Kind::Namespace | Kind::IngressClass => "",
        _ => metadata(value, "namespace").unwrap_or(meta::DEFAULT_NAMESPACE),
    };
    Some(ObjectKey { kind, namespace: namespace.into(), name: metadata(value, "name")?.into() })
}

/// A text of the metadata.
fn metadata<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    field(field(value, "metadata")?, name)?.as_str().filter(|text| !text.is_empty())
}

/// A field, even when its name is not in its right case.
fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = value.as_object()?;
    fields.get(name).or_else(|| Some(fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1))
}

/// An Endpoints object gives one slice for each subset: refused, it keeps them all.
fn all_keys(key: ObjectKey, value: &Value) -> Vec<ObjectKey> {
    let subsets = match key.kind {
        Kind::Endpoints => value.get("subsets").and_then(Value::as_array).map_or(1, Vec::len).max(1),
        _ => 1,
    };
    (0..subsets).map(|index| ObjectKey { name: slice::name_of_subset(&key.name, index), ..key.clone() }).collect()
}

/// Shared text from what an API object owns.
fn shared(text: Option<String>) -> Option<Name> {
    text.filter(|text| !text.is_empty()).map(Name::from)
}
