//! Where an earlier run left off: which files its marks belong to, whatever they are called by now, and what came after them.
//!
//! Looks at the first scan alone, before anything is read. A marked file is, in this order:
//!
//! 1. the file with its inode, if it has before the mark what was read there: at its path, or in the same directory under
//!    the name that a rotation gave it (the path's, and `.` or `-` behind it);
//! 2. a file at the path or of such a name that has the same bytes before the mark: a copy, made by copytruncate or an
//!    editor.
//!
//! 3. a compressed file of such a name that holds these bytes (`compressed`). It is read on; one that was read whole is not.
//!
//! If there is none, what was written to it after the mark is lost. Files of such names that were written to after the
//! last mark was noted, and that nobody knows, came and went between two runs: they are read from their beginning, the
//! oldest first, before the file that has the path now, compressed or not. A copy of what is still at the path is none of them:
//! copytruncate is at work at this moment, and the original is read. Nor is a compressed file whose original is there, or was
//! opened here: it is being compressed.
//!
//! Looking may take its time. What comes meanwhile, and is rotated away before it is over, is looked for when it is (`arrived`).

mod arrived;
#[cfg(test)]
mod arrived_tests;
mod compressed;
#[cfg(test)]
mod compressed_tests;

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::family::{Member, born, family, find_again, is_copy_of_path, members, open};
use super::find::Found;
use super::follower::QUIET_TIME;
use super::packed::{Format, PackedName};
use super::tail::{Identity, Position, Start};
use super::unpacked::{head, is_read, read_position};
use super::{Mark, Marks, Standing};
use crate::clock::Reading;
use compressed::{Compressed, Effort, MAX_BEHIND_NS, find_marks, is_telling};

/// A file system's clock is behind by at most a tick, 10 ms; in nanoseconds.
pub(super) const TICKS_NS: i64 = 20_000_000;

/// A file's mark is noted at most so long after it was found, in nanoseconds, however slow the disk: 10 s.
const UNTOLD_NS: i64 = 10_000_000_000;

/// A file that is to be read before what is found besides.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) file: File,
    /// How it is compressed, and its own path, if it is.
    pub(super) packed: Option<(Format, PathBuf)>,
    pub(super) identity: Identity,
    /// The path by which it is followed.
    pub(super) path: PathBuf,
    pub(super) standing: Standing,
    pub(super) start: Start,
    /// Which of the files it is in the order in which they were written: the number of its mark, and when it was last written
    /// to if nobody knew it.
    order: (usize, i64),
}

/// What is made of the marks.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    /// To be read in this order.
    pub(super) files: Vec<Resumed>,
    /// Where to begin in files that cannot be opened now.
    pub(super) later: Vec<(Identity, Start)>,
    /// Marks whose file is gone, or goes on as another.
    pub(super) lost: Vec<Mark>,
    /// Of compressed files that have been read whole, as other files.
    pub(super) read: Vec<Mark>,
}

impl Mark {
    /// The mark of a file that was read up to a position.
    pub(super) fn new(path: &Path, identity: Identity, position: &Position) -> Self {
        let Position { offset, before, skipping } = position.clone();
        let Identity { device, inode } = identity;
        Self { path: path.to_owned(), device, inode, offset, before, skipping, noted: 0 }
    }

    fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode }
    }

    /// Whether a file has what was there when it was read; at its beginning, what was first in it. Where nothing is known of
    /// that, whether it was there when the mark was noted: another may have its inode.
    pub(super) fn is_in(&self, file: &File) -> bool {
        if self.offset > 0 {
            self.position().is_in(file)
        } else if self.before.is_empty() {
            let born = || born(&file.metadata().ok()?);
            self.noted == 0 || born().is_none_or(|born| born <= self.noted)
        } else {
            head(file).is_ok_and(|head| head == self.before)
        }
    }

    fn position(&self) -> Position {
        // At the beginning nothing is before it.
        let before = if self.offset == 0 { Vec::new() } else { self.before.clone() };
        Position { offset: self.offset, before, skipping: self.skipping }
    }
}

/// Finds the files of `marks` among those that a `look` finds and around them, for as long as `is_wanted`. Says what the last
/// look has found besides.
pub(super) fn resume(
    marks: Marks,
    look: &mut dyn FnMut() -> Vec<Found>,
    is_wanted: &dyn Fn() -> bool,
) -> (Resumption, Vec<Found>) {
    let began = Reading::take().wall_ns().saturating_sub(TICKS_NS);
    let mut search = Search::new(look(), is_wanted);
    let is_known = marks.is_known;
    search.find(marks);
    if is_known {
        search.look_again(look, began);
    }
    search.finish()
}

struct Search<'a> {
    /// At the last look.
    found: Vec<Found>,
    claimed: HashSet<Identity>,
    /// The paths of rotated files that were opened.
    opened: HashSet<PathBuf>,
    /// What was found at earlier looks.
    seen: HashSet<Identity>,
    /// From when on, by path, what nobody knows is new: wall time, in nanoseconds.
    since: HashMap<PathBuf, i64>,
    /// Whether a file was gone from the name under which it had just been seen.
    is_unsettled: bool,
    effort: Effort<'a>,
    resumption: Resumption,
}

impl<'a> Search<'a> {
    fn new(found: Vec<Found>, is_wanted: &'a dyn Fn() -> bool) -> Self {
        Self {
            found,
            claimed: HashSet::new(),
            opened: HashSet::new(),
            seen: HashSet::new(),
            since: HashMap::new(),
            is_unsettled: false,
            effort: Effort { unpacked: 0, is_wanted },
            resumption: Resumption::default(),
        }
    }

    /// Finds the files of the marks, and what came after them.
    fn find(&mut self, marks: Marks) {
        let Marks { is_known, files: marks } = marks;
        if !is_known {
            // Of other sources: they tell of files that this one has, too, and of nothing else.
            for (number, mark) in marks.iter().enumerate() {
                self.claim_found(number, mark);
            }
            return;
        }
        let mut paths: Vec<&Path> = Vec::new();
        for mark in &marks {
            if !paths.contains(&mark.path.as_path()) {
                paths.push(&mark.path);
            }
        }
        for path in paths {
            // Not looked for where all is as it was: a glob may name a thousand files.
            let family = LazyCell::new(|| family(path));
            let (mut is_current, mut since, mut missing) = (false, i64::MIN, Vec::new());
            for (number, mark) in marks.iter().enumerate().filter(|(_, mark)| mark.path == path) {
                let has_path = self.claim_found(number, mark)
                    || self.claim((number, mark), &family, &mut since).unwrap_or_else(|| {
                        missing.push((number, mark));
                        false
                    });
                // At its beginning every file is the same: another may have the inode.
                is_current |= has_path && mark.offset > 0;
                since = since.max(mark.noted.saturating_sub(TICKS_NS));
            }
            self.since.insert(path.to_owned(), since);
            if !is_current {
                self.begin_unknown(path, since, &family);
            }
            if is_current && missing.is_empty() {
                continue;
            }
            // A file of which nothing was known but that it is there can be known by nothing else when it is compressed.
            let nameless = missing.iter().filter(|(_, mark)| !is_telling(mark)).map(|(_, mark)| mark.noted);
            let came = nameless.min().map_or(i64::MAX, |noted| noted.saturating_sub(UNTOLD_NS));
            let since = if is_current { came } else { since.min(came) };
            // Listed when the others are open: what was compressed meanwhile is among them.
            let compressed = self.compressed(path, since, &missing);
            self.claim_compressed(missing, &compressed);
            self.begin_compressed(path, since, compressed);
        }
    }

    /// What was made of the marks, and the files that were found last.
    fn finish(mut self) -> (Resumption, Vec<Found>) {
        let found: HashSet<Identity> = self.found.iter().map(|found| found.identity).collect();
        let files = &mut self.resumption.files;
        for file in files.iter_mut().filter(|file| !found.contains(&file.identity)) {
            file.standing = Standing::Rotated;
        }
        // Of the files that are found, none was written to before one that was rotated away.
        files.sort_by_key(|file| (file.standing == Standing::Current, file.order));
        (self.resumption, self.found)
    }

    /// Takes the file of a mark if it is at its path still.
    fn claim_found(&mut self, number: usize, mark: &Mark) -> bool {
        let identity = mark.identity();
        let is_there = |found: &Found| found.identity == identity && found.path == mark.path;
        if self.claimed.contains(&identity) || !self.found.iter().any(is_there) {
            return false;
        }
        let Ok(file) = open(&mark.path, identity) else { return false };
        if !mark.is_in(&file) {
            return false;
        }
        self.claimed.insert(identity);
        let (path, start) = (mark.path.clone(), Start::Resume(mark.position()));
        let (packed, standing, order) = (None, Standing::Current, (number, 0));
        self.resumption.files.push(Resumed { file, packed, identity, path, standing, start, order });
        true
    }

    /// Finds the file of a mark, wherever it is. Returns whether it still has its path; `None` if it is not there. If it is a
    /// copy, what came after it was written to `since` the copy was.
    fn claim(&mut self, (number, mark): (usize, &Mark), family: &[Member], since: &mut i64) -> Option<bool> {
        let candidates = || {
            let found = self.found.iter().map(|found| (found.path.clone(), found.identity));
            found.chain(family.iter().map(|member| (member.path.clone(), member.identity)))
        };
        let is_same = |identity: Identity| identity == mark.identity();
        // Numbers of devices may change at a reboot.
        let has_inode = |identity: Identity| !is_same(identity) && identity.inode == mark.inode;
        let is_copy = |identity: Identity| identity.inode != mark.inode && is_telling(mark) && mark.offset > 0;
        let ways: [&dyn Fn(Identity) -> bool; 3] = [&is_same, &has_inode, &is_copy];
        let place = ways.into_iter().find_map(|is_it| {
            let mut places = candidates().filter(|(_, identity)| is_it(*identity) && !self.claimed.contains(identity));
            places.find_map(|(path, identity)| match open(&path, identity) {
                Ok(file) => mark.is_in(&file).then_some((path, identity, Some(file))),
                // Renamed this very moment; or compressed, and looked for later.
                Err(error) if is_same(identity) && error.kind() == io::ErrorKind::NotFound => {
                    let (path, file) = find_again(&mark.path, identity)?;
                    mark.is_in(&file).then_some((path, identity, Some(file)))
                }
                // It is there, and may be readable later.
                Err(_) if is_same(identity) => Some((path, identity, None)),
                Err(_) => None,
            })
        });
        let (path, identity, file) = place?;
        if identity != mark.identity() {
            // It will be noted as another.
            self.resumption.lost.push(mark.clone());
        }
        self.claimed.insert(identity);
        self.opened.insert(path.clone());
        if identity.inode != mark.inode
            && let Some(copy) = family.iter().find(|member| member.identity == identity)
        {
            *since = copy.modified.max(*since);
        }
        let is_found = self.found.iter().any(|found| found.identity == identity);
        let is_current = path == mark.path;
        let start = Start::Resume(mark.position());
        match file {
            None => self.resumption.later.push((identity, start)),
            Some(file) if !is_found && is_read_and_quiet(&file, mark) => self.resumption.later.push((identity, start)),
            Some(file) => {
                let (path, standing) =
                    if is_found { (path, Standing::Current) } else { (mark.path.clone(), Standing::Rotated) };
                let order = (number, 0);
                self.resumption.files.push(Resumed { file, packed: None, identity, path, standing, start, order });
            }
        }
        Some(is_current)
    }

    /// Takes in the files that were written to `since` then, or were at the `path` then, and do not have it any more.
    fn begin_unknown(&mut self, path: &Path, since: i64, family: &[Member]) {
        for member in family.iter().filter(|member| member.path != path) {
            if member.modified <= since && !self.seen.contains(&member.identity) {
                continue;
            }
            let is_found = self.found.iter().any(|found| found.identity == member.identity);
            if is_found || self.claimed.contains(&member.identity) {
                continue;
            }
            let file = match open(&member.path, member.identity) {
                Ok(file) => file,
                Err(error) => {
                    self.is_unsettled |= error.kind() == io::ErrorKind::NotFound;
                    continue;
                }
            };
            if is_copy_of_path(&file, path) {
                continue;
            }
            self.claimed.insert(member.identity);
            self.opened.insert(member.path.clone());
            self.resumption.files.push(Resumed {
                file,
                packed: None,
                identity: member.identity,
                path: path.to_owned(),
                standing: Standing::Rotated,
                start: Start::Beginning,
                order: (usize::MAX, member.modified),
            });
        }
    }

    /// The compressed files that may matter: all that could hold a mark, or that were written to `since` then. Says which
    /// cannot be read.
    fn compressed(&self, path: &Path, since: i64, missing: &[(usize, &Mark)]) -> Vec<Compressed> {
        let is_old = |modified: i64| modified <= since && missing.iter().all(|(_, mark)| is_before(modified, mark));
        let mut compressed = Vec::new();
        for member in members(path, |path| PackedName::of(path).is_some()) {
            let Member { path, identity, modified, .. } = member;
            let modified = latest(modified);
            let Some(name) = PackedName::of(&path) else { continue };
            if is_old(modified) || self.opened.contains(&name.base) || name.has_base() {
                continue;
            }
            match name.format {
                Some(format) => compressed.push(Compressed { path, identity, modified, format }),
                None => {
                    warn!(file = ?path, "a rotated log is compressed in a form that is not read: its lines are not judged");
                }
            }
        }
        compressed
    }

    /// Finds the compressed files of marks that have no other file.
    fn claim_compressed(&mut self, mut missing: Vec<(usize, &Mark)>, compressed: &[Compressed]) {
        // The ones that this reader had begun, or read.
        missing.retain(|&(number, mark)| {
            let Some(member) = compressed.iter().find(|member| member.identity == mark.identity()) else { return true };
            let Ok(file) = open(&member.path, member.identity) else { return true };
            if is_read(&file, &mark.position()) {
                self.claimed.insert(member.identity);
                self.resumption.later.push((member.identity, Start::Resume(mark.position())));
                return false;
            }
            if mark.offset == 0 && !mark.before.is_empty() && mark.is_in(&file) {
                self.go_on(file, member, (number, mark));
                return false;
            }
            true
        });
        // The youngest first: the one that is looked for was rotated lately.
        for member in compressed.iter().rev() {
            let wanted: Vec<(usize, &Mark)> = missing
                .iter()
                .copied()
                .filter(|(_, mark)| is_telling(mark) && !is_before(member.modified, mark))
                .collect();
            if wanted.is_empty() || self.claimed.contains(&member.identity) {
                continue;
            }
            let found = open(&member.path, member.identity)
                .and_then(|file| Ok((find_marks(&file, member.format, &wanted, &mut self.effort)?, file)));
            let (found, file) = match found {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => {
                    warn!(file = ?member.path, %error, "cannot look for where an earlier run left off");
                    continue;
                }
            };
            let Some(farthest) = found.marks.last().and_then(|last| missing.iter().find(|(number, _)| number == last))
            else {
                continue;
            };
            let farthest = *farthest;
            if !found.is_read {
                self.go_on(file, member, farthest);
            } else if let Ok(position) = read_position(&file) {
                self.claimed.insert(member.identity);
                self.resumption.read.push(Mark::new(&farthest.1.path, member.identity, &position));
            }
            missing.retain(|(number, mark)| {
                let is_found = found.marks.contains(number);
                if is_found && mark.identity() != member.identity {
                    // It will be noted as another.
                    self.resumption.lost.push((*mark).clone());
                }
                !is_found
            });
        }
        self.resumption.lost.extend(missing.into_iter().map(|(_, mark)| mark.clone()));
    }

    /// Has a compressed file read on from a mark.
    fn go_on(&mut self, file: File, member: &Compressed, (number, mark): (usize, &Mark)) {
        self.claimed.insert(member.identity);
        self.resumption.files.push(Resumed {
            file,
            packed: Some((member.format, member.path.clone())),
            identity: member.identity,
            path: mark.path.clone(),
            standing: Standing::Rotated,
            start: Start::Resume(mark.position()),
            order: (number, 0),
        });
    }

    /// Takes in the compressed files that were written to `since` then and that nobody knows.
    fn begin_compressed(&mut self, path: &Path, since: i64, compressed: Vec<Compressed>) {
        for member in compressed.into_iter().filter(|member| member.modified > since) {
            if self.claimed.contains(&member.identity) {
                continue;
            }
            let file = match open(&member.path, member.identity) {
                Ok(file) if self.is_open(&file, member.format, path) => continue,
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.is_unsettled = true;
                    continue;
                }
                Err(error) => {
                    warn!(file = ?member.path, %error, "a compressed log cannot be opened: its lines are not judged");
                    continue;
                }
            };
            self.claimed.insert(member.identity);
            self.resumption.files.push(Resumed {
                file,
                packed: Some((member.format, member.path)),
                identity: member.identity,
                path: path.to_owned(),
                standing: Standing::Rotated,
                start: Start::Beginning,
                order: (usize::MAX, member.modified),
            });
        }
    }
}

/// The latest that a time of a compressed file may stand for: not every program that compresses (bzip2) keeps more than the
/// seconds of the file's own.
fn latest(modified: i64) -> i64 {
    const SECOND_NS: i64 = 1_000_000_000;
    if modified % SECOND_NS == 0 { modified.saturating_add(SECOND_NS - 1) } else { modified }
}

/// Whether a file was last written to so long before a mark was noted that it cannot hold what was read then.
fn is_before(modified: i64, mark: &Mark) -> bool {
    modified < mark.noted.saturating_sub(MAX_BEHIND_NS)
}

/// Whether a file that was rotated away has been read to its end, and nobody writes to it any more.
fn is_read_and_quiet(file: &File, mark: &Mark) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
    metadata.len() == mark.offset && age.is_some_and(|age| age >= QUIET_TIME)
}

#[cfg(test)]
mod tests;
