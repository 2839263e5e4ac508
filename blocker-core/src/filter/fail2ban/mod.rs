//! Filters in fail2ban's language.

mod definition;

pub use definition::Definition;
