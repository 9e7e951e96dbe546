//! Basic authentication (RFC 7617).
//!
//! Invariant: a password is checked on a thread of its own, one at a time for each worker, since that is slow on purpose and whoever has
//! none may ask as often as they like. What was found right is remembered as a digest that stands for this name, this password and this
//! line of the Secret, so that a changed Secret forgets it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::credentials::{Credentials, MAX_PASSWORD};
use config::filter::Auth;
use rustls::crypto::aws_lc_rs::default_provider;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{Answer, Asked};
use crate::reason::Reason;

/// Passwords that wait to be checked on one worker; whoever comes then is sent away.
const WAITING: usize = 64;
/// Digests that are remembered on one worker; then all are forgotten.
const REMEMBERED: usize = 4096;
/// A longer field holds no name and password that anybody has.
const MAX_FIELD: usize = 4 * MAX_PASSWORD;

/// A name and a password, to be looked at.
pub struct Proof {
    credentials: Credentials,
    pair: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Proof {
    fn name(&self) -> &[u8] {
        &self.pair[..self.colon]
    }

    fn password(&self) -> &[u8] {
        &self.pair[self.colon + 1..]
    }
}

/// What a request says of itself; `None` when that is nothing, or nothing of this kind.
pub(super) fn proof(credentials: &Credentials, asked: &Asked<'_>) -> Option<Proof> {
    let field = asked.fields.one("authorization").filter(|field| field.len() <= MAX_FIELD)?;
    let (scheme, encoded) = field.split_at_checked("basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some(Proof { credentials: credentials.clone(), pair, colon })
}

/// 401, with what is asked for.
pub(super) fn unauthorized(auth: &Auth) -> Answer {
    // The realm holds no quote and no backslash.
    Answer::new(Reason::Unauthorized).with("WWW-Authenticate", format!("Basic realm=\"{}\", charset=\"UTF-8\"", auth.realm))
}

/// Too many wait.
#[derive(Debug)]
pub(super) struct Busy;

/// Whose passwords a worker has found right. The salt is nobody else's to know.
pub(crate) struct Proven {
    salt: [u8; 32],
    tokens: RefCell<HashSet<[u8; 32], foldhash::fast::RandomState>>,
    turn: Semaphore,
    waiting: Cell<usize>,
}

impl Default for Proven {
    fn default() -> Proven {
        let mut salt = [0; 32];
        // Without randomness there would be no key of session tickets either, and the process would not have started.
        let _ = default_provider().secure_random.fill(&mut salt);
        Proven { salt, tokens: RefCell::default(), turn: Semaphore::new(1), waiting: Cell::new(0) }
    }
}

impl Proven {
    /// Whether this was found right before.
    pub(crate) fn knows(&self, proof: &Proof) -> bool {
        self.token(proof).is_some_and(|token| self.tokens.borrow().contains(&token))
    }

    fn token(&self, proof: &Proof) -> Option<[u8; 32]> {
        proof.credentials.token(&self.salt, proof.name(), proof.password())
    }

    /// Whether this is right.
    pub(super) async fn check(&self, proof: Proof) -> Result<bool, Busy> {
        if self.waiting.get() >= WAITING {
            return Err(Busy);
        }
        let _one = Waiting::new(&self.waiting);
        let Ok(_turn) = self.turn.acquire().await else { return Err(Busy) };
        if self.knows(&proof) {
            return Ok(true); // found while this one waited
        }
        let token = self.token(&proof);
        let checked = tokio::task::spawn_blocking(move || proof.credentials.admit(proof.name(), proof.password()));
        let right = checked.await.unwrap_or(false);
        if let Some(token) = token.filter(|_| right) {
            let mut tokens = self.tokens.borrow_mut();
            if tokens.len() >= REMEMBERED {
                tokens.clear();
            }
            tokens.insert(token);
        }
        Ok(right)
    }
}

/// One that waits, until it is dropped.
struct Waiting<'c>(&'c Cell<usize>);

impl<'c> Waiting<'c> {
    fn new(count: &'c Cell<usize>) -> Waiting<'c> {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
