//! Metrics: what they tell a real client, over loopback and over a unix socket, and that no client harms anybody.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    netns::{Host, Net},
    process, wait,
};

use crate::siege::{LIMIT, Siege};

/// Where nothing else listens: the namespace is the test's own.
pub(crate) const ADDRESS: &str = "127.0.0.1:9913";

#[test]
fn a_scrape_over_loopback_tells_what_happened() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    listen(&daemon, ADDRESS)?;
    daemon.start()?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.cli(&["ban", "203.0.113.9", "2001:db8:3:9::/64", "198.51.100.0/24"])?.success()?;

    let dropped = r#"blocker_packets_total{interface="eth0",action="drop",reason="banned"}"#;
    let text = wait::until("the scrape to tell of the bans and of dropped packets", LIMIT, || {
        let text = scrape(&net, ADDRESS).map_err(|error| format!("{error:#}"))?;
        // A source tells its numbers once a second.
        let tells = value(&text, dropped) > 0.0
            && value(&text, r#"blocker_source_lines_total{jails="dovecot",kind="log"}"#) > 0.0
            && value(&text, r#"blocker_bans_in_force{jail="manual"}"#) >= 3.0;
        if tells { Ok(text) } else { Err(text) }
    })?;

    for (sample, expected) in [
        (r#"blocker_failures_total{jail="dovecot"}"#, 1.0),
        (r#"blocker_attempts_total{jail="dovecot"}"#, 5.0),
        (r#"blocker_bans_total{jail="dovecot"}"#, 1.0),
        (r#"blocker_lines_total{result="malformed"}"#, 0.0),
        (r#"blocker_source_lines_total{jails="dovecot",kind="log"}"#, 1.0),
        (r#"blocker_table_bans{table="ipv4"}"#, 2.0),
        (r#"blocker_table_bans{table="ipv6"}"#, 1.0),
        (r#"blocker_table_bans{table="networks"}"#, 1.0),
        (r#"blocker_table_nearly_full{table="ipv4"}"#, 0.0),
        (r#"blocker_interface_attached{interface="eth0",mode="native"}"#, 1.0),
        ("blocker_refused_updates_total", 0.0),
        ("blocker_problems", 0.0),
    ] {
        ensure!((value(&text, sample) - expected).abs() < f64::EPSILON, "{sample} is not {expected}:\n{text}");
    }
    let status = daemon.status()?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand packets")]
    let now = status.counters["drop_banned"].packets as f64;
    ensure!(value(&text, dropped) <= now, "{now} packets were dropped since, and no fewer:\n{text}");
    ensure!(!text.contains("203.0.113."), "no address is told:\n{text}");
    promtool(&text)
}

#[test]
fn a_unix_socket_serves_until_the_daemon_ends_and_is_taken_over_from_a_killed_one() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let socket = daemon.directory().join("metrics.sock");
    listen(&daemon, &format!("unix:{}", socket.display()))?;
    daemon.start()?;

    ensure!(scrape_unix(&socket)?.contains("\nblocker_enforcing 1.0\n"), "{}", scrape_unix(&socket)?);
    ensure!(socket.metadata()?.permissions().mode() & 0o777 == 0o666, "a collector is not root");
    daemon.kill9()?;
    ensure!(socket.exists(), "nobody could take it away");
    daemon.start()?;
    ensure!(scrape_unix(&socket)?.contains("\nblocker_enforcing 1.0\n"), "the next daemon answers there");
    daemon.stop()?;
    ensure!(!socket.exists(), "it goes with the daemon");

    fs::write(&socket, "not a socket")?;
    let refused = daemon.cli(&["run"])?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("no socket is there"), "{refused:?}");
    ensure!(fs::read(&socket)? == b"not a socket", "what is no socket stays");
    Ok(())
}

#[test]
fn clients_that_hang_or_send_garbage_keep_nobody_from_metrics_or_bans() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let socket = daemon.directory().join("metrics.sock");
    listen(&daemon, &format!("unix:{}", socket.display()))?;
    daemon.start()?;
    let hang = |begin: &[u8]| -> Result<UnixStream> {
        let mut client = UnixStream::connect(&socket)?;
        client.write_all(begin)?;
        Ok(client)
    };

    for garbage in [
        &b"\0\xff\x16\x03\x01\r\n\r\n"[..],
        b"POST /metrics HTTP/1.1\r\nContent-Length: 9999999\r\n\r\nx",
        b"GET\r\n\r\n",
    ] {
        let mut client = hang(garbage)?;
        client.set_read_timeout(Some(LIMIT))?;
        let mut answer = Vec::new();
        // A connection that is reset is an answer, too.
        let ended = client.read_to_end(&mut answer);
        ensure!(!answer.starts_with(b"HTTP/1.1 200"), "{garbage:?}: {ended:?} {}", answer.escape_ascii());
    }
    // Endless: the server ends it.
    let mut endless = hang(b"GET /metrics HTTP/1.1\r\n")?;
    let pushed = (0..100_000).try_for_each(|_| endless.write_all(b"X-Header: and so on\r\n"));
    ensure!(pushed.is_err(), "a head of two megabytes is not read");

    // As many as are served at once, all of them silent or half done.
    let began = Instant::now();
    let silent: Vec<UnixStream> = (0..16)
        .map(|n| hang(if n % 2 == 0 { b"" } else { b"GET /metrics HTTP/1.1\r\nHost:" }))
        .collect::<Result<_>>()?;
    let siege = Siege::begin(&net)?;
    siege.ban_villain(&daemon)?;
    daemon.status()?;
    let text = wait::until("the metrics to be told all the same", LIMIT, || {
        scrape_unix(&socket).map_err(|error| format!("{error:#}"))
    })?;
    ensure!(text.contains("blocker_bans_total{jail=\"dovecot\"} 1.0\n"), "{text}");
    ensure!(began.elapsed() < LIMIT + Duration::from_secs(10), "{:?}", began.elapsed());
    drop(silent);
    daemon.check_alive()
}

#[test]
fn many_scrapes_at_once_are_all_answered() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let socket = daemon.directory().join("metrics.sock");
    listen(&daemon, &format!("unix:{}", socket.display()))?;
    daemon.start()?;

    let clients: Vec<_> = (0..40)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || scrape_unix(&socket))
        })
        .collect();

    for client in clients {
        let text = client.join().expect("it does not panic")?;
        ensure!(text.contains("\nblocker_enforcing 1.0\n"), "{text}");
    }
    Ok(())
}

#[test]
fn metrics_for_other_machines_are_refused_and_a_reload_does_not_move_them() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    listen(&daemon, "0.0.0.0:9913")?;

    let refused = daemon.cli(&["check"])?;
    ensure!(refused.code == Some(78) && format!("{refused:?}").contains("not for other machines"), "{refused:?}");

    listen(&daemon, ADDRESS)?;
    daemon.start()?;
    listen(&daemon, "127.0.0.1:9914")?;
    let refused = daemon.cli(&["reload"])?;
    ensure!(refused.code == Some(78) && refused.stderr.contains("`metrics`"), "{refused:?}");
    scrape(&net, ADDRESS)?;
    Ok(())
}

/// Has the configuration say so.
fn listen(daemon: &Daemon<'_>, socket: &str) -> Result<()> {
    let text = daemon.configuration(&Settings::default());
    daemon.write_configuration(&format!("{text}\n[metrics]\nlisten = \"{socket}\"\n"))
}

/// What a real client gets on the server.
pub(crate) fn scrape(net: &Net, address: &str) -> Result<String> {
    let mut curl = net.command(Host::Server, "curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "20"]).arg(format!("http://{address}/metrics"));
    Ok(process::run(curl, LIMIT)?.success()?.stdout)
}

fn scrape_unix(socket: &Path) -> Result<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "20", "--unix-socket"]).arg(socket);
    Ok(process::run(
        {
            curl.arg("http://localhost/metrics");
            curl
        },
        LIMIT,
    )?
    .success()?
    .stdout)
}

/// The number of a sample, or one that nothing is equal to.
pub(crate) fn value(text: &str, sample: &str) -> f64 {
    let number = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    number.unwrap_or(f64::NAN)
}

/// What Prometheus' own checker says of it: nothing.
fn promtool(text: &str) -> Result<()> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().context("promtool is part of Debian's package prometheus")?;
    child.stdin.take().context("it has a standard input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{}{}\n{text}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn the_example_of_alerts_is_valid() -> Result<()> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "rules", concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/prometheus-alerts.yml")]);
    process::run(promtool, LIMIT)?.success()?;
    Ok(())
}

/// A rule may be valid and never sound: its two sides must have the same labels.
#[test]
fn each_example_of_an_alert_sounds_when_it_should_and_not_when_all_is_well() -> Result<()> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/metrics/alerts.yml");
    let names = |text: &str, before: &str, behind: &str| -> BTreeSet<String> {
        let pieces = text.split(before).skip(1).filter_map(|rest| rest.split_once(behind));
        pieces.map(|(name, _)| name.trim().to_owned()).collect()
    };
    let rules = fs::read_to_string(tests.with_file_name("../../../dist/prometheus-alerts.yml"))?;
    let tested = names(&fs::read_to_string(&tests)?, "{alertname=\"", "\"");
    assert_eq!(tested, names(&rules, "- alert: ", "\n"), "all that there are");

    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules"]).arg(&tests);
    process::run(promtool, LIMIT)?.success()?;
    Ok(())
}
