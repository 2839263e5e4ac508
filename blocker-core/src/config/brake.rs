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
    use std::fmt;

    use super::*;
    use crate::config::{Names, read};

    #[test]
    fn the_brake_is_on_unless_it_is_off() {
        let per_minute = |brake: Limits| brake.per_minute;
        holds(
            "bans_per_minute",
            per_minute,
            DEFAULT_BANS_PER_MINUTE,
            7,
            ["0", "-1", "1000001", "\"none\"", "1.5", "true"],
        );
    }

    #[test]
    fn the_share_of_who_logged_in_is_limited_unless_it_is_off() {
        let percent = |brake: Limits| brake.logged_in_percent;
        holds(
            "logged_in_percent",
            percent,
            DEFAULT_LOGGED_IN_PERCENT,
            99,
            ["0", "-1", "100", "\"10%\"", "0.5", "true"],
        );
    }

    /// A limit is `usual`, or what is said, or off; and nothing `wrong`.
    fn holds<T: Copy + fmt::Debug + fmt::Display + PartialEq>(
        key: &str,
        limit: fn(Limits) -> Option<T>,
        usual: T,
        said: T,
        wrong: [&str; 6],
    ) {
        let read = |text: &str| read(text, &Names::builtin()).map(|config| limit(config.brake));
        assert_eq!(read("").unwrap(), Some(usual));
        assert_eq!(read(&format!("[brake]\n{key} = {said}\n")).unwrap(), Some(said));
        assert_eq!(read(&format!("[brake]\n{key} = \"off\"\n")).unwrap(), None);
        for wrong in wrong {
            let errors = read(&format!("[brake]\n{key} = {wrong}\n")).expect_err(wrong);
            assert!(errors[0].to_string().starts_with(&format!("line 2: `brake.{key}` is ")), "{}", errors[0]);
        }
    }
}
