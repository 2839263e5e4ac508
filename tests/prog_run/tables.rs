//! A freshly loaded object: its maps to be filled, its two programs to be run.

use std::net::{Ipv4Addr, Ipv6Addr};

use aya::programs::{TestRun as _, TestRunOptions};
use blocker::clock;
use blocker::kernel::{Maps, Object, Presence, Program, Programs, load_unpinned_at, require_capabilities};
use blocker_common::{
    Ban, Counter, FOREVER, Interface, Outcome, Protocol, SCOPE_ALL, SCOPE_ALL_OBSERVED, flags, port_index,
};
use blocker_core::prefix::Prefix;
use blocker_tests::kernel::has_frames_in_several_buffers;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// Protects TCP 143 and 993 where [`Loaded::mail_server`] made the tables.
pub(crate) const MAIL: u64 = 1;
/// Protects TCP 587, and 993 too.
pub(crate) const SUBMISSION: u64 = 2;
/// Protects UDP and SCTP 5060; the highest number a jail can have.
pub(crate) const TELEPHONE: u64 = 1 << 61;
/// Closes every port.
pub(crate) const ALL: u64 = SCOPE_ALL | 1 << 7;

pub(crate) const IMAP: u16 = 143;
pub(crate) const IMAPS: u16 = 993;
pub(crate) const SUBMIT: u16 = 587;
pub(crate) const SIP: u16 = 5060;
/// Protected by nobody.
pub(crate) const HTTP: u16 = 80;

/// Banned where [`Loaded::mail_server`] made the tables, from [`MAIL`].
pub(crate) const BANNED: &str = "192.0.2.9";
pub(crate) const BANNED6: &str = "2001:db8:0:1::9";
/// Banned there from every port.
pub(crate) const OUTLAW: &str = "203.0.113.66";
pub(crate) const OUTLAW6: &str = "2001:db8:0:66::9";
/// Never banned.
pub(crate) const CUSTOMER: &str = "198.51.100.7";
pub(crate) const CUSTOMER6: &str = "2001:db8:7::9";

/// Programs and maps that nobody else has.
pub(crate) struct Loaded {
    programs: Programs,
    pub(crate) maps: Maps,
    presence: Presence,
    flags: u32,
    observed: u64,
}

/// How the tables are set up.
impl Loaded {
    /// Nothing protected, nobody banned.
    pub(crate) fn empty() -> Self {
        Self::at(0)
    }

    /// The same for the interface at this place of the table.
    pub(crate) fn at(slot: u32) -> Self {
        if let Err(error) = require_capabilities() {
            panic!("these tests run XDP programs in the kernel, and must be run as root: {error:#}");
        }
        let Object { programs, maps } = load_unpinned_at(slot).expect("the kernel takes the object's maps");
        Self { programs, maps, presence: Presence::default(), flags: 0, observed: 0 }
    }

    /// Three jails with their ports, and nobody banned.
    pub(crate) fn jails() -> Self {
        let mut loaded = Self::empty();
        loaded.protect(Protocol::Tcp, IMAP, MAIL);
        loaded.protect(Protocol::Tcp, IMAPS, MAIL | SUBMISSION);
        loaded.protect(Protocol::Tcp, SUBMIT, SUBMISSION);
        loaded.protect(Protocol::Udp, SIP, TELEPHONE);
        loaded.protect(Protocol::Sctp, SIP, TELEPHONE);
        loaded
    }

    /// The same jails, with [`BANNED`] and [`BANNED6`] shut out by one of them.
    pub(crate) fn mail_server() -> Self {
        let mut loaded = Self::jails();
        loaded.ban(BANNED, in_force(MAIL));
        loaded.ban("2001:db8:0:1::/64", in_force(MAIL));
        loaded
    }

    /// The same, and [`OUTLAW`] and [`OUTLAW6`] shut out from everything.
    pub(crate) fn strict_mail_server() -> Self {
        let mut loaded = Self::mail_server();
        loaded.ban(OUTLAW, in_force(ALL));
        loaded.ban("2001:db8:0:66::/64", in_force(ALL));
        loaded
    }

    pub(crate) fn protect(&mut self, protocol: Protocol, port: u16, jails: u64) {
        self.maps.set_port_scope(port_index(protocol, port), jails).expect("the port table takes every port");
    }

    /// Bans a prefix, and switches on the searches that makes necessary.
    pub(crate) fn ban(&mut self, prefix: &str, ban: Ban) {
        let prefix: Prefix = prefix.parse().expect("a prefix");
        let ban = Ban { prefix_len: prefix.len().into(), ..ban };
        if self.maps.ban(prefix).expect("the maps can be read").is_none() {
            self.presence.add(&mut self.maps, [prefix]).expect("every prefix has its place");
        }
        self.maps.set_ban(prefix, &ban).expect("there is room for a ban");
        let search = match (prefix.addr().is_ipv4(), prefix.len()) {
            (true, 32) | (false, 64) => 0,
            (true, _) => flags::NETWORKS4,
            (false, _) => flags::NETWORKS6,
        };
        let all_ports = if ban.scope & (SCOPE_ALL | SCOPE_ALL_OBSERVED) != 0 { flags::ALL_PORTS } else { 0 };
        self.set_flags(self.flags | search | all_ports | self.presence.flags());
    }

    /// Bans many hosts and /64s from [`MAIL`].
    pub(crate) fn ban_many(&mut self, hosts: &[Ipv4Addr], networks: &[Ipv6Addr]) {
        let hosts = hosts.iter().map(|&addr| Prefix::host(addr.into()));
        let networks = networks.iter().map(|&addr| Prefix::new(addr.into(), 64).expect("64 bits of an IPv6 address"));
        let prefixes: Vec<Prefix> = hosts.chain(networks).collect();
        self.presence.add(&mut self.maps, prefixes.iter().copied()).expect("every prefix has its place");
        let ban = |prefix: Prefix| (prefix, Ban { prefix_len: prefix.len().into(), ..in_force(MAIL) });
        let refused = self.maps.set_bans(&prefixes.into_iter().map(ban).collect::<Vec<_>>());
        assert!(refused.is_empty(), "there is room for all of them: {:?}", refused.first());
    }

    pub(crate) fn unban(&mut self, prefix: &str) {
        let prefix: Prefix = prefix.parse().expect("a prefix");
        self.maps.remove_ban(prefix).expect("a ban can be removed");
        self.presence.remove(&mut self.maps, [prefix]).expect("every prefix has its place");
        let wide = flags::WIDE4 | flags::WIDE6;
        self.set_flags(self.flags & !wide | self.presence.flags());
    }

    /// Allow-lists a prefix, and has the program ask for it always.
    pub(crate) fn allow(&mut self, prefix: &str) {
        self.allow_unasked(prefix);
        self.set_flags(self.flags | flags::ASK_ALWAYS);
    }

    /// Allow-lists a prefix, for which the program asks only where a ban says so.
    pub(crate) fn allow_unasked(&mut self, prefix: &str) {
        self.maps.allow(prefix.parse().expect("a prefix")).expect("there is room on the allowlist");
    }

    pub(crate) fn observe(&mut self) {
        self.set_flags(self.flags | flags::OBSERVE);
    }

    /// Has these jails only observe.
    pub(crate) fn observe_jails(&mut self, jails: u64) {
        self.observed = jails;
        self.set_flags(self.flags);
    }

    /// Has the interface, which for these programs is the first of the table, only observe.
    pub(crate) fn observe_interface(&mut self) {
        let interface = Interface { index: 1, flags: flags::OBSERVE, name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0" };
        self.maps.set_interface(0, interface).expect("the table of interfaces can be written");
    }

    pub(crate) fn set_flags(&mut self, flags: u32) {
        self.maps.set_config(flags, self.observed).expect("the configuration can be written");
        self.flags = flags;
    }
}

/// A ban of these jails for the next hour.
pub(crate) fn in_force(scope: u64) -> Ban {
    Ban { scope, deadline_ns: now_ns() + 3_600_000_000_000, ..Ban::default() }
}

/// One that has just ended.
pub(crate) fn over(scope: u64) -> Ban {
    Ban { scope, deadline_ns: now_ns() - TICK_NS, ..Ban::default() }
}

/// The longest the kernel goes on with a time it has read: a tick, of which there are at least 100 in a second.
pub(crate) const TICK_NS: u64 = 10_000_000;

/// One without end, whatever its deadline says.
pub(crate) fn forever(scope: u64) -> Ban {
    Ban { scope, deadline_ns: 1, flags: FOREVER, ..Ban::default() }
}

/// `CLOCK_BOOTTIME`, as the program reads it.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(clock::now().as_nanos()).expect("the boot is not before the boot")
}

/// The kernel runs a program on the CPU of the thread that asks.
pub(crate) fn stay_on_this_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu().expect("a thread is on a CPU")).expect("that is one of few");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("a thread may choose");
}

/// What becomes of a packet: an XDP program's return value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Drop,
    Pass,
    /// None of ours.
    Other(u32),
}

/// One run of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) action: Action,
    /// The counters that rose, and by how much.
    pub(crate) rose: Vec<(Outcome, Counter)>,
}

/// What runs.
impl Loaded {
    /// Runs a program on a frame once.
    pub(crate) fn run(&mut self, program: Program, frame: &[u8]) -> Ran {
        let before = self.counters();
        let (action, _) = self.repeat(program, frame, 1);
        let after = self.counters();
        let rose = before.into_iter().zip(after).filter(|(before, after)| before != after);
        Ran { action, rose: rose.map(|((outcome, before), (_, after))| (outcome, difference(before, after))).collect() }
    }

    /// Runs the program for tc on a frame once; `None` if the frame is shorter than its IP header, which the kernel makes
    /// no packet of.
    pub(crate) fn run_tc(&mut self, frame: &[u8]) -> Option<Ran> {
        let before = self.counters();
        let action = self.act_tc(frame)?;
        let rose = before.into_iter().zip(self.counters()).filter(|(before, after)| before != after);
        let rose = rose.map(|((outcome, before), (_, after))| (outcome, difference(before, after))).collect();
        Some(Ran { action, rose })
    }

    /// The same, without a look at what was counted.
    pub(crate) fn act_tc(&mut self, frame: &[u8]) -> Option<Action> {
        let tc = self.programs.loaded_tc().expect("the kernel takes the program");
        match tc.test_run(TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() }) {
            Ok(ran) => Some(Action::of_tc(ran.return_value)),
            Err(_) if frame.len() < 14 + 40 => None,
            Err(error) => panic!("the kernel runs no frame of {} bytes: {error:?}", frame.len()),
        }
    }

    /// Runs a program on a frame many times, and says how many whole nanoseconds one run took on average.
    pub(crate) fn repeat(&mut self, program: Program, frame: &[u8], repeat: u32) -> (Action, u128) {
        let xdp = self.program(program);
        let ran = xdp
            .test_run(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() })
            .unwrap_or_else(|error| panic!("the kernel runs no frame of {} bytes: {error:?}", frame.len()));
        (Action::of(ran.return_value), ran.duration.as_nanos())
    }

    pub(crate) fn counters(&self) -> Vec<(Outcome, Counter)> {
        let counter = |outcome| self.maps.counter(0, outcome).expect("every outcome has a counter");
        Outcome::ALL.into_iter().map(|outcome| (outcome, counter(outcome))).collect()
    }

    /// The entry of a ban that is there, with what is still in the tallies.
    pub(crate) fn entry(&self, prefix: &str) -> Ban {
        let prefix = prefix.parse().expect("a prefix");
        let ban = self.maps.ban(prefix).expect("the maps can be read").expect("the prefix is banned");
        self.maps.tallies().expect("the tallies can be read").complete(prefix, ban)
    }

    /// The entry as the map has it.
    pub(crate) fn bare_entry(&self, prefix: &str) -> Ban {
        self.maps.ban(prefix.parse().expect("a prefix")).expect("the maps can be read").expect("the prefix is banned")
    }

    pub(crate) fn program(&mut self, program: Program) -> &mut aya::programs::Xdp {
        self.programs.loaded(runnable(program)).expect("the kernel takes the program")
    }

    /// Why the kernel does not take the program.
    pub(crate) fn refusal(&mut self, program: Program) -> Option<String> {
        self.programs.loaded(program).err().map(|error| format!("{error:#}"))
    }
}

/// The program, or where the kernel has no frames of several buffers the one for all others, which judges alike.
fn runnable(program: Program) -> Program {
    if has_frames_in_several_buffers() { program } else { Program::NoFrags }
}

impl Action {
    /// `TCX_DROP` and `TCX_NEXT` of `enum tcx_action_base`, `include/uapi/linux/bpf.h`.
    fn of_tc(value: u32) -> Self {
        match value {
            2 => Self::Drop,
            u32::MAX => Self::Pass,
            other => Self::Other(other),
        }
    }

    /// `enum xdp_action`, `include/uapi/linux/bpf.h`.
    pub(crate) fn of(value: u32) -> Self {
        match value {
            1 => Self::Drop,
            2 => Self::Pass,
            other => Self::Other(other),
        }
    }
}

fn difference(before: Counter, after: Counter) -> Counter {
    Counter { packets: after.packets - before.packets, bytes: after.bytes - before.bytes }
}
