//! The last line of each host in one log, if it was a failure: what `last message repeated N times` means.
//!
//! Only failures are kept, because the repetition of anything else is nothing. A central log has lines of many hosts, each
//! of which repeats its own; a repetition that names no host means the last line of the log, whoever's it was.

/// The failures among the last lines of the hosts of one log.
#[derive(Debug, Default)]
pub struct LastFailures {
    /// The one noted last at the end; no host twice.
    hosts: Vec<LastLine>,
    /// How many of them have a line.
    kept: usize,
    /// Whether the last line of the log is that of the last of `hosts`.
    is_last: bool,
}

/// A host and its last line, which is empty if that was no failure. The buffers stay for the next.
#[derive(Debug, Default)]
struct LastLine {
    host: Option<Vec<u8>>,
    line: Vec<u8>,
}

impl LastFailures {
    /// Notes that the last line of `host` is `line`, which is kept if it is a failure.
    pub fn note(&mut self, host: Option<&[u8]>, line: &[u8], is_failure: bool) {
        self.is_last = is_failure && line.len() <= MAX_LAST_BYTES;
        if !self.is_last && self.kept == 0 {
            return;
        }
        let place = self.hosts.iter().position(|last| last.host.as_deref() == host);
        if let Some(last) = place.and_then(|place| self.hosts.get_mut(place)) {
            self.kept -= usize::from(!last.line.is_empty());
            last.line.clear();
        }
        if !self.is_last {
            return;
        }
        match place {
            Some(place) => self.hosts[place..].rotate_left(1),
            None if self.hosts.len() < MAX_HOSTS => self.hosts.push(LastLine::of(host)),
            None => {
                let LastLine { host: _, mut line } = self.hosts.remove(0);
                self.kept -= usize::from(!line.is_empty());
                line.clear();
                self.hosts.push(LastLine { line, ..LastLine::of(host) });
            }
        }
        if let Some(last) = self.hosts.last_mut() {
            last.line.extend_from_slice(line);
            self.kept += 1;
        }
    }

    /// Whether no other host than `host` has been noted with a failure, as far as that is still known.
    pub(super) fn is_only_of(&self, host: Option<&[u8]>) -> bool {
        matches!(&self.hosts[..], [only] if only.host.as_deref() == host)
    }

    /// Whether there is nothing that could come again.
    pub(super) fn is_empty(&self) -> bool {
        self.kept == 0
    }

    /// Notes a line of which nobody knows whose it is.
    pub fn note_unreadable(&mut self) {
        for last in &mut self.hosts {
            last.line.clear();
        }
        self.kept = 0;
        self.is_last = false;
    }

    /// The last line of `host`, or of the log if no host is named; `None` if it was no failure.
    pub fn of(&self, host: Option<&[u8]>) -> Option<&[u8]> {
        let last = match host {
            Some(_) => self.hosts.iter().find(|last| last.host.as_deref() == host),
            None => self.hosts.last().filter(|_| self.is_last),
        };
        last.map(|last| &last.line[..]).filter(|line| !line.is_empty())
    }
}

impl LastLine {
    /// Nothing yet of `host`.
    fn of(host: Option<&[u8]>) -> Self {
        Self { host: host.map(Into::into), line: Vec::new() }
    }
}

/// Most hosts of one log whose last line is kept; beyond it the one that wrote longest ago is not.
const MAX_HOSTS: usize = 4;

/// Longest line kept. The failures that we know have under 600 bytes; those of longer ones are not counted again.
const MAX_LAST_BYTES: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    const MX1: Option<&[u8]> = Some(b"mx1");
    const MX2: Option<&[u8]> = Some(b"mx2");

    #[test]
    fn each_host_has_its_own_last_line() {
        let mut last = LastFailures::default();
        last.note(MX1, b"one", true);
        last.note(MX2, b"two", true);

        assert_eq!((last.of(MX1), last.of(MX2)), (Some(&b"one"[..]), Some(&b"two"[..])));
        assert_eq!(last.of(None), Some(&b"two"[..]), "the last of all");

        last.note(MX1, b"harmless", false);
        assert_eq!((last.of(MX1), last.of(MX2)), (None, Some(&b"two"[..])));
        assert_eq!(last.of(None), None, "the last of all was harmless");
    }

    #[test]
    fn only_so_many_hosts_and_bytes_are_kept() {
        let mut last = LastFailures::default();
        let hosts: Vec<String> = (0..=MAX_HOSTS).map(|number| format!("mx{number}")).collect();
        for host in &hosts {
            last.note(Some(host.as_bytes()), b"x", true);
        }
        assert_eq!(last.of(Some(b"mx0")), None);
        assert_eq!(last.of(Some(b"mx1")), Some(&b"x"[..]));

        last.note(Some(b"mx1"), &[b'x'; MAX_LAST_BYTES + 1], true);
        assert_eq!((last.of(Some(b"mx1")), last.of(None)), (None, None));
    }

    #[test]
    fn what_cannot_be_read_may_have_been_anybody_s() {
        let mut last = LastFailures::default();
        last.note(MX1, b"one", true);
        last.note_unreadable();

        assert_eq!((last.of(MX1), last.of(None)), (None, None));
    }
}
