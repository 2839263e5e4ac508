//! Whoever is told of bans is told of what somebody should look after, when it begins and when it is over.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::{Host, Net},
    receivers::{HookServer, MailServer},
    wait,
};
use serde_json::Value;

use crate::siege::LIMIT;

/// Bans that logs may earn within a minute.
const MOST: u32 = 5;

/// The brake is on for a minute, and so long the others must be over before it is told.
const ENDS_WITHIN: Duration = Duration::from_secs(150);

#[test]
fn the_brake_a_full_table_a_damaged_database_and_a_missing_interface_are_told_to_all_who_want_alarms() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let directory = daemon.directory().to_owned();
    let mails = MailServer::start(&net, 2525, &directory.join("mails"), &[])?;
    let hooks = HookServer::start(&net, 9000, &directory, "sesame", None)?;
    let secret = directory.join("secret");
    fs::write(&secret, "sesame\n")?;
    let small =
        daemon.configuration(&Settings::default()).replacen("[daemon]\n", "[daemon]\nmax_bans_ipv4 = 1024\n", 1);
    let (told, quiet) = (directory.join("told"), directory.join("quiet"));
    let append = |name: &std::path::Path| format!("command = [\"/usr/bin/tee\", \"-a\", \"{}\"]", name.display());
    daemon.write_configuration(&format!(
        "{small}\n[brake]\nbans_per_minute = {MOST}\n\
         [notify.mail]\nto = \"admin@example.org\"\nserver = \"smtp://127.0.0.1:2525\"\non = \"start\"\nevery = \"1s\"\n\
         [notify.webhook.desk]\nurl = \"http://127.0.0.1:9000/hooks/bans\"\nsecret_file = \"{}\"\non = []\n\
         [notify.exec.pager]\n{}\non = []\n\
         [notify.exec.quiet]\n{}\non = \"start\"\nalarms = false\n",
        secret.display(),
        append(&told),
        append(&quiet),
    ))?;
    fs::create_dir_all(directory.join("state"))?;
    fs::write(
        directory.join("state/blocker.db"),
        "this is no database, and longer than the header of one is".repeat(9),
    )?;
    daemon.start()?;

    for number in 0..2 * MOST {
        let source: IpAddr = Ipv4Addr::from_bits(0xc633_6400 + number).into();
        daemon.log().append(lines::refused(source, 5).as_bytes())?;
    }
    let list: Vec<String> = (0..1100_u32).map(|n| format!("10.0.{}.{}", n >> 8, n & 0xff)).collect();
    for piece in list.chunks(100) {
        let arguments: Vec<&str> = ["ban", "--for", "1h"].into_iter().chain(piece.iter().map(String::as_str)).collect();
        daemon.cli(&arguments)?.success()?;
    }
    net.ip(Host::Server, "link set eth0 name was-eth0\n")
        .or_else(|_| net.ip(Host::Server, "link set eth0 down\nlink set eth0 name was-eth0\n"))?;

    let expected = [
        ("brake", "bans_per_minute"),
        ("database-set-aside", ""),
        ("interface", "eth0"),
        ("table-full", "ipv4"),
        ("table-nearly-full", "ipv4"),
    ];
    let beginnings = wait::until("all alarms to be posted", LIMIT, || {
        let alarms = posted(&hooks, "begin")?;
        if alarms.len() >= expected.len() { Ok(alarms) } else { Err(format!("{alarms:?}")) }
    })?;
    ensure!(beginnings == expected.map(|(kind, about)| (kind.to_owned(), about.to_owned())), "{beginnings:?}");
    for title in [
        "bans are held",
        "the database was damaged",
        "eth0 is not protected",
        "the table of IPv4 hosts is full",
        "the table of IPv4 hosts is nearly full",
    ] {
        let mail = wait::until(&format!("the mail that {title}"), LIMIT, || {
            let all = mails.mails().map_err(|error| format!("{error:#}"))?;
            let found = all.iter().find(|mail| mail.body.contains(&format!("ALARM: {title}."))).cloned();
            found.ok_or_else(|| format!("{all:#?}"))
        })?;
        ensure!(mail.header("Subject").contains("ALARM on "), "{mail:?}");
    }
    ensure!(!mails.mails()?.iter().any(|mail| mail.body.contains("is banned until")), "it wants no bans");

    // Both are over.
    daemon.cli(&["unban", "--all"])?.success()?;
    let over = |alarms: &[(String, String)], kind| alarms.iter().any(|(alarm, _)| alarm == kind);
    let ends = wait::until("the ends to be posted", ENDS_WITHIN, || {
        let alarms = posted(&hooks, "end")?;
        let are_all = ["brake", "table-full", "table-nearly-full"].iter().all(|kind| over(&alarms, *kind));
        if are_all { Ok(alarms) } else { Err(format!("{alarms:?}")) }
    })?;
    ensure!(ends.len() == 3, "the others are not over: {ends:?}");
    wait::until("the end of the brake to be mailed", LIMIT, || {
        let all = mails.mails().map_err(|error| format!("{error:#}"))?;
        let is_told = all
            .iter()
            .any(|mail| mail.header("Subject").contains("over on ") && mail.body.contains("Over: bans are held."));
        if is_told { Ok(()) } else { Err(format!("{all:#?}")) }
    })?;
    daemon.stop()?;

    let pager = events(&fs::read_to_string(&told)?)?;
    let kinds = |state: &str| pager.iter().filter(|event| event["state"] == state).count();
    ensure!(pager.iter().all(|event| event["event"] == "alarm"), "{pager:?}");
    ensure!((kinds("begin"), kinds("end")) == (5, 3), "each once: {pager:?}");
    let brake = pager.iter().find(|event| event["alarm"] == "brake").context("it was told")?;
    ensure!(brake["text"].as_str().is_some_and(|text| text.contains("bans_per_minute")), "{brake}");
    let quiet = events(&fs::read_to_string(&quiet)?)?;
    ensure!(quiet.len() == 1 && quiet[0]["event"] == "start", "it wants none: {quiet:?}");
    Ok(())
}

/// Kind and subject of the alarms of which it was posted that they are so, sorted.
fn posted(hooks: &HookServer, state: &str) -> Result<Vec<(String, String)>, String> {
    let taken = hooks.taken().map_err(|error| format!("{error:#}"))?;
    let events = taken.iter().flat_map(|document| document["events"].as_array().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut alarms: Vec<_> = events
        .filter(|event| event["event"] == "alarm" && event["state"] == state)
        .map(|event| (text(&event["alarm"]), text(&event["about"])))
        .collect();
    alarms.sort();
    Ok(alarms)
}

fn events(documents: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = blocker_tests::answers::per_line(documents)?;
    Ok(documents.iter().flat_map(|document| document["events"].as_array().cloned().unwrap_or_default()).collect())
}
