use config::object::Check;
use proptest::prelude::*;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn probe(container: &str) -> Probe {
    let check = Check::Tcp { port: 80 };
    Probe { container: container.into(), check, initial_delay_s: 0, period_s: 10, timeout_s: 1, successes: 1, failures: 3 }
}

fn pod(name: &str) -> PodName {
    PodName { namespace: "a".into(), name: name.into() }
}

fn subject(met: u64, probes: Vec<Probe>) -> Arc<Subject> {
    Arc::new(Subject { met, ip: [10, 0, 0, 1].into(), probes: probes.into(), ready: false, at_once: false })
}

fn wanted(pods: &[(&str, &Arc<Subject>)]) -> Wanted {
    pods.iter().map(|(name, subject)| (pod(name), (*subject).clone())).collect()
}

fn judge_of(probe: Probe) -> Judge {
    let mut judge = Judge::new(7);
    judge.want(&wanted(&[("web", &subject(1, vec![probe]))]), s(0));
    judge
}

/// Lets the check that is due next be answered so, at once; when that was, and what came of it.
fn answer(judge: &mut Judge, answer: Result<(), Failure>) -> (Duration, Option<Verdict>) {
    let due = judge.next().expect("something is due");
    let job = judge.take(due).expect("it is due now");
    (due, judge.heard(&job, answer, due))
}

fn ready(verdict: Option<Verdict>) -> Option<bool> {
    verdict.map(|verdict| verdict.ready)
}

#[test]
fn it_is_ready_after_the_first_success_and_not_after_the_third_failure_in_a_row() {
    let mut judge = judge_of(probe("web"));
    let (_, first) = answer(&mut judge, Err(Failure::Status(503)));
    let first = first.expect("the first answer is told");
    assert_eq!((first.ready, first.why.as_deref(), first.turned), (false, Some("probe: HTTP 503"), true));
    assert_eq!(ready(answer(&mut judge, Ok(())).1), Some(true));
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(answer(&mut judge, Err(Failure::Refused)).1, None, "two failures are none");
        }
        assert_eq!(answer(&mut judge, Ok(())).1, None);
    }
    for _ in 0..2 {
        answer(&mut judge, Err(Failure::Refused));
    }
    let third = answer(&mut judge, Err(Failure::Refused)).1.expect("the third counts");
    assert_eq!((third.ready, third.why.as_deref()), (false, Some("probe: connection refused")));
    let other = answer(&mut judge, Err(Failure::Timeout(1))).1.expect("it fails in another way");
    assert_eq!((other.why.as_deref(), other.turned), (Some("probe: no answer within 1 s"), false));
    let back = answer(&mut judge, Ok(())).1.expect("one success is enough");
    assert_eq!((back.ready, back.why), (true, None));
}

#[test]
fn successes_must_be_in_a_row_too() {
    let mut judge = judge_of(Probe { successes: 3, ..probe("web") });
    let told = [Ok(()), Ok(()), Err(Failure::Cut), Ok(()), Ok(()), Ok(())].map(|said| ready(answer(&mut judge, said).1));
    assert_eq!(
        told,
        [Some(false), None, Some(false), None, None, Some(true)],
        "the first tells that it was asked, the third why it is not ready"
    );
}

#[test]
fn who_was_there_before_us_need_not_wait_for_its_initial_delay() {
    let mut judge = Judge::new(1);
    let late = Subject {
        probes: vec![Probe { initial_delay_s: 30, ..probe("web") }].into(),
        ip: [10, 0, 0, 1].into(),
        met: 1,
        ready: false,
        at_once: true,
    };
    judge.want(&wanted(&[("web", &Arc::new(late))]), s(5));
    assert_eq!(judge.next(), Some(s(5)));
}

#[test]
fn nobody_is_asked_before_the_initial_delay_is_over() {
    let mut judge = Judge::new(1);
    judge.want(&wanted(&[("web", &subject(1, vec![Probe { initial_delay_s: 30, ..probe("web") }]))]), s(5));
    assert_eq!(judge.next(), Some(s(35)));
    assert!(judge.take(s(34)).is_none());
    assert!(judge.take(s(35)).is_some());
}

#[test]
fn a_check_is_under_way_once_and_the_next_begins_a_period_after_its_begin() {
    let mut judge = judge_of(probe("web"));
    let job = judge.take(s(0)).unwrap();
    assert_eq!(judge.next(), None, "nothing is due while it is under way");
    judge.heard(&job, Ok(()), s(1));
    let (second, _) = answer(&mut judge, Ok(()));
    assert!(second < s(10), "after a random part of the period: {second:?}");
    let (third, _) = answer(&mut judge, Ok(()));
    let between = (third - second).as_secs_f64();
    assert!((9.5..=10.5).contains(&between), "{between}");
    let job = judge.take(s(60)).unwrap();
    judge.heard(&job, Ok(()), s(90));
    assert_eq!(judge.next(), Some(s(90)), "one that took longer than its period is made again at once");
}

#[test]
fn pods_that_come_together_are_spread_over_the_period() {
    let mut judge = Judge::new(3);
    let all: Vec<(String, Arc<Subject>)> = (0..1000).map(|n| (format!("p{n}"), subject(n, vec![probe("web")]))).collect();
    judge.want(&all.iter().map(|(name, subject)| (pod(name), subject.clone())).collect(), s(0));
    for _ in 0..1000 {
        answer(&mut judge, Ok(()));
    }
    let mut seconds = [0; 10];
    while let Some(job) = judge.take(s(10)) {
        let at = judge.next().unwrap_or(s(9));
        seconds[(at.as_secs() as usize).min(9)] += 1;
        drop(job);
    }
    assert!(seconds.iter().all(|count| (50..200).contains(count)), "{seconds:?}");
}

#[test]
fn a_pod_is_ready_when_all_of_its_probes_pass() {
    let mut judge = Judge::new(1);
    judge.want(&wanted(&[("web", &subject(1, vec![probe("app"), probe("log")]))]), s(0));
    let (app, log) = (judge.take(s(0)).unwrap(), judge.take(s(0)).unwrap());
    assert_eq!(judge.heard(&app, Ok(()), s(0)), None, "the other was not asked yet");
    let verdict = judge.heard(&log, Err(Failure::Serving(2)), s(0)).unwrap();
    assert_eq!((verdict.ready, verdict.whole, verdict.why.as_deref()), (false, true, Some("probe of log: health NOT_SERVING")));
}

#[test]
fn who_returns_or_moves_begins_anew_and_old_answers_are_nobodys() {
    let mut judge = judge_of(probe("web"));
    assert_eq!(ready(answer(&mut judge, Ok(())).1), Some(true));
    let under_way = judge.take(judge.next().unwrap()).unwrap();
    judge.want(&wanted(&[("web", &subject(2, vec![probe("web")]))]), s(20));
    assert!(!judge.knows(&under_way));
    assert_eq!(judge.heard(&under_way, Ok(()), s(20)), None);
    assert_eq!(judge.next(), Some(s(20)), "it is asked at once");
    let verdict = answer(&mut judge, Err(Failure::Refused)).1.unwrap();
    assert_eq!((verdict.met, verdict.ready), (2, false), "one failure is enough for who was never ready");
    judge.want(&Wanted::new(), s(30));
    assert_eq!((judge.next(), judge.len()), (None, 0));
}

#[test]
fn edited_probes_are_asked_at_once_and_the_verdict_stays_until_they_say_otherwise() {
    let mut judge = judge_of(probe("web"));
    answer(&mut judge, Ok(()));
    judge.want(&wanted(&[("web", &subject(1, vec![Probe { initial_delay_s: 60, failures: 2, ..probe("web") }]))]), s(3));
    assert_eq!(judge.next(), Some(s(3)));
    assert_eq!(ready(answer(&mut judge, Err(Failure::Refused)).1), Some(true), "once is not enough, and that is told");
    assert_eq!(ready(answer(&mut judge, Err(Failure::Refused)).1), Some(false));
    let mut begun = Judge::new(1);
    let was_ready = Arc::new(Subject { met: 1, ip: [10, 0, 0, 1].into(), probes: vec![probe("web")].into(), ready: true, at_once: false });
    begun.want(&wanted(&[("web", &was_ready)]), s(0));
    let told: Vec<_> = (0..3).map(|_| ready(answer(&mut begun, Err(Failure::Refused)).1)).collect();
    assert_eq!(told, [Some(true), None, Some(false)], "one that was ready before it had probes");
}

/// The kubelet's rule, as its worker has it: a result that comes often enough in a row becomes the state.
fn by_the_kubelet(answers: &[bool], successes: u32, failures: u32) -> Vec<bool> {
    let (mut state, mut last, mut row) = (false, None, 0);
    let step = |&answer: &bool| {
        row = if last == Some(answer) { row + 1 } else { 1 };
        last = Some(answer);
        if row >= if answer { successes } else { failures } {
            state = answer;
        }
        state
    };
    answers.iter().map(step).collect()
}

proptest! {
    #[test]
    fn thresholds_are_the_kubelets(answers in prop::collection::vec(any::<bool>(), 1..200), successes in 1_u32..5, failures in 1_u32..5, seed: u64) {
        let mut judge = Judge::new(seed);
        judge.want(&wanted(&[("web", &subject(1, vec![Probe { successes, failures, ..probe("web") }]))]), s(0));
        let mut state = false;
        let mut states = Vec::new();
        for &passes in &answers {
            if let (_, Some(verdict)) = answer(&mut judge, if passes { Ok(()) } else { Err(Failure::Cut) }) {
                state = verdict.ready;
                prop_assert!(verdict.ready == verdict.why.is_none() || (!verdict.ready && states.iter().all(|was| !was)));
            }
            states.push(state);
        }
        prop_assert_eq!(states, by_the_kubelet(&answers, successes, failures));
    }

    /// Pods come, go, return and answer late, in any order: each probe has one check under way at most, no earlier than it may, and no
    /// verdict is of who is gone.
    #[test]
    fn whatever_happens_each_is_asked_once_at_a_time(steps in prop::collection::vec((0_u8..6, 0_usize..4, any::<bool>()), 1..300), seed: u64) {
        let names = ["p0", "p1", "p2", "p3"];
        let mut judge = Judge::new(seed);
        let (mut now, mut met) = (s(0), 0);
        let mut current = Wanted::new();
        let mut under_way: Vec<Job> = Vec::new();
        for (step, who, flag) in steps {
            match step {
                0 => {
                    met += 1;
                    let probes = vec![Probe { initial_delay_s: 5, ..probe("a") }, Probe { period_s: 1, ..probe("b") }];
                    current.insert(pod(names[who]), subject(met, probes));
                    judge.want(&current, now);
                }
                1 => {
                    current.remove(&pod(names[who]));
                    judge.want(&current, now);
                }
                2 => now += Duration::from_millis(if flag { 300 } else { 4000 }),
                3 => while let Some(job) = judge.take(now) {
                    let id = (job.subject.met, job.at);
                    let live = current.get(&job.pod).is_some_and(|subject| Arc::ptr_eq(subject, &job.subject));
                    prop_assert!(live, "nobody asks who is gone");
                    prop_assert!(!under_way.iter().any(|other| (other.subject.met, other.at) == id));
                    under_way.push(job);
                },
                _ => if !under_way.is_empty() {
                    let job = under_way.remove(who % under_way.len());
                    let verdict = judge.heard(&job, if flag { Ok(()) } else { Err(Failure::Refused) }, now);
                    let live = current.get(&job.pod).is_some_and(|subject| Arc::ptr_eq(subject, &job.subject));
                    prop_assert!(verdict.is_none() || live);
                    prop_assert_eq!(judge.knows(&job), live);
                }
            }
            prop_assert_eq!(judge.len(), current.len());
            let live = under_way.iter().filter(|job| judge.knows(job)).count();
            prop_assert_eq!(judge.due.len() + live, 2 * current.len(), "each probe is under way or due");
        }
    }
}
