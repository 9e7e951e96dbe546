//! networking.k8s.io/v1 Ingress and IngressClass.
//!
//! A rule that the API would refuse refuses the whole object: half an Ingress would send the other half's traffic elsewhere.

use k8s_openapi::api::networking::v1 as networking;

use super::check::{self, Findings};
use super::meta::{self, NameRule};
use super::{client, shared};
use crate::annotations;
use crate::filter::is_pattern;
use crate::host::HostPattern;
use crate::object::{
    CLASS_ANNOTATION, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls, Meta, Name, PathType, PortRef,
};
use crate::problem::{Problem, Reason};

const DEFAULT_CLASS_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// In lower case, what a field that decides on which side an Ingress stands may be taken for, and what is meant.
const DECIDING: [(&str, &str); 14] = [
    ("spec", "`spec`"),
    ("metadata", "`metadata`"),
    ("spec.defaultbackend", "`spec.defaultBackend`"),
    ("spec.ingressclassname", "`spec.ingressClassName`"),
    ("spec.ingressclass", "`spec.ingressClassName`"),
    ("spec.rules", "`spec.rules`"),
    ("spec.tls", "`spec.tls`"),
    ("ingressclassname", "`spec.ingressClassName`"),
    ("metadata.ingressclassname", "`spec.ingressClassName`"),
    ("metadata.annotation", "`metadata.annotations`"),
    ("metadata.annotations", "`metadata.annotations`"),
    ("spec.annotations", "`metadata.annotations`"),
    ("annotations", "`metadata.annotations`"),
    ("annotation", "`metadata.annotations`"),
];

pub(super) fn convert(raw: networking::Ingress, out: &mut Findings) -> Ingress {
    let meta = meta::namespaced(raw.metadata, NameRule::Subdomain, out);
    let spec = raw.spec.unwrap_or_default();
    deciding_fields(out);
    let patterns = annotations::may_hold_patterns(&meta.annotations);
    if spec.default_backend.is_none() && spec.rules.as_ref().is_none_or(Vec::is_empty) {
        out.missing::<()>("spec", "`rules` or `defaultBackend`");
    }
    let client = client::terms(&meta, out);
    Ingress {
        client,
        class: class_name(spec.ingress_class_name, &meta, out),
        default_backend: spec.default_backend.and_then(|raw| backend(raw, "spec.defaultBackend", out)),
        rules: spec.rules.unwrap_or_default().into_iter().enumerate().filter_map(|(index, raw)| rule(raw, index, patterns, out)).collect(),
        tls: spec.tls.unwrap_or_default().into_iter().enumerate().filter_map(|(at, raw)| tls(raw, at, out)).collect(),
        meta,
    }
}

/// An Ingress whose class was misspelt must not be served as if it had none.
fn deciding_fields(out: &mut Findings) {
    for field in out.unknown_fields.clone() {
        let lower = field.to_ascii_lowercase();
        if let Some((_, meant)) = DECIDING.iter().find(|(spelling, _)| *spelling == lower) {
            out.unclear(&field, "a field that the API does not have; it may hold the Ingress's class", meant);
        }
    }
}

fn class_name(field: Option<String>, meta: &Meta, out: &mut Findings) -> Option<Name> {
    let annotation = meta.annotations.get(CLASS_ANNOTATION).filter(|text| !text.is_empty()).map(|text| Name::from(&**text));
    match field {
        None => annotation,
        Some(name) if name.is_empty() => annotation.or(Some(Name::from(""))),
        Some(name) => {
            if !check::is_subdomain(&name) {
                out.invalid::<()>("spec.ingressClassName", format!("`{name}`"), "the name of an IngressClass");
            }
            Some(name.into())
        }
    }
}

/// `None`: it names no Secret.
fn tls(raw: networking::IngressTLS, at: usize, out: &mut Findings) -> Option<IngressTls> {
    let place = format!("spec.tls[{at}]");
    let written = raw.hosts.unwrap_or_default().into_iter().enumerate();
    let hosts: Vec<_> = written.filter_map(|(nth, text)| host(&text, &format!("{place}.hosts[{nth}]"), out)).collect();
    let Some(secret) = shared(raw.secret_name) else {
        let problem = Problem::warning(Reason::NotFound, "nothing").at(format!("{place}.secretName")).expected("the name of a Secret");
        out.push(
            problem
                .fix("name a Secret of type `kubernetes.io/tls`; until then the setting `tls.defaultSecret` is all that serves its hosts"),
        );
        return None;
    };
    if !check::is_subdomain(&secret) {
        out.invalid::<()>(format_args!("{place}.secretName"), format!("`{secret}`"), "the name of a Secret");
    }
    if let Some(empty) = hosts.iter().position(|host| *host == HostPattern::Any) {
        out.missing::<()>(format_args!("{place}.hosts[{empty}]"), "a host name, or `*.` and one");
    }
    Some(IngressTls { at, hosts, secret })
}

fn host(text: &str, place: &str, out: &mut Findings) -> Option<HostPattern> {
    let told = |error| {
        let problem = Problem::error(Reason::Invalid, format!("`{text}`: {error}")).at(place);
        out.push(problem.expected("a host name, or `*.` and one; no port, no address"));
    };
    HostPattern::parse_ingress(text).map_err(told).ok()
}

/// `patterns`: annotations say that paths may be some, and whoever reads those says what becomes of them.
fn rule(raw: networking::IngressRule, index: usize, patterns: bool, out: &mut Findings) -> Option<IngressRule> {
    let host = host(&raw.host.unwrap_or_default(), &format!("spec.rules[{index}].host"), out);
    let mut paths = Vec::new();
    if let Some(http) = raw.http {
        if http.paths.is_empty() {
            out.missing::<()>(format_args!("spec.rules[{index}].http.paths"), "at least one path");
        }
        let read = |(at, raw)| path(raw, &format!("spec.rules[{index}].http.paths[{at}]"), patterns, out);
        paths = http.paths.into_iter().enumerate().filter_map(read).collect();
    }
    Some(IngressRule { host: host?, paths })
}

fn path(raw: networking::HTTPIngressPath, place: &str, patterns: bool, out: &mut Findings) -> Option<IngressPath> {
    let path = raw.path.unwrap_or_default();
    let path_type = match raw.path_type.as_str() {
        "Exact" => Some((PathType::Exact, true)),
        "Prefix" => Some((PathType::Prefix, true)),
        "ImplementationSpecific" => Some((PathType::Prefix, false)),
        "" => out.missing(format_args!("{place}.pathType"), "`Exact`, `Prefix` or `ImplementationSpecific`"),
        other => out.invalid(format_args!("{place}.pathType"), format!("`{other}`"), "`Exact`, `Prefix` or `ImplementationSpecific`"),
    };
    if let Some((_, defined)) = path_type {
        check_path(&path, (defined, patterns), place, out);
    }
    let backend = backend(raw.backend, &format!("{place}.backend"), out);
    let path = if path.is_empty() { "/".into() } else { path.into_boxed_str() };
    Some(IngressPath { path_type: path_type?.0, path, backend: backend? })
}

/// `defined`: the path type is Exact or Prefix, whose paths the API restricts.
fn check_path(path: &str, (defined, patterns): (bool, bool), place: &str, out: &mut Findings) {
    let at = format_args!("{place}.path");
    if path.is_empty() {
        if defined {
            out.missing::<()>(at, "a path that starts with `/`");
        }
        return;
    }
    if !path.starts_with('/') {
        out.invalid::<()>(at, format!("`{path}`"), "a path that starts with `/`");
    }
    let lower = path.to_ascii_lowercase();
    let odd = ["//", "/./", "/../", "%2f"].into_iter().find(|part| lower.contains(part));
    let odd = odd.or_else(|| ["/.", "/.."].into_iter().find(|end| path.ends_with(end)));
    if let Some(odd) = odd.filter(|_| defined) {
        out.invalid::<()>(at, format!("`{path}`, which holds `{odd}`"), "a path in its plain form");
    }
    if path.contains('#') || (path.contains('?') && !patterns) || path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        let problem = Problem::warning(Reason::Invalid, format!("`{}` can never match", path.escape_debug())).at(at.to_string());
        out.push(problem.expected("a path without query, fragment or blanks"));
    } else if !defined && !patterns && is_pattern(path) {
        let problem = Problem::warning(Reason::NotServed, format!("`{path}` looks like a pattern")).at(at.to_string());
        out.push(problem.expected("a plain path: ImplementationSpecific is read as Prefix"));
    }
}

fn backend(raw: networking::IngressBackend, place: &str, out: &mut Findings) -> Option<IngressBackend> {
    if raw.resource.is_some() {
        let problem = Problem::error(Reason::NotServed, "a resource backend").at(format!("{place}.resource"));
        out.push(problem.expected("`service`").fix("point to a Service; resource backends are not served"));
        return None;
    }
    let Some(service) = raw.service else {
        return out.missing(format_args!("{place}.service"), "`service` with a name and a port");
    };
    let name = check::service_name(Some(service.name), format_args!("{place}.service.name"), out);
    let raw = service.port.unwrap_or_default();
    let port = match (raw.number.filter(|&number| number != 0), shared(raw.name)) {
        (Some(number), None) => check::port(number, format_args!("{place}.service.port.number"), out).map(PortRef::Number),
        (None, Some(name)) if check::is_label(&name) => Some(PortRef::Name(name)),
        (None, Some(name)) => out.invalid(format_args!("{place}.service.port.name"), format!("`{name}`"), "the name of a Service's port"),
        (None, None) => out.missing(format_args!("{place}.service.port"), "`number` or `name`"),
        (Some(_), Some(_)) => out.invalid(format_args!("{place}.service.port"), "`number` and `name`", "one of the two"),
    };
    Some(IngressBackend { service: name?, port: port? })
}

pub(super) fn class(raw: networking::IngressClass, out: &mut Findings) -> IngressClass {
    let meta = meta::cluster_scoped(raw.metadata, NameRule::Subdomain, out);
    let controller = raw.spec.and_then(|spec| spec.controller).filter(|text| !text.is_empty());
    if controller.is_none() {
        out.missing::<()>("spec.controller", "the controller that serves the class, such as `tidegate.dev/ingress-controller`");
    }
    let default = meta.annotations.get(DEFAULT_CLASS_ANNOTATION).is_some_and(|text| &**text == "true");
    IngressClass { meta, controller: controller.unwrap_or_default().into(), default }
}
