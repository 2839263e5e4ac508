//! The keys about who was banned before: how bans grow, and how many tries are left.

use std::time::Duration;

use super::error::Problem;
use super::keys::{SPAN, TRUTH};
use super::value::{Kind, Read, Reading};
use super::walk::Section;
use crate::escalation::{Escalation, Factor, Formula, Growth, MAX_MULTIPLIERS};
use crate::jail::Repeat;

/// The keys of a jail, or those of `[defaults]`, which hold where a jail says nothing else.
#[derive(Clone)]
pub(super) struct Keys {
    grows: bool,
    escalation: Escalation,
    all_jails: bool,
    fewer_tries: bool,
}

/// Nothing follows.
pub(super) const NOTHING: Keys = Keys {
    grows: false,
    escalation: Escalation { growth: Growth::Doubling, factor: Factor::ONE, max_time: None, random: Duration::ZERO },
    all_jails: false,
    fewer_tries: false,
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
        }
    }

    pub(super) fn repeat(self) -> Repeat {
        let Self { grows, escalation, all_jails, fewer_tries } = self;
        Repeat { escalation: grows.then_some(escalation), all_jails, fewer_tries }
    }
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
