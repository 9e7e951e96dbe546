//! Seals and classes: what the labels under `tidegate.dev/` say, and on which side of the gate an Ingress stands.
//!
//! Invariant: fail closed. What cannot be understood seals; internal anywhere beats external; a class that is not ours is never
//! served. Pure functions over objects; the planes are compiled elsewhere from what is decided here.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use config::exposure::{self as known, EXPOSURE_LABEL, Exposure, OUR_PREFIX};
use config::object::{CLASS_ANNOTATION, Ingress, IngressClass, Kind, Labels, Meta, Name, Object, Service, ServiceKey};
use config::problem::{Problem, Reason};

/// `spec.controller` of an IngressClass that is ours.
pub const CONTROLLER: &str = "tidegate.dev/ingress-controller";
/// Class of Ingresses that the world may see.
pub const EXTERNAL_CLASS: &str = "tidegate";
/// Class of Ingresses for the inside; whatever its labels say.
pub const INTERNAL_CLASS: &str = "tidegate-internal";

/// What an object says about its exposure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Said {
    /// Nothing.
    #[default]
    Nothing,
    /// One of the two words.
    Clearly(Exposure),
    /// Something that cannot be understood: as if it were internal.
    Unclear,
}

impl Said {
    /// Whether it seals.
    pub(crate) fn seals(self) -> bool {
        matches!(self, Said::Clearly(Exposure::Internal) | Said::Unclear)
    }
}

/// The entries under our prefix.
pub(crate) fn ours(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    let from = (Bound::Included(OUR_PREFIX), Bound::Unbounded);
    labels.range::<str, _>(from).map(|(key, value)| (&**key, &**value)).take_while(|(key, _)| key.starts_with(OUR_PREFIX))
}

/// What the labels of `meta` say. An annotation says something about exposure on an Ingress only; those that say something else are no
/// matter here.
pub(crate) fn said(kind: Kind, meta: &Meta) -> Said {
    if meta.unclear {
        return Said::Unclear;
    }
    let word = |labels: &Labels| labels.get(EXPOSURE_LABEL).map(|word| word.parse::<Exposure>());
    let mut words = vec![word(&meta.labels)];
    if kind == Kind::Ingress {
        words.push(word(&meta.annotations));
    }
    let understood = words.iter().flatten().count();
    let annotations = ours(&meta.annotations).filter(|(key, _)| !known::is_annotation_of(kind, key));
    if understood < ours(&meta.labels).count() + annotations.count() || words.iter().flatten().any(Result::is_err) {
        return Said::Unclear;
    }
    let clear: Vec<Exposure> = words.into_iter().flatten().flatten().collect();
    match clear.iter().max() {
        None => Said::Nothing,
        // `Internal` is the greater of the two: it wins over `External`.
        Some(&exposure) => Said::Clearly(exposure),
    }
}

/// Every label and annotation under our prefix that cannot be understood.
pub(crate) fn label_problems(object: &Object) -> Vec<Problem> {
    let (kind, meta) = (object.kind(), object.meta());
    let mut problems = Vec::new();
    for (field, labels) in [("labels", &meta.labels), ("annotations", &meta.annotations)] {
        let meaningful = field == "labels" || kind == Kind::Ingress;
        let silent = |key: &str| field == "annotations" && known::is_annotation_of(kind, key);
        for (key, value) in ours(labels).filter(|(key, _)| !silent(key)) {
            let place = format!("metadata.{field}[\"{key}\"]");
            let known = meaningful && key == EXPOSURE_LABEL;
            let problem = match (known, value.parse::<Exposure>()) {
                (true, Ok(_)) => continue,
                (true, Err(error)) => {
                    Problem::error(Reason::Invalid, format!("`{}`", error.0)).expected("`external` or `internal`").fix(consequence(kind))
                }
                (false, _) => {
                    let expected = match field {
                        "annotations" if meaningful => "`tidegate.dev/exposure`, or a key of docs/annotations.md".to_owned(),
                        _ if meaningful => "no other key than `tidegate.dev/exposure`".to_owned(),
                        _ if kind == Kind::Service => {
                            let keys = known::service_annotations().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                            format!("`tidegate.dev/exposure` as a label, or one of {keys}")
                        }
                        _ => "`tidegate.dev/exposure` as a label".to_owned(),
                    };
                    let found = match known::kind_of_annotation(key) {
                        Some(other) if field == "annotations" => {
                            format!("a key of {} {}, which means nothing here", article(other), other.as_str())
                        }
                        _ => "a key that means nothing here".to_owned(),
                    };
                    Problem::error(Reason::Invalid, found).expected(expected).fix(consequence(kind))
                }
            };
            problems.push(problem.at(place));
        }
    }
    problems
}

fn article(kind: Kind) -> &'static str {
    if kind == Kind::Ingress { "an" } else { "a" }
}

fn consequence(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => "correct it; until then all services of the namespace are sealed",
        Kind::Pod => "correct it; until then the pod's addresses are sealed",
        Kind::Ingress => "correct it; until then its rules are refused outside",
        Kind::IngressClass => "correct it; until then its Ingresses are refused",
        Kind::Secret => "correct it; until then nobody outside is shown its certificate",
        Kind::ConfigMap => "correct it; until then nothing of it serves anybody outside",
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet => "correct it; until then the addresses of its pods are sealed",
        _ => "correct it; until then the service is sealed",
    }
}

/// Who keeps a service inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    Namespace(Name, Said),
    Service(ServiceKey, Said),
    /// A slice of the service, `NAMESPACE/NAME`. Kubernetes copies a Service's labels to its slices.
    Slice(Name, Said),
    Strict,
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seal::Namespace(name, _) => write!(f, "Namespace {name}"),
            Seal::Service(key, _) => write!(f, "Service {key}"),
            Seal::Slice(name, _) => write!(f, "EndpointSlice {name}"),
            Seal::Strict => f.write_str("strict mode"),
        }
    }
}

impl Seal {
    /// The seal as a reason to refuse.
    pub(crate) fn why(&self) -> String {
        match self {
            Seal::Namespace(_, Said::Unclear) | Seal::Service(_, Said::Unclear) | Seal::Slice(_, Said::Unclear) => {
                format!("sealed by {self}: what it says under `{OUR_PREFIX}` cannot be understood, or it cannot be read")
            }
            Seal::Namespace(..) | Seal::Service(..) | Seal::Slice(..) => format!("sealed by {self}, labelled `{EXPOSURE_LABEL}: internal`"),
            Seal::Strict => format!("sealed by strict mode: neither it nor its Namespace is labelled `{EXPOSURE_LABEL}: external`"),
        }
    }

    /// What an operator who did mean to expose it would do.
    pub(crate) fn fix(&self) -> String {
        match self {
            Seal::Strict => format!("label the Service or its Namespace `{EXPOSURE_LABEL}: external` if the world may see it"),
            _ => format!("remove the carrier, or the seal of {self} if the world may see the service"),
        }
    }
}

/// What seals `service`, if anything.
pub(crate) fn seal(service: &Service, namespace: Said, strict: bool) -> Option<Seal> {
    let own = said(Kind::Service, &service.meta);
    let key = || ServiceKey { namespace: service.meta.namespace.clone(), name: service.meta.name.clone() };
    if own.seals() {
        return Some(Seal::Service(key(), own));
    }
    if namespace.seals() {
        return Some(Seal::Namespace(service.meta.namespace.clone(), namespace));
    }
    let external = Said::Clearly(Exposure::External);
    (strict && own != external && namespace != external).then_some(Seal::Strict)
}

/// All IngressClasses, and what the settings add.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// `None`: an object that cannot be read.
    pub(crate) objects: BTreeMap<Name, Option<Arc<Object>>>,
    /// `ingress.classes`
    pub(crate) also: Vec<String>,
}

/// On which side an Ingress stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours(Exposure),
    /// Another controller's; holds how it was decided.
    Foreign(String),
    /// It says that it has no class.
    Nobodys,
    /// Its class cannot be understood; holds why.
    Sealed(String),
    /// Its field and its annotation name classes on different sides; holds both.
    Torn(String),
}

impl Classes {
    /// Where `ingress` stands. Without a class, the default class decides; without one of those, it is ours and outside.
    pub(crate) fn side(&self, ingress: &Ingress) -> Side {
        let side = match (&ingress.class, self.default_class()) {
            (Some(name), _) if name.is_empty() => Side::Nobodys,
            (Some(name), _) => self.side_of(name),
            (None, Some(default)) => self.side_of(&default.meta.name),
            // It may be the default, and not ours or for the inside.
            (None, None) if self.objects.values().any(Option::is_none) => {
                Side::Sealed("it names no class, and an IngressClass that may be the default cannot be read".to_owned())
            }
            (None, None) => Side::Ours(Exposure::External),
        };
        let Some((field, annotation)) = two_classes(ingress) else { return side };
        match (&side, self.side_of(annotation)) {
            (Side::Ours(one), Side::Ours(other)) if *one == other => side,
            (Side::Ours(_), Side::Ours(_) | Side::Sealed(_)) => Side::Torn(format!(
                "spec.ingressClassName is `{field}` and the annotation {CLASS_ANNOTATION} is `{annotation}`, which is on another side"
            )),
            _ => side,
        }
    }

    fn side_of(&self, name: &str) -> Side {
        let object = self.objects.get(name);
        let Some(object) = object else { return self.without_object(name) };
        let Some(class) = object.as_deref().and_then(as_class) else {
            return Side::Sealed(format!("IngressClass {name} cannot be read"));
        };
        let also = self.also.iter().any(|other| other == name);
        if &*class.controller != CONTROLLER && !also {
            return Side::Foreign(format!("IngressClass {name} belongs to controller `{}`", class.controller));
        }
        match said(Kind::IngressClass, &class.meta) {
            _ if name == INTERNAL_CLASS => Side::Ours(Exposure::Internal),
            Said::Unclear => Side::Sealed(format!("what IngressClass {name} says under `{OUR_PREFIX}` cannot be understood")),
            Said::Clearly(exposure) => Side::Ours(exposure),
            Said::Nothing => Side::Ours(Exposure::External),
        }
    }

    fn without_object(&self, name: &str) -> Side {
        match name {
            INTERNAL_CLASS => Side::Ours(Exposure::Internal),
            EXTERNAL_CLASS => Side::Ours(Exposure::External),
            _ if self.also.iter().any(|other| other == name) => Side::Ours(Exposure::External),
            _ => Side::Foreign(format!("there is no IngressClass {name}, and ingress.classes does not name it")),
        }
    }

    /// The class marked default; of several the newest, as in Kubernetes, then the first by name.
    fn default_class(&self) -> Option<&IngressClass> {
        let classes = self.objects.values().filter_map(|object| as_class(object.as_deref()?)).filter(|class| class.default);
        classes.max_by(|a, b| a.meta.created.cmp(&b.meta.created).then_with(|| b.meta.name.cmp(&a.meta.name)))
    }
}

/// The classes that an Ingress's field and annotation name, when they are not the same.
pub(crate) fn two_classes(ingress: &Ingress) -> Option<(&str, &str)> {
    let annotation = ingress.meta.annotations.get(CLASS_ANNOTATION).filter(|text| !text.is_empty())?;
    let field = ingress.class.as_deref()?;
    (*field != **annotation).then_some((field, annotation))
}

fn as_class(object: &Object) -> Option<&IngressClass> {
    if let Object::IngressClass(class) = object { Some(class) } else { None }
}

#[cfg(test)]
mod tests;
