//! How far each log has been read and judged: for the store, and for sources that begin.

use std::collections::BTreeMap;
use std::path::Path;

use crate::source::{Mark, Marks};

/// Most files remembered of one source; beyond it the one first read is forgotten, and would be read from its beginning.
/// More than a source follows and remembers itself. At some 250 bytes each, 512 KiB.
const MAX_FILES: usize = 2048;

/// The places of all sources, by what these are called.
#[derive(Debug, Default)]
pub(super) struct Logs {
    sources: BTreeMap<String, Source>,
    /// What is not to be kept any more: source, device and inode.
    lost: Vec<(String, u64, u64)>,
    /// How much there is to be told to the store; of sources that have not begun nothing is.
    changed: usize,
    /// Whether it is to be told everything.
    all: bool,
    /// Whether a source has begun for the first time: before that is told, a crash would have it begin at the end again.
    is_urgent: bool,
}

#[derive(Debug, Default)]
struct Source {
    /// Whether it ran, now or before.
    is_known: bool,
    /// Whether it has told where it begins. Until then what is known of it is in part of the last run: it is not told.
    has_begun: bool,
    /// In the order in which they were first read.
    files: Vec<File>,
    is_changed: bool,
}

#[derive(Debug)]
struct File {
    mark: Mark,
    is_changed: bool,
}

impl Logs {
    /// What the store remembers, which it need not be told.
    pub(super) fn new(loaded: BTreeMap<String, Marks>) -> Self {
        let source = |Marks { is_known, files }: Marks| Source {
            is_known,
            has_begun: false,
            files: files.into_iter().map(|mark| File { mark, is_changed: false }).collect(),
            is_changed: false,
        };
        Self { sources: loaded.into_iter().map(|(name, marks)| (name, source(marks))).collect(), ..Self::default() }
    }

    /// Where a source is to begin. One that never ran goes on where another has read the same file.
    pub(super) fn marks(&self, name: &str) -> Marks {
        let marks = |source: &Source| source.files.iter().map(|file| file.mark.clone()).collect::<Vec<_>>();
        match self.sources.get(name).filter(|source| source.is_known) {
            Some(source) => Marks { is_known: true, files: marks(source) },
            None => Marks { is_known: false, files: self.sources.values().flat_map(marks).collect() },
        }
    }

    /// How far the file at `path` has been judged for a source.
    pub(super) fn place(&self, name: &str, path: &Path) -> Option<&Mark> {
        let source = self.sources.get(name)?;
        // From the end: the one that is written to was found last.
        source.files.iter().rev().map(|file| &file.mark).find(|mark| mark.path == path)
    }

    /// A source has looked for its files, and told where it begins in each: from here on none is new to it.
    pub(super) fn begin(&mut self, name: &str) {
        let source = self.sources.entry(name.to_owned()).or_default();
        if !std::mem::replace(&mut source.has_begun, true) {
            let waiting = source.files.iter().filter(|file| file.is_changed).count();
            self.changed += waiting + self.lost.iter().filter(|(of, _, _)| of == name).count();
        }
        if !source.is_known {
            source.is_known = true;
            source.is_changed = true;
            self.changed += 1;
            self.is_urgent = true;
        }
    }

    /// All that was read of a file up to `mark` has been judged.
    pub(super) fn note(&mut self, name: &str, mark: Mark) {
        if !self.sources.contains_key(name) {
            self.sources.insert(name.to_owned(), Source::default());
        }
        let Some(source) = self.sources.get_mut(name) else { return };
        // From the end: the one that is written to was found last.
        let known = source.files.iter_mut().rev().find(|file| is_of(&file.mark, mark.device, mark.inode));
        match known {
            Some(file) => {
                file.mark = mark;
                self.changed += usize::from(!std::mem::replace(&mut file.is_changed, true) && source.has_begun);
            }
            None => {
                source.files.push(File { mark, is_changed: true });
                self.changed += usize::from(source.has_begun);
            }
        }
        if source.files.len() > MAX_FILES {
            let Mark { device, inode, .. } = source.files[0].mark;
            self.forget(name, device, inode);
        }
    }

    /// Files are gone.
    pub(super) fn lose(&mut self, name: &str, marks: &[Mark]) {
        for mark in marks {
            self.forget(name, mark.device, mark.inode);
        }
    }

    fn forget(&mut self, name: &str, device: u64, inode: u64) {
        let Some(source) = self.sources.get_mut(name) else { return };
        source.files.retain(|file| !is_of(&file.mark, device, inode));
        self.lost.push((name.to_owned(), device, inode));
        self.changed += usize::from(source.has_begun);
    }

    /// Forgets all sources but these.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        let before = self.sources.len();
        self.sources.retain(|name, _| is_kept(name));
        if self.sources.len() < before {
            self.touch_all();
        }
    }

    /// Has everything told anew.
    pub(super) fn touch_all(&mut self) {
        self.all = true;
        self.changed += 1;
    }

    /// Whether it should be told at once.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// How much is to be told.
    pub(super) fn changed(&self) -> usize {
        self.changed
    }

    /// What is to be told; from here on it is.
    pub(super) fn take(&mut self) -> Changed {
        let all = std::mem::take(&mut self.all);
        self.is_urgent = false;
        let mut logs = Vec::new();
        for (name, source) in self.sources.iter_mut().filter(|(_, source)| source.has_begun || all && source.is_known) {
            let is_changed = std::mem::take(&mut source.is_changed);
            let mut marks = Vec::new();
            for file in &mut source.files {
                if std::mem::take(&mut file.is_changed) || all {
                    marks.push(file.mark.clone());
                }
            }
            if is_changed || all || !marks.is_empty() {
                logs.push((name.clone(), marks));
            }
        }
        let waits = |name: &str| self.sources.get(name).is_some_and(|source| !source.has_begun) && !all;
        let (later, lost) = std::mem::take(&mut self.lost).into_iter().partition(|(name, _, _)| waits(name));
        self.lost = later;
        self.changed = 0;
        Changed { logs, lost, all }
    }
}

/// What the store is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) logs: Vec<(String, Vec<Mark>)>,
    pub(super) lost: Vec<(String, u64, u64)>,
    pub(super) all: bool,
}

fn is_of(mark: &Mark, device: u64, inode: u64) -> bool {
    (mark.device, mark.inode) == (device, inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_once_and_only_the_last() {
        let mut logs = Logs::default();
        logs.note("a", mark(7, 10));
        logs.begin("a");
        logs.note("a", mark(7, 20));
        logs.note("a", mark(8, 5));

        let changed = logs.take();

        assert_eq!(changed.logs, [("a".to_owned(), vec![mark(7, 20), mark(8, 5)])]);
        assert_eq!((logs.changed(), logs.take()), (0, Changed::default()));
    }

    #[test]
    fn a_source_is_known_when_it_has_told_where_it_begins_and_not_before() {
        let mut logs = Logs::default();
        logs.note("a", mark(7, 10));
        assert_eq!((logs.changed(), logs.take().logs), (0, Vec::new()));

        logs.begin("a");

        assert!(logs.changed() > 0);
        assert_eq!(logs.take().logs, [("a".to_owned(), vec![mark(7, 10)])]);
    }

    #[test]
    fn what_an_earlier_run_left_stays_until_this_one_has_told_where_it_begins() {
        let known = Marks { is_known: true, files: vec![mark(7, 10)] };
        let mut logs = Logs::new(BTreeMap::from([("a".to_owned(), known)]));
        logs.lose("a", &[mark(7, 10)]);
        logs.note("a", mark(8, 5));
        assert_eq!((logs.changed(), logs.take()), (0, Changed::default()));

        logs.begin("a");

        assert_eq!(logs.changed(), 2);
        let changed = logs.take();
        assert_eq!((changed.lost.len(), changed.logs), (1, vec![("a".to_owned(), vec![mark(8, 5)])]));
    }

    #[test]
    fn a_file_that_is_gone_is_forgotten_and_one_that_took_its_inode_is_another() {
        let mut logs = Logs::new(BTreeMap::from([(
            "a".to_owned(),
            Marks { is_known: true, files: vec![mark(7, 10), mark(8, 5)] },
        )]));
        logs.begin("a");
        logs.lose("a", &[mark(7, 10)]);
        logs.note("a", mark(7, 1));

        let changed = logs.take();

        assert_eq!(
            (changed.lost, changed.logs),
            (vec![("a".to_owned(), 1, 7)], vec![("a".to_owned(), vec![mark(7, 1)])])
        );
        assert_eq!(logs.marks("a").files, [mark(8, 5), mark(7, 1)], "in the order of their beginning");
    }

    #[test]
    fn a_source_that_never_ran_goes_on_where_another_has_read() {
        let known = Marks { is_known: true, files: vec![mark(7, 10)] };
        let logs = Logs::new(BTreeMap::from([("a".to_owned(), known.clone())]));

        assert_eq!(logs.marks("a"), known);
        assert_eq!(logs.marks("b"), Marks { is_known: false, ..known });
    }

    #[test]
    fn a_source_that_is_gone_is_forgotten_and_the_files_of_one_are_bounded() {
        let mut logs = Logs::default();
        for inode in 0..=MAX_FILES as u64 {
            logs.note("a", mark(inode, 1));
        }
        logs.begin("a");
        assert_eq!(logs.take().lost, [("a".to_owned(), 1, 0)]);
        assert_eq!(logs.marks("a").files.len(), MAX_FILES);

        logs.retain(|name| name != "a");
        assert_eq!(logs.take(), Changed { all: true, ..Changed::default() });
    }

    fn mark(inode: u64, offset: u64) -> Mark {
        let path = format!("/var/log/{inode}").into();
        Mark { path, device: 1, inode, offset, before: Vec::new(), skipping: false, noted: 0 }
    }
}
