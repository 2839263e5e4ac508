//! The topology: a router in the middle, and everybody else behind a veth pair to it.
//!
//! ```text
//!   server 192.0.2.10 ───┐           ┌─── attacker   203.0.113.66, any of 203.0.113.0/24
//!     2001:db8:1::10     ├─ router ──┤      2001:db8:3::66, any of 2001:db8:3::/48
//!   client 198.51.100.20 ┘           └─── accomplice 203.0.113.67
//!     2001:db8:2::20                        2001:db8:4::67
//! ```
//!
//! Every host is a network namespace `blk<pid>-<n>-<host>` with one interface, `eth0`; the router is the first address
//! of each network. Programs enter by `nsenter --net`, because `ip netns exec` would hide the BPF file system.

use std::{
    fs::{self, File},
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sched::{CloneFlags, setns},
    unistd::Uid,
};

use crate::{interrupt, leftovers};

/// Where a program can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Forwards between all others.
    Router,
    /// Runs Dovecot and `blocker`.
    Server,
    /// Where the legitimate user sits.
    Client,
    /// The attacker with a whole network of addresses.
    Attacker,
    /// A second attacker, for programs that cannot choose their source address.
    Accomplice,
}

/// The namespaces; removed, with every process in them, on drop.
#[derive(Debug)]
pub struct Net {
    name: String,
}

impl Net {
    /// Builds the topology. Also sweeps up after killed runs and makes Ctrl-C a flag (see [`interrupt`]).
    ///
    /// # Errors
    ///
    /// Without root, without iproute2, or with the kernel's own words.
    pub fn new() -> Result<Self> {
        ensure!(
            Uid::effective().is_root(),
            "the laboratory needs root for namespaces, XDP and port 143; run it through sudo"
        );
        interrupt::install()?;
        interrupt::check()?;
        leftovers::sweep();
        // From here on, dropping `net` removes whatever exists of it.
        let net = Self { name: leftovers::unique_name() };
        for host in Host::ALL {
            ip(&["netns", "add", &net.namespace(host)], "")?;
            net.spawn(host, move || prepare_namespace(host))?.join().unwrap_or_else(|_| bail!("a thread panicked"))?;
        }
        for link in &LINKS {
            net.join_to_router(link)?;
        }
        net.ip(Host::Router, "route add 2001:db8:3::/48 via 2001:db8:3::66\n")?;
        Ok(net)
    }

    /// The name of a host's namespace, as `ip netns` shows it.
    #[must_use]
    pub fn namespace(&self, host: Host) -> String {
        format!("{}-{}", self.name, host.name())
    }

    /// `program`, to be run on `host`.
    #[must_use]
    pub fn command(&self, host: Host, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace(host))).arg("--").arg(program);
        command
    }

    /// Runs `work` in a thread of this process that lives on `host`.
    ///
    /// # Errors
    ///
    /// If the namespace cannot be opened. A thread that cannot enter it panics, which `join` reports.
    pub fn spawn<T: Send + 'static>(
        &self,
        host: Host,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let path = format!("/run/netns/{}", self.namespace(host));
        let namespace = File::open(&path).with_context(|| format!("opening {path}"))?;
        Ok(thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace it made");
            work()
        }))
    }

    /// Gives `host` one more address to speak from; it must be one that the router sends there.
    ///
    /// # Errors
    ///
    /// `ip`'s own.
    pub fn add_address(&self, host: Host, address: IpAddr) -> Result<()> {
        // On `lo`, the choice of a source address for ordinary programs stays what it was.
        let (length, flags) = if address.is_ipv6() { (128, "nodad") } else { (32, "") };
        self.ip(host, &format!("addr add {address}/{length} dev lo {flags}\n"))
    }

    /// Runs `ip` commands, one per line, on `host`.
    ///
    /// # Errors
    ///
    /// `ip`'s own.
    pub fn ip(&self, host: Host, batch: &str) -> Result<()> {
        ip(&["-n", &self.namespace(host), "-batch", "-"], batch)
    }

    fn join_to_router(&self, link: &Link) -> Result<()> {
        let Link { host, v4, v6, gateway_v4, gateway_v6, v4_length } = link;
        let (port, router) = (host.name(), self.namespace(Host::Router));
        // In the host's namespace: older kernels refuse a name that is taken where the command is given.
        self.ip(*host, &format!("link add eth0 type veth peer name {port} netns {router}\n"))?;
        self.ip(
            Host::Router,
            &format!(
                "link set lo up\nlink set {port} up\n\
                 addr add {gateway_v4}/{v4_length} dev {port}\naddr add {gateway_v6}/64 dev {port} nodad\n"
            ),
        )?;
        if *v4_length == 32 {
            self.ip(Host::Router, &format!("route add {v4}/32 dev {port}\n"))?;
        }
        self.ip(
            *host,
            &format!(
                "link set lo up\nlink set eth0 up\n\
                 addr add {v4}/{v4_length} dev eth0\naddr add {v6}/64 dev eth0 nodad\n\
                 route add default via {gateway_v4} dev eth0 onlink\nroute add default via {gateway_v6} dev eth0\n"
            ),
        )
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in Host::ALL {
            let name = self.namespace(host);
            if fs::exists(format!("/run/netns/{name}")).unwrap_or(true) {
                leftovers::remove_namespace(&name);
            }
        }
    }
}

impl Host {
    /// All of them, the router first.
    pub const ALL: [Self; 5] = [Self::Router, Self::Server, Self::Client, Self::Attacker, Self::Accomplice];

    /// The name in its namespace's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Server => "server",
            Self::Client => "client",
            Self::Attacker => "attacker",
            Self::Accomplice => "accomplice",
        }
    }
}

/// The server's addresses.
pub const SERVER: [IpAddr; 2] = [SERVER_V4, SERVER_V6];
/// The server's IPv4 address.
pub const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// The server's IPv6 address.
pub const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10));
/// The legitimate client's IPv4 address.
pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
/// The legitimate client's IPv6 address.
pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x20));
/// The attacker's own IPv4 address.
pub const ATTACKER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));
/// The attacker's own IPv6 address.
pub const ATTACKER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 0x66));
/// The accomplice's IPv4 address.
pub const ACCOMPLICE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 67));
/// The accomplice's IPv6 address.
pub const ACCOMPLICE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 0x67));

/// A host's place behind the router.
struct Link {
    host: Host,
    v4: IpAddr,
    v6: IpAddr,
    gateway_v4: Ipv4Addr,
    gateway_v6: Ipv6Addr,
    /// 32 for a host whose network is another's: the router then has a route to it alone.
    v4_length: u8,
}

const LINKS: [Link; 4] = [
    Link {
        host: Host::Server,
        v4: SERVER_V4,
        v6: SERVER_V6,
        gateway_v4: Ipv4Addr::new(192, 0, 2, 1),
        gateway_v6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1),
        v4_length: 24,
    },
    Link {
        host: Host::Client,
        v4: CLIENT_V4,
        v6: CLIENT_V6,
        gateway_v4: Ipv4Addr::new(198, 51, 100, 1),
        gateway_v6: Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1),
        v4_length: 24,
    },
    Link {
        host: Host::Attacker,
        v4: ATTACKER_V4,
        v6: ATTACKER_V6,
        gateway_v4: Ipv4Addr::new(203, 0, 113, 1),
        gateway_v6: Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 1),
        v4_length: 24,
    },
    Link {
        host: Host::Accomplice,
        v4: ACCOMPLICE_V4,
        v6: ACCOMPLICE_V6,
        gateway_v4: Ipv4Addr::new(203, 0, 113, 1),
        gateway_v6: Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 1),
        v4_length: 32,
    },
];

/// Readies the namespace that the calling thread is in: its addresses are usable at once, and the router forwards.
///
/// Link-local addresses too must skip duplicate address detection, or the router cannot ask for neighbours in its
/// first second.
fn prepare_namespace(host: Host) -> Result<()> {
    let forwarding = if host == Host::Router { "1" } else { "0" };
    for (key, value) in [
        ("ipv4/ip_forward", forwarding),
        ("ipv6/conf/all/forwarding", forwarding),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ] {
        fs::write(format!("/proc/sys/net/{key}"), value).with_context(|| format!("setting net/{key}"))?;
    }
    Ok(())
}

fn ip(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting `ip` (Debian's package iproute2)")?;
    child.stdin.take().context("stdin was piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "ip {} <<< {input:?}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
