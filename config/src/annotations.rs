//! The annotations of an Ingress in, its filters out; and those of a Service that say how its endpoints are picked.
//!
//! Each key is read by the file of its filter ([`crate::filter`]), those of ingress-nginx by `nginx.rs`. Pure: no object but the Ingress is
//! looked at. Invariant: fail closed. What keeps somebody out and cannot be understood closes the Ingress; what does not is left out
//! alone; all of it is told, not only the first.

pub(crate) mod nginx;
pub(crate) mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::exposure::{BALANCE, EXPOSURE_LABEL, OUR_PREFIX};
use crate::filter::{Balance, Draft, Filters, KEYS, WAYS};
use crate::object::{Labels, Name};
use crate::problem::{Problem, Reason};
use nginx::Means;

/// Why a value cannot be used, without quoting it whole.
pub(crate) type Wrong = Cow<'static, str>;
/// Takes a value in.
pub(crate) type Take = fn(&mut Draft, &str) -> Result<(), Wrong>;

/// One key under `tidegate.dev/`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// What comes behind the prefix.
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) expected: &'static str,
    /// It keeps somebody out.
    pub(crate) guard: bool,
    pub(crate) take: Take,
}

impl Key {
    pub(crate) const fn new(name: &'static str, expected: &'static str, take: Take) -> Key {
        Key { name, expected, guard: false, take }
    }

    pub(crate) const fn guard(name: &'static str, expected: &'static str, take: Take) -> Key {
        Key { name, expected, guard: true, take }
    }
}

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does what it says.
    Honoured,
    /// It does nearly that.
    Differs,
    /// It does nothing.
    NotSupported,
    /// Its value cannot be understood.
    Wrong,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Honoured => "honoured",
            Verdict::Differs => "differs",
            Verdict::NotSupported => "not supported",
            Verdict::Wrong => "wrong",
        }
    }
}

/// One annotation, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its key, whole.
    pub key: Box<str>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// How it differs, or why it does nothing.
    pub how: Box<str>,
}

/// What the annotations of an Ingress say.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What is asked for and can be done.
    pub filters: Filters,
    /// Paths may be patterns, of which those that cut a prefix off are understood.
    pub patterns: bool,
    /// Nobody may be served by the Ingress, since something that keeps somebody out cannot be understood. Says what.
    pub closed: Option<String>,
    /// It is no Ingress of its own: nothing of it serves. Says why.
    pub skipped: Option<&'static str>,
    /// Every annotation that is ours or of ingress-nginx, by key.
    pub judged: Vec<Judged>,
    /// What an operator should mend or know; places without object and file.
    pub problems: Vec<Problem>,
}

/// The annotation that names a ConfigMap of fields.
pub const CUSTOM_HEADERS: &str = nginx::CUSTOM_HEADERS;

/// Whether a key is one that an Ingress may have for a filter.
pub fn is_known(key: &str) -> bool {
    key.strip_prefix(OUR_PREFIX).is_some_and(|name| find(name).is_some())
}

/// Whether the annotations make patterns of an Ingress's paths.
pub fn may_hold_patterns(annotations: &Labels) -> bool {
    ["use-regex", "rewrite-target"]
        .iter()
        .any(|name| [OUR_PREFIX, nginx::PREFIX].iter().any(|prefix| annotations.contains_key(format!("{prefix}{name}").as_str())))
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.into_iter().flatten().find(|key| key.name == name)
}

/// Reads those of an Ingress in this namespace. Without any that is ours or of ingress-nginx it costs a look at each key.
pub fn read(namespace: &Name, annotations: &Labels) -> Reading {
    let mut reader = Reader::default();
    reader.draft.namespace = namespace.clone();
    let under =
        |prefix: &'static str| annotations.iter().filter_map(move |(key, text)| Some((&**key, key.strip_prefix(prefix)?, text.trim())));
    for (key, name, text) in under(OUR_PREFIX).filter(|(key, ..)| *key != EXPOSURE_LABEL) {
        // What is unknown seals, and is told where seals are.
        if let Some(known) = find(name) {
            reader.taken.insert(known.name, key.into());
            reader.take(key, text, known.guard, (known.expected, known.take), None);
        }
    }
    let (stronger, others): (Vec<_>, Vec<_>) = under(nginx::PREFIX).partition(|(_, name, text)| nginx::is_stronger(name, text));
    for (key, name, text) in stronger.into_iter().chain(others) {
        reader.nginx(key, name, text);
    }
    reader.finish(annotations)
}

/// What the annotations of a Service say of how its endpoints are picked.
#[derive(Clone, Debug, Default)]
pub struct ServiceReading {
    /// How; `None`: nothing that can be understood is said.
    pub balance: Option<Balance>,
    /// What becomes of the annotation, where there is one.
    pub judged: Option<Judged>,
    /// What an operator should mend; the place without object and file.
    pub problem: Option<Problem>,
}

/// Reads those of a Service. `keeps_clients`: it has `sessionAffinity: ClientIP`, which wins.
pub fn read_service(annotations: &Labels, keeps_clients: bool) -> ServiceReading {
    let Some(text) = annotations.get(BALANCE) else { return ServiceReading::default() };
    let judged = |verdict, how: &str| Some(Judged { key: BALANCE.into(), verdict, how: how.into() });
    match Balance::read(text.trim()) {
        Ok(balance) if keeps_clients => {
            let how = "the Service's `sessionAffinity: ClientIP` picks, wherever it leads";
            ServiceReading { balance: Some(balance), judged: judged(Verdict::Differs, how), problem: None }
        }
        Ok(balance) => ServiceReading { balance: Some(balance), judged: judged(Verdict::Honoured, ""), problem: None },
        Err(why) => {
            let problem = Problem::error(Reason::Invalid, format!("`{}`: {why}", text.escape_debug())).at(place(BALANCE));
            let problem = problem.expected(WAYS).fix("correct it; until then endpoints are picked as if it were not there");
            ServiceReading { balance: None, judged: judged(Verdict::Wrong, &why), problem: Some(problem) }
        }
    }
}

#[derive(Default)]
struct Reader {
    draft: Draft,
    out: Reading,
    /// Who said each of our keys.
    taken: BTreeMap<&'static str, Box<str>>,
}

impl Reader {
    fn nginx(&mut self, key: &str, name: &str, text: &str) {
        let (ours, how) = match nginx::meaning(name, text) {
            Some(Means::Same(ours)) => (ours, None),
            Some(Means::But(ours, how)) => (ours, Some(how)),
            Some(Means::Read(ours, expected, take, how)) => {
                let guard = nginx::guards(ours);
                return self.taken(key, ours).unwrap_or_else(|| self.take(key, text, guard, (expected, take), how));
            }
            Some(Means::Idle(why) | Means::Elsewhere(why)) => return self.judge(key, Verdict::Honoured, why),
            Some(Means::Nothing(instead)) => return self.nothing(key, instead),
            Some(Means::Guard(why)) => return self.guard(key, why),
            None => return self.nothing(key, "remove it, or correct its name: Tidegate knows no such annotation of ingress-nginx"),
        };
        if self.taken(key, ours).is_none()
            && let Some(known) = find(ours)
        {
            self.take(key, text, known.guard, (known.expected, known.take), how);
        }
    }

    /// Tells it when our key was said already. `None`: it is said now.
    fn taken(&mut self, key: &str, ours: &'static str) -> Option<()> {
        let Some(first) = self.taken.get(ours) else {
            self.taken.insert(ours, key.into());
            return None;
        };
        let how = format!("`{first}` says it already");
        self.out.problems.push(Problem::warning(Reason::Conflict, how.clone()).at(place(key)).fix("remove one of the two"));
        self.judge(key, Verdict::NotSupported, how);
        Some(())
    }

    fn take(&mut self, key: &str, text: &str, guard: bool, (expected, take): (&str, Take), how: Option<&'static str>) {
        let taken = take(&mut self.draft, text);
        let loose = self.draft.loose.drain(..);
        let warning = |found| Problem::warning(Reason::Invalid, found).at(place(key)).fix("write the network, or the one address");
        self.out.problems.extend(loose.map(warning));
        match (taken, how) {
            (Ok(()), None) => self.judge(key, Verdict::Honoured, ""),
            (Ok(()), Some(how)) => {
                self.out.problems.push(Problem::note(Reason::NotServed, format!("honoured, but: {how}")).at(place(key)));
                self.judge(key, Verdict::Differs, how);
            }
            (Err(why), _) => self.wrong(key, &why, expected, guard),
        }
    }

    fn wrong(&mut self, key: &str, why: &str, expected: &str, guard: bool) {
        let fix = if guard { "correct it; until then the Ingress answers nobody: 503" } else { "correct it; until then it is left out" };
        self.out.problems.push(Problem::error(Reason::Invalid, why).at(place(key)).expected(expected).fix(fix));
        self.judge(key, Verdict::Wrong, why.to_owned());
        if guard {
            self.close(key, "cannot be understood");
        }
    }

    fn nothing(&mut self, key: &str, instead: &'static str) {
        let problem = Problem::warning(Reason::NotServed, "an annotation that does nothing here").at(place(key));
        self.out.problems.push(if instead.is_empty() { problem.fix("remove it") } else { problem.fix(instead) });
        self.judge(key, Verdict::NotSupported, instead);
    }

    fn guard(&mut self, key: &str, why: &'static str) {
        let fix = "remove it once nobody needs to be kept out, or do it in the replica; until then the Ingress answers nobody: 503";
        self.out.problems.push(Problem::error(Reason::NotServed, why).at(place(key)).fix(fix));
        self.judge(key, Verdict::NotSupported, why);
        self.close(key, "is not served");
    }

    fn close(&mut self, key: &str, why: &str) {
        self.out.closed.get_or_insert_with(|| format!("the annotation {key} keeps somebody out and {why}"));
    }

    fn judge(&mut self, key: &str, verdict: Verdict, how: impl Into<Box<str>>) {
        self.out.judged.push(Judged { key: key.into(), verdict, how: how.into() });
    }

    fn finish(mut self, annotations: &Labels) -> Reading {
        let (filters, wrong) = std::mem::take(&mut self.draft).finish();
        for (name, why) in wrong {
            let key = self.taken.get(name).cloned().unwrap_or_default();
            self.out.judged.retain(|judged| judged.key != key);
            self.wrong(&key, &why, "both `auth-type: basic` and `auth-secret`", true);
        }
        if annotations.get(nginx::CANARY).is_some_and(|text| text.trim() == "true") {
            self.out.skipped = Some("it is a canary of another Ingress, which is not served");
        }
        let regex = format!("{}use-regex", nginx::PREFIX);
        let use_regex = annotations.get(regex.as_str()).is_some_and(|text| text.trim() == "true");
        self.out.patterns = nginx::has_patterns(&filters, use_regex);
        self.out.judged.sort_by(|a, b| a.key.cmp(&b.key));
        Reading { filters, ..self.out }
    }
}

fn place(key: &str) -> String {
    format!("metadata.annotations[\"{key}\"]")
}

#[cfg(test)]
mod tests;
