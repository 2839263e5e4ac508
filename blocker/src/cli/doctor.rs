//! `blocker doctor`: can this machine do it, and if not, what would help?

use anyhow::{Result, anyhow};
use blocker_core::config;

use super::{Globals, check, output};
use crate::doctor::{self, Configuration, Finding, Level, Report};
use crate::exit::Failure;
use crate::settings;

pub(super) fn doctor(globals: &Globals) -> Result<()> {
    let path = globals.config.clone();
    let configuration = match check::load(&path) {
        Ok(config) => Configuration::Good { path, config: Box::new(config) },
        Err(error) => match error.downcast_ref::<Failure>() {
            Some(Failure::Permission(why)) => Configuration::Unreadable { path, why: why.clone() },
            Some(Failure::Configuration(faults)) => Configuration::Faulty { path, faults: faults.clone() },
            Some(Failure::Usage(_) | Failure::NotRunning(_)) | None => return Err(error),
        },
    };
    // Of a file that cannot be read, where things are by default.
    let places = settings::places(&globals.config).unwrap_or_else(|_| config::places(""));
    let report = doctor::judge(&doctor::gather(configuration, &places));
    if globals.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    let problems = report.count(Level::Problem);
    if report.faulty_configuration {
        return Err(
            Failure::Configuration(format!("{}: the configuration cannot be used", globals.config.display())).into()
        );
    }
    match problems {
        0 => Ok(()),
        1 => Err(anyhow!("a problem keeps it from protecting")),
        _ => Err(anyhow!("{problems} problems keep it from protecting")),
    }
}

fn print(report: &Report) -> Result<()> {
    let widths = |width: fn(&Finding) -> usize| report.findings.iter().map(width).max().unwrap_or(0);
    let level_width = widths(|finding| finding.level.name().len());
    let subject_width = widths(|finding| finding.subject.chars().count());
    let indent = " ".repeat(level_width + subject_width + 4);
    for Finding { level, subject, text, help } in &report.findings {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        output::line(&format!("{:<level_width$}  {subject:<subject_width$}  {first}", level.name()))?;
        for line in lines {
            output::line(&format!("{indent}{line}"))?;
        }
        for line in help.iter().flat_map(|help| help.lines()) {
            output::line(&format!("{indent}=> {line}"))?;
        }
    }
    let count = |level: Level, one: &str, many: &str| match report.count(level) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let counts: Vec<String> = [
        count(Level::Problem, "problem", "problems"),
        count(Level::Warn, "warning", "warnings"),
        count(Level::Hint, "hint", "hints"),
        count(Level::NotChecked, "thing not checked", "things not checked"),
    ]
    .into_iter()
    .flatten()
    .collect();
    output::line(&if counts.is_empty() { "all is well".to_owned() } else { counts.join(", ") })
}
