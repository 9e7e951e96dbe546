//! Names and passwords, as a Secret's `auth` holds them: the lines of an htpasswd file.
//!
//! Invariant: nothing of it is ever printed, and it is zeroed when it goes. A line that cannot be used lets nobody in and harms no other.
//! Whoever is not known takes as long to be refused as whoever is, so that nobody learns names by waiting.

mod apr1;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Longer passwords are refused unread: hashing them is work.
pub const MAX_PASSWORD: usize = 1024;
/// The dearest bcrypt hash that is worked at, as the exponent of 2; each step doubles about 2 ms at 5.
const MAX_COST: u32 = 14;

/// Who may come in. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    users: Vec<User>,
    unusable: Vec<(usize, &'static str)>,
}

#[derive(PartialEq, Eq)]
struct User {
    name: Zeroizing<String>,
    kind: Kind,
    hash: Zeroizing<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Apr1,
    Sha1,
}

impl Credentials {
    /// Reads the lines.
    pub fn read(lines: &[u8]) -> Credentials {
        let (mut users, mut unusable) = (Vec::<User>::new(), Vec::new());
        for (at, line) in lines.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            match user(line) {
                Ok(user) if users.iter().any(|known| known.name == user.name) => unusable.push((at + 1, "a name that an earlier line has")),
                Ok(user) => users.push(user),
                Err(why) => unusable.push((at + 1, why)),
            }
        }
        Credentials(Arc::new(Inner { users, unusable }))
    }

    /// How many may come in.
    pub fn len(&self) -> usize {
        self.0.users.len()
    }

    /// Whether nobody may.
    pub fn is_empty(&self) -> bool {
        self.0.users.is_empty()
    }

    /// The lines, counted from 1, that let nobody in, and why.
    pub fn unusable(&self) -> &[(usize, &'static str)] {
        &self.0.unusable
    }

    /// Whether this is somebody's name and password. Takes long, on purpose: with bcrypt a tenth of a second and more.
    pub fn admit(&self, name: &[u8], password: &[u8]) -> bool {
        let known = self.find(name);
        let Some(user) = known.or(self.0.users.first()) else { return false };
        password.len() <= MAX_PASSWORD && user.has(password) && known.is_some()
    }

    /// What stands for this name and password and for nothing else, as long as the line is the same; for remembering who was admitted.
    /// `None`: nobody has the name.
    pub fn token(&self, salt: &[u8; 32], name: &[u8], password: &[u8]) -> Option<[u8; 32]> {
        let user = self.find(name)?;
        let mut context = digest::Context::new(&SHA256);
        for part in [salt, name, user.hash.as_bytes(), password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().ok()
    }

    fn find(&self, name: &[u8]) -> Option<&User> {
        self.0.users.iter().find(|user| user.name.as_bytes() == name)
    }
}

impl User {
    fn has(&self, password: &[u8]) -> bool {
        let same = |made: &str| verify_slices_are_equal(made.as_bytes(), self.hash.as_bytes()).is_ok();
        match self.kind {
            Kind::Bcrypt => bcrypt::verify(password, &self.hash).unwrap_or(false),
            Kind::Apr1 => apr1::hash(password, apr1::salt(&self.hash)).is_some_and(|made| same(&made)),
            Kind::Sha1 => same(&STANDARD.encode(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, password))),
        }
    }
}

fn user(line: &[u8]) -> Result<User, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let (name, hash) = line.split_once(':').ok_or("it has no colon")?;
    // What follows a second colon is a comment, as for nginx.
    let hash = hash.split(':').next().unwrap_or_default();
    if name.is_empty() {
        return Err("it has no name");
    }
    let (kind, hash) = match hash {
        bcrypt if ["$2y$", "$2a$", "$2b$"].iter().any(|start| bcrypt.starts_with(start)) => {
            let cost = bcrypt.get(4..6).and_then(|cost| cost.parse::<u32>().ok()).filter(|_| bcrypt.len() == 60);
            match cost {
                Some(cost) if cost > MAX_COST => return Err("a bcrypt hash that is too dear: up to a cost of 14 is taken"),
                Some(_) => (Kind::Bcrypt, hash),
                None => return Err("a bcrypt hash that is cut"),
            }
        }
        apr1 if apr1.starts_with(apr1::PREFIX) => (Kind::Apr1, hash),
        sha if sha.starts_with("{SHA}") => (Kind::Sha1, &sha["{SHA}".len()..]),
        _ => return Err("neither bcrypt (`htpasswd -B`), nor apr1 (`htpasswd -m`), nor {SHA}"),
    };
    Ok(User { name: Zeroizing::new(name.to_owned()), kind, hash: Zeroizing::new(hash.to_owned()) })
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Apache's htpasswd and by OpenSSL.
    const LINES: &str = "# who may come in\n\
        anna:$apr1$lZL6V/ci$sQw6g73nRuoOIj/gnD18Z.\n\
        \n\
        bert:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=:a comment\r\n\
        carl:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n\
        dora:plain\n\
        no colon\n\
        :{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n\
        anna:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n\
        emil:$2y$31$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC";

    #[test]
    fn each_kind_of_line_lets_its_own_in_and_nobody_else() {
        let who = Credentials::read(LINES.as_bytes());
        assert_eq!(who.len(), 3);
        for (name, password, may) in [
            ("anna", "myPassword", true),
            ("bert", "password", true),
            ("carl", "myPassword", true),
            ("anna", "mypassword", false),
            ("bert", "myPassword", false),
            ("carl", "", false),
            ("dora", "plain", false),
            ("emil", "myPassword", false),
            ("", "password", false),
            ("nobody", "myPassword", false),
        ] {
            assert_eq!(who.admit(name.as_bytes(), password.as_bytes()), may, "{name} {password}");
        }
        assert!(!Credentials::read(b"").admit(b"", b""));
        assert!(!who.admit(b"bert", &vec![b'x'; MAX_PASSWORD + 1]));
    }

    #[test]
    fn what_cannot_be_used_is_counted_by_line() {
        let who = Credentials::read(LINES.as_bytes());
        let lines: Vec<usize> = who.unusable().iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [6, 7, 8, 9, 10]);
        assert_eq!(format!("{who:?}"), "[redacted]");
    }

    #[test]
    fn a_token_stands_for_one_name_and_password_of_one_line() {
        let who = Credentials::read(b"a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nab:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=");
        let salt = [7; 32];
        let token = who.token(&salt, b"a", b"password");
        assert!(token.is_some() && token == who.token(&salt, b"a", b"password"));
        assert_ne!(token, who.token(&salt, b"a", b"passwor"));
        assert_ne!(token, who.token(&salt, b"ab", b"password"));
        assert_ne!(token, who.token(&[8; 32], b"a", b"password"));
        let changed = Credentials::read(b"a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=");
        assert_ne!(token, changed.token(&salt, b"a", b"password"));
        assert_eq!(who.token(&salt, b"nobody", b"password"), None);
    }
}
