//! Conversations of some seconds: each message comes back before the next is sent, and an end is noticed when it comes.

use std::time::Instant;

use super::{Client, patient};
use crate::ledger::{End, Record};

/// Something that carries messages both ways.
pub(super) trait Line {
    async fn say(&mut self, text: &str) -> Result<(), End>;

    /// The next message. May be given up half-way.
    async fn hear(&mut self) -> Result<String, End>;
}

/// Talks for a while.
pub(super) async fn converse(line: &mut impl Line, client: &mut Client, record: &mut Record) -> Result<(), End> {
    let until = Instant::now() + client.between(1000, 3000);
    while client.shared.goes_on() && Instant::now() < until {
        let text = format!("{} {}", record.id, record.messages);
        let said = line.say(&text).await;
        // One that has ended has said how, before it went.
        let heard = patient(line.hear()).await?;
        said?;
        if heard != text {
            return Err(End::Wrong(format!("{heard:?} to {text:?}")));
        }
        record.messages += 1;
        let pause = client.between(20, 60);
        if let Ok(unasked) = tokio::time::timeout(pause, line.hear()).await {
            return Err(End::Wrong(format!("{:?} that nobody asked for", unasked?)));
        }
    }
    Ok(())
}
