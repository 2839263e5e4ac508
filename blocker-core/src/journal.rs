//! Which entries of the systemd journal a jail judges.
//!
//! An entry is a set of fields; a field may have several values. [`Matches`] are written as for `journalctl`: matches of
//! different fields must all be fulfilled, of those of one field one, and a `+` stands between alternatives. They are
//! evaluated here too, not only by `journalctl`, because one reader serves several jails: each is handed only what its
//! own matches ask for.
//!
//! Fields that begin with `_` are the journal's own word about the sender, and can be trusted. All others, the
//! identifier and the message among them, are what the sender says; and any user of the machine may be one.

use std::fmt;

/// Fields by which the journal itself says who wrote an entry.
const SENDERS: [&str; 6] = ["_SYSTEMD_UNIT", "_SYSTEMD_CGROUP", "_UID", "_GID", "_EXE", "_COMM"];

/// What an entry must have: `_SYSTEMD_UNIT=dovecot.service`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    field: String,
    value: String,
}

impl Match {
    /// Reads `FIELD=value`; `None` if it is nothing that `journalctl` takes.
    fn read(word: &str) -> Option<Self> {
        let (field, value) = word.split_once('=')?;
        let is_name = field.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && !field.starts_with("__")
            && field.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let is_short = field.len() <= MAX_FIELD_NAME_BYTES && word.len() <= MAX_MATCH_BYTES;
        (is_name && is_short && !word.contains('\0')).then(|| Self { field: field.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field, self.value)
    }
}

/// Alternatives of matches, at least one of at least one: what [`Matches::read`] took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Matches(Vec<Vec<Match>>);

/// Why a list is not matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmatchable {
    /// The entry at this place, from 0, is no match.
    #[error("expected FIELD=value")]
    Word(usize),
    /// The `+` at this place does not stand between two matches.
    #[error("expected a match on both sides of \"+\"")]
    Plus(usize),
    /// There are too many.
    #[error("expected at most {MAX_MATCHES} matches")]
    TooMany,
    /// There are none.
    #[error("expected at least one match")]
    None,
}

impl Matches {
    /// Reads matches in the order in which `journalctl` takes them.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Unmatchable> {
        let mut alternatives = vec![Vec::new()];
        let mut last = 0;
        for (place, word) in words.into_iter().enumerate() {
            if place == MAX_MATCHES {
                return Err(Unmatchable::TooMany);
            }
            last = place;
            let Some(current) = alternatives.last_mut() else { return Err(Unmatchable::None) };
            if word != "+" {
                current.push(Match::read(word).ok_or(Unmatchable::Word(place))?);
            } else if current.is_empty() {
                return Err(Unmatchable::Plus(place));
            } else {
                alternatives.push(Vec::new());
            }
        }
        match alternatives.last() {
            Some(open) if open.is_empty() && alternatives.len() > 1 => Err(Unmatchable::Plus(last)),
            Some(open) if open.is_empty() => Err(Unmatchable::None),
            Some(_) | None => Ok(Self(alternatives)),
        }
    }

    /// The words, as `journalctl` takes them.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.0.iter().enumerate().flat_map(|(place, all)| {
            (place > 0).then(|| "+".to_owned()).into_iter().chain(all.iter().map(ToString::to_string))
        })
    }

    /// Whether each alternative asks for something by which the journal itself says who the sender is.
    #[must_use]
    pub fn name_the_sender(&self) -> bool {
        self.0.iter().all(|matches| matches.iter().any(|one| SENDERS.contains(&one.field.as_str())))
    }

    /// The fields that have to be known to tell whether an entry fulfils them; some may come twice.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(|wanted| wanted.field.as_str())
    }

    /// Whether an entry fulfils them: `has` tells whether one of its values of a field is exactly this.
    pub fn are_fulfilled(&self, has: impl Fn(&str, &[u8]) -> bool) -> bool {
        let fulfils = |wanted: &Match| has(&wanted.field, wanted.value.as_bytes());
        self.0.iter().any(|all| {
            all.iter()
                .all(|wanted| fulfils(wanted) || all.iter().any(|other| other.field == wanted.field && fulfils(other)))
        })
    }
}

impl fmt::Display for Matches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(" "))
    }
}

/// Most matches of one list, `+` included.
pub const MAX_MATCHES: usize = 64;

/// Longest match in bytes.
pub const MAX_MATCH_BYTES: usize = 256;

/// Longest name of a field, in bytes: the journal's own bound.
pub const MAX_FIELD_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A dovecot's entry, with a field that has two values.
    const ENTRY: [(&str, &[u8]); 5] =
        [("_SYSTEMD_UNIT", b"dovecot.service"), ("_UID", b"0"), ("_COMM", b"log"), ("TAG", b"one"), ("TAG", b"two")];

    #[test]
    fn all_fields_must_match_and_one_value_of_each() {
        for (words, expected) in [
            ("_SYSTEMD_UNIT=dovecot.service", true),
            ("_SYSTEMD_UNIT=dovecot.service _UID=0", true),
            ("_SYSTEMD_UNIT=dovecot.service _UID=1000", false),
            ("_UID=1000 _UID=0", true),
            ("_UID=1000 _UID=0 _COMM=imap", false),
            ("TAG=two", true),
            ("TAG=two TAG=three", true),
            ("_COMM=imap + _UID=0", true),
            ("_COMM=imap _UID=0 + _COMM=log _UID=1", false),
            ("_COMM=imap + TAG=x + _COMM=log", true),
            ("_COMM=lo", false),
            ("_COMM=logg", false),
            ("_COMM=", false),
            ("_comm=log", false),
        ] {
            let Ok(matches) = Matches::read(words.split(' ')) else {
                assert_eq!(words, "_comm=log");
                continue;
            };
            assert_eq!(matches.are_fulfilled(|field, value| ENTRY.contains(&(field, value))), expected, "{words}");
            assert_eq!(matches.to_string(), words, "as journalctl is told");
        }
    }

    #[test]
    fn what_journalctl_would_refuse_is_refused() {
        let long = format!("A={}", "x".repeat(MAX_MATCH_BYTES - 1));
        for (words, expected) in [
            (&["/usr/sbin/dovecot"][..], Unmatchable::Word(0)),
            (&["_UID=0", "dovecot"], Unmatchable::Word(1)),
            (&["_UID =0"], Unmatchable::Word(0)),
            (&["=0"], Unmatchable::Word(0)),
            (&["1A=0"], Unmatchable::Word(0)),
            (&["__CURSOR=x"], Unmatchable::Word(0)),
            (&["--file=/etc/passwd"], Unmatchable::Word(0)),
            (&["A=\0"], Unmatchable::Word(0)),
            (&[&long], Unmatchable::Word(0)),
            (&["+", "A=1"], Unmatchable::Plus(0)),
            (&["A=1", "+"], Unmatchable::Plus(1)),
            (&["A=1", "+", "+", "A=2"], Unmatchable::Plus(2)),
            (&[], Unmatchable::None),
            (&["A=1"; MAX_MATCHES + 1], Unmatchable::TooMany),
        ] {
            assert_eq!(Matches::read(words.iter().copied()), Err(expected), "{words:?}");
        }
        assert!(Matches::read(["A="]).is_ok(), "a value may be empty");
    }
}
