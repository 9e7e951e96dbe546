//! The replicas' own account of what reached them: one file, to which each appends a line for each request that must not come twice.
//!
//! Invariant: a line is one write to a file that is opened for appending, so lines of several processes never mix, and a process that is
//! killed loses none that it wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// A replica's end of it.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    pod: String,
}

impl Writer {
    pub(crate) fn open(path: &Path, pod: &str) -> io::Result<Writer> {
        Ok(Writer { file: File::options().append(true).create(true).open(path)?, pod: pod.to_owned() })
    }

    /// This request is here.
    pub(crate) fn note(&self, id: u64) {
        // A replica that cannot write would make the count of duplicates a lie: better that it dies.
        (&self.file).write_all(format!("{id} {}\n", self.pod).as_bytes()).expect("the journal can be written");
    }
}

/// Which pods got each request, in order.
#[derive(Debug, Default)]
pub(crate) struct Journal(BTreeMap<u64, Vec<String>>);

impl Journal {
    pub(crate) fn read(path: &Path) -> io::Result<Journal> {
        let mut journal = Journal::default();
        for line in std::fs::read_to_string(path)?.lines() {
            let (id, pod) = line.split_once(' ').ok_or_else(|| io::Error::other(format!("a line of the journal is {line:?}")))?;
            journal.add(id.parse().map_err(io::Error::other)?, pod);
        }
        Ok(journal)
    }

    pub(crate) fn add(&mut self, id: u64, pod: &str) {
        self.0.entry(id).or_default().push(pod.to_owned());
    }

    /// The pods that got this request.
    pub(crate) fn of(&self, id: u64) -> &[String] {
        self.0.get(&id).map_or(&[][..], Vec::as_slice)
    }
}
