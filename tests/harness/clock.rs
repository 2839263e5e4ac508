//! The two clocks of the laboratory: the kernel's, on which drops are dated, and the one in log lines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot on `CLOCK_BOOTTIME`, the clock of `first_drop_boot_ns`.
///
/// # Panics
///
/// Never on a Linux kernel: `CLOCK_BOOTTIME` exists since 2.6.39.
#[must_use]
pub fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists since Linux 2.6.39");
    u64::try_from(Duration::from(now).as_nanos()).expect("585 years of nanoseconds fit")
}

/// The present time as rsyslog writes it: `2026-11-23T01:11:33.070638+00:00`.
///
/// # Panics
///
/// If the system clock is set before 1970.
#[must_use]
pub fn log_stamp() -> String {
    log_stamp_of(Duration::ZERO)
}

/// The time that was present so long `ago`, in the same form.
///
/// # Panics
///
/// If the system clock, or the time asked for, is before 1970.
#[must_use]
pub fn log_stamp_of(ago: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set later than 1970");
    let now = now.checked_sub(ago).expect("the time is later than 1970");
    let (days, second_of_day) = (now.as_secs() / 86_400, now.as_secs() % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}+00:00", now.subsec_micros())
}

/// Year, month and day of a number of days after 1970-01-01, in the Gregorian calendar.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day ends the year; 400 years have 146,097 days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil_date;

    #[test]
    fn knows_leap_days_and_year_ends() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_453), (2025, 12, 31));
        assert_eq!(civil_date(20_454), (2026, 1, 1));
    }
}
