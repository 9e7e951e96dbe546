//! What the replica sees as the path.
//!
//! Invariant: what is cut off is what routing compared, in its normal form, so that no spelling of a path slips past; a target begins with
//! exactly one slash, since two of them may be taken for a host.

use config::filter::Rewrite;
use registry::route::{Route, normal_path};

use super::Asked;

/// Path and query as the replica sees them; `None` when they stay.
pub(super) fn target(route: &Route, rewrite: &Rewrite, asked: &Asked<'_>) -> Option<String> {
    let path = normal_path(asked.path());
    let (put, rest) = match rewrite {
        Rewrite::Whole(put) => (&**put, ""),
        Rewrite::Prefix(put) => (&**put, path.strip_prefix(route.path.trim_end_matches('/')).unwrap_or_default()),
        Rewrite::Group(..) => return None, // the registry makes one of the others of it
    };
    let query = asked.target.len() - asked.path().len();
    let mut made = String::with_capacity(put.len() + rest.len() + query + 1);
    made.push('/');
    made.push_str(put.trim_start_matches('/'));
    let rest = rest.trim_start_matches('/');
    if !rest.is_empty() {
        if !made.ends_with('/') {
            made.push('/');
        }
        made.push_str(rest);
    }
    made.push_str(&asked.target[asked.path().len()..]);
    Some(made)
}
