//! Where the lines of a jail come from, in our words: log files or the journal.

use std::collections::BTreeSet;

use super::allow::MAX_ALLOWED;
use super::fault::{plain, shown};
use super::filter::Logs;
use super::import::{Fate, note};
use super::lower::Lowering;
use super::stock::Logged;
use crate::journal::Matches;

/// Where lines come from: `log` or `journal` is not empty, unless none are read.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Log files.
    pub(super) log: Vec<String>,
    /// Matches of the journal.
    pub(super) journal: Vec<String>,
    /// Whether these count whoever wrote an entry.
    pub(super) trusts_everybody: bool,
    /// The directory of the journal's files, if it is another one.
    pub(super) directory: Option<String>,
    /// Its namespace.
    pub(super) namespace: Option<String>,
}

/// Longest path the kernel takes: `PATH_MAX` less its final zero.
pub(super) const MAX_PATH_BYTES: usize = 4_095;

/// Every entry of a journal: journald notes of each how it came (systemd.journal-fields(7)).
const ALL_ENTRIES: &str = "_TRANSPORT=audit + _TRANSPORT=driver + _TRANSPORT=journal + _TRANSPORT=kernel + _TRANSPORT=stdout + _TRANSPORT=syslog";

impl Lowering<'_> {
    /// Where its lines come from, for a filter that is to be found where `logged` says.
    pub(super) fn input(&mut self, logged: Logged) -> Option<Inputs> {
        let matches =
            self.jail.filter.as_ref().map(|filter| filter.definition.journalmatch.clone()).unwrap_or_default();
        if self.jail.reads == Logs::Journal {
            if self.jail.backend.name == "auto" {
                self.changed("logpath", "no such file is there: the journal is read, as by fail2ban since 1.1.1");
            }
            return self.journal(&matches);
        }
        if self.jail.backend.name == "systemd" {
            self.changed(
                "backend",
                "systemd, without a `journalmatch`: fail2ban reads all of the journal; here the files of `logpath` are read, which are there",
            );
        }
        let mut log: Vec<String> = Vec::new();
        for found in &self.jail.logs {
            // Two stars look into all directories below for us, and mean one to fail2ban.
            let path = &*found.path.replace("**", "*");
            if !path.starts_with('/') || path.contains(char::is_control) || path.len() > MAX_PATH_BYTES {
                self.refused("logpath", format!("{}: expected an absolute path", shown(path)));
                continue;
            }
            if path.contains(' ') {
                self.changed(
                    "logpath",
                    format!("{}: taken as one path; fail2ban cannot read paths with blanks", shown(path)),
                );
            }
            log.push(path.to_owned());
        }
        match logged {
            Logged::Same => {}
            Logged::Renamed(from, to) => {
                for path in &mut log {
                    let other = path.replace(from, to);
                    if *path != other {
                        self.notes.push(note(
                            Fate::Changed,
                            "logpath",
                            format!("{}: the filter reads {}", plain(path), plain(&other)),
                        ));
                        *path = other;
                    }
                }
            }
            Logged::At(paths, why) => {
                self.changed("logpath", format!("the filter reads {}: {why}", paths.join(", ")));
                log = paths.iter().copied().map(str::to_owned).collect();
            }
        }
        let mut seen = BTreeSet::new();
        log.retain(|path| seen.insert(path.clone()));
        if log.is_empty() {
            self.refused("logpath", "there is none");
            return None;
        }
        if log.len() > MAX_ALLOWED {
            self.refused("logpath", format!("more than {MAX_ALLOWED} paths"));
            return None;
        }
        self.carried("logpath", log.iter().map(|path| plain(path)).collect::<Vec<_>>().join(", "));
        Some(Inputs { log, ..Inputs::default() })
    }

    fn journal(&mut self, lines: &[String]) -> Option<Inputs> {
        let (mut directory, mut namespace) = (None, None);
        for (key, value) in &self.jail.backend.parameters {
            match key.as_str() {
                "journalpath" if value.starts_with('/') && !value.contains(char::is_control) => {
                    directory = Some(value.clone());
                }
                "namespace" if is_namespace(value) => namespace = Some(value.clone()),
                // Rotated files are always read.
                "rotated" => {}
                other => self.notes.push(note(
                    Fate::Refused,
                    "backend",
                    format!(
                        "{}={}: the journal is read whole, see `journal_directory` and `journal_namespace`",
                        plain(other),
                        plain(value)
                    ),
                )),
            }
        }
        // Several lines are alternatives.
        let words: Vec<String> = if lines.is_empty() {
            self.changed("journalmatch", "it is missing: all entries that journald has taken are read, as by fail2ban");
            ALL_ENTRIES.split(' ').map(str::to_owned).collect()
        } else {
            lines.join(" + ").split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
        };
        match Matches::read(words.iter().map(String::as_str)) {
            Ok(matches) => {
                let trusts_everybody = !matches.name_the_sender();
                self.carried("journalmatch", plain(&words.join(" ")));
                if trusts_everybody {
                    self.changed("journalmatch", "it names no sender, so that any user of the machine can write such entries: name a _SYSTEMD_UNIT");
                }
                Some(Inputs { journal: words, trusts_everybody, directory, namespace, ..Inputs::default() })
            }
            Err(why) => {
                self.refused("journalmatch", format!("{}: {why}", shown(&words.join(" "))));
                None
            }
        }
    }
}

/// Whether a configuration of ours takes it.
fn is_namespace(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_of_name)
}
