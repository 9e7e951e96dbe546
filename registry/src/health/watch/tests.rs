use std::net::SocketAddr;

use config::object::{Check, Probe};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::{PodName, Subject};
use super::*;

const LONG: Duration = Duration::from_secs(10);

fn pod(name: &str) -> PodName {
    PodName { namespace: "a".into(), name: name.into() }
}

fn at(address: SocketAddr, met: u64) -> Arc<Subject> {
    patient(address, met, 1)
}

fn patient(address: SocketAddr, met: u64, timeout_s: u32) -> Arc<Subject> {
    let probe = Probe {
        container: "c".into(),
        check: Check::Tcp { port: address.port() },
        initial_delay_s: 0,
        period_s: 1,
        timeout_s,
        successes: 1,
        failures: 1,
    };
    Arc::new(Subject { met, ip: address.ip(), probes: vec![probe].into(), ready: false, at_once: false })
}

async fn verdict(events: &mut mpsc::Receiver<Event>) -> Verdict {
    match timeout(LONG, events.recv()).await {
        Ok(Some(Event::Judged(verdict))) => verdict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_wanted_is_asked_and_who_leaves_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (want, wanted) = watch::channel(Arc::new(Wanted::new()));
    let (out, mut events) = mpsc::channel(4);
    let tally = Arc::<Tally>::default();
    let running = tokio::spawn(super::watch(wanted, tally.clone(), out, 1));
    want.send(Arc::new([(pod("up"), at(here, 1)), (pod("down"), at(gone, 2))].into())).unwrap();
    let mut told = [verdict(&mut events).await, verdict(&mut events).await];
    told.sort_by_key(|verdict| verdict.met);
    assert_eq!((told[0].pod.to_string().as_str(), told[0].ready), ("a/up", true));
    assert_eq!((told[1].ready, told[1].why.as_deref()), (false, Some("probe: connection refused")));
    drop(listener);
    let turned = verdict(&mut events).await;
    assert_eq!((turned.met, turned.ready), (1, false));
    let read = tally.read();
    assert!(
        read.iter().any(|(label, count)| *label == "success" && *count > 0)
            && read.iter().any(|(label, count)| *label == "refused" && *count > 1)
    );
    drop(want);
    timeout(LONG, running).await.expect("it ends when nobody wants any more").unwrap();
}

/// Somewhere whose queue is full, with those who fill it: whoever connects hears nothing.
async fn stalls() -> (SocketAddr, TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut full = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await {
        full.push(stream);
    }
    (address, listener, full)
}

/// Who is given up makes room at once, also where nothing else happens.
#[tokio::test]
async fn those_who_left_hold_up_nobody_who_comes() {
    let (address, _listener, _full) = stalls().await;
    let up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let all: Wanted = (0..MOST_AT_ONCE as u64).map(|n| (pod(&format!("p{n}")), patient(address, n + 1, 3600))).collect();
    let (want, wanted) = watch::channel(Arc::new(all));
    let (out, mut events) = mpsc::channel(4);
    tokio::spawn(super::watch(wanted, Arc::default(), out, 1));
    tokio::task::yield_now().await; // all of them are under way now
    want.send(Arc::new([(pod("new"), at(up.local_addr().unwrap(), 10_000))].into())).unwrap();
    let verdict = verdict(&mut events).await;
    assert_eq!((verdict.met, verdict.ready), (10_000, true));
}

/// More stall than may be under way at once: the others are asked all the same, when those have had their time.
#[tokio::test]
async fn no_more_than_the_bound_are_under_way_and_nobody_is_forgotten() {
    let (stalls, _listener, _full) = stalls().await;
    let up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut all: Wanted = (0..MOST_AT_ONCE as u64 + 50).map(|n| (pod(&format!("p{n}")), at(stalls, n + 1))).collect();
    all.insert(pod("up"), at(up.local_addr().unwrap(), 10_000)); // the last by name, so that all others come first
    let (_want, wanted) = watch::channel(Arc::new(all));
    let (out, mut events) = mpsc::channel(4);
    tokio::spawn(super::watch(wanted, Arc::default(), out, 1));
    loop {
        let verdict = verdict(&mut events).await;
        if verdict.met == 10_000 {
            assert!(verdict.ready);
            break;
        }
        assert_eq!(verdict.why.as_deref(), Some("probe: no answer within 1 s"));
    }
}
