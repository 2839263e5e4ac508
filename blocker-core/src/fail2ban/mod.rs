//! fail2ban's configuration, read as it is: jails, and filters with everything put in.
//!
//! The caller hands over the files of the directory ([`Files`]); nothing is opened here.
//!
//! ```text
//! ini (one file) ─▶ chain (includes, .local, jail.d) ─▶ interpolation (%(name)s) ─▶ part (parameters, <tags>) ─▶ filter, action
//!                                                                               └▶ jail ◀──────────────────────┘
//! ```
//!
//! [`lower`] says what of it becomes jails of ours, and [`Import::toml`] writes them; [`take`] has them run as they are. [`load_jails`] reads all jails, [`load_filter`] one filter with parameters. What is wrong is a [`Fault`] with file, line, section
//! and option.

mod action;
mod allow;
mod chain;
mod fault;
mod files;
mod filter;
mod growth;
mod import;
mod ini;
mod inputs;
mod interpolation;
mod jail;
mod lower;
mod mail;
mod others;
mod parameters;
mod part;
mod scope;
mod span;
mod stock;
mod take;
#[cfg(test)]
mod tests;
mod text;

pub use self::action::{Action, Effect, Mail};
pub use self::fault::{Fault, Place, Problem};
pub use self::files::{Files, MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, TooMuch};
pub use self::filter::{Filter, Logs, load_filter};
pub use self::import::{Carried, Fate, Import, Lowered, Note};
pub use self::jail::{Increment, Jail, Jails, Log, Program, database, load_jails};
pub use self::lower::lower;
pub use self::mail::Mail as LoweredMail;
pub use self::parameters::Named;
pub use self::scope::Closed;
pub use self::take::{Checks, Taken, TakenJail, take};
