//! The receiver that is a program: it is run with the JSON of what happened on its standard input, one run at a time.

use std::fmt::Write as _;

use blocker_core::config::notify;

use super::child;
use super::notice::Batch;
use super::worker::{Failed, Receiver};

/// Bytes of what it prints that are logged.
const MAX_PRINTED: usize = 2_048;

/// A program that is told.
#[derive(Debug)]
pub(super) struct ProgramReceiver {
    config: notify::Program,
    host: String,
}

impl ProgramReceiver {
    pub(super) fn new(config: notify::Program, host: &str) -> Self {
        Self { config, host: host.to_owned() }
    }
}

impl Receiver for ProgramReceiver {
    async fn tell(&mut self, batch: &Batch, _: bool) -> Result<(), Failed> {
        let notify::Program { name, wanted: _, command, time_limit } = &self.config;
        let mut input = batch.json(&self.host);
        input.push(b'\n');
        let left = child::run(command, &input, *time_limit, MAX_PRINTED).await?;
        if !left.output.is_empty() {
            tracing::info!(receiver = name, printed = left.words(), "a program that was told of bans has printed");
        }
        if left.status.success() {
            return Ok(());
        }
        let mut why = format!("{} {}", command.first().map(String::as_str).unwrap_or_default(), left.ended());
        if !left.output.is_empty() {
            write!(why, ": {}", left.words()).expect("a string takes it");
        }
        Err(if left.is_temporary() { Failed::Later(why) } else { Failed::Never(why) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blocker_core::config::notify::{Occasion, Wanted};

    use super::super::notice::testing::{HOSTILE, ban};
    use super::*;
    use crate::source::testing::TempDir;

    fn receiver(script: &str) -> ProgramReceiver {
        let config = notify::Program {
            name: "x".to_owned(),
            wanted: Wanted { on: vec![Occasion::Ban], jails: Vec::new(), alarms: true },
            command: ["/bin/sh", "-c", script, "sh", "an argument"].map(str::to_owned).into(),
            time_limit: Duration::from_secs(60),
        };
        ProgramReceiver::new(config, "mx1")
    }

    #[tokio::test]
    async fn what_a_client_typed_is_on_standard_input_alone() {
        let dir = TempDir::new();
        let mut receiver = receiver(&format!("cd {}; cat > stdin; echo \"$@\" > arguments; env > env", dir.text("")));
        let batch = Batch { notices: vec![ban("192.0.2.9", HOSTILE)], left_out: 2 };

        receiver.tell(&batch, false).await.expect("it is taken");

        let read = |name| std::fs::read_to_string(dir.path(name)).expect("it was written");
        let document: serde_json::Value = serde_json::from_str(&read("stdin")).expect("JSON");
        assert_eq!(document["events"][0]["user"], super::super::notice::plain(HOSTILE));
        assert_eq!((read("stdin").lines().count(), &document["left_out"]), (1, &2.into()));
        assert_eq!(read("arguments"), "an argument\n");
        assert!(!read("env").contains("victim"), "{}", read("env"));
    }

    #[tokio::test]
    async fn how_it_ended_is_told() {
        let batch = Batch { notices: vec![ban("192.0.2.9", b"bob")], left_out: 0 };

        let failed = receiver("echo wrong; exit 1").tell(&batch, false).await;

        assert_eq!(failed, Err(Failed::Never("/bin/sh ended with exit status 1: wrong".to_owned())));
    }
}
