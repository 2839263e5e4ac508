//! What fail2ban's server answers: the client makes text of it, which scripts parse.

use blocker_core::time::{BanTime, parse_span};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_pickle::Value;

use super::pickle::{dict, int, list, pair, row, string};
use crate::control::status::JailStatus;
use crate::control::wire::Ban;

/// How much of a jail is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    Basic,
    Short,
    Stats,
}

impl Flavor {
    /// fail2ban takes what it does not know for `basic`, too.
    pub(super) fn of(name: Option<&str>) -> Self {
        match name {
            Some("short") => Self::Short,
            Some("stats") => Self::Stats,
            Some(_) | None => Self::Basic,
        }
    }
}

/// The names of all jails, by name.
pub(super) fn names(jails: &[JailStatus]) -> String {
    let mut names: Vec<&str> = jails.iter().map(|jail| jail.name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

/// `status`; and with `each` jail `status --all`.
pub(super) fn overview(jails: &[JailStatus], each: Option<Value>) -> Value {
    let number = row("Number of jail", int(jails.len()));
    Value::List([number, row("Jail list", string(names(jails)))].into_iter().chain(each).collect())
}

/// All jails by name: what `status JAIL` tells of each.
pub(super) fn each(jails: &[JailStatus], bans: &[Ban], flavor: Flavor) -> Value {
    dict(jails.iter().map(|status| (status.name.clone(), jail(status, bans, flavor))))
}

/// `status JAIL`. `bans` may be those of all jails.
pub(super) fn jail(status: &JailStatus, bans: &[Ban], flavor: Flavor) -> Value {
    let failed = (int(status.tracked), int(status.failures));
    // Bans that were there when the daemon started are among those in force, and none that it made.
    let total = status.bans.max(status.in_force as u64);
    let banned = (int(status.in_force), int(total));
    if flavor == Flavor::Stats {
        let backend = if status.journal.is_empty() { "inotify" } else { "systemd" };
        return Value::List(vec![string(backend), pair(failed.0, failed.1), pair(banned.0, banned.1)]);
    }
    let mut filter = vec![row("Currently failed", failed.0), row("Total failed", failed.1)];
    if !status.files.is_empty() || !status.streams.is_empty() || status.journal.is_empty() {
        filter.push(row("File list", list(status.files.iter().chain(&status.streams), string)));
    }
    if !status.journal.is_empty() {
        filter.push(row("Journal matches", list([status.journal.join(" + ")], string)));
    }
    let mut actions = vec![row("Currently banned", banned.0), row("Total banned", banned.1)];
    if flavor == Flavor::Basic {
        actions.push(row("Banned IP list", list(begun(bans, &status.name), |ban| string(ban.prefix.to_string()))));
    }
    Value::List(vec![row("Filter", Value::List(filter)), row("Actions", Value::List(actions))])
}

/// A jail's bans, as they began.
pub(super) fn begun<'a>(bans: &'a [Ban], jail: &str) -> Vec<&'a Ban> {
    let mut of_jail: Vec<&Ban> = bans.iter().filter(|ban| ban.jail == jail).collect();
    // All of one form and zone, so that they sort as texts.
    of_jail.sort_by(|one, other| one.since.cmp(&other.since));
    of_jail
}

/// `get JAIL banip`, as they end; `with_time` each with its time.
pub(super) fn ending(bans: &[Ban], jail: &str, with_time: bool) -> Value {
    let mut of_jail = begun(bans, jail);
    of_jail.sort_by_key(|ban| ban.remaining_s.unwrap_or(u64::MAX));
    list(of_jail, |ban| string(if with_time { timed(ban) } else { ban.prefix.to_string() }))
}

/// `192.0.2.9 \t2026-01-02 03:04:05 + 600 = 2026-01-02 03:14:05`, in the machine's zone.
fn timed(ban: &Ban) -> String {
    let since = ban.since.parse::<Timestamp>();
    let until = ban.until.parse::<Timestamp>();
    let civil = |time: &Result<Timestamp, jiff::Error>, otherwise: &str| {
        let zoned = time.as_ref().map(|time| time.to_zoned(TimeZone::system()));
        zoned.map_or_else(|_| otherwise.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
    };
    let seconds = match (&since, &until) {
        (Ok(since), Ok(until)) => until.as_second() - since.as_second(),
        _ => FOREVER,
    };
    let (began, ends) = (civil(&since, &ban.since), civil(&until, "9999-12-31 23:59:59"));
    format!("{} \t{began} + {seconds} = {ends}", ban.prefix)
}

/// How fail2ban writes the length of a ban without an end.
const FOREVER: i64 = -1;

/// `get JAIL bantime`, in seconds.
pub(super) fn ban_seconds(text: &str) -> Value {
    match text.parse() {
        Ok(BanTime::For(span)) => int(span.as_secs()),
        Ok(BanTime::Forever) => int(FOREVER),
        // It may have a formula and a random part besides.
        Err(_) => string(text),
    }
}

/// `get JAIL findtime`, in seconds.
pub(super) fn seconds(text: &str) -> Value {
    parse_span(text).map_or_else(|_| string(text), |span| int(span.as_secs()))
}

#[cfg(test)]
pub(super) mod testing {
    //! Bans as the daemon tells them.

    use super::Ban;

    /// One for ever, by dovecot.
    pub(crate) fn ban(prefix: &str) -> Ban {
        Ban {
            prefix: prefix.parse().expect("a prefix"),
            jail: "dovecot".to_owned(),
            since: "2026-01-02T03:04:05Z".to_owned(),
            until: "forever".to_owned(),
            remaining_s: None,
            origin: "log".to_owned(),
            attempts: 5.0,
            reason: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(prefix: &str, since: &str, until: &str, remaining_s: Option<u64>) -> Ban {
        Ban { since: since.to_owned(), until: until.to_owned(), remaining_s, ..testing::ban(prefix) }
    }

    #[test]
    fn bans_are_listed_as_they_begin_and_told_as_they_end() {
        let bans = [
            ban("192.0.2.1", "2026-01-02T03:04:07Z", "forever", None),
            ban("192.0.2.2", "2026-01-02T03:04:06Z", "2026-01-02T04:04:06Z", Some(3000)),
            ban("192.0.2.3", "2026-01-02T03:04:08Z", "2026-01-02T03:14:08Z", Some(600)),
        ];

        let begun: Vec<String> = begun(&bans, "dovecot").into_iter().map(|ban| ban.prefix.to_string()).collect();

        assert_eq!(begun, ["192.0.2.2", "192.0.2.1", "192.0.2.3"]);
        let expected = ["192.0.2.3", "192.0.2.2", "192.0.2.1"];
        assert_eq!(ending(&bans, "dovecot", false), list(expected, string));
        assert_eq!(ending(&bans, "sshd", false), Value::List(Vec::new()));
    }

    #[test]
    fn a_ban_is_told_with_its_length_and_its_end() {
        let ending = timed(&ban("192.0.2.3", "2026-01-02T03:04:08Z", "2026-01-02T03:14:08Z", Some(600)));
        let (prefix, times) = ending.split_once(" \t").unwrap();
        assert_eq!(prefix, "192.0.2.3");
        assert_eq!(times.len(), "2026-01-02 03:04:08 + 600 = 2026-01-02 03:14:08".len(), "{times}");
        assert!(times[19..].starts_with(" + 600 = "), "{times}");

        let forever = timed(&ban("192.0.2.3", "2026-01-02T03:04:08Z", "forever", None));
        assert!(forever.ends_with(" + -1 = 9999-12-31 23:59:59"), "{forever}");
    }

    #[test]
    fn limits_are_told_in_seconds() {
        assert_eq!(ban_seconds("1h30m"), int(5400));
        assert_eq!(ban_seconds("forever"), int(-1));
        assert_eq!(seconds("10m"), int(600));
    }
}
