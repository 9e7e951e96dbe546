//! Each ruling, from facts made by hand.

use super::*;
use crate::ledger::TAKER;

/// A scene whose times are milliseconds since its start.
struct Scene {
    start: Instant,
    lives: Vec<Life>,
    journal: Journal,
}

impl Scene {
    /// `old` of the shop lives until 1000; its process is gone at 1002, its endpoint removed at 1020 and let go at 1050. From 1005 on
    /// `stranger` of the other Service has its address. `new` lives on.
    fn new() -> Scene {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let life = |service, pod: &str, ip: u8, born| Life {
            service,
            pod: pod.to_owned(),
            ip: Ipv4Addr::new(127, 0, 0, ip),
            born: at(born),
            told: None,
            ended: None,
            removed: None,
            let_go: None,
        };
        let old = Life {
            told: Some(at(1000)),
            ended: Some(at(1002)),
            removed: Some(at(1020)),
            let_go: Some(at(1050)),
            ..life(SHOP, "old", 1, 0)
        };
        let lives = vec![old, life(SHOP, "new", 2, 500), life(TAKER, "stranger", 1, 1005)];
        Scene { start, lives, journal: Journal::default() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn record(&self, (kind, ask): (Kind, Ask), (sent, ended): (u64, u64), pod: &str, end: End) -> Record {
        let service = if pod == "stranger" { TAKER } else { SHOP };
        let by = (!pod.is_empty()).then(|| By { service: service.to_owned(), pod: pod.to_owned() });
        let (sent, ended) = (self.at(sent), self.at(ended));
        Record { id: 7, kind, ask, service: SHOP, next: false, sent, ended, by, messages: 0, again: 0, end }
    }

    fn rule(&self, what: (Kind, Ask), times: (u64, u64), pod: &str, end: End) -> Ruling {
        Court::of(&self.lives, &self.journal).rule(&self.record(what, times, pod, end))
    }
}

const GET: (Kind, Ask) = (Kind::H1, Ask::Get);
const POST: (Kind, Ask) = (Kind::H1, Ask::Post);
const SLOW: (Kind, Ask) = (Kind::H1, Ask::Slow);
const CALL: (Kind, Ask) = (Kind::Grpc, Ask::Call);
const TALK: (Kind, Ask) = (Kind::Ws, Ask::Talk);
const MS: Duration = Duration::from_millis(1);

fn fails(ruling: &Ruling) -> bool {
    matches!(ruling, Ruling::Failed(_) | Ruling::BadCut(_) | Ruling::WrongLate(_))
}

#[test]
fn a_whole_answer_is_good() {
    assert_eq!(Scene::new().rule(GET, (10, 20), "old", End::Whole), Ruling::Good);
}

#[test]
fn what_may_be_repeated_has_no_excuse() {
    let scene = Scene::new();
    for end in [End::Refused(502), End::Cut(Cut::Fin), End::Silent] {
        let ruling = scene.rule(GET, (999, 1003), "", end);
        assert!(matches!(ruling, Ruling::Failed(_)), "{ruling:?}");
    }
}

#[test]
fn a_post_is_lost_only_with_a_replica_that_is_gone() {
    let mut scene = Scene::new();
    assert!(fails(&scene.rule(POST, (900, 950), "", End::Refused(502))), "nobody had gone");
    assert!(fails(&scene.rule(POST, (1003, 1004), "", End::Refused(502))), "it was gone before, and it reached nobody");
    assert_eq!(scene.rule(POST, (999, 1004), "", End::Refused(502)), Ruling::Lost(2 * MS), "it was under way just then");
    assert!(fails(&scene.rule(POST, (999, 1004), "", End::Silent)));
    assert_eq!(scene.rule(POST, (999, 1004), "", End::Cut(Cut::Fin)), Ruling::Lost(2 * MS));
    assert!(fails(&scene.rule((Kind::H2, Ask::Post), (999, 1004), "", End::Cut(Cut::Gone))), "others on the connection went, too");
    assert!(fails(&scene.rule(POST, (999, 2100), "", End::Refused(502))), "late");
    scene.journal.add(7, "new");
    assert!(fails(&scene.rule(POST, (900, 950), "", End::Refused(502))), "it had reached one that lives");
    scene.journal = Journal::default();
    scene.journal.add(7, "old");
    assert_eq!(scene.rule(POST, (900, 1012), "", End::Refused(502)), Ruling::Lost(10 * MS));
}

#[test]
fn a_call_is_lost_by_unavailable_alone() {
    let mut scene = Scene::new();
    scene.journal.add(7, "old");
    assert_eq!(scene.rule(CALL, (990, 1003), "", End::Cut(Cut::Status(14))), Ruling::Lost(MS));
    assert_eq!(scene.rule(CALL, (990, 1003), "", End::Refused(502)), Ruling::Lost(MS), "which clients of gRPC take for it");
    for end in [End::Cut(Cut::Status(13)), End::Cut(Cut::Stream(8)), End::Cut(Cut::Gone), End::Refused(500), End::Short] {
        assert!(fails(&scene.rule(CALL, (990, 1003), "", end.clone())), "{end}");
    }
}

#[test]
fn what_had_begun_breaks_off_in_time_and_in_words() {
    let scene = Scene::new();
    let cut = |what, ended, pod, cut| scene.rule(what, (900, ended), pod, End::Cut(cut));
    assert_eq!(cut(SLOW, 1004, "old", Cut::Fin), Ruling::Cut(2 * MS));
    assert_eq!(cut(SLOW, 1001, "old", Cut::Reset), Ruling::Cut(Duration::ZERO), "before anybody saw that the process was gone");
    assert!(fails(&cut(SLOW, 1004, "new", Cut::Fin)), "its replica lives");
    assert!(fails(&cut(SLOW, 990, "old", Cut::Fin)), "its replica still lived");
    assert!(fails(&cut(SLOW, 2003, "old", Cut::Fin)), "late");
    assert!(fails(&scene.rule(SLOW, (900, 1500), "old", End::Silent)), "it never broke off");
    assert!(fails(&scene.rule(SLOW, (900, 1004), "old", End::Short)), "half an answer that looks whole");
    assert_eq!(cut(TALK, 1003, "old", Cut::Close(1012)), Ruling::Cut(MS));
    assert!(fails(&cut(TALK, 1003, "old", Cut::Fin)), "a WebSocket ends with a close frame");
    assert_eq!(cut((Kind::Grpc, Ask::Talk), 1003, "old", Cut::Status(14)), Ruling::Cut(MS));
    assert!(fails(&cut((Kind::Grpc, Ask::Talk), 1003, "old", Cut::Stream(8))));
    assert_eq!(cut((Kind::H2, Ask::Slow), 1003, "old", Cut::Stream(2)), Ruling::Cut(MS));
    assert!(fails(&cut((Kind::H2, Ask::Slow), 1003, "old", Cut::Gone)), "others on the connection went, too");
}

#[test]
fn a_connection_that_nobody_greeted_is_excused_only_in_the_moment_of_a_death() {
    let scene = Scene::new();
    let line = |times| scene.rule((Kind::Tcp, Ask::Line), times, "", End::Cut(Cut::Reset));
    assert_eq!(line((1001, 1003)), Ruling::Lost(MS));
    assert!(fails(&line((1010, 1011))), "refused while nothing was under way");
    assert!(fails(&line((100, 101))));
}

#[test]
fn a_strangers_answer_counts_before_the_word_and_fails_after_it() {
    let scene = Scene::new();
    assert_eq!(scene.rule(GET, (1010, 1020), "stranger", End::Whole), Ruling::WrongEarly(8 * MS));
    assert_eq!(scene.rule(GET, (1049, 1060), "stranger", End::Whole), Ruling::WrongEarly(47 * MS), "it was sent before");
    assert!(matches!(scene.rule(GET, (1051, 1060), "stranger", End::Whole), Ruling::WrongLate(_)));
    let mut never = Scene::new();
    never.lives[2].ip = Ipv4Addr::new(127, 0, 0, 9);
    assert!(matches!(never.rule(GET, (1010, 1020), "stranger", End::Whole), Ruling::WrongLate(_)), "the shop never had that address");
}

#[test]
fn twice_is_once_too_often_even_if_it_was_answered() {
    let mut scene = Scene::new();
    scene.journal.add(7, "old");
    let records = [scene.record(POST, (990, 1010), "new", End::Whole)];
    let judged = |scene: &Scene| judge(&records, &scene.lives, &scene.journal, scene.start);
    assert!(judged(&scene).is_good());
    scene.journal.add(7, "new");
    let verdict = judged(&scene);
    assert!(!verdict.is_good());
    assert_eq!((verdict.rows[&POST].duplicated, verdict.findings.len()), (1, 1));
}

#[test]
fn nothing_proves_nothing() {
    let scene = Scene::new();
    assert!(!judge(&[], &scene.lives, &scene.journal, scene.start).is_good(), "no request");
    let lost = [scene.record(POST, (999, 1004), "", End::Refused(502))];
    assert!(!judge(&lost, &scene.lives, &scene.journal, scene.start).is_good(), "no good answer");
    let good = [scene.record(GET, (10, 20), "old", End::Whole)];
    assert!(!judge(&good, &scene.lives[1..], &scene.journal, scene.start).is_good(), "nobody was replaced");
    assert!(judge(&good, &scene.lives, &scene.journal, scene.start).is_good());
}

#[test]
fn a_removal_without_the_proxys_word_speaks_against_it() {
    let mut scene = Scene::new();
    scene.lives[0].let_go = None;
    let good = [scene.record(GET, (10, 20), "old", End::Whole)];
    let verdict = judge(&good, &scene.lives, &scene.journal, scene.start);
    assert_eq!((verdict.held, verdict.is_good()), (1, false));
}

#[test]
fn what_follows_a_cut_is_counted_apart() {
    let scene = Scene::new();
    let next = |end| Record { next: true, ..scene.record(TALK, (1004, 1005), "", end) };
    let whole = Record { by: Some(By { service: SHOP.to_owned(), pod: "new".to_owned() }), ..next(End::Whole) };
    let verdict = judge(&[whole, next(End::Refused(503))], &scene.lives, &scene.journal, scene.start);
    assert_eq!((verdict.rows[&TALK].next, verdict.rows[&TALK].next_failed), (2, 1));
    assert_eq!(verdict.handed_on.at(1.0), 3 * MS);
    assert_eq!((verdict.let_go.at(0.5), verdict.bound), (30 * MS, 48 * MS));
}
