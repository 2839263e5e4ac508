//! How many new bans logs may earn, and of whom.

use super::value::Kind;
use super::walk::Section;
use crate::brake::{DEFAULT_BANS_PER_MINUTE, DEFAULT_LOGGED_IN_PERCENT, Limits};

/// Reads the table `[brake]`.
pub(super) fn brake(section: &mut Section<'_, '_>) -> Limits {
    Limits {
        per_minute: section.get("bans_per_minute", &BANS, Some(DEFAULT_BANS_PER_MINUTE)),
        logged_in_percent: section.get("logged_in_percent", &PERCENT, Some(DEFAULT_LOGGED_IN_PERCENT)),
    }
}

const BANS: Kind<Option<u32>> = Kind {
    expected: "a number from 1 to 1000000, or \"off\"",
    read: |value| match value.text() {
        Some("off") => Ok(None),
        Some(_) | None => {
            let number = value.number().filter(|number| (1..=1_000_000).contains(number));
            value.or_unexpected(number.and_then(|number| u32::try_from(number).ok()).map(Some))
        }
    },
};

const PERCENT: Kind<Option<u8>> = Kind {
    expected: "a whole number from 1 to 99, or \"off\"",
    read: |value| match value.text() {
        Some("off") => Ok(None),
        Some(_) | None => {
            let number = value.number().filter(|number| (1..=99).contains(number));
            value.or_unexpected(number.and_then(|number| u8::try_from(number).ok()).map(Some))
        }
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Names, read};

    #[test]
    fn the_brake_is_on_unless_it_is_off() {
        let brake = |text: &str| read(text, &Names::builtin()).map(|config| config.brake.per_minute);
        assert_eq!(brake("").unwrap(), Some(DEFAULT_BANS_PER_MINUTE));
        assert_eq!(brake("[brake]\nbans_per_minute = 7\n").unwrap(), Some(7));
        assert_eq!(brake("[brake]\nbans_per_minute = \"off\"\n").unwrap(), None);
        for wrong in ["0", "-1", "1000001", "\"none\"", "1.5", "true"] {
            let errors = brake(&format!("[brake]\nbans_per_minute = {wrong}\n")).expect_err(wrong);
            assert!(errors[0].to_string().starts_with("line 2: `brake.bans_per_minute` is "), "{}", errors[0]);
        }
    }

    #[test]
    fn the_share_of_who_logged_in_is_limited_unless_it_is_off() {
        let brake = |text: &str| read(text, &Names::builtin()).map(|config| config.brake.logged_in_percent);
        assert_eq!(brake("").unwrap(), Some(DEFAULT_LOGGED_IN_PERCENT));
        assert_eq!(brake("[brake]\nlogged_in_percent = 99\n").unwrap(), Some(99));
        assert_eq!(brake("[brake]\nlogged_in_percent = \"off\"\n").unwrap(), None);
        for wrong in ["0", "-1", "100", "\"10%\"", "0.5", "true"] {
            let errors = brake(&format!("[brake]\nlogged_in_percent = {wrong}\n")).expect_err(wrong);
            assert!(errors[0].to_string().starts_with("line 2: `brake.logged_in_percent` is "), "{}", errors[0]);
        }
    }
}
