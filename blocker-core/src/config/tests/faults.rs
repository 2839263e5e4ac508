//! What is said of faults: where, what was found, and what would be right.

use super::*;

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
fn the_daemon_is_found_by_a_file_with_faults() {
    let text = "[daemon]\nruntime = \"/tmp/run\"\nmode = \"enfroce\"\n[jails.dovecot]\nmax_retry = 0\n[jails.x\n";

    assert!(read(text, &Names::builtin()).is_err());
    let Places { runtime, pins, state, ipv6_prefix } = places(text);
    assert_eq!((state, ipv6_prefix), ("/var/lib/blocker".into(), 64));
    assert_eq!((runtime, pins), ("/tmp/run".into(), "/sys/fs/bpf/blocker".into()));
}
