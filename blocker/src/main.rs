//! The program `blocker`: the daemon and its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    blocker::cli::main()
}
