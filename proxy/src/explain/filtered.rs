//! What a route's filters would make of a request: by the very functions that serve, for a client whose address may ask.

use std::net::{IpAddr, Ipv4Addr};

use registry::route::Route;

use super::{Explanation, Outcome, Question};
use crate::filter::{Asked, Up, Verdict, gate_behind_address};
use crate::http::head::RequestHead;
use crate::http::{HeadFields, content_length};

/// Adds them to what is said of the route. `head` was read from `bytes`.
pub(super) fn explain(route: &Route, question: &Question, (head, bytes): (&RequestHead, &[u8]), said: &mut Explanation) {
    let Some(filters) = &route.filters else { return };
    said.filters = filters.describe();
    let fields = HeadFields::new(head, bytes);
    let asked = Asked {
        method: head.method(),
        host: head.host(),
        target: fields.target(),
        client: IpAddr::V4(Ipv4Addr::UNSPECIFIED), // not looked at
        https: question.https,
        length: content_length(head.framing()),
        fields: &fields,
    };
    match gate_behind_address(filters, &asked, || None, |_| false) {
        Verdict::Go => {}
        Verdict::Prove(_) => {
            said.notes.push("the name and the password would be looked up: 401 when they are not in the Secret".to_owned())
        }
        Verdict::Answer(answer) => {
            let to = answer.fields.iter().find(|(name, _)| *name == "Location").map(|(_, value)| format!(" to {value}"));
            said.refuse(answer.reason, format!("a filter of {} answers{}", route.owner, to.unwrap_or_default()));
            said.status = Some(answer.status);
            (said.service, said.balance) = (None, None);
            return said.endpoints.clear();
        }
    }
    if said.outcome == Outcome::Forward {
        let up = Up::of(route, filters, &asked);
        said.notes.extend(up.target.map(|target| format!("the replica sees {target}")));
        said.notes.extend(up.host.map(|host| format!("the replica sees Host {host}")));
    }
}
