//! What somebody should look after: told when it begins, and when it is over.

use serde::Serialize;

use super::notice::plain;

/// Something that somebody should look after, or that is over. In JSON a promise, as all that receivers are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// Of which kind it is: a word.
    pub alarm: &'static str,
    /// What it is about, if there may be several of the kind: a table, an interface.
    pub about: Option<String>,
    /// Whether it begins or is over.
    pub state: State,
    /// What is wrong, or was, in a few words.
    pub title: String,
    /// The same in a sentence or two, with what to do.
    pub text: String,
}

/// Where an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has begun.
    Begin,
    /// It is over.
    End,
}

impl Alarm {
    /// It without what whoever shows it would obey: the words of others may be in it.
    pub(super) fn shown(&self) -> Self {
        let Self { alarm, about, state, title, text } = self;
        let about = about.as_deref().map(|about| plain(about.as_bytes()));
        Self { alarm, about, state: *state, title: plain(title.as_bytes()), text: plain(text.as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::testing::HOSTILE;
    use super::super::notice::{Batch, Happening, Notice, What};
    use super::super::words;
    use super::*;
    use crate::clock::Reading;

    fn notice(state: State, text: &str) -> Notice {
        let alarm = Alarm {
            alarm: "table-full",
            about: Some("ipv4".to_owned()),
            state,
            title: "the table of IPv4 hosts is full".to_owned(),
            text: text.to_owned(),
        };
        Notice::of(&Happening { what: What::Alarm(alarm), clock: Reading::take() })
    }

    #[test]
    fn the_json_is_what_is_promised() {
        let told = serde_json::to_value(notice(State::End, "all is well")).expect("JSON");

        let expected = serde_json::json!({
            "event": "alarm", "time": told["time"], "alarm": "table-full", "about": "ipv4", "state": "end",
            "title": "the table of IPv4 hosts is full", "text": "all is well",
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_mail_has_it_in_front_and_in_no_digest_it_is_left_out() {
        let mut batch = Batch::default();
        batch.push(super::super::notice::testing::ban("192.0.2.9", b"bob"), 1);
        batch.push(notice(State::Begin, "raise something"), 1);
        batch.push(notice(State::End, "all is well"), 1);

        assert_eq!(
            words::subject(&batch, "mx1"),
            "ALARM on mx1: the table of IPv4 hosts is full; over on mx1: the table of IPv4 hosts is full; \
             dovecot: banned 192.0.2.9 from mx1"
        );
        let text = words::text(&batch, "mx1", &[]);
        assert!(text.contains("  ALARM: the table of IPv4 hosts is full.\n\n    raise something\n"), "{text}");
        assert!(text.contains("  Over: the table of IPv4 hosts is full.\n\n    all is well\n"), "{text}");
    }

    #[test]
    fn what_others_wrote_is_on_one_line_of_it() {
        let hostile = String::from_utf8_lossy(HOSTILE);
        let batch = Batch { notices: vec![notice(State::Begin, &hostile)], left_out: 0 };
        let honest = Batch { notices: vec![notice(State::Begin, "x")], left_out: 0 };

        let text = words::text(&batch, "mx1", &[]);

        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), words::text(&honest, "mx1", &[]).lines().count());
    }
}
