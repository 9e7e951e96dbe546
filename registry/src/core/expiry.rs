//! Certificates that are not valid now, or will not be soon: those that something shows, since others are nobody's concern.
//!
//! The date is an argument. A certificate that has expired is shown all the same: it is the client's to refuse.

use std::collections::{BTreeMap, BTreeSet};

use config::object::{Name, ObjectKey};
use config::problem::{Problem, Reason};
use config::tls::{CHAIN, Certificate, x509};

use super::Registry;

/// Less than this before its end a certificate is a warning: three weeks, in seconds.
const SOON_S: i64 = 21 * 86_400;

/// What an operator should know of a certificate on this date; nothing while no date is known.
pub(super) fn problem(certificate: &Certificate, date_s: i64) -> Option<Problem> {
    let validity = certificate.validity().filter(|_| date_s > 0)?;
    let (until, from) = (x509::date(validity.until_s), x509::date(validity.from_s));
    let found = match validity.until_s {
        end if end < date_s => format!("its certificate, or one of its chain, expired on {until}: clients refuse it"),
        end if end < date_s + SOON_S => format!("its certificate, or one of its chain, expires on {until}"),
        _ if validity.from_s > date_s => format!("its certificate, or one of its chain, is not valid before {from}: clients refuse it"),
        _ => return None,
    };
    let problem = Problem::warning(Reason::Expiry, found).at(CHAIN).expected("three weeks of validity left, or more");
    Some(problem.fix("have it issued anew, and write it into the Secret: it counts from the next handshake on"))
}

impl Registry {
    /// Certificates that something shows, each with its Secret.
    pub(super) fn shown_certificates(&self) -> impl Iterator<Item = (ObjectKey, &Certificate)> {
        let terms = &self.world.terms;
        let shown: BTreeSet<ObjectKey> = self.certificates.shown.iter().cloned().chain(self.world.shown_secrets()).collect();
        shown.into_iter().filter_map(|key| terms.referents.secret(&key)?.certificate.as_ref().map(|shown| (key, shown)))
    }

    /// When each of them expires.
    pub(super) fn expiries(&self) -> BTreeMap<Name, i64> {
        let name = |key: ObjectKey| Name::from(format!("{}/{}", key.namespace, key.name));
        self.shown_certificates().filter_map(|(key, shown)| Some((name(key), shown.validity()?.until_s))).collect()
    }
}
