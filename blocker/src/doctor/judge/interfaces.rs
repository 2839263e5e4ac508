//! The interfaces: in which mode is or would be each, and what would make it a better one.

#[cfg(test)]
mod tests;

use blocker_core::config::Attach;

use super::super::drivers::Version;
use super::super::facts::{Daemon, Facts, Interfaces, Link, Place, Program};
use super::super::finding::{Finding, InterfaceReport, Level, NativeReport, ObstacleReport};
use super::super::native::{Native, driver_name, native};
use crate::control::status::InterfaceStatus;
use crate::kernel::AttachMode;
use crate::network::{QueueCount, Queues, Suitability, XdpPlace};

/// Offloads that join packets before XDP sees them, or that keep a driver from it.
const OFFLOADS: [&str; 4] = ["rx-gro", "rx-gro-hw", "rx-lro", "rx-gro-list"];

/// Programs that others attach, by the beginning of their names, and whose they are.
const OTHERS: [(&str, &str); 5] = [
    ("xdp_dispatcher", "libxdp's dispatcher, `xdp-loader status` lists what it runs"),
    ("xdpfilt_", "xdp-filter's"),
    ("xsk_def_prog", "libxdp's, for AF_XDP sockets"),
    ("cil_xdp", "Cilium's"),
    ("blocker", "another blocker's"),
];

/// Judges them.
pub(super) fn judge(facts: &Facts) -> (Vec<Finding>, Vec<InterfaceReport>) {
    let interfaces = match &facts.interfaces {
        Ok(interfaces) => interfaces,
        Err(why) => return (vec![Finding::not_checked("interfaces", why)], Vec::new()),
    };
    if interfaces.places.is_empty() {
        let why = if interfaces.is_auto { "no interface has a default route" } else { "no interface is wanted" };
        let finding = Finding::new(Level::Problem, "interfaces", format!("{why}: nothing is dropped"))
            .helped_by("name them in `daemon.interfaces`; ip -br link lists them");
        return (vec![finding], Vec::new());
    }
    let mut findings = Vec::new();
    let mut reports = Vec::new();
    if interfaces.is_auto && !interfaces.are_routes_whole {
        let text = "there are more routes than can be read in time, and a default route may be missed";
        let help = "name its interface in `daemon.interfaces`, and its gateway in `daemon.allow`";
        findings.push(Finding::new(Level::Warn, "interfaces", text).helped_by(help));
    }
    for place in &interfaces.places {
        let judged = judge_place(facts, interfaces, place);
        findings.extend(judged.findings);
        reports.push(judged.report);
    }
    let is_known = findings.iter().all(|finding| finding.level != Level::NotChecked);
    if is_known && reports.iter().all(|report| report.mode.is_none()) && !findings.iter().any(is_problem) {
        findings.push(Finding::new(
            Level::Problem,
            "interfaces",
            "the program can be attached to none: nothing is dropped",
        ));
    }
    (findings, reports)
}

fn is_problem(finding: &Finding) -> bool {
    finding.level == Level::Problem
}

struct Judged {
    findings: Vec<Finding>,
    report: InterfaceReport,
}

fn judge_place(facts: &Facts, interfaces: &Interfaces, place: &Place) -> Judged {
    let subject = format!("interface {}", place.name);
    let mut report = InterfaceReport {
        name: place.name.clone(),
        index: None,
        carries: place.carries.clone(),
        driver: None,
        mtu: None,
        queues: None,
        offloads: None,
        xdp_program: None,
        xdp_program_name: None,
        attached: None,
        mode: None,
        native: None,
    };
    let link = match &place.link {
        Ok(link) => link,
        Err(why) => return Judged { findings: vec![Finding::new(Level::Warn, subject, why)], report },
    };
    describe(&mut report, &place.name, link);
    if let Suitability::OtherLink(kind) = link.suitability {
        let text = format!("its frames have no Ethernet header (link type {kind}), and are not looked at");
        let finding = Finding::new(Level::Problem, subject, text)
            .helped_by("name the interface below it in `daemon.interfaces`; ip -d link shows which");
        return Judged { findings: vec![finding], report };
    }
    let version = facts.machine.release.as_ref().ok().map(|release| release.version);
    let cpus = facts.machine.possible_cpus.as_ref().ok().copied();
    let native = native(&place.name, link, version, cpus);
    report.native = Some(native_report(&native));

    let status = match &facts.daemon {
        Daemon::Running(status) => status.interfaces.iter().find(|interface| interface.name == place.name),
        Daemon::NotRunning | Daemon::Unknown(_) => None,
    };
    let outcome = outcome(status, link, interfaces, &native, version);
    report.attached = outcome.attached;
    report.mode = outcome.mode.map(AttachMode::name);
    let carries =
        if place.carries.is_empty() { String::new() } else { format!("; carries {}", place.carries.join(", ")) };
    let text = format!("{}{carries}: {}", hardware(&report), outcome.text);
    let mut finding = Finding::new(outcome.level, subject, text);
    finding.help = (outcome.level > Level::NotChecked).then_some(outcome.help).flatten();
    Judged { findings: vec![finding], report }
}

/// What is there, whatever is attached.
fn describe(report: &mut InterfaceReport, name: &str, link: &Link) {
    let names = |on: &std::collections::BTreeSet<String>| {
        OFFLOADS.iter().filter(|name| on.contains(**name)).map(|name| (*name).to_owned()).collect()
    };
    report.index = Some(link.index);
    report.driver = driver_name(name, link).map(str::to_owned);
    report.mtu = Some(link.device.mtu);
    report.queues = link.device.queues;
    report.offloads = link.device.offloads.as_ref().map(names);
    report.xdp_program = link.program.as_ref().map(|program| program.number);
    report.xdp_program_name = link.program.as_ref().and_then(|program| program.name.clone().ok().flatten());
}

/// Driver, MTU, queues and offloads in a few words.
fn hardware(report: &InterfaceReport) -> String {
    let mut words = vec![report.driver.clone().unwrap_or_else(|| "driver unknown".to_owned())];
    words.extend(report.mtu.map(|mtu| format!("MTU {mtu}")));
    if let Some(Queues { rx, tx, combined }) = report.queues {
        let told =
            |QueueCount { current, max }, kind: &str| (max > 0).then(|| format!("{current} of {max}{kind} queues"));
        words.extend([told(combined, ""), told(rx, " receiving"), told(tx, " sending")].into_iter().flatten());
    }
    if let Some(offloads) = report.offloads.as_ref().filter(|offloads| !offloads.is_empty()) {
        words.push(offloads.join(" "));
    }
    words.join(", ")
}

fn native_report(native: &Native) -> NativeReport {
    let obstacles = match native {
        Native::Possible => return NativeReport { possible: Some(true), obstacles: Vec::new() },
        Native::Unknown(why) => {
            let obstacles = vec![ObstacleReport { why: why.clone(), help: None }];
            return NativeReport { possible: None, obstacles };
        }
        Native::Hindered(obstacles) => obstacles,
    };
    let report = |why: &String, help: &Option<String>| ObstacleReport { why: why.clone(), help: help.clone() };
    NativeReport {
        possible: Some(false),
        obstacles: obstacles.iter().map(|obstacle| report(&obstacle.why, &obstacle.help)).collect(),
    }
}

/// What comes of an interface.
struct Outcome {
    level: Level,
    attached: Option<bool>,
    mode: Option<AttachMode>,
    text: String,
    help: Option<String>,
}

fn outcome(
    status: Option<&InterfaceStatus>,
    link: &Link,
    interfaces: &Interfaces,
    native: &Native,
    version: Option<Version>,
) -> Outcome {
    if let Some(status) = status {
        return match status.mode.as_deref().and_then(AttachMode::by_name) {
            Some(mode) => {
                let by = if status.observes { ", observes only" } else { "" };
                attached(mode, by, &status.refusals, link, interfaces, native)
            }
            None => Outcome {
                level: Level::Problem,
                attached: Some(false),
                mode: None,
                text: format!("not attached: {}", status.error.as_deref().unwrap_or("the daemon does not say why")),
                help: why_not_native(native).1,
            },
        };
    }
    match &link.ours {
        Ok(Some(ours)) => attached(ours.mode, ", by its pin", &[], link, interfaces, native),
        Ok(None) => {
            let other = link.program.as_ref().map(|program| (program.number, named(program, link)));
            expected(other.as_ref(), interfaces, native, version, Some(false))
        }
        Err(why) => {
            let Some(program) = &link.program else { return expected(None, interfaces, native, version, None) };
            let text = format!("an XDP program is there, {}; whose it is was not checked: {why}", named(program, link));
            // It may be ours, and the mode as good as it gets.
            Outcome { level: Level::NotChecked, attached: None, mode: None, text, help: None }
        }
    }
}

/// What is attached, and why not better. It stays in its mode; a better one is tried without its pin.
fn attached(
    mode: AttachMode,
    by: &str,
    refusals: &[String],
    link: &Link,
    interfaces: &Interfaces,
    native: &Native,
) -> Outcome {
    let outcome = |level, because: &str, help| Outcome {
        level,
        attached: Some(true),
        mode: Some(mode),
        text: format!("attached, {mode} mode{by}{because}"),
        help,
    };
    // A component runs in the mode of its dispatcher, which is not ours to change.
    let is_best = matches!(mode, AttachMode::Native | AttachMode::Dispatcher);
    if is_best || !interfaces.ways.contains(&Attach::Native) {
        return outcome(Level::Ok, "", None);
    }
    // Ours is behind XDP: what is there is another's.
    let other = link.program.as_ref().filter(|_| mode == AttachMode::Tcx);
    if let Some(program) = other {
        let because = format!("; another XDP program is there, {}, and is left alone", named(program, link));
        return outcome(Level::Warn, &because, Some(beside(program.number, &interfaces.ways, None)));
    }
    let (why_not, help) = why_not_native(native);
    if !why_not.is_empty() {
        return outcome(Level::Warn, &format!("; not native: {why_not}"), help);
    }
    let before = if refusals.is_empty() { String::new() } else { format!(" (before: {})", refusals.join("; ")) };
    let pin = link.ours.as_ref().ok().and_then(Option::as_ref).map(|ours| ours.pin.display().to_string());
    let again =
        pin.map(|pin| format!("rm {pin}, and the daemon tries it within a minute; until then nothing is dropped here"));
    outcome(Level::Warn, &format!("; native mode seems possible now{before}"), again)
}

/// Why not native, and what would help.
fn why_not_native(native: &Native) -> (String, Option<String>) {
    match native {
        Native::Possible => (String::new(), None),
        Native::Unknown(why) => (why.clone(), None),
        Native::Hindered(obstacles) => {
            let whys: Vec<&str> = obstacles.iter().map(|obstacle| obstacle.why.as_str()).collect();
            let helps: Vec<&str> = obstacles.iter().filter_map(|obstacle| obstacle.help.as_deref()).collect();
            // One obstacle without help makes the help for the others useless.
            let is_helped = helps.len() == obstacles.len() && !helps.is_empty();
            (whys.join("; "), is_helped.then(|| helps.join("\n")))
        }
    }
}

/// The mode that the daemon would come to: the first of the configured ways that is possible.
fn expected(
    other: Option<&(u32, String)>,
    interfaces: &Interfaces,
    native: &Native,
    version: Option<Version>,
    attached: Option<bool>,
) -> Outcome {
    let mut whys: Vec<String> = Vec::new();
    let mut help = None;
    if let Some((number, named)) = other {
        whys.push(format!("another XDP program is there, {named}, and is left alone"));
        help = Some(beside(*number, &interfaces.ways, version));
    }
    for way in &interfaces.ways {
        let outcome = |mode: AttachMode, level, text: String| Outcome {
            level,
            attached,
            mode: Some(mode),
            text,
            help: help.clone(),
        };
        let because = |whys: &[String]| if whys.is_empty() { String::new() } else { format!("; {}", whys.join("; ")) };
        match way {
            Attach::Native | Attach::Generic if other.is_some() => {}
            Attach::Native => match native {
                Native::Possible => return outcome(AttachMode::Native, Level::Ok, "native mode".to_owned()),
                Native::Unknown(why) => {
                    let or = if interfaces.ways.len() > 1 { "native mode or the next" } else { "native mode or none" };
                    return outcome(AttachMode::Native, Level::Ok, format!("{or}: {why}"));
                }
                Native::Hindered(_) => {
                    let (why, command) = why_not_native(native);
                    whys.push(format!("not native: {why}"));
                    help = command;
                }
            },
            Attach::Generic => {
                let level = if whys.is_empty() { Level::Ok } else { Level::Warn };
                let slower = if whys.is_empty() { "" } else { ", slower but with the same verdicts" };
                return outcome(AttachMode::Generic, level, format!("generic mode{slower}{}", because(&whys)));
            }
            // Only an administrator can add the component, so whether it is there is for `status` to say.
            Attach::Dispatcher => {
                whys.push(
                    "a component of libxdp's dispatcher only after the command that `blocker status` shows".to_owned(),
                );
            }
            Attach::Tcx if version.is_some_and(|version| version < (6, 6)) => {
                whys.push("not by tcx, which came with Linux 6.6".to_owned());
            }
            Attach::Tcx => {
                let level = if whys.is_empty() { Level::Ok } else { Level::Warn };
                let beside = if other.is_some() { ", behind the other program" } else { "" };
                return outcome(AttachMode::Tcx, level, format!("tcx mode{beside}{}", because(&whys)));
            }
        }
    }
    Outcome { level: Level::Problem, attached, mode: None, text: format!("in no mode: {}", whys.join("; ")), help }
}

/// Whose the other program is, and the ways to work beside it that are not taken.
fn beside(number: u32, ways: &[Attach], version: Option<Version>) -> String {
    let mut help = vec![format!("bpftool prog show id {number}")];
    if !ways.contains(&Attach::Tcx) {
        let since = if version.is_some_and(|version| version < (6, 6)) { ", on Linux 6.6 or later" } else { "" };
        help.push(format!("add \"tcx\" to `daemon.attach`{since}: behind that program"));
    }
    if !ways.contains(&Attach::Dispatcher) {
        help.push(
            "or put \"dispatcher\" there, before \"tcx\", if xdp-loader attaches that program: libxdp's dispatcher then calls both"
                .to_owned(),
        );
    }
    help.join("\n")
}

/// A program by number, name and place, and whose it is if that is known.
fn named(program: &Program, link: &Link) -> String {
    let number = program.number;
    let place = match link.device.xdp {
        Some(XdpPlace::Native) => ", in native mode",
        Some(XdpPlace::Generic) => ", in generic mode",
        Some(XdpPlace::Offloaded) => ", in the hardware",
        Some(XdpPlace::Several) | None => "",
    };
    let name = match &program.name {
        Ok(Some(name)) => {
            let owner = OTHERS.iter().find(|(start, _)| name.starts_with(start));
            let owner = owner.map_or_else(String::new, |(_, owner)| format!(" ({owner})"));
            format!(", {}{owner}", name.escape_debug())
        }
        Ok(None) | Err(_) => String::new(),
    };
    format!("number {number}{name}{place}")
}
