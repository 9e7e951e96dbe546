//! `dig`, and what it prints, as sections.

use std::net::SocketAddr;
use std::process::Command;

/// What it was answered.
#[derive(Debug, Default)]
pub(super) struct Dug {
    /// `NOERROR`, `NXDOMAIN`, ...; empty when there was no answer.
    pub(super) status: String,
    /// `qr`, `aa`, `tc`, ...
    pub(super) flags: String,
    /// The question as it came back.
    pub(super) question: String,
    /// Records, as `NAME TTL CLASS TYPE DATA` with single spaces.
    pub(super) answer: Vec<String>,
    /// The same.
    pub(super) authority: Vec<String>,
    /// The same, without EDNS.
    pub(super) additional: Vec<String>,
    /// All that was printed.
    pub(super) text: String,
}

/// Asks, by these words of `dig`: one try, without its own search and without leaving UDP for TCP.
///
/// # Panics
/// When there is no `dig`.
pub(super) fn dig(server: SocketAddr, words: &str) -> Dug {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    let mut command = Command::new("dig");
    command.args([&at, "-p", &port, "+tries=1", "+time=15", "+ignore", "+nosearch"]).args(words.split(' '));
    let output = command.env("HOME", "/nonexistent").output().expect("dig is installed (package bind9-dnsutils)");
    read(&String::from_utf8_lossy(&output.stdout))
}

fn read(text: &str) -> Dug {
    let mut dug = Dug { text: text.to_owned(), ..Dug::default() };
    let mut section = "";
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("status: ") {
            dug.status = rest.split(',').next().unwrap_or_default().to_owned();
        } else if let Some(rest) = line.strip_prefix(";; flags: ") {
            dug.flags = rest.split(';').next().unwrap_or_default().to_owned();
        } else if line.starts_with(";; ") {
            section = line.trim_start_matches(";; ").split(' ').next().unwrap_or_default();
        } else if section == "QUESTION" && line.starts_with(';') {
            dug.question = line.trim_start_matches(';').split_whitespace().collect::<Vec<_>>().join(" ");
        } else if !line.is_empty() && !line.starts_with(';') {
            let record = line.split_whitespace().collect::<Vec<_>>().join(" ");
            match section {
                "ANSWER" => dug.answer.push(record),
                "AUTHORITY" => dug.authority.push(record),
                "ADDITIONAL" => dug.additional.push(record),
                _ => {}
            }
        }
    }
    dug
}

impl Dug {
    /// The data of the answers, sorted, when there was no error.
    ///
    /// # Panics
    /// When there was one.
    pub(super) fn data(&self) -> Vec<String> {
        assert_eq!(self.status, "NOERROR", "{}", self.text);
        let data = |record: &String| record.splitn(5, ' ').nth(4).unwrap_or_default().to_owned();
        let mut all: Vec<String> = self.answer.iter().map(data).collect();
        all.sort();
        all
    }

    /// Whether it says nothing, and for how long by a SOA of this owner.
    pub(super) fn is_empty_by(&self, owner: &str) -> bool {
        self.answer.is_empty() && self.authority.len() == 1 && self.authority[0].starts_with(&format!("{owner} 5 IN SOA ns.dns."))
    }
}
