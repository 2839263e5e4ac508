//! Jails of fail2ban's that are run with their own filters.

use super::properties::options;
use super::*;
use crate::config::{Config, Whose};
use crate::filter::Filter;
use crate::jail::{Counter, JailId};

/// What `text` and fail2ban's files come to together.
fn taken(text: &str, texts: &[(&str, &str)]) -> Config {
    let names = Names::builtin();
    let mut config = config::read(text, &names).unwrap_or_else(|errors| panic!("{errors:?}"));
    let jails = load_jails(&files(texts), &|_| true).unwrap_or_else(|faults| panic!("{faults:?}"));
    let check = |paths: &[String]| {
        paths.iter().find(|path| path.contains("[[")).map_or(Ok(()), |path| Err(format!("{path}: no glob")))
    };
    take("/etc/fail2ban", &jails, &names, &Checks { logs: &check, allow_file: &check_file }, &mut config);
    config
}

fn names(config: &Config) -> Vec<(&str, Whose)> {
    config.jails.iter().map(|jail| (jail.name.as_str(), jail.whose)).collect()
}

/// The notes about the jail called `name`, as one text.
fn told(config: &Config, name: &str) -> String {
    let jails = &config.taken.as_ref().unwrap().jails;
    let jail = jails.iter().find(|jail| jail.name == name).unwrap();
    jail.notes.iter().map(|note| format!("{:?} {}: {}\n", note.fate, note.what, note.why)).collect()
}

const SSHD: (&str, &str) = (
    "filter.d/sshd.conf",
    "[Definition]\nfailregex = ^<logtype> <mode> bad <HOST>$\nmode = normal\njournalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd\n",
);

#[test]
fn a_jail_comes_with_its_own_filter_log_ports_and_limits() {
    let jail = "[DEFAULT]\nbantime.increment = true\nbantime.factor = 2\nbantime.maxtime = 1w\nignoreip = 192.0.2.0/24\n[on]\nenabled = true\nfilter = sshd[mode=ddos]\nlogpath = /var/log/**.log\nmaxretry = 3\nfindtime = 1h\nbantime = -10\naction = iptables-multiport[port=\"imap,5000:5010\", protocol=\"tcp,udp\"]\n[off]\nfilter = sshd\nlogpath = /x\n";
    let config =
        taken("[defaults]\ncounter = 'fail2ban'\nmax_retry = 9\n", &[("jail.conf", jail), SSHD, BAN, IPTABLES]);

    assert_eq!(names(&config), [("dovecot", Whose::Unmentioned), ("on", Whose::Fail2ban)]);
    let ours = &config.jails[1];
    let filter = ours.filter.fail2ban().unwrap().definition();
    assert_eq!((filter.name.as_str(), &filter.failregex[..]), ("sshd", &["^file ddos bad <HOST>$".to_owned()][..]));
    assert_eq!((ours.enabled, ours.mode), (Enabled::Yes, Mode::Enforce));
    assert_eq!(ours.input, Some(Input::Files(vec!["/var/log/*.log".into()])));
    assert_eq!(ours.ports.to_string(), "143,5000-5010/tcp 5000-5010/udp");
    assert_eq!((ours.max_retry, ours.find_time), (3, Duration::from_secs(3_600)));
    assert_eq!((ours.ban_time, ours.counter), (BanTime::Forever, Counter::Fail2ban), "its own counter it cannot say");
    assert!(ours.repeat.fewer_tries);
    let escalation = ours.repeat.escalation.as_ref().unwrap();
    assert_eq!((escalation.factor.number(), escalation.max_time), (2.0, Some(Duration::from_secs(7 * 86_400))));
    assert_eq!(config.daemon.allow.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24"]);
    assert!(told(&config, "on").contains("Changed bantime: -10: bans are for ever"), "{}", told(&config, "on"));
}

#[test]
fn a_jail_of_the_file_counts_instead_of_one_of_the_same_name_and_that_is_told() {
    let jail = "[DEFAULT]\nenabled = true\nfilter = one\nlogpath = /var/log/x\naction = iptables-multiport\n[sshd]\nignoreip = 192.0.2.7\n[dovecot]\n[Mail]\n";
    let texts = [("jail.conf", jail), ONE, BAN, IPTABLES];
    let config =
        taken("[jails.sshd]\nenabled = false\n[jails.mail]\nfilter = 'sshd'\nlog = '/y'\n[jails.dovecot]", &texts);

    assert_eq!(
        names(&config),
        [
            ("sshd", Whose::Configured),
            ("mail", Whose::Configured),
            ("dovecot", Whose::Fail2ban),
            ("mail-2", Whose::Fail2ban)
        ]
    );
    assert!(told(&config, "sshd").starts_with("Changed jail: [jails.sshd] of the configuration counts"));
    assert!(told(&config, "dovecot").contains("it takes the place of blocker's own jail"));
    assert!(told(&config, "Mail").contains("it is called mail-2"));
    assert_eq!(config.daemon.allow, [], "whom a jail ignores that is not run is of no matter");

    let config = taken("[jails.dovecot]\nmax_retry = 2", &texts);
    assert_eq!(names(&config)[0], ("dovecot", Whose::Configured), "it says something");

    let mail = "[mail]\nenabled = true\nfilter = dovecot\nlogpath = /x\naction = iptables-multiport\n";
    let filter = ("filter.d/dovecot.conf", "[Definition]\nfailregex = ^<HOST>$\n");
    let config = taken("", &[("jail.conf", mail), filter, BAN, IPTABLES]);
    assert!(told(&config, "mail").contains("blocker's own jail `dovecot` runs besides"));
}

#[test]
fn what_is_wrong_with_a_jail_keeps_it_out_and_the_others_in() {
    let jail = "[DEFAULT]\nenabled = true\nfilter = one\nlogpath = /var/log/x\naction = iptables-multiport\n[dovecot]\nfilter = nosuch\n[bad]\nfilter =\nfailregex = ^(a<HOST>$\n[nolog]\nlogpath =\n[noglob]\nlogpath = /var/log/[[\n[anybody]\nbackend = systemd\nfilter = sshd\njournalmatch = SYSLOG_IDENTIFIER=x\n[journal]\nbackend = systemd[journalpath=/x/j, namespace=mail, journalflags=1]\nfilter = sshd\n[recidive]\nfilter = recidive\nlogpath = /var/log/fail2ban.log\n[good]\naction = sendmail-whois\n";
    let recidive = ("filter.d/recidive.conf", "[Definition]\nfailregex = ^Ban <HOST>$\n");
    let config = taken("", &[("jail.conf", jail), ONE, SSHD, BAN, IPTABLES, MAIL, recidive]);

    assert_eq!(
        names(&config).into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["dovecot", "anybody", "journal", "recidive", "good"]
    );
    assert_eq!(config.jails[0].whose, Whose::Unmentioned);
    let taken = config.taken.as_ref().unwrap();
    assert!(
        told(&config, "dovecot").contains("Refused filter: jail.conf, line 7: [dovecot] `filter`")
            || told(&config, "dovecot").contains("filter.d/nosuch.conf"),
        "{}",
        told(&config, "dovecot")
    );
    assert!(told(&config, "dovecot").contains("blocker's own jail of this name runs"));
    assert_eq!(
        taken.jails.iter().filter(|jail| jail.is_faulty).map(|jail| jail.name.as_str()).collect::<Vec<_>>(),
        ["dovecot", "bad"],
        "fail2ban would not run them either"
    );
    assert!(told(&config, "noglob").contains("Refused logpath: /var/log/[[: no glob"));
    assert!(told(&config, "bad").contains("Refused filter"), "{}", told(&config, "bad"));
    assert!(told(&config, "nolog").contains("Refused logpath"));
    let anybody = config.jails[1].journal.as_ref().unwrap();
    assert_eq!((anybody.trust.clone(), told(&config, "anybody").contains("it names no sender")), (None, true));
    let journal = &config.jails[2];
    assert_eq!(journal.filter.fail2ban().unwrap().definition().failregex, ["^journal normal bad <HOST>$"]);
    assert_eq!(journal.journal.as_ref().unwrap().matches.to_string(), "_SYSTEMD_UNIT=ssh.service + _COMM=sshd");
    let place = journal.journal.as_ref().map(|read| (read.directory.clone(), read.namespace.clone())).unwrap();
    assert_eq!(place, (Some("/x/j".into()), Some("mail".to_owned())));
    assert!(told(&config, "journal").contains("Refused backend: journalflags=1"));
    assert_eq!((&config.jails[3].filter, &config.jails[3].input), (&Filter::Bans, &None));
    assert_eq!(config.jails[4].mode, Mode::Observe, "it only mails");
    let problems = taken.problems();
    assert!(problems.iter().any(|problem| problem.starts_with("fail2ban's jail nolog: logpath: ")), "{problems:?}");
}

#[test]
fn a_jail_that_a_fault_takes_away_is_noticed() {
    let with = |filter: &str| {
        let jail = format!("[a]\nenabled = true\nfilter = {filter}\nlogpath = /x\naction = iptables-multiport\n");
        taken("", &[("jail.conf", &jail), ONE, BAN, IPTABLES]).taken.unwrap()
    };
    let off = taken("", &[("jail.conf", "[a]\nfilter = one\nlogpath = /x\n"), ONE]).taken.unwrap();

    let (one, nosuch) = (with("one"), with("nosuch"));
    assert_eq!(one.lost_in(&nosuch).unwrap().0, "a");
    assert_eq!((one.lost_in(&off), nosuch.lost_in(&nosuch), one.lost_in(&one)), (None, None, None));
}

#[test]
fn no_more_jails_are_run_than_have_numbers() {
    let jail =
        "[DEFAULT]\nenabled = true\nfilter = one\nlogpath = /var/log/x\naction = iptables-multiport\n".to_owned();
    let jail = (0..100).fold(jail, |text, number| text + &format!("[j{number}]\n"));
    let config = taken("[jails.a]\nfilter = 'sshd'\nlog = '/y'", &[("jail.conf", &jail), ONE, BAN, IPTABLES]);

    // One number is that of bans by command.
    assert!(config.jails.len() < usize::from(JailId::MAX.index()), "{}", config.jails.len());
    assert!(told(&config, "j99").contains("blocker runs at most"));
    let problems = config.taken.unwrap().problems();
    assert!(problems.len() <= 33 && problems.last().unwrap().contains("more, see `blocker check`"), "{problems:?}");
}

proptest::proptest! {
    #[test]
    fn whatever_the_files_say_the_jails_are_valid_and_what_is_told_is_text(jail in options(), local in options(), filter in options(), action in options()) {
        let jail = format!("[DEFAULT]\nenabled = true\nlogpath = /var/log/x\nfilter = sshd\n[sshd]\n{jail}[dovecot]\n");
        let texts = [
            ("jail.conf", jail.as_str()), ("jail.local", &format!("[sshd]\n{local}")), ("filter.d/sshd.conf", &format!("[Definition]\nfailregex = a <HOST>\n[Init]\n{filter}")),
            ("filter.d/dovecot.conf", &format!("[Definition]\nfailregex = <HOST>\n[Init]\n{local}")), ("action.d/iptables.conf", &format!("[Definition]\n{action}")),
        ];
        let Ok(jails) = load_jails(&files(&texts), &|_| true) else { return Ok(()) };
        let mut config = Config::default();
        let checks = Checks { logs: &|_| Ok(()), allow_file: &check_file };
        take("/etc/fail2ban", &jails, &Names::builtin(), &checks, &mut config);
        let taken = config.taken.unwrap();
        for jail in &config.jails {
            proptest::prop_assert!((1..=1_000).contains(&jail.max_retry) && !jail.find_time.is_zero());
            proptest::prop_assert!(jail.input.is_some() || jail.journal.is_some());
            proptest::prop_assert!(config.jails.iter().filter(|other| other.name == jail.name).count() == 1);
        }
        for jail in &taken.jails {
            let is_run = config.jails.iter().any(|ours| ours.whose == Whose::Fail2ban && Some(&ours.name) == jail.jail.as_ref());
            proptest::prop_assert!(is_run == jail.jail.is_some());
            proptest::prop_assert!(is_run || jail.notes.iter().any(|note| note.fate == Fate::Refused), "{jail:?}");
        }
        proptest::prop_assert!(taken.problems().iter().all(|problem| !problem.contains(char::is_control)));
    }
}

#[test]
fn files_of_addresses_that_are_ignored_are_named_in_allow_files_each_once() {
    let jail = "[DEFAULT]\nenabled = true\nfilter = one\naction = iptables-multiport\nlogpath = /x\nignoreip = file:/etc/allowed\n[a]\n[b]\nignoreip = file:/etc/allowed, file:/etc/nothing\n";
    let config = taken("[daemon]\nallow_files = ['/etc/own']\n", &[("jail.conf", jail), ONE, BAN, IPTABLES]);

    assert_eq!(config.daemon.allow_files, [PathBuf::from("/etc/own"), PathBuf::from("/etc/allowed")]);
    let problems = config.taken.as_ref().unwrap().problems();
    assert!(
        matches!(&problems[..], [one] if one.contains("\"file:/etc/nothing\": /etc/nothing: no such file: `daemon.allow_files` has one")),
        "{problems:?}"
    );
    assert!(told(&config, "b").contains("ignoreip: file:/etc/nothing: `allow_files` is for all jails"));
}

#[test]
fn as_many_networks_are_ignored_as_a_list_may_have_and_the_files_behind_them() {
    for (networks, refused) in [(1_024, 0), (1_025, 1)] {
        let listed: String = (0..networks).map(|n| format!("10.0.{}.{} ", n / 256, n % 256)).collect();
        let jail = format!("[a]\nenabled = true\nfilter = one\nlogpath = /x\nignoreip = {listed}file:/etc/allowed\n");

        let import = import(&[("jail.conf", &jail), ONE, BAN, IPTABLES]);

        assert_eq!((import.allow.len(), import.allow_files.as_slice()), (1_024, &["/etc/allowed".to_owned()][..]));
        let notes = import.notes.iter().filter(|note| note.what == "ignoreip" && note.fate == Fate::Refused);
        assert_eq!(notes.count(), refused, "{networks}");
    }
}
