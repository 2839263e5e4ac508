//! fail2ban as Debian packages it, unpacked and never installed: its files as data, and its programs to be run beside ours.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::{
    leftovers::Scratch,
    process::{self, Finished},
};

/// The releases of Debian whose packages `cargo xtask test` unpacks, and the version of fail2ban in them.
pub const RELEASES: [(&str, &str); 2] = [("bookworm", "1.0.2"), ("trixie", "1.1.0")];

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A package, with a configuration of its own that tests may change.
#[derive(Debug)]
pub struct Fail2ban {
    root: PathBuf,
    scratch: Scratch,
}

impl Fail2ban {
    /// The package of a release, its configuration copied into a new directory.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn of(release: &str) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fail2ban").join(release);
        ensure!(root.is_dir(), "{} is not there: `cargo xtask test` fetches it", root.display());
        let scratch = Scratch::new()?;
        let package = Self { root, scratch };
        copy(&package.root.join("etc/fail2ban"), &package.directory())?;
        Ok(package)
    }

    /// The directory of its configuration.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.scratch.path().join("fail2ban")
    }

    /// Another file, in a place that goes with this value.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file of the configuration.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        fs::write(self.directory().join(path), text).with_context(|| format!("writing {path}"))
    }

    /// One of its programs, not yet started.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new("python3");
        command.args(["-W", "ignore"]).arg(self.root.join("usr/bin").join(name)).arg("-c").arg(self.directory());
        command.env("PYTHONPATH", self.root.join("usr/lib/python3/dist-packages"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs its client.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn client(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = self.program("fail2ban-client");
        command.args(arguments);
        process::run(command, PATIENCE)
    }

    /// What its client would tell its server of each jail that is on: for each option the last value, and for lists all of them;
    /// and its `backend`.
    ///
    /// # Errors
    ///
    /// If it would tell nothing.
    pub fn effective(&self) -> Result<Vec<(String, Map<String, Value>)>> {
        let dump = self.client(&["-d"])?;
        let mut jails: Vec<(String, Map<String, Value>)> = Vec::new();
        for line in dump.stdout.lines().filter(|line| line.starts_with('[')) {
            let mut rest = line;
            let Value::Array(words) = literal(&mut rest).with_context(|| line.to_owned())? else { continue };
            let texts: Vec<&str> = words.iter().map(|word| word.as_str().unwrap_or_default()).collect();
            match texts.as_slice() {
                ["add", jail, backend, ..] => {
                    let options = [("backend".to_owned(), Value::from(*backend))];
                    jails.push(((*jail).to_owned(), options.into_iter().collect()));
                }
                ["set" | "multi-set", jail, option, ..] => {
                    let Some((_, options)) = jails.iter_mut().find(|(name, _)| name == jail) else { continue };
                    let values = match &words[3..] {
                        [Value::Array(values)] => values.clone(),
                        values => values.to_vec(),
                    };
                    match (option.starts_with("add"), options.get_mut(*option)) {
                        // An expression each, but the words of a match.
                        (true, Some(Value::Array(before))) if *option == "addjournalmatch" => {
                            before.push(joined(&values));
                        }
                        (true, None) if *option == "addjournalmatch" => {
                            options.insert((*option).to_owned(), Value::Array(vec![joined(&values)]));
                        }
                        (true, Some(Value::Array(before))) => before.extend(values),
                        (true, _) => drop(options.insert((*option).to_owned(), Value::Array(values))),
                        (false, _) => {
                            options.insert((*option).to_owned(), values.first().cloned().unwrap_or_default());
                        }
                    }
                }
                _ => {}
            }
        }
        ensure!(!jails.is_empty(), "no jail is on: {dump:?}");
        Ok(jails)
    }
}

fn joined(words: &[Value]) -> Value {
    Value::String(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Reads a list, a text, a number, or one of Python's words, as Python prints them.
fn literal(rest: &mut &str) -> Result<Value> {
    *rest = rest.trim_start_matches([' ', ',']);
    let first = rest.chars().next().context("it ends too early")?;
    match first {
        '[' | '(' => {
            *rest = &rest[1..];
            let mut values = Vec::new();
            loop {
                *rest = rest.trim_start_matches([' ', ',']);
                if let Some(after) = rest.strip_prefix([']', ')']) {
                    *rest = after;
                    return Ok(Value::Array(values));
                }
                values.push(literal(rest)?);
            }
        }
        '\'' | '"' => {
            let mut text = String::new();
            let mut chars = rest[1..].chars();
            loop {
                match chars.next().context("a text has no end")? {
                    c if c == first => break,
                    '\\' => match chars.next().context("a text has no end")? {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        'x' => {
                            let digits: String = chars.by_ref().take(2).collect();
                            text.push(char::from(u8::from_str_radix(&digits, 16)?));
                        }
                        c @ ('\\' | '\'' | '"') => text.push(c),
                        c => bail!("unknown escape {c}"),
                    },
                    c => text.push(c),
                }
            }
            *rest = chars.as_str();
            Ok(Value::String(text))
        }
        _ => {
            let end = rest.find([',', ']', ')', ' ']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            Ok(match word {
                "None" => Value::Null,
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                number => serde_json::from_str(number)?,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_prints_is_read() {
        let mut text = r#"['set', "it's", None, 5, True, ['a\\b\n', 'ü\x1b'], ('x',)]"#;

        let read = literal(&mut text).unwrap();

        assert_eq!(read, json!(["set", "it's", null, 5, true, ["a\\b\n", "ü\u{1b}"], ["x"]]));
        assert_eq!(text, "");
    }
}
