//! Nanoseconds the XDP program takes for a packet, over a program that only drops, at several numbers of bans; and beside
//! xdp-filter of xdp-tools.
//!
//! All run by `BPF_PROG_TEST_RUN` on one CPU, and take turns, so that what slows the machine for a while slows them all. Hot: a
//! million runs of one packet for each figure; all it meets is in the cache, as in a flood from one source. Cold: a
//! system call for each packet, each from another source; nearly nothing is in the cache, which is more than what a
//! network card's driver would see, and more than any one flood. The kernel says how long a run took, in whole
//! nanoseconds, its own part included: hence the program that only drops, measured in the same rounds in the same ways. No driver takes
//! part, so these are no figures of a network card.

#[expect(dead_code, reason = "another bench attaches it")]
mod bare;
#[path = "../../prog_run/frame.rs"]
#[expect(dead_code, reason = "the tests build more kinds of frames")]
mod frame;
#[path = "../pin_folder.rs"]
mod pin_folder;
#[path = "../../prog_run/tables.rs"]
#[expect(dead_code, reason = "the tests do more with the tables")]
mod tables;
mod xdp_filter;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use blocker::kernel::Program;
use blocker_common::{Ban, HOLDS_ALLOWED, Outcome};

use crate::bare::BareDrop;
use crate::frame::{Frame, ethernet, ipv4, ipv6};
use crate::tables::{
    Action, BANNED, BANNED6, CUSTOMER, CUSTOMER6, HTTP, IMAP, Loaded, MAIL, in_force, stay_on_this_cpu,
};
use crate::xdp_filter::XdpFilter;

/// Packets of one hot run.
const REPEAT: u32 = 1_000_000;

/// Runs of each case, of which the least counts.
const RUNS: usize = 5;

/// Packets of a cold run, each from another source.
const COLD_PACKETS: usize = 20_000;

/// Bans beside those that the cases meet: IPv4 hosts, and IPv6 /64s as far as there is room.
const BANS: [u32; 4] = [0, 1_000, 100_000, 1_000_000];

/// Most /64s.
const MOST6: u32 = 250_000;

/// A source that is banned and allow-listed.
const FRIEND: &str = "192.0.2.10";

/// One packet and its fate.
struct Case {
    name: &'static str,
    frame: Frame,
    outcome: Outcome,
}

fn main() -> Result<()> {
    stay_on_this_cpu();
    let bare = BareDrop::load()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "Linux {}, {}: ns per packet over a program that only drops, least of {RUNS} runs",
        kernel.trim(),
        processor()
    );
    println!("\nhot, {REPEAT} packets a run");
    println!("{:42}{:>10}{:>10}{:>10}{:>10}", "bans", BANS[0], BANS[1], BANS[2], BANS[3]);

    let names: Vec<&str> = cases().iter().map(|case| case.name).collect();
    let mut hot = vec![Vec::new(); names.len()];
    let mut cold = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for bans in BANS {
        let mut loaded = Loaded::mail_server();
        loaded.ban(FRIEND, Ban { flags: HOLDS_ALLOWED, ..in_force(MAIL) });
        loaded.allow_unasked(FRIEND);
        let (hosts, networks) = strangers(bans);
        loaded.ban_many(&hosts, &networks);
        for (case, figures) in cases().iter().zip(&mut hot) {
            figures.push(hot_over(&bare, &mut loaded, case)?);
        }
        for (figures, sources) in cold.iter_mut().zip(Sources::ALL) {
            figures.push(cold_over(&bare, &mut loaded, &frames(sources, &hosts, &networks))?);
        }
    }
    for (name, figures) in names.iter().zip(&hot) {
        println!("{name:42}{}", row(figures));
    }
    against_xdp_filter(&bare)?;
    println!("\ncold, {COLD_PACKETS} packets, each from another source, a system call for each; median");
    for (sources, figures) in Sources::ALL.into_iter().zip(&cold) {
        println!("{:42}{}", sources.name(), row(figures));
    }
    Ok(())
}

fn row(figures: &[Option<i128>]) -> String {
    figures.iter().map(|figure| figure.map_or_else(|| format!("{:>10}", "-"), |ns| format!("{ns:>10}"))).collect()
}

fn cases() -> Vec<Case> {
    let case = |name, frame: Frame, outcome| Case { name, frame: frame.padded(60), outcome };
    vec![
        case("IPv4, unprotected port", ipv4(CUSTOMER).tcp(HTTP), Outcome::PassUnprotected),
        case("IPv6, unprotected port", ipv6(CUSTOMER6).tcp(HTTP), Outcome::PassUnprotected),
        case("IPv4, protected port, not banned", ipv4(CUSTOMER).tcp(IMAP), Outcome::PassClean),
        case("IPv6, protected port, not banned", ipv6(CUSTOMER6).tcp(IMAP), Outcome::PassClean),
        case("the same with a VLAN tag, IPv4", ethernet().vlan(7).ipv4(CUSTOMER).tcp(IMAP), Outcome::PassClean),
        case("IPv4, banned", ipv4(BANNED).tcp(IMAP), Outcome::DropBanned),
        case("IPv6, its /64 banned", ipv6(BANNED6).tcp(IMAP), Outcome::DropBanned),
        case("IPv4, banned but allow-listed", ipv4(FRIEND).tcp(IMAP), Outcome::PassAllowed),
    ]
}

/// Who else is banned: hosts and /64s without any order, always the same.
fn strangers(bans: u32) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    // An odd factor makes each number another: no address comes twice, none is of the cases' networks.
    let hosts =
        (0..bans).map(|n| n.wrapping_mul(0x9e37_79b1)).filter(|addr| !(0xc000_0000..0xe000_0000).contains(addr));
    let networks = (0..bans.min(MOST6)).map(|n| {
        let spread = u128::from(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4);
        Ipv6Addr::from_bits(0x3000 << 112 | spread << 64)
    });
    (hosts.map(Ipv4Addr::from_bits).collect(), networks.collect())
}

/// Nanoseconds of a case over the program that only drops, the least of both.
fn hot_over(bare: &BareDrop, loaded: &mut Loaded, case: &Case) -> Result<Option<i128>> {
    let frame = case.frame.bytes();
    let (mut least, mut least_bare) = (u128::MAX, u128::MAX);
    for _ in 0..RUNS {
        let packets = |loaded: &Loaded| loaded.maps.counter(0, case.outcome).map(|counter| counter.packets);
        let before = packets(loaded)?;
        let (_, took) = loaded.repeat(Program::Frags, frame, REPEAT);
        let counted = packets(loaded)? - before;
        ensure!(counted == u64::from(REPEAT), "{}: {counted} of {REPEAT} were {:?}", case.name, case.outcome);
        least = least.min(took);
        least_bare = least_bare.min(bare.run(frame, REPEAT)?);
    }
    Ok(Some(difference(least, least_bare)))
}

/// Whose packets a cold run is of.
#[derive(Clone, Copy)]
enum Sources {
    Clean4,
    Clean6,
    Banned4,
    Banned6,
}

impl Sources {
    const ALL: [Self; 4] = [Self::Clean4, Self::Clean6, Self::Banned4, Self::Banned6];

    fn name(self) -> &'static str {
        match self {
            Self::Clean4 => "IPv4, protected port, not banned",
            Self::Clean6 => "IPv6, protected port, not banned",
            Self::Banned4 => "IPv4, banned",
            Self::Banned6 => "IPv6, its /64 banned",
        }
    }
}

/// Packets from many sources; none where nobody is banned and the banned are asked for.
fn frames(sources: Sources, hosts: &[Ipv4Addr], networks: &[Ipv6Addr]) -> Vec<Frame> {
    let from4 = |addr: Ipv4Addr| ipv4(&addr.to_string()).tcp(IMAP).padded(60);
    let from6 = |addr: Ipv6Addr| ipv6(&addr.to_string()).tcp(IMAP).padded(60);
    // Steps that meet all of a table's parts, in no order that the processor could foresee.
    let pick = |len: usize| (0..COLD_PACKETS).map(move |n| n.wrapping_mul(0x9e37_79b1) % len.max(1));
    match sources {
        // An eighth of all addresses, in which nobody is banned but for the cases' own.
        Sources::Clean4 => pick(1 << 29).map(|n| from4(Ipv4Addr::from_bits(0xc000_0000 + n as u32))).collect(),
        Sources::Clean6 => {
            pick(1 << 30).map(|n| from6(Ipv6Addr::from_bits(0x2a00 << 112 | (n as u128) << 80 | 9))).collect()
        }
        Sources::Banned4 => pick(hosts.len()).filter_map(|n| hosts.get(n)).map(|addr| from4(*addr)).collect(),
        Sources::Banned6 => pick(networks.len()).filter_map(|n| networks.get(n)).map(|addr| from6(*addr)).collect(),
    }
}

/// The median over packets that are run once each, over that of the program that only drops.
fn cold_over(bare: &BareDrop, loaded: &mut Loaded, frames: &[Frame]) -> Result<Option<i128>> {
    if frames.is_empty() {
        return Ok(None);
    }
    let mut took: Vec<u128> = frames.iter().map(|frame| loaded.repeat(Program::Frags, frame.bytes(), 1).1).collect();
    let mut took_bare = frames.iter().map(|frame| bare.run(frame.bytes(), 1)).collect::<Result<Vec<u128>>>()?;
    Ok(Some(difference(median(&mut took), median(&mut took_bare))))
}

/// The same packets through xdp-filter, which looks at sources alone and knows no ports, jails, deadlines or allowlist.
fn against_xdp_filter(bare: &BareDrop) -> Result<()> {
    let mut filter = match XdpFilter::load() {
        Ok(filter) => filter,
        Err(error) => {
            println!("xdp-filter is left out: {error:#}");
            return Ok(());
        }
    };
    filter.deny(BANNED.parse::<Ipv4Addr>().context("a constant")?.octets())?;
    for (name, source, action) in [
        ("xdp-filter, one ban: not banned", CUSTOMER, Action::Pass),
        ("xdp-filter, one ban: banned", BANNED, Action::Drop),
    ] {
        let frame = ipv4(source).tcp(IMAP).padded(60);
        let (mut least, mut least_bare) = (u128::MAX, u128::MAX);
        for _ in 0..RUNS {
            let (became, took) = filter.run(frame.bytes(), REPEAT)?;
            ensure!(became == action, "{name}: {became:?}");
            least = least.min(took);
            least_bare = least_bare.min(bare.run(frame.bytes(), REPEAT)?);
        }
        println!("{name:42}{:>10}", difference(least, least_bare));
    }
    Ok(())
}

fn difference(took: u128, bare: u128) -> i128 {
    i128::try_from(took).unwrap_or(0) - i128::try_from(bare).unwrap_or(0)
}

fn median(runs: &mut [u128]) -> u128 {
    runs.sort_unstable();
    runs.get(runs.len() / 2).copied().unwrap_or(0)
}

fn processor() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or("unknown processor", |(_, name)| name.trim()).to_owned()
}
