//! Mails of fail2ban's, as the one table of ours.
//!
//! There every jail has actions of its own, each with an addressee; here there is one mail for all jails, to everybody whom one of
//! them names.

use std::collections::BTreeSet;

use serde::Serialize;

use super::action::{self, Effect};
use super::fault::{plain, shown};
use super::import::{Carried, Fate, note};
use super::jail::Jail;
use crate::config::notify::{is_local_part, is_mail_address};

/// The table `[notify.mail]` of a configuration, but for what is always the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// To whom; not empty.
    pub to: Vec<String>,
    /// From whom; `None` for `blocker` at the machine.
    pub from: Option<String>,
    /// The jails whose bans are mailed.
    pub jails: Vec<String>,
    /// Whether whois is asked.
    pub whois: bool,
}

/// As many addressees as a mail may have.
const MAX_ADDRESSES: usize = 32;

/// What the mails of the jails that are on come to. What they lose is noted with them.
pub(super) fn lowered(jails: &[Jail], carried: &mut [Carried]) -> Option<Mail> {
    let mut to: Vec<String> = Vec::new();
    let (mut from, mut names, mut whois) = (None, Vec::new(), false);
    let mut of_each: BTreeSet<Vec<String>> = BTreeSet::new();
    for (jail, carried) in jails.iter().zip(carried.iter_mut()).filter(|(jail, _)| jail.enabled) {
        let Some(ours) = &carried.jail else { continue };
        let mails = jail.actions.iter().filter_map(|action| match &action.effect {
            Effect::Mail(mail) => Some(mail),
            Effect::Ports { .. } | Effect::AllPorts | Effect::Elsewhere { .. } | Effect::Own => None,
        });
        let mut of_jail = Vec::new();
        for action::Mail { dest, sender, name: _, with_whois, with_lines: _ } in mails {
            // fail2ban's own default.
            let dest = dest.as_deref().unwrap_or("root");
            for address in dest.split([',', ' ', '\n']).filter(|address| !address.is_empty()) {
                if !is_mail_address(address) && !is_local_part(address) {
                    carried.notes.push(note(
                        Fate::Refused,
                        "dest",
                        format!("{}: expected an address such as admin@example.org, or a local user", shown(address)),
                    ));
                } else if to.len() == MAX_ADDRESSES {
                    carried.notes.push(note(Fate::Refused, "dest", format!("more than {MAX_ADDRESSES} addressees")));
                } else {
                    of_jail.push(address.to_owned());
                    if !to.iter().any(|known| known == address) {
                        to.push(address.to_owned());
                    }
                }
            }
            match sender.as_deref() {
                Some(sender) if is_mail_address(sender) => drop(from.get_or_insert_with(|| sender.to_owned())),
                // The machine's name is put in when fail2ban runs.
                Some(sender) if sender.contains("hostname>") => {}
                Some(sender) => {
                    let why = format!("{}: mails are from blocker at this machine", plain(sender));
                    carried.notes.push(note(Fate::Changed, "sender", why));
                }
                None => {}
            }
            whois |= with_whois;
        }
        if !of_jail.is_empty() {
            names.push(ours.name.clone());
            of_jail.sort_unstable();
            of_jail.dedup();
            of_each.insert(of_jail);
        }
    }
    if of_each.len() > 1 {
        let why = format!("mails of all jails go to everybody: {}", plain(&to.join(", ")));
        for carried in carried.iter_mut() {
            if carried.jail.as_ref().is_some_and(|jail| names.contains(&jail.name)) {
                carried.notes.push(note(Fate::Changed, "dest", &why));
            }
        }
    }
    (!to.is_empty()).then_some(Mail { to, from, jails: names, whois })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{files, import};
    use super::*;
    use crate::config::notify::{MailWay, Occasion};
    use crate::config::{self, Names};

    const ACTION: (&str, &str) = (
        "action.d/sendmail-whois.conf",
        "[Definition]\nactionban = x\n[Init]\nname = default\nsender = root@<fq-hostname>\n",
    );
    const PLAIN: (&str, &str) = ("action.d/sendmail.conf", "[Definition]\nactionban = x\n[Init]\nname = default\n");
    const ANY: &str = "[Definition]\nfailregex = <HOST>\n";

    fn jail(name: &str, action: &str) -> String {
        format!("[{name}]\nenabled = true\nfilter = {name}\nlogpath = /var/log/x\naction = {action}\n")
    }

    #[test]
    fn the_mail_of_the_how_to_goes_to_root_by_the_local_sendmail_with_whois() {
        let text = jail("dovecot", "sendmail-whois[name=dovecot, dest=root]");

        let import = import(&[("jail.conf", &text), ("filter.d/dovecot.conf", ANY), ACTION]);

        let config = config::read(&import.toml(), &Names::builtin()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let mail = config.notify.mail.expect("mails are on");
        assert_eq!(
            (mail.to, mail.from, mail.whois.as_deref()),
            (vec!["root".to_owned()], None, Some("/usr/bin/whois"))
        );
        assert_eq!(mail.way, MailWay::Program(vec!["/usr/sbin/sendmail".to_owned()]));
        assert_eq!(mail.wanted.on, [Occasion::Start, Occasion::Stop, Occasion::Ban]);
        assert_eq!((mail.wanted.jails, mail.subject.as_str()), (vec!["dovecot".to_owned()], "[Fail2Ban]"));
        assert!(!import.jails[0].notes.iter().any(|note| note.what == "sender" || note.what == "dest"));
        let of_action = import.jails[0].notes.iter().find(|note| note.why.starts_with("sendmail-whois: mails to root"));
        assert_eq!(of_action.map(|note| note.fate), Some(Fate::Changed));
    }

    #[test]
    fn mails_of_several_jails_are_one_and_what_is_no_address_is_refused() {
        let texts = [
            jail("sshd", "sendmail[dest=\"a@example.org, b@example.org\", sender=f2b@example.org]"),
            jail("dovecot", "sendmail-whois[dest=a@example.org]"),
            jail("vsftpd", "sendmail[dest=\"-oQx a;b@example.org\", sender=\"x y\"]"),
            jail("exim", "sendmail[dest=off@example.org]").replace("enabled = true", "enabled = false"),
        ];
        let names = ["sshd", "dovecot", "vsftpd", "exim"];
        let filters: Vec<(String, &str)> = names.iter().map(|name| (format!("filter.d/{name}.conf"), ANY)).collect();
        let all = texts.concat();
        let files: Vec<(&str, &str)> = filters.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let import = import(&[&files[..], &[("jail.conf", &all), ACTION, PLAIN]].concat());

        let mail = import.mail.clone().expect("there are mails");
        assert_eq!(mail.to, ["a@example.org", "b@example.org"]);
        assert_eq!((mail.from.as_deref(), mail.whois), (Some("f2b@example.org"), true));
        assert_eq!(mail.jails, ["sshd", "dovecot"]);
        let notes: Vec<&str> = import.jails.iter().flat_map(|jail| &jail.notes).map(|note| note.why.as_str()).collect();
        for words in
            ["\"-oQx\": expected an address", "\"a;b@example.org\": expected", "x y: mails are from", "go to everybody"]
        {
            assert!(notes.iter().any(|note| note.contains(words)), "{words}: {notes:?}");
        }
        config::read(&import.toml(), &Names::builtin()).unwrap_or_else(|errors| panic!("{errors:?}"));
    }

    #[test]
    fn whatever_an_action_says_what_is_written_is_a_configuration() {
        for value in [
            "a@b\"c",
            "\u{1b}[31m@example.org",
            "é@example.org",
            "root\n  [x]",
            "%%",
            "<a>",
            "'root'",
            "a@b,,, c@d",
            "",
        ] {
            let text = jail("dovecot", &format!("sendmail[dest=\"{value}\", sender=\"{value}\"]"));
            let Ok(jails) = super::super::load_jails(
                &files(&[("jail.conf", &text), ("filter.d/dovecot.conf", ANY), PLAIN]),
                &|_| true,
            ) else {
                continue;
            };
            let written = super::super::lower(&jails, &Names::builtin(), &|_| Ok(())).toml();
            config::read(&written, &Names::builtin()).unwrap_or_else(|errors| panic!("{value}: {errors:?}\n{written}"));
        }
    }
}
