//! What the replica sees as the path.
//!
//! No regular expression is ever run: of ingress-nginx's patterns, those that cut a prefix off are understood, and no others.

use crate::annotations::{Key, Wrong, value};
use crate::object::Name;

/// How a path is written anew. The query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// What the rule's path matched gives way to this; the rest stays.
    Prefix(Name),
    /// The whole path.
    Whole(Name),
    /// This and what group number so much of the rule's path matched; [`Rewrite::by`] makes one of the others of it.
    Group(Name, u8),
}

pub(super) const KEYS: &[Key] = &[
    Key::new("rewrite-prefix", "a path that starts with `/`", |draft, text| {
        draft.filters.rewrite = Some(Rewrite::Prefix(value::path(text)?));
        Ok(())
    }),
    Key::new("rewrite-target", "a path that starts with `/`; `$1` to `$9` at its end alone", |draft, text| {
        draft.filters.rewrite = Some(target(text)?);
        Ok(())
    }),
];

fn target(text: &str) -> Result<Rewrite, Wrong> {
    let Some((before, group)) = text.split_once('$') else { return Ok(Rewrite::Whole(value::path(text)?)) };
    let group = group.parse::<u8>().ok().filter(|group| (1..=9).contains(group) && before.ends_with('/'));
    let group = group.ok_or("only one group, behind a slash and at the end, is understood")?;
    Ok(Rewrite::Group(value::path(before)?, group))
}

/// A path of ingress-nginx that cuts a prefix off: the prefix, and the number of the group that is the rest.
fn cut(path: &str) -> Option<(&str, u8)> {
    let (prefix, rest) =
        [("(/|$)(.*)", 2), ("/?(.*)", 1), ("/(.*)", 1)].into_iter().find_map(|(end, group)| Some((path.strip_suffix(end)?, group)))?;
    (!is_pattern(prefix)).then_some((prefix, rest))
}

/// Whether a path holds what only a pattern would.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['(', ')', '*', '^', '$', '[', ']', '|', '?', '+', '\\', '{', '}'])
}

impl Rewrite {
    /// What a rule with this path does, and the plain prefix that it then takes. `None`: a pattern that is not understood.
    pub fn by(&self, path: &str) -> Option<(Rewrite, Box<str>)> {
        let plain = |prefix: &str| if prefix.is_empty() { "/".into() } else { prefix.into() };
        match self {
            _ if !is_pattern(path) => match self {
                Rewrite::Group(before, _) => Some((Rewrite::Whole(before.clone()), path.into())), // a group that is not there is empty
                other => Some((other.clone(), path.into())),
            },
            Rewrite::Group(before, group) => {
                let (prefix, rest) = cut(path)?;
                (rest == *group).then(|| (Rewrite::Prefix(before.clone()), plain(prefix)))
            }
            Rewrite::Prefix(_) => None,
            Rewrite::Whole(_) => Some((self.clone(), plain(cut(path)?.0))),
        }
    }

    /// The plain prefix of a pattern that ends in what matches anything.
    pub fn prefix_of(path: &str) -> Option<Box<str>> {
        cut(path).map(|(prefix, _)| if prefix.is_empty() { "/".into() } else { prefix.into() })
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Rewrite::Prefix(put) => format!("rewrite: the rule's path becomes {put}"),
            Rewrite::Whole(put) => format!("rewrite: the path becomes {put}"),
            Rewrite::Group(put, group) => format!("rewrite: the path becomes {put}${group}"),
        }
    }
}
