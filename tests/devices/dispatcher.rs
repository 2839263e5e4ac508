//! Beside libxdp's dispatcher, by which xdp-tools and others share an interface: it was there first, and stays.

use std::time::Duration;

use anyhow::Result;
use blocker_tests::{
    kernel::has_tcx,
    netns::{Host, Net},
    process, wait,
};

use crate::guard::{ban_outlives, configured};
use crate::siege::LIMIT;

#[test]
fn the_dispatcher_is_left_alone_and_bans_hold_by_tcx_where_the_kernel_has_it() -> Result<()> {
    let net = Net::new()?;
    // A filter that is told to drop nothing.
    run(&net, &["xdp-filter", "load", "--mode", "native", "eth0"])?;
    let mut daemon = configured(&net, "eth0", "")?;

    if has_tcx() {
        let held = ban_outlives(&net, daemon)?;
        assert_eq!(held.only()?.mode.as_deref(), Some("tcx"));
        let refusals = held.only()?.refusals.join("; ");
        assert!(refusals.contains("the tcx link of an earlier run is kept"), "the link was taken over: {refusals}");
    } else {
        daemon.start_unattached()?;
        wait::until("the reason", LIMIT, || {
            let status = daemon.status().map_err(|error| format!("{error:#}"))?;
            let error = status.interfaces.iter().find_map(|interface| interface.error.as_deref()).unwrap_or_default();
            let says_why = error.contains("another XDP program is attached, number") && error.contains("no tcx");
            if says_why { Ok(()) } else { Err(format!("{:?}", status.interfaces)) }
        })?;
    }

    let there = run(&net, &["xdp-loader", "status", "eth0"])?;
    assert!(there.contains("xdp_dispatcher") && there.contains("xdpfilt"), "{there}");
    run(&net, &["xdp-filter", "unload", "eth0"]).map(|_| ())
}

/// Runs a command on the server.
fn run(net: &Net, words: &[&str]) -> Result<String> {
    let [program, arguments @ ..] = words else { anyhow::bail!("a command has a first word") };
    let mut command = net.command(Host::Server, program);
    command.args(arguments);
    Ok(process::run(command, Duration::from_secs(60))?.success()?.stdout)
}
