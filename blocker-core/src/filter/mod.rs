//! How a service's failures look in its log.
//!
//! A filter is handed a [`Record`] and says what it tells: a [`Failure`] by one source, something known and harmless, or
//! nothing it knows. It never decides (see [`crate::policy`]) and never counts (see [`crate::tracker`]). Everything in a
//! record beyond what the service itself wrote is the attacker's text: the address comes from the position where the
//! service writes it, parsed strictly, and from nowhere else.

mod bytes;
pub mod dovecot;
pub mod examples;
pub mod fail2ban;
#[cfg(test)]
mod injection;
mod label;
mod login;
pub mod patterns;
mod prefilter;
pub mod registry;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::attempts::Attempts;
use crate::journal::Matches;
use crate::record::Record;
use crate::time::Timestamp;
use fail2ban::{Fail2ban, Memory, Owner};
use patterns::{Attack, Patterns};

pub use label::Label;
pub use login::{Session, Success, Teller};
pub use prefilter::{Found, Prefilter};

/// One failed login, or several on one connection, by one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The peer, canonical (a v4-mapped address is IPv4).
    pub addr: IpAddr,
    /// Who it claimed to be: the attacker's bytes.
    pub user: Option<&'a [u8]>,
    /// What it adds to the count, after weighing.
    pub attempts: Attempts,
    /// How much of that was surely tried as [`Failure::user`], and is forgiven when he logs in. A line that tells of several
    /// attempts names the user of the last one.
    pub forgivable: Attempts,
    /// How long before the line the first of these attempts may have been made.
    pub span: Duration,
    /// On which connection, to join lines that tell of the same attempts.
    pub session: Option<Session<'a>>,
    /// What was logged into: `imap`, `pop3`, `submission`, `sieve`.
    pub service: Label,
    /// Which of the filter's patterns matched, for people: `auth failed`.
    pub pattern: Label,
}

impl Failure<'_> {
    /// One attempt, at nobody that is known, of this very moment.
    #[must_use]
    pub fn of_one(addr: IpAddr, service: Label, pattern: Label) -> Self {
        Self {
            addr,
            user: None,
            attempts: Attempts::whole(1),
            forgivable: Attempts::ZERO,
            span: Duration::ZERO,
            session: None,
            service,
            pattern,
        }
    }

    /// The same failure, `times` times, as far as that is believed.
    #[must_use]
    #[inline]
    pub fn times(self, times: u32) -> Self {
        match times {
            1 => self,
            _ => {
                let [attempts, forgivable] =
                    [self.attempts, self.forgivable].map(|told| told.times(times).min(MAX_ATTEMPTS));
                Self { attempts, forgivable, ..self }
            }
        }
    }
}

/// Most attempts believed of one line, repetitions included. A connection to Dovecot lasts 3 minutes and a try takes 2
/// seconds, so real lines have under 100.
pub const MAX_ATTEMPTS: Attempts = Attempts::whole(1_000);

/// What a filter says of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// A failure by a source; its weight may be [`Attempts::ZERO`] only as [`Judgement::Ignored`], never here.
    Failure(Failure<'a>),
    /// A login that succeeded.
    Success(Success<'a>),
    /// Known, and nobody's fault: noise, or trouble of the server's own. The text says which.
    Ignored(Label),
    /// Known, and no failure of its own: it helps to understand others. The text says which pattern it is of.
    Helper(Label),
    /// Nothing this filter knows.
    NoMatch,
}

/// A filter by which lines are judged. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Dovecot: its login processes, for imap, pop3, submission and managesieve, and what looks up their passwords. By code,
    /// because its lines have a grammar.
    Dovecot,
    /// Bans that other jails' logs have earned, instead of lines: who comes back again and again is locked out of more, for longer.
    Bans,
    /// What a file says, built in or a user's own.
    Patterns(Arc<Patterns>),
    /// What the files of a filter of fail2ban say.
    Fail2ban(Arc<Fail2ban>),
}

impl Filter {
    /// The name of [`Filter::Bans`], and of the jail that has it as a rule: fail2ban's word.
    pub const RECIDIVE: &'static str = "recidive";

    /// Its name in a configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Dovecot => "dovecot",
            Self::Bans => Self::RECIDIVE,
            Self::Patterns(patterns) => &patterns.definition().name,
            Self::Fail2ban(filter) => &filter.definition().name,
        }
    }

    /// Its name for people, who may have two filters of one name: `sshd of fail2ban`.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Dovecot | Self::Bans | Self::Patterns(_) => self.name().to_owned(),
            Self::Fail2ban(filter) => format!("{} of fail2ban", filter.definition().name.escape_debug()),
        }
    }

    /// From whom an entry of the journal must be to count, if the configuration does not say: what the journal itself
    /// says of the sender, because any user of the machine can write in a service's name.
    #[must_use]
    pub fn journal_trust(&self) -> Option<Matches> {
        let words = match self {
            // Its processes hand their lines to Dovecot's own log process, which runs as root. Others of the unit run as
            // the users whose mail they have, and so do the programs that those start.
            Self::Dovecot => ["_SYSTEMD_UNIT=dovecot.service", "_UID=0"],
            Self::Bans => return None,
            // Its matches are by such fields, or it says more.
            Self::Patterns(patterns) => return patterns.base().and_then(Self::journal_trust),
            Self::Fail2ban(_) => return None,
        };
        Matches::read(words).ok()
    }

    /// The names of its patterns, in the order in which they are numbered: those of a filter that it extends first.
    #[must_use]
    pub fn pattern_names(&self) -> Vec<Label> {
        match self {
            Self::Dovecot => dovecot::pattern_names().map(Label::from).collect(),
            Self::Bans => Vec::new(),
            Self::Patterns(patterns) => {
                let own = patterns.definition().patterns.iter().map(|pattern| pattern.name.clone().into());
                patterns.base().map_or_else(Vec::new, Self::pattern_names).into_iter().chain(own).collect()
            }
            Self::Fail2ban(filter) => filter.pattern_names().collect(),
        }
    }

    /// Patterns that can be made to name somebody else: each with a line that does.
    #[must_use]
    pub fn attacks(&self) -> Vec<Attack> {
        match self {
            Self::Dovecot | Self::Bans => Vec::new(),
            Self::Patterns(patterns) => patterns.attacks(),
            Self::Fail2ban(filter) => filter.attacks(),
        }
    }

    /// The filter of fail2ban that it is, if it is one.
    #[must_use]
    pub fn fail2ban(&self) -> Option<&Fail2ban> {
        match self {
            Self::Fail2ban(filter) => Some(filter),
            Self::Dovecot | Self::Bans | Self::Patterns(_) => None,
        }
    }

    /// Says what `record` tells by itself, as often as it stands for.
    #[must_use]
    pub fn judge<'a>(&self, record: &Record<'a>) -> Judgement<'a> {
        self.judge_with(record, Owner::NOBODY, Timestamp::default(), &mut Memory::default())
    }

    /// Says what `record` tells, a line of `owner` and of `at`, with what is remembered of the lines before it.
    ///
    /// [`Record::bare`] is for filters of fail2ban alone: the others know nothing of a line whose header cannot be read.
    #[must_use]
    pub fn judge_with<'a>(
        &self,
        record: &Record<'a>,
        owner: Owner,
        at: Timestamp,
        memory: &mut Memory,
    ) -> Judgement<'a> {
        match self.judge_once_with(record, owner, at, memory) {
            Judgement::Failure(failure) => Judgement::Failure(failure.times(record.repeats)),
            judgement @ (Judgement::Success(_) | Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch) => {
                judgement
            }
        }
    }

    /// Says what `record` tells by itself, as if it stood for itself alone.
    #[must_use]
    pub fn judge_once<'a>(&self, record: &Record<'a>) -> Judgement<'a> {
        self.judge_once_with(record, Owner::NOBODY, Timestamp::default(), &mut Memory::default())
    }

    /// As [`Filter::judge_once_with`], for who wants to know all of logins that succeed from the addresses that are counted alone.
    pub(crate) fn judge_counted<'a>(
        &self,
        record: &Record<'a>,
        owner: Owner,
        at: Timestamp,
        memory: &mut Memory,
        is_counted: &mut IsCounted<'_>,
    ) -> Judgement<'a> {
        match self {
            Self::Dovecot => dovecot::judge_of(record, is_counted),
            Self::Bans | Self::Patterns(_) | Self::Fail2ban(_) => self.judge_once_with(record, owner, at, memory),
        }
    }

    /// As [`Filter::judge_with`], as if the record stood for itself alone.
    #[must_use]
    pub fn judge_once_with<'a>(
        &self,
        record: &Record<'a>,
        owner: Owner,
        at: Timestamp,
        memory: &mut Memory,
    ) -> Judgement<'a> {
        match self {
            Self::Dovecot => dovecot::judge(record),
            Self::Bans => Judgement::NoMatch,
            Self::Patterns(patterns) => patterns.judge(record),
            Self::Fail2ban(filter) => filter.judge(record, owner, at, memory),
        }
    }
}

/// Is told an address and its user of a login that succeeded, and says whether failures from there are counted. The user is
/// another one than there was if the name has a `>` in it.
pub(crate) type IsCounted<'a> = dyn FnMut(IpAddr, &[u8]) -> bool + 'a;

/// Most attempts believed that a line says in digits, as [`MAX_ATTEMPTS`].
const MAX_WRITTEN: u64 = MAX_ATTEMPTS.as_tenths() as u64 / 10;

/// Longest time believed between the first attempt and its line; Dovecot's login processes give up after 180 s.
const MAX_SPAN: Duration = Duration::from_secs(600);
