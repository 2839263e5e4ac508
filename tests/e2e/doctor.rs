//! The doctor tells what will be, what is, and what would help; it changes nothing.

use anyhow::{Context, Result};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    lines,
    netns::{Host, Net},
    process::{self, Finished},
};
use serde::Deserialize;

use crate::{bad_input::as_nobody, siege::LIMIT};

/// What is asked of `doctor --json`.
#[derive(Debug, Deserialize)]
struct Report {
    good: bool,
    findings: Vec<Finding>,
    interfaces: Vec<Interface>,
    faulty_configuration: bool,
}

#[derive(Debug, Deserialize)]
struct Finding {
    level: String,
    subject: String,
    text: String,
    help: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    driver: Option<String>,
    mtu: Option<u32>,
    carries: Vec<String>,
    xdp_program: Option<u32>,
    xdp_program_name: Option<String>,
    attached: Option<bool>,
    mode: Option<String>,
}

impl Report {
    fn about(&self, subject: &str) -> &Finding {
        let found = self.findings.iter().find(|finding| finding.subject == subject);
        found.unwrap_or_else(|| panic!("nothing is said about {subject}: {self:#?}"))
    }

    fn interface(&self, name: &str) -> &Interface {
        let found = self.interfaces.iter().find(|interface| interface.name == name);
        found.unwrap_or_else(|| panic!("nothing is said about {name}: {self:#?}"))
    }
}

fn read(finished: &Finished) -> Result<Report> {
    serde_json::from_str(&finished.stdout).with_context(|| format!("reading {finished:?}"))
}

/// What it says with this exit code.
fn doctor(daemon: &Daemon<'_>, code: i32) -> Result<Report> {
    let finished = daemon.cli(&["doctor", "--json"])?;
    assert_eq!(finished.code, Some(code), "{finished:?}");
    read(&finished)
}

/// What it says to a user without any right, whatever the exit code.
fn doctor_of_nobody(net: &Net, daemon: &Daemon<'_>) -> Result<(Option<i32>, Report)> {
    let mut command = as_nobody(net, Host::Server, daemon)?;
    command.arg("--config").arg(daemon.config_path()).args(["doctor", "--json"]);
    let finished = process::run(command, LIMIT)?;
    Ok((finished.code, read(&finished)?))
}

#[test]
fn what_it_foretells_comes_true_and_it_changes_nothing() -> Result<()> {
    for (interface, attach, mode) in [("eth0", "", "native"), ("lo", "", "generic"), ("eth0", "\"tcx\"", "tcx")] {
        let net = Net::new()?;
        let settings = Settings { interfaces: vec![interface.into()], ..Settings::default() };
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &settings)?;
        if !attach.is_empty() {
            let ways = format!("[daemon]\nattach = [{attach}]\n");
            daemon.write_configuration(&daemon.configuration(&settings).replacen("[daemon]\n", &ways, 1))?;
        }

        let report = doctor(&daemon, 0)?;

        assert!(report.good && !daemon.pins().exists(), "nothing was pinned: {report:#?}");
        let foretold = report.interface(interface);
        assert_eq!((foretold.mode.as_deref(), foretold.attached), (Some(mode), Some(false)), "{report:#?}");
        assert_eq!((foretold.xdp_program, report.about("daemon").level.as_str()), (None, "hint"));
        assert_eq!(report.about("capabilities").level, "ok");
        let status = daemon.start()?;
        assert_eq!(status.interfaces[0].mode.as_deref(), Some(mode), "{report:#?}");
    }
    Ok(())
}

#[test]
fn beside_a_running_daemon_it_says_what_runs_and_without_it_what_is_pinned() -> Result<()> {
    let net = Net::new()?;
    net.ip(Host::Server, "link add link eth0 name mac0 type macvlan mode bridge\n")?;
    let settings = Settings { interfaces: vec!["mac0".into()], ..Settings::default() };
    let mut daemon = Daemon::launch(&net, &daemon::binary()?, &settings)?;
    let pid = daemon.pid().context("it runs")?;

    let report = doctor(&daemon, 0)?;

    let said = report.about("daemon");
    assert!(said.level == "ok" && said.text.contains(&format!("process {pid}")), "{said:?}");
    let eth0 = report.interface("eth0");
    assert_eq!((eth0.driver.as_deref(), eth0.mtu, &eth0.carries[..]), (Some("veth"), Some(1500), &["mac0".into()][..]));
    assert_eq!((eth0.attached, eth0.mode.as_deref()), (Some(true), Some("native")));
    assert_eq!(eth0.xdp_program_name.as_deref(), Some("blocker"));

    daemon.kill9()?;
    let report = doctor(&daemon, 0)?;
    assert_eq!(report.about("daemon").level, "hint");
    assert_eq!(
        (report.interface("eth0").attached, report.interface("eth0").mode.as_deref()),
        (Some(true), Some("native"))
    );
    assert!(report.about("interface eth0").text.contains("by its pin"), "{report:#?}");
    Ok(())
}

#[test]
fn another_xdp_program_is_named_and_both_ways_beside_it_are_offered() -> Result<()> {
    let net = Net::new()?;
    let other = Daemon::launch(&net, &daemon::binary()?, &Settings::default())?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;

    let report = doctor(&daemon, 0)?;

    let (eth0, said) = (report.interface("eth0"), report.about("interface eth0"));
    assert_eq!((eth0.mode.as_deref(), eth0.attached, said.level.as_str()), (Some("tcx"), Some(false), "warn"));
    let number = eth0.xdp_program.context("the other program has a number")?;
    assert!(said.text.contains(&format!("another XDP program is there, number {number}, blocker")), "{said:?}");
    let help = said.help.clone().unwrap_or_default();
    assert!(help.starts_with(&format!("bpftool prog show id {number}\n")), "{said:?}");
    assert!(help.contains("\"dispatcher\""), "it would be by tcx, and this is the other way: {said:?}");

    daemon.start()?;
    let report = doctor(&daemon, 0)?;
    let (eth0, said) = (report.interface("eth0"), report.about("interface eth0"));
    assert_eq!((eth0.mode.as_deref(), eth0.attached, said.level.as_str()), (Some("tcx"), Some(true), "warn"));
    assert!(said.text.contains(&format!("number {number}, blocker")), "{said:?}");
    daemon.stop()?;
    daemon.cli(&["detach"])?.success()?;

    let without_tcx = daemon.configuration(&Settings::default()).replacen(
        "[daemon]\n",
        "[daemon]\nattach = [\"native\", \"generic\"]\n",
        1,
    );
    daemon.write_configuration(&without_tcx)?;
    let report = doctor(&daemon, 1)?;
    let said = report.about("interface eth0");
    assert!(
        !report.good
            && said.level == "problem"
            && said.help.as_ref().is_some_and(|help| help.contains("tcx") && help.contains("dispatcher")),
        "{said:?}"
    );
    let status = daemon.start_unattached()?;
    let why = status.interfaces[0].error.as_deref().unwrap_or_default();
    assert!(why.contains(&format!("number {number} (`bpftool prog show id {number}`)")), "{why}");
    assert!(why.contains("\"tcx\" (Linux 6.6), or \"dispatcher\""), "{why}");
    assert_eq!(other.status()?.interfaces[0].mode.as_deref(), Some("native"), "the other one is left alone");
    Ok(())
}

#[test]
fn without_any_right_it_looks_as_far_as_it_may_and_says_what_it_did_not() -> Result<()> {
    let net = Net::new()?;
    let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;

    let (code, report) = doctor_of_nobody(&net, &daemon)?;

    assert_eq!((code, report.good), (Some(0), true), "{report:#?}");
    let rights = report.about("capabilities");
    assert!(rights.level == "not-checked" && rights.text.contains("CAP_BPF"), "{rights:?}");
    assert_eq!(report.about("kernel").level, "ok");
    let eth0 = report.interface("eth0");
    assert_eq!((eth0.driver.as_deref(), eth0.mode.as_deref()), (Some("veth"), Some("native")), "{report:#?}");

    daemon.start()?;
    let (code, report) = doctor_of_nobody(&net, &daemon)?;
    assert_eq!((code, report.about("daemon").level.as_str()), (Some(0), "not-checked"), "{report:#?}");
    let eth0 = report.interface("eth0");
    assert!(eth0.attached.is_none() && eth0.mode.is_none() && eth0.xdp_program.is_some(), "{report:#?}");
    assert_eq!(report.about("interface eth0").level, "not-checked");
    Ok(())
}

#[test]
fn a_faulty_configuration_is_told_after_the_whole_report() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let faulty = daemon.configuration(&Settings::default()).replacen("max_retry", "max_retires", 1);
    daemon.write_configuration(&faulty)?;

    let report = doctor(&daemon, 78)?;

    let said = report.about("configuration");
    assert!(report.faulty_configuration && !report.good && said.level == "problem", "{report:#?}");
    assert!(said.text.contains("line") && said.text.contains("max_retires"), "{said:?}");
    assert_eq!(report.interface("eth0").mode.as_deref(), Some("native"), "the one with the default route");

    let printed = daemon.cli(&["doctor"])?;
    assert_eq!(printed.code, Some(78), "{printed:?}");
    for word in ["kernel", "bpffs", "max_retires", "interface eth0", "=> "] {
        assert!(printed.stdout.contains(word), "{word}: {printed:?}");
    }
    assert_eq!(printed.stderr.lines().count(), 1, "one line: {printed:?}");
    Ok(())
}

#[test]
fn a_log_is_told_to_be_missing_or_empty_or_there() -> Result<()> {
    let net = Net::new()?;
    let daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
    let empty = doctor(&daemon, 0)?;
    assert!(empty.about("log of dovecot").level == "hint" && empty.about("log of dovecot").text.contains("empty"));

    daemon.log().append(lines::refused("203.0.113.9".parse()?, 1).as_bytes())?;
    let there = doctor(&daemon, 0)?;
    assert_eq!(there.about("log of dovecot").level, "ok", "{there:#?}");

    let log = daemon.log().path().display().to_string();
    daemon.write_configuration(&daemon.configuration(&Settings::default()).replace(&log, &format!("{log}.nowhere")))?;
    let missing = doctor(&daemon, 0)?;
    assert!(missing.about("log of dovecot").level == "hint" && missing.about("logs").level == "warn", "{missing:#?}");
    Ok(())
}
