//! The keys about who was banned before: how bans grow, and how many tries are left.

use std::time::Duration;

use super::error::Problem;
use super::kinds::{SPAN, TRUTH};
use super::value::{Kind, Read, Reading};
use super::walk::Section;
use crate::aggregate::Aggregate;
use crate::escalation::{Escalation, Factor, Formula, Growth, MAX_MULTIPLIERS};
use crate::jail::Repeat;

/// The keys of a jail, or those of `[defaults]`, which hold where a jail says nothing else.
#[derive(Clone)]
pub(super) struct Keys {
    grows: bool,
    escalation: Escalation,
    all_jails: bool,
    fewer_tries: bool,
    /// Whether there is an end to bans of single hosts.
    aggregate_after: Option<u32>,
    aggregate_ipv4: u8,
    aggregate_ipv6: u8,
}

/// Nothing follows.
pub(super) const NOTHING: Keys = Keys {
    grows: false,
    escalation: Escalation { growth: Growth::Doubling, factor: Factor::ONE, max_time: None, random: Duration::ZERO },
    all_jails: false,
    fewer_tries: false,
    aggregate_after: None,
    aggregate_ipv4: 24,
    aggregate_ipv6: 48,
};

impl Keys {
    pub(super) fn read(section: &mut Section<'_, '_>, defaults: &Self) -> Self {
        let multipliers = section.get("ban_time_multipliers", &MULTIPLIERS, None);
        let formula = section.get("ban_time_formula", &FORMULA, None);
        if multipliers.is_some() && formula.is_some() {
            let hint = "bans grow by one of them";
            section.fault_at("ban_time_formula", Problem::Excluded { by: "ban_time_multipliers", hint });
        }
        let growth = formula.or(multipliers).unwrap_or_else(|| defaults.escalation.growth.clone());
        let of_defaults = &defaults.escalation;
        Self {
            grows: section.get("ban_time_increment", &TRUTH, defaults.grows),
            escalation: Escalation {
                growth,
                factor: section.get("ban_time_factor", &FACTOR, of_defaults.factor),
                max_time: section.get("ban_time_max", &MAX_TIME, of_defaults.max_time),
                random: section.get("ban_time_random", &RANDOM, of_defaults.random),
            },
            all_jails: section.get("ban_time_all_jails", &TRUTH, defaults.all_jails),
            fewer_tries: section.get("fewer_tries", &TRUTH, defaults.fewer_tries),
            aggregate_after: section.get("aggregate_after", &AFTER, defaults.aggregate_after),
            aggregate_ipv4: section.get("aggregate_ipv4", &IPV4_BITS, defaults.aggregate_ipv4),
            aggregate_ipv6: section.get("aggregate_ipv6", &IPV6_BITS, defaults.aggregate_ipv6),
        }
    }

    pub(super) fn repeat(self) -> Repeat {
        let Self { grows, escalation, all_jails, fewer_tries, aggregate_after, aggregate_ipv4, aggregate_ipv6 } = self;
        let aggregate = aggregate_after.map(|after| Aggregate { after, ipv4: aggregate_ipv4, ipv6: aggregate_ipv6 });
        Repeat { escalation: grows.then_some(escalation), all_jails, fewer_tries, aggregate }
    }
}

const AFTER: Kind<Option<u32>> = Kind {
    expected: "a number of banned hosts from 2 to 256, or \"off\"",
    read: |value| match value.text() {
        Some("off") => Ok(None),
        Some(_) | None => {
            let number = value.number().and_then(|number| u32::try_from(number).ok());
            value.or_unexpected(number.filter(|number| (2..=256).contains(number)).map(Some))
        }
    },
};

/// None wider: a /16 is what the largest providers have at one place.
const IPV4_BITS: Kind<u8> = Kind { expected: "a number of bits from 16 to 31", read: |value| bits(value, 16, 31) };

/// None wider: a /32 is all that a provider has.
const IPV6_BITS: Kind<u8> = Kind { expected: "a number of bits from 32 to 127", read: |value| bits(value, 32, 127) };

fn bits(value: Reading<'_>, least: u8, most: u8) -> Read<u8> {
    let number = value.number().and_then(|number| u8::try_from(number).ok());
    value.or_unexpected(number.filter(|number| (least..=most).contains(number)))
}

const FACTOR: Kind<Factor> = Kind { expected: EXPECTED_FACTOR, read: factor };

const EXPECTED_FACTOR: &str = "a number from 0.001 to 1000000 with at most three decimals";

fn factor(value: Reading<'_>) -> Read<Factor> {
    value.or_unexpected(value.decimal().and_then(Factor::new))
}

const MULTIPLIERS: Kind<Option<Growth>> = Kind {
    expected: "a list of 1 to 64 numbers from 0.001 to 1000000, such as [1, 5, 30, 60]",
    read: |value| {
        let factors = value.decimals().filter(|numbers| (1..=MAX_MULTIPLIERS).contains(&numbers.len()));
        let factors: Option<Vec<Factor>> = factors.and_then(|numbers| numbers.into_iter().map(Factor::new).collect());
        value.or_unexpected(factors.map(|factors| Some(Growth::Multipliers(factors))))
    },
};

const FORMULA: Kind<Option<Growth>> = Kind {
    expected: "a formula such as \"time * 2 ** count\"",
    read: |value| match value.text().map(Formula::parse) {
        Some(Ok(formula)) => Ok(Some(Growth::Formula(formula))),
        Some(Err(fault)) => Err(value.fault(Problem::Formula(fault))),
        None => value.or_unexpected(None),
    },
};

const MAX_TIME: Kind<Option<Duration>> = Kind { expected: SPAN.expected, read: |value| (SPAN.read)(value).map(Some) };

const RANDOM: Kind<Duration> = SPAN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Names, read};

    #[test]
    fn networks_are_banned_only_where_a_jail_or_the_defaults_say_so_and_never_wide_ones() {
        let aggregate = |text: &str| read(text, &Names::builtin()).map(|config| config.jails[0].repeat.aggregate);
        assert_eq!(aggregate("").unwrap(), None);
        let text = "[defaults]\naggregate_after = 8\n[jails.dovecot]\naggregate_ipv4 = 28\n";
        assert_eq!(aggregate(text).unwrap(), Some(Aggregate { after: 8, ipv4: 28, ipv6: 48 }));
        let off = "[defaults]\naggregate_after = 8\n[jails.dovecot]\naggregate_after = \"off\"\n";
        assert_eq!(aggregate(off).unwrap(), None);
        for wrong in [
            "aggregate_after = 1",
            "aggregate_after = 257",
            "aggregate_after = \"on\"",
            "aggregate_ipv4 = 15",
            "aggregate_ipv4 = 32",
            "aggregate_ipv6 = 31",
            "aggregate_ipv6 = 128",
        ] {
            let errors = aggregate(&format!("[jails.dovecot]\n{wrong}\n")).expect_err(wrong);
            assert!(errors[0].to_string().starts_with("line 2: `jails.dovecot.aggregate_"), "{}", errors[0]);
        }
    }
}
