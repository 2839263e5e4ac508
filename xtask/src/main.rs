//! `cargo xtask`: everything a developer or a first user does, each with its set-up.
//!
//! This file reads the command line; each task has a file of its own.

mod bench;
mod command;
mod dist;
mod ebpf;
mod fail2ban;
mod fuzz;
mod kernels;
mod lab;
mod packages;
mod provenance;
mod run;
mod systemd;
mod test;
mod toolchain;

use clap::{Parser, Subcommand};

/// Builds, runs, tests and shows `blocker`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the daemon and runs it on this machine, with the shipped default configuration
    Run(run::Options),
    /// Runs every test, after setting up what they need
    Test(test::Options),
    /// Runs the tests of the kernel's part on Debian's kernels 5.10, 6.1, 6.12 and 7, in virtual machines
    TestKernels(kernels::Options),
    /// Runs the unit in `dist/` under a real systemd, in a virtual machine
    TestSystemd(systemd::Options),
    /// Formatting, lints, licences, and whether the committed XDP object is the one its sources give
    Lint,
    /// Builds the XDP program and replaces the committed object
    Ebpf(ebpf::Options),
    /// Shows the whole way from a failed login to a dropped packet, in namespaces of its own
    Lab(lab::Options),
    /// Measures
    Bench(bench::Options),
    /// Writes man pages and completions for shells to `target/dist`
    Dist,
    /// Fuzzes everything that parses
    Fuzz(fuzz::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::test(&options),
        Task::TestKernels(options) => kernels::test_kernels(&options),
        Task::TestSystemd(options) => systemd::test_systemd(&options),
        Task::Lint => test::lint(),
        Task::Ebpf(options) => ebpf::ebpf(&options),
        Task::Lab(options) => lab::lab(&options),
        Task::Bench(options) => bench::bench(&options),
        Task::Dist => dist::dist(),
        Task::Fuzz(options) => fuzz::fuzz(&options),
    }
}
