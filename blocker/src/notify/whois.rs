//! Whom addresses belong to, as a whois program says: for mails, if somebody wants that.
//!
//! Its answers come from servers that anybody may run: they are bounded, and nothing in them is obeyed by whoever shows them.

use std::time::Duration;

use super::child;
use super::notice::{Batch, plain};
use super::worker::Failed;

/// Addresses that are asked about for one mail: the first ones.
const MAX_ASKED: usize = 5;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of an answer that are kept; those of the registries have 2 to 6 KiB.
const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Asks about the addresses that were banned; each with what is said.
pub(super) async fn ask(program: &str, batch: &Batch) -> Vec<(String, String)> {
    let mut addresses: Vec<&str> = Vec::new();
    for ban in batch.bans() {
        let address = ban.prefix.split('/').next().unwrap_or_default();
        if addresses.len() < MAX_ASKED && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut answers = Vec::new();
    for address in addresses {
        let words = [program, address].map(str::to_owned);
        let answer = match child::run(&words, b"", ANSWER_WITHIN, MAX_ANSWER_BYTES).await {
            Ok(left) => clean(&left.output),
            Err(Failed::Later(why) | Failed::Never(why)) => why,
        };
        answers.push((address.to_owned(), answer));
    }
    answers
}

/// Lines of text, each [`plain`]; without remarks, which are most of an answer.
fn clean(answer: &[u8]) -> String {
    let lines = answer.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let wanted = lines.filter(|line| !line.is_empty() && !line.starts_with(b"%") && !line.starts_with(b"#"));
    wanted.map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::notice::testing::ban;
    use super::*;
    use crate::source::testing::TempDir;

    #[tokio::test]
    async fn an_answer_is_cleaned_and_only_the_first_addresses_are_asked_about() {
        let dir = TempDir::new();
        let program = dir.text("whois");
        std::fs::write(&program, "#!/bin/sh\nprintf '%% remark\\r\\nwho: %s\\r\\n~!id\\033[2J\\n' \"$1\"\n")
            .expect("written");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
        let notices = ["192.0.2.1", "192.0.2.1", "2001:db8::/64", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"];
        let batch = Batch { notices: notices.map(|prefix| ban(prefix, b"bob")).into(), left_out: 0 };

        let answers = ask(&program, &batch).await;

        assert_eq!(answers.len(), MAX_ASKED);
        assert_eq!(answers[0], ("192.0.2.1".to_owned(), "who: 192.0.2.1\n~!id\\u{1b}[2J".to_owned()));
        assert_eq!(answers[1].1.lines().next(), Some("who: 2001:db8::"));
    }

    #[tokio::test]
    async fn that_there_is_no_program_is_said_in_its_place() {
        let batch = Batch { notices: vec![ban("192.0.2.1", b"bob")], left_out: 0 };

        let answers = ask("/nonexistent/whois", &batch).await;

        assert!(answers[0].1.starts_with("/nonexistent/whois: cannot be run: "), "{answers:?}");
    }
}
