//! Folders that cannot be read are origins themselves, and what is said of one holds for all that lies below it.
//!
//! Invariant: an unreadable folder takes nothing away; when it can be read again or is gone, whatever lay below it and is not named by
//! the same batch is gone.

use std::collections::BTreeSet;
use std::path::Path;

use super::Store;
use crate::event::{Change, Content, Origin, SourceName};

/// Which origins a batch speaks of.
pub(super) struct Named {
    origins: BTreeSet<Origin>,
    unreadable: BTreeSet<Origin>,
}

impl Named {
    pub(super) fn of(changes: &[Change]) -> Named {
        let unreadable = changes.iter().filter(|change| matches!(change.content, Content::Unreadable(_)));
        Named {
            unreadable: unreadable.map(|change| change.origin.clone()).collect(),
            origins: changes.iter().map(|change| change.origin.clone()).collect(),
        }
    }

    /// Whether the batch names it, or a folder above it that cannot be read.
    pub(super) fn covers(&self, origin: &Origin) -> bool {
        self.origins.contains(origin) || origin.ancestors().any(|above| self.unreadable.contains(above))
    }
}

impl Store {
    /// Adds to a batch what it says of folders: before the files below them that it names itself.
    pub(super) fn spread(&mut self, name: &SourceName, changes: &mut Vec<Change>, cold: bool) {
        let named = Named::of(changes);
        let mut kept = Vec::new();
        let mut gone = Vec::new();
        for Change { origin: folder, content } in changes.iter() {
            let unnamed = |origin: &&Origin| !named.origins.contains(*origin);
            match content {
                Content::Gone => gone.extend(self.below(name, folder).filter(unnamed).cloned()),
                Content::Unreadable(_) if cold => kept.extend(self.below(name, folder).filter(unnamed).cloned()),
                _ => {}
            }
        }
        for origin in kept {
            self.keep(name, origin, Vec::new(), cold);
        }
        changes.splice(0..0, gone.into_iter().map(|origin| Change { origin, content: Content::Gone }));
    }

    /// What is known or saved below a folder.
    fn below<'s>(&'s self, name: &str, folder: &'s Origin) -> impl Iterator<Item = &'s Origin> {
        let documents = self.sources.get(name).map(|source| &source.documents);
        let known = documents.into_iter().flat_map(move |documents| documents.range(folder.clone()..)).map(|(origin, _)| origin);
        let known = known.take_while(move |origin| origin.starts_with(folder));
        let saved = self.saved.range(folder.clone()..).map(|(origin, _)| origin).take_while(move |origin| origin.starts_with(folder));
        known.chain(saved).filter(move |origin| *origin != folder)
    }

    /// Whether what lay below a folder before the restart is known.
    pub(super) fn remembers_below(&self, name: &str, folder: &Origin) -> bool {
        !self.damaged && self.below(name, folder).next().is_some()
    }

    /// How many objects an origin holds, those below it included.
    pub(super) fn objects_below(&self, name: &str, origin: &Path) -> usize {
        let Some(source) = self.sources.get(name) else { return 0 };
        let documents = source.documents.range::<Path, _>((std::ops::Bound::Included(origin), std::ops::Bound::Unbounded));
        documents.take_while(|(below, _)| below.starts_with(origin)).map(|(_, document)| document.keys.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use config::manifest::Manifest;
    use config::object::{Meta, Namespace, Object};
    use config::problem::{Problem, Reason};

    use super::*;
    use crate::event::Batch;

    fn origin(path: &str) -> Origin {
        Path::new(path).into()
    }

    fn object(name: &str) -> Object {
        Object::Namespace(Namespace { meta: Meta { name: name.into(), ..Meta::default() } })
    }

    fn read(path: &str, name: &str) -> Change {
        let manifest = Manifest { objects: vec![object(name)], ..Manifest::default() };
        Change { origin: origin(path), content: Content::Manifest(manifest) }
    }

    fn shut(path: &str) -> Change {
        Change { origin: origin(path), content: Content::Unreadable(Problem::error(Reason::Unreadable, "permission denied")) }
    }

    fn gone(path: &str) -> Change {
        Change { origin: origin(path), content: Content::Gone }
    }

    fn apply(store: &mut Store, changes: Vec<Change>, whole: bool) {
        store.apply(Batch { source: "folder:m".into(), changes, whole }, Duration::ZERO);
    }

    fn names(store: &Store) -> Vec<&str> {
        let mut names: Vec<&str> = store.claims.keys().map(|key| &*key.name).collect();
        names.sort_unstable();
        names
    }

    fn saved() -> BTreeMap<Origin, Vec<Object>> {
        [("m/a.yaml", "a"), ("m/sub/b.yaml", "b"), ("m/sub/c.yaml", "c"), ("m/subway.yaml", "d")]
            .map(|(path, name)| (origin(path), vec![object(name)]))
            .into()
    }

    #[test]
    fn at_a_cold_start_what_was_saved_below_an_unreadable_folder_serves() {
        let mut store = Store::new(saved(), false, Vec::new());
        apply(&mut store, vec![read("m/a.yaml", "a"), shut("m/sub")], true);
        assert_eq!(names(&store), ["a", "b", "c"], "what is gone beside it is gone");
        assert!(!store.strict(), "all that it may hold is remembered");
        apply(&mut store, vec![gone("m/sub"), read("m/sub/c.yaml", "c")], false);
        assert_eq!(names(&store), ["a", "c"], "what was removed meanwhile is gone");
    }

    #[test]
    fn an_unreadable_folder_that_nobody_remembers_is_not_trusted() {
        let mut store = Store::new(BTreeMap::new(), false, Vec::new());
        apply(&mut store, vec![read("m/a.yaml", "a"), shut("m/sub")], true);
        assert!(store.strict());
        apply(&mut store, vec![gone("m/sub"), read("m/sub/c.yaml", "c")], false);
        assert!(!store.strict());
    }

    #[test]
    fn a_folder_that_cannot_be_read_at_all_offline_is_what_was_saved() {
        let mut store = Store::new(saved(), false, Vec::new());
        apply(&mut store, vec![shut("m")], true);
        assert_eq!(names(&store), ["a", "b", "c", "d"]);
        assert!(!store.strict());
        let mut damaged = Store::new(saved(), true, Vec::new());
        apply(&mut damaged, vec![shut("m")], true);
        assert!(damaged.strict(), "what is remembered is not all");
    }

    #[test]
    fn a_file_that_goes_takes_nothing_else_with_it() {
        let mut store = Store::new(BTreeMap::new(), false, Vec::new());
        apply(&mut store, vec![read("m/sub", "a"), read("m/sub.yaml", "b"), read("m/z/sub", "c")], true);
        apply(&mut store, vec![gone("m/sub")], false);
        assert_eq!(names(&store), ["b", "c"]);
    }
}
