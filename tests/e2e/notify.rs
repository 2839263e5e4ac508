//! Word to the outside: real receivers are told of bans, hostile names change nothing, and one who hangs delays no ban.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    answers::per_line,
    daemon::{self, Daemon, Settings},
    lines,
    netns::Net,
    receivers::{Certificate, HookServer, Mail, MailServer, mute},
    wait,
};
use serde_json::Value;

use crate::siege::LIMIT;

const VILLAIN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));

/// What a client may call itself to get out of wherever its name is put.
const HOSTILE: &str =
    "bob\u{1b}[2J\r\nBcc: victim@example.org\r\n\r\n.\r\nQUIT\r\n`touch /tmp/x` $(id) 日本\u{202e}\0~!id";

/// The configuration with receivers.
fn configure(daemon: &Daemon<'_>, receivers: &str) -> Result<()> {
    daemon.write_configuration(&format!("{}\n{receivers}", daemon.configuration(&Settings::default())))
}

fn await_mail(server: &MailServer, subject: &str) -> Result<Mail> {
    wait::until(&format!("the mail \"{subject}\""), LIMIT, || {
        let mails = server.mails().map_err(|error| format!("{error:#}"))?;
        let found = mails.iter().find(|mail| mail.header("Subject").contains(subject)).cloned();
        found.ok_or_else(|| format!("{mails:#?}"))
    })
}

#[test]
fn mails_tell_of_the_start_of_bans_and_of_the_stop_and_not_of_restored_bans() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let server = MailServer::start(&net, 2525, &daemon.directory().join("mails"), &[])?;
    let mail = "[notify.mail]\nto = [\"admin@example.org\", \"noc@example.org\"]\nfrom = \"blocker@mx1.example.org\"\n\
                server = \"smtp://127.0.0.1:2525\"\nevery = \"1s\"\n";
    configure(&daemon, mail)?;
    daemon.start()?;

    let started = await_mail(&server, "[blocker] started on ")?;
    ensure!(started.body.contains("jails          dovecot\n"), "{started:?}");
    ensure!(started.header("To") == "admin@example.org, noc@example.org", "{started:?}");
    // A newline ends a line of a log: what follows is another one, which means nothing.
    daemon.log().append(lines::refused_for(&HOSTILE.replace(['\n', '\r'], " "), VILLAIN, 5).as_bytes())?;
    let banned = await_mail(&server, &format!("dovecot: banned {VILLAIN} from "))?;
    let names: Vec<&str> = banned.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in &names {
        let usual = [
            "From",
            "To",
            "Subject",
            "Message-ID",
            "Date",
            "Auto-Submitted",
            "Content-Type",
            "Content-Transfer-Encoding",
            "MIME-Version",
            "X-Peer",
            "X-MailFrom",
            "X-RcptTo",
        ];
        ensure!(usual.contains(name), "{name} in {names:?}");
    }
    ensure!(banned.header("X-RcptTo") == "admin@example.org, noc@example.org", "{banned:?}");
    ensure!(banned.header("X-MailFrom") == "blocker@mx1.example.org", "{banned:?}");
    ensure!(banned.header("Auto-Submitted") == "auto-generated", "{banned:?}");
    ensure!(banned.body.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", banned.body);
    ensure!(banned.body.contains(r"    as     bob\u{1b}[2J  Bcc: victim@example.org"), "{}", banned.body);
    ensure!(
        banned.body.lines().any(|line| line.starts_with("    log  ") && line.contains("imap-login:")),
        "{}",
        banned.body
    );

    daemon.stop()?;
    await_mail(&server, "[blocker] stopping on ")?;
    let before = server.mails()?.len();
    daemon.start()?;
    let again = wait::until("the mail of the second start", LIMIT, || {
        let mails = server.mails().map_err(|error| format!("{error:#}"))?;
        mails.get(before).cloned().ok_or_else(|| format!("{mails:#?}"))
    })?;
    ensure!(
        again.header("Subject").starts_with("[blocker] started on ") && again.body.contains("bans in force  1\n"),
        "{again:?}"
    );
    daemon.cli(&["ban", "203.0.113.5", "--reason", "scans us"])?.success()?;
    let by_hand = await_mail(&server, "manual: banned 203.0.113.5 from ")?;
    ensure!(by_hand.body.contains("    why    by command: scans us\n    by     root (user 0)\n"), "{}", by_hand.body);
    ensure!(server.mails()?.len() == before + 2, "a restored ban is no news: {:#?}", server.mails()?);
    let status = daemon.status()?;
    ensure!(status.problems.is_empty(), "{status:?}");
    Ok(())
}

#[test]
fn a_server_is_trusted_by_its_certificate_alone_and_a_test_says_so() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let directory = daemon.directory().to_owned();
    let certificate = Certificate::make(&directory)?;
    let pair = |kind: &str| {
        [("cert", &certificate.certificate), ("key", &certificate.key)]
            .map(|(what, path)| format!("--{kind}{what}={}", path.display()))
    };
    let by_tls = MailServer::start(&net, 4465, &directory.join("tls"), &pair("smtps"))?;
    let by_starttls = MailServer::start(&net, 5587, &directory.join("starttls"), &pair("tls"))?;
    let mail = |server: &str| format!("[notify.mail]\nto = \"a@example.org\"\non = \"ban\"\nserver = \"{server}\"\n");
    let test = |daemon: &Daemon<'_>| daemon.cli(&["notify", "--test"]);

    configure(&daemon, &mail("smtps://localhost:4465"))?;
    daemon.start()?;
    let refused = test(&daemon)?;
    ensure!(refused.code == Some(1) && refused.stdout.starts_with("notify.mail: failed: "), "{refused:?}");
    ensure!(refused.stdout.to_lowercase().contains("certificate"), "{refused:?}");
    ensure!(
        daemon.status()?.problems.iter().any(|problem| problem.contains("notify.mail fails: ")),
        "{:?}",
        daemon.status()?
    );
    daemon.stop()?;

    let mut environment = Command::new("env");
    environment.arg(format!("SSL_CERT_FILE={}", certificate.certificate.display()));
    daemon.start_by(environment, &["run"])?;
    let sent = test(&daemon)?.success()?;
    ensure!(sent.stdout == "notify.mail: sent\n", "{sent:?}");
    await_mail(&by_tls, "[blocker] a test from ")?;

    configure(&daemon, &format!("{}starttls = true\n", mail("smtp://localhost:5587")))?;
    daemon.cli(&["reload"])?.success()?;
    test(&daemon)?.success()?;
    await_mail(&by_starttls, "[blocker] a test from ")?;
    // It takes no mail without TLS, and does not get the chance to.
    configure(&daemon, &format!("{}starttls = true\n", mail("smtp://127.0.0.1:4466")))?;
    let plain = MailServer::start(&net, 4466, &directory.join("plain"), &[])?;
    daemon.cli(&["reload"])?.success()?;
    let refused = test(&daemon)?;
    ensure!(refused.code == Some(1) && refused.stdout.to_lowercase().contains("starttls"), "{refused:?}");
    ensure!(plain.mails()?.is_empty(), "nothing is sent in the open");
    Ok(())
}

#[test]
fn a_mail_to_a_local_user_goes_by_a_program_like_sendmail_with_whois() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let server = MailServer::start(&net, 2525, &daemon.directory().join("mails"), &[])?;
    let mail = "[notify.mail]\nto = \"root\"\nfrom = \"fail2ban@example.org\"\nsubject = \"[Fail2Ban]\"\non = \"ban\"\njails = \"dovecot\"\nwhois = true\n\
                sendmail = [\"/usr/bin/msmtp\", \"--host=127.0.0.1\", \"--port=2525\"]\n";
    configure(&daemon, mail)?;
    daemon.start()?;

    daemon.cli(&["ban", "203.0.113.5"])?.success()?;
    daemon.log().append(lines::refused(VILLAIN, 5).as_bytes())?;

    let banned = await_mail(&server, &format!("[Fail2Ban] dovecot: banned {VILLAIN} from "))?;
    ensure!(banned.header("X-RcptTo") == "root" && banned.header("X-MailFrom") == "fail2ban@example.org", "{banned:?}");
    // Nothing is to be reached from here, which the program says in its own words.
    let answer =
        banned.body.split_once(&format!("Whois says of {VILLAIN}:\n\n    ")).with_context(|| banned.body.clone())?.1;
    ensure!(!answer.starts_with('\n') && !answer.contains("cannot be run"), "{answer}");
    ensure!(server.mails()?.len() == 1, "who wants one jail is told of that: {:#?}", server.mails()?);
    Ok(())
}

#[test]
fn ten_thousand_bans_are_one_mail() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let server = MailServer::start(&net, 2525, &daemon.directory().join("mails"), &[])?;
    let mail = "[notify.mail]\nto = \"a@example.org\"\nserver = \"smtp://localhost:2525\"\nevery = \"15s\"\n";
    configure(&daemon, mail)?;
    daemon.start()?;
    await_mail(&server, "started")?;

    let mut list = String::new();
    for n in 0..10_000 {
        writeln!(list, "198.51.{}.{}", n / 256, n % 256)?;
    }
    let file = daemon.directory().join("list");
    fs::write(&file, list)?;
    let mut ban = daemon.command(&["ban", "-", "--for", "1h"]);
    let banned = ban.stdin(fs::File::open(&file)?).stdout(Stdio::null()).status()?;
    ensure!(banned.success(), "{banned}");

    let digest = await_mail(&server, "10000 bans or more from ")?;
    ensure!(digest.body.matches(" is banned until ").count() == 100, "{}", digest.body);
    ensure!(digest.body.contains("\nAnd 9900 more, which are too many for a mail"), "{}", digest.body);
    ensure!(server.mails()?.len() == 2, "one mail of the start and one of them all");
    ensure!(daemon.kernel_bans()?.len() == 10_000, "all are in force");
    Ok(())
}

#[test]
fn a_webhook_takes_what_is_signed_and_is_told_of_ends_of_bans_too() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let directory = daemon.directory().to_owned();
    let certificate = Certificate::make(&directory)?;
    let hooks = HookServer::start(&net, 9443, &directory, "sesame", Some(&certificate))?;
    let secret = directory.join("secret");
    fs::write(&secret, "sesame\n")?;
    let webhook = "url = \"https://localhost:9443/hooks/bans\"\n";
    configure(&daemon, &format!("[notify.webhook.desk]\n{webhook}secret_file = \"{}\"\n", secret.display()))?;
    let mut environment = Command::new("env");
    environment.arg(format!("SSL_CERT_FILE={}", certificate.certificate.display()));
    daemon.start_by(environment, &["run"])?;

    daemon.log().append(lines::refused_for(&HOSTILE.replace(['\n', '\r'], " "), VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    daemon.cli(&["unban", &VILLAIN.to_string()])?.success()?;

    let events = await_events(&hooks, 2)?;
    let [ban, unban] = events.as_slice() else { anyhow::bail!("{events:?}") };
    ensure!(ban["event"] == "ban" && ban["jail"] == "dovecot" && ban["prefix"] == VILLAIN.to_string(), "{ban}");
    ensure!(
        ban["attempts"] == 5.0 && ban["seconds"].as_u64().is_some_and(|left| (3_500..=3_600).contains(&left)),
        "{ban}"
    );
    let user = ban["user"].as_str().unwrap_or_default();
    ensure!(user.starts_with(r"bob\u{1b}[2J  Bcc: victim@example.org") && !user.contains(char::is_control), "{user}");
    ensure!(ban["lines"].as_array().is_some_and(|lines| lines.len() == 1), "{ban}");
    ensure!(
        unban["event"] == "unban"
            && unban["why"] == "by command"
            && unban["prefix"] == VILLAIN.to_string()
            && unban["by_uid"] == 0
            && unban["by"] == "root",
        "{unban}"
    );

    daemon.cli(&["ban", "203.0.113.5", "--reason", "scans us"])?.success()?;
    let events = await_events(&hooks, 3)?;
    let by_hand = &events[2];
    ensure!(
        by_hand["origin"] == "command"
            && by_hand["reason"] == "scans us"
            && by_hand["by_uid"] == 0
            && by_hand["by"] == "root",
        "{by_hand}"
    );
    ensure!(ban["by_uid"].is_null() && ban["by"].is_null(), "{ban}");

    // Another secret: what it signs is not taken, and that is told.
    fs::write(&secret, "open\n")?;
    let refused = daemon.cli(&["notify", "--test", "--json"])?;
    let tested: Vec<Value> = per_line(&refused.stdout)?;
    ensure!(
        refused.code == Some(1) && tested[0]["receiver"] == "webhook.desk" && tested[0]["outcome"] == "failed",
        "{refused:?}"
    );
    ensure!(
        tested[0]["error"].as_str().is_some_and(|error| error.contains("500 Internal Server Error")),
        "{refused:?}"
    );
    let status = daemon.status()?;
    ensure!(status.receivers[0].failed == 1 && status.receivers[0].sent >= 1, "{status:?}");
    ensure!(status.problems.iter().any(|problem| problem.starts_with("notify.webhook.desk fails: ")), "{status:?}");
    fs::write(&secret, "sesame\n")?;
    daemon.cli(&["notify", "--test"])?.success()?;
    ensure!(daemon.status()?.problems.is_empty(), "what works is no problem");
    Ok(())
}

fn await_events(hooks: &HookServer, least: usize) -> Result<Vec<Value>> {
    wait::until("the webhook to be told", LIMIT, || {
        let taken = hooks.taken().map_err(|error| format!("{error:#}"))?;
        let events: Vec<Value> =
            taken.iter().flat_map(|document| document["events"].as_array().cloned().unwrap_or_default()).collect();
        if events.len() >= least { Ok(events) } else { Err(format!("{taken:?}")) }
    })
}

#[test]
fn a_program_is_given_json_and_nothing_of_the_log_elsewhere() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let directory = daemon.directory().to_owned();
    let (program, told) = (directory.join("tell"), directory.join("told"));
    let script = format!(
        "#!/bin/sh\ncat >> {0}\nprintf '%s|' \"$@\" >> {0}.arguments\nenv >> {0}.environment\necho done\n",
        told.display()
    );
    executable(&program, &script)?;
    configure(
        &daemon,
        &format!(
            "[notify.exec.tell]\ncommand = [\"{}\", \"one word\"]\non = [\"start\", \"ban\", \"stop\"]\n",
            program.display()
        ),
    )?;
    daemon.start()?;

    daemon.log().append(lines::refused_for(&HOSTILE.replace(['\n', '\r'], " "), VILLAIN, 5).as_bytes())?;
    daemon.await_ban(VILLAIN, LIMIT)?;
    daemon.stop()?;

    let documents: Vec<Value> = per_line(&fs::read_to_string(&told)?)?;
    let events: Vec<&Value> = documents.iter().filter_map(|document| document["events"].as_array()).flatten().collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    ensure!(kinds == ["start", "ban", "stop"], "{documents:?}");
    ensure!(events[1]["user"].as_str().is_some_and(|user| user.contains("victim@example.org")), "{documents:?}");
    let arguments = fs::read_to_string(told.with_extension("arguments"))?;
    ensure!(arguments.split('|').all(|word| ["one word", ""].contains(&word)), "{arguments}");
    let environment = fs::read_to_string(told.with_extension("environment"))?;
    ensure!(!environment.contains("victim") && !environment.contains("CARGO"), "{environment}");
    Ok(())
}

fn executable(path: &Path, script: &str) -> Result<()> {
    fs::write(path, script)?;
    Ok(fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
}

#[test]
fn receivers_that_hang_delay_no_ban_and_no_stop() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let (_smtp, _http) = (mute(&net, 2525)?, mute(&net, 8080)?);
    let hangs = daemon.directory().join("hangs");
    executable(&hangs, "#!/bin/sh\nsleep 600 & wait\n")?;
    let receivers = format!(
        "[notify.mail]\nto = \"a@example.org\"\nserver = \"smtp://127.0.0.1:2525\"\n\
         [notify.webhook.mute]\nurl = \"http://127.0.0.1:8080/\"\non = [\"start\", \"ban\"]\n\
         [notify.exec.hangs]\ncommand = [\"{}\"]\non = [\"start\", \"ban\"]\ntime_limit = \"1h\"\n",
        hangs.display()
    );
    configure(&daemon, &receivers)?;
    daemon.start()?;
    // More than the queues hold.
    let sources: Vec<IpAddr> = (0..3_000_u32).map(|n| Ipv4Addr::from(0xC612_0000 + n).into()).collect();
    let text: Vec<String> = sources.iter().map(|&source| lines::refused(source, 5)).collect();

    daemon.log().append(text.join("\n").as_bytes())?;

    wait::until("all bans to be in the kernel", LIMIT, || {
        let bans = daemon.kernel_bans().map_err(|error| format!("{error:#}"))?;
        if bans.len() == sources.len() { Ok(()) } else { Err(format!("{} bans", bans.len())) }
    })?;
    let status = daemon.status()?;
    ensure!(status.receivers.iter().all(|receiver| receiver.sent == 0), "{:?}", status.receivers);
    let dropped = |name: &str| {
        status.receivers.iter().find(|receiver| receiver.name == name).map_or(0, |receiver| receiver.dropped)
    };
    for name in ["webhook.mute", "exec.hangs"] {
        ensure!(dropped(name) >= 3_000 - 1_024 - 100, "{name}: {:?}", status.receivers);
        ensure!(status.problems.iter().any(|problem| problem.contains(name)), "{:?}", status.problems);
    }
    let began = Instant::now();
    daemon.stop()?;
    ensure!(began.elapsed() < Duration::from_secs(5) + LIMIT, "{:?}", began.elapsed());
    Ok(())
}

#[test]
fn what_the_unit_leaves_of_root_suffices_to_tell() -> Result<()> {
    let unit = include_str!("../../dist/blocker.service");
    let listed = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).context("it is limited")?;
    let kept: String = listed.split_whitespace().map(|name| name.replace("CAP_", ",+")).collect();
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let directory = daemon.directory().to_owned();
    let server = MailServer::start(&net, 2525, &directory.join("mails"), &[])?;
    let hooks = HookServer::start(&net, 9000, &directory, "sesame", None)?;
    let secret = directory.join("secret");
    fs::write(&secret, "sesame\n")?;
    let hangs = directory.join("hangs");
    executable(&hangs, "#!/bin/sh\nsleep 600 & wait\n")?;
    configure(
        &daemon,
        &format!(
            "[notify.mail]\nto = \"root@localhost\"\nserver = \"smtp://localhost:2525\"\n\
             [notify.webhook.desk]\nurl = \"http://127.0.0.1:9000/hooks/bans\"\nsecret_file = \"{}\"\n\
             [notify.exec.hangs]\ncommand = [\"{}\"]\ntime_limit = \"1s\"\n\
             [notify.exec.works]\ncommand = [\"/bin/cat\"]\n",
            secret.display(),
            hangs.display()
        ),
    )?;

    let only = format!("-all{}", kept.to_lowercase());
    daemon.start_confined(&["setpriv", "--no-new-privs", "--bounding-set", &only, "--inh-caps=-all"])?;

    await_mail(&server, "started")?;
    let tested = daemon.cli(&["notify", "--test"])?;
    let lines: Vec<&str> = tested.stdout.lines().collect();
    let [mail, desk, hangs, works] = lines.as_slice() else { anyhow::bail!("{tested:?}") };
    ensure!(
        [*mail, *desk, *works] == ["notify.mail: sent", "notify.webhook.desk: sent", "notify.exec.works: sent"],
        "{tested:?}"
    );
    ensure!(hangs.ends_with("took longer than 1 s and was ended") && tested.code == Some(1), "{tested:?}");
    ensure!(await_events(&hooks, 1)?[0]["event"] == "test", "it was told");
    daemon.stop()
}

#[test]
fn why_postfix_s_sendmail_cannot_send_under_the_unit_is_told_with_what_can() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    configure(&daemon, "[notify.mail]\nto = \"root\"\non = \"ban\"\n")?;
    // Some of what the unit takes away; enough for the group of postdrop(1) not to be had.
    let only = "-all,+bpf,+net_admin,+perfmon,+dac_read_search";
    daemon.start_confined(&["setpriv", "--no-new-privs", "--bounding-set", only, "--inh-caps=-all"])?;

    let tested = daemon.cli(&["notify", "--test"])?;

    ensure!(tested.code == Some(1), "{tested:?}");
    for words in ["/usr/sbin/sendmail: took longer than 30 s", "maildrop/", "NoNewPrivileges", "smtp://localhost"] {
        ensure!(tested.stdout.contains(words), "{words}: {tested:?}");
    }
    daemon.stop()
}

#[test]
fn nobody_is_told_and_a_test_says_so_and_a_faulty_table_is_refused() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let nobody = daemon.cli(&["notify", "--test"])?;
    ensure!(nobody.code == Some(1) && nobody.stderr.contains("nobody is told of bans"), "{nobody:?}");

    configure(&daemon, "[notify.mail]\nto = \"a@example.org\\nBcc: b@example.org\"\n")?;
    for command in ["check", "reload"] {
        let refused = daemon.cli(&[command])?;
        ensure!(refused.code == Some(78) && format!("{refused:?}").contains("`notify.mail.to` is "), "{refused:?}");
    }
    configure(&daemon, "[notify.exec.x]\ncommand = [\"/bin/true\"]\njails = \"shsd\"\n")?;
    daemon.cli(&["reload"])?.success()?;
    let problems = daemon.status()?.problems;
    ensure!(problems == ["notify.exec.x is to tell of the jail `shsd`, and no such jail is on"], "{problems:?}");
    daemon.cli(&["notify", "--test"])?.success()?;
    daemon.check_alive()
}
