//! Bytes of one manifest file in, typed objects and problems out.
//!
//! YAML (several documents) and JSON, `kind: List` included. Pure: no file is opened here. One bad object never hides its
//! neighbours; a file that is not YAML at all gives no objects and one problem with its line. Nothing of a Secret is ever quoted.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use serde_json::Value;

use crate::exposure::{EXPOSURE_LABEL, Exposure, OUR_PREFIX};
use crate::object::{Kind, Name, Namespace, Object, ObjectKey};
use crate::problem::{Problem, Reason};

pub(crate) mod document;

mod check;
mod fields;
mod ingress;
mod meta;
mod pod;
mod service;
mod slice;

#[cfg(test)]
mod tests;

use check::Findings;
use document::Document;

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
    /// An object that cannot be used is labelled or annotated under `tidegate.dev/` with something else than `exposure: external`.
    pub sealing: bool,
}

/// Reads one file's bytes.
pub fn parse(bytes: &[u8]) -> Manifest {
    let mut manifest = Manifest::default();
    match document::read(bytes) {
        Ok(documents) => documents.iter().for_each(|document| manifest.document(document)),
        Err(problem) => {
            manifest.problems.push(problem);
            manifest.broken = true;
        }
    }
    manifest
}

/// A value that should be an object, and how to speak of it when it has no name.
#[derive(Clone, Copy)]
struct Item<'a> {
    value: &'a Value,
    spot: Spot<'a>,
    /// `apiVersion` and `kind` that the items of a typed list (PodList) may leave out.
    inherited: Option<(&'a str, &'a str)>,
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

impl Manifest {
    fn document(&mut self, document: &Document) {
        let spot = document.line.map_or(Spot::Ordinal(document.ordinal), Spot::Line);
        self.item(Item { value: &document.value, spot, inherited: None }, &document.repeated);
    }

    /// `repeated` holds the paths, inside this item, of keys that were given twice.
    fn item(&mut self, item: Item<'_>, repeated: &[String]) {
        let Some(fields) = item.value.as_object() else {
            let found = format!("{} is {}", item.spot, fields::shape(item.value));
            self.unnamed = true;
            self.sealing |= carries_seal(item.value);
            return self.problems.push(Problem::error(Reason::Invalid, found).expected("a Kubernetes object with `apiVersion` and `kind`"));
        };
        let word = |key: &str| fields.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        let (api_version, kind) = match (word("apiVersion"), word("kind"), item.inherited) {
            (Some(api_version), Some(kind), _) => (api_version, kind),
            (None, None, Some(inherited)) => inherited,
            (api_version, ..) => {
                self.sealing |= carries_seal(item.value);
                return self.nameless(item.spot, if api_version.is_none() { "apiVersion" } else { "kind" });
            }
        };
        if let (Some(of), Some(items)) = (kind.strip_suffix("List"), fields.get("items").and_then(Value::as_array)) {
            let inherited = (!of.is_empty()).then_some((api_version, of));
            return self.list(items, inherited, item.spot, repeated);
        }
        match recognise(api_version, kind) {
            Recognised::Ours(kind) => self.ours(kind, item, repeated),
            Recognised::OtherVersion(kind, right) => self.other_version(kind, api_version, right, item),
            Recognised::NotOurs => *self.skipped.entry(format!("{api_version}/{kind}")).or_default() += 1,
        }
    }

    fn nameless(&mut self, spot: Spot<'_>, field: &str) {
        self.unnamed = true;
        let problem = Problem::error(Reason::Invalid, format!("{spot} has no `{field}`")).at(field);
        self.problems.push(problem.expected("text").fix("say what it is, for example `apiVersion: v1` and `kind: Service`"));
    }

    fn list(&mut self, items: &[Value], inherited: Option<(&str, &str)>, spot: Spot<'_>, repeated: &[String]) {
        let mut of_items = 0;
        for (index, value) in items.iter().enumerate() {
            let inside: Vec<String> =
                repeated.iter().filter_map(|path| path.strip_prefix(&format!("items[{index}]."))).map(str::to_owned).collect();
            of_items += inside.len();
            self.item(Item { value, spot: Spot::Item(index, &spot), inherited }, &inside);
        }
        if of_items < repeated.len() {
            // Which of two `items` was meant is unknown, and so are the names of what the other held.
            self.broken = true;
            let found = format!("a key of the List itself ({spot}) is given twice");
            self.problems.push(Problem::error(Reason::Invalid, found).at("items").expected("each key once"));
        }
    }

    fn ours(&mut self, kind: Kind, item: Item<'_>, repeated: &[String]) {
        let mut findings = Findings::default();
        for path in repeated {
            let problem = Problem::error(Reason::Invalid, "the key is given twice").at(path).expected("each key once");
            findings.push(problem.fix("remove one of the two"));
        }
        let objects = convert(kind, item.value, &mut findings);
        let refused = findings.has_errors();
        let name = name_of(kind, item.value);
        let place = name.as_ref().map_or_else(|| format!("{} in {}", kind.as_str(), item.spot), ToString::to_string);
        self.problems.extend(findings.into_problems().map(|problem| problem.of(&place)));
        self.sealing |= refused && carries_seal(item.value);
        match name {
            _ if !refused => self.objects.extend(objects),
            Some(key) => self.refused.extend(all_keys(key, item.value)),
            None => self.unnamed = true,
        }
    }

    fn other_version(&mut self, kind: Kind, found: &str, right: &str, item: Item<'_>) {
        let key = name_of(kind, item.value);
        let place = key.as_ref().map_or_else(|| format!("{} in {}", kind.as_str(), item.spot), ToString::to_string);
        let problem =
            Problem::error(Reason::UnsupportedVersion, format!("`{found}`")).of(place).at("apiVersion").expected(format!("`{right}`"));
        let fix = match kind {
            Kind::Ingress => "change apiVersion; in v1 a backend is `service: {name, port: {number}}` and each path needs a `pathType`",
            Kind::EndpointSlice => "change apiVersion; in v1 `topology` is `nodeName` and `zone`",
            _ => "change apiVersion",
        };
        self.problems.push(problem.fix(fix));
        self.unnamed |= key.is_none();
        self.sealing |= carries_seal(item.value);
        self.refused.extend(key.into_iter().flat_map(|key| all_keys(key, item.value)));
    }
}

/// Whether an object, however wrong it is, says something about its exposure that is not plainly `external`.
fn carries_seal(object: &Value) -> bool {
    let entries = ["labels", "annotations"].into_iter().filter_map(|field| object.get("metadata")?.get(field)?.as_object()).flatten();
    let mut ours = entries.filter(|(key, _)| key.starts_with(OUR_PREFIX));
    ours.any(|(key, word)| key != EXPOSURE_LABEL || word.as_str() != Some(Exposure::External.as_str()))
}

/// What an `apiVersion` and a `kind` mean to us.
enum Recognised {
    Ours(Kind),
    /// Our kind in an `apiVersion` that is not read; the right one beside it.
    OtherVersion(Kind, &'static str),
    NotOurs,
}

fn recognise(api_version: &str, kind: &str) -> Recognised {
    let (kind, right) = match kind {
        "Namespace" => (Kind::Namespace, "v1"),
        "Pod" => (Kind::Pod, "v1"),
        "Service" => (Kind::Service, "v1"),
        "Endpoints" => (Kind::Endpoints, "v1"),
        "EndpointSlice" => (Kind::EndpointSlice, "discovery.k8s.io/v1"),
        "Ingress" => (Kind::Ingress, "networking.k8s.io/v1"),
        "IngressClass" => (Kind::IngressClass, "networking.k8s.io/v1"),
        _ => return Recognised::NotOurs,
    };
    if api_version == right {
        return Recognised::Ours(kind);
    }
    // Other projects have kinds of the same name (Knative's Service); only Kubernetes' own groups are a mistake.
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match group {
        "" | "apps" | "extensions" | "networking.k8s.io" | "discovery.k8s.io" => Recognised::OtherVersion(kind, right),
        _ => Recognised::NotOurs,
    }
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
    }
}

/// The name of an object that may be wrong in every other respect.
fn name_of(kind: Kind, value: &Value) -> Option<ObjectKey> {
    let metadata = value.get("metadata")?;
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let namespace = match kind {
        Kind::Namespace | Kind::IngressClass => "",
        _ => text("namespace").unwrap_or(meta::DEFAULT_NAMESPACE),
    };
    Some(ObjectKey { kind, namespace: namespace.into(), name: text("name")?.into() })
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
