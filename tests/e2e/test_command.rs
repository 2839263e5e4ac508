//! `blocker test`: what filters make of logs, for scripts and for people. Needs no network and no daemon.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use blocker_tests::{
    daemon,
    leftovers::Scratch,
    process::{self, Finished},
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};

/// One failure of three attempts, one that is nobody's fault, one that no filter knows, one that looks like a failure.
const LOG: &str = "\
Nov 23 01:02:03 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 8 secs): user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<a1>
Nov 23 01:02:04 mx1 dovecot: imap-login: Login: user=<amy>, method=PLAIN, rip=192.0.2.10, lip=198.51.100.1, mpid=7, TLS, session=<a2>

Nov 23 01:02:05 mx1 shop[7]: login failed for \x1b]0;x\x07 from 192.0.2.11
Nov 23 01:02:06 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 2 attempts in 8 secs): user=<eve>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<a3>
";

const NOW: [&str; 2] = ["--now", "2026-11-24T00:00:00Z"];

#[test]
fn a_line_is_an_object_in_order_and_the_last_one_is_the_summary() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", LOG)?;

    let printed = run(&[&["test", "--json", "--filter", "dovecot", &log], &NOW[..]].concat())?;

    let lines: Vec<&str> = printed.stdout.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"line":1,"outcome":"failure","addr":"192.0.2.9","user":"bob","attempts":3,"time":"2026-11-23T01:02:03Z","filter":"dovecot","pattern":1}"#,
    );
    let objects = objects(&printed)?;
    let outcomes: Vec<(Option<u64>, Option<&str>)> =
        objects.iter().map(|object| (object["line"].as_u64(), object["outcome"].as_str())).collect();
    assert_eq!(
        outcomes,
        [
            (Some(1), Some("failure")),
            (Some(2), Some("ignored")),
            (Some(3), Some("no-match")),
            (Some(4), Some("no-match")),
            (Some(5), Some("failure")),
            (None, None),
        ]
    );
    let summary = &objects[5]["summary"];
    for (key, count) in
        [("lines", 5), ("failures", 2), ("ignored", 1), ("no_match", 2), ("unreadable", 1), ("looks_like_failure", 1)]
    {
        assert_eq!(summary[key], json!(count), "{key}: {summary}");
    }
    assert_eq!(summary["attempts"], json!(5));
    assert_eq!(summary["patterns"], json!([{"filter": "dovecot", "pattern": 1, "name": "auth failed", "lines": 2}]));
    assert!(printed.stdout.is_ascii());
    Ok(())
}

#[test]
fn sparse_leaves_out_what_does_not_match_and_replay_tells_of_bans_where_they_fall_due() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", LOG)?;

    let printed = run(&[&["test", "--json", "--sparse", "--replay", "--filter", "dovecot", &log], &NOW[..]].concat())?;

    let objects = objects(&printed)?;
    let numbers: Vec<&Value> = objects.iter().map(|object| &object["line"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(2), &json!(5), &Value::Null, &Value::Null]);
    assert_eq!(
        objects[3],
        json!({"ban": {
            "line": 5, "time": "2026-11-23T01:02:06Z", "prefix": "192.0.2.9", "jail": "dovecot",
            "until": "2026-11-23T02:02:06Z", "lasts_s": 3600, "attempts": 5, "reason": "auth failed",
        }})
    );
    assert_eq!(objects[4]["summary"]["bans"], json!(1));
    Ok(())
}

#[test]
fn a_jail_brings_its_filter_and_its_limits_and_without_one_all_that_are_on_judge() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", LOG)?;
    let config = write(
        &scratch,
        "blocker.toml",
        "[daemon]\nallow = ['203.0.113.0/24']\n[jails.dovecot]\nmax_retry = 3\nban_time = 'forever'\n[jails.sshd]\nenabled = false\n",
    )?;
    let test =
        |more: &[&str]| run(&[&["test", "--config", &config, "--json", "--replay", &log], &NOW[..], more].concat());

    for more in [&["--jail", "dovecot"][..], &[]] {
        let objects = objects(&test(more)?)?;
        assert_eq!(objects[1]["ban"]["line"], json!(1), "three attempts are enough here: {objects:?}");
        assert_eq!(objects[1]["ban"]["until"], json!("forever"));
    }
    let off = objects(&test(&["--jail", "sshd"])?)?;
    assert_eq!(off.last().context("a summary")?["summary"]["failures"], json!(0), "a jail that is off judges if named");
    let unknown = blocker(&["test", "--config", &config, "--jail", "nobody", &log])?;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("there is no jail `nobody`"), "{unknown:?}");
    Ok(())
}

#[test]
fn several_logs_are_counted_on_and_standard_input_is_one() -> Result<()> {
    let scratch = Scratch::new()?;
    let lines: Vec<&str> = LOG.lines().collect();
    let (first, second) = lines.split_at(3);
    let older = write(&scratch, "mail.log.1", &(first.join("\n") + "\n"))?;
    let newer = write(&scratch, "mail.log", &second.join("\n"))?;
    let options = [&["test", "--json", "--replay", "--filter", "dovecot"], &NOW[..]].concat();

    let both = objects(&run(&[&options[..], &[&older, &newer]].concat())?)?;
    let places: Vec<(&str, u64)> =
        both.iter().filter_map(|object| Some((object["file"].as_str()?, object["line"].as_u64()?))).collect();
    assert_eq!(places, [(&older[..], 1), (&older[..], 2), (&older[..], 3), (&newer[..], 1), (&newer[..], 2)]);
    assert_eq!(both[5]["ban"]["file"], json!(newer), "the attempts of both come together");

    let mut child = Command::new(daemon::binary()?)
        .args([&options[..], &["-"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
    // The last line lacks its end.
    let (all_but_last, last) = LOG.trim_end().rsplit_once('\n').context("several lines")?;
    writeln!(input, "{all_but_last}")?;
    let mut line = String::new();
    for number in 1..=4 {
        line.clear();
        output.read_line(&mut line)?;
        assert!(line.starts_with(&format!("{{\"line\":{number},")), "told while the pipe is open: {line}");
    }
    input.write_all(last.as_bytes())?;
    drop(input);
    let rest: Vec<String> = output.lines().collect::<Result<_, _>>()?;
    assert_eq!(rest.len(), 3, "the line, the ban, the summary: {rest:?}");
    assert!(child.wait()?.success());
    Ok(())
}

/// Two addresses that would be banned; bob logs in from the first one later. Amy did from the second one before.
const LATER: &str = "\
Nov 23 01:02:01 mx1 dovecot: imap-login: Login: user=<amy>, method=PLAIN, rip=192.0.2.10, lip=198.51.100.1, mpid=7, TLS, session=<b1>
Nov 23 01:02:03 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 5 attempts in 8 secs): user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<b2>
Nov 23 01:02:04 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 5 attempts in 8 secs): user=<amy>, method=PLAIN, rip=192.0.2.10, lip=198.51.100.1, TLS, session=<b3>
Nov 23 01:09:00 mx1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, mpid=7, TLS, session=<b4>
";

#[test]
fn who_would_be_banned_and_logged_in_later_is_told() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", LATER)?;
    let options = [&["test", "--filter", "dovecot", &log], &NOW[..]].concat();

    let printed = run(&options)?.stdout;
    let row = |source: &str| printed.lines().find(|line| line.contains(source)).unwrap_or_default().to_owned();
    assert!(row("192.0.2.9").ends_with("auth failed  2026-11-23T01:09:00Z as bob"), "{printed}");
    assert!(row("192.0.2.10").trim_end().ends_with("auth failed  -"), "{printed}");
    assert!(printed.contains("so perhaps of no attacker: 1\n"), "{printed}");

    let json = objects(&run(&[&options[..], &["--json", "--replay"]].concat())?)?;
    let summary = &json.last().context("a summary")?["summary"];
    assert_eq!((&summary["bans"], &summary["logged_in_later"]), (&json!(2), &json!(1)));
    Ok(())
}

/// Three refused passwords on a connection, of which two are told at once; one on another; a login; and four more.
const TWICE_TOLD: &str = "\
Nov 23 01:02:03 mx1 dovecot: auth: passwd-file(bob,192.0.2.9,<a1>): Password mismatch
Nov 23 01:02:04 mx1 dovecot: auth: passwd-file(bob,192.0.2.9,<a1>): Password mismatch
Nov 23 01:02:05 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 8 secs): user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<a1>
Nov 23 01:02:06 mx1 dovecot: auth: passwd-file(bob,192.0.2.9,<a2>): Password mismatch
Nov 23 01:02:07 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 8 secs): user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<a2>
Nov 23 01:02:08 mx1 dovecot: imap-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, mpid=7, TLS, session=<a3>
Nov 23 01:02:09 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 4 attempts in 8 secs): user=<bob>, method=PLAIN, rip=192.0.2.9, lip=198.51.100.1, TLS, session=<a4>
";

#[test]
fn a_line_adds_what_no_other_of_its_connection_has_told_and_a_login_forgives_its_user() -> Result<()> {
    let scratch = Scratch::new()?;
    let whole = write(&scratch, "mail.log", TWICE_TOLD)?;
    let lines: Vec<&str> = TWICE_TOLD.lines().collect();
    let (first, second) = lines.split_at(4);
    let older = write(&scratch, "mail.log.1", &(first.join("\n") + "\n"))?;
    let newer = write(&scratch, "mail.log.0", &second.join("\n"))?;
    let options = [&["test", "--json", "--filter", "dovecot"], &NOW[..]].concat();

    for logs in [&[&whole[..]][..], &[&older, &newer]] {
        for replay in [&[][..], &["--replay"]] {
            let objects = objects(&run(&[&options[..], replay, logs].concat())?)?;
            let told: Vec<(&str, &Value)> =
                objects.iter().filter_map(|object| Some((object["outcome"].as_str()?, &object["attempts"]))).collect();
            let (one, none) = (json!(1), json!(0));
            assert_eq!(
                told,
                [
                    ("failure", &one),
                    ("failure", &one),
                    ("failure", &one),
                    ("failure", &one),
                    ("failure", &none),
                    ("ignored", &Value::Null),
                    ("failure", &json!(4)),
                ],
                "{logs:?}"
            );
            assert_eq!(objects.last().context("a summary")?["summary"]["attempts"], json!(8));
            let bans: Vec<&Value> = objects.iter().filter_map(|object| object.get("ban")).collect();
            if replay.is_empty() {
                assert_eq!(bans, Vec::<&Value>::new());
            } else {
                // The third of the first connection may have been at anybody: that one is left, and four more.
                assert_eq!(bans.len(), 1);
                assert_eq!(bans[0]["attempts"], json!(5), "{bans:?}");
                assert_eq!(bans[0]["time"], json!("2026-11-23T01:02:09Z"));
            }
        }
    }
    Ok(())
}

#[test]
fn the_year_is_that_of_now_and_the_zone_that_of_the_environment() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", LOG)?;
    for (zone, now, time) in [
        ("UTC", "2026-11-24T00:00:00Z", "2026-11-23T01:02:03Z"),
        ("UTC", "1700870400", "2023-11-23T01:02:03Z"),
        ("UTC", "2026-11-20T00:00:00+01:00", "2025-11-23T01:02:03Z"),
        ("<-07>7", "2026-11-24T00:00:00Z", "2026-11-23T08:02:03Z"),
    ] {
        let mut command = command(&["test", "--json", "--filter", "dovecot", "--now", now, &log])?;
        command.env("TZ", zone);
        let objects = objects(&process::run(command, LIMIT)?.success()?)?;
        assert_eq!(objects[0]["time"], json!(time), "{zone} {now}");
    }
    let refused = blocker(&["test", "--filter", "dovecot", "--now", "yesterday", &log])?;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    Ok(())
}

#[test]
fn entries_of_the_journal_are_of_now_and_cannot_pose_as_a_header() -> Result<()> {
    let scratch = Scratch::new()?;
    let failure = LOG.lines().next().and_then(|line| line.strip_prefix("Nov 23 01:02:03 ")).context("a line")?;
    let forged = "mx1 shop[7]: Nov 23 01:02:03 mx1 dovecot: imap-login: Disconnected (auth failed, 9 attempts in 8 secs): user=<x>, method=PLAIN, rip=203.0.113.66, lip=198.51.100.1, session=<a9>";
    let log = write(&scratch, "journal", &format!("{}\n{forged}\n", failure.replace("dovecot:", "dovecot[77]:")))?;

    let objects = objects(&run(&[&["test", "--json", "--journal", "--filter", "dovecot", &log], &NOW[..]].concat())?)?;

    assert_eq!(objects[0]["addr"], json!("192.0.2.9"));
    assert_eq!(objects[0]["time"], json!("2026-11-24T00:00:00Z"));
    assert_eq!(objects[1]["outcome"], json!("no-match"));
    Ok(())
}

#[test]
fn a_person_is_told_counts_missed_lines_and_bans_and_a_terminal_obeys_nobody() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut bytes = LOG.as_bytes().to_vec();
    bytes.extend_from_slice(b"\xff\xfe\0\x1b[2J\x9b31m login denied 192.0.2.77\r\r\n");
    bytes.extend_from_slice(&vec![b'x'; 100_000]);
    bytes.extend_from_slice(b"\n");
    let path = scratch.join("mail.log");
    fs::write(&path, bytes)?;
    let log = path.display().to_string();

    let printed = run(&[&["test", "--filter", "dovecot", &log], &NOW[..]].concat())?;

    let said = &printed.stdout;
    for part in [
        "lines: 7, from 2026-11-23T01:02:03Z to 2026-11-23T01:02:06Z",
        "matched: 2 (attempts: 5)",
        "ignored: 1",
        "missed: 4 (unreadable: 2, too long: 1)",
        "lines with a time as in `Nov 23 01:06:25`: 4",
        "pattern 1: auth failed",
        "missed lines that look like failures: 2",
        r"mail.log:4: Nov 23 01:02:05 mx1 shop[7]: login failed for \x1b]0;x\x07 from 192.0.2.11",
        r"mail.log:6: \xff\xfe\x00\x1b[2J\x9b31m login denied 192.0.2.77",
        "bans that would fall due: 1",
        "2026-11-23T01:02:06Z  192.0.2.9  dovecot  1h   5         auth failed",
    ] {
        assert!(said.contains(part), "says {part:?}:\n{said}");
    }
    assert!(said.chars().all(|character| character == '\n' || !character.is_control()), "{said:?}");
    assert_eq!(printed.stderr, "", "no progress where nobody looks");
    let json = run(&[&["test", "--json", "--filter", "dovecot", &log], &NOW[..]].concat())?;
    assert_eq!(objects(&json)?.len(), 8);
    assert!(json.stdout.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    Ok(())
}

#[test]
fn a_filter_of_one_s_own_is_tried_from_its_file() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "shop.log", LOG)?;
    let filter = write(
        &scratch,
        "shop.toml",
        "name = 'shop'\ndescription = ''\nprogram = ['shop']\n[[pattern]]\nname = 'other'\nmatch = 'other <ADDR>'\n[[pattern]]\nname = 'failed'\nweight = 0.5\nmatch = 'login failed for <USER> from <ADDR>'\n",
    )?;

    let objects = objects(&run(&[&["test", "--json", "--sparse", "--filter", &filter, &log], &NOW[..]].concat())?)?;
    assert_eq!(
        objects[0],
        json!({
            "line": 4, "outcome": "failure", "addr": "192.0.2.11", "user": "\u{1b}]0;x\u{7}", "attempts": 0.5,
            "time": "2026-11-23T01:02:05Z", "filter": "shop", "pattern": 2,
        })
    );

    Ok(())
}

#[test]
fn a_filter_of_fail2ban_is_tried_from_its_file_with_its_parameters() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "shop.log", LOG)?;
    fs::create_dir(scratch.join("filter.d"))?;
    write(
        &scratch,
        "filter.d/shop.conf",
        "[INCLUDES]\nbefore = shared.conf\n[Definition]\nmode = normal\nfailregex = <cmn-<mode>>\n\n\
         cmn-normal = ^%(head)s nothing from <HOST>$\ncmn-more = ^%(head)slogin failed for <F-USER>\\S+</F-USER> from <ADDR>$\n",
    )?;
    write(&scratch, "filter.d/shared.conf", "[DEFAULT]\nhead = \\s*\\S+ shop(?:\\[\\d+\\])?: (?!x)\n")?;
    let filter = scratch.join("filter.d/shop.conf").display().to_string();
    let failures = |filter: &str| -> Result<Vec<Value>> {
        let printed = run(&[&["test", "--json", "--sparse", "--filter", filter, &log], &NOW[..]].concat())?;
        Ok(objects(&printed)?.into_iter().filter(|object| object["outcome"] == "failure").collect())
    };

    assert_eq!(failures(&filter)?, Vec::<Value>::new());
    let found = failures(&format!("{filter}[mode=more]"))?;
    let [one] = &found[..] else { anyhow::bail!("{found:?}") };
    assert_eq!(
        (&one["line"], &one["addr"], &one["filter"]),
        (&json!(4), &json!("192.0.2.11"), &json!("shop")),
        "{one}"
    );

    let missing = blocker(&["test", "--filter", "/nonexistent/filter.d/sshd.conf[mode=aggressive]", &log])?;
    assert_eq!((missing.code, missing.stderr.lines().count()), (Some(78), 1), "{missing:?}");
    let broken = write(&scratch, "filter.d/broken.conf", "[Definition]\nfailregex = ^(<HOST>\n")?;
    let broken = blocker(&["test", "--filter", &broken, &log])?;
    assert_eq!(broken.code, Some(78), "{broken:?}");
    Ok(())
}

#[test]
fn a_log_that_is_missing_is_one_error_before_anything_is_printed() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", LOG)?;
    let missing = scratch.join("missing.log").display().to_string();

    let failed = blocker(&["test", "--json", "--filter", "dovecot", &log, &missing])?;

    assert_eq!((failed.code, &failed.stdout[..]), (Some(1), ""), "{failed:?}");
    assert_eq!(failed.stderr, format!("blocker: {missing}: No such file or directory (os error 2)\n"));
    let directory = blocker(&["test", "--filter", "dovecot", &scratch.path().display().to_string()])?;
    assert_eq!(directory.code, Some(1), "{directory:?}");
    let packed = scratch.join("mail.log.2.gz");
    fs::write(&packed, b"\x1f\x8b\x08\0")?;
    let packed = blocker(&["test", "--filter", "dovecot", &packed.display().to_string()])?;
    assert_eq!(packed.code, Some(1), "{packed:?}");
    assert!(packed.stderr.contains("zcat") && packed.stderr.lines().count() == 1, "{packed:?}");
    Ok(())
}

#[test]
fn a_named_pipe_is_read_to_its_end() -> Result<()> {
    let scratch = Scratch::new()?;
    let pipe = scratch.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU)?;
    let writer = thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, LOG)
    });

    let printed = run(&["test", "--json", "--filter", "dovecot", &pipe.display().to_string()])?;

    assert_eq!(objects(&printed)?.len(), 6);
    writer.join().map_err(|_| anyhow!("the writer panicked"))??;
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_in_silence() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = write(&scratch, "mail.log", &LOG.repeat(20_000))?;
    let mut child = command(&["test", "--json", "--filter", "dovecot", &log])?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
    output.read_line(&mut line)?;
    drop(output);

    let ended = child.wait_with_output()?;
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    Ok(())
}

/// For a command, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn write(scratch: &Scratch, name: &str, text: &str) -> Result<String> {
    let path = scratch.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn command(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(daemon::binary()?);
    command.args(arguments).env("TZ", "UTC").stdin(Stdio::null());
    Ok(command)
}

fn blocker(arguments: &[&str]) -> Result<Finished> {
    process::run(command(arguments)?, LIMIT)
}

/// The same, which must succeed.
fn run(arguments: &[&str]) -> Result<Finished> {
    blocker(arguments)?.success()
}

fn objects(printed: &Finished) -> Result<Vec<Value>> {
    printed.stdout.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
