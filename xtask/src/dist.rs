//! `cargo xtask dist`: what a package brings beside the program: man pages, and completions for shells.
//!
//! All of it is made from the definition of the command line itself, and blocker.toml(5) from the shipped configuration, in which
//! every key stands with its default.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, roman};

use crate::command::root;

/// The shells that completions are made for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// The shipped configuration.
const CONFIGURATION: &str = include_str!("../../dist/blocker.toml");

/// Writes everything below `target/dist`.
pub(crate) fn dist() -> Result<()> {
    let dist = root().join("target/dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("emptying {}", dist.display()))?;
    }
    write(&dist)?;
    println!("{0}: man pages in {0}/man, completions in {0}/completions", dist.display());
    Ok(())
}

fn write(dist: &Path) -> Result<()> {
    let (man, completions) = (dist.join("man"), dist.join("completions"));
    for directory in [&man, &completions] {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    clap_mangen::generate_to(blocker::cli::command(), &man).context("writing the man pages")?;
    fs::write(man.join("blocker.toml.5"), configuration_page()).context("writing blocker.toml.5")?;
    for shell in SHELLS {
        let mut command = blocker::cli::command();
        clap_complete::generate_to(shell, &mut command, "blocker", &completions)
            .with_context(|| format!("writing the completions for {shell}"))?;
    }
    Ok(())
}

/// blocker.toml(5).
fn configuration_page() -> String {
    let version = format!("blocker {}", blocker::cli::command().get_version().unwrap_or_default());
    let mut page = Roff::new();
    page.control("TH", ["blocker.toml", "5", "", &version]);
    page.control("SH", ["NAME"]).text([roman("blocker.toml - configuration of blocker")]);
    page.control("SH", ["DESCRIPTION"]).text([
        roman("Read by "),
        bold("blocker run"),
        roman(", and again by "),
        bold("blocker reload"),
        roman("; "),
        bold("blocker check"),
        roman(" says what is wrong with it. By default it is /etc/blocker/blocker.toml. Filters are in filters.d beside it."),
    ]);
    page.control("SH", ["KEYS"]).control("nf", []);
    for line in CONFIGURATION.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []).control("SH", ["SEE ALSO"]).text([bold("blocker"), roman("(1)")]);
    page.to_roff()
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// A command and all below it, with their names as typed: `blocker ban`.
    fn all(command: Command) -> Vec<(String, Command)> {
        let mut commands = vec![(command.get_name().to_owned(), command)];
        let mut at = 0;
        while let Some((name, command)) = commands.get(at).cloned() {
            commands
                .extend(command.get_subcommands().map(|below| (format!("{name} {}", below.get_name()), below.clone())));
            at += 1;
        }
        commands
    }

    /// The definition, with what each command inherits.
    fn commands() -> Vec<(String, Command)> {
        let mut command = blocker::cli::command();
        command.build();
        all(command)
    }

    /// A directory that goes with the test, holding everything.
    struct Written(std::path::PathBuf);

    impl Written {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("blocker-dist-{name}-{}", std::process::id()));
            write(&path).expect("it can be written");
            Self(path)
        }

        fn read(&self, file: &str) -> String {
            let path = self.0.join(file);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        }
    }

    impl Drop for Written {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("it is ours");
        }
    }

    /// As a man page has it: what could be taken for an escape or a request is escaped.
    fn shown(page: &str) -> String {
        page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    }

    #[test]
    fn every_command_has_a_page_with_all_its_options() {
        let written = Written::new("man");
        let commands = commands();
        assert!(commands.len() > 10, "{commands:?}");

        for (name, command) in commands {
            let page = shown(&written.read(&format!("man/{}.1", name.replace(' ', "-"))));
            assert!(page.contains(&name.replace(' ', "-")), "{page}");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let spelt = argument.get_long().map_or_else(
                    || argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string),
                    |long| Some(format!("--{long}")),
                );
                let spelt = spelt.unwrap_or_else(|| argument.get_id().to_string());
                assert!(page.contains(&spelt), "{name}: {spelt} is not in its page:\n{page}");
            }
        }
    }

    #[test]
    fn every_command_and_option_is_completed_in_every_shell() {
        let written = Written::new("completions");

        for file in ["blocker.bash", "_blocker", "blocker.fish"] {
            let text = written.read(&format!("completions/{file}"));
            for (name, command) in commands() {
                let last = name.rsplit(' ').next().unwrap_or_default();
                assert!(text.contains(last), "{file}: {name}");
                for long in command.get_arguments().filter_map(clap::Arg::get_long) {
                    let spelt = if file.ends_with("fish") { format!("-l {long}") } else { format!("--{long}") };
                    assert!(text.contains(&spelt), "{file}: {name} --{long}");
                }
            }
        }
    }

    #[test]
    fn the_page_of_the_configuration_has_every_key_and_nothing_is_taken_for_a_request() {
        let page = configuration_page();

        for line in CONFIGURATION.lines().filter(|line| line.starts_with('#') || line.starts_with('[')) {
            let key = line.trim_start_matches('#').split([' ', '=']).next().unwrap_or_default();
            assert!(shown(&page).contains(key), "{key}");
        }
        let requests: Vec<&str> = page.lines().filter(|line| line.starts_with(['.', '\''])).collect();
        let known = [".ie", ".el", ".TH", ".SH", ".nf", ".fi", ".ds"];
        assert!(requests.iter().all(|line| known.iter().any(|request| line.starts_with(request))), "{requests:?}");
    }

    #[test]
    fn every_argument_has_a_help_with_its_unit_and_its_default() {
        for (name, command) in commands() {
            assert!(command.get_about().is_some(), "{name} says what it does");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let spelt = format!("{name} {}", argument.get_id());
                assert!(help.len() > 5 && !help.ends_with('.'), "{spelt}: {help:?}");
                let values: Vec<String> =
                    argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
                if argument.get_action().takes_values() && values == ["TIME"] {
                    assert!(help.contains("90s") || help.contains("seconds"), "{spelt} tells its unit: {help}");
                    assert!(help.contains("[default: "), "{spelt} tells its default: {help}");
                }
                if let Some(default) =
                    argument.get_default_values().first().filter(|_| argument.get_action().takes_values())
                {
                    let long = command.clone().render_long_help().to_string();
                    assert!(long.contains(&format!("[default: {}]", default.to_string_lossy())), "{spelt}: {long}");
                }
            }
        }
        let long = blocker::cli::command().render_long_help().to_string();
        assert!(long.contains("Exit codes: 0 done"), "{long}");
    }
}
