//! Every option of a jail is carried over, or named.

use super::*;

/// Each option of jails with a value that is not the usual one, and by which name it is told of; `""` if it is in the jail that is
/// made, and nothing is to be told.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("filter", "sshd[mode=aggressive]", "filter"),
    ("mode", "aggressive", "filter"),
    ("backend", "systemd", "journalmatch"),
    ("backend", "SystemD", "journalmatch"),
    ("backend", "systemd[journalflags=1]", "backend"),
    ("backend", "nosuch", "backend"),
    ("logpath", "/var/log/x tail", "logpath"),
    ("logpath", "/var/log/x y", "logpath"),
    ("logencoding", "utf-16", "logencoding"),
    ("logencoding", "latin1", "logencoding"),
    ("logtimezone", "UTC+0200", "logtimezone"),
    ("maxretry", "5000", "maxretry"),
    ("findtime", "1h", "maxretry, findtime"),
    ("bantime", "-10", "bantime"),
    ("bantime", "1h", "bantime"),
    ("bantime.increment", "true", "bantime.increment"),
    ("ignoreip", "file:/etc/allowed", "ignoreip"),
    ("ignoreip", "file:/etc/nothing", "ignoreip"),
    ("ignoreip", "mail.example.org", "ignoreip"),
    ("ignoreip", "192.0.2.9", "ignoreip"),
    ("ignoreself", "false", "ignoreself"),
    ("ignorecommand", "/bin/true <ip>", "ignorecommand"),
    ("ignorecache", "key=\"<ip>\", max-count=10, max-time=5m", "ignorecache"),
    ("failregex", "^x <HOST>$", "failregex"),
    ("ignoreregex", "^x", "failregex"),
    ("prefregex", "^x <F-CONTENT>.+</F-CONTENT>$", "failregex"),
    ("datepattern", "EPOCH", "failregex"),
    ("maxlines", "5", "maxlines"),
    ("usedns", "raw", "usedns"),
    ("journalmatch", "_COMM=sshd\nbackend = systemd", "journalmatch"),
    ("maxmatches", "3", "maxmatches"),
    ("port", "imap", "action"),
    ("protocol", "udp", "action"),
    ("chain", "DOCKER-USER", "action"),
    ("action", "nosuch", "filter"),
    ("action", "iptables-multiport[blocktype=DROP]", "action"),
    ("banaction", "iptables", "action"),
    ("skip_if_nologs", "true", ""),
    ("systemd_if_nologs", "false", ""),
    ("destemail", "root", ""),
    ("enabled", "true", ""),
];

#[test]
fn whatever_option_a_jail_has_it_is_carried_over_or_named() {
    let usual = "[DEFAULT]\nbackend = polling\nlogpath = /var/log/x\nbanaction = iptables-multiport\naction = %(banaction)s[port=\"%(port)s\", protocol=\"%(protocol)s\"]\nport = ssh\nprotocol = tcp\nmode = normal\nfilter = sshd[mode=%(mode)s]\n";
    let filter = "[Definition]\nfailregex = ^<mode> <HOST>\nmode = normal\njournalmatch = _SYSTEMD_UNIT=ssh.service\n";
    let told = |option: &str| {
        let jail = format!("{usual}[other]\nenabled = true\n[sshd]\nenabled = true\n{option}\n");
        let import = import(&[("jail.conf", &jail), ("filter.d/sshd.conf", filter), BAN, IPTABLES]);
        let sshd = import.jails.iter().find(|jail| jail.name == "sshd").unwrap();
        let notes = import.notes.iter().chain(&sshd.notes);
        notes.map(|note| (note.what.clone(), note.why.clone())).collect::<Vec<_>>()
    };
    let without = told("");
    let mut untold = Vec::new();
    for (key, value, name) in OPTIONS {
        let notes = told(&if *key == "enabled" { String::new() } else { format!("{key} = {value}") });
        if name.is_empty() {
            assert_eq!(notes, without, "{key} = {value}");
            continue;
        }
        let is_about = |(what, _): &&(String, String)| what.contains(name);
        assert!(notes.iter().any(|note| is_about(&note)), "{key} = {value}: {notes:#?}");
        // What is told of any jail counts only if it tells of the option.
        let is_named = without.iter().any(|(what, why)| what.contains(key) || why.contains(&format!("`{key}`")));
        if notes == without && !is_named {
            untold.push(format!("{key} = {value}"));
        }
    }
    assert_eq!(untold, [""; 0], "nothing is told of these");
}
