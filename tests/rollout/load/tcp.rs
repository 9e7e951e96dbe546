//! A client of opaque TCP: the replica speaks first and says who it is, then each line comes back.

use std::net::SocketAddr;

use super::talk::{Line, converse};
use super::{Client, patient};
use crate::ledger::{By, End, Record};
use crate::wire::Wire;

/// A connection with one who said its name.
struct Lines(Wire);

impl Lines {
    async fn open(at: SocketAddr, record: &mut Record) -> Result<Lines, End> {
        let mut lines = Lines(Wire::connect(at).await?);
        let greeting = lines.hear().await?;
        let (service, pod) = greeting.split_once(' ').ok_or_else(|| End::Wrong(format!("the greeting {greeting:?}")))?;
        record.by = Some(By { service: service.to_owned(), pod: pod.to_owned() });
        Ok(lines)
    }
}

impl Line for Lines {
    async fn say(&mut self, text: &str) -> Result<(), End> {
        Ok(self.0.send(format!("{text}\n")).await?)
    }

    async fn hear(&mut self) -> Result<String, End> {
        let line = self.0.through(b"\n").await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// A connection of some seconds.
pub(super) async fn talk(client: &mut Client, record: &mut Record) -> Result<(), End> {
    let mut lines = patient(Lines::open(client.shared.doors.tcp, record)).await?;
    converse(&mut lines, client, record).await
}

/// A connection for one line.
pub(super) async fn line(at: SocketAddr, record: &mut Record) -> Result<(), End> {
    let mut lines = Lines::open(at, record).await?;
    let text = format!("{} only", record.id);
    lines.say(&text).await?;
    let heard = lines.hear().await?;
    if heard == text { Ok(()) } else { Err(End::Wrong(format!("{heard:?} to {text:?}"))) }
}
