//! What a filter of fail2ban finds in a log is what `fail2ban-regex` finds: which lines are failures, and whose.
//!
//! The lines are this project's own (`fail2ban_regex/lines.txt`): what services write, with addresses of every kind, and with what a client
//! may type to pass for somebody else. Each line, or each group of lines, has an address of its own, so that the addresses tell which
//! lines matched. Both programs see the same file, and neither looks up any name. There is no list of exceptions: what is meant to differ
//! (`message repeated`, which fail2ban does not understand) is not among the lines.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use blocker_core::filter::registry::Filters;
use blocker_tests::{
    daemon,
    fail2ban::{Fail2ban, RELEASES},
    process::{self, Finished},
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);

/// What expressions take for an address and nobody has.
const NO_ADDRESS: &str = "999.1.2.3";

/// What clients type: names, and forgeries of the rest of a line.
const TYPED: [&str; 13] = [
    "bob",
    "",
    "bob smith",
    "x from 203.0.113.66",
    "x from 203.0.113.66 port 22 ssh2",
    "x>, method=PLAIN, rip=203.0.113.66, lip=198.51.100.1, session=<y",
    "x[203.0.113.66]: SASL LOGIN authentication failed: y",
    "x) [203.0.113.66]: 535 Incorrect authentication data (set_id=x",
    "x\", client: 203.0.113.66, server: y",
    "x' failed for '203.0.113.66' - Wrong password",
    "2026-11-22 01:02:03 x: 203.0.113.66",
    "t\u{e9}st \u{1f980}",
    // A byte that is no UTF-8.
    "\u{0}",
];

/// What a filter is tried on.
struct Trial {
    filter: &'static str,
    modes: Vec<&'static str>,
    examples: Vec<&'static str>,
    templates: Vec<&'static str>,
}

fn trials() -> Result<Vec<Trial>> {
    let mut trials: Vec<Trial> = Vec::new();
    for line in include_str!("fail2ban_regex/lines.txt").lines().filter(|line| !line.is_empty()) {
        if line.starts_with("# ") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("= ") {
            let mut words = rest.split(' ');
            let filter = words.next().context("a filter has a name")?;
            trials.push(Trial { filter, modes: words.collect(), examples: Vec::new(), templates: Vec::new() });
            continue;
        }
        let trial = trials.last_mut().context("a line is of a filter")?;
        match line.strip_prefix("+ ") {
            Some(name) => trial.examples.push(name),
            None => trial.templates.push(line),
        }
    }
    for trial in &mut trials {
        if trial.modes.is_empty() {
            trial.modes.push("-");
        }
    }
    Ok(trials)
}

/// The lines of a trial, as bytes.
fn log(trial: &Trial) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let filters = Filters::builtin();
    for name in &trial.examples {
        let filter = filters.by_name(name).with_context(|| format!("{name} is built in"))?;
        // Only here it counts how often a line came.
        let examples =
            filter.examples()?.examples.into_iter().filter(|example| !example.line.contains("message repeated"));
        for example in examples {
            text.extend_from_slice(example.line.as_bytes());
            text.push(b'\n');
        }
    }
    let mut number = 0_u16;
    for template in &trial.templates {
        let texts: &[&str] = if template.contains("{user}") { &TYPED } else { &TYPED[..1] };
        for (place, typed) in texts.iter().enumerate() {
            let [high, low] = number.to_be_bytes();
            let v4 = Ipv4Addr::new(198, 18, high, low);
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 7, number);
            let kinds = [
                v4.to_string(),
                v6.to_string(),
                format!("::ffff:{v4}"),
                "client.example.org".into(),
                NO_ADDRESS.into(),
            ];
            // The kinds of addresses are tried with an honest name.
            for addr in kinds.iter().take(if place == 0 { 5 } else { 1 }) {
                number += 1;
                let line = line(template, addr, typed, number);
                let bytes = line.bytes().map(|byte| if byte == 0 { 0xff } else { byte });
                text.extend(bytes);
                text.push(b'\n');
            }
        }
    }
    Ok(text)
}

fn line(template: &str, addr: &str, typed: &str, number: u16) -> String {
    let (min, sec) = (format!("{:02}", number / 60 % 60), format!("{:02}", number % 60));
    let syslog = format!("Nov 23 01:{min}:{sec} mx1");
    let iso = format!("2026-11-23 01:{min}:{sec}");
    let pid = (4_000 + number).to_string();
    let puts = [("{syslog}", &syslog), ("{iso}", &iso), ("{min}", &min), ("{sec}", &sec), ("{pid}", &pid)];
    let line = puts.iter().fold(template.replace("\\n", "\n"), |line, (tag, put)| line.replace(tag, put));
    // What is typed comes last: it is put in as it is.
    line.replace("{addr}", addr).replace("{user}", typed)
}

/// Whose failures fail2ban finds, in order; `None` if it refuses the filter.
fn theirs(package: &Fail2ban, filter: &str, log: &Path) -> Result<Option<Vec<IpAddr>>> {
    let mut command = package.program("fail2ban-regex");
    command.args(["--usedns", "no", "--no-check-all", "-e", "UTF-8", "-o", "<ip>"]).arg(log).arg(filter);
    let Finished { code, stdout, .. } = process::run(at_utc(command), LIMIT)?;
    if code != Some(0) {
        return Ok(None);
    }
    // It also prints what only looks like an address, and bans nobody by it.
    let printed = stdout.lines().map(str::trim).filter(|line| *line != NO_ADDRESS);
    let addresses = printed.map(|line| line.parse().with_context(|| format!("{filter}: {line:?} is no address")));
    addresses.collect::<Result<_>>().map(Some)
}

/// Whose failures we find.
fn ours(filter: &str, log: &Path) -> Result<Option<Vec<IpAddr>>> {
    let mut command = Command::new(daemon::binary()?);
    command.args(["--config", "/nonexistent/blocker.toml", "test", "--json", "--sparse", "--filter", filter]).arg(log);
    let Finished { code, stdout, stderr, .. } = process::run(at_utc(command), LIMIT)?;
    if code == Some(78) {
        return Ok(None);
    }
    ensure!(code == Some(0), "{filter}: {code:?} {stderr}");
    let mut addresses = Vec::new();
    for line in stdout.lines() {
        let object: Value = serde_json::from_str(line)?;
        if object["outcome"] == "failure" {
            addresses.push(object["addr"].as_str().context("a failure is somebody's")?.parse()?);
        }
    }
    Ok(Some(addresses))
}

fn at_utc(mut command: Command) -> Command {
    command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    command
}

/// The lines about those whom only one of the two finds.
fn differences(log: &[u8], theirs: &[IpAddr], ours: &[IpAddr]) -> String {
    let (theirs, ours): (BTreeSet<_>, BTreeSet<_>) = (theirs.iter().collect(), ours.iter().collect());
    let text = String::from_utf8_lossy(log);
    let mut told = String::new();
    for addr in theirs.symmetric_difference(&ours) {
        let who = if theirs.contains(addr) { "fail2ban alone" } else { "blocker alone" };
        let lines = text.lines().filter(|line| line.contains(&addr.to_string()));
        for line in lines {
            writeln!(told, "  {who} finds {addr}: {line}").expect("writing to a string never fails");
        }
    }
    if told.is_empty() && theirs == ours {
        "  the same addresses, in another order or number\n".to_owned()
    } else {
        told
    }
}

/// Tries one filter in its modes; says how many failures both found.
fn try_out(package: &Fail2ban, trial: &Trial, found: &mut String) -> Result<usize> {
    let bytes = log(trial)?;
    let path = package.beside(&format!("{}.log", trial.filter));
    fs::write(&path, &bytes)?;
    let file = package.directory().join(format!("filter.d/{}.conf", trial.filter)).display().to_string();
    let mut most = 0;
    for mode in &trial.modes {
        let words = if *mode == "-" { file.clone() } else { format!("{file}[mode={mode}]") };
        match (theirs(package, &words, &path)?, ours(&words, &path)?) {
            (Some(theirs), Some(ours)) if theirs == ours => most = most.max(ours.len()),
            (Some(theirs), Some(ours)) => {
                most = most.max(ours.len());
                let told = differences(&bytes, &theirs, &ours);
                if !told.is_empty() {
                    writeln!(found, "{} in mode {mode}:\n{told}", trial.filter)?;
                }
            }
            (None, None) => {}
            (theirs, ours) => {
                let [theirs, ours] = [theirs.is_some(), ours.is_some()];
                writeln!(found, "{} in mode {mode}: fail2ban takes it: {theirs}, blocker: {ours}", trial.filter)?;
            }
        }
    }
    Ok(most)
}

/// Tries all that `is_tried` of a release, on two threads.
fn try_all(release: &str, is_tried: impl Fn(&Trial) -> bool) -> Result<Vec<(&'static str, usize)>> {
    let package = Fail2ban::of(release)?;
    let is_there = |trial: &Trial| package.directory().join(format!("filter.d/{}.conf", trial.filter)).is_file();
    let trials: Vec<Trial> = trials()?.into_iter().filter(|trial| is_tried(trial) && is_there(trial)).collect();
    let queue = Mutex::new(trials.iter());
    let next = || queue.lock().expect("nobody panics with the queue").next();
    let work = || {
        let (mut counts, mut found) = (Vec::new(), String::new());
        while let Some(trial) = next() {
            counts.push((trial.filter, try_out(&package, trial, &mut found)?));
        }
        Ok::<_, anyhow::Error>((counts, found))
    };
    let results = std::thread::scope(|scope| {
        [scope.spawn(work), scope.spawn(work)].map(|worker| worker.join().expect("a worker ends"))
    });
    let mut counts = Vec::new();
    let mut differences = String::new();
    for result in results {
        let (counted, found) = result?;
        counts.extend(counted);
        differences.push_str(&found);
    }
    assert_eq!(differences, "", "{release}: these are not found by both");
    Ok(counts)
}

#[test]
fn what_forty_stock_filters_and_more_find_is_what_fail2ban_finds() -> Result<()> {
    let (release, version) = RELEASES[1];
    let counts = try_all(release, |_| true)?;

    let idle: Vec<&str> = counts.iter().filter(|(_, failures)| *failures == 0).map(|(filter, _)| *filter).collect();
    assert_eq!(idle, [""; 0], "{version}: each is tried on a failure, at least");
    assert!(counts.len() >= 40, "{version}: {} filters", counts.len());
    let failures: usize = counts.iter().map(|(_, failures)| failures).sum();
    println!("{version}: {} filters, {failures} failures", counts.len());
    Ok(())
}

#[test]
fn what_the_mail_filters_of_the_release_before_find_is_what_fail2ban_finds() -> Result<()> {
    // Those that have modes, or examples of ours.
    let counts = try_all(RELEASES[0].0, |trial| trial.modes.len() > 1 || !trial.examples.is_empty())?;

    assert!(counts.len() >= 15 && counts.iter().all(|(_, failures)| *failures > 0), "{counts:?}");
    Ok(())
}
