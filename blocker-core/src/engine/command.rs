//! What the engine wants done, and what it wants known.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::allowlist::Allowed;
use crate::attempts::Attempts;
use crate::bans::{Kind, Merged, Origin, Refusal, Uid};
use crate::engine::{AllowChange, BrakeChange, Evidence, JailId, JailSet};
use crate::filter::Label;
use crate::policy::IgnoreReason;
use crate::prefix::Prefix;
use crate::time::{Timestamp, Until};

/// Something the caller must carry out, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the kernel drop `prefix` for the ports of `jails` until `until`; replaces what it had for the prefix.
    Enforce {
        /// Whom.
        prefix: Prefix,
        /// Every jail that bans this prefix; never empty.
        jails: JailSet,
        /// The latest end of their bans.
        until: Until,
    },
    /// Make the kernel forget its entry for `prefix`.
    Lift {
        /// Whom.
        prefix: Prefix,
    },
    /// Make the kernel forget every ban that it was told of so far: they are too many to be told one by one, and are no events
    /// either.
    LiftAll {
        /// How many bans they were.
        bans: usize,
    },
    /// Make the kernel let `prefix` pass, whatever ban it lies in.
    Allow {
        /// Whom.
        prefix: Prefix,
    },
    /// Take back [`Command::Allow`].
    Disallow {
        /// Whom.
        prefix: Prefix,
    },
    /// Tell people, the store and the metrics. May be slow or lost: nothing else waits for it.
    Notify(Event),
}

impl Command {
    /// What makes the kernel hold what is in force for `prefix`.
    pub(super) fn to_hold(prefix: Prefix, in_force: Option<Merged>) -> Self {
        match in_force {
            Some(Merged { jails, until }) => Self::Enforce { prefix, jails, until },
            None => Self::Lift { prefix },
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A failure was counted; also before the [`Event::Banned`] that it earned.
    Found(Found),
    /// A ban began.
    Banned(BanInfo),
    /// A ban in force was given a new end by command.
    Renewed(BanInfo),
    /// A ban that the kernel's maps held at the start was taken over.
    Restored(BanInfo),
    /// A ban ended.
    Unbanned {
        /// Whom it banned.
        prefix: Prefix,
        /// Whose it was.
        jail: JailId,
        /// Why it ended.
        why: UnbanReason,
        /// Who lifted it by command, if that is known.
        by: Option<Uid>,
    },
    /// The allowlist was changed by command, or what a command allowed was over.
    Allowlist {
        /// Whom it concerns.
        prefix: Prefix,
        /// What became of it.
        change: AllowChange,
    },
    /// Bans that logs earn are held, or are no more: the first must wake someone.
    Brake(BrakeChange),
    /// A failure did not count.
    Ignored {
        /// The jail that judged it.
        jail: JailId,
        /// Who failed.
        addr: IpAddr,
        /// Why it did not count.
        why: IgnoreReason,
    },
    /// A ban that a log earned, or that the kernel's maps held at the start, could not be entered.
    Refused {
        /// Whom it would have banned.
        prefix: Prefix,
        /// Whose it would have been.
        jail: JailId,
        /// Why not.
        why: Refusal,
    },
    /// A table of bans was full: this must wake someone.
    Full {
        /// The table.
        kind: Kind,
        /// How many prefixes it takes.
        bound: usize,
        /// Whose bans, the soonest to end, gave way; `None` if all were permanent and the new one was refused.
        gave_way: Option<Prefix>,
    },
}

/// A failure that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The jail that counted it.
    pub jail: JailId,
    /// Who failed.
    pub addr: IpAddr,
    /// What it is counted by.
    pub prefix: Prefix,
    /// Who it claimed to be: the attacker's bytes, cut to [`MAX_USER_BYTES`](crate::bans::MAX_USER_BYTES).
    pub user: Option<Vec<u8>>,
    /// When it was made: at the line's arrival, or as the line says if it was in its log before.
    pub made: Timestamp,
    /// What it added.
    pub attempts: Attempts,
    /// How long before the line the first of these attempts may have been made.
    pub span: Duration,
    /// What was logged into.
    pub service: Label,
    /// Which of the filter's patterns matched.
    pub pattern: Label,
    /// What has come together within the window, this failure included.
    pub count: Attempts,
    /// What earns a ban: the jail's `max_retry`.
    pub of: u32,
}

/// Why a ban ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnbanReason {
    /// Its time was over.
    Expired,
    /// An administrator lifted it.
    ByCommand,
    /// The prefix was put on the allowlist.
    AllowListed(Allowed),
    /// It was the soonest to end in a full table.
    Evicted,
}

/// A ban in force, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanInfo {
    /// Whom.
    pub prefix: Prefix,
    /// Whose it is.
    pub jail: JailId,
    /// That jail's name: its last known one if the jail is gone.
    pub jail_name: Arc<str>,
    /// When it began; a renewal does not change it. For an adopted ban, when it was adopted.
    pub started: Timestamp,
    /// When it ends.
    pub until: Until,
    /// What it came from.
    pub origin: Origin,
    /// The lines that earned it, the last one at the end: of [`Event::Banned`], if a log did; see
    /// [`MAX_EVIDENCE_LINES`](crate::engine::evidence::MAX_EVIDENCE_LINES). The book does not keep them.
    pub evidence: Arc<[Evidence]>,
}

/// A ban as the kernel's maps held it at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptedBan {
    /// Whom.
    pub prefix: Prefix,
    /// The jails for whose ports it was dropped.
    pub jails: JailSet,
    /// When it ends.
    pub until: Until,
}

/// What became of an [`AdoptedBan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It is in the book.
    Kept,
    /// Its time was over, or it named no jail; it was lifted.
    Over,
    /// It may not be or does not fit; it was lifted, and so said by [`Event::Refused`].
    Refused(Refusal),
}
