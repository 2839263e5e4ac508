//! Many addresses, and the sets of nftables and of ipset that take them: the files one would keep of them, to be loaded by
//! their own programs.
//!
//! Every element has an end, as every ban of `blocker` has.

use std::{fmt::Write as _, fs, net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result};
use blocker_tests::{
    netns::{Host, Net},
    process,
};

use crate::PATIENCE;

/// `count` addresses of all over the internet, in no order, always the same; at most [`MOST`].
pub(crate) fn addresses(count: usize) -> Vec<Ipv4Addr> {
    // An odd factor makes each number another, so that no address comes twice.
    let all = (1_u32..).map(|number| Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1)));
    all.filter(|addr| is_abroad(*addr)).take(count.min(MOST)).collect()
}

/// What the tables of `blocker` take by default on a machine with memory.
pub(crate) const MOST: usize = 1 << 20;

/// Whether it is neither this machine's, nor one that no packet may come from, nor of the bench's own networks.
fn is_abroad(addr: Ipv4Addr) -> bool {
    let [first, second, ..] = addr.octets();
    (1..224).contains(&first)
        && !matches!(
            (first, second),
            (10 | 127, _) | (169, 254) | (172, 16..32) | (192, 0 | 168) | (198, 18..20 | 51) | (203, 0)
        )
}

/// Writes them one per line.
pub(crate) fn write_list(path: &Path, addresses: &[Ipv4Addr]) -> Result<()> {
    let mut text = String::new();
    for addr in addresses {
        writeln!(text, "{addr}")?;
    }
    write(path, &text)
}

/// Writes what `nft -f` makes a table with a set of them of; `chain` goes into the table too.
pub(crate) fn write_nft(path: &Path, family: &str, addresses: &[Ipv4Addr], chain: &str) -> Result<()> {
    let mut text = format!(
        "table {family} bench {{\n\tset banned {{\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t\ttimeout 1h\n\t\tsize {MOST}\n\t\telements = {{ "
    );
    for addr in addresses {
        write!(text, "{addr}, ")?;
    }
    write!(text, "}}\n\t}}\n{chain}}}\n")?;
    write(path, &text)
}

/// Writes what `ipset restore` makes a set of them of, with a table that need not grow.
pub(crate) fn write_ipset(path: &Path, addresses: &[Ipv4Addr]) -> Result<()> {
    let size = addresses.len().next_power_of_two().max(1024);
    let mut text = format!("create banned hash:ip family inet hashsize {size} maxelem {MOST} timeout 3600\n");
    for addr in addresses {
        writeln!(text, "add banned {addr}")?;
    }
    write(path, &text)
}

/// Runs a program on the server to its end, which must be a good one; returns what it printed.
pub(crate) fn run(net: &Net, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = net.command(Host::Server, program);
    command.args(arguments);
    Ok(process::run(command, PATIENCE)?.success()?.stdout)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
