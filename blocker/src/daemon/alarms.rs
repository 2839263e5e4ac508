//! What somebody should look after, told to those who are told of bans: the brake, full tables, the database, interfaces.
//!
//! `status` and the log say the same. Here it is told when it begins and when it is over; an end counts only after [`QUIET`], so
//! that what comes and goes makes no flood. What is wrong is read off at most every [`EVERY`], and only after something has
//! happened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blocker_core::engine::{Held, HoldReason};

use super::interfaces::State as InterfaceState;
use super::{Daemon, fill, status};
use crate::notify::{Alarm, AlarmState};

/// From one look at what is wrong to the next, at least.
const EVERY: Duration = Duration::from_secs(1);

/// How long nothing may be wrong before an end is told.
const QUIET: Duration = Duration::from_secs(60);

/// For so long after the start an interface may be still to come, as at a boot, before it is told to be missing.
const GRACE: Duration = Duration::from_secs(60);

/// The kinds of alarms. Their names are promised to receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The brake holds bans.
    Brake,
    /// Of a table of bans four fifths are taken.
    TableNearlyFull,
    /// All of it is.
    TableFull,
    /// Bans and counts are not saved.
    Database,
    /// The database was damaged, and another one begun.
    DatabaseSetAside,
    /// An interface is not protected, or was not for a moment.
    Interface,
    /// The kernel has not taken what it was told.
    Kernel,
    /// Enforcement has ended because nobody confirmed it.
    Unconfirmed,
}

/// An alarm's kind and what it is about.
type Key = (Kind, Option<String>);

/// What is wrong at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    kind: Kind,
    about: Option<String>,
    title: String,
    text: String,
}

/// Which alarms have begun.
#[derive(Debug)]
pub(super) struct Alarms {
    begun: BTreeMap<Key, Begun>,
    looked: Instant,
    /// Whether something has happened since.
    is_due: bool,
}

#[derive(Debug)]
struct Begun {
    title: String,
    /// Since when it is over, if it is.
    over: Option<Instant>,
}

impl Alarms {
    pub(super) fn begin(now: Instant) -> Self {
        Self { begun: BTreeMap::new(), looked: now, is_due: true }
    }

    /// Takes in what is wrong at `now`; returns what is to be told.
    fn update(&mut self, wrong: Vec<Wrong>, now: Instant) -> Vec<Alarm> {
        let mut told = Vec::new();
        let mut are_wrong = Vec::with_capacity(wrong.len());
        for Wrong { kind, about, title, text } in wrong {
            let key = (kind, about.clone());
            let begun = self.begun.entry(key.clone()).or_insert_with(|| {
                let (alarm, state) = (kind.name(), AlarmState::Begin);
                told.push(Alarm { alarm, about, state, title: title.clone(), text });
                Begun { title, over: None }
            });
            begun.over = None;
            are_wrong.push(key);
        }
        self.begun.retain(|key, begun| {
            if are_wrong.contains(key) {
                return true;
            }
            let (kind, about) = key;
            let over = *begun.over.get_or_insert(now);
            if now.saturating_duration_since(over) < kind.quiet() {
                return true;
            }
            told.push(Alarm {
                alarm: kind.name(),
                about: about.clone(),
                state: AlarmState::End,
                title: begun.title.clone(),
                text: kind.relief().to_owned(),
            });
            false
        });
        told
    }

    fn has(&self, kind: Kind, about: &str) -> bool {
        self.begun.keys().any(|(begun, named)| *begun == kind && named.as_deref() == Some(about))
    }

    /// How long until what is wrong is to be looked at, if nothing happens meanwhile.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let ends = self.begun.iter().filter_map(|((kind, _), begun)| Some(begun.over? + kind.quiet()));
        let next = self.is_due.then_some(self.looked);
        let due = ends.chain(next).min()?.max(self.looked + EVERY);
        Some(due.saturating_duration_since(now))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Brake => "brake",
            Self::TableNearlyFull => "table-nearly-full",
            Self::TableFull => "table-full",
            Self::Database => "database",
            Self::DatabaseSetAside => "database-set-aside",
            Self::Interface => "interface",
            Self::Kernel => "kernel",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// What is said when it is over.
    fn relief(self) -> &'static str {
        match self {
            Self::Brake => "No ban has been held for a minute. Whoever goes on is banned by the next failure.",
            Self::TableNearlyFull | Self::TableFull => "There is room in it again.",
            Self::Database | Self::DatabaseSetAside => "Changes are saved again, with all that waited.",
            Self::Interface => "The program has been attached, or the interface is not wanted, for a minute.",
            Self::Kernel => "The maps agree with the bans again.",
            Self::Unconfirmed => "The configuration was taken up anew: see `blocker status`.",
        }
    }

    /// How long it must be over before that is told.
    fn quiet(self) -> Duration {
        match self {
            // It is on for a minute after the last ban that it held.
            Self::Brake => Duration::ZERO,
            Self::TableNearlyFull
            | Self::TableFull
            | Self::Database
            | Self::DatabaseSetAside
            | Self::Interface
            | Self::Kernel
            | Self::Unconfirmed => QUIET,
        }
    }
}

impl Daemon<'_> {
    /// Tells what has begun to be wrong, and what is over, if it is time to look and anybody wants to know.
    pub(super) fn tell_alarms(&mut self, now: Instant) {
        if !self.notifier.wants_alarms() {
            return;
        }
        if self.alarms.wait(now) != Some(Duration::ZERO) {
            // A turn of the daemon's loop is when something may have changed.
            self.alarms.is_due = true;
            return;
        }
        (self.alarms.looked, self.alarms.is_due) = (now, false);
        let wrong = self.wrong();
        for alarm in self.alarms.update(wrong, now) {
            self.notifier.alarm(&alarm);
        }
    }

    /// How long until there may be something to tell.
    pub(super) fn alarms_wait(&self, now: Instant) -> Option<Duration> {
        if self.notifier.wants_alarms() { self.alarms.wait(now) } else { None }
    }

    /// All that is wrong now.
    fn wrong(&mut self) -> Vec<Wrong> {
        let stats = self.engine.stats();
        let mut all = Vec::new();
        let mut add = |kind, about: Option<&str>, title: String, text: String| {
            all.push(Wrong { kind, about: about.map(str::to_owned), title, text });
        };
        for held in [stats.brake.too_many, stats.brake.logged_in] {
            let Held { failures: _, on: Some(why) } = held else { continue };
            let (about, title) = match why {
                HoldReason::TooMany { limit: _ } => ("bans_per_minute", "bans are held"),
                HoldReason::LoggedIn { percent: _ } => {
                    ("logged_in_percent", "bans of users who logged in lately are held")
                }
            };
            add(Kind::Brake, Some(about), title.to_owned(), status::holding(held).unwrap_or_default());
        }
        for table in fill::tables(&stats, self.capacity) {
            let name = table.name();
            if table.is_nearly_full(self.alarms.has(Kind::TableNearlyFull, name)) {
                let title = format!("the table of {} is nearly full", table.what());
                add(Kind::TableNearlyFull, Some(name), title, table.warning());
            }
            if table.is_full(self.alarms.has(Kind::TableFull, name)) {
                let text = format!("{} So far {} bans gave way.", table.warning(), stats.evicted);
                add(Kind::TableFull, Some(name), format!("the table of {} is full", table.what()), text);
            }
        }
        if let Some(text) = self.keeper.not_saved() {
            add(Kind::Database, None, "bans and counts are not saved".to_owned(), text);
        }
        if let Some(text) = self.keeper.set_aside() {
            add(Kind::DatabaseSetAside, None, "the database was damaged".to_owned(), text);
        }
        let is_early = self.started.elapsed() < GRACE;
        for (name, state) in self.interfaces.states() {
            match state {
                InterfaceState::Detached { why } if !is_early || self.interfaces.was_attached(name) => {
                    let text = format!("{name} is not attached: {why}");
                    add(Kind::Interface, Some(name), format!("{name} is not protected"), text);
                }
                InterfaceState::Detached { .. } | InterfaceState::Attached { .. } => {}
            }
        }
        for (name, why) in std::mem::take(&mut self.interfaces.lost) {
            let text = format!("The program was not attached to {name} any more ({why}), and was attached anew.");
            add(Kind::Interface, Some(&name), format!("{name} was not protected"), text);
        }
        let (waiting, lost) = (self.unsettled.waiting(), self.unsettled.lost());
        if waiting > 0 || lost > 0 {
            let text = format!(
                "{waiting} changes are tried again every second, {lost} are tried no more; the last refusal: {}",
                self.refused.1
            );
            add(Kind::Kernel, None, "the kernel refuses changes of its maps".to_owned(), text);
        }
        if self.is_trial_over()
            && let Some(text) = self.trial_problem()
        {
            add(Kind::Unconfirmed, None, "nothing is dropped".to_owned(), text);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(kind: Kind, about: &str) -> Wrong {
        Wrong { kind, about: Some(about.to_owned()), title: format!("{about} is wrong"), text: "Look!".to_owned() }
    }

    fn told(alarms: &mut Alarms, wrong: &[Wrong], now: Instant) -> Vec<(String, AlarmState)> {
        let told = alarms.update(wrong.to_vec(), now);
        told.into_iter().map(|alarm| (alarm.about.unwrap_or_default(), alarm.state)).collect()
    }

    #[test]
    fn a_beginning_is_told_once_and_an_end_when_it_has_lasted_a_minute() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut alarms = Alarms::begin(start);
        let both = [wrong(Kind::TableFull, "ipv4"), wrong(Kind::Interface, "eth0")];
        let (begin, end) = (AlarmState::Begin, AlarmState::End);

        assert_eq!(told(&mut alarms, &both[..1], at(0)), [("ipv4".to_owned(), begin)]);
        assert_eq!(told(&mut alarms, &both, at(1)), [("eth0".to_owned(), begin)]);
        assert!(alarms.has(Kind::TableFull, "ipv4") && !alarms.has(Kind::TableFull, "ipv6"));
        assert_eq!(told(&mut alarms, &both[1..], at(10)), []);
        assert_eq!(told(&mut alarms, &both, at(69)), [], "it has come back meanwhile");
        assert_eq!(told(&mut alarms, &both[1..], at(100)), []);
        assert_eq!(told(&mut alarms, &both[1..], at(159)), []);
        assert_eq!(told(&mut alarms, &both[1..], at(160)), [("ipv4".to_owned(), end)]);
        assert_eq!(told(&mut alarms, &both, at(161)), [("ipv4".to_owned(), begin)], "and told anew");
    }

    #[test]
    fn the_brake_has_a_minute_of_its_own() {
        let start = Instant::now();
        let mut alarms = Alarms::begin(start);
        let brake = [wrong(Kind::Brake, "bans_per_minute")];

        assert_eq!(told(&mut alarms, &brake, start).len(), 1);
        assert_eq!(told(&mut alarms, &[], start), [("bans_per_minute".to_owned(), AlarmState::End)]);
    }

    #[test]
    fn nothing_is_looked_at_unless_something_happens_or_an_end_is_due_nor_more_than_once_a_second() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut alarms = Alarms::begin(start);
        assert_eq!((alarms.wait(start), alarms.wait(at(1))), (Some(EVERY), Some(Duration::ZERO)));

        (alarms.looked, alarms.is_due) = (at(1), false);
        assert_eq!(alarms.wait(at(100)), None);
        told(&mut alarms, &[wrong(Kind::Interface, "eth0")], at(1));
        assert_eq!(alarms.wait(at(100)), None, "it is wrong until something happens");
        told(&mut alarms, &[], at(2));
        alarms.looked = at(2);
        assert_eq!(alarms.wait(at(2)), Some(QUIET));
        alarms.is_due = true;
        assert_eq!(alarms.wait(at(2)), Some(EVERY));
    }
}
