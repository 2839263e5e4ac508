//! Where a jail's lines come from, and which filter judges them.

use std::sync::Arc;

use super::*;
use crate::filter::fail2ban::{Definition, Fail2ban};

#[test]
fn a_jail_reads_what_its_one_input_says() {
    let udp = || "127.0.0.1:5514".parse().unwrap();
    let tcp = || "[::1]:514".parse().unwrap();
    let words = ["docker", "logs", "-f", "a b"].map(str::to_owned).to_vec();
    let rows = [
        ("log = '/a'", Input::Files(vec!["/a".to_owned()])),
        ("command = ['docker', 'logs', '-f', 'a b']", Input::Command(words)),
        ("syslog = '/run/log.sock'", Input::Syslog(SyslogSocket::Unix("/run/log.sock".to_owned()))),
        ("syslog = 'udp://127.0.0.1:5514'", Input::Syslog(SyslogSocket::Udp(udp()))),
        ("syslog = 'tcp://[::1]:514'", Input::Syslog(SyslogSocket::Tcp(tcp()))),
    ];
    for (text, input) in rows {
        // In the place of a built-in jail's files, and in a jail that has none.
        for table in ["[jails.dovecot]\n", "[jails.mail]\nfilter = 'dovecot'\n"] {
            let jails = config(&format!("{table}{text}\n")).jails;
            assert_eq!(jails.last().unwrap().input.as_ref(), Some(&input), "{text}");
        }
        assert!(!input.to_string().is_empty());
    }
}

#[test]
fn two_inputs_of_one_jail_exclude_each_other() {
    let text = "[jails.dovecot]\nsyslog = '/a'\ncommand = ['a']\nlog = '/a'\n";

    assert_eq!(
        errors(text),
        [
            "line 2: `jails.dovecot.syslog` and `log` exclude each other: a jail has one input, make two jails of it",
            "line 3: `jails.dovecot.command` and `log` exclude each other: a jail has one input, make two jails of it",
        ]
    );
}

#[test]
fn a_command_is_bounded() {
    let command = |words: usize, bytes: usize| {
        let words: Vec<String> = (0..words).map(|_| format!("'{}'", "a".repeat(bytes))).collect();
        format!("[jails.dovecot]\ncommand = [{}]\n", words.join(", "))
    };

    assert!(matches!(config(&command(64, 4_096)).jails[0].input, Some(Input::Command(_))));
    assert_eq!(errors(&command(65, 1)).len(), 1);
    assert_eq!(errors(&command(1, 4_097)).len(), 1);
}

#[test]
fn a_filter_of_fail2ban_is_named_by_its_file() {
    let words = "/etc/fail2ban/filter.d/x.conf[mode=a, b=\"c d\"]";
    let text = format!(
        "[jails.x]\nfilter = '{words}'\nlog = '/x'\n[jails.y]\nfilter = '{words}'\njournal = '_UID=0'\n[jails.z]\nfilter = 'sshd'"
    );
    let file = |logs| FilterFile { words: words.to_owned(), logs };
    assert_eq!(filter_files(&text), [file(Logs::Files), file(Logs::Journal)]);

    let filter = |name: &str| {
        let failregex = vec!["^<HOST>$".to_owned()];
        let definition = Definition { name: name.to_owned(), failregex, maxlines: 1, ..Definition::default() };
        Filter::Fail2ban(Arc::new(Fail2ban::compile(definition).unwrap()))
    };
    let mut names = Names::builtin();
    names.files.insert(file(Logs::Files), Ok(filter("files")));
    names.files.insert(file(Logs::Journal), Ok(filter("journal")));
    let read_filters = |names: &Names| {
        let jails = read(&format!("{text}\nlog = '/z'"), names).map(|config| config.jails);
        jails.map(|jails| jails.into_iter().map(|jail| jail.filter.name().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(read_filters(&names).unwrap(), ["dovecot", "files", "journal", "sshd"]);

    names.files.insert(file(Logs::Journal), Err(vec!["one".to_owned(), "two".to_owned()]));
    let errors: Vec<String> = read_filters(&names).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["line 5: `jails.y.filter`: one", "line 5: `jails.y.filter`: two"]);
}

#[test]
fn a_jail_reads_what_it_names_files_or_the_journal_or_both() {
    let paths = |input: Option<&Input>| match input {
        Some(Input::Files(paths)) => paths.len(),
        _ => 0,
    };
    let of = |text: &str| {
        let jails = config(text).jails;
        let [jail] = jails.as_slice() else { panic!("{jails:?}") };
        (paths(jail.input.as_ref()), jail.journal.clone())
    };
    let named = ["_SYSTEMD_UNIT=a.service", "_UID=0", "+", "_COMM=b", "+", "_COMM=c"];
    let key = format!("journal = {named:?}\n");

    assert_eq!(of("[jails.dovecot]\nlog = '/a'\n"), (1, None));
    assert_eq!(of(&format!("[jails.dovecot]\n{key}")), (0, Some(journal(&named))));
    assert_eq!(of(&format!("[jails.dovecot]\nlog = '/a'\n{key}")), (1, Some(journal(&named))));
    assert_eq!(
        of("[jails.dovecot]\njournal_trust = []\njournal_namespace = 'mail'\njournal_directory = '/j'\n"),
        (
            2,
            Some(Journal {
                trust: None,
                namespace: Some("mail".to_owned()),
                directory: Some("/j".into()),
                ..journal(&["_SYSTEMD_UNIT=dovecot.service"])
            })
        )
    );
}

#[test]
fn entries_that_anybody_can_write_are_not_read_unless_that_is_said() {
    let jail = |keys: &str| format!("[jails.postfix]\n{keys}");
    let said = "line 2: any user of the machine can write what `jails.postfix.journal` asks for: name the sender in each \
                alternative, by _SYSTEMD_UNIT, _UID, _EXE or the like, or set `journal_trust`; [] trusts everybody";

    for anybodys in ["'SYSLOG_IDENTIFIER=postfix/smtpd'", "'_TRANSPORT=syslog'", "['_UID=0', '+', 'PRIORITY=6']"] {
        assert_eq!(errors(&jail(&format!("journal = {anybodys}\n"))), [said], "{anybodys}");
    }
    for fine in [
        "journal = ['_SYSTEMD_UNIT=postfix@-.service', 'SYSLOG_IDENTIFIER=postfix/smtpd']\n",
        "journal = ['SYSLOG_IDENTIFIER=postfix/smtpd']\njournal_trust = '_UID=104'\n",
        "journal = ['SYSLOG_IDENTIFIER=postfix/smtpd']\njournal_trust = []\n",
    ] {
        config(&jail(fine));
    }
}

#[test]
fn what_journalctl_would_not_take_is_said_where_it_stands() {
    let expected = "expected matches as journalctl takes them, such as \"_SYSTEMD_UNIT=dovecot.service\", with \"+\" between \
                    alternatives";
    for (text, found) in [
        ("journal = [\n'_UID=0',\n'dovecot']", "line 4: `jails.dovecot.journal` has \"dovecot\""),
        ("journal = ['_UID=0', '+']", "line 2: `jails.dovecot.journal` has \"+\""),
        ("journal = []", "line 2: `jails.dovecot.journal` is an empty list"),
        ("journal_trust = ['x']", "line 2: `jails.dovecot.journal_trust` has \"x\""),
    ] {
        assert_eq!(errors(&format!("[jails.dovecot]\n{text}\n")), [format!("{found}, {expected}")], "{text}");
    }
    let errors = errors("[jails.dovecot]\nlog = '/a'\njournal_trust = []\n");
    assert!(errors[0].contains("`jails.dovecot.journal` is missing"), "{errors:?}");
}
