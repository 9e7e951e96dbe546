//! Values that several annotations have.
//!
//! A value is read as a whole or not at all; nothing is trimmed into sense but the blanks around it.

use ipnet::IpNet;
use std::net::IpAddr;

use super::Wrong;
use crate::object::Name;

/// Longest time that is taken, in milliseconds: a day.
const LONGEST_MS: u64 = 86_400_000;

/// `true` or `false`, and no other word.
pub(crate) fn flag(text: &str) -> Result<bool, Wrong> {
    text.parse().map_err(|_| "neither of the two words".into())
}

/// A time in milliseconds, more than none.
pub(crate) fn duration_ms(text: &str) -> Result<u64, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err("a number without a unit".into()),
        _ => return Err("no time".into()),
    };
    within(text[..digits].parse().ok(), factor)
}

/// Whole seconds, as ingress-nginx writes times; in milliseconds.
pub(crate) fn seconds_ms(text: &str) -> Result<u64, Wrong> {
    within(text.strip_suffix('s').unwrap_or(text).parse().ok(), 1_000)
}

fn within(number: Option<u64>, factor: u64) -> Result<u64, Wrong> {
    let ms = number.and_then(|number| number.checked_mul(factor)).ok_or("no time")?;
    if (1..=LONGEST_MS).contains(&ms) { Ok(ms) } else { Err("a time outside of 1 ms to 24 h".into()) }
}

/// Bytes, with the units of nginx (powers of 1024) or of Kubernetes.
pub(crate) fn size(text: &str) -> Result<u64, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let shift = match text[digits..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "ki" => 10,
        "m" | "mi" => 20,
        "g" | "gi" => 30,
        _ => return Err("no number of bytes".into()),
    };
    let number: Option<u64> = text[..digits].parse().ok();
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or_else(|| "no number of bytes".into())
}

/// Elements between commas or lines, at least one.
pub(crate) fn list(text: &str) -> Result<Vec<&str>, Wrong> {
    let list: Vec<&str> = text.split([',', '\n']).map(str::trim).collect();
    if list.iter().any(|element| element.is_empty()) { Err("an empty element".into()) } else { Ok(list) }
}

/// Addresses and networks, at least one. Addresses that stand for their network, as in ingress-nginx, are told in `loose`.
pub(crate) fn ranges(text: &str, loose: &mut Vec<String>) -> Result<Box<[IpNet]>, Wrong> {
    let range = |text: &str| text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let mut read = |text: &str| {
        let range = range(text).map_err(|_| format!("`{text}` is neither an address nor a CIDR"))?;
        if range != range.trunc() {
            loose.push(format!("`{text}` is taken for {}", range.trunc()));
        }
        Ok(range.trunc())
    };
    list(text)?.into_iter().map(&mut read).collect()
}

/// Words of RFC 9110 with commas between, as one text.
pub(crate) fn tokens(text: &str) -> Result<Name, Wrong> {
    let list = list(text)?;
    match list.iter().find(|word| !is_token(word)) {
        Some(word) => Err(format!("`{word}` is no word of HTTP").into()),
        None => Ok(list.join(", ").into()),
    }
}

/// Whether this is a token (RFC 9110 section 5.6.2): a method, or the name of a field.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// What a field may hold (RFC 9110 section 5.5): no control byte, so that it can end no line.
pub(crate) fn field_value(text: &str) -> Result<(), Wrong> {
    let good = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if text.bytes().all(good) { Ok(()) } else { Err("it holds a line break or another control character".into()) }
}

/// A path in its plain form, without query.
pub(crate) fn path(text: &str) -> Result<Name, Wrong> {
    let good = text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}$".contains(&byte))
        && !text.split('/').any(|element| matches!(element, "." | ".."));
    if good { Ok(text.into()) } else { Err("no plain path".into()) }
}
