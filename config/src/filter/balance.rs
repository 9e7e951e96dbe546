//! How an endpoint is picked.
//!
//! Refuses: a hash by more than one part of a request, since two that are put together are a third key that nobody wrote down.

use std::fmt;

use crate::annotations::{Key, Wrong, value};
use crate::object::Name;

/// A way to pick. `sessionAffinity: ClientIP` of the Service wins over all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two at random, by requests in flight and latency: what happens without a word.
    LeastBusy,
    /// The same by requests in flight alone.
    LeastRequest,
    /// One after the other, on each worker.
    RoundRobin,
    /// At random.
    Random,
    /// A client keeps its endpoint, by its address; whoever was here lately stays where they are when endpoints come.
    ClientIp,
    /// What says the same goes to the same endpoint, by a hash that every Tidegate computes alike.
    Hash(HashBy),
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// A field of this name.
    Header(Name),
    /// A cookie of this name.
    Cookie(Name),
    /// An argument of the query, by its name.
    Argument(Name),
    /// Path and query.
    Uri,
    /// The client's address.
    ClientIp,
}

/// What an annotation may say.
pub(crate) const WAYS: &str = "`least-busy`, `least-request`, `round-robin`, `random` or `client-ip`; or `hash` and one of \
                               `header NAME`, `cookie NAME`, `argument NAME`, `uri`, `client-ip`";

/// Ways of one word.
const PLAIN: [Balance; 5] = [Balance::LeastBusy, Balance::LeastRequest, Balance::RoundRobin, Balance::Random, Balance::ClientIp];

pub(super) const KEYS: &[Key] = &[Key::new("balance", WAYS, |draft, text| {
    draft.filters.balance = Some(Balance::read(text)?);
    Ok(())
})];

impl Balance {
    pub(crate) fn read(text: &str) -> Result<Balance, Wrong> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let by = match words[..] {
            ["hash", "header", name] => HashBy::Header(named(name)?),
            ["hash", "cookie", name] => HashBy::Cookie(named(name)?),
            ["hash", "argument", name] => HashBy::Argument(named(name)?),
            ["hash", "uri"] => HashBy::Uri,
            ["hash", "client-ip"] => HashBy::ClientIp,
            ["hash", ..] => return Err("no such thing to hash by".into()),
            _ => return PLAIN.into_iter().find(|way| way.to_string() == text).ok_or_else(|| "no such way to pick".into()),
        };
        Ok(Balance::Hash(by))
    }

    /// Whether it sends the same to the same endpoint again.
    pub const fn keeps(&self) -> bool {
        matches!(self, Balance::ClientIp | Balance::Hash(_))
    }
}

fn named(name: &str) -> Result<Name, Wrong> {
    if value::is_token(name) { Ok(name.into()) } else { Err(format!("`{name}` is no name").into()) }
}

/// As an annotation says it.
impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Balance::LeastBusy => f.write_str("least-busy"),
            Balance::LeastRequest => f.write_str("least-request"),
            Balance::RoundRobin => f.write_str("round-robin"),
            Balance::Random => f.write_str("random"),
            Balance::ClientIp => f.write_str("client-ip"),
            Balance::Hash(HashBy::Header(name)) => write!(f, "hash header {name}"),
            Balance::Hash(HashBy::Cookie(name)) => write!(f, "hash cookie {name}"),
            Balance::Hash(HashBy::Argument(name)) => write!(f, "hash argument {name}"),
            Balance::Hash(HashBy::Uri) => f.write_str("hash uri"),
            Balance::Hash(HashBy::ClientIp) => f.write_str("hash client-ip"),
        }
    }
}

/// ingress-nginx's `upstream-hash-by`, which is one variable of nginx here.
pub(crate) fn nginx_hash(text: &str) -> Result<Balance, Wrong> {
    let bare = text.strip_prefix('$').ok_or("a text without a variable is the same for all requests")?;
    let name = bare.strip_prefix('{').map_or(Some(bare), |rest| rest.strip_suffix('}')).unwrap_or(bare);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("one variable alone is hashed, without text beside it".into());
    }
    let after = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    let by = match name {
        "remote_addr" | "binary_remote_addr" => HashBy::ClientIp,
        "request_uri" => HashBy::Uri,
        _ => match (after("http_"), after("cookie_"), after("arg_")) {
            (Some(field), ..) => HashBy::Header(field.replace('_', "-").into()),
            (_, Some(cookie), _) => HashBy::Cookie(cookie.into()),
            (.., Some(argument)) => HashBy::Argument(argument.into()),
            _ => return Err(format!("`${name}` is not hashed").into()),
        },
    };
    Ok(Balance::Hash(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_read_as_it_is_written() {
        let hashes = ["hash header X-User", "hash cookie sid", "hash argument user", "hash uri", "hash client-ip"];
        for text in PLAIN.iter().map(Balance::to_string).chain(hashes.map(str::to_owned)) {
            assert_eq!(Balance::read(&text).unwrap().to_string(), text);
        }
        for wrong in ["", "fastest", "Random", "hash", "hash header", "hash header a b", "hash header X:Y", "hash cookie a=b", "hash host"]
        {
            assert!(Balance::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_variable_of_nginx_is_a_hash_and_more_are_not() {
        let header = |name: &str| Balance::Hash(HashBy::Header(name.into()));
        for (text, expected) in [
            ("$http_x_user", header("x-user")),
            ("${http_authorization}", header("authorization")),
            ("$cookie_SESSION_id", Balance::Hash(HashBy::Cookie("SESSION_id".into()))),
            ("$arg_user", Balance::Hash(HashBy::Argument("user".into()))),
            ("$request_uri", Balance::Hash(HashBy::Uri)),
            ("$remote_addr", Balance::Hash(HashBy::ClientIp)),
            ("${binary_remote_addr}", Balance::Hash(HashBy::ClientIp)),
        ] {
            assert_eq!(nginx_hash(text), Ok(expected), "{text}");
        }
        for wrong in ["", "$", "user", "$http_", "$host", "$request_uri$host", "$http_x-user", "a$request_uri", "${request_uri", "$arg_a b"]
        {
            assert!(nginx_hash(wrong).is_err(), "{wrong}");
        }
        assert_eq!(nginx_hash("$host").unwrap_err(), "`$host` is not hashed", "by its name");
    }
}
