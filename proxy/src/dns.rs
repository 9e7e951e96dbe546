//! Answers names: those of Services from the picture, and foreign ones by asking whoever resolves names here.
//!
//! Runs on the control thread. Invariant: it binds only inside `internalCidrs` and answers only peers inside them, so
//! that it tells nobody outside what is inside, nor is an open resolver. Nothing is answered before the first whole picture, which
//! would tell clients that a Service is not there; what cannot be bound costs DNS alone.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use config::exposure::Exposure;
use config::problem::Problem;
use config::settings::Settings;
use hickory_server::Server;
use registry::event::{ListenerState, Report};
use registry::snapshot::Snapshot;
use tokio::sync::{mpsc, watch};

use crate::{binder, listener};

pub mod answer;
mod counts;
mod desk;
mod forward;
mod found;
mod reverse;
pub mod rules;
mod stream;

pub use counts::{Counts, Outcome};
use desk::Desk;
use rules::Rules;

/// What `get listeners` calls it.
const NAME: &str = "dns";
const PROTOCOLS: [&str; 2] = ["UDP", "TCP"];
/// A free port that is taken over UDP is given back, and another tried, so often.
const PORTS: usize = 16;

/// One address, over both protocols.
pub struct Bound {
    address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Bound {
    /// As `get listeners` shows it.
    pub fn states(&self) -> [ListenerState; 2] {
        PROTOCOLS.map(|protocol| ListenerState::bound(NAME, Exposure::Internal, protocol, self.address))
    }
}

/// Listeners of `dns.listen`, as they are asked for.
pub fn asked(settings: &Settings) -> impl Iterator<Item = ListenerState> {
    let both = |address: &SocketAddr| PROTOCOLS.map(|protocol| ListenerState::bound(NAME, Exposure::Internal, protocol, *address));
    settings.dns.listen.iter().flat_map(both)
}

/// Binds every address of `dns.listen`, or says why not.
pub fn bind(settings: &Settings) -> (Vec<Bound>, Vec<ListenerState>) {
    let (mut bound, mut failed) = (Vec::new(), Vec::new());
    for &address in &settings.dns.listen {
        match listener::check_internal(NAME, address, &settings.internal_cidrs).and_then(|()| bind_both(address)) {
            Ok(both) => bound.push(both),
            Err(problem) => failed.extend(PROTOCOLS.map(|protocol| not_bound(protocol, address, &problem))),
        }
    }
    (bound, failed)
}

fn not_bound(protocol: &str, address: SocketAddr, problem: &Problem) -> ListenerState {
    binder::not_bound(NAME, Exposure::Internal, protocol, address, problem)
}

fn bind_both(asked: SocketAddr) -> Result<Bound, Problem> {
    let mut tries = if asked.port() == 0 { PORTS } else { 1 };
    loop {
        tries -= 1;
        let both = listener::bind_shared(asked, 1).and_then(|mut sockets| {
            let tcp = sockets.remove(0);
            let address = tcp.local_addr()?;
            Ok(Bound { address, udp: listener::bind_udp(address, false)?, tcp })
        });
        match both {
            Ok(both) => return Ok(both),
            Err(_) if tries > 0 => {}
            Err(error) => return Err(listener::bind_problem(NAME, asked, &error, "then start again")),
        }
    }
}

/// Answers on these sockets until the process ends. To be called once there is a whole picture.
pub async fn serve(
    bound: Vec<Bound>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mut settings: watch::Receiver<Arc<Settings>>,
    reports: mpsc::UnboundedSender<Report>,
    counts: Arc<Counts>,
) {
    if bound.is_empty() {
        return;
    }
    let own: Vec<IpAddr> = bound.iter().map(|bound| bound.address.ip()).collect();
    let addresses: Vec<SocketAddr> = bound.iter().map(|bound| bound.address).collect();
    let first = settings.borrow_and_update().clone();
    let (renew, rules) = watch::channel(Arc::new(Rules::of(&first, &own)));
    let desk = Desk::new(snapshots, rules, &first.dns_servers, counts);
    let mut server = Server::new(desk.clone());
    for both in bound {
        if let Err(error) = open(&mut server, &desk, both) {
            tracing::error!(%error, "a DNS socket cannot be used");
        }
    }
    let follow = async {
        while settings.changed().await.is_ok() {
            let rules = Rules::of(&settings.borrow_and_update(), &own);
            renew.send_replace(Arc::new(rules));
        }
    };
    let ended = async { server.block_until_done().await.err() };
    let error = tokio::select! {
        error = ended => error,
        () = follow => return, // the process ends
    };
    let said = error.map_or_else(|| "all sockets closed".to_owned(), |error| error.to_string());
    tracing::error!(error = said, "DNS over UDP ended; restart the process");
    for address in addresses {
        let state = ListenerState::bound(NAME, Exposure::Internal, PROTOCOLS[0], address);
        let _ = reports.send(Report::Listener(ListenerState { error: Some(said.clone()), ..state })); // the registry ends last
    }
}

fn open(server: &mut Server<Desk>, desk: &Desk, both: Bound) -> std::io::Result<()> {
    server.register_socket(tokio::net::UdpSocket::from_std(both.udp)?);
    tokio::spawn(stream::serve(tokio::net::TcpListener::from_std(both.tcp)?, desk.clone()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(addresses: &[&str]) -> Settings {
        let mut settings = Settings::default();
        settings.dns.listen = addresses.iter().map(|text| text.parse().unwrap()).collect();
        settings
    }

    #[test]
    fn a_free_port_is_one_over_both_protocols() {
        let (bound, failed) = bind(&listening(&["127.0.0.1:0", "127.0.0.1:0"]));
        assert!(failed.is_empty() && bound.len() == 2);
        for both in &bound {
            assert_eq!((both.udp.local_addr().unwrap(), both.tcp.local_addr().unwrap()), (both.address, both.address));
            assert!(both.address.port() != 0);
        }
    }

    #[test]
    fn what_is_outside_or_taken_is_told_and_the_rest_is_bound() {
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = stranger.local_addr().unwrap().to_string();
        let (bound, failed) = bind(&listening(&["0.0.0.0:0", &taken, "127.0.0.1:0"]));
        assert_eq!((bound.len(), failed.len()), (1, 4));
        assert!(failed[0].error.as_ref().unwrap().contains("internalCidrs"), "{failed:?}");
        assert!(failed[2].error.as_ref().unwrap().contains("cannot bind"), "{failed:?}");
    }
}
