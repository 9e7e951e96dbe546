//! Plays a case against the real binary and says what was not as it must be.
//!
//! Invariant: what a replica got is told by the replica, what the client saw by the client's socket. The request's bytes go out whole,
//! or cut at places that a seed chooses: what must happen does not depend on it.

use std::time::Duration;

use tidegate_tests::{Behaviour, Client, Replica, Response, Tidegate};

use super::case::{Answers, Case, Must, Then};
use super::message::{Message, differs};

/// What is sent behind a message that is refused: it must never be read as a request.
const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
/// Between two pieces, so that the gate most often reads them one by one.
const PAUSE: Duration = Duration::from_micros(300);
/// For an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(5);

type Checked = Result<(), String>;

/// Where cases are played.
pub(super) struct Stage<'s> {
    pub(super) gate: &'s Tidegate,
    pub(super) replica: &'s Replica,
}

impl Stage<'_> {
    /// Plays one case, its bytes cut at `cuts`.
    pub(super) fn play(&self, case: &Case, cuts: &[usize]) -> Checked {
        self.replica.now(match case.replica {
            Answers::Echo => Behaviour::Echo,
            Answers::Says(bytes) => Behaviour::Raw(bytes.to_vec()),
            Answers::SaysAndCloses(bytes) => Behaviour::RawThenClose(bytes.to_vec()),
        });
        let before = self.replica.received().len();
        let mut client = Client::connect(self.gate.http());
        let _ = client.stream.set_read_timeout(Some(PATIENCE));
        send(&mut client, &request(case), cuts);
        let whole = self.judge(case, &mut client)?;
        let reached = self.replica.received().len() - before;
        if whole.is_some_and(|whole| whole != reached) {
            return Err(format!("{reached} requests reached the replica: {:#?}", &self.replica.received()[before..]));
        }
        self.replica.now(Behaviour::Named);
        if case.then == Then::Kept {
            goes_on(&mut client)?;
        }
        // Whatever the replica's connection was left with must not answer anybody else.
        goes_on(&mut Client::connect(self.gate.http()))
    }

    /// What the client sees; gives how many whole requests must have reached the replica, where the case says so.
    fn judge(&self, case: &Case, client: &mut Client) -> Result<Option<usize>, String> {
        match case.must {
            Must::Refuse(status) => refusal(client, status).map(|()| Some(0)),
            Must::Forward(messages) => {
                messages.iter().try_for_each(|message| echo(client, message))?;
                ends(case, client).map(|()| Some(messages.len()))
            }
            Must::AsSent => {
                echo(client, case.sent)?;
                ends(case, client).map(|()| Some(1))
            }
            Must::ForwardThenRefuse(message, status) => {
                echo(client, message)?;
                refusal(client, status).map(|()| Some(1))
            }
            Must::Answer(answers) => {
                answers.iter().try_for_each(|expected| answer(client, case.sent, expected))?;
                ends(case, client).map(|()| Some(1))
            }
            Must::Own(expected) => {
                answer(client, case.sent, expected)?;
                ends(case, client).map(|()| Some(0))
            }
            Must::BadGateway => refusal(client, 502).map(|()| None), // a second try is allowed
            Must::Cut => match client.try_response(false) {
                Ok(response) => Err(format!("the answer looks whole: {}", show(&response))),
                Err(error) if waits(&error) => Err("the answer was not cut".to_owned()),
                Err(_) => Ok(Some(1)),
            },
            Must::Silence => {
                client.finish();
                closed(client).map(|()| Some(0))
            }
        }
    }
}

/// What is sent for a case.
fn request(case: &Case) -> Vec<u8> {
    match case.must {
        Must::Refuse(_) | Must::ForwardThenRefuse(..) => [case.sent, BEHIND].concat(),
        _ => case.sent.to_vec(),
    }
}

fn send(client: &mut Client, bytes: &[u8], cuts: &[usize]) {
    let mut from = 0;
    for cut in cuts.iter().map(|cut| cut % (bytes.len() + 1)) {
        if cut > from {
            client.send(&bytes[from..cut]);
            from = cut;
            std::thread::park_timeout(PAUSE);
        }
    }
    client.send(&bytes[from..]);
}

fn next(client: &mut Client, to_head: bool) -> Result<Response, String> {
    client.try_response(to_head).map_err(|error| format!("no answer: {error}"))
}

/// An answer of Tidegate's own that ends the connection.
fn refusal(client: &mut Client, status: u16) -> Checked {
    let response = next(client, false)?;
    if response.status != status || response.field("x-replica").is_some() {
        return Err(format!("expected a refusal with {status}: {}", show(&response)));
    }
    if response.field("connection") != Some("close") {
        return Err(format!("the refusal does not say that it ends the connection: {}", show(&response)));
    }
    closed(client)
}

/// The replica got exactly this, and said so.
fn echo(client: &mut Client, expected: &[u8]) -> Checked {
    let mut response = next(client, false)?;
    while response.status == 100 {
        response = next(client, false)?;
    }
    if response.status != 200 || response.replica().is_empty() {
        return Err(format!("it was not forwarded: {}", show(&response)));
    }
    differs(Message::of(&response.body)?.without_made_id(expected), Message::of(expected)?.with_ours())
}

/// The client sees exactly this.
fn answer(client: &mut Client, request: &[u8], expected: &[u8]) -> Checked {
    let response = next(client, request.starts_with(b"HEAD "))?;
    let seen = [response.head.as_slice(), &response.framed].concat();
    differs(Message::of(&seen)?.without_made_date(expected), Message::of(expected)?)
}

fn ends(case: &Case, client: &mut Client) -> Checked {
    if case.then == Then::Closed { closed(client) } else { Ok(()) }
}

fn closed(client: &mut Client) -> Checked {
    match client.rest() {
        Ok(rest) if rest.is_empty() => Ok(()),
        Ok(rest) => Err(format!("more came: {}", rest.escape_ascii())),
        Err(error) if waits(&error) => Err("the connection was not closed".to_owned()),
        Err(_) => Ok(()),
    }
}

fn goes_on(client: &mut Client) -> Checked {
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = next(client, false).map_err(|error| format!("the next request: {error}"))?;
    if response.replica() == "one" { Ok(()) } else { Err(format!("the next request got another answer: {}", show(&response))) }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

fn show(response: &Response) -> String {
    [response.head.as_slice(), &response.framed].concat().escape_ascii().to_string()
}
