//! What is to be rolled: read from the command line, whole or not at all.

use std::str::FromStr;
use std::time::Duration;

use tidegate_tests::Chance;

use crate::contender::Name;
use crate::ledger::Kind;
use crate::world::Strategy;

pub(crate) const USAGE: &str = "\
rollout [--contenders tidegate,nginx,haproxy,envoy] [--rollouts 100] [--replicas 1,3] [--strategies surge,swap,recreate]
        [--kinds h1,close,h2,grpc,ws,tcp] [--pause 250] [--seed N] [--examples 3]
Without --strategies: surge and recreate for 1 replica, surge and swap for more.";

/// The wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) contenders: Vec<Name>,
    pub(crate) rollouts: u32,
    pub(crate) scenes: Vec<(usize, Strategy)>,
    pub(crate) kinds: Vec<Kind>,
    /// Between the replacement of a pod and that of the next.
    pub(crate) pause: Duration,
    pub(crate) seed: u64,
    /// Requests shown of each sort that speaks against a proxy.
    pub(crate) examples: usize,
}

impl Plan {
    /// Reads words of the command line. Errs with what is wrong with them.
    pub(crate) fn read(words: &[String]) -> Result<Plan, String> {
        let (mut contenders, mut kinds) = (Name::ALL.to_vec(), Kind::ALL.to_vec());
        let (mut rollouts, mut replicas, mut strategies) = (100, vec![1, 3], None);
        let (mut pause, mut seed, mut examples) = (250, None, 3);
        for pair in words.chunks(2) {
            let [flag, value] = pair else { return Err(format!("{} has no value\n{USAGE}", pair[0])) };
            match flag.as_str() {
                "--contenders" => contenders = named(flag, value, &Name::ALL, |name| name.word())?,
                "--kinds" => kinds = named(flag, value, &Kind::ALL, |kind| kind.word())?,
                "--strategies" => strategies = Some(named(flag, value, &Strategy::ALL, |strategy| strategy.word())?),
                "--replicas" => replicas = value.split(',').map(|one| number(flag, one, 1..=10)).collect::<Result<_, _>>()?,
                "--rollouts" => rollouts = number(flag, value, 1..=100_000)?,
                "--pause" => pause = number(flag, value, 0..=60_000)?,
                "--seed" => seed = Some(number(flag, value, 0..=u64::MAX)?),
                "--examples" => examples = number(flag, value, 0..=1000)?,
                _ => return Err(format!("found {flag:?}\n{USAGE}")),
            }
        }
        let scenes = replicas.into_iter().flat_map(|replicas| {
            let usual = if replicas == 1 { [Strategy::Surge, Strategy::Recreate] } else { [Strategy::Surge, Strategy::Swap] };
            strategies.clone().unwrap_or(usual.to_vec()).into_iter().map(move |strategy| (replicas, strategy))
        });
        let scenes = scenes.collect();
        let (pause, seed) = (Duration::from_millis(pause), seed.unwrap_or_else(Chance::seed));
        Ok(Plan { contenders, rollouts, scenes, kinds, pause, seed, examples })
    }
}

fn named<T: Copy>(flag: &str, value: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Result<Vec<T>, String> {
    let one = |name: &str| {
        let known = || all.iter().map(|&one| word(one)).collect::<Vec<_>>().join(", ");
        let found = all.iter().copied().find(|&one| word(one) == name);
        found.ok_or_else(|| format!("{flag}: found {name:?}, expected some of {}\n{USAGE}", known()))
    };
    value.split(',').map(one).collect()
}

fn number<T: FromStr + PartialOrd + std::fmt::Debug>(flag: &str, value: &str, range: std::ops::RangeInclusive<T>) -> Result<T, String> {
    let parsed = value.parse().ok().filter(|number| range.contains(number));
    parsed.ok_or_else(|| format!("{flag}: found {value:?}, expected a number of {range:?}\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Plan, String> {
        Plan::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_said_is_all() {
        let plan = read("--seed 7").unwrap();
        assert_eq!((plan.contenders.len(), plan.kinds.len(), plan.rollouts, plan.seed), (4, 6, 100, 7));
        assert_eq!(plan.pause, Duration::from_millis(250));
        let usual = [(1, Strategy::Surge), (1, Strategy::Recreate), (3, Strategy::Surge), (3, Strategy::Swap)];
        assert_eq!(plan.scenes, usual);
    }

    #[test]
    fn parts_are_named() {
        let plan = read("--contenders tidegate,nginx --rollouts 5 --replicas 3 --strategies recreate --kinds h1,ws --seed 1").unwrap();
        assert_eq!(plan.contenders, [Name::Tidegate, Name::Nginx]);
        assert_eq!((plan.rollouts, plan.kinds), (5, vec![Kind::H1, Kind::Ws]));
        assert_eq!(plan.scenes, [(3, Strategy::Recreate)]);
    }

    #[test]
    fn a_slip_is_named_with_what_was_expected() {
        for (line, word) in [
            ("--kinds h3", "h1, close, h2"),
            ("--rollouts many", "\"many\""),
            ("--rollouts 0", "\"0\""),
            ("--rollouts", "no value"),
            ("--replicas 0", "\"0\""),
            ("--pause -1", "\"-1\""),
            ("--contender tidegate", "--contenders"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
