//! fail2ban's configuration and bans are read as fail2ban itself reads them. Its packages of two releases of Debian are run beside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use blocker_core::{
    config::Names,
    fail2ban::{Fate, Fault, Filter, Jail, Logs, Problem, load_filter, load_jails, lower},
};
use blocker_tests::{
    daemon::{self, Daemon, Settings},
    fail2ban::{Fail2ban, RELEASES},
    netns::Net,
    process::{self, Finished, Process},
    wait,
};
use serde_json::{Map, Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// The modes that stock filters have.
const MODES: [&str; 9] = ["", "normal", "more", "ddos", "extra", "aggressive", "auth", "rbl", "errors"];

/// A filter in fail2ban's own words.
fn in_its_words(filter: &Filter) -> Map<String, Value> {
    let definition = &filter.definition;
    let mut words = Map::new();
    let mut put = |key: &str, value: Value| drop(words.insert(key.to_owned(), value));
    put("addfailregex", json!(definition.failregex));
    if !definition.ignoreregex.is_empty() {
        put("addignoreregex", json!(definition.ignoreregex));
    }
    if !definition.journalmatch.is_empty() {
        put("addjournalmatch", json!(definition.journalmatch));
    }
    for (key, value) in [("prefregex", &definition.prefregex), ("datepattern", &definition.datepattern)] {
        if let Some(value) = value {
            put(key, json!(value));
        }
    }
    if definition.maxlines != 1 {
        put("maxlines", json!(definition.maxlines));
    }
    words
}

/// The same of what fail2ban says.
fn of_filter(options: &Map<String, Value>) -> Map<String, Value> {
    let keys = ["addfailregex", "addignoreregex", "addjournalmatch", "prefregex", "datepattern", "maxlines"];
    let is_usual = |key: &str, value: &Value| key == "maxlines" && *value == json!(1) || *value == json!("");
    options
        .iter()
        .filter(|(key, value)| keys.contains(&key.as_str()) && !is_usual(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Where the two differ, and how: the first characters of each value.
fn differences(filter: &Filter, options: &Map<String, Value>) -> Vec<String> {
    let (ours, theirs) = (in_its_words(filter), of_filter(options));
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let shown =
        |value: Option<&Value>| value.map_or_else(String::new, |value| value.to_string().chars().take(100).collect());
    keys.into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| format!("{key}: {} and not {}", shown(ours.get(key)), shown(theirs.get(key))))
        .collect()
}

#[test]
fn every_stock_jail_says_what_it_says_to_fail2ban() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        package.write("jail.local", "[DEFAULT]\nenabled = true\n")?;
        let theirs = package.effective()?;

        // Its first line says where each jail's lines come from: since 1.1 from the journal where no log file is.
        let is_there = |_: &str| theirs.iter().any(|(_, options)| options["backend"] == "auto");
        let files = blocker::fail2ban::read(&package.directory())?;
        let jails = load_jails(&files, &is_there).expect("the stock files are in order").jails;

        let names = |jails: &[Jail]| jails.iter().map(|jail| jail.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&jails), theirs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), "{version}");
        assert!(jails.len() > 80, "{version} has {} jails", jails.len());
        // Jails that read all of the journal there read their log files here, if there are any.
        let without_logs = load_jails(&files, &|_| false).expect("as before").jails;
        for ((jail, without_logs), (name, options)) in jails.iter().zip(&without_logs).zip(&theirs) {
            let jail = if jail.backend.name == "systemd" { without_logs } else { jail };
            assert_eq!(jail.faults, [], "{version}: {name}");
            let filter = jail.filter.as_ref().with_context(|| format!("{version}: {name} has no filter"))?;
            assert_eq!(differences(filter, options), [""; 0], "{version}: {name}");
            assert_eq!(json!(jail.max_retry), options["maxretry"], "{version}: {name}");
            assert_eq!(json!(jail.use_dns), options["usedns"], "{version}: {name}");
            let named: Vec<&str> = jail.actions.iter().map(|action| action.named.name.as_str()).collect();
            assert!(!named.is_empty(), "{version}: {name} has actions");
        }
        let import = lower(&load_jails(&files, &is_there).expect("as before"), &Names::builtin(), &|_| Ok(()));
        let carried = import.jails.iter().filter(|jail| jail.jail.is_some()).count();
        assert!(carried >= 10, "{version}: {carried} jails have filters of ours");
        for jail in &import.jails {
            let why = jail.notes.iter().any(|note| note.fate == Fate::Refused);
            assert!(jail.jail.is_some() || why, "{version}: {} goes without a reason", jail.name);
        }
    }
    Ok(())
}

#[test]
fn every_stock_filter_is_in_every_mode_what_it_is_to_fail2ban_or_is_refused() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        let files = blocker::fail2ban::read(&package.directory())?;
        let stems: Vec<String> = files
            .within("filter.d")
            .filter_map(|path| Some(path.strip_prefix("filter.d/")?.strip_suffix(".conf")?.to_owned()))
            .collect();
        let calls: BTreeMap<String, String> = stems
            .iter()
            .flat_map(|stem| {
                MODES.map(|mode| {
                    (
                        format!("{stem}-in-{mode}"),
                        if mode.is_empty() { stem.clone() } else { format!("{stem}[mode={mode}]") },
                    )
                })
            })
            .collect();
        for entry in fs::read_dir(package.directory().join("jail.d"))? {
            fs::remove_file(entry?.path())?;
        }
        let loaded: BTreeMap<&str, Result<Filter, Vec<Fault>>> =
            calls.iter().map(|(jail, call)| (jail.as_str(), load_filter(&files, call, Logs::Files))).collect();
        // A jail for each, which has nothing of the stock jails. What is wrong with one would keep fail2ban from the others.
        let is_broken =
            |jail: &str| matches!(&loaded[jail], Err(faults) if !matches!(faults[0].problem, Problem::Missing(_)));
        let (broken, whole): (Vec<_>, Vec<_>) = calls.iter().partition(|(jail, _)| is_broken(jail));
        let write = |jails: &[(&String, &String)]| {
            let jails = jails.iter().map(|(jail, call)| format!("[{jail}]\nfilter = {call}\n")).collect::<String>();
            package.write(
                "jail.conf",
                &format!("[DEFAULT]\nenabled = true\nbackend = polling\nlogpath = /dev/null\n{jails}"),
            )
        };
        write(&whole)?;
        let theirs: BTreeMap<String, Map<String, Value>> = package.effective()?.into_iter().collect();

        let mut refused: Vec<&str> = broken.iter().map(|(_, call)| call.as_str()).collect();
        for (jail, call) in whole {
            let options = theirs.get(jail).with_context(|| format!("{version}: fail2ban leaves {call} out"))?;
            match &loaded[jail.as_str()] {
                Ok(filter) => assert_eq!(differences(filter, options), [""; 0], "{version}: {call}"),
                Err(faults) => {
                    assert_eq!(options.get("addfailregex"), None, "{version}: {call} is refused: {faults:?}");
                    refused.push(call);
                }
            }
        }
        for (jail, call) in broken.into_iter().filter(|(_, call)| !call.contains('[')) {
            write(&[(jail, call)])?;
            assert!(package.effective().is_err(), "{version}: fail2ban takes {call}: {:?}", loaded[jail.as_str()]);
        }
        refused.retain(|call| !call.contains('['));
        assert!(
            stems.len() > 90 && refused.len() < 12,
            "{version}: of {} filters {refused:?} are refused",
            stems.len()
        );
        println!("{version}: {} filters in {} calls; refused are {refused:?}", stems.len(), calls.len());
    }
    Ok(())
}

#[test]
fn what_differs_by_the_family_of_an_address_is_left_out_of_filters_as_fail2ban_does() -> Result<()> {
    let filter = "[Definition]\nfailregex = ^<x> <y> <z> <v> <w> %(x)s <HOST>$\nx = dx\nz = dz\n[Definition?family=inet6]\nw = sw\n[Init]\nx = ix\n\
                  y = iy\nz?family=inet4 = fz\nw = iw\n[Init?family=inet6]\nx = sx\nv = sv\n";
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        for entry in fs::read_dir(package.directory().join("jail.d"))? {
            fs::remove_file(entry?.path())?;
        }
        package.write("filter.d/families.conf", filter)?;
        package.write(
            "jail.conf",
            "[DEFAULT]\nenabled = true\nbackend = polling\nlogpath = /dev/null\n[families]\nfilter = families\n[given]\n\
             filter = families[x=px, y=py]\n",
        )?;
        let files = blocker::fail2ban::read(&package.directory())?;

        for (jail, options) in package.effective()? {
            let words = if jail == "given" { "families[x=px, y=py]" } else { "families" };
            let ours = load_filter(&files, words, Logs::Files).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
            assert_eq!(differences(&ours, &options), [""; 0], "{version}: {jail}");
        }
    }
    Ok(())
}

fn import(directory: &Path, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new(daemon::binary()?);
    command.args(["--config", "/nonexistent/blocker.toml", "import", "fail2ban"]).arg(directory).args(arguments);
    process::run(command, LIMIT)
}

/// A configuration that is in the way of none, since its file is not there.
fn with_configuration(config: &Path, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new(daemon::binary()?);
    command.arg("--config").arg(config).args(arguments);
    process::run(command, LIMIT)
}

#[test]
fn what_is_written_is_a_configuration_and_nothing_is_written_over() -> Result<()> {
    for (release, version) in RELEASES {
        let package = Fail2ban::of(release)?;
        package.write("jail.local", "[DEFAULT]\nenabled = true\nignoreip = 192.0.2.0/24\n")?;
        let path = package.beside("blocker.toml");
        let written = path.display().to_string();

        let first = import(&package.directory(), &["--write", &written])?.success()?;
        assert!(first.stdout.contains("sshd: becomes [jails.sshd]"), "{version}: {}", first.stdout);
        assert!(
            first.stdout.contains("\ndropbear: not carried over\n  REFUSED  filter"),
            "{version}: {}",
            first.stdout
        );
        let checked = with_configuration(&path, &["check"])?.success()?;
        assert!(
            checked.stdout.contains("jail sshd: on, filter sshd, protects 22/tcp"),
            "{version}: {}",
            checked.stdout
        );
        let text = fs::read_to_string(&path)?;
        assert!(text.contains("allow = [\n    \"192.0.2.0/24\",\n]"), "{version}: {text}");

        let again = import(&package.directory(), &["--write", &written])?;
        assert_eq!(again.code, Some(2), "{again:?}");
        fs::write(&path, "mine")?;
        import(&package.directory(), &["--write", &written, "--overwrite"])?.success()?;
        assert_eq!(fs::read_to_string(&path)?, text);

        let printed: Value = serde_json::from_str(&import(&package.directory(), &["--json"])?.success()?.stdout)?;
        let jails = printed["jails"].as_array().context("there are jails")?;
        let sshd = jails.iter().find(|jail| jail["name"] == "sshd").context("sshd is among them")?;
        assert_eq!(sshd["jail"]["ports"], json!(["ssh"]), "{sshd}");
        assert_eq!(sshd["jail"]["find_time"], "10m", "{sshd}");
    }
    Ok(())
}

#[test]
fn a_configuration_that_fail2ban_refuses_is_refused_with_its_lines() -> Result<()> {
    let package = Fail2ban::of(RELEASES[0].0)?;
    package.write("jail.local", "[sshd]\nenabled = true\nenabled = false\nnonsense\n")?;

    let refused = import(&package.directory(), &[])?;

    assert_eq!(refused.code, Some(78));
    for line in [
        "jail.local, line 3: [sshd] `enabled`: the option is in line 2 already",
        "jail.local, line 4: [sshd]: \"nonsense\" is no option",
    ] {
        assert!(refused.stderr.contains(line), "{}", refused.stderr);
    }
    let missing = import(&package.beside("nothing"), &[])?;
    assert_eq!(missing.code, Some(78), "{missing:?}");
    Ok(())
}

/// A fail2ban that runs, with a database, and a jail whose action does nothing.
pub(crate) struct Running {
    pub(crate) package: Fail2ban,
    server: Process,
    pub(crate) socket: PathBuf,
}

impl Running {
    pub(crate) fn start(release: &str, jails: &[&str]) -> Result<Self> {
        let package = Fail2ban::of(release)?;
        let [socket, pid, database, log] = ["s.sock", "s.pid", "f.sqlite3", "x.log"].map(|name| package.beside(name));
        fs::write(&log, "")?;
        package.write(
            "action.d/iptables-nothing.conf",
            "[Definition]\nactionban = true\nactionunban = true\n[Init]\nport = pop3,imap\n",
        )?;
        package.write(
            "fail2ban.local",
            &format!(
                "[Definition]\nsocket = {}\npidfile = {}\ndbfile = {}\nlogtarget = STDOUT\n",
                socket.display(),
                pid.display(),
                database.display()
            ),
        )?;
        package.write(
            "jail.local",
            &jails
                .iter()
                .map(|jail| {
                    let logpath = log.display();
                    format!(
                        "[{jail}]\nenabled = true\nbackend = polling\nlogpath = {logpath}\naction = iptables-nothing\n"
                    )
                })
                .chain(["[sshd]\nenabled = false\n".to_owned()])
                .collect::<String>(),
        )?;
        let mut command = package.program("fail2ban-server");
        command.args(["-f", "start"]);
        let server = Process::spawn("fail2ban-server", command)?;
        let running = Self { package, server, socket };
        wait::until("fail2ban", LIMIT, || match running.client(&["status", "dovecot"]) {
            Ok(answer) if answer.code == Some(0) => Ok(()),
            Ok(answer) => Err(format!("{answer:?}, {}", running.server.printed())),
            Err(error) => Err(error.to_string()),
        })?;
        Ok(running)
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Result<Finished> {
        self.package.client(&[&["-s", &self.socket.display().to_string()], arguments].concat())
    }
}

#[test]
fn the_bans_of_a_fail2ban_that_runs_are_taken_over() -> Result<()> {
    for (release, version) in RELEASES {
        let fail2ban = Running::start(release, &["dovecot", "dropbear"])?;
        fail2ban.client(&["set", "dovecot", "banip", "192.0.2.77", "2001:db8:7:7::9"])?.success()?;
        fail2ban.client(&["set", "dovecot", "bantime", "-1"])?.success()?;
        fail2ban.client(&["set", "dovecot", "banip", "192.0.2.78"])?.success()?;
        // blocker has no filter for this one; the daemon runs fail2ban's.
        fail2ban.client(&["set", "dropbear", "banip", "192.0.2.79"])?.success()?;
        let net = Net::new()?;
        let mut daemon = Daemon::configure(&net, &daemon::binary()?, &Settings::default())?;
        let directory = fail2ban.package.directory().display().to_string();
        let key = format!("[daemon]\nfail2ban = '{directory}'\n");
        daemon.write_configuration(&daemon.configuration(&Settings::default()).replacen("[daemon]\n", &key, 1))?;
        daemon.start()?;
        let listed = || daemon.cli(&["import", "fail2ban", &directory, "--list-bans"]);
        wait::until("all bans in the database", LIMIT, || match listed() {
            Ok(found) if found.stdout == "192.0.2.77\n192.0.2.78\n192.0.2.79\n2001:db8:7:7::9\n" => Ok(()),
            other => Err(format!("{version}: {other:?}")),
        })?;

        let told = daemon.cli(&["import", "fail2ban", &directory, "--bans"])?.success()?.stdout;
        assert!(told.contains("What fail2ban has counted is not taken over."), "{told}");

        let bans = daemon.bans()?;
        let of_dropbear = bans.iter().find(|ban| ban.prefix == "192.0.2.79").map(|ban| ban.jail.as_str());
        assert_eq!(of_dropbear, Some("dropbear"), "{version}: {bans:?}");
        let left =
            |prefix: &str| bans.iter().find(|ban| ban.prefix == prefix).map(|ban| (ban.jail.as_str(), ban.remaining_s));
        assert_eq!(left("192.0.2.78"), Some(("dovecot", None)), "{version}: {bans:?}");
        let (jail, Some(seconds)) = left("192.0.2.77").context("it is banned")? else {
            anyhow::bail!("it has an end: {bans:?}")
        };
        ensure!(
            jail == "dovecot" && (500.0..=610.0).contains(&seconds),
            "{version}: ten minutes, just begun: {seconds} s"
        );
        assert!(left("2001:db8:7:7::/64").is_some(), "{version}: {bans:?}");
        let whom = ["192.0.2.77", "192.0.2.78", "192.0.2.79", "2001:db8:7:7::/64"];
        let kernel: BTreeSet<String> = daemon.kernel_bans()?.into_iter().map(|ban| ban.prefix).collect();
        assert_eq!(kernel, whom.map(String::from).into(), "{version}");

        // Once more, for a program.
        let told = daemon.cli(&["--json", "import", "fail2ban", &directory, "--bans"])?.success()?;
        let rows: Vec<Value> = told.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let answered = |prefix: &str| {
            let is_of = |row: &&Value| row["prefix"] == prefix && row["why"].is_null();
            rows.iter().find(is_of).map(|row| row["outcome"].clone())
        };
        assert!(whom.iter().all(|prefix| answered(prefix) == Some("renewed".into())), "{version}: {told:?}");
        assert!(told.stderr.is_empty(), "{version}: {told:?}");
        assert_eq!(daemon.kernel_bans()?.len(), whom.len(), "{version}");
        let answer = fail2ban.client(&["get", "dovecot", "banip"])?.success()?;
        assert!(answer.stdout.contains("192.0.2.77"), "{version}: fail2ban goes on: {answer:?}");
    }
    Ok(())
}
