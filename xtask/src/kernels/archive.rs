//! Debian's archive: packages of another release than this machine's, fetched and unpacked, never installed.
//!
//! apt does it, with a sources list and a state of its own below `target/`, so that the machine's packages, and what apt
//! knows of them, stay as they are. It verifies the archive's signatures, by the keys in Debian's package of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, run_as};

/// The keys that Debian signs its releases with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where Debian's packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The archive.
    main: String,
    /// The archive of security updates, if it is known.
    security: Option<String>,
}

impl Mirror {
    /// The one that is `given`, or the one that this machine's own packages come from.
    ///
    /// # Errors
    ///
    /// If none is given, and this machine is not Debian or its sources cannot be read.
    pub(crate) fn find(given: Option<&str>) -> Result<Self> {
        if let Some(given) = given {
            return Ok(Self { main: given.to_owned(), security: None });
        }
        let hint = "name one with --mirror";
        let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |name: &str| {
            let value = system.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.trim_matches('"'))
        };
        let (Some("debian"), Some(codename)) = (field("ID"), field("VERSION_CODENAME")) else {
            bail!("this machine is not Debian, so its sources name no archive of Debian's: {hint}");
        };
        Self::of(&sources(), codename).with_context(|| format!("no source of `{codename}` in /etc/apt: {hint}"))
    }

    /// The lines of a sources.list for `suite`, and its security updates.
    pub(crate) fn lines(&self, suite: &str) -> Vec<String> {
        let mut lines = vec![format!("deb [signed-by={KEYRING}] {} {suite} main", self.main)];
        // Releases in the making have no security updates of their own.
        if let (Some(security), false) = (&self.security, suite == "sid") {
            lines.push(format!("deb [signed-by={KEYRING}] {security} {suite}-security main"));
        }
        lines
    }

    /// The sources of the release called `codename`.
    fn of(sources: &[Source], codename: &str) -> Option<Self> {
        let of_suite =
            |suite: &str| sources.iter().find(|source| source.suite == suite).map(|source| source.uri.clone());
        Some(Self { main: of_suite(codename)?, security: of_suite(&format!("{codename}-security")) })
    }
}

/// A place that packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
}

/// Every source of this machine's apt, in both forms that it reads.
fn sources() -> Vec<Source> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(text.lines().flat_map(one_line)),
            Some("sources") => found.extend(text.split("\n\n").flat_map(stanza)),
            Some(_) | None => {}
        }
    }
    found
}

/// `deb [options] URI SUITE COMPONENTS`.
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    Some(Source { uri: words.next()?.to_owned(), suite: words.next()?.to_owned() })
}

/// Fields, one to a line, as in `/etc/apt/sources.list.d/debian.sources`.
fn stanza(text: &str) -> Vec<Source> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().split_whitespace()
    };
    if !field("Types").any(|kind| kind == "deb") || field("Enabled").any(|word| word == "no") {
        return Vec::new();
    }
    let source = |uri: &str, suite: &str| Source { uri: uri.to_owned(), suite: suite.to_owned() };
    field("URIs").flat_map(|uri| field("Suites").map(move |suite| source(uri, suite))).collect()
}

/// apt, as if on a machine of another release with nothing installed.
pub(crate) struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Reads what packages `suite` has, and its security updates.
    ///
    /// # Errors
    ///
    /// apt's.
    pub(crate) fn open(directory: &Path, mirror: &Mirror, suite: &str) -> Result<Self> {
        let archive = Self { directory: directory.to_owned() };
        for folder in ["lists/partial", "cache/archives/partial", "packages"] {
            make(&directory.join(folder))?;
        }
        let list = mirror.lines(suite).join("\n") + "\n";
        write(&directory.join("sources.list"), list.as_bytes())?;
        write(&directory.join("status"), b"")?;
        run_as(&format!("apt-get update, of Debian's {suite} alone"), archive.apt("apt-get").args(["update", "-qq"]))?;
        Ok(archive)
    }

    /// The names in a package's `Depends`, alternatives after one another, and its version.
    ///
    /// # Errors
    ///
    /// If there is no such package.
    pub(crate) fn package(&self, name: &str) -> Result<(String, Vec<String>)> {
        let text = output(self.apt("apt-cache").args(["show", "--no-all-versions", name]))
            .with_context(|| format!("Debian's archive has no package {name}"))?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let version = field("Version").with_context(|| format!("{name} has no version"))?.to_owned();
        Ok((version, dependencies(field("Depends").unwrap_or_default())))
    }

    /// Fetches packages and unpacks them below `place`.
    ///
    /// # Errors
    ///
    /// apt's and dpkg's.
    pub(crate) fn unpack(&self, packages: &[String], place: &Path) -> Result<()> {
        let folder = self.directory.join("packages");
        make(place)?;
        let words = format!("apt-get download {}", packages.join(" "));
        run_as(&words, self.apt("apt-get").current_dir(&folder).args(["download", "-qq"]).args(packages))?;
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let package = entry?.path();
            let words = format!("dpkg-deb --extract {}", package.display());
            run_as(&words, Command::new("dpkg-deb").arg("--extract").arg(&package).arg(place))?;
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::State={}", at("")),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures::=amd64".to_owned(),
            // apt's own user may not be able to write below target/.
            "APT::Sandbox::User=".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// The names in a field such as `a (= 1), b | c`.
fn dependencies(field: &str) -> Vec<String> {
    let words = field.split([',', '|']).filter_map(|entry| entry.split_whitespace().next());
    words.map(str::to_owned).collect()
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str) -> Source {
        Source { uri: uri.to_owned(), suite: suite.to_owned() }
    }

    #[test]
    fn both_forms_of_sources_are_read() {
        assert_eq!(one_line("deb [arch=amd64] http://a.example.org/debian trixie main"), {
            Some(source("http://a.example.org/debian", "trixie"))
        });
        assert_eq!(one_line("deb http://a.example.org trixie main contrib"), {
            Some(source("http://a.example.org", "trixie"))
        });
        assert_eq!(one_line("# deb http://a.example.org trixie main"), None);
        assert_eq!(one_line("deb-src http://a.example.org trixie main"), None);
        let text = "Types: deb\n# a comment\nURIs: http://a.example.org\nSuites: x x-updates\nComponents: main";
        assert_eq!(stanza(text), [source("http://a.example.org", "x"), source("http://a.example.org", "x-updates")]);
        assert_eq!(stanza(&format!("Enabled: no\n{text}")), []);
        assert_eq!(stanza("Types: deb-src\nURIs: http://a.example.org\nSuites: x"), []);
    }

    #[test]
    fn the_archive_is_that_of_the_machines_own_release() {
        let sources =
            [source("http://tools.example.org", "stable"), source("http://s", "x-security"), source("http://m", "x")];
        let found = Mirror { main: "http://m".into(), security: Some("http://s".into()) };
        assert_eq!(Mirror::of(&sources, "x"), Some(found));
        assert_eq!(Mirror::of(&sources, "y"), None);
    }

    #[test]
    fn versions_and_alternatives_are_no_names_of_packages() {
        assert_eq!(dependencies("a (= 1), b (>= 2~) | c,d"), ["a", "b", "c", "d"]);
        assert_eq!(dependencies(""), Vec::<String>::new());
    }
}
