//! The filters: how each is set up against the same sources, how many packets it says it dropped, and how it is taken away.

use std::{fmt::Write as _, io::Write as _, net::Ipv4Addr, path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{PerCpuArray, PerCpuHashMap, PerCpuValues},
    programs::{Xdp, xdp::XdpMode},
    util::nr_cpus,
};
use blocker_tests::{
    daemon::{Daemon, Settings},
    leftovers::Scratch,
    netns::{Host, Net},
    wait,
};

use crate::{
    PATIENCE,
    bare::BareDrop,
    pin_folder::PinFolder,
    sets::{run, write_ipset, write_nft},
    wire::Wire,
};

/// The ports that the filters close: those of the daemon's default configuration here.
const PORTS: &str = "110, 143, 993, 995";

/// What is in the way of the flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Nothing.
    None,
    /// A program that drops everything, native: what the rest of the receiver costs.
    Bare,
    /// The daemon's program, native.
    Blocker,
    /// The one of xdp-tools, native.
    XdpTools,
    /// A set of nftables, before the stack.
    NftIngress,
    /// The same in the stack, where fail2ban has it.
    NftInput,
    /// A rule of iptables with a set of ipset, where fail2ban has it.
    Ipset,
}

impl Filter {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Bare => "XDP that only drops",
            Self::Blocker => "blocker",
            Self::XdpTools => "xdp-filter",
            Self::NftIngress => "nftables, netdev ingress",
            Self::NftInput => "nftables, inet input",
            Self::Ipset => "iptables and ipset",
        }
    }
}

/// Where it all is.
pub(crate) struct Place<'net> {
    pub(crate) net: &'net Net,
    pub(crate) wire: &'net Wire,
    pub(crate) scratch: &'net Scratch,
    pub(crate) blocker: &'net Path,
}

/// As many sources, of the network for measurements (RFC 2544, section C.2.2), in no order.
pub(crate) fn sources(count: usize) -> Vec<Ipv4Addr> {
    let first = Ipv4Addr::new(198, 18, 0, 0).to_bits();
    // An odd factor makes each of the 2¹⁷ another.
    let all = (0..1_u32 << 17).map(|number| first | number.wrapping_mul(0x9e37_79b1) & 0x1_ffff);
    all.take(count).map(Ipv4Addr::from_bits).collect()
}

/// A filter in force.
pub(crate) struct Running<'net> {
    net: &'net Net,
    interface: String,
    state: State<'net>,
}

enum State<'net> {
    None,
    Bare(PinFolder),
    Blocker(Box<Daemon<'net>>),
    XdpTools(Box<Ebpf>, PinFolder),
    NftIngress,
    NftInput,
    Ipset,
}

impl<'net> Running<'net> {
    /// Puts it in force against `sources`.
    pub(crate) fn start(place: &Place<'net>, filter: Filter, sources: &[Ipv4Addr]) -> Result<Self> {
        let Place { net, wire, scratch, blocker } = place;
        let file = scratch.join("sources");
        let state = match filter {
            Filter::None => State::None,
            Filter::Bare => {
                let pins = PinFolder::new()?;
                let pin = pins.path().join("drop");
                BareDrop::load()?.pin(&pin)?;
                run(net, "ip", &["link", "set", "dev", &wire.name, "xdpdrv", "pinned", &pin.display().to_string()])?;
                State::Bare(pins)
            }
            Filter::Blocker => {
                let settings = Settings { interfaces: vec![wire.name.clone()], ..Settings::default() };
                let daemon = Daemon::launch(net, blocker, &settings)?;
                let mode = daemon.status()?.interfaces.first().and_then(|interface| interface.mode.clone());
                ensure!(mode.as_deref() == Some("native"), "attached as {mode:?}");
                ban(&daemon, sources)?;
                State::Blocker(Box::new(daemon))
            }
            Filter::XdpTools => {
                let pins = PinFolder::new()?;
                State::XdpTools(Box::new(xdp_filter(net, &wire.name, sources, &pins)?), pins)
            }
            Filter::NftIngress => {
                let hook = format!("ingress device {}", wire.name);
                write_nft(&file, "netdev", sources, &chain(&hook))?;
                run(net, "nft", &["-f", &file.display().to_string()])?;
                State::NftIngress
            }
            Filter::NftInput => {
                write_nft(&file, "inet", sources, &chain("input"))?;
                run(net, "nft", &["-f", &file.display().to_string()])?;
                State::NftInput
            }
            Filter::Ipset => {
                write_ipset(&file, sources)?;
                run(net, "ipset", &["restore", "-file", &file.display().to_string()])?;
                let ports = PORTS.replace(", ", ",");
                let rule =
                    format!("-I INPUT -p tcp -m multiport --dports {ports} -m set --match-set banned src -j DROP");
                let words: Vec<&str> = ["-w"].into_iter().chain(rule.split(' ')).collect();
                run(net, "iptables", &words)?;
                State::Ipset
            }
        };
        Ok(Self { net, interface: wire.name.clone(), state })
    }

    /// Packets that it says it has dropped.
    pub(crate) fn dropped(&self) -> Result<u64> {
        match &self.state {
            State::None => Ok(0),
            // It counts nothing itself, the veth does.
            State::Bare(_) => {
                let statistics = run(self.net, "ethtool", &["-S", &self.interface])?;
                counted(&statistics, "rx_queue_0_xdp_drops:")
            }
            State::Blocker(daemon) => {
                let counters = daemon.status()?.counters;
                Ok(counters.get("drop_banned").map_or(0, |counter| counter.packets))
            }
            State::XdpTools(ebpf, _) => {
                let map = ebpf.map("xdp_stats_map").context("xdp-filter has no map xdp_stats_map")?;
                let counts: PerCpuArray<_, [u64; 2]> = map.try_into()?;
                let of_drops = counts.get(&XDP_DROP, 0).context("reading xdp-filter's counts")?;
                Ok(of_drops.iter().map(|[packets, _bytes]| packets).sum())
            }
            State::NftIngress => {
                counted(&run(self.net, "nft", &["list", "chain", "netdev", "bench", "flood"])?, "packets")
            }
            State::NftInput => counted(&run(self.net, "nft", &["list", "chain", "inet", "bench", "flood"])?, "packets"),
            State::Ipset => {
                let rules = run(self.net, "iptables", &["-w", "-nvxL", "INPUT"])?;
                let rule = rules.lines().find(|line| line.contains("match-set")).context("the rule is gone")?;
                let packets = rule.split_whitespace().next().and_then(|packets| packets.parse().ok());
                packets.with_context(|| format!("no number of packets in {rule:?}"))
            }
        }
    }

    /// Takes it away.
    pub(crate) fn stop(self) -> Result<()> {
        match self.state {
            State::None => Ok(()),
            State::Bare(pins) => {
                run(self.net, "ip", &["link", "set", "dev", &self.interface, "xdpdrv", "off"])?;
                drop(pins);
                Ok(())
            }
            // Their drop detaches them.
            State::Blocker(daemon) => {
                drop(daemon);
                Ok(())
            }
            State::XdpTools(ebpf, pins) => {
                drop((ebpf, pins));
                Ok(())
            }
            State::NftIngress => run(self.net, "nft", &["delete", "table", "netdev", "bench"]).map(drop),
            State::NftInput => run(self.net, "nft", &["delete", "table", "inet", "bench"]).map(drop),
            State::Ipset => {
                run(self.net, "iptables", &["-w", "-F", "INPUT"])?;
                // The kernel lets go of a set a while after its rule.
                wait::until("the set to be let go", PATIENCE, || {
                    run(self.net, "ipset", &["destroy", "banned"]).map(drop).map_err(|error| format!("{error:#}"))
                })
            }
        }
    }
}

/// `XDP_DROP` of `enum xdp_action`, `include/uapi/linux/bpf.h`.
const XDP_DROP: u32 = 1;

/// A chain at a hook that drops what comes to the ports from the set.
fn chain(hook: &str) -> String {
    format!(
        "\tchain flood {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\
         \t\ttcp dport {{ {PORTS} }} ip saddr @banned counter drop\n\t}}\n"
    )
}

/// The number behind a word.
fn counted(text: &str, word: &str) -> Result<u64> {
    let mut words = text.split_whitespace().skip_while(|found| *found != word);
    words.nth(1).and_then(|number| number.parse().ok()).with_context(|| format!("no number of {word} in {text}"))
}

fn ban(daemon: &Daemon<'_>, sources: &[Ipv4Addr]) -> Result<()> {
    let mut list = String::new();
    for source in sources {
        writeln!(list, "{source}")?;
    }
    let mut command = daemon.command(&["ban", "--jail", "dovecot", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("starting `blocker ban`")?;
    let mut stdin = child.stdin.take().context("stdin was piped")?;
    stdin.write_all(list.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "blocker ban: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Loads the object of the package, for as many addresses, denies them, and attaches it. Its own loader would do so by a
/// process for each address.
fn xdp_filter(net: &Net, interface: &str, sources: &[Ipv4Addr], pins: &PinFolder) -> Result<Ebpf> {
    let found = OBJECTS.iter().map(Path::new).find(|path| path.exists());
    let Some(path) = found else { bail!("no {OBJECTS:?}: install xdp-tools") };
    let room = u32::try_from(sources.len())?.max(1024);
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("filter_ipv4", room).default_map_pin_directory(pins.path());
    let mut ebpf = loader.load_file(path).context("loading xdp-filter")?;
    let map = ebpf.map_mut("filter_ipv4").context("xdp-filter has no map filter_ipv4")?;
    let mut denied: PerCpuHashMap<_, [u8; 4], u64> = map.try_into()?;
    let cpus = nr_cpus().map_err(|(_, error)| error).context("counting CPUs")?;
    for source in sources {
        // `MAP_FLAG_SRC` of xdp-filter: the address is looked at as a source.
        denied.insert(source.octets(), PerCpuValues::try_from(vec![1; cpus])?, 0).context("denying an address")?;
    }
    let program = ebpf.programs().map(|(name, _)| name.to_owned()).next().context("xdp-filter has no program")?;
    let interface = interface.to_owned();
    let attached = net.spawn(Host::Server, move || -> Result<Ebpf> {
        let xdp: &mut Xdp = ebpf.program_mut(&program).context("the program was just there")?.try_into()?;
        xdp.load().context("loading xdp-filter's program into the kernel")?;
        xdp.attach(&interface, XdpMode::Driver).context("attaching xdp-filter")?;
        Ok(ebpf)
    })?;
    attached.join().unwrap_or_else(|_| bail!("a thread panicked"))
}

/// Where packages put it: the program that passes all but the addresses it is told, and looks at nothing else.
const OBJECTS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_ip.o",
    "/usr/lib64/bpf/xdpfilt_alw_ip.o",
    "/usr/lib/bpf/xdpfilt_alw_ip.o",
];
