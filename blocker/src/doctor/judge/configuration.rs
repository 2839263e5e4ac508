//! The configuration, the daemon, the logs, and the ports that are protected.

use std::collections::BTreeSet;

use blocker_core::config::{Config, Enabled, Jail, Ports, Protocol};

use super::super::facts::{Configuration, Daemon, Facts, JailJournal, JailLogs};
use super::super::finding::{Finding, Level};

/// Most files named in a finding; beyond that only how many there are.
const MAX_NAMED: usize = 4;

/// Judges the configuration and the daemon.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![file(&facts.configuration)];
    findings.extend(daemon(&facts.daemon));
    findings
}

fn file(configuration: &Configuration) -> Finding {
    let subject = "configuration";
    match configuration {
        Configuration::Good { path, config } => {
            let on: Vec<&str> = jails_on(config).map(|jail| jail.name.as_str()).collect();
            if on.is_empty() {
                let text = format!("{}: no jail is on, only bans by command are enforced", path.display());
                return Finding::new(Level::Warn, subject, text);
            }
            Finding::ok(subject, format!("{}: in order, jails {}", path.display(), on.join(", ")))
        }
        Configuration::Faulty { path, faults } => {
            let text = format!("{} cannot be used; the defaults are looked at instead\n{faults}", path.display());
            Finding::new(Level::Problem, subject, text)
                .helped_by("correct it; `blocker check` says whether it is in order")
        }
        Configuration::Unreadable { path, why } => {
            let text = format!("{why}; the defaults are looked at instead of {}", path.display());
            Finding::not_checked(subject, text).helped_by("sudo blocker doctor")
        }
    }
}

fn jails_on(config: &Config) -> impl Iterator<Item = &Jail> {
    config.jails.iter().filter(|jail| jail.enabled != Enabled::No)
}

fn daemon(daemon: &Daemon) -> Vec<Finding> {
    let status = match daemon {
        Daemon::NotRunning => {
            let text = "no daemon runs: no new ban is made";
            return vec![
                Finding::new(Level::Hint, "daemon", text).helped_by("systemctl start blocker, or blocker run"),
            ];
        }
        Daemon::Unknown(why) => return vec![Finding::not_checked("daemon", why)],
        Daemon::Running(status) => status,
    };
    let this = env!("CARGO_PKG_VERSION");
    let text = format!("runs, version {}, process {}, mode {}", status.version, status.pid, status.mode);
    let mut findings = vec![if status.version == this {
        Finding::ok("daemon", text)
    } else {
        Finding::new(Level::Hint, "daemon", format!("{text}; this program is of version {this}"))
            .helped_by("systemctl restart blocker (no banned packet passes meanwhile)")
    }];
    // Of the interfaces it says the same as is said of each of them.
    let said = status.problems.iter().filter(|problem| !problem.contains(" is not attached: "));
    findings.extend(said.map(|problem| Finding::new(Level::Warn, "daemon", problem)));
    findings
}

/// Judges the logs and the ports.
pub(super) fn judge_logs(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.logs.iter().flat_map(|logs| jail(logs, facts.machine.is_root)).collect();
    let is_read = |logs: &JailLogs| {
        let has_file = logs.patterns.iter().any(|pattern| !pattern.files.is_empty());
        has_file || logs.is_sent_lines || logs.journal.as_ref().is_some_and(|journal| journal.is_there)
    };
    let is_any_read = facts.logs.iter().any(is_read);
    if !facts.logs.is_empty() && !is_any_read {
        let text = "there is not one log of any jail: nothing is noticed until one appears";
        findings
            .push(Finding::new(Level::Warn, "logs", text).helped_by("set `log` of the jail to where the service logs"));
    }
    let Some(config) = facts.configuration.config() else { return findings };
    findings.extend(jails_on(config).map(|jail| match &facts.listening {
        Ok(listening) => ports(jail, listening),
        Err(why) => Finding::not_checked(format!("ports of {}", jail.name), why),
    }));
    findings
}

fn jail(logs: &JailLogs, is_root: bool) -> Vec<Finding> {
    let subject = format!("log of {}", logs.jail);
    let mut findings = Vec::new();
    let finding = |level, text: String| Finding::new(level, subject.as_str(), text);
    findings.extend(logs.journal.as_ref().map(|JailJournal { matches, is_there }| {
        let matches = matches.escape_debug();
        if *is_there {
            Finding::ok(subject.as_str(), format!("the journal: {matches}"))
        } else {
            finding(Level::Hint, format!("there is no systemd journal; it is waited for: {matches}"))
        }
    }));
    for seen in &logs.patterns {
        findings.extend(seen.problems.iter().map(|problem| finding(Level::Warn, problem.clone())));
        if seen.files.is_empty() {
            findings.push(finding(Level::Hint, format!("{} matches no file; it is waited for", seen.pattern)));
            continue;
        }
        for (position, file) in seen.files.iter().enumerate() {
            let path = file.path.display().to_string().escape_debug().to_string();
            match &file.refusal {
                Some(why) if is_root => {
                    findings.push(finding(Level::Problem, format!("{path} cannot be read: {why}")).helped_by(format!(
                        "ls -lZ {path}: the daemon needs CAP_DAC_READ_SEARCH, or the right to read it"
                    )));
                }
                Some(why) => findings.push(
                    finding(Level::NotChecked, format!("this user may not read {path}: {why}"))
                        .helped_by("sudo blocker doctor"),
                ),
                None if position >= MAX_NAMED => {}
                None if file.length == 0 => findings.push(finding(Level::Hint, format!("{path} is empty"))),
                None => findings.push(Finding::ok(subject.as_str(), format!("{path}, {} bytes", file.length))),
            }
        }
        let more = seen.files.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            findings.push(Finding::ok(subject.as_str(), format!("{}: {more} more files", seen.pattern)));
        }
    }
    findings
}

/// Whether somebody listens at a port that the jail protects: if nobody does, it may protect the wrong ones.
fn ports(jail: &Jail, listening: &BTreeSet<(Protocol, u16)>) -> Finding {
    let subject = format!("ports of {}", jail.name);
    let protected: Vec<String> = listening
        .iter()
        .filter(|(protocol, port)| jail.ports.contains(*protocol, *port))
        .map(|(protocol, port)| format!("{port}/{protocol}"))
        .collect();
    match &jail.ports {
        Ports::All => Finding::ok(subject, "all are closed to the banned"),
        Ports::Listed(_) if protected.is_empty() => {
            Finding::new(Level::Hint, subject, format!("nobody listens at any of {}", jail.ports))
        }
        Ports::Listed(_) => {
            Finding::ok(subject, format!("{}; somebody listens at {}", jail.ports, protected.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::well;
    use super::*;
    use crate::source::{Seen, SeenFile};

    fn logs(files: Vec<SeenFile>) -> Vec<JailLogs> {
        let seen = Seen { pattern: "/var/log/mail.log".to_owned(), files, problems: Vec::new() };
        vec![JailLogs { jail: "dovecot".to_owned(), patterns: vec![seen], journal: None, is_sent_lines: false }]
    }

    fn log(length: u64, refusal: Option<&str>) -> SeenFile {
        SeenFile { path: "/var/log/mail.log".into(), length, refusal: refusal.map(str::to_owned) }
    }

    fn levels(facts: &Facts) -> Vec<(String, Level)> {
        judge_logs(facts).into_iter().map(|finding| (finding.subject, finding.level)).collect()
    }

    #[test]
    fn a_log_is_there_or_empty_or_missing_or_may_not_be_read() {
        let of_the_log = |files, is_root| {
            let mut facts = well();
            facts.logs = logs(files);
            facts.machine.is_root = is_root;
            levels(&facts).into_iter().find(|(subject, _)| subject == "log of dovecot").unwrap().1
        };

        assert_eq!(of_the_log(vec![log(9, None)], true), Level::Ok);
        assert_eq!(of_the_log(vec![log(0, None)], true), Level::Hint);
        assert_eq!(of_the_log(vec![], true), Level::Hint);
        assert_eq!(of_the_log(vec![log(9, Some("Permission denied"))], true), Level::Problem);
        assert_eq!(of_the_log(vec![log(9, Some("Permission denied"))], false), Level::NotChecked);
    }

    #[test]
    fn without_one_log_nothing_is_noticed() {
        let mut facts = well();
        facts.logs = logs(vec![]);
        assert!(levels(&facts).contains(&("logs".to_owned(), Level::Warn)));

        facts.logs = logs(vec![log(9, None)]);
        assert!(!levels(&facts).iter().any(|(subject, _)| subject == "logs"));
    }

    #[test]
    fn a_journal_or_what_sends_lines_is_a_log_too() {
        let mut facts = well();
        let journal = |is_there| Some(JailJournal { matches: "_SYSTEMD_UNIT=dovecot.service".to_owned(), is_there });
        let found = |facts: &Facts| {
            levels(facts).iter().map(|(subject, level)| format!("{subject} {level:?}")).collect::<Vec<_>>()
        };

        facts.logs = logs(vec![]);
        facts.logs[0].journal = journal(true);
        let said = found(&facts).join(", ");
        assert!(said.contains("log of dovecot Ok") && !said.contains("logs Warn"), "{said}");

        facts.logs[0].journal = journal(false);
        let said = found(&facts).join(", ");
        assert!(!said.contains("log of dovecot Ok") && said.contains("logs Warn"), "{said}");

        facts.logs[0].is_sent_lines = true;
        assert!(!found(&facts).join(", ").contains("logs Warn"));
    }

    #[test]
    fn ports_at_which_nobody_listens_are_a_hint() {
        let mut facts = well();
        assert_eq!(levels(&facts), [("ports of dovecot".to_owned(), Level::Hint)]);

        facts.listening = Ok(BTreeSet::from([(Protocol::Tcp, 143), (Protocol::Tcp, 22)]));
        let found = &judge_logs(&facts)[0];
        assert!(found.level == Level::Ok && found.text.ends_with("somebody listens at 143/tcp"), "{found:?}");

        facts.listening = Err("/proc/net/tcp: not permitted".to_owned());
        assert_eq!(levels(&facts), [("ports of dovecot".to_owned(), Level::NotChecked)]);
    }

    #[test]
    fn what_hinders_a_configuration_is_told() {
        let path = || "/etc/blocker/blocker.toml".into();
        let faulty = file(&Configuration::Faulty { path: path(), faults: "line 3: unknown key `x`".to_owned() });
        assert!(faulty.level == Level::Problem && faulty.text.contains("line 3"), "{faulty:?}");
        let closed = file(&Configuration::Unreadable { path: path(), why: "Permission denied".to_owned() });
        assert_eq!(closed.level, Level::NotChecked);
        let mut config = Config::default();
        config.jails[0].enabled = Enabled::No;
        let idle = file(&Configuration::Good { path: path(), config: Box::new(config) });
        assert_eq!(idle.level, Level::Warn);
    }
}
