//! The tracker against a recount of everything that ever happened.

use std::collections::BTreeSet;
use std::time::Duration;

use blocker_core::attempts::Attempts;
use blocker_core::engine::JailId;
use blocker_core::prefix::Prefix;
use blocker_core::time::Timestamp;
use blocker_core::tracker::Tracker;
use proptest::prelude::*;

/// Short, and a multiple of the steps below, so that failures often fall on the very boundary.
const WINDOW: Duration = Duration::from_nanos(6);

#[derive(Clone, Debug)]
enum Step {
    Fail {
        jail: u8,
        host: u8,
        tenths: u32,
        /// How long ago it was made; negative: in the future.
        ago: i64,
    },
    Forget {
        jail: u8,
        host: u8,
    },
    ForgetPrefix {
        host: u8,
    },
    ForgetJail {
        jail: u8,
    },
    Purge,
    /// Negative: the clock steps back.
    Advance {
        nanos: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let jail = 0..2u8;
    let host = 0..3u8;
    prop_oneof![
        8 => (jail.clone(), host.clone(), 1..25u32, prop_oneof![Just(0i64), -2..9i64])
            .prop_map(|(jail, host, tenths, ago)| Step::Fail { jail, host, tenths, ago }),
        1 => (jail.clone(), host.clone()).prop_map(|(jail, host)| Step::Forget { jail, host }),
        1 => host.prop_map(|host| Step::ForgetPrefix { host }),
        1 => jail.prop_map(|jail| Step::ForgetJail { jail }),
        1 => Just(Step::Purge),
        6 => (-3..7i64).prop_map(|nanos| Step::Advance { nanos }),
    ]
}

/// Every failure that was not forgotten on request, for ever.
#[derive(Default)]
struct Model {
    failures: Vec<(i64, u8, u8, u32)>,
    latest: i64,
}

impl Model {
    fn in_window(&self) -> impl Iterator<Item = &(i64, u8, u8, u32)> {
        self.failures.iter().filter(|(at, ..)| u128::from((self.latest - at).unsigned_abs()) < WINDOW.as_nanos())
    }

    fn sum(&self, jail: u8, host: u8) -> Attempts {
        self.in_window().filter(|f| (f.1, f.2) == (jail, host)).map(|f| Attempts::tenths(f.3)).sum()
    }

    fn tracked(&self) -> BTreeSet<(u8, u8)> {
        self.in_window().map(|f| (f.1, f.2)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_window_holds_what_a_recount_finds(steps in prop::collection::vec(step(), 1..60)) {
        let mut tracker = Tracker::new(1_000);
        let mut model = Model::default();
        let mut clock = 0i64;
        tracker.purge(Timestamp::from_nanos(clock));
        for step in steps {
            match step {
                Step::Fail { jail, host, tenths, ago } => {
                    model.latest = model.latest.max(clock);
                    let made = if ago > 0 { clock - ago } else { model.latest };
                    model.failures.push((made, jail, host, tenths));
                    let (made, now) = (Timestamp::from_nanos(clock - ago), Timestamp::from_nanos(clock));
                    let sum = tracker.record(id(jail), prefix(host), Attempts::tenths(tenths), WINDOW, made, now);
                    prop_assert_eq!(sum, model.sum(jail, host));
                }
                Step::Forget { jail, host } => {
                    tracker.forget(id(jail), prefix(host));
                    model.failures.retain(|f| (f.1, f.2) != (jail, host));
                }
                Step::ForgetPrefix { host } => {
                    tracker.forget_prefix(prefix(host));
                    model.failures.retain(|f| f.2 != host);
                }
                Step::ForgetJail { jail } => {
                    tracker.forget_jail(id(jail));
                    model.failures.retain(|f| f.1 != jail);
                }
                Step::Purge => {
                    model.latest = model.latest.max(clock);
                    tracker.purge(Timestamp::from_nanos(clock));
                }
                Step::Advance { nanos } => {
                    clock += nanos;
                    continue;
                }
            }
            tracker.purge(Timestamp::from_nanos(model.latest));
            prop_assert_eq!(tracker.len(), model.tracked().len(), "what left the window is purged, nothing else is");
            prop_assert!(tracker.next_purge().is_none_or(|due| due > Timestamp::from_nanos(model.latest)));
            prop_assert_eq!(tracker.next_purge().is_none(), tracker.is_empty());
        }
    }

    #[test]
    fn never_more_sources_than_the_bound_and_nobody_is_forgotten_in_silence(
        hosts in prop::collection::vec((0..2u8, 0..20u8), 1..200),
        bound in 1..10usize,
    ) {
        let mut tracker = Tracker::new(bound);
        let mut order: Vec<(u8, u8)> = Vec::new();
        let mut forgotten = 0;
        for (tick, (jail, host)) in (0..).zip(hosts) {
            let window = Duration::from_secs(3_600);
            let now = Timestamp::from_nanos(tick);
            tracker.record(id(jail), prefix(host), Attempts::whole(1), window, now, now);
            order.retain(|&pair| pair != (jail, host));
            order.push((jail, host));
            if order.len() > bound {
                order.remove(0);
                forgotten += 1;
            }
            prop_assert_eq!(tracker.len(), order.len());
            prop_assert_eq!(tracker.forgotten(), forgotten, "the one that failed longest ago");
            for jail in 0..2 {
                prop_assert_eq!(tracker.tracked_by(id(jail)), order.iter().filter(|pair| pair.0 == jail).count());
            }
        }
    }
}

fn id(jail: u8) -> JailId {
    JailId::new(jail).expect("the test's jails are few")
}

fn prefix(host: u8) -> Prefix {
    Prefix::host([198, 51, 100, host].into())
}
