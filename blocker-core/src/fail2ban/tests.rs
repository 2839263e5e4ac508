//! Whole configurations, from their files to ours.

mod every_option;
mod files;
mod properties;
mod taken;

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{self, Enabled, Input, Mode, Names};
use crate::time::BanTime;

pub(super) fn files(texts: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in texts {
        files.add(path, text.as_bytes().to_vec()).unwrap();
    }
    files
}

/// The expressions of a filter, or what is wrong with it.
fn expressions(texts: &[(&str, &str)], words: &str) -> Result<Vec<String>, Vec<String>> {
    let told = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
    load_filter(&files(texts), words, Logs::Files).map(|filter| filter.definition.failregex).map_err(told)
}

fn jails(texts: &[(&str, &str)]) -> Vec<Jail> {
    load_jails(&files(texts), &|_| true).unwrap_or_else(|faults| panic!("{faults:?}")).jails
}

pub(super) fn import(texts: &[(&str, &str)]) -> Import {
    lower(
        &load_jails(&files(texts), &|_| true).unwrap_or_else(|faults| panic!("{faults:?}")),
        &Names::builtin(),
        &check_file,
    )
}

/// One file is in order.
pub(super) fn check_file(path: &str) -> Result<(), String> {
    if path == "/etc/allowed" { Ok(()) } else { Err(format!("{path}: no such file")) }
}

const ONE: (&str, &str) = ("filter.d/one.conf", "[Definition]\nfailregex = ^one <HOST>$\nignoreregex =\n");
const BAN: (&str, &str) =
    ("action.d/iptables-multiport.conf", "[INCLUDES]\nbefore = iptables.conf\n[Definition]\ntype = multiport\n");
const IPTABLES: (&str, &str) =
    ("action.d/iptables.conf", "[Definition]\ntype = oneport\n[Init]\nport = ssh\nprotocol = tcp\nname = default\n");
const MAIL: (&str, &str) = (
    "action.d/sendmail-whois.conf",
    "[Definition]\nactionban = x\n[Init]\nname = default\nsender = root@example.org\n",
);

#[test]
fn the_how_to_works_to_the_letter() {
    let filter = r".*(?:pop3-login|imap-login):.*(?:Authentication failure|Aborted login \(auth failed|Aborted login \(tried to use disabled|Disconnected \(auth failed).*rip=(?P<host>\S*),.*";
    let own = format!("[Definition]\nfailregex = {filter}\nignoreregex =\n");
    let jail = r#"[dovecot]
enabled = true
filter = dovecot
action = iptables-multiport[name=dovecot, port="pop3,pop3s,imap,imaps", protocol=tcp]
         sendmail-whois[name=dovecot, dest=root]
logpath = /var/log/maillog
maxretry = 10
findtime = 1200
bantime = -10
"#;
    let texts = [("jail.conf", jail), ("filter.d/dovecot.conf", &own), BAN, IPTABLES, MAIL];

    let found = jails(&texts).remove(0);
    assert_eq!(found.faults, []);
    assert_eq!(found.filter.unwrap().definition.failregex, [filter], "the user's own expression comes out as it is");
    let mail = Mail {
        dest: Some("root".into()),
        sender: Some("root@example.org".into()),
        name: Some("dovecot".into()),
        with_whois: true,
        with_lines: false,
    };
    assert_eq!(
        found.actions.iter().map(|action| action.effect.clone()).collect::<Vec<_>>(),
        [Effect::Ports { port: "pop3,pop3s,imap,imaps".into(), protocol: "tcp".into() }, Effect::Mail(mail)]
    );

    let import = import(&texts);
    let config = config::read(&import.toml(), &Names::builtin()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let ours = config.jails.iter().find(|jail| jail.name == "dovecot").unwrap();
    assert_eq!((ours.enabled, ours.filter.name(), ours.mode), (Enabled::Yes, "dovecot", Mode::Enforce));
    assert_eq!(ours.input, Some(Input::Files(vec!["/var/log/maillog".into()])));
    assert_eq!(ours.ports.to_string(), "110,143,993,995/tcp");
    assert_eq!((ours.max_retry, ours.find_time, ours.ban_time), (10, Duration::from_secs(1_200), BanTime::Forever));
    let notes: Vec<(Fate, &str)> = import.jails[0].notes.iter().map(|note| (note.fate, note.what.as_str())).collect();
    assert!(notes.contains(&(Fate::Changed, "bantime")) && notes.contains(&(Fate::Changed, "action")), "{notes:?}");
    let warning = import.jails[0].notes.iter().find(|note| note.why.starts_with("warning: ")).unwrap();
    assert!(warning.why.contains("the filter `dovecot`, which takes its place, is not misled so"), "{warning:?}");
}

#[test]
fn parameters_win_over_init_and_init_over_the_definition() {
    let text = "[Definition]\nfailregex = ^%(x)s <x> %(y)s <y> m=<m> %(m)s <known/m> <HOST>$\nx = dx\nm = md\ny = dy\n[Init]\nx = ix\n";
    let texts = [("filter.d/i.conf", text)];

    assert_eq!(expressions(&texts, "i").unwrap(), ["^ix ix dy dy m=md md <known/m> <HOST>$"]);
    assert_eq!(expressions(&texts, "i[m='p 5%', Y=\"\"]").unwrap(), ["^ix ix   m=p 5% p 5% md <HOST>$"]);
}

#[test]
fn what_differs_by_the_family_of_an_address_is_never_put_into_a_filter() {
    let text = "[Definition]\nfailregex = ^<x> <y> <z> <v> %(x)s <HOST>$\nz = dz\nz?family=inet4 = fz\n[Init]\nx = ix\ny = iy\n[Init?family=inet6]\nx = sx\nv = sv\n";
    let texts = [("filter.d/i.conf", text)];

    assert_eq!(expressions(&texts, "i").unwrap(), ["^<x> iy <z> <v> ix <HOST>$"]);
    assert_eq!(expressions(&texts, "i[x=p, y=q]").unwrap(), ["^<x> q <z> <v> p <HOST>$"]);
    let warnings = load_filter(&files(&texts), "i", Logs::Files).unwrap().warnings;
    assert!(warnings.iter().any(|fault| fault.problem == Problem::Unresolved("x".to_owned())), "{warnings:?}");
}

#[test]
fn tags_may_be_nested_and_name_sections_and_only_ours_are_put_in() {
    let common = "[DEFAULT]\nlogtype = short\n_daemon = \\S*\n__prefix_line = <lt_<logtype>/__prefix_line>\n[lt_file]\n__prefix_line = file <_daemon>: \n[lt_journal]\n__prefix_line = %(_daemon)s|<_daemon>: \n";
    let text = "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = (?:a|b)\nfailregex = ^<__prefix_line><mdre-<mode>>$\nmdre-normal = x <F-USER>\\S+</F-USER> (?P<n>.)<HOST> <ADDR><SKIPLINES>\nmdre-more = <mdre-normal>\n  ^y <HOST>\nmode = normal\n";
    let texts = [("filter.d/common.conf", common), ("filter.d/f.conf", text)];

    assert_eq!(
        expressions(&texts, "f").unwrap(),
        [r"^file (?:a|b):x <F-USER>\S+</F-USER> (?P<n>.)<HOST> <ADDR><SKIPLINES>$"]
    );
    assert_eq!(expressions(&texts, "f[mode=more]").unwrap().len(), 2, "what is put in may have several lines");
    assert_eq!(
        load_filter(&files(&texts), "f", Logs::Journal).unwrap().definition.failregex[0].get(..16),
        Some(r"^\S*|(?:a|b):x <")
    );
    assert_eq!(expressions(&texts, "f[logtype=journal, _daemon=d]").unwrap()[0].get(..11), Some(r"^\S*|d:x <F"));
}

#[test]
fn a_mode_that_there_is_not_stays_as_text_and_is_told() {
    let texts =
        [("filter.d/f.conf", "[Definition]\nfailregex = ^<mdre-<mode>> <HOST>\nmdre-normal = a\nmode = normal\n")];
    let filter = load_filter(&files(&texts), "f[mode=agressive]", Logs::Files).unwrap();

    assert_eq!(filter.definition.failregex, ["^<mdre-agressive> <HOST>"]);
    assert_eq!(
        filter.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "filter.d/f.conf, line 2: [Definition] `failregex`: nothing is called \"mdre-agressive\": it stays as text, and most likely nothing matches; is the mode right?"
        ]
    );
    assert_eq!(
        load_filter(
            &files(&[("filter.d/f.conf", "[Definition]\nfailregex = ^<mdre-<mode>> <HOST>\n")]),
            "f[mode=]",
            Logs::Files
        )
        .unwrap()
        .definition
        .failregex,
        ["^<mdre-> <HOST>"],
        "an option left unresolved stays as text"
    );
}

#[test]
fn an_expression_that_is_not_indented_is_an_option_that_does_nothing_and_is_told() {
    let text = "[Definition]\nfailregex = ^a <HOST>\n^b: from <HOST>\n";
    let filter = load_filter(&files(&[("filter.d/f.conf", text)]), "f", Logs::Files).unwrap();

    assert_eq!(filter.definition.failregex, ["^a <HOST>"], "as fail2ban has it");
    assert_eq!(
        filter.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "filter.d/f.conf, line 3: [Definition] `^b`: this is read as the name of an option, and does nothing: indent lines that go on with a value"
        ]
    );
}

#[test]
fn tags_that_make_themselves_are_refused_in_time() {
    let faults = |text: &str| expressions(&[("filter.d/f.conf", text)], "f").unwrap_err();

    assert_eq!(
        faults("[Definition]\nfailregex = <a> <HOST>\na = x<b>\nb = <a>"),
        ["filter.d/f.conf, line 2: [Definition] `failregex`: \"a\" is made of itself"]
    );
    assert!(faults("[Definition]\nfailregex = <<b>> <HOST>\na = <<b>>\nb = a")[0].contains("made of itself"));
    let mut bomb = "[Definition]\nfailregex = <x40> <HOST>\nx0 =\n".to_owned();
    for n in 1..=40 {
        bomb.push_str(&format!("x{n} = <x{0}><x{0}>\n", n - 1));
    }
    assert!(faults(&bomb)[0].contains("made of itself") || faults(&bomb)[0].contains("too long"));
}

#[test]
fn a_filter_without_expressions_and_one_that_is_not_there_are_refused() {
    assert_eq!(
        expressions(&[("filter.d/f.conf", "[Definition]\nfailregex =\n")], "f").unwrap_err(),
        [
            "filter.d/f.conf: [Definition] `failregex`: it is missing, expected at least one expression: is it a file that others include?"
        ]
    );
    assert_eq!(expressions(&[], "f").unwrap_err(), ["there is no filter.d/f.conf and no filter.d/f.local"]);
    assert_eq!(
        expressions(&[ONE], "one [x=1]").unwrap_err(),
        [
            "the command line: \"one [x=1]\": there is a blank before the bracket, expected name[key=value, key=\"value\"]"
        ]
    );
    let odd = [("filter.d/f.conf", "[Definition]\nfailregex = <HOST>\nmaxlines = many")];
    assert_eq!(
        expressions(&odd, "f").unwrap_err(),
        ["filter.d/f.conf, line 3: [Definition] `maxlines`: found \"many\", expected a whole number from 1"]
    );
}

#[test]
fn what_a_jail_says_of_its_filter_is_put_over_it() {
    let filter = "[Definition]\nprefregex = ^p <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^f <HOST>\nignoreregex = ^i\njournalmatch = _F=1\ndatepattern = {^LN-BEG}\nmaxlines = 2\nx = <y>\ny = 5%%\n";
    let jail = "[DEFAULT]\nfilter = f\n[a]\n[b]\nfailregex = %(known/failregex)s %(known/x)s\n  ^b <HOST>\nignoreregex =\njournalmatch = _A=1 + _B=2\n  _C=3\nmaxlines = 3\ndatepattern = %%Y\nprefregex = ^b %(known/prefregex)s\n[c]\nfilter =\nfailregex = ^c <HOST>\n";
    let jails = jails(&[("jail.conf", jail), ("filter.d/f.conf", filter)]);
    let definition = |at: usize| jails[at].filter.clone().unwrap().definition;

    assert_eq!(definition(0).failregex, ["^f <HOST>"]);
    let b = definition(1);
    assert_eq!(b.failregex, ["^f <HOST> 5%", "^b <HOST>"]);
    assert_eq!((b.ignoreregex.len(), b.maxlines, b.datepattern.as_deref()), (0, 3, Some("%Y")));
    assert_eq!(b.journalmatch, ["_A=1 + _B=2", "_C=3"]);
    assert_eq!(b.prefregex.as_deref(), Some("^b ^p <F-CONTENT>.+</F-CONTENT>$"));
    let warned: Vec<_> =
        jails[1].filter.iter().flat_map(|filter| &filter.warnings).map(|fault| fault.key.as_deref().unwrap()).collect();
    assert_eq!(warned, ["prefregex", "datepattern", "maxlines"], "fail2ban hands the filter's to its server last");
    assert_eq!((definition(2).failregex, definition(2).name), (vec!["^c <HOST>".to_owned()], "c".to_owned()));
}

#[test]
fn one_jail_that_is_wrong_leaves_the_others() {
    let jail = "[DEFAULT]\nenabled = true\nlogpath = /var/log/x\n[a]\nfilter = one\n[b]\nfilter = nosuch\n[c]\nfilter = one\nmaxretry = 3x\nbantime = %(nosuch)s\n[d]\nfilter = one\naction = nosuch[a=1]\n[e]\nfilter = one\nenabled = maybe\nfindtime = soon\n[f]\nfilter = one[p\n";
    let jails = jails(&[("jail.conf", jail), ONE]);
    let faults = |at: usize| jails[at].faults.iter().map(ToString::to_string).collect::<Vec<_>>();

    assert_eq!(jails[0].faults, []);
    assert_eq!(faults(1), ["there is no filter.d/nosuch.conf and no filter.d/nosuch.local"]);
    assert_eq!(
        faults(2),
        [
            "jail.conf, line 11: [c] `bantime`: there is no option \"nosuch\" to be put in",
            "jail.conf, line 10: [c] `maxretry`: found \"3x\", expected a whole number",
        ]
    );
    assert_eq!(faults(3), ["there is no action.d/nosuch.conf and no action.d/nosuch.local"]);
    assert_eq!(
        faults(4),
        [
            "jail.conf, line 17: [e] `enabled`: found \"maybe\", expected true or false",
            "jail.conf, line 18: [e] `findtime`: found \"soon\", expected a length of time such as 600, 10m, 1d12h or 1y 6mo",
        ]
    );
    assert!(faults(5)[0].contains("a parameter has no value"), "{:?}", faults(5));
}

#[test]
fn times_are_parsed_and_every_negative_ban_is_for_ever() {
    let jail = "[DEFAULT]\nfilter = one\n[a]\nbantime = 1d12h30m\nfindtime = 2 * 1h\n[b]\nbantime = -1\n[c]\nbantime = -10\n[d]\nbantime = 1000y\nbantime.increment = true\nbantime.factor = 2.5\nbantime.multipliers = 1 5 30\nbantime.maxtime = 5w\nbantime.formula = __import__('os')\nbantime.overalljails = yes\n";
    let jails = jails(&[("jail.conf", jail), ONE]);

    assert_eq!(jails[0].ban_time, Some(BanTime::For(Duration::from_secs(131_400))));
    assert_eq!(jails[0].find_time, Some(Duration::from_secs(7_200)));
    assert_eq!((jails[1].ban_time, jails[1].odd_ban_time.as_deref()), (Some(BanTime::Forever), None));
    assert_eq!((jails[2].ban_time, jails[2].odd_ban_time.as_deref()), (Some(BanTime::Forever), Some("-10")));
    assert_eq!(jails[3].ban_time, Some(BanTime::Forever), "longer than anybody waits");
    let increment = Increment {
        on: true,
        factor: Some(2.5),
        formula: Some("__import__('os')".into()),
        multipliers: vec![1.0, 5.0, 30.0],
        max_time: Some(BanTime::For(Duration::from_secs(5 * 604_800))),
        random_time: None,
        all_jails: true,
    };
    assert_eq!(jails[3].increment, increment);
}

#[test]
fn every_kind_of_action_is_named_with_what_there_is_instead() {
    let names = ["iptables-allports", "nftables", "ufw", "sendmail-whois-lines", "abuseipdb", "cloudflare", "mine"];
    let mut texts: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("action.d/{name}.conf"), "[Definition]\nactionban = x\n[Init]\nport = ssh\n".to_owned()))
        .collect();
    let list = "iptables-allports nftables[type=allports] nftables[port=\"http,https\"] ufw sendmail-whois-lines[dest=a@example.org] abuseipdb[key=x]\n  cloudflare mine badips.py";
    texts.push((
        "jail.conf".into(),
        format!("[a]\nfilter = one\nenabled = true\naction = {list}\nlogpath = /var/log/x"),
    ));
    texts.push((ONE.0.into(), ONE.1.into()));
    let texts: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let effects: Vec<Effect> = jails(&texts).remove(0).actions.into_iter().map(|action| action.effect).collect();

    assert_eq!(
        effects[..4],
        [
            Effect::AllPorts,
            Effect::AllPorts,
            Effect::Ports { port: "http,https".into(), protocol: "tcp".into() },
            Effect::AllPorts
        ]
    );
    assert!(
        matches!(&effects[4], Effect::Mail(mail) if mail.with_whois && mail.with_lines && mail.dest.as_deref() == Some("a@example.org"))
    );
    assert!(
        matches!(
            effects[5..],
            [Effect::Elsewhere { .. }, Effect::Elsewhere { .. }, Effect::Own, Effect::Elsewhere { .. }]
        ),
        "{effects:?}"
    );
    let refused: Vec<String> = import(&texts)
        .jails
        .remove(0)
        .notes
        .into_iter()
        .filter(|note| note.fate == Fate::Refused && note.what == "action")
        .map(|note| note.why)
        .collect();
    assert_eq!(refused.len(), 4, "{refused:?}");
}

#[test]
fn what_is_written_is_a_configuration_whatever_the_jails_are_called() {
    let jail = "[DEFAULT]\nenabled = true\nignoreip = 127.0.0.1/8 ::1, 10.0.0.0/255.0.0.0 mail.example.org file:/etc/x file:/etc/allowed file:relative\nlogpath = /var/log/a \"b\\c\n  relative\n  /var/log/a \"b\\c\nbackend = auto\n[Sshd Öffentlich!]\nfilter = sshd\n[sshd-_ffentlich-]\nfilter = sshd[mode=aggressive]\nmaxretry = 5000\nignoreip = 192.0.2.1\n[sshd--ffentlich-]\nfilter = sshd\nbackend = systemd\njournalmatch = _COMM=sshd\n  SYSLOG_IDENTIFIER=x\naction = iptables-multiport[port=\"0:65535\"]\n[postfix]\nfilter = postfix[mode=more]\n[nginx-http-auth]\nfilter = nginx-http-auth\nlogpath = /var/log/nginx/error.log\n[none]\nfilter = one\n[manual]\nfilter = sshd\n[off]\nenabled = false\nfilter = sshd\n";
    let any = "[Definition]\nfailregex = <HOST>\n";
    let import = import(&[
        ("jail.conf", jail),
        ONE,
        BAN,
        IPTABLES,
        ("filter.d/sshd.conf", any),
        ("filter.d/postfix.conf", any),
        ("filter.d/nginx-http-auth.conf", any),
    ]);
    let text = import.toml();
    let config = config::read(&text, &Names::builtin()).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    let names: Vec<&str> = config.jails.iter().map(|jail| jail.name.as_str()).collect();

    assert_eq!(
        names,
        ["dovecot", "sshd--ffentlich-", "sshd-_ffentlich-", "sshd--ffentlich--2", "nginx-http-auth", "fail2ban"]
    );
    assert_eq!(
        config.daemon.allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "127.0.0.0/8", "192.0.2.1", "::1"]
    );
    assert_eq!(config.jails[1].input, Some(Input::Files(vec!["/var/log/a \"b\\c".into()])));
    assert_eq!((config.jails[1].mode, config.jails[2].max_retry), (Mode::Observe, 1_000), "no action bans");
    assert_eq!(config.jails[3].ports.to_string(), "1-65535/tcp");
    assert_eq!(config.jails[4].input, Some(Input::Files(vec!["/var/log/nginx/access.log".into()])));
    assert_eq!(import.notes.iter().filter(|note| note.what == "ignoreip" && note.fate == Fate::Refused).count(), 3);
    assert_eq!(config.daemon.allow_files, [PathBuf::from("/etc/allowed")]);
    assert!(
        import.jails.iter().all(|jail| jail.jail.is_some() || jail.notes.iter().any(|note| note.fate == Fate::Refused)),
        "none goes without a reason"
    );
}

#[test]
fn the_journal_is_read_where_no_log_is() {
    let jail = "[DEFAULT]\nenabled = true\nfilter = sshd\n[sshd]\nlogpath = /var/log/auth.log\n  /var/log/secure\n[b]\nlogpath = /var/log/auth.log\nsystemd_if_nologs = no\n[c]\nlogpath = /var/log/auth.log\nbackend = polling\n[d]\nlogpath = /var/log/auth.log\njournalmatch =\n";
    let filter = "[Definition]\nfailregex = ^<logtype> <HOST>\njournalmatch = _SYSTEMD_UNIT=ssh.service\n";
    let texts = files(&[("jail.conf", jail), ("filter.d/sshd.conf", filter)]);
    let reads = |is_there: &dyn Fn(&str) -> bool| {
        let jails = load_jails(&texts, is_there).unwrap().jails;
        jails.into_iter().map(|jail| jail.filter.unwrap().definition.failregex.remove(0)).collect::<Vec<_>>()
    };

    assert_eq!(
        reads(&|path| path == "/var/log/secure"),
        ["^file <HOST>", "^file <HOST>", "^file <HOST>", "^file <HOST>"]
    );
    assert_eq!(reads(&|_| false), ["^journal <HOST>", "^file <HOST>", "^file <HOST>", "^file <HOST>"]);
    let import = lower(&load_jails(&texts, &|_| false).unwrap(), &Names::builtin(), &check_file);
    assert_eq!(import.jails[0].jail.as_ref().unwrap().journal, ["_SYSTEMD_UNIT=ssh.service"]);
    let config = config::read(&import.toml(), &Names::builtin()).unwrap();
    assert!(config.jails.iter().any(|jail| jail.name == "sshd" && jail.input.is_none() && jail.journal.is_some()));
}

#[test]
fn a_jail_that_reads_all_of_the_journal_reads_its_logs_where_they_are_and_else_the_journal() {
    let jail = "[dovecot]\nenabled = true\nfilter = one\nbackend = systemd\nlogpath = /var/log/maillog\naction = iptables-multiport\n";
    let texts = files(&[
        ("jail.conf", jail),
        ("filter.d/one.conf", "[Definition]\nfailregex = ^<logtype> <HOST>$\n"),
        BAN,
        IPTABLES,
    ]);
    for (is_there, logtype, log, told) in [
        (true, "^file <HOST>$", true, "here the files of `logpath` are read"),
        (false, "^journal <HOST>$", false, "it is missing: all entries that journald has taken are read"),
    ] {
        let jails = load_jails(&texts, &|_| is_there).unwrap();
        assert_eq!(jails.jails[0].filter.as_ref().unwrap().definition.failregex, [logtype]);
        let mut config = config::Config::default();
        let checks = Checks { logs: &|_| Ok(()), allow_file: &check_file };
        take("/etc/fail2ban", &jails, &Names::builtin(), &checks, &mut config);

        let ours = config.jails.iter().find(|jail| jail.name == "dovecot").unwrap();
        assert_eq!((ours.input.is_some(), ours.journal.is_none()), (log, log));
        let notes = &config.taken.as_ref().unwrap().jails[0].notes;
        assert!(notes.iter().any(|note| note.why.contains(told)), "{notes:#?}");
    }
    let jails = load_jails(&texts, &|_| false).unwrap();
    let import = lower(&jails, &Names::builtin(), &check_file);
    config::read(&import.toml(), &Names::builtin()).unwrap_or_else(|errors| panic!("{errors:?}"));
}

#[test]
fn a_jail_without_a_filter_is_told_whether_it_has_expressions_instead() {
    for (option, expected) in
        [("", "the jail names none"), ("failregex = ^x <HOST>$\n", "the jail has expressions of its own")]
    {
        let jail = format!("[sshd]\nenabled = true\nlogpath = /x\n{option}");
        let import = import(&[("jail.local", &jail)]);
        let notes = &import.jails[0].notes;
        assert!(notes.iter().any(|note| note.what == "filter" && note.why.starts_with(expected)), "{notes:#?}");
    }
}

#[test]
fn what_fail2ban_conf_says_of_bans_is_told() {
    let jail = "[sshd]\nenabled = true\nfilter = one\nlogpath = /x\n";
    let program = "[Definition]\nallowipv6 = no\ndbpurgeage = 5d\n";
    let texts = [("jail.conf", jail), ONE, ("fail2ban.conf", "[Definition]\nallowipv6 = auto\n")];
    let names = |texts: &[(&str, &str)]| {
        import(texts).notes.iter().map(|note| format!("{}: {}", note.what, note.why)).collect::<Vec<_>>()
    };

    assert!(!names(&texts).iter().any(|note| note.contains("allowipv6") || note.contains("dbpurgeage")));
    let told = names(&[&texts[..], &[("fail2ban.local", program)]].concat());
    for expected in ["allowipv6: no: addresses of IPv6 are banned", "dbpurgeage: 5d: earlier bans are remembered"] {
        assert!(told.iter().any(|note| note.starts_with(expected)), "{told:#?}");
    }
}
