//! Others at the same file: as they are installed, with the filters that they ship.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::Figure;

/// What fail2ban's package ships for Dovecot.
const FAIL2BAN_FILTER: &str = "/etc/fail2ban/filter.d/dovecot.conf";

/// One expression for the failures of this log: what a search can do at best, without an address, a count or a decision.
const EXPRESSION: &str = r"dovecot: (imap|pop3|submission|managesieve)-login: .*\(auth failed, .*rip=[0-9a-f.:]+";

/// fail2ban's own tester of filters.
pub(crate) fn fail2ban(log: &Path) -> Result<Figure> {
    let mut command = Command::new("fail2ban-regex");
    command.args(["--print-no-missed", "--print-no-ignored"]).arg(log).arg(FAIL2BAN_FILTER);
    let (figure, output) = time(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "Lines: 2000000 lines, 0 ignored, 600000 matched, 1400000 missed"
    let found = number_before(&text, " matched").context("fail2ban-regex did not say how many lines matched")?;
    Ok(Figure { found, ..figure })
}

/// The dry run of fail2ban-rs, with the jail that it makes for Dovecot itself.
pub(crate) fn fail2ban_rs(program: &Path, log: &Path) -> Result<Figure> {
    let jail = output(Command::new(program).args(["gen-config", "dovecot"]))?;
    let config = log.with_extension("fail2ban-rs.toml");
    fs::write(&config, [b"[global]\n", &jail.stdout[..]].concat())?;
    let (figure, output) = time(Command::new(program).arg("dry-run").arg("--config").arg(&config).arg(log))?;
    // "  Matches:    600000"
    let text = String::from_utf8_lossy(&output.stdout);
    let found = number_behind(&text, "Matches:").context("fail2ban-rs did not say how many lines matched")?;
    Ok(Figure { found, ..figure })
}

/// ripgrep, counting the lines that match one expression.
pub(crate) fn ripgrep(log: &Path) -> Result<Figure> {
    let (figure, output) = time(Command::new("rg").args(["--threads", "1", "--count", EXPRESSION]).arg(log))?;
    let found = String::from_utf8_lossy(&output.stdout).trim().parse().context("rg did not print a number")?;
    Ok(Figure { found, ..figure })
}

/// Where a program of the crate is that `cargo xtask bench ingest` installs.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    let root = std::env::var_os("BLOCKER_BENCH_TOOLS")
        .context("BLOCKER_BENCH_TOOLS is not set: use `cargo xtask bench ingest`")?;
    Ok(PathBuf::from(root).join("bin").join(name))
}

fn time(command: &mut Command) -> Result<(Figure, Output)> {
    let began = Instant::now();
    let output = output(command)?;
    Ok((Figure { took: began.elapsed(), found: 0 }, output))
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("starting {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?} ended with {}: {}", command.get_program(), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

/// The last number in front of `word`.
fn number_before(text: &str, word: &str) -> Option<u64> {
    let before = &text[..text.rfind(word)?];
    let digits = before.len() - before.bytes().rev().take_while(u8::is_ascii_digit).count();
    before[digits..].parse().ok()
}

/// The number behind the first `word`.
fn number_behind(text: &str, word: &str) -> Option<u64> {
    let behind = text[text.find(word)? + word.len()..].trim_start();
    let end = behind.bytes().take_while(u8::is_ascii_digit).count();
    behind[..end].parse().ok()
}
