//! Whatever stands in a file: it is read or refused, in words, and nothing panics.

use proptest::prelude::*;

use super::*;

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
