//! Every command that changes something: what it prints, what it prints as JSON, how it ends, and what it has left in the kernel.
//!
//! The same commands are given to two daemons in turn, one asked for text and one for JSON: so both are in the same state.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::Net,
};
use serde_json::Value;

use crate::siege::LIMIT;

/// A command and what it comes to.
struct Step {
    command: &'static str,
    code: i32,
    text: &'static str,
    /// A line of JSON each.
    json: &'static [&'static str],
    /// What standard error has in it; empty if nothing is said.
    said: &'static str,
    /// What is banned in the kernel then.
    kernel: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step {
        command: "ban 192.0.2.41 2001:db8:1:1::9",
        code: 0,
        text: "192.0.2.41: banned\n2001:db8:1:1::/64: banned\n",
        json: &[
            r#"{"prefix":"192.0.2.41","outcome":"banned","why":null}"#,
            r#"{"prefix":"2001:db8:1:1::/64","outcome":"banned","why":null}"#,
        ],
        said: "",
        kernel: &["192.0.2.41", "2001:db8:1:1::/64"],
    },
    Step {
        command: "ban 192.0.2.41 --for 1h --reason again",
        code: 0,
        text: "192.0.2.41: renewed\n",
        json: &[r#"{"prefix":"192.0.2.41","outcome":"renewed","why":null}"#],
        said: "",
        kernel: &["192.0.2.41", "2001:db8:1:1::/64"],
    },
    Step {
        command: "ban 198.51.100.7 192.0.2.2 --jail dovecot",
        code: 1,
        text: "198.51.100.7: refused: allow-listed: 198.51.100.0/24 (allowed by the configuration)\n192.0.2.2: banned\n",
        json: &[
            r#"{"prefix":"198.51.100.7","outcome":"refused","why":"allow-listed: 198.51.100.0/24 (allowed by the configuration)"}"#,
            r#"{"prefix":"192.0.2.2","outcome":"banned","why":null}"#,
        ],
        said: "1 of them refused",
        kernel: &["192.0.2.41", "192.0.2.2", "2001:db8:1:1::/64"],
    },
    Step {
        command: "ban 192.0.2.3 --jail nojail",
        code: 1,
        text: "",
        json: &[],
        said: "no jail `nojail`: there are manual, dovecot",
        kernel: &["192.0.2.41", "192.0.2.2", "2001:db8:1:1::/64"],
    },
    Step {
        command: "ban 192.0.2.3/33",
        code: 2,
        text: "",
        json: &[],
        said: "192.0.2.3/33",
        kernel: &["192.0.2.41", "192.0.2.2", "2001:db8:1:1::/64"],
    },
    Step {
        command: "unban 192.0.2.2 192.0.2.99 2001:db8:1:1::5",
        code: 0,
        text: "192.0.2.2: unbanned\n192.0.2.99: not-banned\n2001:db8:1:1::/64: unbanned\n",
        json: &[
            r#"{"prefix":"192.0.2.2","outcome":"unbanned","why":null}"#,
            r#"{"prefix":"192.0.2.99","outcome":"not-banned","why":null}"#,
            r#"{"prefix":"2001:db8:1:1::/64","outcome":"unbanned","why":null}"#,
        ],
        said: "",
        kernel: &["192.0.2.41"],
    },
    Step {
        command: "allow 192.0.2.41 203.0.113.64/26 --persist --reason office",
        code: 0,
        text: "192.0.2.41: allowed\n203.0.113.64/26: allowed\n192.0.2.41: unbanned: it is allowed\n",
        json: &[
            r#"{"prefix":"192.0.2.41","outcome":"allowed","why":null}"#,
            r#"{"prefix":"203.0.113.64/26","outcome":"allowed","why":null}"#,
            r#"{"prefix":"192.0.2.41","outcome":"unbanned","why":"it is allowed"}"#,
        ],
        said: "",
        kernel: &[],
    },
    Step {
        command: "ban 203.0.113.70",
        code: 1,
        text: "203.0.113.70: refused: allow-listed: 203.0.113.64/26 (allowed by command)\n",
        json: &[
            r#"{"prefix":"203.0.113.70","outcome":"refused","why":"allow-listed: 203.0.113.64/26 (allowed by command)"}"#,
        ],
        said: "1 of them refused",
        kernel: &[],
    },
    Step {
        command: "disallow 192.0.2.41 192.0.2.50 198.51.100.0/24",
        code: 1,
        text: "192.0.2.41: disallowed\n192.0.2.50: not-allowed\n198.51.100.0/24: refused: 198.51.100.0/24 (allowed by the \
               configuration); take it out of `daemon.allow`, and reload\n",
        json: &[
            r#"{"prefix":"192.0.2.41","outcome":"disallowed","why":null}"#,
            r#"{"prefix":"192.0.2.50","outcome":"not-allowed","why":null}"#,
            r#"{"prefix":"198.51.100.0/24","outcome":"refused","why":"198.51.100.0/24 (allowed by the configuration); take it out of `daemon.allow`, and reload"}"#,
        ],
        said: "1 of them refused",
        kernel: &[],
    },
    Step {
        command: "ban 192.0.2.41 203.0.113.0/24",
        code: 0,
        text: "192.0.2.41: banned\n203.0.113.0/24: banned\n",
        json: &[
            r#"{"prefix":"192.0.2.41","outcome":"banned","why":null}"#,
            r#"{"prefix":"203.0.113.0/24","outcome":"banned","why":null}"#,
        ],
        said: "",
        kernel: &["192.0.2.41", "203.0.113.0/24"],
    },
    Step {
        command: "reload",
        code: 0,
        text: "reloaded\n",
        json: &[r#"{"reloaded":true}"#],
        said: "",
        kernel: &["192.0.2.41", "203.0.113.0/24"],
    },
    Step {
        command: "confirm",
        code: 1,
        text: "",
        json: &[],
        said: "the daemon was not started with `--confirm`",
        kernel: &["192.0.2.41", "203.0.113.0/24"],
    },
    Step {
        command: "unban --all",
        code: 0,
        text: "2 bans lifted\n",
        json: &[r#"{"lifted":2}"#],
        said: "",
        kernel: &[],
    },
    Step {
        command: "ban 192.0.2.7 192.0.2.8 192.0.2.9",
        code: 0,
        text: "192.0.2.7: banned\n192.0.2.8: banned\n192.0.2.9: banned\n",
        json: &[
            r#"{"prefix":"192.0.2.7","outcome":"banned","why":null}"#,
            r#"{"prefix":"192.0.2.8","outcome":"banned","why":null}"#,
            r#"{"prefix":"192.0.2.9","outcome":"banned","why":null}"#,
        ],
        said: "",
        kernel: &["192.0.2.7", "192.0.2.8", "192.0.2.9"],
    },
];

/// What works on the pins alone, with the daemon down.
const DOWN: &[Step] = &[
    Step {
        command: "ban 192.0.2.41",
        code: 3,
        text: "",
        json: &[],
        said: "no daemon answers",
        kernel: &["192.0.2.7", "192.0.2.8", "192.0.2.9"],
    },
    Step {
        command: "unban --kernel 192.0.2.7 192.0.2.99",
        code: 0,
        text: "192.0.2.7: unbanned\n192.0.2.99: not-banned\n",
        json: &[
            r#"{"prefix":"192.0.2.7","outcome":"unbanned","why":null}"#,
            r#"{"prefix":"192.0.2.99","outcome":"not-banned","why":null}"#,
        ],
        said: "",
        kernel: &["192.0.2.8", "192.0.2.9"],
    },
    Step {
        command: "unban --kernel --all",
        code: 0,
        text: "2 bans lifted\n",
        json: &[r#"{"lifted":2}"#],
        said: "",
        kernel: &[],
    },
];

#[test]
fn what_each_command_prints_and_how_it_ends_is_what_it_has_done_in_the_kernel() -> Result<()> {
    let nets = [Net::new()?, Net::new()?];
    let settings = Settings { allow: vec!["198.51.100.0/24".into()], ..Settings::default() };
    let mut daemons = [
        Daemon::launch(&nets[0], &daemon::binary()?, &settings)?,
        Daemon::launch(&nets[1], &daemon::binary()?, &settings)?,
    ];
    for step in STEPS {
        step.take(&daemons)?;
    }
    let allowed = daemons[1].cli(&["allow", "--list", "--json"])?.success()?.stdout;
    let by_command: Vec<Value> = allowed
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?
        .into_iter()
        .filter(|row| row["why"] == "by-command")
        .collect();
    ensure!(
        by_command.len() == 1 && by_command[0]["prefix"] == "203.0.113.64/26" && by_command[0]["persist"] == true,
        "{by_command:?}"
    );

    // What was said to be done outlives the daemon, the book as the kernel.
    for daemon in &mut daemons {
        daemon.kill9()?;
        daemon.start()?;
        let mut bans: Vec<String> = daemon.bans()?.into_iter().map(|ban| ban.prefix).collect();
        bans.sort();
        assert_eq!(bans, ["192.0.2.7", "192.0.2.8", "192.0.2.9"]);
        daemon.kill9()?;
    }
    for step in DOWN {
        step.take(&daemons)?;
    }
    for (daemon, is_json) in daemons.iter().zip([false, true]) {
        let detached = daemon.cli(if is_json { &["detach", "--json"] } else { &["detach"] })?.success()?.stdout;
        ensure!(
            if is_json {
                let answer: Value = serde_json::from_str(&detached)?;
                answer["found"] == true && answer["interfaces"].as_array().is_some_and(|found| found.len() == 1)
            } else {
                detached.starts_with("detached from eth0; ") && detached.ends_with(" removed\n")
            },
            "{detached}"
        );
        let again = daemon.cli(&["detach"])?.success()?.stdout;
        ensure!(again.starts_with("nothing is pinned in "), "{again}");
    }
    Ok(())
}

#[test]
fn what_was_confirmed_says_so_in_text_and_json() -> Result<()> {
    for (words, expected) in [(&["confirm"][..], "confirmed\n"), (&["confirm", "--json"], "{\"confirmed\":true}\n")] {
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
        daemon.start_by(std::process::Command::new("env"), &["run", "--confirm", "10m"])?;
        daemon.cli(&["ban", "192.0.2.7", "--for", "1h"])?.success()?;
        let before = daemon.kernel_bans()?.len();

        let said = daemon.cli(words)?.success()?;

        ensure!(said.stdout == expected && said.stderr.is_empty(), "{said:?}");
        ensure!(before == 1 && daemon.kernel_bans()?.len() == 1 && daemon.status()?.mode == "enforce");
        daemon.await_ban("192.0.2.7".parse()?, LIMIT)?;
    }
    Ok(())
}

impl Step {
    /// Has both daemons do it: the first in text, the second in JSON.
    fn take(&self, daemons: &[Daemon<'_>; 2]) -> Result<()> {
        let Self { command, code, text, json, said, kernel } = self;
        let words: Vec<&str> = command.split(' ').collect();
        let expected_json = json.iter().map(|line| format!("{line}\n")).collect::<String>();
        for (daemon, (more, expected)) in
            daemons.iter().zip([(None, (*text).to_owned()), (Some("--json"), expected_json)])
        {
            let words: Vec<&str> = words.iter().copied().chain(more).collect();
            let done = daemon.cli(&words).with_context(|| (*command).to_owned())?;
            ensure!(done.code == Some(*code), "`{command}` {more:?}: {done:?}");
            ensure!(done.stdout == expected, "`{command}` {more:?}: {done:?}, and not {expected:?}");
            let is_said = if said.is_empty() { done.stderr.is_empty() } else { done.stderr.contains(said) };
            ensure!(is_said, "`{command}` {more:?}: {done:?}, and not {said:?}");
            let found: BTreeSet<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
            let wanted: BTreeSet<String> = kernel.iter().map(|prefix| (*prefix).to_owned()).collect();
            ensure!(found == wanted, "after `{command}` {more:?} the kernel has {found:?}, and not {wanted:?}");
        }
        Ok(())
    }
}
