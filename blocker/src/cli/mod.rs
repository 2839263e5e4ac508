//! The command line: a file per command.

mod allow;
mod ban;
mod bans;
mod check;
mod confirm;
mod detach;
mod doctor;
mod import;
mod notes;
mod notify;
mod output;
mod reload;
mod report;
mod run;
mod status;
mod targets;
mod test;
mod unban;
mod watch;
mod way;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::exit;
use crate::settings::DEFAULT_PATH;

/// Bans password guessers on a mail server and drops their packets in the network driver.
#[derive(Parser)]
#[command(name = "blocker", version, max_term_width = 120, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 daemon not running, 77 not permitted, 78 configuration."
)]
struct Arguments {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Prints JSON: one object, or one per line for lists
    #[arg(long, global = true)]
    json: bool,
    /// Logs more: -v for user names and branches, -vv for every line
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the daemon in the foreground
    Run(run::Options),
    /// Reads the configuration, runs the filters' examples, and says what is wrong
    Check,
    /// Says whether this machine can do it, in which mode each interface is or would be, and what would help
    Doctor,
    /// Shows jails, interfaces, counters and health
    Status(status::Options),
    /// Lists the bans in force
    Bans(bans::Options),
    /// Bans addresses or networks
    Ban(ban::Options),
    /// Lifts bans
    Unban(unban::Options),
    /// Never bans addresses or networks, from now on, and lifts the bans inside them; or lists who is never banned, and why
    Allow(allow::Options),
    /// Takes back what `blocker allow` allowed
    Disallow(allow::Disallowing),
    /// Tells everything known of an address: who bans it and for which lines, or why it is not banned
    Why(why::Options),
    /// Shows what is dropped, banned and attacked as it happens, until `q` is pressed; with --json an object for each interval
    Watch(watch::Options),
    /// Tells what happened: bans by jail, time, network and user, who came again, and who may be no attacker
    Report(report::Options),
    /// Says what filters make of logs: what matches, what is missed, who would be banned and when
    Test(test::Options),
    /// Says what of another program's set-up is carried over, changed and refused, and takes over its bans
    Import(import::Options),
    /// Has the daemon send a test to everybody it tells of bans, and says what became of it
    Notify(notify::Options),
    /// Keeps enforcement on that a daemon started by `run --confirm TIME` would end
    Confirm,
    /// Makes the daemon read its configuration anew; a faulty one changes nothing
    Reload,
    /// Lets go of every interface and removes every pin, and the bans with them; the daemon must be stopped
    Detach,
}

/// What every command is told.
struct Globals {
    config: PathBuf,
    json: bool,
    verbose: u8,
}

/// The definition of the command line, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the command line and carries it out.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { config, json, verbose, command } = Arguments::parse();
    let globals = Globals { config, json, verbose };
    let result = match command {
        Command::Run(options) => run::run(&globals, &options),
        Command::Check => check::check(&globals),
        Command::Doctor => doctor::doctor(&globals),
        Command::Status(options) => status::status(&globals, &options),
        Command::Bans(options) => bans::bans(&globals, &options),
        Command::Ban(options) => ban::ban(&globals, &options),
        Command::Unban(options) => unban::unban(&globals, &options),
        Command::Allow(options) => allow::allow(&globals, &options),
        Command::Disallow(options) => allow::disallow(&globals, &options),
        Command::Why(options) => why::why(&globals, &options),
        Command::Watch(options) => watch::watch(&globals, &options),
        Command::Report(options) => report::report(&globals, &options),
        Command::Test(options) => test::test(&globals, &options),
        Command::Import(options) => import::import(&globals, &options),
        Command::Notify(options) => notify::notify(&globals, &options),
        Command::Confirm => confirm::confirm(&globals),
        Command::Reload => reload::reload(&globals),
        Command::Detach => detach::detach(&globals),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            let (code, message) = exit::report(&error);
            eprintln!("{message}");
            code
        }
    }
}
