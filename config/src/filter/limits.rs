//! How long is waited, how often it is tried, and how much is taken.

use crate::annotations::{Key, Wrong, value};

/// Time-outs in milliseconds; `None` is what the settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to a replica, each time it is tried.
    pub connect_ms: Option<u64>,
    /// For a replica's next bytes, once it has all of the request.
    pub read_ms: Option<u64>,
    /// For the head of the answer, each time that the request is sent, where all of the request is here when it is.
    pub try_ms: Option<u64>,
    /// For the whole exchange, from the request's head to the answer's end. What has switched protocols has no end to wait for.
    pub request_ms: Option<u64>,
}

/// After what a request is sent again, beside a connection that could not be made or broke before a byte of an answer. Only a request that
/// may be sent twice is (RFC 9110 section 9.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    timeout: bool,
    /// A bit for each of [`RetryOn::STATUSES`].
    statuses: u8,
}

const TIME: &str = "a time with its unit: `500ms`, `5s`, `2m`, `1h`";

pub(super) const KEYS: &[Key] = &[
    Key::new("connect-timeout", TIME, |draft, text| {
        draft.filters.timeouts.connect_ms = Some(value::duration_ms(text)?);
        Ok(())
    }),
    Key::new("read-timeout", TIME, |draft, text| {
        draft.filters.timeouts.read_ms = Some(value::duration_ms(text)?);
        Ok(())
    }),
    Key::new("try-timeout", TIME, |draft, text| {
        draft.filters.timeouts.try_ms = Some(value::duration_ms(text)?);
        Ok(())
    }),
    Key::new("retry-on", "`timeout`, `403`, `404`, `429`, `500`, `502`, `503`, `504`, with commas between", |draft, text| {
        draft.filters.retry_on = text.split(',').map(str::trim).try_fold(RetryOn::default(), RetryOn::with)?;
        Ok(())
    }),
    Key::new("request-timeout", TIME, |draft, text| {
        draft.filters.timeouts.request_ms = Some(value::duration_ms(text)?);
        Ok(())
    }),
    Key::new("retries", "a whole number, 0 to 255", |draft, text| {
        draft.filters.retries = Some(text.parse().map_err(|_| "no such number")?);
        Ok(())
    }),
    Key::new("body-size", "bytes, or with `k`, `m` or `g` behind; `0` is no limit", |draft, text| {
        draft.filters.body_bytes = Some(value::size(text)?).filter(|&bytes| bytes > 0);
        Ok(())
    }),
];

impl RetryOn {
    /// Statuses that can be asked for.
    pub const STATUSES: [u16; 7] = [403, 404, 429, 500, 502, 503, 504];

    /// The same and after `word`, too.
    ///
    /// # Errors
    /// It is no word of this.
    pub(crate) fn with(self, word: &str) -> Result<RetryOn, Wrong> {
        if word == "timeout" {
            return Ok(RetryOn { timeout: true, ..self });
        }
        let at = Self::STATUSES.iter().position(|status| status.to_string() == word).ok_or("no such word")?;
        Ok(RetryOn { statuses: self.statuses | 1 << at, ..self })
    }

    /// Whether a request is sent again after an answer of this status.
    pub fn status(self, status: u16) -> bool {
        self.statuses != 0 && Self::STATUSES.iter().position(|&known| known == status).is_some_and(|at| self.statuses >> at & 1 == 1)
    }

    /// Whether it is when the replica has said nothing in time.
    pub fn timeout(self) -> bool {
        self.timeout
    }

    pub(super) fn describe(self, lines: &mut Vec<String>) {
        let statuses = Self::STATUSES.into_iter().filter(|&status| self.status(status)).map(|status| status.to_string());
        let words: Vec<String> = self.timeout.then(|| "timeout".to_owned()).into_iter().chain(statuses).collect();
        lines.extend((!words.is_empty()).then(|| format!("retry-on: {}, for requests that may be sent twice", words.join(", "))));
    }
}

impl Timeouts {
    pub(super) fn describe(&self, lines: &mut Vec<String>) {
        let named = [
            ("connect-timeout", self.connect_ms),
            ("try-timeout", self.try_ms),
            ("read-timeout", self.read_ms),
            ("request-timeout", self.request_ms),
        ];
        lines.extend(named.into_iter().filter_map(|(name, ms)| Some(format!("{name}: {} ms", ms?))));
    }
}
