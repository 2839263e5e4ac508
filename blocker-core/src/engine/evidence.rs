//! The lines that are counted, as they were written: what a ban, when it comes to one, was earned by.
//!
//! # Theory of operation
//!
//! Lines of all sources follow one another in a ring of [`RING_BYTES`]; the newest overwrites the oldest. Each has the place of
//! the one before it whose prefix hashes alike, so that those of one prefix are found from the last one backwards. Nothing is
//! allocated for a line, and nothing is taken away: a place that has been overwritten is older than the ring, and is told by its
//! number, which never comes again.
//!
//! What is here decides nothing. Under a flood of failures by so many sources that their lines do not fit, a ban has fewer lines
//! than it was earned by, and the latest ones.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::JailId;
use super::memory::Key;
use crate::attempts::Attempts;
use crate::filter::Label;
use crate::prefix::Prefix;
use crate::time::Timestamp;

/// Most lines that are kept of one ban: the last ones.
pub const MAX_EVIDENCE_LINES: usize = 10;

/// Most bytes of a line that are kept; what is longer is cut there. The failures that we know have under 600 bytes, and all that
/// tells who it was in the first 300.
pub const MAX_EVIDENCE_LINE_BYTES: usize = 512;

/// Most bytes of all lines and user names of one ban; the lines before that are left out.
pub const MAX_EVIDENCE_BYTES: usize = 4_096;

/// Bytes of lines that are kept of all sources that are being counted: some 50,000 lines, as ten thousand sources have that are
/// one try from a ban. The memory is taken as it is used.
pub const RING_BYTES: usize = 16 * 1024 * 1024;

/// Chains of lines; 512 KiB.
const CHAINS: usize = 65_536;

/// Lines looked at to find those of one prefix.
const MAX_STEPS: usize = 1_024;

/// A line that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// As it was written, without its end, cut to [`MAX_EVIDENCE_LINE_BYTES`]. An attacker chose much of it: it is to be escaped
    /// wherever it is shown. Empty if there was no line: a ban that another jail made is counted so.
    pub line: Box<[u8]>,
    /// Whether it was cut.
    pub is_cut: bool,
    /// Who failed.
    pub addr: IpAddr,
    /// Who that claimed to be: the attacker's bytes.
    pub user: Option<Box<[u8]>>,
    /// The filter that knew the line.
    pub filter: Label,
    /// Which of the filter's patterns matched.
    pub pattern: Label,
    /// When it was made.
    pub made: Timestamp,
    /// What it added.
    pub attempts: Attempts,
    /// What had come together with it.
    pub count: Attempts,
    /// What earned a ban then.
    pub of: u32,
}

/// What is noted of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) line: &'a [u8],
    pub(super) addr: IpAddr,
    pub(super) user: Option<&'a [u8]>,
    pub(super) filter: &'a str,
    pub(super) pattern: &'a str,
    pub(super) made: Timestamp,
    pub(super) attempts: Attempts,
    pub(super) count: Attempts,
    pub(super) of: u32,
    /// Whether all of the attempts were tried as `user` for sure.
    pub(super) is_own: bool,
}

/// The lines of all prefixes that are being counted.
#[derive(Default)]
pub(super) struct Lines {
    ring: Vec<u8>,
    /// The last line of each chain; 0 for none.
    chains: Vec<u64>,
    /// Where the next line begins: bytes since the beginning of all, of which the ring holds the last.
    next: u64,
    /// Before which place nothing is of a jail any more, by its number.
    begins: Vec<u64>,
    seed: u64,
}

impl fmt::Debug for Lines {
    /// Says how much there is, and nothing of what people typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("bytes", &self.next).finish_non_exhaustive()
    }
}

impl Lines {
    /// Has chains begin elsewhere than in every other run: who shares one is not to be foreseen.
    pub(super) fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
        self.clear();
    }

    /// Keeps a line that was counted against `key`.
    pub(super) fn note(&mut self, (prefix, jail): Key, piece: Piece<'_>) {
        if self.ring.is_empty() {
            self.ring = vec![0; RING_BYTES];
            self.chains = vec![0; CHAINS];
            // No line has the place 0, and none that never was counts as there.
            self.next = RING_BYTES as u64;
        }
        let Piece { line, addr, user, filter, pattern, made, attempts, count, of, is_own } = piece;
        let (line, is_cut) = match line.get(..MAX_EVIDENCE_LINE_BYTES) {
            Some(cut) => (cut, line.len() > MAX_EVIDENCE_LINE_BYTES),
            None => (line, false),
        };
        let (user, has_user) = (user.map_or(&[][..], super::cut), user.is_some());
        let (filter, pattern) = (cut_text(filter).as_bytes(), cut_text(pattern).as_bytes());
        let size = HEADER_BYTES + line.len() + user.len() + filter.len() + pattern.len();
        // A line does not go round the end of the ring.
        let at = usize::try_from(self.next % RING_BYTES as u64).unwrap_or(0);
        if at + size > RING_BYTES {
            self.next += (RING_BYTES - at) as u64;
        }
        let place = self.next;
        let chain = self.chain(prefix);
        let Some(last) = self.chains.get_mut(chain) else { return };
        let before = std::mem::replace(last, place);
        let (bits, is_v4) = match addr {
            IpAddr::V4(addr) => (u128::from(addr.to_bits()), true),
            IpAddr::V6(addr) => (addr.to_bits(), false),
        };
        let flags = [(is_v4, V4), (has_user, USER), (is_cut, CUT), (is_own, OWN)];
        let flags = flags.into_iter().filter(|&(is, _)| is).fold(0, |flags, (_, flag)| flags | flag);
        let at = usize::try_from(place % RING_BYTES as u64).unwrap_or(0);
        let Some((header, mut to)) =
            self.ring.get_mut(at..at + size).and_then(<[u8]>::split_first_chunk_mut::<HEADER_BYTES>)
        else {
            return;
        };
        // Each is within what its bytes take: cut above, or by its type.
        let [low, high] = u16::try_from(line.len()).unwrap_or(0).to_le_bytes();
        let [user_len, filter_len, pattern_len] =
            [user, filter, pattern].map(|text| u8::try_from(text.len()).unwrap_or(0));
        header[..8].copy_from_slice(&before.to_le_bytes());
        header[8..16].copy_from_slice(&made.as_nanos().to_le_bytes());
        header[16..20].copy_from_slice(&attempts.as_tenths().to_le_bytes());
        header[20..24].copy_from_slice(&count.as_tenths().to_le_bytes());
        header[24..28].copy_from_slice(&of.to_le_bytes());
        header[28..44].copy_from_slice(&bits.to_le_bytes());
        header[44..].copy_from_slice(&[
            prefix.len(),
            jail.index(),
            flags,
            low,
            high,
            user_len,
            filter_len,
            pattern_len,
        ]);
        for bytes in [line, user, filter, pattern] {
            let (here, rest) = to.split_at_mut(bytes.len().min(to.len()));
            here.copy_from_slice(&bytes[..here.len()]);
            to = rest;
        }
        self.next += size as u64;
    }

    /// The last lines that were counted against `key` and `made` after `since`, in the order in which they came.
    pub(super) fn of(&self, key: Key, since: Timestamp) -> Vec<Evidence> {
        let mut found: Vec<Evidence> = Vec::new();
        let mut bytes = 0;
        for place in self.places(key.0) {
            let Some(kept) = self.at(place).filter(|kept| kept.key == Some(key) && kept.made > since) else { continue };
            bytes += kept.line.len() + kept.user.map_or(0, <[u8]>::len);
            if found.len() == MAX_EVIDENCE_LINES || bytes > MAX_EVIDENCE_BYTES {
                break;
            }
            // Most lines of one source are alike.
            let same = |text: &[u8], label: fn(&Evidence) -> &Label| {
                let last = found.last().map(label).filter(|last| last.as_bytes() == text);
                last.cloned().unwrap_or_else(|| Label::from(String::from_utf8_lossy(text).into_owned()))
            };
            let (filter, pattern) = (same(kept.filter, |last| &last.filter), same(kept.pattern, |last| &last.pattern));
            found.push(Evidence {
                line: kept.line.into(),
                is_cut: kept.is_cut,
                addr: kept.addr,
                user: kept.user.map(Into::into),
                filter,
                pattern,
                made: kept.made,
                attempts: kept.attempts,
                count: kept.count,
                of: kept.of,
            });
        }
        found.reverse();
        found
    }

    /// Forgets the lines of a prefix in one jail, or in all: they have been answered, or are forgiven.
    pub(super) fn forget(&mut self, prefix: Prefix, jail: Option<JailId>) {
        self.forget_if(prefix, |kept| kept.key.is_some_and(|(_, of)| jail.is_none_or(|jail| jail == of)));
    }

    /// Forgets the lines that tell of nothing but what was tried as `user`, up to then: it is forgiven. A line of which a part
    /// still counts stays.
    pub(super) fn forgive(&mut self, (prefix, jail): Key, user: &[u8], until: Timestamp) {
        let user = super::cut(user);
        self.forget_if(prefix, |kept| {
            kept.key == Some((prefix, jail)) && kept.is_own && kept.user == Some(user) && kept.made <= until
        });
    }

    fn forget_if(&mut self, prefix: Prefix, is_meant: impl Fn(&Kept<'_>) -> bool) {
        let places: Vec<u64> = self.places(prefix).collect();
        for place in places {
            let of_prefix = self.at(place).filter(|kept| kept.key.is_some_and(|(of, _)| of == prefix));
            let is_meant = of_prefix.is_some_and(|kept| is_meant(&kept));
            let at = usize::try_from(place % RING_BYTES as u64).unwrap_or(0);
            if is_meant && let Some(flags) = self.ring.get_mut(at + FLAGS_AT) {
                *flags |= GONE;
            }
        }
    }

    /// Forgets the lines of a jail.
    pub(super) fn forget_jail(&mut self, jail: JailId) {
        let index = usize::from(jail.index());
        if self.begins.len() <= index {
            self.begins.resize(index + 1, 0);
        }
        self.begins[index] = self.next;
    }

    /// Forgets all lines.
    pub(super) fn clear(&mut self) {
        self.chains.fill(0);
    }

    /// The places of lines whose prefix hashes as `prefix` does, the last first.
    fn places(&self, prefix: Prefix) -> impl Iterator<Item = u64> {
        let last = self.chains.get(self.chain(prefix)).copied().unwrap_or(0);
        let is_there = |place: &u64| place.saturating_add(RING_BYTES as u64) >= self.next && *place < self.next;
        let before = move |place: &u64| self.at(*place).map(|kept| kept.before).filter(is_there);
        std::iter::successors(Some(last).filter(is_there), before).take(MAX_STEPS)
    }

    /// What is kept at a place that has not been overwritten.
    fn at(&self, place: u64) -> Option<Kept<'_>> {
        let at = usize::try_from(place % RING_BYTES as u64).ok()?;
        let mut rest = self.ring.get(at..)?;
        let before = u64::from_le_bytes(take(&mut rest)?);
        let made = Timestamp::from_nanos(i64::from_le_bytes(take(&mut rest)?));
        let attempts = Attempts::tenths(u32::from_le_bytes(take(&mut rest)?));
        let count = Attempts::tenths(u32::from_le_bytes(take(&mut rest)?));
        let of = u32::from_le_bytes(take(&mut rest)?);
        let bits = u128::from_le_bytes(take(&mut rest)?);
        let [len, jail, flags] = take(&mut rest)?;
        let line_len = u16::from_le_bytes(take(&mut rest)?);
        let [user_len, filter_len, pattern_len] = take(&mut rest)?;
        let line = rest.split_off(..usize::from(line_len))?;
        let user = rest.split_off(..usize::from(user_len))?;
        let filter = rest.split_off(..usize::from(filter_len))?;
        let pattern = rest.split_off(..usize::from(pattern_len))?;
        let addr = match u32::try_from(bits) {
            Ok(bits) if flags & V4 != 0 => IpAddr::V4(bits.into()),
            Ok(_) | Err(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        };
        let begins = self.begins.get(usize::from(jail)).copied().unwrap_or(0);
        let key = Prefix::new(addr, len).ok().zip(JailId::new(jail)).filter(|_| flags & GONE == 0 && place >= begins);
        let user = (flags & USER != 0).then_some(user);
        let (is_cut, is_own) = (flags & CUT != 0, flags & OWN != 0);
        Some(Kept { before, key, line, is_cut, is_own, addr, user, filter, pattern, made, attempts, count, of })
    }

    fn chain(&self, prefix: Prefix) -> usize {
        let bits = match prefix.addr() {
            IpAddr::V4(addr) => u128::from(addr.to_bits()),
            IpAddr::V6(addr) => addr.to_bits(),
        };
        let mut mixed = self.seed ^ u64::from(prefix.len());
        for half in [(bits >> 64) as u64, bits as u64] {
            mixed = (mixed ^ half).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 32;
        }
        // Of a product by an odd number the upper bits depend on all of the factor's.
        usize::try_from(mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 48).unwrap_or(0)
    }
}

/// A line as it is kept.
struct Kept<'a> {
    before: u64,
    /// `None` if it has been answered.
    key: Option<Key>,
    line: &'a [u8],
    is_cut: bool,
    is_own: bool,
    addr: IpAddr,
    user: Option<&'a [u8]>,
    filter: &'a [u8],
    pattern: &'a [u8],
    made: Timestamp,
    attempts: Attempts,
    count: Attempts,
    of: u32,
}

/// What stands before the bytes of a line.
const HEADER_BYTES: usize = FLAGS_AT + 1 + 2 + 3;

/// Where its flags are.
const FLAGS_AT: usize = 8 + 8 + 4 + 4 + 4 + 16 + 2;

const V4: u8 = 1;
const USER: u8 = 2;
const CUT: u8 = 4;
const GONE: u8 = 8;
const OWN: u8 = 16;

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    from.split_off(..N)?.try_into().ok()
}

/// Names of filters and patterns are short; one of a user's own may be long.
fn cut_text(text: &str) -> &str {
    (0..=text.len().min(255)).rev().find_map(|end| text.get(..end)).unwrap_or("")
}

#[cfg(test)]
mod tests;
