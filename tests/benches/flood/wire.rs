//! The veth pair between attacker and server, with all of the receiver's work in one kernel thread on one processor.

use std::{fs, io::Error, net::Ipv4Addr, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use blocker_tests::{
    netns::{Host, Net},
    process, wait,
    worker::make_on,
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::{PATIENCE, RECEIVER, sets};

/// The server's address on it.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 143, 0, 1);

/// The client's, which is not banned.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 143, 0, 2);

/// Where answers to banned sources would go.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 143, 0, 3);

/// Addresses of the two ends.
pub(crate) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const ATTACKER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Ranks of threads that run before all processes: the flood's ends, and the client, who sends when it wants to.
pub(crate) const FIRST: libc::c_int = 1;
pub(crate) const VERY_FIRST: libc::c_int = 2;

/// Nanoseconds between two looks of the receiver for frames, as a card's moderated interrupts come: to wake it for each frame
/// would cost more than any filter. The veth's queue takes 256 frames.
const LOOK_NS: u32 = 20_000;

/// Looks in vain before it waits to be woken.
const IDLE_LOOKS: u32 = 200;

/// The pair; it goes with the namespaces.
pub(crate) struct Wire {
    /// The name of either end in its namespace.
    pub(crate) name: String,
    /// The kernel thread that receives on the server.
    receiver: Pid,
}

impl Wire {
    /// Lays it.
    pub(crate) fn lay(net: &Net) -> Result<Self> {
        let name = format!("fl{}", std::process::id());
        let server = net.namespace(Host::Server);
        let (ours, theirs) = (mac(ATTACKER_MAC), mac(SERVER_MAC));
        net.ip(
            Host::Attacker,
            &format!(
                "link add {name} address {ours} numrxqueues 1 numtxqueues 1 type veth \
                 peer name {name} address {theirs} numrxqueues 1 numtxqueues 1 netns {server}\n\
                 addr add {CLIENT}/29 dev {name}\nlink set {name} up\n\
                 neigh add {SERVER} lladdr {theirs} dev {name} nud permanent\n"
            ),
        )?;
        net.ip(
            Host::Server,
            &format!(
                "addr add {SERVER}/29 dev {name}\nlink set {name} up\n\
                 neigh add {CLIENT} lladdr {ours} dev {name} nud permanent\n\
                 neigh add {NOWHERE} lladdr {ours} dev {name} nud permanent\n\
                 route add 198.18.0.0/15 via {NOWHERE} dev {name}\n"
            ),
        )?;
        let filtered = [format!("net/ipv4/conf/{name}/rp_filter"), "net/ipv4/conf/all/rp_filter".to_owned()];
        make_on(net, Host::Server, move || {
            let mut keys = filtered.iter();
            keys.try_for_each(|key| fs::write(format!("/proc/sys/{key}"), "0")).context("letting any source in")
        })?;
        // With GRO a veth receives by NAPI, with or without XDP, but only what comes from a device that cannot segment; and NAPI
        // can have a thread of its own. What `ip netns exec` runs sees the namespace's own /sys.
        let mut command = net.command(Host::Attacker, "ethtool");
        command.args(["-K", &name, "tso", "off"]);
        process::run(command, PATIENCE)?.success().context("switching segmentation off")?;
        sets::run(net, "ethtool", &["-K", &name, "gro", "on"])?;
        let script = format!(
            "cd /sys/class/net/{name} && echo {IDLE_LOOKS} > napi_defer_hard_irqs && echo {LOOK_NS} > gro_flush_timeout \
             && echo 1 > threaded"
        );
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &server, "sh", "-c", &script]);
        process::run(command, PATIENCE)?.success().context("setting up the receiver")?;
        let receiver = wait::until("the receiver's thread", Duration::from_secs(5), || {
            thread_called(&format!("napi/{name}-")).ok_or_else(|| "no such thread".to_owned())
        })?;
        let mut cpus = CpuSet::new();
        cpus.set(RECEIVER).context("the receiver's processor")?;
        sched_setaffinity(receiver, &cpus).context("moving the receiver's thread")?;
        put_before_all(receiver, FIRST)?;
        Ok(Self { name, receiver })
    }

    /// How long the receiver's thread has been on a processor.
    pub(crate) fn receiver_cpu_ns(&self) -> Result<u64> {
        let path = format!("/proc/{}/schedstat", self.receiver);
        let times = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        times.split(' ').next().and_then(|ns| ns.parse().ok()).with_context(|| format!("{path} has no number: {times}"))
    }
}

/// Has a thread run before all processes, and before those of a lower rank; zero is the caller.
pub(crate) fn put_before_all(thread: Pid, rank: libc::c_int) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: rank };
    // SAFETY: the parameters outlive the call, which reads them.
    let set = unsafe { libc::sched_setscheduler(thread.as_raw(), libc::SCHED_FIFO, &raw const parameters) };
    if set < 0 { Err(Error::last_os_error()).context("putting a thread before all others") } else { Ok(()) }
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// A thread whose name begins so; the kernel cuts names to 15 bytes.
fn thread_called(name: &str) -> Option<Pid> {
    let name = name.get(..15).unwrap_or(name);
    fs::read_dir("/proc").ok()?.find_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        comm.starts_with(name).then(|| Pid::from_raw(pid))
    })
}
