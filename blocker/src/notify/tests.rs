//! All receivers together, with their threads.

use std::time::Instant;

use blocker_core::config::notify::Program;
use blocker_core::engine::Event;

use super::notice::testing::happening;
use super::*;
use crate::source::testing::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

fn program(name: &str, script: &str, on: &[Occasion], jails: &[&str]) -> Program {
    Program {
        name: name.to_owned(),
        wanted: Wanted { on: on.to_vec(), jails: jails.iter().copied().map(str::to_owned).collect(), alarms: false },
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        time_limit: LIMIT,
    }
}

fn ban(prefix: &str) -> Event {
    match happening(prefix, b"bob").what {
        What::Banned(ban) => Event::Banned(ban),
        What::Started { .. } | What::Stopping | What::Unbanned { .. } | What::Alarm(_) | What::Test => {
            panic!("it is a ban")
        }
    }
}

fn dovecot(_: &Event) -> String {
    "dovecot".to_owned()
}

#[tokio::test]
async fn each_is_told_what_it_wants_and_a_stop_is_told_in_time() {
    let dir = TempDir::new();
    let append = |name| format!("cat >> {}", dir.text(name));
    let programs = vec![
        program("all", &append("all"), &[Occasion::Start, Occasion::Ban, Occasion::Stop], &[]),
        program("other", &append("other"), &[Occasion::Ban], &["sshd"]),
        program("hangs", "sleep 600", &[Occasion::Ban, Occasion::Stop], &["dovecot"]),
    ];
    let mut notifier = Notifier::start(&Notify { programs, ..Notify::default() }).expect("it starts");
    notifier.check_jails(|jail| jail == "dovecot");

    notifier.started(&["dovecot".to_owned()], 3);
    notifier.tell_all([ban("192.0.2.9")].iter(), dovecot);
    let problems: Vec<String> = notifier.problems().collect();
    let began = Instant::now();
    notifier.stop().await;

    assert!(began.elapsed() < STOP_WITHIN + Duration::from_secs(20), "{:?}", began.elapsed());
    let all = fs::read_to_string(dir.path("all")).expect("it was told");
    let events: Vec<String> = all
        .lines()
        .flat_map(|line| {
            let document: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let events = document["events"].as_array().cloned().unwrap_or_default();
            events.into_iter().map(|event| event["event"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(events, ["start", "ban", "stop"]);
    assert!(!dir.path("other").exists(), "it wants another jail's");
    assert_eq!(problems, ["notify.exec.other is to tell of the jail `sshd`, and no such jail is on"]);
}

#[tokio::test]
async fn a_test_says_of_each_what_became_of_it() {
    let programs = vec![
        program("good", "grep -q '\"event\":\"test\"'", &[Occasion::Ban], &[]),
        program("bad", "echo out of order; exit 1", &[Occasion::Ban], &[]),
    ];
    let notifier = Notifier::start(&Notify { programs, ..Notify::default() }).expect("it starts");

    let tested = notifier.test().await;

    let told = tested.iter().map(|tested| (tested.receiver.as_str(), tested.outcome.as_str(), tested.error.as_deref()));
    let error = Some("/bin/sh ended with exit status 1: out of order");
    assert_eq!(told.collect::<Vec<_>>(), [("exec.good", "sent", None), ("exec.bad", "failed", error)]);
    let problems: Vec<String> = notifier.problems().collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    notifier.stop().await;
}

#[test]
fn bans_by_command_are_the_jail_manual_s() {
    let wanted = Wanted { on: vec![Occasion::Ban], jails: vec!["manual".to_owned()], alarms: false };

    assert!(wants(&wanted, String::new) && !wants(&wanted, || "dovecot".to_owned()));
}
