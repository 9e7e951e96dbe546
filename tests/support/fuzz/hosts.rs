//! Any bytes as a Host and a path, and as rules: hosts and routes mean what a slow reading of the same words says.
//!
//! Lines of the input: the authority, the path, then a rule each: `=HOST PATH` (Exact), `~HOST PATH` (Prefix), `!HOST` (the host's
//! default) or `*` (the class's default); a host is written as in an Ingress.

use std::sync::Arc;

use config::host::{HostPattern, MAX_HOST, normalise};
use config::object::PathType;
use registry::route::{Action, Miss, Route, RouteTable, RouteTableBuilder, normal_path};

use super::Target;

/// See the module.
pub const TARGET: Target = Target { name: "hosts", run, seeds, words: WORDS };

/// What a rule is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Path,
    HostDefault,
    ClassDefault,
}

fn run(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let authority = lines.next().unwrap_or_default();
    let path = lines.next().unwrap_or_default();
    let mut buf = [0; MAX_HOST];
    let host = normalise(authority, &mut buf);
    assert_eq!(host.ok().map(str::to_owned), plainly(authority), "{}", authority.escape_ascii());
    let Ok(host) = host else { return };
    assert_eq!(normalise(host.as_bytes(), &mut [0; MAX_HOST]), Ok(host), "what is normal stays as it is");
    // The reader of heads lets only visible ASCII pass.
    let Some(path) =
        std::str::from_utf8(path).ok().filter(|path| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()))
    else {
        return;
    };
    let (table, rules) = table(lines);
    let found = table.find(host, path);
    let expected = slowly(&rules, host, &normal_path(path));
    assert_eq!(found.map(|route| &**route), expected, "{host} {path} among {rules:?}", rules = table.routes());
}

/// The host that `authority` names, read by the words of RFC 3986 section 3.2 alone.
fn plainly(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            (format!("[{}]", inside.parse::<std::net::Ipv6Addr>().ok()?), port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), port)
        }
    };
    let significant = port.trim_start_matches('0');
    let port_good = port.chars().all(|digit| digit.is_ascii_digit()) && significant.len() <= 5;
    let port_good = port_good && (significant.is_empty() || significant.parse::<u32>().is_ok_and(|port| port < 65_536));
    let label = |label: &str| !label.is_empty() && label.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    let host_good = host.starts_with('[') || (host.len() <= MAX_HOST && host.split('.').all(label));
    (port_good && host_good).then_some(host)
}

/// The table of these lines, and the rules that it took, in their order.
fn table<'b>(lines: impl Iterator<Item = &'b [u8]>) -> (RouteTable, Vec<(Use, Route)>) {
    let mut builder = RouteTableBuilder::default();
    let mut taken = Vec::new();
    for (at, line) in lines.take(64).enumerate() {
        let Some((kind, route)) = std::str::from_utf8(line).ok().and_then(|line| rule(line, at)) else { continue };
        let added = match kind {
            Use::Path => builder.add(route.clone()),
            Use::HostDefault => builder.add_host_default(route.clone()),
            Use::ClassDefault => builder.add_class_default(route.clone()),
        };
        if added.is_ok() {
            taken.push((kind, route));
        }
    }
    (builder.build(), taken)
}

fn rule(line: &str, at: usize) -> Option<(Use, Route)> {
    let route = |host: &str, path_type, path: &str| {
        let action = Action::Unavailable(Arc::from(format!("rule {at}")));
        let host = HostPattern::parse_ingress(host).ok()?;
        Some(Route { owner: Arc::from("Ingress a/b"), host, path_type, path: path.into(), action, client: None, filters: None })
    };
    let (kind, rest) = line.split_at_checked(1)?;
    let (host, path) = rest.split_once(' ').filter(|(_, path)| path.starts_with('/')).unwrap_or((rest, "/"));
    let (used, path_type) = match kind {
        "=" => (Use::Path, PathType::Exact),
        "~" => (Use::Path, PathType::Prefix),
        "!" => (Use::HostDefault, PathType::Prefix),
        "*" => (Use::ClassDefault, PathType::Prefix),
        _ => return None,
    };
    Some((used, route(host, path_type, path)?))
}

/// The rule that takes the path, by reading all of them. An exact host hides a wildcard, which hides a rule without host.
fn slowly<'r>(rules: &'r [(Use, Route)], host: &str, path: &str) -> Result<&'r Route, Miss> {
    let of_host: Vec<_> = rules.iter().filter(|(used, route)| *used != Use::ClassDefault && serves(&route.host, host)).collect();
    let closest = of_host.iter().map(|(_, route)| closeness(&route.host)).max();
    let closest: Vec<_> = of_host.into_iter().filter(|(_, route)| Some(closeness(&route.host)) == closest).collect();
    let paths = closest.iter().filter(|(used, _)| *used == Use::Path).map(|(_, route)| route);
    let exact = paths.clone().find(|route| route.path_type == PathType::Exact && *route.path == *path);
    let prefixes = paths.filter(|route| route.path_type == PathType::Prefix && begins(&route.path, path));
    let longest = prefixes.max_by_key(|route| route.path.trim_end_matches('/').len());
    let default = closest.iter().find(|(used, _)| *used == Use::HostDefault).map(|(_, route)| route);
    let class = rules.iter().find(|(used, _)| *used == Use::ClassDefault).map(|(_, route)| route);
    let miss = if closest.is_empty() { Miss::Host } else { Miss::Path };
    exact.or(longest).or(default).or(class).ok_or(miss)
}

/// Whether the pattern means the host, by the words of Ingress v1, "Hostname wildcards".
fn serves(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Exact(exact) => exact.as_str() == host,
        HostPattern::OneLabel(suffix) => {
            let label = host.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
            label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
        }
        HostPattern::Any => true,
    }
}

fn closeness(pattern: &HostPattern) -> u8 {
    match pattern {
        HostPattern::Exact(_) => 2,
        HostPattern::OneLabel(_) => 1,
        HostPattern::Any => 0,
    }
}

/// Whether the elements of `prefix` are the first of `path`.
fn begins(prefix: &str, path: &str) -> bool {
    let mut elements = path.split('/');
    prefix.trim_end_matches('/').split('/').all(|element| elements.next() == Some(element))
}

fn seeds() -> Vec<Vec<u8>> {
    let rules = "=shop.example /cart\n~shop.example /\n~shop.example /a/b/\n~*.shop.example /\n=*.shop.example /x\n!a.example\n~ /any\n*\n\
                 ~many.example /1\n~many.example /2\n~many.example /3\n~many.example /4\n~many.example /5\n~many.example /6\n\
                 ~many.example /7\n~many.example /8\n~many.example /9/a\n~many.example /9\n";
    let asked = [
        "shop.example\n/cart",
        "Shop.Example:8080\n/a/b/c",
        "www.shop.example.\n/x",
        "a.b.shop.example\n/any/x",
        "a.example\n/%2e%2e/x",
        "many.example\n/9/a/b",
        "[2001:DB8::1]:80\n/",
        "127.0.0.1\n/a/../b/./c",
    ];
    asked.iter().map(|asked| format!("{asked}\n{rules}").into_bytes()).collect()
}

const WORDS: &[&[u8]] = &[
    b"shop.example",
    b"*.",
    b".",
    b":80",
    b":65536",
    b"[::1]",
    b"[::ffff:1.2.3.4]",
    b"/a/b",
    b"/..",
    b"/./",
    b"%2e",
    b"%2F",
    b"\n~",
    b"\n=",
    b"\n!",
    b"\n*",
    b" /",
];
