//! Events as entries of the systemd journal, with fields of their own: systemd.journal-fields(7) says how they are named, and
//! the journal's native protocol how they are sent: a datagram of fields, a line each.
//!
//! Written by the thread that puts events into words, which may wait; but no longer than [`PATIENCE`], and not for each of many, or a
//! journal that is stuck would keep the daemon from ending.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use super::events::Told;
use crate::logging;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How long an entry may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the journal.
pub(super) struct Entries {
    socket: UnixDatagram,
    /// Whether the journal did not take the last one in time. Then none is waited for until it takes one again: thousands may
    /// follow.
    is_stuck: bool,
}

impl Entries {
    /// If the daemon's log goes to the journal.
    pub(super) fn of_journal() -> Option<Self> {
        if !logging::leads_to_journal() {
            return None;
        }
        match Self::to(Path::new(SOCKET)) {
            Ok(entries) => Some(entries),
            Err(error) => {
                tracing::debug!("{SOCKET}: {error}: events go into the log without fields of their own");
                None
            }
        }
    }

    fn to(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, is_stuck: false })
    }

    /// Sends an event.
    pub(super) fn send(&mut self, told: &Told) -> io::Result<()> {
        let sent = self.socket.send(&entry(told)).map(drop);
        let is_stuck = sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if is_stuck != self.is_stuck && self.socket.set_nonblocking(is_stuck).is_ok() {
            self.is_stuck = is_stuck;
        }
        sent
    }
}

/// An event as fields.
fn entry(told: &Told) -> Vec<u8> {
    let mut entry = Vec::new();
    put(&mut entry, "MESSAGE", &told.text());
    put(&mut entry, "PRIORITY", told.priority());
    put(&mut entry, "SYSLOG_IDENTIFIER", "blocker");
    put(&mut entry, "BLOCKER_EVENT", told.event);
    for (name, value) in told.whom.iter().chain(&told.fields) {
        put(&mut entry, &format!("BLOCKER_{}", name.to_ascii_uppercase()), value);
    }
    entry
}

/// A field. A value that has a newline is sent with its length, so that none of it can pass for another field.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn a_value_cannot_pass_for_another_field() {
        let mut entry = Vec::new();
        put(&mut entry, "BLOCKER_USER", "bob\nPRIORITY=0");
        put(&mut entry, "BLOCKER_JAIL", "dovecot");

        assert_eq!(entry, b"BLOCKER_USER\n\x0e\0\0\0\0\0\0\0bob\nPRIORITY=0\nBLOCKER_JAIL=dovecot\n");
    }

    #[test]
    fn a_journal_that_takes_nothing_is_not_waited_for_long() {
        let dir = TempDir::new();
        let journal = UnixDatagram::bind(dir.path("socket")).expect("it can be made");
        let mut entries = Entries::to(&dir.path("socket")).expect("it listens");
        let patience = Duration::from_millis(100);
        entries.socket.set_write_timeout(Some(patience)).expect("it can be set");
        let told = Told::plain("[dovecot] Ban 192.0.2.9");

        let error = (0..100_000).find_map(|_| entries.send(&told).err()).expect("it is full at some time");

        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let began = std::time::Instant::now();
        let taken = (0..20).filter(|_| entries.send(&told).is_ok()).count();
        assert!(taken == 0 && began.elapsed() < PATIENCE, "the others do not each wait: {:?}", began.elapsed());
        let mut entry = [0; 1024];
        let size = journal.recv(&mut entry).expect("an entry");
        assert!(entry[..size].starts_with(b"MESSAGE=[dovecot] Ban 192.0.2.9\nPRIORITY=5\n"));
        entries.send(&told).expect("there is room for one");
        assert!(!entries.is_stuck);
    }
}
