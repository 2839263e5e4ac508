//! What `[notify]` takes, and what it refuses with which words.

use super::*;
use crate::config::{Names, read};

fn notify_of(text: &str) -> Notify {
    read(text, &Names::builtin()).unwrap_or_else(|errors| panic!("{text}: {errors:?}")).notify
}

fn errors(text: &str) -> Vec<String> {
    read(text, &Names::builtin()).expect_err(text).iter().map(ToString::to_string).collect()
}

#[test]
fn nobody_is_told_unless_somebody_is_named() {
    assert_eq!(notify_of(""), Notify::default());
    assert_eq!(notify_of("[notify]\n"), Notify::default());
}

#[test]
fn a_mail_needs_an_addressee_and_goes_by_the_local_sendmail() {
    let mail = notify_of("[notify.mail]\nto = \"root\"\n").mail.expect("it is on");

    assert_eq!(mail.to, ["root"]);
    assert_eq!(mail.wanted.on, [Occasion::Start, Occasion::Stop, Occasion::Ban]);
    assert_eq!(mail.way, MailWay::Program(vec!["/usr/sbin/sendmail".to_owned()]));
    assert_eq!((mail.from, mail.whois, mail.every), (None, None, Duration::from_secs(60)));
    let missing = errors("[notify.mail]\nfrom = \"a@example.org\"\n");
    assert!(missing[0].starts_with("line 1: `notify.mail.to` is missing, expected "), "{missing:?}");
}

#[test]
fn a_server_on_this_machine_is_spoken_to_without_tls_and_others_never() {
    let way =
        |server: &str| match notify_of(&format!("[notify.mail]\nto = \"a@example.org\"\nserver = {server:?}\n")).mail {
            Some(Mail { way: MailWay::Server(MailServer { host, port, security, login: None }), .. }) => {
                (host, port, security)
            }
            other => panic!("{other:?}"),
        };

    for (server, host, port, security) in [
        ("smtp://localhost", "localhost", 25, MailSecurity::Plain),
        ("smtp://127.0.0.1:2525/", "127.0.0.1", 2525, MailSecurity::Plain),
        ("smtp://[::1]", "::1", 25, MailSecurity::Plain),
        ("smtp://mail.example.org:587", "mail.example.org", 587, MailSecurity::StartTls),
        ("smtps://[2001:db8::1]", "2001:db8::1", 465, MailSecurity::Tls),
        ("smtps://localhost", "localhost", 465, MailSecurity::Tls),
    ] {
        assert_eq!(way(server), (host.to_owned(), port, security), "{server}");
    }
    let plain = "[notify.mail]\nto = \"a@example.org\"\nserver = \"smtp://mail.example.org\"\nstarttls = false\n";
    assert!(
        matches!(notify_of(plain).mail.unwrap().way, MailWay::Server(server) if server.security == MailSecurity::Plain)
    );
    let faults = errors(&format!("{plain}user = \"bob\"\npassword_file = \"/etc/blocker/password\"\n"));
    assert!(faults[0].contains("everybody on the way"), "{faults:?}");
}

#[test]
fn keys_that_need_or_exclude_one_another_are_told() {
    let mail = |keys: &str| errors(&format!("[notify.mail]\nto = \"a@example.org\"\n{keys}"));

    for (keys, words) in [
        ("user = \"bob\"\nserver = \"smtps://example.org\"\n", "line 3: `notify.mail.user` needs `password_file`"),
        (
            "password_file = \"/p\"\nserver = \"smtps://example.org\"\n",
            "line 3: `notify.mail.password_file` needs `user`",
        ),
        ("starttls = true\n", "line 3: `notify.mail.starttls` needs `server`"),
        ("server = \"smtp://localhost\"\nsendmail = \"/s\"\n", "line 4: `notify.mail.sendmail` and `server` exclude"),
    ] {
        let faults = mail(keys);
        assert!(faults[0].starts_with(words), "{keys}: {faults:?}");
    }
}

#[test]
fn what_could_be_an_option_or_another_header_is_no_address() {
    for address in [
        "-oQ/tmp@example.org",
        "-v",
        "a b@example.org",
        "a@example.org\\r\\nBcc: b@example.org",
        "a@example.org\\u0000",
        "<a@example.org>",
        "a@example.org,b@example.org",
        "a@-example.org",
        "a..b@example.org",
        "a@",
        "",
        "\\\"a\\\"@example.org",
        "ä@example.org",
        "a@exämple.org",
    ] {
        let faults = errors(&format!("[notify.mail]\nto = [\"{address}\"]\n"));
        assert!(faults[0].starts_with("line 2: `notify.mail.to` has "), "{address}: {faults:?}");
    }
    let faults = errors("[notify.mail]\nto = \"root\"\nserver = \"smtp://localhost\"\n");
    assert!(faults[0].contains("without @"), "{faults:?}");
    assert!(is_mail_address("o'neil+blocker@mx-1.example.org") && is_mail_address("root@mx1"));
}

#[test]
fn a_subject_is_on_one_line() {
    assert_eq!(notify_of("[notify.mail]\nto = \"root\"\nsubject = \"\"\n").mail.unwrap().subject, "");
    for subject in ["a\\nBcc: b@example.org", "a\\rb", "a\\u0000b", "a\\u0085b", &"x".repeat(101)] {
        let faults = errors(&format!("[notify.mail]\nto = \"root\"\nsubject = \"{subject}\"\n"));
        assert!(faults[0].starts_with("line 3: `notify.mail.subject` is "), "{subject}: {faults:?}");
    }
}

#[test]
fn a_webhook_has_an_address_that_is_one() {
    let url = |url: &str| {
        let text = format!("[notify.webhook.chat]\nurl = \"{url}\"\n");
        read(&text, &Names::builtin()).map(|config| config.notify.webhooks[0].url.to_string())
    };

    for (given, meant) in [
        ("https://example.org", "https://example.org/"),
        ("https://example.org:443/hook?a=b", "https://example.org/hook?a=b"),
        ("http://192.0.2.1:8080/x", "http://192.0.2.1:8080/x"),
        ("https://[2001:db8::1]?x", "https://[2001:db8::1]/?x"),
    ] {
        assert_eq!(url(given), Ok(meant.to_owned()));
    }
    for given in [
        "ftp://example.org",
        "https://",
        "https://user@example.org",
        "https://example.org/#x",
        "https://example.org/ä",
        "https://example.org/a b",
        "https://example.org/a\\r\\nX: y",
        "https://example.org:0",
        "https://example.org:x",
        "https://[2001:db8::1",
        "/hook",
    ] {
        assert!(url(given).is_err(), "{given}");
    }
}

#[test]
fn a_program_is_an_absolute_path_with_arguments() {
    let text = "[notify.exec.tell]\ncommand = [\"/usr/local/bin/tell\", \"-x\"]\non = \"unban\"\njails = [\"dovecot\", \"manual\"]\n";
    let program = notify_of(text).programs.remove(0);
    assert_eq!((program.name.as_str(), program.command.len(), program.time_limit.as_secs()), ("tell", 2, 30));
    assert_eq!((program.wanted.on, program.wanted.jails.len()), (vec![Occasion::Unban], 2));

    for wrong in ["[\"tell\"]", "[]", "\"/bin/tell\"", "[\"/bin/tell\", \"a\\u0000\"]", "[\"/bin/tell\", 1]"] {
        let faults = errors(&format!("[notify.exec.tell]\ncommand = {wrong}\n"));
        assert!(faults[0].starts_with("line 2: `notify.exec.tell.command` is "), "{wrong}: {faults:?}");
    }
    assert!(errors("[notify.exec.tell]\ncommand = [\"/x\"]\ntime_limit = \"2h\"\n")[0].contains("up to 1h"));
    assert!(errors("[notify.exec.Tell]\ncommand = [\"/x\"]\n")[0].contains("no name for a receiver"));
    assert!(errors("[notify.exec.tell]\ncommand = [\"/x\"]\non = [\"bam\"]\n")[0].contains("`notify.exec.tell.on`"));
}

#[test]
fn there_are_only_so_many_receivers() {
    let text: String = (0..=MAX_RECEIVERS).map(|n| format!("[notify.webhook.w{n}]\nurl = \"http://a\"\n")).collect();

    assert_eq!(errors(&text), ["line 33: `notify.webhook.w16` is one receiver too many: at most 16"]);
}

#[test]
fn alarms_are_told_unless_switched_off_and_may_be_all_that_is_told() {
    let wanted =
        |keys: &str| notify_of(&format!("[notify.mail]\nto = \"root\"\n{keys}")).mail.expect("it is on").wanted;

    assert!(wanted("").alarms && !wanted("alarms = false\n").alarms);
    assert_eq!(wanted("on = []\n"), Wanted { on: Vec::new(), jails: Vec::new(), alarms: true });
    let webhook = notify_of("[notify.webhook.x]\nurl = \"http://localhost/\"\n").webhooks.remove(0);
    assert!(webhook.wanted.alarms);
    let faults = errors("[notify.mail]\nto = \"root\"\non = []\nalarms = false\n");
    assert!(faults[0].starts_with("line 3: `notify.mail.on` needs `alarms`"), "{faults:?}");
}
