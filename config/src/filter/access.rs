//! Who may ask, by address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::annotations::{Key, value};

/// Allow and deny lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Only these may ask; `None` is everybody.
    pub allow: Option<Box<[IpNet]>>,
    /// These may not, whatever `allow` says.
    pub deny: Box<[IpNet]>,
}

pub(super) const KEYS: &[Key] = &[
    Key::guard("allow-source-range", "addresses and CIDRs with commas between", |draft, text| {
        draft.filters.access.allow = Some(value::ranges(text, &mut draft.loose)?);
        Ok(())
    }),
    Key::guard("deny-source-range", "addresses and CIDRs with commas between", |draft, text| {
        draft.filters.access.deny = value::ranges(text, &mut draft.loose)?;
        Ok(())
    }),
];

impl Access {
    /// Whether a client may ask; an IPv4 address in IPv6 clothes is meant by its IPv4 self.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let holds = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&client));
        !holds(&self.deny) && self.allow.as_deref().is_none_or(holds)
    }

    pub(super) fn describe(&self, lines: &mut Vec<String>) {
        let list = |ranges: &[IpNet]| ranges.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ");
        lines.extend((!self.deny.is_empty()).then(|| format!("deny-source-range: not {}, else 403", list(&self.deny))));
        lines.extend(self.allow.iter().map(|allow| format!("allow-source-range: only {}, else 403", list(allow))));
    }
}
