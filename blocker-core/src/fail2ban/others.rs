//! What of fail2ban's options means something else here, or nothing: each is named, and none is different in silence.

use super::allow::Ignored;
use super::fault::plain;
use super::import::{Fate, Note, note};
use super::jail::Jails;
use super::lower::Lowering;
use crate::engine::evidence::MAX_EVIDENCE_LINES;

/// What concerns all jails.
pub(super) fn everywhere(jails: &Jails) -> Vec<Note> {
    let changed = [
        (
            "maxretry, findtime",
            "counted exactly, that many failures within that time, where fail2ban estimates: see `counter`".to_owned(),
        ),
        (
            "action",
            "packets of banned addresses are dropped without an answer, before any chain of a firewall (`chain`, `blocktype`), where \
             fail2ban's default refuses them"
                .to_owned(),
        ),
        ("usedns", "addresses are taken from the log only, and no name is ever looked up".to_owned()),
        (
            "logpath",
            "at the first start logs are read from their end, or from where fail2ban has read them (`import fail2ban --logs`), later \
             from where reading ended; fail2ban looks back as far as findtime"
                .to_owned(),
        ),
        ("IPv6", "counted and banned by /64, where fail2ban bans single addresses: see `ipv6_prefix`".to_owned()),
        (
            "maxmatches",
            format!("of each ban the last {MAX_EVIDENCE_LINES} lines that earned it are kept, in all jails"),
        ),
    ];
    let mut notes: Vec<Note> = changed.into_iter().map(|(what, why)| note(Fate::Changed, what, why)).collect();
    let program = &jails.program;
    if let Some(age) = &program.purge_age {
        let why = format!(
            "{}: earlier bans are remembered for `daemon.remember_bans`, which is 30d unless it is set",
            plain(age)
        );
        notes.push(note(Fate::Changed, "dbpurgeage", why));
    }
    if let Some(said) = program.allow_ipv6.as_ref().filter(|said| said.to_lowercase() != "auto") {
        let why = format!("{}: addresses of IPv6 are banned wherever the log has them", plain(said));
        notes.push(note(Fate::Changed, "allowipv6", why));
    }
    notes.extend(jails.warnings.iter().map(|fault| note(Fate::Refused, "[INCLUDES]", fault.to_string())));
    notes
}

impl Lowering<'_> {
    /// The options that are neither filter, log, limits nor actions.
    pub(super) fn others(&mut self) {
        let jail = self.jail;
        for entry in &jail.ignore_ip {
            let is_everybodys = self.running.iter().all(|other| other.ignore_ip.contains(entry));
            let list = match Ignored::read(entry) {
                Ignored::Network(_) => "allow",
                Ignored::File(_) => "allow_files",
                Ignored::Other => continue,
            };
            if jail.enabled && !is_everybodys {
                self.changed(
                    "ignoreip",
                    format!("{}: `{list}` is for all jails, not for this one alone", plain(entry)),
                );
            }
        }
        if jail.ignore_self == Some(false) {
            self.changed("ignoreself", "the machine's own addresses are never banned");
        }
        if jail.ignore_command.is_some() {
            self.refused("ignorecommand", "no command is asked before a ban: write networks into `daemon.allow`");
        }
        if jail.ignore_cache.is_some() {
            self.refused("ignorecache", "there is no command whose answers it would keep");
        }
        if let Some(zone) = &jail.log_timezone {
            self.refused("logtimezone", format!("{}: times without a zone are in the machine's own", plain(zone)));
        }
        for log in jail.logs.iter().filter(|log| log.tail) {
            let why = "`tail` is how each log begins at the first start; what is written while the daemon is down is read later";
            self.changed("logpath", format!("{}: {why}", plain(&log.path)));
        }
        self.encoding();
        let definition = jail.filter.as_ref().map(|filter| &filter.definition);
        if !self.has_own_filter && definition.is_some_and(|definition| definition.maxlines > 1) {
            self.changed("maxlines", "each line is judged by itself");
        }
    }

    fn encoding(&mut self) {
        let encoding = self.jail.log_encoding.as_deref().unwrap_or("auto").to_lowercase();
        let is_wide =
            ["utf-16", "utf16", "utf_16", "utf-32", "utf32", "utf_32"].iter().any(|wide| encoding.starts_with(wide));
        if is_wide {
            let why = format!("{}: logs are read as bytes: have them written as UTF-8", plain(&encoding));
            self.refused("logencoding", why);
        } else if !["auto", "utf-8", "utf8", "utf_8", "ascii", "us-ascii"].contains(&encoding.as_str()) {
            let why = "lines are read as UTF-8, so an expression with letters beyond ASCII does not match such a line";
            self.changed("logencoding", format!("{}: {why}", plain(&encoding)));
        }
    }
}
