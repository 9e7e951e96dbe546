//! Ingresses in, one route table for each exposure out.
//!
//! Invariant: an Ingress stands on one side only, and its rules are compiled into that side's tables alone. What a seal refuses is
//! in `refused`, where nothing is ever forwarded. The oldest object wins a conflict, whatever file it is in, and a file wins one against
//! a container's labels. Routes do not depend on endpoints, but on the Secrets and ConfigMaps that their filters name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use config::annotations::Judged;
use config::exposure::Exposure;
use config::host::HostPattern;
use config::object::{CLASS_ANNOTATION, ClientTerms, Ingress, IngressBackend, Kind, Name, Object, ObjectKey, PathType, ServiceKey};
use config::problem::{Problem, Reason};

use super::World;
use super::certificates::Want;
use super::clients::Claims;
use super::filters::{Granted, other_name, to_host};
use super::referents::Referents;
use crate::exposure::{self, Classes, Said, Side};
use crate::filter::Filters;
use crate::route::{Action, Route, RouteTable, RouteTableBuilder};
use crate::snapshot::{PortName, ServiceIndex};

mod backend;

use backend::{Found, Wrong};

/// Orders Ingresses: those of manifests before those of labels, the oldest first, then by namespace and name.
pub(crate) type Age = (bool, i64, ObjectKey);

/// One rule as `get routes` shows it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) exposure: Exposure,
    pub(crate) host: HostPattern,
    /// `Exact`, `Prefix` or `Default`.
    pub(crate) path_type: &'static str,
    pub(crate) path: Box<str>,
    pub(crate) service: Option<PortName>,
    pub(crate) owner: Name,
    /// Why it does not serve.
    pub(crate) why: Option<Arc<str>>,
    /// It may not be served at all: not because nothing is there.
    pub(crate) refused: bool,
    pub(crate) filters: Option<Arc<Filters>>,
}

/// Both sides' routes.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) external: Tables,
    pub(crate) internal: Tables,
    /// What the external plane's indexes mean.
    pub(crate) outside: Vec<PortName>,
    /// Every Service that some rule names, there or not.
    pub(crate) named: BTreeSet<ServiceKey>,
    /// The certificates that Ingresses ask for, the oldest first.
    pub(crate) wants: Vec<Want>,
    /// What their clients must show.
    pub(crate) claims: Claims,
    /// The Secrets and ConfigMaps that filters name, there or not.
    pub(crate) referents: BTreeSet<ObjectKey>,
    /// What became of each annotation for a filter.
    pub(crate) judged: Vec<(ObjectKey, Judged)>,
    pub(crate) rows: Vec<Row>,
    pub(crate) problems: Vec<(ObjectKey, Problem)>,
}

/// One side's tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) refused: Arc<RouteTable>,
}

/// Compiles all Ingresses, which come oldest first.
pub(crate) fn compile<'a>(
    ingresses: impl Iterator<Item = &'a Ingress>,
    classes: &Classes,
    world: &World,
    referents: &Referents,
) -> Compiled {
    let (sides, out) = (Default::default(), Compiled::default());
    let mut compiler = Compiler { world, referents, sides, places: HashMap::new(), names: Vec::new(), out };
    for ingress in ingresses {
        compiler.ingress(ingress, classes);
    }
    compiler.other_names();
    let Compiler { sides: [external, internal], mut out, .. } = compiler;
    out.external = external.build();
    out.internal = internal.build();
    out
}

/// The order of Ingresses.
pub(crate) fn age(object: &Object) -> Age {
    (object.meta().by_label, object.meta().created.unwrap_or(i64::MAX), object.key())
}

#[derive(Default)]
struct Builders {
    routes: RouteTableBuilder,
    refused: RouteTableBuilder,
}

impl Builders {
    fn build(self) -> Tables {
        Tables { routes: Arc::new(self.routes.build()), refused: Arc::new(self.refused.build()) }
    }
}

struct Compiler<'w> {
    world: &'w World,
    referents: &'w Referents,
    /// External, internal.
    sides: [Builders; 2],
    places: HashMap<PortName, ServiceIndex>,
    /// Hosts that are redirected to with and without `www.`, with whoever asked for that.
    names: Vec<(Exposure, Name, HostPattern)>,
    out: Compiled,
}

/// Whose rule is compiled.
struct Owner<'a> {
    ingress: &'a Ingress,
    key: ObjectKey,
    name: Name,
    exposure: Exposure,
    client: Option<Arc<ClientTerms>>,
    /// Why none of its rules may serve.
    refused: Option<Arc<str>>,
    granted: Granted,
}

/// Where a rule is and what it takes.
struct Rule<'a> {
    field: String,
    host: &'a HostPattern,
    kind: RuleKind,
    path: &'a str,
    backend: &'a IngressBackend,
}

#[derive(Clone, Copy)]
enum RuleKind {
    Path(PathType),
    HostDefault,
    ClassDefault,
}

impl Compiler<'_> {
    fn ingress(&mut self, ingress: &Ingress, classes: &Classes) {
        let key = ObjectKey { kind: Kind::Ingress, namespace: ingress.meta.namespace.clone(), name: ingress.meta.name.clone() };
        let Some((exposure, refused)) = self.stand(&key, ingress, classes.side(ingress)) else { return };
        if let (Some((field, annotation)), None) = (exposure::two_classes(ingress), &refused) {
            let found = format!("`{field}` beside the annotation {CLASS_ANNOTATION} `{annotation}`");
            let problem = Problem::warning(Reason::Conflict, found).at("spec.ingressClassName").expected("one class");
            self.problem(&key, problem.fix("remove the annotation; the field counts"));
        }
        let refused = refused.or_else(|| self.enter(&key, ingress, exposure)).map(|why| format!("{key}: {why}").into());
        let client = ingress.client.clone().map(Arc::new);
        let Some(granted) = self.granted(&key, ingress) else { return };
        let owner = Owner { ingress, name: key.to_string().into(), key, exposure, client, refused, granted };
        let before = self.out.rows.len();
        self.rules(&owner);
        // Of an Ingress that is refused as a whole nobody outside may know, by its certificate either.
        if self.out.rows[before..].iter().any(|row| !row.refused) {
            self.out.wants.extend(Want::all(&owner.key, ingress, exposure));
        }
    }

    /// Enters what an Ingress asks of its clients; why its rules are refused, when that cannot be.
    fn enter(&mut self, key: &ObjectKey, ingress: &Ingress, exposure: Exposure) -> Option<String> {
        if exposure == Exposure::Internal {
            return None; // TLS is not served there: its routes take no client that had to show something
        }
        let problem = self.out.claims.enter(key, ingress).err()?;
        let why = problem.found.clone();
        self.problem(key, problem);
        Some(why)
    }

    /// What its annotations ask for; `None` when they say that nothing of it serves.
    fn granted(&mut self, key: &ObjectKey, ingress: &Ingress) -> Option<Granted> {
        let mut granted = Granted::read(key, ingress, self.referents);
        self.out.referents.append(&mut granted.named);
        self.out.judged.extend(granted.judged.drain(..).map(|judged| (key.clone(), judged)));
        self.out.problems.extend(granted.problems.drain(..).map(|problem| (key.clone(), problem)));
        let Some(why) = granted.skipped else { return Some(granted) };
        let problem = Problem::warning(Reason::NotServed, format!("nothing of it is served: {why}"));
        self.problem(key, problem.at("metadata.annotations").fix("remove it; its traffic stays with the other Ingress"));
        None
    }

    /// The plane of an Ingress, and why none of its rules may serve there; `None` when it is not ours.
    fn stand(&mut self, key: &ObjectKey, ingress: &Ingress, side: Side) -> Option<(Exposure, Option<String>)> {
        let at = "spec.ingressClassName";
        let refused = |why: &str| Problem::error(Reason::NotExposed, format!("its rules are refused: {why}")).at(at);
        match side {
            Side::Ours(exposure) => Some((exposure, self.refusal(key, ingress, exposure))),
            Side::Foreign(why) => {
                let problem = Problem::note(Reason::NotServed, format!("another controller's: {why}")).at(at);
                self.problem(key, problem.fix("add its class to `ingress.classes` of the settings if it is to be served here"));
                None
            }
            Side::Nobodys => {
                let problem = Problem::warning(Reason::NotServed, "`` is a class that nobody has: the Ingress is not served").at(at);
                self.problem(
                    key,
                    problem.expected("the name of an IngressClass").fix("name one, or remove the field for the default class"),
                );
                None
            }
            Side::Sealed(why) => {
                self.problem(key, refused(&why).fix("correct the IngressClass"));
                Some((Exposure::External, Some(why)))
            }
            Side::Torn(why) => {
                self.problem(key, refused(&why).expected("one class").fix("remove the annotation, or correct the field"));
                Some((Exposure::External, Some(why)))
            }
        }
    }

    /// What the Ingress's own labels forbid.
    fn refusal(&mut self, key: &ObjectKey, ingress: &Ingress, exposure: Exposure) -> Option<String> {
        let why = match exposure::said(Kind::Ingress, &ingress.meta) {
            Said::Clearly(Exposure::Internal) => "it is labelled `tidegate.dev/exposure: internal`",
            Said::Unclear => "what it says about its exposure cannot be understood",
            Said::Nothing | Said::Clearly(Exposure::External) => return None,
        };
        if exposure == Exposure::Internal {
            return None;
        }
        let problem = Problem::error(Reason::NotExposed, format!("its rules are refused outside: {why}"));
        // What is unclear has a problem of its own, which names its field.
        let problem = if ingress.meta.unclear { problem } else { problem.at("metadata.labels") };
        self.problem(key, problem.fix("give it the class `tidegate-internal` if it is for the inside, or correct what it says"));
        Some(why.to_owned())
    }

    fn rules(&mut self, owner: &Owner<'_>) {
        let ingress = owner.ingress;
        for (at, rule) in ingress.rules.iter().enumerate() {
            for (nth, path) in rule.paths.iter().enumerate() {
                let field = format!("spec.rules[{at}].http.paths[{nth}]");
                let kind = RuleKind::Path(path.path_type);
                self.rule(owner, Rule { field, host: &rule.host, kind, path: &path.path, backend: &path.backend });
            }
            if owner.granted.sends_other_name() && owner.refused.is_none() {
                self.names.push((owner.exposure, owner.name.clone(), rule.host.clone()));
            }
        }
        let Some(backend) = &ingress.default_backend else { return };
        let rule = |host, kind| Rule { field: "spec.defaultBackend".to_owned(), host, kind, path: "/", backend };
        let hosts: BTreeSet<&HostPattern> = ingress.rules.iter().map(|rule| &rule.host).collect();
        if hosts.is_empty() {
            self.rule(owner, rule(&HostPattern::Any, RuleKind::ClassDefault));
        }
        for host in hosts {
            self.rule(owner, rule(host, RuleKind::HostDefault));
        }
    }

    fn rule(&mut self, owner: &Owner<'_>, rule: Rule<'_>) {
        let key = ServiceKey { namespace: owner.key.namespace.clone(), name: rule.backend.service.clone() };
        let found = self.world.resolve(&key, rule.backend, owner.exposure);
        self.out.named.insert(key);
        let (service, mut action) = match (found, &owner.granted.closed) {
            (Found::Port(name), Some(why)) => (Some(name), Action::Unavailable(why.clone())),
            (Found::Port(name), None) => {
                let index = self.index(&name, owner);
                (Some(name), Action::Forward(index))
            }
            (Found::Nothing(wrong), _) => (None, Action::Unavailable(self.because(owner, &rule, wrong))),
            (Found::Refused(wrong), _) => (None, Action::Refused(self.because(owner, &rule, wrong))),
        };
        if let Some(why) = &owner.refused {
            action = Action::Refused(why.clone());
        }
        self.add(owner, rule, service, action);
    }

    /// Reports why a rule does not serve, and gives it in one line.
    fn because(&mut self, owner: &Owner<'_>, rule: &Rule<'_>, (part, problem): Wrong) -> Arc<str> {
        let why = format!("{}: {}", owner.name, problem.found).into();
        self.problem(&owner.key, problem.at(format!("{}.service.{part}", backend_of(rule))));
        why
    }

    fn add(&mut self, owner: &Owner<'_>, rule: Rule<'_>, service: Option<PortName>, action: Action) {
        let refused = matches!(action, Action::Refused(_));
        let why = match &action {
            Action::Forward(_) => None,
            Action::Unavailable(why) | Action::Refused(why) => Some(why.clone()),
        };
        let path_type = if let RuleKind::Path(path_type) = rule.kind { path_type } else { PathType::Prefix };
        let (filters, path) = self.filters(owner, &rule);
        let route = Route {
            owner: owner.name.clone(),
            host: rule.host.clone(),
            path_type,
            path,
            action,
            client: owner.client.clone(),
            filters: filters.clone(),
        };
        let side = &mut self.sides[usize::from(owner.exposure == Exposure::Internal)];
        let table = if refused { &mut side.refused } else { &mut side.routes };
        let added = match rule.kind {
            RuleKind::Path(_) => table.add(route),
            RuleKind::HostDefault => table.add_host_default(route),
            RuleKind::ClassDefault => table.add_class_default(route),
        };
        match added {
            Err(first) if !refused => {
                let field = if let RuleKind::Path(_) = rule.kind { format!("{}.path", rule.field) } else { rule.field };
                self.problem(&owner.key, conflict(&first, rule.kind).at(field));
            }
            _ => self.out.rows.push(Row {
                exposure: owner.exposure,
                host: rule.host.clone(),
                path_type: word(rule.kind),
                path: rule.path.into(),
                service: service.filter(|_| !refused),
                owner: owner.name.clone(),
                why,
                refused,
                filters: filters.filter(|_| !refused),
            }),
        }
    }

    /// The filters of a rule, and the path that it takes by them.
    fn filters(&mut self, owner: &Owner<'_>, rule: &Rule<'_>) -> (Option<Arc<Filters>>, Box<str>) {
        owner.granted.by(rule.path).unwrap_or_else(|problem| {
            self.problem(&owner.key, problem.at(format!("{}.path", rule.field)));
            (owner.granted.plain(), rule.path.into())
        })
    }

    /// Hosts that nobody serves and that are another one with or without `www.`.
    fn other_names(&mut self) {
        for (exposure, owner, host) in std::mem::take(&mut self.names) {
            let Some(other) = other_name(&host) else { continue };
            let side = &mut self.sides[usize::from(exposure == Exposure::Internal)];
            if side.routes.serves(&other) || side.refused.serves(&other) {
                continue; // whoever wrote a rule for it meant that
            }
            let why: Arc<str> = format!("{owner}: its clients are sent to {host}").into();
            let filters = Some(Arc::new(to_host(&host)));
            let (path_type, path) = (PathType::Prefix, "/");
            let action = Action::Unavailable(why.clone());
            let route = Route {
                owner: owner.clone(),
                host: other.clone(),
                path_type,
                path: path.into(),
                action,
                client: None,
                filters: filters.clone(),
            };
            if side.routes.add(route).is_ok() {
                let (path_type, service, refused) = (word(RuleKind::Path(path_type)), None, false);
                self.out.rows.push(Row {
                    exposure,
                    host: other,
                    path_type,
                    path: path.into(),
                    service,
                    owner,
                    why: Some(why),
                    refused,
                    filters,
                });
            }
        }
    }

    fn index(&mut self, name: &PortName, owner: &Owner<'_>) -> ServiceIndex {
        let place = self.world.services.get(&name.service).and_then(|entry| entry.port(name)).and_then(|port| port.place);
        match (owner.exposure, &owner.refused, place) {
            (Exposure::External, None, _) => *self.places.entry(name.clone()).or_insert_with(|| {
                self.out.outside.push(name.clone());
                ServiceIndex(self.out.outside.len() as u32 - 1)
            }),
            // Of a refused owner the index is never used: its action becomes `Refused`.
            (_, _, place) => place.unwrap_or(ServiceIndex(0)),
        }
    }

    fn problem(&mut self, key: &ObjectKey, problem: Problem) {
        self.out.problems.push((key.clone(), problem));
    }
}

fn backend_of(rule: &Rule<'_>) -> String {
    if let RuleKind::Path(_) = rule.kind { format!("{}.backend", rule.field) } else { rule.field.clone() }
}

fn word(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Path(PathType::Exact) => "Exact",
        RuleKind::Path(PathType::Prefix) => "Prefix",
        RuleKind::HostDefault | RuleKind::ClassDefault => "Default",
    }
}

fn conflict(first: &Route, kind: RuleKind) -> Problem {
    let what = match kind {
        RuleKind::Path(_) => format!("{} {}{} is already served by {}", word(kind), first.host, first.path, first.owner),
        RuleKind::HostDefault => format!("the default of {} is already set by {}", first.host, first.owner),
        RuleKind::ClassDefault => format!("the class's default is already set by {}", first.owner),
    };
    Problem::error(Reason::Conflict, what)
        .expected("each host and path once")
        .fix("remove one of the two; the older object serves, a manifest before labels")
}
