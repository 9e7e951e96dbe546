//! Plays the cases over real connections of HTTP/2, without TLS, to a replica that speaks HTTP/1 and tells what reached it.
//!
//! Invariant: a case ends with an answer or a reset of its stream. What must not arrive is looked for behind it, too: the replica's
//! connection serves the next request, and nothing whole came meanwhile.

use tidegate_tests::frames::{Answer, END_HEADERS, END_STREAM, End, Frames, block, kind};
use tidegate_tests::objects::{file, ingress, path, tcp};
use tidegate_tests::{Behaviour, Net, Replica, Setup, Tidegate};

use super::super::message::{Message, differs};
use super::{CASES, Downgrade, OPEN};

/// PROTOCOL_ERROR, of a stream or of its connection (RFC 9113 section 7).
const PROTOCOL_ERROR: u32 = 1;

struct Stage {
    gate: Tidegate,
    replica: Replica,
    _net: Net,
}

impl Stage {
    fn new() -> Stage {
        let net = Net::take();
        let replica = Replica::start(&net, "one", Behaviour::Echo);
        let everything = ingress("all", "", &[path("Prefix", "/", "all", 80)]);
        let gate = Setup::new(&net).manifest("all.yaml", file(&[tcp(&net, "all", 80, &[&replica]), everything])).start();
        Stage { gate, replica, _net: net }
    }

    fn play(&self, case: &Downgrade) -> Result<(), String> {
        let before = self.replica.received().len();
        let mut client = Frames::connect(self.gate.http());
        let answer = send(&mut client, case);
        match case.becomes {
            Some(up) if answer.status == 200 && answer.end == Some(End::Whole) => {
                let got = Message::of(&answer.body)?.without_made_id(up).in_lower_case();
                differs(got, Message::of(up)?.with_ours().in_lower_case())?;
            }
            Some(_) => return Err(format!("it was not forwarded: {answer:?}")),
            None if answer.status == 400 || answer.end == Some(End::Reset(PROTOCOL_ERROR)) => {}
            None if client.left().is_some_and(|left| left.code == PROTOCOL_ERROR) => {}
            None => return Err(format!("it was not refused: {answer:?}, {:?}", client.left())),
        }
        // What a replica's connection was left with must not answer anybody else, nor be read as the start of the next request.
        let next = Frames::connect(self.gate.http()).fetch("a", "/next");
        if next.status != 200 || !next.body.starts_with(b"GET /next HTTP/1.1\r\n") {
            return Err(format!("the next request: {next:?}"));
        }
        let whole = self.replica.received().split_off(before);
        let expected = usize::from(case.becomes.is_some()) + 1;
        if whole.len() == expected { Ok(()) } else { Err(format!("{} requests reached the replica: {whole:#?}", whole.len() - 1)) }
    }
}

/// Sends all of a case, and gives what came on its stream.
fn send(client: &mut Frames, case: &Downgrade) -> Answer {
    let stream = client.next_stream();
    let (body, trailers) = (case.body, case.trailers);
    let end = |last: bool| if last { END_STREAM } else { 0 };
    client.say(kind::HEADERS, END_HEADERS | end(body.is_none() && trailers.is_empty()), stream, &block(case.fields));
    if let Some(body) = body {
        client.say(kind::DATA, end(trailers.is_empty()), stream, body);
    }
    if !trailers.is_empty() {
        client.say(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block(trailers));
    }
    client.answer(stream)
}

#[test]
fn every_request_of_http_2_ends_as_its_section_says() {
    let stage = Stage::new();
    let mut failed = Vec::new();
    for case in CASES {
        let Downgrade { id, rfc, why, .. } = case;
        match (stage.play(case), OPEN.iter().any(|(open, _)| open == id)) {
            (Err(how), false) => failed.push(format!("{id} ({rfc}: {why})\n    {how}")),
            (Ok(()), true) => failed.push(format!("{id}: mended; take it out of OPEN")),
            _ => {}
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), CASES.len(), failed.join("\n"));
}

#[test]
fn what_is_open_is_a_case_and_says_why() {
    for (id, why) in OPEN {
        assert!(CASES.iter().any(|case| case.id == *id) && !why.is_empty(), "OPEN names {id}");
    }
}
