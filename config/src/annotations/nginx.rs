//! The annotations of ingress-nginx: which mean the same here, which differ and how, which are not served.
//!
//! Invariant: an annotation that keeps somebody out is never passed over. Where it is not served, its Ingress answers nobody.

use super::{Take, Wrong, value};
use crate::filter::{Draft, Rewrite};
use crate::manifest::check::is_subdomain;

/// Prefix of their keys.
pub(crate) const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What an annotation of theirs means here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Means {
    /// As one of ours, with the same values.
    Same(&'static str),
    /// As one of ours, but.
    But(&'static str, &'static str),
    /// As one of ours, in another spelling: what is expected, how it is read, and how it differs.
    Read(&'static str, &'static str, Take, Option<&'static str>),
    /// It changes nothing, and need not. Says why.
    Idle(&'static str),
    /// It is read by another room. Says what for.
    Elsewhere(&'static str),
    /// It is not served. Says what to do instead, if there is anything.
    Nothing(&'static str),
    /// It is not served, and its Ingress answers nobody: it keeps somebody out.
    Guard(&'static str),
}

use Means::{But, Elsewhere, Guard, Idle, Nothing, Read, Same};

const SECONDS: &str = "seconds, as a whole number";
const TOO_MANY: &str = "the answer is 429 (there: 503), IPv6 clients are their /64, and all workers count together";

/// Every annotation of theirs that means something here, and those that are known to mean nothing.
pub(crate) const TABLE: &[(&str, Means)] = &[
    ("allowlist-source-range", Same("allow-source-range")),
    ("whitelist-source-range", Same("allow-source-range")),
    ("denylist-source-range", Same("deny-source-range")),
    ("auth-type", Same("auth-type")),
    ("auth-secret", But("auth-secret", "only a Secret of the Ingress's own namespace; lines in crypt's own forms let nobody in")),
    ("auth-secret-type", Read("auth-secret-type", "`auth-file`", auth_file, None)),
    ("auth-realm", Same("auth-realm")),
    ("ssl-redirect", But("ssl-redirect", "hosts with TLS are redirected only where it is said")),
    ("force-ssl-redirect", Same("force-ssl-redirect")),
    ("permanent-redirect", But("permanent-redirect", "only `$scheme`, `$host` and `$request_uri` stand for something")),
    ("permanent-redirect-code", Same("permanent-redirect-code")),
    ("temporal-redirect", But("temporal-redirect", "only `$scheme`, `$host` and `$request_uri` stand for something")),
    ("temporal-redirect-code", Same("temporal-redirect-code")),
    ("app-root", Same("app-root")),
    ("from-to-www-redirect", Same("from-to-www-redirect")),
    ("enable-cors", But("enable-cors", "preflights alone are answered; another OPTIONS request goes to the replica")),
    ("cors-allow-origin", Same("cors-allow-origin")),
    ("cors-allow-methods", Same("cors-allow-methods")),
    ("cors-allow-headers", Same("cors-allow-headers")),
    ("cors-expose-headers", Same("cors-expose-headers")),
    ("cors-allow-credentials", But("cors-allow-credentials", "never told beside `*`, which browsers refuse")),
    ("cors-max-age", Same("cors-max-age")),
    ("proxy-body-size", But("body-size", "without a word there is no limit (there: 1m)")),
    (
        "proxy-connect-timeout",
        Read(
            "connect-timeout",
            SECONDS,
            |draft, text| {
                draft.filters.timeouts.connect_ms = Some(value::seconds_ms(text)?);
                Ok(())
            },
            None,
        ),
    ),
    (
        "proxy-read-timeout",
        Read(
            "read-timeout",
            SECONDS,
            |draft, text| {
                draft.filters.timeouts.read_ms = Some(value::seconds_ms(text)?);
                Ok(())
            },
            Some("without a word there is none (there: 60 s); a WebSocket has none either"),
        ),
    ),
    (
        "proxy-next-upstream-tries",
        Read("retries", "a whole number; 1 is no retry", tries, Some("endpoints are tried until one can be connected to; 0 is 255")),
    ),
    (
        "proxy-next-upstream",
        Read(
            "proxy-next-upstream",
            "`off`, or `error`, `timeout`, `http_403`, `http_404`, `http_429`, `http_500`, `http_502`, `http_503`, `http_504` and others",
            next_upstream,
            Some(
                "`error` is always on; `timeout` is that of `read-timeout`; `invalid_header` and `updating` are not served, nor is `non_idempotent`: what may have been processed is never sent twice",
            ),
        ),
    ),
    (
        "rewrite-target",
        But(
            "rewrite-target",
            "the patterns `/x(/|$)(.*)`, `/x/?(.*)` and `/x/(.*)` with the last group are understood; paths are compared by case",
        ),
    ),
    (
        "use-regex",
        Read(
            "use-regex",
            "`true` or `false`",
            |_, text| value::flag(text).map(|_| ()),
            Some("only the patterns that cut a prefix off: `/x(/|$)(.*)`, `/x/?(.*)`, `/x/(.*)`"),
        ),
    ),
    ("upstream-vhost", Same("upstream-vhost")),
    ("x-forwarded-prefix", Same("x-forwarded-prefix")),
    ("load-balance", Read("balance", "`round_robin` or `ewma`", load_balance, None)),
    (
        "upstream-hash-by",
        Read(
            "balance",
            "one of `$http_NAME`, `$cookie_NAME`, `$arg_NAME`, `$request_uri`, `$remote_addr`",
            hash_by,
            Some("`upstream-hash-by` is one variable alone, and a request without it is picked for as if nothing was said"),
        ),
    ),
    ("affinity", Same("affinity")),
    ("affinity-mode", But("affinity-mode", "`balanced` moves nobody to a new replica, either")),
    ("session-cookie-name", Same("session-cookie-name")),
    ("session-cookie-path", Same("session-cookie-path")),
    ("session-cookie-domain", Same("session-cookie-domain")),
    ("session-cookie-max-age", Same("session-cookie-max-age")),
    ("session-cookie-expires", Same("session-cookie-expires")),
    ("session-cookie-secure", Same("session-cookie-secure")),
    ("session-cookie-samesite", Same("session-cookie-samesite")),
    ("session-cookie-conditional-samesite-none", Same("session-cookie-conditional-samesite-none")),
    (
        "session-cookie-change-on-failure",
        But(
            "session-cookie-change-on-failure",
            "a replica fails that no connection reaches, or that dies without an answer; by status none does",
        ),
    ),
    ("limit-rps", Read("rate-limit", "requests a second, as a whole number", |draft, text| draft.rates.their_second(text), Some(TOO_MANY))),
    ("limit-rpm", Read("limit-rpm", "requests a minute, as a whole number", |draft, text| draft.rates.their_minute(text), Some(TOO_MANY))),
    (
        "limit-burst-multiplier",
        Read(
            "rate-limit-burst",
            "a whole number, by which a rate is multiplied; 5 without a word",
            |draft, text| draft.rates.their_multiplier(text),
            None,
        ),
    ),
    ("limit-connections", Read("max-client-in-flight", "requests, as a whole number", connections, Some(TOO_MANY))),
    ("limit-whitelist", Same("rate-limit-except")),
    (
        FIELDS,
        Read(
            FIELDS,
            "NAMESPACE/NAME of a ConfigMap in the Ingress's namespace, each key of its `data` a field of answers",
            custom_headers,
            Some(
                "only a ConfigMap of the Ingress's own namespace; every field may be set that `response-headers-set` may, on answers of replicas alone",
            ),
        ),
    ),
    ("proxy-buffering", Idle("answers are streamed; nothing is held back")),
    ("proxy-request-buffering", Idle("requests are streamed; nothing is held back")),
    ("proxy-buffers-number", Idle("nothing is held back")),
    ("proxy-buffer-size", Idle("heads up to `limits.headBytes` are taken")),
    ("proxy-busy-buffers-size", Idle("nothing is held back")),
    ("proxy-max-temp-file-size", Idle("nothing is written to files")),
    ("client-body-buffer-size", Idle("nothing is held back")),
    ("proxy-http-version", Idle("replicas are asked in HTTP/1.1, or as `appProtocol` says")),
    ("websocket-services", Idle("every route carries WebSockets")),
    ("service-upstream", Idle("replicas are asked directly")),
    ("preserve-trailing-slash", Idle("paths are not changed")),
    ("connection-proxy-header", Idle("connections to replicas are kept; `Connection` is ours")),
    ("enable-access-log", Nothing("the access log is a setting: `accessLog`")),
    ("enable-rewrite-log", Nothing("`tidegate explain` says what a rewrite makes of a path")),
    ("backend-protocol", Nothing("give the Service's port an `appProtocol`")),
    ("proxy-send-timeout", Nothing("a replica that takes nothing is not waited for by time")),
    ("proxy-next-upstream-timeout", Nothing("bound the whole exchange by `tidegate.dev/request-timeout`")),
    ("proxy-cookie-domain", Nothing("")),
    ("proxy-cookie-path", Nothing("")),
    ("proxy-redirect-from", Nothing("")),
    ("proxy-redirect-to", Nothing("")),
    ("proxy-set-headers", Nothing("name the fields in `tidegate.dev/request-headers-set`")),
    ("custom-http-errors", Nothing("")),
    ("default-backend", Nothing("write `spec.defaultBackend`")),
    ("disable-proxy-intercept-errors", Nothing("")),
    ("server-alias", Nothing("write a rule for each host")),
    ("ssl-passthrough", Nothing("")),
    ("ssl-ciphers", Nothing("the ciphers of TLS 1.2 and 1.3 that are safe are served")),
    ("ssl-prefer-server-ciphers", Nothing("")),
    ("affinity-canary-behavior", Nothing("")),
    ("upstream-hash-by-subset", Nothing("")),
    ("upstream-hash-by-subset-size", Nothing("")),
    ("limit-rate", Nothing("")),
    ("limit-rate-after", Nothing("")),
    ("mirror-host", Nothing("")),
    ("mirror-request-body", Nothing("")),
    ("mirror-target", Nothing("")),
    ("enable-opentelemetry", Nothing("")),
    ("opentelemetry-operation-name", Nothing("")),
    ("opentelemetry-trust-incoming-span", Nothing("")),
    ("http2-push-preload", Nothing("no browser has it any more")),
    ("denylist-source-range-status", Nothing("")),
    ("proxy-ssl-secret", Nothing("annotate the Service with `tidegate.dev/upstream-certificate` and `tidegate.dev/upstream-ca`")),
    ("proxy-ssl-name", Nothing("annotate the Service with `tidegate.dev/upstream-name`")),
    ("proxy-ssl-verify", Nothing("replicas are verified wherever TLS is spoken to them")),
    ("proxy-ssl-verify-depth", Nothing("")),
    ("proxy-ssl-ciphers", Nothing("")),
    ("proxy-ssl-protocols", Nothing("")),
    ("proxy-ssl-server-name", Nothing("")),
    ("auth-cache-duration", Nothing("")),
    ("auth-cache-key", Nothing("")),
    ("auth-keepalive", Nothing("")),
    ("auth-keepalive-requests", Nothing("")),
    ("auth-keepalive-share-vars", Nothing("")),
    ("auth-keepalive-timeout", Nothing("")),
    ("auth-always-set-cookie", Nothing("")),
    ("auth-method", Nothing("")),
    ("auth-proxy-set-headers", Nothing("")),
    ("auth-request-redirect", Nothing("")),
    ("auth-response-headers", Nothing("")),
    ("auth-signin", Nothing("")),
    ("auth-signin-redirect-param", Nothing("")),
    ("enable-global-auth", Nothing("there is no global authentication")),
    ("satisfy", Nothing("each list and password must be satisfied: `any` lets fewer in than there")),
    ("auth-url", Guard("authentication by another server is not served")),
    ("auth-snippet", Guard("no snippet is ever run")),
    ("auth-tls-secret", Elsewhere("for the handshake: clients must show a certificate")),
    ("auth-tls-verify-client", Elsewhere("for the handshake: `on` and `optional`")),
    ("auth-tls-verify-depth", Nothing("")),
    ("auth-tls-error-page", Nothing("")),
    ("auth-tls-match-cn", Guard("the names in client certificates are not compared")),
    ("auth-tls-pass-certificate-to-upstream", Nothing("")),
    ("enable-modsecurity", Nothing("")),
    ("enable-owasp-core-rules", Nothing("")),
    ("modsecurity-snippet", Nothing("no snippet is ever run")),
    ("modsecurity-transaction-id", Nothing("")),
    (
        "configuration-snippet",
        Nothing("no snippet is ever run; most are for fields, for which there is `tidegate.dev/response-headers-set`"),
    ),
    ("server-snippet", Nothing("no snippet is ever run")),
    ("stream-snippet", Nothing("no snippet is ever run")),
    ("canary", Nothing("")),
    ("canary-by-cookie", Nothing("")),
    ("canary-by-header", Nothing("")),
    ("canary-by-header-pattern", Nothing("")),
    ("canary-by-header-value", Nothing("")),
    ("canary-weight", Nothing("")),
    ("canary-weight-total", Nothing("")),
];

/// Words of nginx that keep somebody out: a snippet that holds one is a guard.
const KEEPS_OUT: [&str; 6] = ["deny", "auth_", "return 4", "limit_except", "secure_link", "internal;"];

/// What an annotation means, its value considered.
pub(crate) fn meaning(name: &str, text: &str) -> Option<Means> {
    let (_, means) = TABLE.iter().find(|(known, _)| *known == name)?;
    if name.ends_with("-snippet") && KEEPS_OUT.iter().any(|word| text.contains(word)) {
        return Some(Guard("no snippet is ever run, and this one keeps somebody out; write it as annotations of its own"));
    }
    Some(*means)
}

/// Names the ConfigMap whose keys are fields of answers.
const FIELDS: &str = "custom-headers";
/// The same with its prefix.
pub(crate) const CUSTOM_HEADERS: &str = "nginx.ingress.kubernetes.io/custom-headers";

/// Whether a key that is read in their spelling keeps somebody out. Fields of answers may be what a browser is told to keep out, and without
/// their ConfigMap ingress-nginx serves nothing, either.
pub(crate) fn guards(ours: &str) -> bool {
    ours.starts_with("auth-") || ours == FIELDS
}

/// Whether it is an `upstream-hash-by` that can be used, which wins over `load-balance` there, and so here.
pub(crate) fn is_stronger(name: &str, text: &str) -> bool {
    name == "upstream-hash-by" && crate::filter::nginx_hash(text).is_ok()
}

/// The Ingress is one for a part of another one's traffic.
pub(crate) const CANARY: &str = "nginx.ingress.kubernetes.io/canary";

fn auth_file(_: &mut Draft, text: &str) -> Result<(), Wrong> {
    if text == "auth-file" { Ok(()) } else { Err("only htpasswd lines under the Secret's key `auth` are read".into()) }
}

fn custom_headers(draft: &mut Draft, text: &str) -> Result<(), Wrong> {
    let (namespace, name) = text.split_once('/').filter(|(_, name)| is_subdomain(name)).ok_or("no such name")?;
    if *namespace != *draft.namespace {
        return Err("a ConfigMap of another namespace would let one namespace use another's".into());
    }
    draft.filters.custom_headers = Some(name.into());
    Ok(())
}

fn tries(draft: &mut Draft, text: &str) -> Result<(), Wrong> {
    let tries: u32 = text.parse().map_err(|_| "no such number")?;
    let retries = tries.checked_sub(1).map_or(u8::MAX, |retries| u8::try_from(retries).unwrap_or(u8::MAX));
    draft.filters.retries.get_or_insert(retries); // `proxy-next-upstream: off` is stronger
    Ok(())
}

fn next_upstream(draft: &mut Draft, text: &str) -> Result<(), Wrong> {
    if text == "off" {
        draft.filters.retries.get_or_insert(0);
        return Ok(());
    }
    let ours = |word: &str| !["error", "invalid_header", "updating", "non_idempotent"].contains(&word);
    let words = text.split_whitespace().filter(|word| ours(word)).map(|word| word.strip_prefix("http_").unwrap_or(word));
    draft.filters.retry_on = words.into_iter().try_fold(crate::filter::RetryOn::default(), crate::filter::RetryOn::with)?;
    Ok(())
}

fn connections(draft: &mut Draft, text: &str) -> Result<(), Wrong> {
    let most: u32 = text.parse().ok().filter(|most| *most <= 1_000_000).ok_or("no such number")?;
    draft.filters.rates.client_in_flight = Some(most).filter(|most| *most > 0);
    Ok(())
}

fn load_balance(draft: &mut Draft, text: &str) -> Result<(), Wrong> {
    draft.filters.balance = Some(match text {
        "round_robin" => crate::filter::Balance::RoundRobin,
        "ewma" => crate::filter::Balance::LeastBusy,
        _ => return Err("no such way to pick".into()),
    });
    Ok(())
}

fn hash_by(draft: &mut Draft, text: &str) -> Result<(), Wrong> {
    draft.filters.balance = Some(crate::filter::nginx_hash(text)?);
    Ok(())
}

/// Whether paths may be patterns.
pub(crate) fn has_patterns(filters: &crate::filter::Filters, use_regex: bool) -> bool {
    use_regex || matches!(filters.rewrite, Some(Rewrite::Group(..) | Rewrite::Whole(_)))
}
