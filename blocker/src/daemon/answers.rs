//! The engine's answers as those of the control socket.

use blocker_core::engine::BanOutcome;
use blocker_core::prefix::Prefix;
use blocker_core::whom::Whom;

use crate::control::wire::{Change, Reply, Run};

/// What became of each of a list, in its order: a row each, or, if what was `asked` is given, one for all that follow one
/// another and were banned exactly as asked.
pub(super) fn banned(outcomes: Vec<(Prefix, BanOutcome)>, asked: Option<&[Whom]>) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut asked = asked.map(|asked| asked.iter().copied());
    for (prefix, outcome) in outcomes {
        let is_as_asked = asked.as_mut().and_then(Iterator::next).is_some_and(|whom| whom.exactly() == prefix);
        let (word, why) = match outcome {
            BanOutcome::Banned => ("banned", None),
            BanOutcome::Renewed => ("renewed", None),
            BanOutcome::Refused(why) => ("refused", Some(why.to_string())),
        };
        if why.is_some() || !is_as_asked {
            replies.push(Reply::Change(Change { prefix, outcome: word.into(), why }));
        } else if let Some(Reply::Run(run)) = replies.last_mut()
            && run.outcome == word
        {
            run.count += 1;
        } else {
            replies.push(Reply::Run(Run { outcome: word.into(), count: 1 }));
        }
    }
    replies
}

/// What is to be said of somebody who was unbanned and lies in another ban.
pub(super) fn still_banned(by: Prefix) -> String {
    format!("the ban of {by} stays, and this lies in it: unban that, or `blocker allow` this")
}

#[cfg(test)]
mod tests {
    use blocker_core::allowlist::{AllowReason, Allowed};
    use blocker_core::engine::Refusal;

    use super::*;

    #[test]
    fn what_is_the_same_and_as_asked_is_told_once_and_all_else_by_itself() {
        let asked = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "192.0.2.4", "192.0.2.5"];
        let asked: Vec<Whom> = asked.iter().map(|text| text.parse().unwrap()).collect();
        let allowed = Allowed { prefix: prefix("192.0.2.4"), why: AllowReason::Configured };
        let outcomes = vec![
            (prefix("192.0.2.1"), BanOutcome::Banned),
            (prefix("192.0.2.2"), BanOutcome::Banned),
            (prefix("192.0.2.3"), BanOutcome::Renewed),
            (prefix("2001:db8::/64"), BanOutcome::Renewed),
            (prefix("192.0.2.4"), BanOutcome::Refused(Refusal::AllowListed(allowed))),
            (prefix("192.0.2.5"), BanOutcome::Renewed),
        ];

        let told = banned(outcomes.clone(), Some(&asked));

        let told: Vec<String> = told.iter().map(|reply| serde_json::to_string(reply).unwrap()).collect();
        let expected = [
            r#"{"run":{"outcome":"banned","count":2}}"#,
            r#"{"run":{"outcome":"renewed","count":1}}"#,
            r#"{"change":{"prefix":"2001:db8::/64","outcome":"renewed","why":null}}"#,
            r#"{"change":{"prefix":"192.0.2.4","outcome":"refused","why":"allow-listed: 192.0.2.4 (allowed by the configuration)"}}"#,
            r#"{"run":{"outcome":"renewed","count":1}}"#,
        ];
        assert_eq!(told, expected);
        let singly = banned(outcomes, None);
        assert!(singly.len() == asked.len() && singly.iter().all(|reply| matches!(reply, Reply::Change(_))));
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }
}
