//! How long is waited, how often it is tried, and how much is taken.

use crate::annotations::{Key, value};

/// Time-outs in milliseconds; `None` is what the settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to a replica, each time it is tried.
    pub connect_ms: Option<u64>,
    /// For a replica's next bytes, once it has all of the request.
    pub read_ms: Option<u64>,
    /// For the whole exchange, from the request's head to the answer's end. What has switched protocols has no end to wait for.
    pub request_ms: Option<u64>,
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

impl Timeouts {
    pub(super) fn describe(&self, lines: &mut Vec<String>) {
        let named = [("connect-timeout", self.connect_ms), ("read-timeout", self.read_ms), ("request-timeout", self.request_ms)];
        lines.extend(named.into_iter().filter_map(|(name, ms)| Some(format!("{name}: {} ms", ms?))));
    }
}
