//! How bans grow, in our words: `bantime.increment` and what belongs to it.
//!
//! fail2ban has one switch for two things: longer bans, and fewer tries, for who was banned before. Both are carried over.

use std::time::Duration;

use super::fault::plain;
use super::jail::Increment;
use crate::escalation::{Escalation, Factor, Formula, Growth, MAX_MULTIPLIERS};
use crate::jail::Repeat;
use crate::time::{BanTime, format_span};

/// What `increment` comes to, and what of it cannot be had, in words.
pub(super) fn repeat(increment: &Increment) -> (Repeat, Vec<String>) {
    if !increment.on {
        return (Repeat::default(), Vec::new());
    }
    let mut refused = Vec::new();
    let multipliers = match &increment.multipliers[..] {
        [] => None,
        numbers => {
            let factors: Option<Vec<Factor>> = numbers.iter().copied().map(Factor::new).collect();
            let factors = factors.filter(|factors| factors.len() <= MAX_MULTIPLIERS);
            if factors.is_none() {
                refused.push(format!(
                    "bantime.multipliers: expected at most {MAX_MULTIPLIERS} numbers from 0.001 to 1000000; bans do not grow"
                ));
            }
            Some(factors.map(Growth::Multipliers))
        }
    };
    // As in fail2ban, multipliers go before a formula.
    let growth = multipliers.unwrap_or_else(|| match increment.formula.as_deref().map(Formula::parse) {
        None => Some(Growth::Doubling),
        Some(Ok(formula)) => Some(Growth::Formula(formula)),
        Some(Err(why)) => {
            let written = increment.formula.as_deref().unwrap_or_default();
            refused.push(format!(
                "bantime.formula: {}: {why}; it is never evaluated as Python, and bans do not grow",
                plain(written)
            ));
            None
        }
    });
    let factor = match increment.factor.map(Factor::new) {
        None => Factor::ONE,
        Some(Some(factor)) => factor,
        Some(None) => {
            refused.push(
                "bantime.factor: expected a number from 0.001 to 1000000 with at most three decimals; it is 1"
                    .to_owned(),
            );
            Factor::ONE
        }
    };
    let span = |time: Option<BanTime>| match time {
        Some(BanTime::For(span)) => Some(span),
        Some(BanTime::Forever) | None => None,
    };
    let escalation = growth.map(|growth| Escalation {
        growth,
        factor,
        max_time: span(increment.max_time),
        random: span(increment.random_time).unwrap_or_default(),
    });
    (Repeat { escalation, all_jails: increment.all_jails, fewer_tries: true, ..Repeat::default() }, refused)
}

/// The keys of a configuration that say so, with their values in TOML.
pub(super) fn keys(repeat: &Repeat) -> Vec<(&'static str, String)> {
    // fail2ban bans no networks for their addresses' sake.
    let Repeat { escalation, all_jails, fewer_tries, aggregate: _ } = repeat;
    let mut keys = Vec::new();
    if let Some(Escalation { growth, factor, max_time, random }) = escalation {
        keys.push(("ban_time_increment", "true".to_owned()));
        match growth {
            Growth::Doubling => {}
            Growth::Multipliers(factors) => {
                let numbers: Vec<String> = factors.iter().map(|factor| decimal(*factor)).collect();
                keys.push(("ban_time_multipliers", format!("[{}]", numbers.join(", "))));
            }
            Growth::Formula(formula) => {
                keys.push(("ban_time_formula", super::text::quoted(&formula.to_string())));
            }
        }
        if *factor != Factor::ONE {
            keys.push(("ban_time_factor", decimal(*factor)));
        }
        if let Some(span) = max_time {
            keys.push(("ban_time_max", format!("\"{}\"", format_span(*span))));
        }
        if *random != Duration::ZERO {
            keys.push(("ban_time_random", format!("\"{}\"", format_span(*random))));
        }
    }
    if *all_jails {
        keys.push(("ban_time_all_jails", "true".to_owned()));
    }
    if *fewer_tries {
        keys.push(("fewer_tries", "true".to_owned()));
    }
    keys
}

/// A number with its decimals, as TOML and people write it.
fn decimal(factor: Factor) -> String {
    factor.number().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Names};

    fn read_again(increment: &Increment) -> Repeat {
        let (repeat, refused) = repeat(increment);
        assert_eq!(refused, [""; 0]);
        let keys: String = keys(&repeat).iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let config = config::read(&format!("[jails.dovecot]\n{keys}"), &Names::builtin());
        let read = config.unwrap_or_else(|errors| panic!("{errors:?}: {keys}")).jails.remove(0).repeat;
        assert_eq!(read, repeat, "{keys}");
        read
    }

    #[test]
    fn what_is_written_of_it_is_read_again_as_it_was() {
        let on = Increment { on: true, ..Increment::default() };
        assert_eq!(read_again(&Increment::default()), Repeat::default());

        let doubling = read_again(&on);
        assert!(doubling.fewer_tries && !doubling.all_jails);
        assert_eq!(doubling.escalation.map(|escalation| escalation.growth), Some(Growth::Doubling));

        let day = Duration::from_secs(86_400);
        let all = read_again(&Increment {
            factor: Some(1.5),
            multipliers: vec![1.0, 5.0, 0.25],
            max_time: Some(BanTime::For(5 * day)),
            random_time: Some(BanTime::For(day)),
            all_jails: true,
            ..on.clone()
        });
        assert_eq!(all.escalation.and_then(|escalation| escalation.max_time), Some(5 * day));

        let formula = read_again(&Increment {
            formula: Some("ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)".into()),
            ..on
        });
        assert!(matches!(formula.escalation.map(|escalation| escalation.growth), Some(Growth::Formula(_))));
    }

    #[test]
    fn what_is_no_formula_of_numbers_is_refused_and_nothing_grows() {
        let increment =
            Increment { on: true, formula: Some("__import__('os').system('id')".into()), ..Increment::default() };

        let (repeat, refused) = repeat(&increment);

        assert_eq!((repeat.escalation, repeat.fewer_tries, refused.len()), (None, true, 1));
    }
}
