//! From boot time to wall time and back.
//!
//! Inside, and in the kernel, times are boot time, which nobody can set and which ends at a reboot. On disk they are wall
//! time. The difference of the two is written beside them and is the same for all rows: within one boot a time is read back
//! exactly as it was, whatever has been done to the clock meanwhile. When the clock is set, all rows are moved.
//!
//! After a reboot the clock may be wrong: many a small machine begins in 1970. It is never earlier than when the database
//! was last written; so no ban lasts longer than it had left then.

use std::fs;

use blocker_core::time::Timestamp;
use rusqlite::{Connection, Result};

use super::account;
use crate::clock::Reading;

/// The clock was set if it differs from before by more than this, in nanoseconds. It is also adjusted by small steps all the
/// time, which together come to this much in days at most.
const TOLERANCE_NS: i64 = 1_000_000_000;

/// Wall time minus boot time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset(pub(super) i64);

/// What is written with the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Of the boot in which they were written.
    pub(super) boot: String,
    /// Of all rows.
    pub(super) offset: Offset,
    /// When the last of them was written: wall time, in nanoseconds since 1970.
    pub(super) written: i64,
}

impl Offset {
    /// The present one.
    pub(super) fn now(clock: Reading) -> Self {
        Self(clock.wall_ns().saturating_sub(clock.boot().as_nanos()))
    }

    /// The one to read rows by that were written with `stamp`, in the boot called `boot`.
    pub(super) fn of_rows(stamp: Option<&Stamp>, boot: &str, clock: Reading) -> Self {
        let present = Self::now(clock);
        match stamp {
            None => present,
            Some(stamp) if stamp.boot == boot && !boot.is_empty() => stamp.offset,
            Some(stamp) => Self(present.0.max(stamp.written.saturating_sub(clock.boot().as_nanos()))),
        }
    }

    /// By how much rows must be moved to be of this offset, if it is worth it.
    pub(super) fn step_from(self, rows: Self) -> Option<i64> {
        let step = self.0.saturating_sub(rows.0);
        (step.saturating_abs() > TOLERANCE_NS).then_some(step)
    }

    /// The wall time, in nanoseconds since 1970.
    pub(super) fn wall(self, at: Timestamp) -> i64 {
        at.as_nanos().saturating_add(self.0)
    }

    /// The boot time; may lie before the boot.
    pub(super) fn boot(self, wall: i64) -> Timestamp {
        Timestamp::from_nanos(wall.saturating_sub(self.0))
    }
}

/// The name of this boot; empty, which is no boot's, if the kernel does not tell.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// Moves all times by `step` nanoseconds: the clock was set.
pub(super) fn move_rows(connection: &Connection, step: i64) -> Result<()> {
    // An end so far away that it cannot be moved stays the farthest there is.
    let (latest, earliest) = (i64::MAX.saturating_sub(step.max(0)), i64::MIN.saturating_sub(step.min(0)));
    let moved = |column: &str| format!("{column} = max(min({column}, ?2), ?3) + ?1");
    let bans = format!("UPDATE bans SET {}, {}", moved("started"), moved("until"));
    let failures = format!("UPDATE failures SET {}", moved("latest"));
    let lists = format!("UPDATE lists SET {}, {}", moved("started"), moved("until"));
    connection.execute(&bans, [step, latest, earliest])?;
    let [history, twins, sessions] =
        ["history", "twins", "sessions"].map(|table| format!("UPDATE {table} SET {}", moved("last")));
    let allowed = format!("UPDATE allowed SET {}, {}", moved("since"), moved("until"));
    connection.execute(&allowed, [step, latest, earliest])?;
    connection.execute(&lists, [step, latest, earliest])?;
    connection.execute(&failures, [step, latest, earliest])?;
    connection.execute(&history, [step, latest, earliest])?;
    connection.execute(&twins, [step, latest, earliest])?;
    connection.execute(&sessions, [step, latest, earliest])?;
    connection.execute(&format!("UPDATE logins SET {}", moved("began")), [step, latest, earliest])?;
    for (table, columns) in account::TIMES {
        let columns: Vec<String> = columns.iter().map(|column| moved(column)).collect();
        let times = format!("UPDATE {table} SET {}", columns.join(", "));
        connection.execute(&times, [step, latest, earliest])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn within_one_boot_a_time_is_read_back_as_it_was_whatever_the_clock_says() {
        let stamp = Stamp { boot: "a".into(), offset: Offset(1_000 * S), written: 1_100 * S };
        let after_a_step = Reading::at(Timestamp::from_secs(200), 9_000 * S);

        let rows = Offset::of_rows(Some(&stamp), "a", after_a_step);

        assert_eq!(rows.boot(rows.wall(Timestamp::from_secs(150))), Timestamp::from_secs(150));
        assert_eq!(rows, Offset(1_000 * S));
        assert_eq!(Offset::now(after_a_step).step_from(rows), Some(7_800 * S), "and the rows are moved");
        assert_eq!(Offset(S).step_from(Offset(0)), None, "a clock is always adjusted a little");
    }

    #[test]
    fn after_a_reboot_the_wall_clock_counts() {
        let stamp = Stamp { boot: "a".into(), offset: Offset(1_000 * S), written: 1_100 * S };
        let clock = Reading::at(Timestamp::from_secs(10), 1_160 * S);

        let rows = Offset::of_rows(Some(&stamp), "b", clock);

        assert_eq!(rows.boot(1_200 * S), Timestamp::from_secs(50), "40 s from here");
        assert_eq!(Offset::of_rows(None, "b", clock), rows, "as in a new database");
    }

    #[test]
    fn a_clock_that_begins_in_1970_prolongs_no_ban_beyond_what_it_had_left() {
        let stamp = Stamp { boot: "a".into(), offset: Offset(1_000 * S), written: 1_100 * S };
        let clock = Reading::at(Timestamp::from_secs(10), 20 * S);

        let rows = Offset::of_rows(Some(&stamp), "b", clock);

        assert_eq!(rows.boot(1_200 * S), Timestamp::from_secs(110), "the 100 s that were left");
    }
}
