//! What the files of a filter of fail2ban say.

/// A filter of fail2ban with everything interpolated and every parameter put in. Of all `<…>` in its expressions, those are left
/// that fail2ban itself gives a meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Its name, as a jail says it, without parameters.
    pub name: String,
    /// The expression that a line must match, and whose `<F-CONTENT>` the others look at.
    pub prefregex: Option<String>,
    /// What failures look like, one expression each, in their order.
    pub failregex: Vec<String>,
    /// What is no failure whatever else matches.
    pub ignoreregex: Vec<String>,
    /// How many lines are looked at together; 1 is the rule.
    pub maxlines: u32,
    /// How a line's time is written; `None` for whatever is usual.
    pub datepattern: Option<String>,
    /// Which entries of the journal are looked at, in the language of `journalctl`.
    pub journalmatch: Vec<String>,
}
