//! Who may ask, by name and password (RFC 7617). The Secret is named here and read elsewhere.

use crate::annotations::{Key, Wrong, value};
use crate::manifest::check::is_subdomain;
use crate::object::Name;

/// Basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// A Secret of the Ingress's namespace with the key `auth`.
    pub secret: Name,
    /// What the client is told that the password is for.
    pub realm: Name,
}

const TYPE: &str = "auth-type";
const SECRET: &str = "auth-secret";
const REALM: &str = "Authentication Required";

/// What the keys said.
#[derive(Debug, Default)]
pub(super) struct Parts {
    basic: bool,
    secret: Option<Name>,
    realm: Option<Name>,
}

pub(super) const KEYS: &[Key] = &[
    Key::guard(TYPE, "`basic`", |draft, text| match text {
        "basic" => {
            draft.auth.basic = true;
            Ok(())
        }
        "digest" => Err("digest authentication is not served".into()),
        _ => Err("another kind of authentication".into()),
    }),
    Key::guard(SECRET, "the name of a Secret of the Ingress's namespace, with htpasswd lines under `auth`", |draft, text| {
        let (namespace, name) = text.split_once('/').unwrap_or((&draft.namespace, text));
        if *namespace != *draft.namespace {
            return Err("a Secret of another namespace would let one namespace use another's".into());
        }
        if !is_subdomain(name) {
            return Err("no name of a Secret".into());
        }
        draft.auth.secret = Some(name.into());
        Ok(())
    }),
    Key::guard("auth-realm", "printable ASCII without `\"` and `\\`", |draft, text| {
        value::field_value(text)?;
        if text.contains(['"', '\\']) || !text.is_ascii() {
            return Err("it goes to clients in quotes".into());
        }
        draft.auth.realm = Some(text.into());
        Ok(())
    }),
];

impl Parts {
    /// Fails closed: half of it is a wish that cannot be granted.
    pub(super) fn finish(self) -> Result<Option<Auth>, (&'static str, Wrong)> {
        match (self.basic, self.secret) {
            (true, Some(secret)) => Ok(Some(Auth { secret, realm: self.realm.unwrap_or_else(|| REALM.into()) })),
            (false, None) => Ok(None),
            (true, None) => Err((TYPE, "there is no `auth-secret` beside it".into())),
            (false, Some(_)) => Err((SECRET, "there is no `auth-type: basic` beside it".into())),
        }
    }
}

impl Auth {
    pub(super) fn describe(&self) -> String {
        format!("auth-type: basic by Secret {}, else 401", self.secret)
    }
}
