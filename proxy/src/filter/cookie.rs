//! The cookie that names a client's endpoint (RFC 6265), as the answer sets it.

use std::time::{Duration, SystemTime};

use config::filter::{Affinity, SameSite};

use super::Asked;

/// The value of `Set-Cookie`. `rule` is the path that the request's route takes.
pub(super) fn set(affinity: &Affinity, rule: &str, mark: u64, asked: &Asked<'_>, now: SystemTime) -> String {
    let path = affinity.path.as_deref().unwrap_or_else(|| below(rule));
    let mut text = format!("{}={mark:016x}; Path={path}", affinity.name);
    if let Some(domain) = &affinity.domain {
        text.push_str(&format!("; Domain={domain}"));
    }
    if let Some(seconds) = affinity.max_age_s {
        text.push_str(&format!("; Max-Age={seconds}"));
    }
    if let Some(seconds) = affinity.expires_s {
        text.push_str(&format!("; Expires={}", httpdate::fmt_http_date(now + Duration::from_secs(seconds.into()))));
    }
    if affinity.secure.unwrap_or(asked.https) {
        text.push_str("; Secure");
    }
    text.push_str("; HttpOnly");
    let misread = |asked: &Asked<'_>| affinity.conditional_none && asked.text("user-agent").is_some_and(takes_none_for_strict);
    match affinity.same_site {
        Some(SameSite::None) if misread(asked) => {}
        Some(word) => text.push_str(&format!("; SameSite={}", word.as_str())),
        None => {}
    }
    text
}

/// The rule's path as a cookie may have it: without what would end the attribute, and without the slash at its end, since `/a/` would not be
/// sent for `/a`.
fn below(rule: &str) -> &str {
    let good = rule.bytes().position(|byte| !byte.is_ascii_graphic() || byte == b';');
    let path = match good {
        None => rule.trim_end_matches('/'),
        Some(end) => &rule[..rule[..end].rfind('/').unwrap_or(0)],
    };
    if path.starts_with('/') { path } else { "/" }
}

/// Browsers that know `SameSite` from before `None` was a word of it ("SameSite=None: Known Incompatible Clients", chromium.org): iOS 12,
/// Safari on macOS 10.14, Chrome 51 to 66, UC Browser before 12.13.2.
fn takes_none_for_strict(agent: &str) -> bool {
    let after = |name: &str| agent.split_once(name).map(|(_, rest)| rest);
    if let Some(version) = after("UCBrowser/") {
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0_u32);
        return (next(), next(), next()) < (12, 13, 2);
    }
    let chrome = after("Chrome/").or_else(|| after("Chromium/"));
    if let Some(version) = chrome {
        return version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| (51..=66).contains(&major));
    }
    let mac = agent.contains("Macintosh; Intel Mac OS X 10_14") && agent.contains("Safari/");
    mac || agent.contains("CPU iPhone OS 12_") || agent.contains("iPad; CPU OS 12_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_rule_s_and_ends_no_attribute() {
        for (rule, path) in [
            ("/", "/"),
            ("/cart", "/cart"),
            ("/cart/", "/cart"),
            ("", "/"),
            ("/a/b;c/d", "/a"),
            ("/a;b", "/"),
            ("/a/b c", "/a"),
            ("/a/\u{e4}", "/a"),
        ] {
            assert_eq!(below(rule), path, "{rule}");
        }
    }

    #[test]
    fn browsers_that_misread_none_are_known() {
        for (agent, misreads) in [
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 12_1 like Mac OS X) AppleWebKit/605.1.15 Version/12.0 Mobile/15E148 Safari/604.1", true),
            ("Mozilla/5.0 (iPad; CPU OS 12_3 like Mac OS X) AppleWebKit/605.1.15 Version/12.0 Safari/604.1", true),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 13_0 like Mac OS X) AppleWebKit/605.1.15 Version/13.0 Safari/604.1", false),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Safari/605.1.15", true),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/78.0 Safari/537.36", false),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.113 Safari/537.36", true),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", false),
            (
                "Mozilla/5.0 (Linux; U; Android 9) AppleWebKit/537.36 Version/4.0 Chrome/57.0 UCBrowser/12.13.0.1207 Mobile Safari/537.36",
                true,
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 9) AppleWebKit/537.36 Version/4.0 Chrome/57.0 UCBrowser/12.13.2.1208 Mobile Safari/537.36",
                false,
            ),
            ("curl/8.5.0", false),
        ] {
            assert_eq!(takes_none_for_strict(agent), misreads, "{agent}");
        }
    }
}
