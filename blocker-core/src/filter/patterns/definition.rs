//! A filter's own file, in TOML: what it is for, what it looks for, and examples of what that yields.
//!
//! | key | meaning |
//! | --- | --- |
//! | `name` | the filter's name: `a-z`, `0-9`, `_` and `-` |
//! | `description` | what it is for, in a sentence |
//! | `extends` | `true`: what the filter of this name says that is there already is said first |
//! | `program` | the programs whose lines it reads; `*` stands for any bytes, `""` for lines that name no program |
//! | `service` | what is logged into, for people; the filter's name unless it is given |
//! | `[[pattern]]` | a failure: `name`, `match`, and, if they differ, `weight` (0.1 to 100, of one attempt; 1), `service` and `front` |
//! | `[[success]]` | a login that succeeded: `name`, `match`, with `<ADDR>` and `<USER>`; forgives that user's failures there |
//! | `[[ignore]]` | what is known and nobody's fault: `name`, `match` |
//! | `[[example]]` | a line and what it must yield (see [`crate::filter::examples`]) |

use serde::{Deserialize, Deserializer};

use super::super::examples::Example;
use crate::attempts::Attempts;

/// What a filter's file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The filter's name.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// Whether the filter of this name that is there already is asked first.
    #[serde(default)]
    pub extends: bool,
    /// The programs whose lines it reads; `*` stands for any bytes. Lines that name none, of a service's own file, are those of
    /// the program `""`.
    pub program: Vec<String>,
    /// What is logged into, for people; its name unless it is given.
    #[serde(default)]
    pub service: Option<String>,
    /// What a failure looks like; the first that matches counts.
    #[serde(default, rename = "pattern")]
    pub patterns: Vec<PatternDefinition>,
    /// What a login that succeeded looks like; looked at after the failures.
    #[serde(default, rename = "success")]
    pub successes: Vec<SuccessDefinition>,
    /// What is known and nobody's fault, whatever a pattern says.
    #[serde(default, rename = "ignore")]
    pub ignored: Vec<IgnoreDefinition>,
    /// Lines, and what they must yield.
    #[serde(default, rename = "example")]
    pub examples: Vec<Example>,
}

/// What one kind of failure looks like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternDefinition {
    /// For people.
    pub name: String,
    /// The expression, with tags.
    #[serde(rename = "match")]
    pub expression: String,
    /// The expression for what stands in front of the time (see [`crate::record::Record::front`]); nothing may, if it is absent.
    #[serde(default)]
    pub front: Option<String>,
    /// How much one attempt weighs.
    #[serde(default = "one", deserialize_with = "weight")]
    pub weight: Attempts,
    /// What is logged into, if it is not the filter's.
    #[serde(default)]
    pub service: Option<String>,
}

/// What a login that succeeded looks like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuccessDefinition {
    /// For people.
    pub name: String,
    /// The expression, with tags; one of them must be the user.
    #[serde(rename = "match")]
    pub expression: String,
}

/// What is known and nobody's fault.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IgnoreDefinition {
    /// For people: why.
    pub name: String,
    /// The expression, with tags.
    #[serde(rename = "match")]
    pub expression: String,
}

fn one() -> Attempts {
    Attempts::whole(1)
}

/// Reads a weight with at most one decimal: `1`, `0.3`.
fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attempts, D::Error> {
    let weight = f64::deserialize(deserializer)?;
    let tenths = (weight * 10.0).round();
    if !(1.0..=MAX_TENTHS).contains(&tenths) || (tenths - weight * 10.0).abs() > 1e-6 {
        return Err(serde::de::Error::custom(
            "`weight` must be 0.1 to 100, with at most one decimal; what counts for nothing is an [[ignore]]",
        ));
    }
    // Whole and within the range of a u32 by now.
    Ok(Attempts::tenths(tenths as u32))
}

/// Largest weight, in tenths.
const MAX_TENTHS: f64 = 1_000.0;
