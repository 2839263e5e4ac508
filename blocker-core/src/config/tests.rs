//! Whole files and what is said of them.

mod faults;
mod inputs;
mod properties;

use super::*;
use crate::escalation::{Escalation, Factor, Formula, Growth};
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
        brake: Brake { per_minute: Some(3_000), logged_in_percent: Some(25) },
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
fn the_longest_line_is_a_setting() {
    for bytes in [1_024, 65_536] {
        assert_eq!(config(&format!("[daemon]\nmax_line_bytes = {bytes}")).daemon.max_line_bytes, bytes);
    }
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

#[test]
fn a_filter_by_the_name_that_it_had_before_is_known_and_told() {
    let mut names = Names::builtin();
    let text = "[jails.a]\nfilter = 'dovecot-auth'\nlog = '/l'\n[jails.dovecot-auth]\nlog = '/l'\n[jails.b]\nfilter = 'dovecot'\nlog = '/l'\n[jails.c]\nfilter = 'nosuch'\n";
    let told = |names: &Names| {
        let earlier = earlier_names(text, names);
        earlier.into_iter().map(|name| (name.jail, name.earlier, name.present)).collect::<Vec<_>>()
    };
    let name = |jail: &str| (jail.to_owned(), "dovecot-auth".to_owned(), "dovecot".to_owned());

    assert_eq!(told(&names), [name("a"), name("dovecot-auth")]);
    names.filters.add("name = 'dovecot-auth'\ndescription = 'mine'\nprogram = []").unwrap();
    assert_eq!(told(&names), [], "one's own is meant");
}
