//! `blocker import fail2ban`: what of a set-up is carried over, changed, refused; the bans in force, and how far logs were read.

mod bans;
mod logs;

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use blocker_core::config;
use blocker_core::fail2ban::{self as core, Carried, Import, Taken};
use serde::Serialize;

use super::notes::notes;
use super::{Globals, output};
use crate::exit::{Failure, io_failure};
use crate::fail2ban::database::Ban;
use crate::fail2ban::{self, DIRECTORY};
use crate::settings;

/// Options of `blocker import`.
#[derive(clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    from: From,
}

#[derive(clap::Subcommand)]
enum From {
    /// fail2ban's jails, filters and bans; nothing of fail2ban is changed, and it may run meanwhile
    Fail2ban(Fail2ban),
}

#[derive(clap::Args)]
struct Fail2ban {
    /// The directory of its configuration
    #[arg(value_name = "DIR", default_value = DIRECTORY)]
    directory: PathBuf,
    /// Tells of the jails that are off, too
    #[arg(long)]
    all: bool,
    /// Writes the jails that are on into a new configuration file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Writes it also over a file that is there
    #[arg(long, requires = "write")]
    overwrite: bool,
    /// Its database [default: as its configuration says]
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Hands its bans in force to the daemon, each to the jail that its own became
    #[arg(long)]
    bans: bool,
    /// Has the daemon's first run read the logs on from where fail2ban has read them; before that run
    #[arg(long, conflicts_with = "bans")]
    logs: bool,
    /// Prints the addresses that it bans and nothing else, for `blocker ban -`
    #[arg(long, conflicts_with_all = ["bans", "logs", "write", "json"])]
    list_bans: bool,
}

/// What `import --json` prints.
#[derive(Serialize)]
struct Imported<'a> {
    directory: String,
    #[serde(flatten)]
    import: &'a Import,
    /// The bans in force; `None` without a database.
    bans: Option<&'a [Ban]>,
    /// Where the daemon's first run begins in logs; `None` without `--logs`.
    logs: Option<&'a [logs::Begun]>,
    /// The file that was written.
    written: Option<String>,
}

pub(super) fn import(globals: &Globals, options: &Options) -> Result<()> {
    let From::Fail2ban(options) = &options.from;
    let directory = options.directory.as_path();
    let files = fail2ban::read(directory)?;
    let database = options.database.clone().or_else(|| bans::usual_database(&files));
    if options.list_bans {
        return bans::list(database.as_deref());
    }
    let names = settings::names(&globals.config)?;
    let jails =
        core::load_jails(&files, &fail2ban::is_there).map_err(|faults| fail2ban::in_words(directory, &faults))?;
    let import = core::lower(&jails, &names, &fail2ban::check_allow_file);
    let text = import.toml();
    config::read(&text, &names).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        anyhow!(
            "what was made of {} is no configuration: {first}: this is a fault of blocker, please report it",
            directory.display()
        )
    })?;
    let asks_for_database = options.bans || options.logs || options.database.is_some();
    let found = match database.as_deref().map(bans::read) {
        // What was not asked for keeps nobody from the rest.
        Some(Err(error)) if !asks_for_database => {
            eprintln!("blocker: {error:#}");
            None
        }
        read => read.transpose()?,
    };
    if options.logs && database.is_none() {
        return Err(without_database());
    }
    if let Some(path) = &options.write {
        write(path, &text, options.overwrite)?;
    }
    let config = options.write.as_deref().unwrap_or(&globals.config);
    let begun = match database.as_deref().filter(|_| options.logs) {
        Some(database) => Some(logs::take_over(config, &import, database)?),
        None => None,
    };
    let written = options.write.as_ref().map(|path| path.display().to_string());
    if globals.json {
        let bans = found.as_ref().map(|found| found.bans.as_slice());
        output::json(&Imported {
            directory: directory.display().to_string(),
            import: &import,
            bans,
            logs: begun.as_deref(),
            written,
        })?;
    } else {
        print(directory, &import, options.all)?;
        if let Some(written) = written {
            output::line(&format!("\n{written}: written; `blocker --config {written} check` reads it"))?;
        }
        if let Some(begun) = &begun {
            logs::print(begun)?;
        }
    }
    match (found, options.bans) {
        (Some(found), true) => bans::hand_over(globals, &import, &found),
        (Some(found), false) if !globals.json => output::line(&format!(
            "\nbans in force: {}{}",
            found.bans.len(),
            if found.bans.is_empty() { "" } else { "; --bans hands them to the daemon, --list-bans prints them" }
        )),
        (None, true) => Err(without_database()),
        (Some(_) | None, false) => Ok(()),
    }
}

/// Which jail of ours each of fail2ban's became, by name. What the daemon runs as it is in fail2ban goes before what would be written
/// of it.
fn ours<'a>(import: &'a Import, taken: Option<&'a Taken>) -> BTreeMap<&'a str, &'a str> {
    let written = import.jails.iter().filter_map(|jail| Some((jail.name.as_str(), jail.jail.as_ref()?.name.as_str())));
    let run = taken.into_iter().flat_map(|taken| &taken.jails);
    let run = run.filter_map(|jail| Some((jail.name.as_str(), jail.jail.as_deref()?)));
    written.chain(run).collect()
}

fn without_database() -> anyhow::Error {
    anyhow!("fail2ban has no database here: name it with --database")
}

fn print(directory: &Path, import: &Import, all: bool) -> Result<()> {
    let on = import.jails.iter().filter(|jail| jail.enabled).count();
    let off: Vec<&Carried> = import.jails.iter().filter(|jail| !jail.enabled).collect();
    output::line(&format!("{}: jails: {on} on, {} off", directory.display(), off.len()))?;
    output::line("\nall jails:")?;
    notes(&import.notes)?;
    for jail in import.jails.iter().filter(|jail| jail.enabled || all) {
        let name = jail.name.escape_debug();
        let state = if jail.enabled { "" } else { " (off)" };
        match &jail.jail {
            Some(ours) => output::line(&format!("\n{name}{state}: becomes [jails.{}]", ours.name))?,
            None => output::line(&format!("\n{name}{state}: not carried over"))?,
        }
        notes(&jail.notes)?;
    }
    Ok(())
}

/// Writes a file that is whole or not there.
fn write(path: &Path, text: &str, overwrite: bool) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    if !overwrite {
        let mut file = fs::File::create_new(path).map_err(|error| {
            if error.kind() == ErrorKind::AlreadyExists {
                Failure::Usage(format!("{} is there already: name another file, or say --overwrite", path.display()))
                    .into()
            } else {
                io_failure(error, doing())
            }
        })?;
        return file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| io_failure(error, doing()));
    }
    let name = path.file_name().with_context(|| format!("{} is no name of a file", path.display()))?;
    let beside = path.with_file_name(format!("{}.new", name.to_string_lossy()));
    let written = fs::File::create(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| io_failure(error, doing()))
}
