//! An import as the text of a configuration.

use super::fault::plain;
use super::growth;
use super::import::{Carried, Fate, Import, Lowered, Note};
use super::mail::Mail;
use super::scope::Closed;
use crate::time::format_span;

impl Import {
    /// The text of a `blocker.toml` with all jails that fail2ban runs: those that are refused as comments that say why.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut text = String::from("# Made by `blocker import fail2ban`.\n#\n");
        for Note { fate, what, why } in &self.notes {
            text.push_str(&format!("# {}{}: {}\n", mark(*fate), what, why));
        }
        text.push_str("\n[daemon]\n");
        if self.allow.is_empty() {
            text.push_str("# Who is never banned besides the machine itself.\n#allow = []\n");
        } else {
            text.push_str("# Who is never banned besides the machine itself (ignoreip).\nallow = [\n");
            for prefix in &self.allow {
                text.push_str(&format!("    {},\n", quoted(&prefix.to_string())));
            }
            text.push_str("]\n");
        }
        if !self.allow_files.is_empty() {
            text.push_str(&format!("allow_files = {}\n", list(&self.allow_files)));
        }
        if let Some(told) = &self.mail {
            mail(told, &mut text);
        }
        let running: Vec<&Carried> = self.jails.iter().filter(|jail| jail.enabled).collect();
        if !running.iter().any(|jail| jail.jail.as_ref().is_some_and(|jail| jail.name == "dovecot")) {
            text.push_str("\n# fail2ban has no such jail that could be carried over; blocker's own is on wherever Dovecot's log is.\n#[jails.dovecot]\n#enabled = false\n");
        }
        for carried in running {
            text.push('\n');
            jail(carried, &mut text);
        }
        text
    }
}

fn mail(told: &Mail, text: &mut String) {
    let Mail { to, from, jails, whois } = told;
    text.push_str(&format!(
        "\n# Mails at the start, at the stop and at bans, as by fail2ban's actions.\n# Under systemd server = \"smtp://localhost\" is less trouble: see docs/operations.md.\n[notify.mail]\nto = {}\n",
        list(to)
    ));
    if let Some(from) = from {
        text.push_str(&format!("from = {}\n", quoted(from)));
    }
    text.push_str(&format!("jails = {}\nsubject = \"[Fail2Ban]\"\n", list(jails)));
    text.push_str("sendmail = \"/usr/sbin/sendmail\"\n");
    if *whois {
        text.push_str("whois = true\n");
    }
}

fn jail(carried: &Carried, text: &mut String) {
    text.push_str(&format!("# {}\n", plain(&carried.name)));
    for Note { fate, what, why } in carried.notes.iter().filter(|note| note.fate != Fate::Carried) {
        text.push_str(&format!("# {}{}: {}\n", mark(*fate), what, why));
    }
    let Some(Lowered {
        name,
        filter,
        log,
        journal,
        trusts_everybody,
        journal_directory,
        journal_namespace,
        ports,
        observes,
        max_retry,
        find_time,
        ban_time,
        repeat,
    }) = &carried.jail
    else {
        text.push_str("# The jail is not carried over.\n");
        return;
    };
    text.push_str(&format!("[jails.{name}]\nenabled = true\nfilter = {}\n", quoted(filter)));
    if !log.is_empty() {
        text.push_str(&format!("log = {}\n", list(log)));
    }
    if !journal.is_empty() {
        text.push_str(&format!("journal = {}\n", list(journal)));
        if *trusts_everybody {
            text.push_str("journal_trust = []\n");
        }
        for (key, value) in [("journal_directory", journal_directory), ("journal_namespace", journal_namespace)] {
            if let Some(value) = value {
                text.push_str(&format!("{key} = {}\n", quoted(value)));
            }
        }
    }
    match ports {
        Closed::All => text.push_str("ports = \"all\"\n"),
        Closed::Listed(ports) => text.push_str(&format!("ports = {}\n", list(ports))),
    }
    if *observes {
        text.push_str("mode = \"observe\"\n");
    }
    text.push_str(&format!(
        "max_retry = {max_retry}\nfind_time = \"{}\"\nban_time = \"{ban_time}\"\n",
        format_span(*find_time)
    ));
    for (key, value) in growth::keys(repeat) {
        text.push_str(&format!("{key} = {value}\n"));
    }
}

fn mark(fate: Fate) -> &'static str {
    match fate {
        Fate::Carried => "",
        Fate::Changed => "changed: ",
        Fate::Refused => "REFUSED: ",
    }
}

fn list(entries: &[String]) -> String {
    let entries: Vec<String> = entries.iter().map(|entry| quoted(entry)).collect();
    format!("[{}]", entries.join(", "))
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_text_it_is_read_again() {
        for text in ["plain", "a \"b\" \\ c", "tab\tline\nend\u{7f}", "ü…", "C:\\x"] {
            let document = format!("x = {}", quoted(text));
            let read: toml::Table = toml::from_str(&document).unwrap();

            assert_eq!(read["x"].as_str(), Some(text));
        }
    }
}
