//! What the clients of an Ingress's hosts must show: its annotations `tidegate.dev/client-*`, and ingress-nginx' `auth-tls-*`.
//!
//! Invariant: fail closed. A word that is wrong, or that means something stricter than we do, refuses the object, so that its last good
//! version stays and a new one is not served: a door is never open because its lock was misspelt.

use super::check::{self, Findings};
use crate::exposure::{CLIENT_CA, CLIENT_VERIFY, NGINX_TLS};
use crate::object::{CaRef, ClientTerms, Meta, Name};
use crate::problem::{Problem, Reason};

/// As ingress-nginx names what follows [`NGINX_TLS`].
const SECRET: &str = "secret";
const VERIFY: &str = "verify-client";
const MATCH: &str = "match-cn";
/// What of it is not done, and what is instead.
const NOT_DONE: [(&str, &str); 3] = [
    ("verify-depth", "a chain may be as long as TLS allows"),
    ("error-page", "a client without a good certificate gets an alert, and no page"),
    ("pass-certificate-to-upstream", "the replica is told the certificate's subject in `ssl-client-subject-dn`"),
];

pub(super) fn terms(meta: &Meta, out: &mut Findings) -> Option<ClientTerms> {
    let said = |key: &str| meta.annotations.get(key).map(|text| &**text);
    let nginx = |part: &str| said(&format!("{NGINX_TLS}{part}"));
    let (ours, theirs) = (said(CLIENT_CA), nginx(SECRET));
    let (at, ca, verify) = match (ours, theirs) {
        (None, None) => return without(said(CLIENT_VERIFY), out),
        (Some(text), None) => (CLIENT_CA.to_owned(), of_namespace(meta, text), (CLIENT_VERIFY.to_owned(), said(CLIENT_VERIFY))),
        (None, Some(text)) => {
            let verify = (format!("{NGINX_TLS}{VERIFY}"), nginx(VERIFY));
            (format!("{NGINX_TLS}{SECRET}"), of_any_namespace(text), verify)
        }
        (Some(_), Some(_)) => {
            let found = format!("`{CLIENT_CA}` beside `{NGINX_TLS}{SECRET}`");
            return out.invalid(place(CLIENT_CA), found, "one of the two");
        }
    };
    if theirs.is_some() {
        not_done(&nginx, out);
    }
    let optional = match verify.1 {
        None | Some("on") => false,
        Some("optional") => true,
        Some("off") if theirs.is_some() => return None,
        Some(other) => {
            let expected = if theirs.is_some() { "`on`, `optional` or `off`" } else { "`on` or `optional`" };
            return out.invalid(place(&verify.0), format!("`{}`", other.escape_debug()), expected);
        }
    };
    let Some((namespace, ca)) = ca else {
        let expected = if theirs.is_some() { "NAMESPACE/NAME of a Secret with `ca.crt`" } else { CaRef::EXPECTED };
        return out.invalid(place(&at), "another word", expected);
    };
    Some(ClientTerms { namespace, ca, optional })
}

/// How a client is verified, and nobody by whom.
fn without(verify: Option<&str>, out: &mut Findings) -> Option<ClientTerms> {
    verify.and_then(|_| {
        out.invalid(place(CLIENT_VERIFY), format!("no `{CLIENT_CA}` beside it"), "a Secret or ConfigMap with `ca.crt`, by that annotation")
    })
}

fn not_done<'a>(nginx: &impl Fn(&str) -> Option<&'a str>, out: &mut Findings) {
    if nginx(MATCH).is_some() {
        let problem = Problem::error(Reason::NotServed, "a rule for the names of client certificates, which is not served");
        let problem = problem.at(place(&format!("{NGINX_TLS}{MATCH}"))).expected("an authority that issues to these clients alone");
        out.push(problem.fix("remove it if every client of the authority may come in; until then the Ingress is not served"));
    }
    for (part, instead) in NOT_DONE {
        if nginx(part).is_some_and(|text| text != "false") {
            out.not_served(place(&format!("{NGINX_TLS}{part}")), "not served", instead);
        }
    }
}

fn of_namespace(meta: &Meta, text: &str) -> Option<(Name, CaRef)> {
    check::is_label(&meta.namespace).then_some(())?;
    Some((meta.namespace.clone(), CaRef::parse(text)?))
}

/// As ingress-nginx has it: a Secret, of any namespace.
fn of_any_namespace(text: &str) -> Option<(Name, CaRef)> {
    let (namespace, name) = text.split_once('/')?;
    (check::is_label(namespace) && check::is_subdomain(name)).then(|| (namespace.into(), CaRef::Secret(name.into())))
}

fn place(key: &str) -> String {
    format!("metadata.annotations[\"{key}\"]")
}
