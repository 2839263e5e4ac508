//! Whatever is written, it is read to the end or refused.

use super::*;

const KEYS: &[&str] = &[
    "enabled",
    "filter",
    "action",
    "port",
    "protocol",
    "logpath",
    "backend",
    "journalmatch",
    "bantime",
    "findtime",
    "maxretry",
    "ignoreip",
    "failregex",
    "prefregex",
    "maxlines",
    "bantime.increment",
    "usedns",
    "name",
    "x",
    "type",
    "mode",
    "ignorecommand",
    "logencoding",
];

/// What values are made of, so that many of them mean something.
const PIECES: &[&str] = &[
    "\n ",
    "\n\n ",
    "\t",
    " ",
    " ",
    ",",
    ":",
    "=",
    "# ",
    " ;",
    "true",
    "sshd",
    "dovecot[mode=aggressive]",
    "iptables",
    "[port=\"ssh,imap\", protocol=udp]",
    "[",
    "]",
    "0:65535",
    "imap",
    "udp",
    "/var/log/*.log",
    " tail",
    "systemd",
    "_UID=0",
    " + ",
    "-10",
    "1d12h",
    "5",
    "192.0.2.0/24",
    "::1",
    "file:/etc/allowed",
    "<HOST>",
    "<",
    ">",
    "<x>",
    "<<x>>",
    "x",
    "%(x)s",
    "%(known/x)s",
    "%(known/failregex)s",
    "%(sshd/x)s",
    "%(port)s",
    "%%",
    "%",
    "<known/x>",
    "<mode>",
    "'",
    "\"",
    "\\",
    "\u{1b}[31m",
    "\u{202e}",
    "é",
    "1/0",
    "(",
    "*",
];

/// Options, none of them twice.
pub(super) fn options() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::strategy::Strategy as _;
    let value = proptest::collection::vec(proptest::sample::select(PIECES), 0..6).prop_map(|pieces| pieces.concat());
    let options = proptest::collection::btree_map(proptest::sample::select(KEYS), value, 0..12);
    options.prop_map(|options| options.iter().map(|(key, value)| format!("{key} = {value}\n")).collect())
}

proptest::proptest! {
    #[test]
    fn whatever_the_files_say_what_is_written_is_a_configuration(jail in options(), local in options(), filter in options(), action in options()) {
        let jail = format!("[DEFAULT]\nenabled = true\nlogpath = /var/log/x\nfilter = sshd\n[sshd]\n{jail}[dovecot]\n");
        let texts = [
            ("jail.conf", jail.as_str()), ("jail.local", &format!("[sshd]\n{local}")), ("filter.d/sshd.conf", &format!("[Init]\n{filter}")),
            ("filter.d/dovecot.conf", &format!("[Definition]\nfailregex = <HOST>\n[Init]\n{local}")), ("action.d/iptables.conf", &format!("[Definition]\n{action}")),
        ];
        match load_jails(&files(&texts), &|_| true) {
            Ok(jails) => {
                let text = lower(&jails, &Names::builtin(), &check_file).toml();
                let read = config::read(&text, &Names::builtin());
                proptest::prop_assert!(read.is_ok(), "{read:?}\n{text}");
                proptest::prop_assert!(!text.contains(|c: char| c != '\n' && c.is_control()), "{text:?}");
            }
            Err(faults) => {
                proptest::prop_assert!((1..=20).contains(&faults.len()));
                for fault in faults {
                    proptest::prop_assert!(!fault.to_string().contains(char::is_control), "{fault}");
                }
            }
        }
    }
}
