//! Secrets and what Ingresses want of them in, the external plane's certificates out.
//!
//! Invariant: the oldest Ingress has a host, as with routes. What is sealed is shown to nobody outside, and no private key is anywhere
//! but in the Secret and the table. A change of a Secret compiles no routes.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::exposure::Exposure;
use config::host::HostPattern;
use config::object::{ClientTerms, Ingress, Kind, Name, ObjectKey};
use config::problem::{Problem, Reason};
use config::tls::Certificate;

use super::clients::{self, Claims, Demands};
use super::referents::Referents;
use crate::certificate::{CertificateTable, CertificateTableBuilder, Taken};

/// One entry of an Ingress's `spec.tls`.
#[derive(Debug)]
pub(crate) struct Want {
    owner: ObjectKey,
    exposure: Exposure,
    field: String,
    hosts: Vec<HostPattern>,
    secret: ObjectKey,
}

impl Want {
    /// What an Ingress wants.
    pub(crate) fn all(owner: &ObjectKey, ingress: &Ingress, exposure: Exposure) -> impl Iterator<Item = Want> {
        ingress.tls.iter().map(move |entry| Want {
            owner: owner.clone(),
            exposure,
            field: format!("spec.tls[{}]", entry.at),
            hosts: if entry.hosts.is_empty() { hosts(ingress) } else { entry.hosts.clone() },
            secret: ObjectKey { kind: Kind::Secret, namespace: owner.namespace.clone(), name: entry.secret.clone() },
        })
    }
}

/// All hosts of an Ingress's rules.
pub(super) fn hosts(ingress: &Ingress) -> Vec<HostPattern> {
    let hosts: BTreeSet<&HostPattern> = ingress.rules.iter().map(|rule| &rule.host).collect();
    if hosts.is_empty() { vec![HostPattern::Any] } else { hosts.into_iter().cloned().collect() }
}

/// What handshakes are made with.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) external: Arc<CertificateTable>,
    /// Every Secret and ConfigMap that is wanted, there or not.
    pub(crate) named: BTreeSet<ObjectKey>,
    /// The Secrets whose certificate is shown.
    pub(crate) shown: BTreeSet<ObjectKey>,
    /// What is asked of clients.
    demands: Demands,
    /// Each with its object; none when it is a setting.
    pub(crate) problems: Vec<(Option<ObjectKey>, Problem)>,
}

/// Compiles what is wanted, which comes oldest first. `default` serves all hosts that nothing else does. A table that turns out the same
/// stays the same `Arc`.
pub(crate) fn compile(wants: &[Want], claims: &Claims, referents: &Referents, default: Option<&ObjectKey>, old: &Compiled) -> Compiled {
    let mut compiler = Compiler { referents, builder: CertificateTableBuilder::default(), out: Compiled::default() };
    if let Some(key) = default {
        compiler.default(key); // before all others: what an operator sets is not taken by an Ingress without hosts
    }
    wants.iter().for_each(|want| compiler.want(want));
    let Compiler { mut builder, mut out, .. } = compiler;
    out.demands = clients::compile(claims, referents, &old.demands, &mut builder);
    let table = builder.build();
    out.problems.extend(clients::problems(claims, &out.demands, &table).into_iter().map(|(key, problem)| (Some(key), problem)));
    out.shown = out.named.clone();
    out.named.extend(out.demands.keys().map(ClientTerms::key));
    out.external = if table == *old.external { old.external.clone() } else { Arc::new(table) };
    out
}

struct Compiler<'s> {
    referents: &'s Referents,
    builder: CertificateTableBuilder,
    out: Compiled,
}

impl Compiler<'_> {
    fn want(&mut self, want: &Want) {
        if want.exposure == Exposure::Internal {
            let problem = Problem::warning(Reason::NotServed, "TLS is served outside alone: inside, its hosts answer on plain HTTP");
            return self.tell(&want.owner, problem.at(&want.field).fix("remove it, or give the Ingress a class for the outside"));
        }
        self.out.named.insert(want.secret.clone());
        let field = format!("{}.secretName", want.field);
        match find(self.referents, &want.secret) {
            Ok(certificate) => want.hosts.iter().for_each(|host| self.serve(want, host, certificate, &field)),
            Err(problem) => self.tell(&want.owner, problem.at(field)),
        }
    }

    fn serve(&mut self, want: &Want, host: &HostPattern, certificate: &Certificate, field: &str) {
        let (owner, name) = (Name::from(want.owner.to_string()), shown(&want.secret));
        let added = self.builder.add(&owner, host, &name, certificate);
        if let Err(taken) = added {
            return self.tell(&want.owner, conflict(host, &taken).at(field));
        }
        let example = match host {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::OneLabel(suffix) => format!("any.{suffix}"),
            HostPattern::Any => return,
        };
        if !certificate.names(&example) {
            let problem = Problem::warning(Reason::Invalid, format!("the certificate of {} does not name {host}", want.secret)).at(field);
            self.tell(
                &want.owner,
                problem.expected("a certificate for each host of the entry").fix("name another Secret, or have it issued anew"),
            );
        }
    }

    fn default(&mut self, key: &ObjectKey) {
        self.out.named.insert(key.clone());
        let owner = Name::from("tls.defaultSecret");
        match find(self.referents, key) {
            Ok(certificate) => _ = self.builder.add(&owner, &HostPattern::Any, &shown(key), certificate), // the first to ask
            Err(problem) => self.out.problems.push((None, problem.at(&*owner))),
        }
    }

    fn tell(&mut self, owner: &ObjectKey, problem: Problem) {
        self.out.problems.push((Some(owner.clone()), problem));
    }
}

/// A certificate that may be shown outside.
fn find<'s>(referents: &'s Referents, key: &ObjectKey) -> Result<&'s Certificate, Problem> {
    let Some(certificate) = referents.secret(key).and_then(|secret| secret.certificate.as_ref()) else {
        let problem = Problem::warning(Reason::NotFound, format!("there is no {key} of type kubernetes.io/tls"));
        let fix = format!(
            "write it in namespace {}, correct the name or its type, or mend it if it is refused; until then nobody is shown its certificate",
            key.namespace
        );
        return Err(problem.expected("a Secret with `tls.crt` and `tls.key`").fix(fix));
    };
    if referents.is_sealed(key) {
        let problem = Problem::error(Reason::NotExposed, format!("{key} is sealed by its labels: nobody outside is shown its certificate"));
        return Err(problem.fix("remove its label `tidegate.dev/exposure: internal`, or name another Secret"));
    }
    Ok(certificate)
}

/// `NAMESPACE/NAME`
fn shown(key: &ObjectKey) -> Name {
    format!("{}/{}", key.namespace, key.name).into()
}

fn conflict(host: &HostPattern, taken: &Taken) -> Problem {
    match taken {
        Taken::By(owner) => Problem::error(Reason::Conflict, format!("the certificate of {host} is already given by {owner}"))
            .expected("one object that gives a host its certificate")
            .fix("name the same Secret in both, or remove one of the two; the older object serves, a manifest before labels"),
        Taken::Before(secret) => {
            Problem::warning(Reason::Conflict, format!("{host} has a certificate with this kind of key from {secret}"))
                .expected("one certificate for each kind of key")
                .fix("remove one of the two; the first one serves")
        }
    }
}
