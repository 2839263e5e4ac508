//! A real flood against one server, and what filters make of it: how many packets a second one core drops, and what is left
//! for a legitimate client meanwhile.
//!
//! ```text
//!   attacker's namespace                          server's namespace
//!   CPU 0: TCP SYNs by AF_PACKET, as fast     ┌─▶ CPU 1: the veth's NAPI thread: filter, IP, TCP
//!   as they go ──────────────────── veth pair ┤   CPU 1: a service on port 143
//!   CPU 0: a client, before the flood ────────┘
//! ```
//!
//! All that a frame costs the receiver is done in one kernel thread, whose time on the processor the scheduler knows: so
//! the packets that a core drops in a second are told also where the sender could not send as many. It runs before all
//! processes, as soft interrupts do, and looks for frames every 20 µs, as moderated interrupts come. Sources are banned, and
//! each packet is of another one; the client and its connections are not. The same frames, client and server serve
//! for each filter: none, a program that only drops, which is what the rest of the receiver costs, `blocker`, xdp-filter of xdp-tools, nftables at the netdev ingress hook and at the inet input hook,
//! and iptables with ipset. Filters match the mail ports first, as fail2ban's rules do, but for xdp-filter, which knows addresses
//! alone. They take turns, and the median of some rounds counts.
//!
//! A veth's frames are made by this machine, which a network card's are not: the figures compare filters, and are none
//! of a card.

#[path = "../packet/bare.rs"]
#[expect(dead_code, reason = "another bench runs it")]
mod bare;
mod filters;
mod legitimate;
#[path = "../pin_folder.rs"]
mod pin_folder;
mod sender;
#[path = "../sets.rs"]
#[expect(dead_code, reason = "another bench uses the rest of it")]
mod sets;
mod wire;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{daemon, leftovers::Scratch, netns::Net, wait};

use crate::{
    filters::{Filter, Place, Running},
    legitimate::{Client, Served, Service},
    sender::Sender,
    wire::Wire,
};

/// Bans, and so many sources send.
const BANS: [usize; 2] = [1, 100_000];

/// Rounds, of which the median counts.
const ROUNDS: usize = 3;

/// How long the client is watched, after a while in which the flood has begun.
const WINDOW: Duration = Duration::from_secs(2);
const BEFORE: Duration = Duration::from_millis(500);

/// No other program may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where everything of the receiver is done, and where everything of the sender.
const RECEIVER: usize = 1;
const SENDER: usize = 0;

fn main() -> Result<()> {
    let cpus = thread::available_parallelism().context("counting processors")?.get();
    ensure!(cpus > 1, "the sender and the receiver need a processor each, and here is one");
    let binary = daemon::binary()?;
    let net = Net::new()?;
    let scratch = Scratch::new()?;
    let wire = Wire::lay(&net)?;
    let _service = Service::start(&net)?;
    let place = Place { net: &net, wire: &wire, scratch: &scratch, blocker: &binary };

    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "Linux {}: TCP SYNs to port 143 on a veth, as fast as one core sends; {} connections a second of a client who is not \
         banned; median of {ROUNDS} rounds of {} s",
        kernel.trim(),
        legitimate::A_SECOND,
        WINDOW.as_secs(),
    );
    println!(
        "\n{:24}{:>8} |{:>10}{:>10}{:>12}{:>10}{:>8} |{:>9}{:>9}{:>9}",
        "", "bans", "offered", "dropped", "dropped/s", "CPU time", "its own", "client", "p50", "p99"
    );
    println!(
        "{:24}{:>8} |{:>10}{:>10}{:>12}{:>10}{:>8} |{:>9}{:>9}{:>9}",
        "", "", "k/s", "k/s", "a core, k", "ns each", "ns each", "served", "ms", "ms"
    );
    for bans in BANS {
        let mut filters =
            vec![Filter::Bare, Filter::Blocker, Filter::XdpTools, Filter::NftIngress, Filter::NftInput, Filter::Ipset];
        if bans == 1 {
            filters.push(Filter::None);
        }
        let mut measured: Vec<Vec<Figures>> = filters.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (filter, figures) in filters.iter().zip(&mut measured) {
                figures
                    .push(measure(&place, *filter, bans).with_context(|| format!("{}, {bans} bans", filter.name()))?);
            }
        }
        let medians: Vec<Figures> = measured.iter().map(|figures| median(figures)).collect();
        let least = medians.first().map_or(0.0, |bare| bare.ns_per_packet);
        for (filter, figures) in filters.iter().zip(&medians) {
            println!("{:24}{bans:>8} |{}", filter.name(), figures.row(least));
        }
    }
    Ok(())
}

/// What one run came to.
#[derive(Clone, Debug, Default)]
struct Figures {
    offered: f64,
    dropped: f64,
    ns_per_packet: f64,
    per_core: f64,
    served: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Figures {
    /// `least` is what a packet costs that is dropped by nothing but `XDP_DROP`.
    fn row(&self, least: f64) -> String {
        let Self { offered, dropped, ns_per_packet, per_core, served, p50_ms, p99_ms } = self;
        let drops = if *dropped > 0.0 {
            let own = ns_per_packet - least;
            format!("{:>10.0}{:>12.0}{ns_per_packet:>10.0}{own:>8.0}", dropped / 1e3, per_core / 1e3)
        } else {
            format!("{:>10}{:>12}{:>10}{:>8}", "-", "-", "-", "-")
        };
        let client = if *served > 0.0 {
            format!("{served:>7.0} %{p50_ms:>9.2}{p99_ms:>9.2}")
        } else {
            format!("{:>9}{:>9}{:>9}", "0 %", "-", "-")
        };
        format!("{:>10.0}{drops} |{client}", offered / 1e3)
    }
}

/// The median of each figure.
fn median(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Figures {
        offered: of(|run| run.offered),
        dropped: of(|run| run.dropped),
        ns_per_packet: of(|run| run.ns_per_packet),
        per_core: of(|run| run.per_core),
        served: of(|run| run.served),
        p50_ms: of(|run| run.p50_ms),
        p99_ms: of(|run| run.p99_ms),
    }
}

/// Sets a filter up, floods it, and takes it away.
#[expect(clippy::cast_precision_loss, reason = "packets of some seconds")]
fn measure(place: &Place<'_>, filter: Filter, bans: usize) -> Result<Figures> {
    let sources = filters::sources(bans);
    let running = Running::start(place, filter, &sources)?;
    let before = Counts::read(place, &running)?;
    let client = Client::start(place.net)?;
    let sender = Sender::start(place.net, place.wire, &sources)?;
    let began = Instant::now();
    pass(BEFORE)?;
    client.forget()?;
    pass(WINDOW)?;
    let Served { asked, mut answered } = client.finish()?;
    let offered = sender.finish();
    let took = began.elapsed().as_secs_f64();
    // The queue is empty long before.
    pass(BEFORE)?;
    let after = Counts::read(place, &running)?;
    running.stop()?;

    answered.sort_unstable();
    let dropped = after.dropped - before.dropped;
    let cpu_ns = (after.cpu_ns - before.cpu_ns) as f64;
    ensure!(offered > 0, "nothing was sent");
    // The program that only drops drops the client's packets, too.
    ensure!(filter == Filter::Bare || dropped <= offered, "{dropped} dropped of {offered} sent");
    ensure!(filter == Filter::None || dropped > 0, "nothing was dropped of {offered} sent");
    let per_core = if cpu_ns > 0.0 { dropped as f64 * 1e9 / cpu_ns } else { 0.0 };
    Ok(Figures {
        offered: offered as f64 / took,
        dropped: dropped as f64 / took,
        ns_per_packet: if dropped > 0 { cpu_ns / dropped as f64 } else { 0.0 },
        per_core,
        served: 100.0 * answered.len() as f64 / asked.max(1) as f64,
        p50_ms: milliseconds(&answered, 50),
        p99_ms: milliseconds(&answered, 99),
    })
}

/// What has been counted so far: read before the flood and after it, because to ask a filter takes a program of its own.
struct Counts {
    dropped: u64,
    cpu_ns: u64,
}

impl Counts {
    fn read(place: &Place<'_>, running: &Running<'_>) -> Result<Self> {
        Ok(Self { dropped: running.dropped()?, cpu_ns: place.wire.receiver_cpu_ns()? })
    }
}

/// Lets time pass, unless Ctrl-C ends it.
fn pass(span: Duration) -> Result<()> {
    wait::holds("the measurement", span, || Ok(()))
}

fn milliseconds(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
