//! What an event of the engine asks for, and which of them say nothing.
//!
//! Invariant: an event is a hint to look, never the truth: what is true is what `inspect` says afterwards. The one exception is a signal
//! that ends a container, since `inspect` does not tell that it was sent, and requests should stop before the process does.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{EventMessage, EventMessageTypeEnum};

use super::container::Id;

/// What happened to containers since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News(pub(super) BTreeMap<Id, Happened>);

/// What happened to one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    /// It may have changed, and must be looked at.
    pub(super) changed: bool,
    /// It is gone.
    pub(super) gone: bool,
    /// The last of both: it was told to stop, or it was started.
    pub(super) stopping: Option<bool>,
}

/// Signals that end a process: SIGINT, SIGQUIT, SIGKILL, SIGTERM. Which of them an image wants is its own matter (`STOPSIGNAL`). SIGHUP means
/// "read your files again" to most.
const ENDING: [&str; 4] = ["2", "3", "9", "15"];

impl News {
    /// Adds an event.
    pub(super) fn take(&mut self, event: EventMessage) {
        let actor = event.actor.unwrap_or_default();
        let attributes = actor.attributes.unwrap_or_default();
        let action = event.action.unwrap_or_default();
        let (id, happened) = match event.typ {
            Some(EventMessageTypeEnum::CONTAINER) => (actor.id, of_container(&action, &attributes)),
            Some(EventMessageTypeEnum::NETWORK) => (attributes.get("container").cloned(), of_network(&action)),
            _ => (None, None),
        };
        let (Some(id), Some(new)) = (id.filter(|id| !id.is_empty()), happened) else { return };
        let known = self.0.entry(id.into()).or_default();
        known.changed |= new.changed;
        known.gone |= new.gone;
        known.stopping = new.stopping.or(known.stopping);
    }
}

fn of_container(action: &str, attributes: &HashMap<String, String>) -> Option<Happened> {
    let changed = Happened { changed: true, ..Happened::default() };
    let word = action.split(':').next().unwrap_or(action).trim();
    match word {
        "destroy" => Some(Happened { gone: true, ..Happened::default() }),
        "kill" if attributes.get("signal").is_some_and(|signal| ENDING.contains(&signal.as_str())) => {
            Some(Happened { stopping: Some(true), ..Happened::default() })
        }
        "start" => Some(Happened { stopping: Some(false), ..changed }),
        "create" | "restart" | "die" | "stop" | "pause" | "unpause" | "rename" | "update" | "health_status" => Some(changed),
        // Commands that run in it (each healthcheck is one), copies, terminals: nothing of it changes.
        _ => None,
    }
}

fn of_network(action: &str) -> Option<Happened> {
    matches!(action, "connect" | "disconnect").then_some(Happened { changed: true, ..Happened::default() })
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn event(typ: EventMessageTypeEnum, action: &str, id: &str, attributes: &[(&str, &str)]) -> EventMessage {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let actor = EventActor { id: Some(id.to_owned()), attributes: Some(attributes) };
        EventMessage { typ: Some(typ), action: Some(action.to_owned()), actor: Some(actor), ..EventMessage::default() }
    }

    fn of(events: &[(&str, &[(&str, &str)])]) -> Option<Happened> {
        let mut news = News::default();
        events.iter().for_each(|(action, attributes)| news.take(event(EventMessageTypeEnum::CONTAINER, action, "a", attributes)));
        news.0.get("a").copied()
    }

    #[test]
    fn each_container_is_looked_at_once_whatever_happened() {
        let kill = ("kill", &[("signal", "15")][..]);
        let happened = |changed, gone, stopping| Some(Happened { changed, gone, stopping });
        for (events, expected) in [
            (&[("create", &[][..]), ("start", &[])][..], happened(true, false, Some(false))),
            (&[kill], happened(false, false, Some(true))),
            (&[("kill", &[("signal", "1")])], None),
            (&[kill, ("die", &[])], happened(true, false, Some(true))),
            (&[kill, ("die", &[]), ("destroy", &[])], happened(true, true, Some(true))),
            (&[kill, ("die", &[]), ("start", &[])], happened(true, false, Some(false))),
            (&[("start", &[]), kill], happened(true, false, Some(true))),
            (&[("health_status: healthy", &[])], happened(true, false, None)),
            (&[("exec_create: /bin/sh -c x", &[]), ("exec_start: x", &[]), ("exec_die", &[]), ("top", &[])], None),
        ] {
            assert_eq!(of(events), expected, "{events:?}");
        }
    }

    #[test]
    fn a_network_tells_of_the_container_and_others_of_nothing() {
        let mut news = News::default();
        news.take(event(EventMessageTypeEnum::NETWORK, "connect", "net", &[("container", "b")]));
        news.take(event(EventMessageTypeEnum::NETWORK, "create", "net", &[]));
        news.take(event(EventMessageTypeEnum::VOLUME, "destroy", "a", &[]));
        news.take(EventMessage::default());
        assert_eq!(news.0, [("b".into(), Happened { changed: true, ..Happened::default() })].into());
    }
}
