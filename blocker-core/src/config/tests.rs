//! Whole files and what is said of them.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::escalation::{Escalation, Factor, Formula, Growth};
use crate::filter::fail2ban::{Definition, Fail2ban};
use crate::journal::Matches;

fn config(text: &str) -> Config {
    read(text, &Names::builtin()).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn errors(text: &str) -> Vec<String> {
    let errors = read(text, &Names::builtin()).expect_err(text);
    errors.iter().map(ToString::to_string).collect()
}

fn files(paths: &[&str]) -> Option<Input> {
    Some(Input::Files(paths.iter().copied().map(str::to_owned).collect()))
}

fn tcp(ports: &[u16]) -> Ports {
    Ports::listed(ports.iter().map(|&port| PortRange { protocol: Protocol::Tcp, first: port, last: port }).collect())
}

/// What is read of the journal, with Dovecot's trust.
fn journal(words: &[&str]) -> Journal {
    let matches = Matches::read(words.iter().copied()).expect("they are matches");
    Journal { matches, trust: Filter::Dovecot.journal_trust(), namespace: None, directory: None }
}

const DOVECOT: [u16; 7] = [110, 143, 465, 587, 993, 995, 4190];

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_empty_file_is_a_working_configuration() {
    let expected = Config {
        daemon: Daemon {
            interfaces: Interfaces::Auto,
            mode: Mode::Enforce,
            attach: vec![Attach::Native, Attach::Generic, Attach::Tcx],
            observe_interfaces: vec![],
            fail2ban: None,
            allow: vec![],
            allow_files: vec![],
            allow_logins: true,
            close_connections: true,
            remember_bans: secs(30 * 24 * 60 * 60),
            max_bans_ipv4: None,
            max_bans_ipv6: None,
            ipv6_prefix: 64,
            max_line_bytes: 8 * 1024,
            fail2ban_log: None,
            state: "/var/lib/blocker".into(),
            runtime: "/run/blocker".into(),
            pins: "/sys/fs/bpf/blocker".into(),
        },
        control: Control::default(),
        brake: Brake { bans_per_minute: Some(3_000) },
        metrics: None,
        notify: Notify::default(),
        jails: vec![Jail {
            name: "dovecot".to_owned(),
            whose: Whose::Unmentioned,
            enabled: Enabled::Auto,
            filter: Filter::Dovecot,
            input: files(&["/var/log/mail.log", "/var/log/maillog"]),
            journal: Some(journal(&["_SYSTEMD_UNIT=dovecot.service"])),
            ports: tcp(&DOVECOT),
            mode: Mode::Enforce,
            max_retry: 5,
            find_time: secs(600),
            ban_time: BanTime::For(secs(3_600)),
            repeat: Repeat::default(),
            counter: Counter::Exact,
            forgive: true,
        }],
        counter: Counter::Exact,
        taken: None,
        warnings: vec![],
    };

    assert_eq!(config(""), expected);
    assert_eq!(Config::default(), expected);
    assert_eq!(config("# nothing\r\n[daemon]\r\n[defaults]\n[jails]\n"), expected, "empty tables are none");
}

#[test]
fn the_shipped_file_shows_every_key_with_its_default() {
    let shipped = include_str!("../../../dist/blocker.toml");
    // Words stand behind "# ", settings behind a bare "#".
    let settings: Vec<&str> = shipped
        .lines()
        .map(|line| line.strip_prefix('#').map_or(line, |rest| if rest.starts_with(' ') { "" } else { rest }))
        .collect();
    let all = settings.join("\n");

    assert_eq!(config(shipped), Config::default(), "as shipped");
    let mut switched_on = config(&all);
    switched_on.jails[0].whose = Whose::Unmentioned;
    assert_eq!(switched_on, Config::default(), "with every setting switched on");
    let daemons = [
        "interfaces",
        "fail2ban",
        "attach",
        "observe_interfaces",
        "allow",
        "allow_files",
        "allow_logins",
        "close_connections",
        "remember_bans",
        "max_bans_ipv4",
        "max_bans_ipv6",
        "max_line_bytes",
        "fail2ban_log",
        "state",
        "runtime",
        "pins",
    ];
    for key in daemons.into_iter().chain(["enabled", "filter", "log", "journal", "journal_trust", "ports"]) {
        assert_eq!(settings.iter().filter(|line| line.starts_with(&format!("{key} = "))).count(), 1, "{key}");
    }
    for key in ["ban_time_increment", "ban_time_factor", "ban_time_all_jails", "fewer_tries"] {
        assert_eq!(settings.iter().filter(|line| line.starts_with(&format!("{key} = "))).count(), 1, "{key}");
    }
    for key in ["mode", "max_retry", "find_time", "ban_time", "counter", "forgive"] {
        assert_eq!(settings.iter().filter(|line| line.starts_with(&format!("{key} = "))).count(), 2, "{key}");
    }
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [daemon]
        interfaces = ["eth0", "enp[0-9]s0f*np?"]
        mode = "observe"
        fail2ban = "/etc/fail2ban"
        allow = ["192.0.2.0/28", "2001:db8::9", "::ffff:198.51.100.7"]
        fail2ban_log = "/srv/log/fail2ban.log"
        state = "/srv/state"
        runtime = "/srv/run"
        pins = "/sys/fs/bpf/second"
        [defaults]
        max_retry = 3
        find_time = "1h"
        ban_time = "1d"
        [jails.webmail]
        enabled = true
        filter = "dovecot"
        log = "/var/log/webmail/*.log"
        ports = ["https", 588, "5000-5010", "sip/udp", "53/udp", "588/sctp", "25/tcp"]
        max_retry = 10
        find_time = 90
        ban_time = "forever"
        counter = "fail2ban"
        forgive = false
        [jails.dovecot]
        enabled = false
    "#;
    let Config { daemon, jails, .. } = config(text);
    let names: Vec<&str> = jails.iter().map(|jail| jail.name.as_str()).collect();

    assert_eq!(daemon.interfaces, Interfaces::Named(vec!["eth0".to_owned(), "enp[0-9]s0f*np?".to_owned()]));
    assert_eq!(daemon.fail2ban, Some("/etc/fail2ban".into()));
    assert_eq!(daemon.mode, Mode::Observe);
    assert_eq!(
        daemon.allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.0/28", "2001:db8::9", "198.51.100.7"]
    );
    assert_eq!(
        [daemon.fail2ban_log.clone().unwrap(), daemon.state, daemon.runtime, daemon.pins]
            .map(|path| path.display().to_string()),
        ["/srv/log/fail2ban.log", "/srv/state", "/srv/run", "/sys/fs/bpf/second"]
    );
    assert_eq!(names, ["webmail", "dovecot"], "jails keep the order of the file");
    assert_eq!(jails[0].enabled, Enabled::Yes);
    assert_eq!(jails[0].input, files(&["/var/log/webmail/*.log"]));
    assert_eq!(jails[0].ports.to_string(), "25,443,588,5000-5010/tcp 53,5060/udp 588/sctp");
    assert_eq!((jails[0].max_retry, jails[0].find_time, jails[0].ban_time), (10, secs(90), BanTime::Forever));
    assert_eq!((jails[0].counter, jails[1].counter), (Counter::Fail2ban, Counter::Exact));
    assert_eq!((jails[0].forgive, jails[1].forgive), (false, true));
    assert_eq!(jails[1].enabled, Enabled::No);
    assert_eq!((jails[1].max_retry, jails[1].find_time), (3, secs(3_600)), "[defaults] hold for every jail");
    assert_eq!(jails[1].ban_time, BanTime::For(secs(86_400)));
}

#[test]
fn a_table_of_a_built_in_jail_changes_only_the_keys_it_names() {
    let jails = config("[jails.dovecot]\nmax_retry = 9\n").jails;

    assert_eq!(jails, [Jail { max_retry: 9, whose: Whose::Configured, ..Config::default().jails.remove(0) }]);
}

#[test]
fn a_built_in_jail_stays_beside_those_of_the_file() {
    let jails =
        config("[jails.b]\nfilter = 'dovecot'\nlog = '/b'\n[jails.a]\nfilter = 'dovecot'\nenabled = false\n").jails;
    let names: Vec<&str> = jails.iter().map(|jail| jail.name.as_str()).collect();

    assert_eq!(names, ["dovecot", "b", "a"]);
    assert_eq!(jails[1].ports, Ports::All, "a jail closes everything unless told otherwise");
    assert_eq!(jails[2].input, None, "a jail that is off needs no log");
}

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
fn the_longest_line_is_a_setting() {
    for bytes in [1_024, 65_536] {
        assert_eq!(config(&format!("[daemon]\nmax_line_bytes = {bytes}")).daemon.max_line_bytes, bytes);
    }
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
fn a_jail_by_the_name_of_a_filter_needs_no_keys() {
    let jails = config("[jails.sshd]\n[jails.postfix]\nports = 'smtp'\n").jails;
    let names: Vec<&str> = jails.iter().map(|jail| jail.name.as_str()).collect();

    assert_eq!(names, ["dovecot", "sshd", "postfix"], "only dovecot is there without being mentioned");
    assert_eq!(jails[1].filter.name(), "sshd");
    assert_eq!((&jails[1].ports, &jails[1].input), (&tcp(&[22]), &files(&["/var/log/auth.log", "/var/log/secure"])));
    assert_eq!((&jails[2].ports, jails[2].filter.name()), (&tcp(&[25]), "postfix"));
}

#[test]
fn ways_to_attach_keep_their_order() {
    let ways = config("[daemon]\nattach = ['dispatcher', 'native', 'tcx', 'generic']").daemon.attach;

    assert_eq!(ways, [Attach::Dispatcher, Attach::Native, Attach::Tcx, Attach::Generic]);
}

#[test]
fn negative_ban_times_are_forever() {
    for written in ["-1", "-86400", "'-1'", "'forever'"] {
        assert_eq!(
            config(&format!("[defaults]\nban_time = {written}")).jails[0].ban_time,
            BanTime::Forever,
            "{written}"
        );
    }
}

#[test]
fn two_names_of_one_port_are_one_port() {
    assert_eq!(config("[jails.dovecot]\nports = ['smtps', 'submissions', 465]").jails[0].ports, tcp(&[465]));
}

#[test]
fn the_machines_services_can_be_named() {
    let services = Services::with_etc_services("webmail 8443/tcp\n");
    let names = Names { services, ..Names::builtin() };
    let config = read("[jails.dovecot]\nports = 'webmail'", &names).unwrap();

    assert_eq!(config.jails[0].ports, tcp(&[8443]));
}

#[test]
fn the_names_of_the_built_in_jails_ports_mean_its_ports() {
    let text = r#"[jails.dovecot]
        ports = ["pop3", "pop3s", "imap", "imaps", "submission", "submissions", "sieve"]"#;

    assert_eq!(config(text).jails[0].ports, Config::default().jails[0].ports);
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
fn faulty_values_are_said_with_place_and_expectation() {
    let retries = "expected a whole number from 1 to 1000";
    let span = "expected a length of time such as \"90s\", \"10m\", \"1h30m\", \"3d\" or \"1w\"";
    let ban = "expected a length of time such as \"10m\", \"1h30m\" or \"3d\", or \"forever\"";
    let interfaces =
        "expected \"auto\", or names of interfaces of 1 to 15 characters, in which *, ? and [] stand for what varies";
    let long_pattern = format!("interfaces = '{}*'", "e".repeat(64));
    let long_pattern_shown = format!("is \"{}…\"", "e".repeat(60));
    let line_bytes = "expected a whole number from 1024 to 65536";
    let command = "expected a program and its arguments: [\"docker\", \"logs\", \"-f\", \"mail\"]";
    let syslog = "expected an absolute path of at most 107 bytes, or \"udp://127.0.0.1:5514\" or \"tcp://[::1]:5514\", on a \
                  loopback address";
    let long_socket = format!("syslog = '/{}'", "s".repeat(107));
    let long_socket_shown = format!("is \"/{}…\"", "s".repeat(59));
    let prefixes = "expected addresses and networks such as \"192.0.2.9\" or \"2001:db8::/64\"";
    let attach = "expected a list of \"native\", \"generic\", \"tcx\" and \"dispatcher\", each at most once";
    let logs = "expected absolute paths of log files, in which *, ? and [] stand for what varies";
    let ports = "expected services and ports such as \"imap\", 588, \"5000-5010\", \"sip/udp\" or \"588/sctp\", or \"all\" by itself";
    let factor = "expected a number from 0.001 to 1000000 with at most three decimals";
    let multipliers = "expected a list of 1 to 64 numbers from 0.001 to 1000000, such as [1, 5, 30, 60]";
    let rows: &[(&str, &str, &str, &str)] = &[
        ("defaults", "counter = 'slow'", "is \"slow\"", "expected \"exact\" or \"fail2ban\""),
        ("defaults", "max_retry = 'many'", "is \"many\"", retries),
        ("defaults", "max_retry = 0", "is 0", retries),
        ("defaults", "max_retry = 1001", "is 1001", retries),
        ("defaults", "max_retry = 99999999999999999999", "is 99999999999999999999", retries),
        ("defaults", "max_retry = 2.5", "is 2.5", retries),
        ("defaults", "find_time = -1", "is -1", span),
        ("defaults", "find_time = '10 min'", "is \"10 min\"", span),
        ("defaults", "find_time = ['10m']", "is a list", span),
        ("defaults", "ban_time = 0", "is 0", ban),
        ("defaults", "ban_time_increment = 1", "is 1", "expected true or false"),
        ("defaults", "ban_time_factor = 0", "is 0", factor),
        ("defaults", "ban_time_factor = 1.0001", "is 1.0001", factor),
        ("defaults", "ban_time_multipliers = []", "is an empty list", multipliers),
        ("defaults", "ban_time_multipliers = [1, '5']", "is a list", multipliers),
        ("defaults", "ban_time_formula = 5", "is 5", "expected a formula such as \"time * 2 ** count\""),
        ("defaults", "ban_time_max = 'forever'", "is \"forever\"", span),
        ("defaults", "ban_time = true", "is true", ban),
        ("defaults", "ban_time = 1979-05-27", "is 1979-05-27", ban),
        ("daemon", "mode = 'dry-run'", "is \"dry-run\"", "expected \"enforce\" or \"observe\""),
        ("daemon", "interfaces = []", "is an empty list", interfaces),
        ("daemon", "interfaces = 'a-very-long-name'", "is \"a-very-long-name\"", interfaces),
        ("daemon", "interfaces = ['eth0', 'auto']", "has \"auto\"", interfaces),
        ("daemon", "interfaces = ['../x']", "has \"../x\"", interfaces),
        ("daemon", "interfaces = ['eth*/x']", "has \"eth*/x\"", interfaces),
        ("daemon", &long_pattern, &long_pattern_shown, interfaces),
        ("daemon", "allow_files = 'allow'", "is \"allow\"", "expected at most 16 absolute paths of files"),
        ("daemon", "allow_logins = 'no'", "is \"no\"", "expected true or false"),
        ("daemon", "allow = ['192.0.2.9', 'mail.example.org']", "has \"mail.example.org\"", prefixes),
        ("daemon", "allow = '0.0.0.0/0'", "is \"0.0.0.0/0\"", prefixes),
        ("daemon", "allow = [['192.0.2.9']]", "has a list", prefixes),
        ("daemon", "attach = ['xdp']", "has \"xdp\"", attach),
        ("daemon", "ipv6_prefix = 31", "is 31", "expected a whole number from 32 to 128"),
        ("daemon", "ipv6_prefix = 129", "is 129", "expected a whole number from 32 to 128"),
        ("daemon", "ipv6_prefix = '/64'", "is \"/64\"", "expected a whole number from 32 to 128"),
        ("daemon", "state = 'lib'", "is \"lib\"", "expected an absolute path"),
        ("daemon", "max_line_bytes = 1023", "is 1023", line_bytes),
        ("daemon", "max_line_bytes = 65537", "is 65537", line_bytes),
        ("daemon", "max_line_bytes = '8k'", "is \"8k\"", line_bytes),
        ("jails.dovecot", "command = 'docker logs -f mail'", "is \"docker logs -f mail\"", command),
        ("jails.dovecot", "command = []", "is an empty list", command),
        ("jails.dovecot", "command = ['']", "is a list", command),
        ("jails.dovecot", "command = ['a', 1]", "is a list", command),
        ("jails.dovecot", "command = [\"a\\u0000\"]", "is a list", command),
        ("jails.dovecot", "syslog = true", "is true", syslog),
        ("jails.dovecot", "syslog = 'log.sock'", "is \"log.sock\"", syslog),
        ("jails.dovecot", "syslog = 'udp://192.0.2.1:514'", "is \"udp://192.0.2.1:514\"", syslog),
        ("jails.dovecot", "syslog = 'udp://127.0.0.1:0'", "is \"udp://127.0.0.1:0\"", syslog),
        ("jails.dovecot", "syslog = 'udp://localhost:514'", "is \"udp://localhost:514\"", syslog),
        ("jails.dovecot", "syslog = 'tls://127.0.0.1:514'", "is \"tls://127.0.0.1:514\"", syslog),
        ("jails.dovecot", &long_socket, &long_socket_shown, syslog),
        ("daemon", "pins = {}", "is a table", "expected an absolute path"),
        ("jails.dovecot", "log = 'mail.log'", "is \"mail.log\"", logs),
        ("jails.dovecot", "log = []", "is an empty list", logs),
        ("jails.dovecot", "log = [\"/var/\\u001b[2J\"]", "has \"/var/\\u{1b}[2J\"", logs),
        ("jails.dovecot", "enabled = 'yes'", "is \"yes\"", "expected \"auto\", true or false"),
        ("jails.dovecot", "filter = 1", "is 1", "expected the name of a filter, or the path of one of fail2ban's"),
        ("jails.dovecot", "ports = []", "is an empty list", ports),
        ("jails.dovecot", "ports = 0", "is 0", ports),
        ("jails.dovecot", "ports = -25", "is -25", ports),
        ("jails.dovecot", "ports = ['65536']", "has \"65536\"", ports),
        ("jails.dovecot", "ports = ['5010-5000']", "has \"5010-5000\"", ports),
        ("jails.dovecot", "ports = ['+25']", "has \"+25\"", ports),
        ("jails.dovecot", "ports = ['imap', 'all']", "has \"all\"", ports),
    ];
    for (table, text, found, expected) in rows {
        let key = text.split(' ').next().unwrap();
        assert_eq!(errors(&format!("\n[{table}]\n{text}\n")), [format!("line 3: `{table}.{key}` {found}, {expected}")]);
    }
}

#[test]
fn faults_of_whole_keys_have_words_of_their_own() {
    let log = "expected absolute paths of log files, in which *, ? and [] stand for what varies";
    let rows: &[(&str, &[&str])] = &[
        ("[daemon]\nfail2ban = 'x'", &["line 2: `daemon.fail2ban` is \"x\", expected an absolute path, or \"\""]),
        ("jails = 5", &["line 1: `jails` is 5, expected a table"]),
        ("[[jails.dovecot]]", &["line 1: `jails.dovecot` is a list, expected a table"]),
        (
            "[jails.mail]",
            &[
                "line 1: `jails.mail.filter` is missing, expected the name of a filter, or the path of one of fail2ban's",
                &format!("line 1: `jails.mail.log` is missing, {log}"),
            ],
        ),
        (
            "[jails.mail]\nlog = '/a'\nfilter = 'dovcot'",
            &["line 3: `jails.mail.filter`: no filter is called \"dovcot\": did you mean `dovecot`?"],
        ),
        (
            "[jails.mail]\nlog = '/a'\nfilter = 'qpsmtpd'",
            &[
                "line 3: `jails.mail.filter`: no filter is called \"qpsmtpd\": known are `apache`, `courier`, `cyrus`, `dovecot`, `exim`, `nginx`, `postfix`, `postfix-postscreen`, `proftpd`, `pure-ftpd`, `recidive`, `roundcube`, `rspamd`, `sendmail`, `sogo`, `sshd`, `stalwart`, `vsftpd`",
            ],
        ),
        (
            "[jails.dovecot]\nports = ['imapz']",
            &["line 2: `jails.dovecot.ports`: no service is called \"imapz\": did you mean `imaps`?"],
        ),
        (
            "[jails.dovecot]\nports = ['imap/udp']",
            &["line 2: `jails.dovecot.ports`: no service is called \"imap/udp\""],
        ),
        ("[daemon]\nallow = ['192.0.2.9',\n'192.0.2.9']", &["line 3: `daemon.allow` has \"192.0.2.9\" twice"]),
        (
            "[jails.'Mail Box']\nlog = '/a'",
            &["line 1: `jails.\"Mail Box\"` is no name for a jail: use 1 to 31 of a-z, 0-9, _ and -"],
        ),
        (
            "[defaults]\nban_time_formula = 'time * (1 << count'",
            &["line 2: `defaults.ban_time_formula` is no formula: at character 19: the end, expected `)`"],
        ),
        (
            "[jails.dovecot]\nban_time_multipliers = [1, 2]\nban_time_formula = 'time'",
            &[
                "line 3: `jails.dovecot.ban_time_formula` and `ban_time_multipliers` exclude each other: bans grow by one of them",
            ],
        ),
        (
            "[jails.recidive]\nlog = '/var/log/fail2ban.log'",
            &["line 2: `jails.recidive.log` and `filter` exclude each other: `recidive` counts bans and reads no log"],
        ),
        ("[jails.manual]", &["line 1: `jails.manual`: this name is kept for bans made by command"]),
    ];
    for (text, expected) in rows {
        assert_eq!(errors(text), *expected, "{text}");
    }
}

#[test]
fn bans_grow_as_the_defaults_say_or_a_jail_itself() {
    let text = "[defaults]\nban_time_increment = true\nban_time_max = '5w'\nban_time_multipliers = [1, 2.5]\n\
                [jails.dovecot]\nban_time_factor = 2\nfewer_tries = true\n\
                [jails.sshd]\nban_time_formula = 'time * count'\nban_time_random = '10m'\nban_time_all_jails = true\n\
                [jails.postfix]\nban_time_increment = false\n";
    let jails = config(text).jails;
    let factors = |numbers: &[f64]| numbers.iter().map(|&number| Factor::new(number).unwrap()).collect();
    let grown = Escalation {
        growth: Growth::Multipliers(factors(&[1.0, 2.5])),
        factor: Factor::ONE,
        max_time: Some(secs(5 * 7 * 86_400)),
        random: Duration::ZERO,
    };

    let dovecot = Escalation { factor: Factor::new(2.0).unwrap(), ..grown.clone() };
    assert_eq!(jails[0].repeat, Repeat { escalation: Some(dovecot), fewer_tries: true, ..Repeat::default() });
    let formula = Growth::Formula(Formula::parse("time * count").unwrap());
    let sshd = Escalation { growth: formula, random: secs(600), ..grown };
    assert_eq!(jails[1].repeat, Repeat { escalation: Some(sshd), all_jails: true, ..Repeat::default() });
    assert_eq!(jails[2].repeat, Repeat::default());
}

#[test]
fn a_jail_that_counts_bans_needs_no_keys_and_has_limits_of_its_own() {
    let config =
        config("[defaults]\nfind_time = '1m'\n[jails.recidive]\n[jails.again]\nfilter = 'recidive'\nban_time = -1\n");
    let [_, recidive, again] = &config.jails[..] else { panic!("three jails") };

    assert_eq!((recidive.filter.clone(), &recidive.input, &recidive.journal), (Filter::Bans, &None, &None));
    assert_eq!((recidive.max_retry, recidive.find_time), (5, secs(86_400)));
    assert_eq!((recidive.ban_time, &recidive.ports), (BanTime::For(secs(7 * 86_400)), &Ports::All));
    assert_eq!((again.find_time, again.ban_time, &again.ports), (secs(86_400), BanTime::Forever, &Ports::All));
}

#[test]
fn unknown_keys_get_the_nearest_known_one() {
    let rows = [
        ("[daemon]\n\ninterface = 'eth0'", "line 3: unknown key `daemon.interface`: did you mean `interfaces`?"),
        ("[defaults]\nmaxretry = 3", "line 2: unknown key `defaults.maxretry`: did you mean `max_retry`?"),
        ("[jails.dovecot]\nbantime = 3", "line 2: unknown key `jails.dovecot.bantime`: did you mean `ban_time`?"),
        ("[jail.dovecot]", "line 1: unknown key `jail`: did you mean `jails`?"),
        (
            "[defaults]\nignoreip = []",
            "line 2: unknown key `defaults.ignoreip`: known are `max_retry`, `find_time`, `ban_time`, `ban_time_multipliers`, `ban_time_formula`, `ban_time_increment`, `ban_time_factor`, `ban_time_max`, `ban_time_random`, `ban_time_all_jails`, `fewer_tries`, `aggregate_after`, `aggregate_ipv4`, `aggregate_ipv6`, `counter`, `forgive`",
        ),
        (
            "\"\\n\" = 1",
            "line 1: unknown key `\"\\n\"`: known are `daemon`, `control`, `brake`, `metrics`, `notify`, `defaults`, `jails`",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(errors(text), [expected]);
    }
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file() {
    let jail = "[jails.dovecot]\nmax_retry = 'many'\nport = 25\n";
    let text = &format!("{jail}[defaults]\nfind_time = 0\n[daemon]\nmode = 1\nallow = ['a',\n'b']\n");
    let places: Vec<_> =
        read(text, &Names::builtin()).unwrap_err().into_iter().map(|error| (error.line, error.key.unwrap())).collect();

    assert_eq!(
        places,
        [
            (Some(2), "jails.dovecot.max_retry"),
            (Some(3), "jails.dovecot.port"),
            (Some(5), "defaults.find_time"),
            (Some(7), "daemon.mode"),
            (Some(8), "daemon.allow"),
            (Some(9), "daemon.allow"),
        ]
        .map(|(line, key)| (line, key.to_owned()))
    );
}

#[test]
fn errors_beyond_the_limit_are_counted() {
    let text: String = (0..30).map(|n| format!("unknown{n} = 1\n")).collect();
    let errors = errors(&text);

    assert_eq!(errors.len(), MAX_ERRORS);
    assert!(errors[18].starts_with("line 19: unknown key `unknown18`"), "{}", errors[18]);
    assert_eq!(errors[19], "and 11 more errors");
}

#[test]
fn what_is_no_toml_is_said_by_the_parser() {
    assert_eq!(
        errors("[daemon]\nmode = \n"),
        ["line 2: this is no TOML: string values must be quoted, expected literal string"]
    );
    assert_eq!(errors("[daemon]\nmode = 'observe'\nmode = 'enforce'\n"), ["line 3: this is no TOML: duplicate key"]);
    assert_eq!(
        errors("[daemon]\nmode = \nallow = ['192.0.2.9'\n[jails.dovecot]\n"),
        ["line 2: this is no TOML: string values must be quoted, expected literal string"],
        "the first of several, not what follows from it"
    );
    assert_eq!(errors("[daemon\n"), ["line 1: this is no TOML: unclosed table, expected `]`"]);
}

#[test]
fn long_values_are_cut() {
    let text = format!("[daemon]\nmode = '{}'\n", "ä".repeat(1_000));

    assert_eq!(
        errors(&text),
        [format!("line 2: `daemon.mode` is \"{}…\", expected \"enforce\" or \"observe\"", "ä".repeat(60))]
    );
}

#[test]
fn a_jails_name_fits_the_kernels_map() {
    let jail = |bytes: usize| format!("[jails.{}]\nfilter = 'dovecot'\nlog = '/a'\n", "a".repeat(bytes));

    assert_eq!(config(&jail(31)).jails.len(), 2);
    assert_eq!(errors(&jail(32)).len(), 1);
    assert_eq!(errors("[jails.'']\n").len(), 1);
}

#[test]
fn jails_are_at_most_sixty_with_the_built_in_one() {
    let jails = |count: usize| -> String {
        (0..count).map(|n| format!("[jails.j{n}]\nfilter = 'dovecot'\nlog = '/a'\n")).collect()
    };

    assert_eq!(config(&jails(59)).jails.len(), MAX_JAILS);
    assert_eq!(errors(&jails(70)), ["line 178: `jails.j59` is one jail too many: at most 60"]);
}

#[test]
fn lists_are_bounded() {
    let allow = |count: u32| -> String {
        let entries: Vec<String> = (0..count).map(|n| format!("'2001:db8::{n:x}'")).collect();
        format!("[daemon]\nallow = [{}]\n", entries.join(",\n"))
    };

    assert_eq!(config(&allow(1_024)).daemon.allow.len(), 1_024);
    assert_eq!(errors(&allow(1_100)), ["line 1026: `daemon.allow` has more than 1024 entries"]);
}

#[test]
fn the_control_socket_fits_its_directory() {
    let runtime = |bytes: usize| format!("[daemon]\nruntime = '/{}'\n", "r".repeat(bytes - 1));

    assert_eq!(config(&runtime(94)).daemon.runtime.join("control.sock").as_os_str().len(), 107);
    assert_eq!(errors(&runtime(95)).len(), 1);
}

/// Pieces of configurations, so that many of their sequences are TOML.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "[daemon]",
        "[defaults]",
        "[jails.dovecot]",
        "[jails.a]",
        "interfaces",
        "mode",
        "allow",
        "log",
        "command",
        "syslog",
        "ports",
        "ban_time",
        "max_retry",
        "jails",
        "=",
        "=",
        "=",
        "\n",
        "\n",
        "\n",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "'",
        "\"",
        "'''",
        "5",
        "-1",
        "0x1f",
        "1e9",
        "inf",
        "true",
        "'all'",
        "'10m'",
        "'imap/udp'",
        "'1-2'",
        "'/var/log/*'",
        "1979-05-27",
        "#",
        "\\u0000",
    ];
    prop_oneof![
        6 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), pieces in prop::collection::vec(piece(), 0..40)) {
        for text in [text, pieces.concat(), pieces.join(" ")] {
            if let Err(errors) = read(&text, &Names::builtin()) {
                prop_assert!((1..=MAX_ERRORS).contains(&errors.len()), "{errors:?}");
                for error in errors {
                    prop_assert!(!error.to_string().contains(char::is_control), "{error:?}");
                }
            }
        }
    }

    #[test]
    fn no_value_panics(value in any::<String>(), number in any::<i128>()) {
        let keys = ["daemon.interfaces", "daemon.allow", "daemon.state", "defaults.find_time", "defaults.ban_time",
            "jails.dovecot.ports", "jails.dovecot.log", "jails.dovecot.command", "jails.dovecot.syslog", "daemon.max_line_bytes", "jails.dovecot.filter", "jails.dovecot.enabled"];
        let text: String = keys
            .into_iter()
            .flat_map(|key| [format!("{key} = {value:?}\n"), format!("{key} = [{number}, '''{value}''']\n")])
            .collect();
        for line in text.split_inclusive('\n') {
            if let Err(errors) = read(line, &Names::builtin()) {
                prop_assert!(!errors.is_empty());
            }
        }
    }

    #[test]
    fn no_file_of_services_panics(
        text in any::<String>(),
        lines in "([a-z0-9#/ \\t-]{0,12}[0-9]{0,6}/(tcp|udp|sctp)[ a-z#]{0,6}\n){0,8}",
    ) {
        for text in [text, lines] {
            prop_assert_eq!(Services::with_etc_services(&text).lookup("", Protocol::Tcp), None);
        }
    }
}

#[test]
fn the_daemon_is_found_by_a_file_with_faults() {
    let text = "[daemon]\nruntime = \"/tmp/run\"\nmode = \"enfroce\"\n[jails.dovecot]\nmax_retry = 0\n[jails.x\n";

    assert!(read(text, &Names::builtin()).is_err());
    let Places { runtime, pins, state, ipv6_prefix } = places(text);
    assert_eq!((state, ipv6_prefix), ("/var/lib/blocker".into(), 64));
    assert_eq!((runtime, pins), ("/tmp/run".into(), "/sys/fs/bpf/blocker".into()));
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
