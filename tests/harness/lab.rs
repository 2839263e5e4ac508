//! The proof for somebody who has no mail server: attackers, a legitimate user, a real Dovecot, and `blocker` between.
//!
//! Three attackers begin at once. Hydra's IMAP mode tries three passwords per connection and its POP3 mode all of them
//! on one, which Dovecot logs as one line each: a counter of lines would see 1 where 3 or 5 passwords were tried. Each
//! attacker also knocks at a protected UDP port all the time, so that the first dropped packet dates the ban and not
//! the end of a pause in the attack.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    answers::{Ban, KernelBan},
    attackers::{self, Service},
    daemon::{Daemon, Settings, covers},
    dovecot::{BOB, Dovecot, Pace},
    knocker::Knocker,
    legitimate::Legitimate,
    listener::Listener,
    log_file::Entry,
    netns::{ACCOMPLICE_V4, ATTACKER_V4, ATTACKER_V6, CLIENT_V4, CLIENT_V6, Host, Net, SERVER_V4, SERVER_V6},
    probe,
    process::Process,
    report::{Attacker, Report},
    story::{Story, presentable},
    wait,
};

/// How the story is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How Dovecot treats wrong passwords.
    pub pace: Pace,
    /// Whether to print.
    pub aloud: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { pace: Pace::Shipped, aloud: true }
    }
}

/// Plays it all, with the daemon at `blocker`, and cleans up.
///
/// # Errors
///
/// If a part is missing, something does not happen in time, a promise is broken, or on Ctrl-C.
pub fn run(blocker: &Path, options: &Options) -> Result<Report> {
    let Options { pace, aloud } = *options;
    let story = Story::begin(aloud);
    attackers::check_installed()?;

    let net = Net::new()?;
    story.tell(&format!("Network: server {SERVER_V4}, {SERVER_V6}; client {CLIENT_V4}, {CLIENT_V6};"));
    story.tell(&format!("         attackers {ATTACKER_V4}, {ACCOMPLICE_V4}, {ATTACKER_V6}; a router between them."));

    let settings = Settings::default();
    let mut daemon = Daemon::configure(&net, blocker, &settings)?;
    let dovecot = Dovecot::start(&net, daemon.log(), pace)?;
    story.tell(&format!(
        "Dovecot {} serves IMAP and POP3, and logs to {}.",
        dovecot.version(),
        daemon.log().path().display()
    ));
    let _other_service = Listener::start(&net, OTHER_PORT)?;
    story.tell(&format!("Another service, which no jail protects, listens on port {OTHER_PORT}."));

    let status = daemon.start()?;
    for interface in &status.interfaces {
        let mode = interface.mode.as_deref().unwrap_or("no");
        story.tell(&format!(
            "blocker {} guards {} in {mode} mode: {} attempts within {} close {} for {}.",
            status.version,
            interface.name,
            settings.max_retry,
            settings.find_time,
            settings.ports.join(", "),
            settings.ban_time
        ));
    }
    let legitimate = Legitimate::start(&net)?;
    wait::until_true(
        "the legitimate user's first login",
        Duration::from_secs(60),
        || legitimate.experience().logins > 0,
        || format!("{:?}", legitimate.experience()),
    )?;
    story.tell("The legitimate user alice logs in again and again, over IPv4 and IPv6 in turn.");

    let mut attacks = begin_attacks(&net, &daemon, &story)?;
    let seen = watch(&mut daemon, &attacks, &settings, &story)?;
    for attack in &mut attacks {
        attack.programs.clear();
    }
    let attackers = judge(&net, &daemon, &attacks, seen, &story)?;

    let report = Report { attackers, legitimate: legitimate.experience() };
    drop(attacks);
    story.tell("Packets by what became of them:");
    for (reason, counter) in daemon.status()?.counters.iter().filter(|(_, counter)| counter.packets > 0) {
        story.show(&format!("             {reason:<24} {:>10} packets {:>12} bytes", counter.packets, counter.bytes));
    }
    story.show(&format!("\n{report}"));
    let broken = report.broken_promises();
    if !broken.is_empty() {
        bail!("promises broken:\n  {}", broken.join("\n  "));
    }
    Ok(report)
}

/// A service that no jail protects.
const OTHER_PORT: u16 = 8080;

const MAIL_PORTS: [u16; 2] = [143, 110];

/// Until the slowest attack is over: hydra's five POP3 passwords take a Dovecot as shipped about a minute.
const LIMIT: Duration = Duration::from_secs(150);

/// Between two packets of a knocker: what the measured delays may be too long by.
const KNOCKING: Duration = Duration::from_micros(250);

/// An attack under way.
struct Attack {
    what: &'static str,
    host: Host,
    source: std::net::IpAddr,
    server: std::net::IpAddr,
    programs: Vec<Process>,
    _knocker: Knocker,
}

/// What was seen of an attack: the lines up to the one that made the ban, the ban, its first drop.
struct Seen {
    lines: Vec<Entry>,
    ban: Ban,
    first_drop_ns: u64,
}

fn begin_attacks(net: &Net, daemon: &Daemon<'_>, story: &Story) -> Result<Vec<Attack>> {
    let imap = attackers::password_list(daemon.directory(), "imap", 12)?;
    let pop3 = attackers::password_list(daemon.directory(), "pop3", 5)?;
    let hydra = |host, service, list, tasks| {
        Process::spawn("hydra", attackers::hydra(net, host, (service, SERVER_V4), BOB.user, list, tasks))
    };
    let curl = |number| {
        let password = format!("curl-guess-{number}");
        let target = (Service::Imap, SERVER_V6);
        let limit = Duration::from_secs(60);
        Process::spawn("curl", attackers::curl(net, Host::Attacker, ATTACKER_V6, target, BOB.user, &password, limit))
    };
    let knock = |host, source, server| Knocker::start(net, host, source, SocketAddr::new(server, 143), KNOCKING);

    let attacks = vec![
        Attack {
            what: "hydra, IMAP",
            host: Host::Attacker,
            source: ATTACKER_V4,
            server: SERVER_V4,
            programs: vec![hydra(Host::Attacker, Service::Imap, &imap, 4)?],
            _knocker: knock(Host::Attacker, ATTACKER_V4, SERVER_V4)?,
        },
        Attack {
            what: "hydra, POP3",
            host: Host::Accomplice,
            source: ACCOMPLICE_V4,
            server: SERVER_V4,
            programs: vec![hydra(Host::Accomplice, Service::Pop3, &pop3, 1)?],
            _knocker: knock(Host::Accomplice, ACCOMPLICE_V4, SERVER_V4)?,
        },
        Attack {
            what: "curl, IMAP (IPv6)",
            host: Host::Attacker,
            source: ATTACKER_V6,
            server: SERVER_V6,
            programs: (1..=6).map(curl).collect::<Result<_>>()?,
            _knocker: knock(Host::Attacker, ATTACKER_V6, SERVER_V6)?,
        },
    ];
    for attack in &attacks {
        story.tell(&format!("Attack from {}: {}, guessing bob's password.", attack.source, attack.what));
    }
    Ok(attacks)
}

/// Tells what happens until the kernel has dropped a packet of every attacker.
fn watch(daemon: &mut Daemon<'_>, attacks: &[Attack], settings: &Settings, story: &Story) -> Result<Vec<Seen>> {
    let mut told_lines = 0;
    let mut told = vec![false; attacks.len()];
    wait::until("every attacker to be banned and dropped", LIMIT, || {
        let entries = daemon.log().entries_from(told_lines);
        told_lines += entries.len();
        for entry in entries.iter().filter(|entry| entry.refused_passwords() > 0) {
            story.tell(&format!("Logged: {}", presentable(&entry.text)));
        }
        daemon.check_alive().map_err(|error| format!("{error:#}"))?;
        let bans = daemon.bans().map_err(|error| format!("{error:#}"))?;
        let kernel = daemon.kernel_bans().map_err(|error| format!("{error:#}"))?;

        let mut all = Vec::new();
        for (attack, told) in attacks.iter().zip(&mut told) {
            let found = observe(daemon, attack, &bans, &kernel, settings.max_retry);
            if let (Some(seen), false) = (&found, *told) {
                story.tell(&format!("Banned: {}, {}", seen.ban.prefix, describe(seen)));
                *told = true;
            }
            all.extend(found);
        }
        if all.len() == attacks.len() { Ok(all) } else { Err(explain(daemon, attacks, &bans)) }
    })
}

/// The ban of one attack, once a packet of it has been dropped.
fn observe(daemon: &Daemon<'_>, attack: &Attack, bans: &[Ban], kernel: &[KernelBan], max_retry: u32) -> Option<Seen> {
    let ban = bans.iter().find(|ban| covers(&ban.prefix, attack.source))?;
    let entry = kernel.iter().find(|entry| covers(&entry.prefix, attack.source))?;
    Some(Seen {
        lines: lines_to_the_ban(daemon.log().entries_about(attack.source), max_retry),
        ban: ban.clone(),
        first_drop_ns: entry.first_drop_boot_ns?,
    })
}

/// The refusals up to the one that reached the threshold: what follows was in flight.
fn lines_to_the_ban(entries: Vec<Entry>, max_retry: u32) -> Vec<Entry> {
    let mut refused = 0;
    let mut reached = false;
    entries
        .into_iter()
        .filter(|entry| entry.refused_passwords() > 0)
        .take_while(|entry| {
            let before = !reached;
            refused += entry.refused_passwords();
            reached = refused >= max_retry;
            before
        })
        .collect()
}

impl Seen {
    fn refused(&self) -> u32 {
        self.lines.iter().map(Entry::refused_passwords).sum()
    }

    /// From before the write of the line that made the ban to the first drop.
    fn delay(&self) -> Duration {
        let written_ns = self.lines.last().map_or(0, |entry| entry.written_ns);
        Duration::from_nanos(self.first_drop_ns.saturating_sub(written_ns))
    }
}

fn describe(seen: &Seen) -> String {
    format!(
        "until {}: {} attempts counted in {}; first packet dropped {:.3} ms after the last line.",
        seen.ban.until,
        seen.ban.attempts,
        if seen.lines.len() == 1 { "one line".to_owned() } else { format!("{} lines", seen.lines.len()) },
        seen.delay().as_secs_f64() * 1000.0,
    )
}

fn explain(daemon: &Daemon<'_>, attacks: &[Attack], bans: &[Ban]) -> String {
    let programs: String = attacks
        .iter()
        .flat_map(|attack| attack.programs.iter().map(move |program| (attack.what, program)))
        .map(|(what, program)| format!("--- {what}:\n{}", program.printed()))
        .collect();
    format!("bans {bans:?}\n--- blocker:\n{}{programs}", daemon.printed())
}

/// Tries the server's ports from every attacker, and puts everything known together.
fn judge(net: &Net, daemon: &Daemon<'_>, attacks: &[Attack], seen: Vec<Seen>, story: &Story) -> Result<Vec<Attacker>> {
    let open: Vec<Vec<u16>> = attacks.iter().map(|attack| open_ports(net, attack, story)).collect();
    let kernel = daemon.kernel_bans()?;
    let verdicts = attacks.iter().zip(seen).zip(open).map(|((attack, seen), open)| {
        let entry = kernel.iter().find(|entry| covers(&entry.prefix, attack.source));
        Ok(Attacker {
            what: attack.what,
            source: attack.source,
            lines: seen.lines.len(),
            refused: seen.refused(),
            counted: seen.ban.attempts,
            delay: seen.delay(),
            dropped: entry.with_context(|| format!("the ban of {} left the kernel by itself", attack.source))?.packets,
            open_mail_ports: open.iter().copied().filter(|port| MAIL_PORTS.contains(port)).collect(),
            other_port_open: open.contains(&OTHER_PORT),
        })
    });
    verdicts.collect()
}

/// Which of the server's ports, all of which something listens on, an attacker can reach.
fn open_ports(net: &Net, attack: &Attack, story: &Story) -> Vec<u16> {
    let [imap, pop3] = MAIL_PORTS;
    let ports = [imap, pop3, OTHER_PORT];
    let mut answers = probe::connects_each(net, &ports.map(|port| (attack.host, SocketAddr::new(attack.server, port))));
    // An open port that is closed for long is none; one that is slow for once is open.
    let other = SocketAddr::new(attack.server, OTHER_PORT);
    answers[2] = answers[2] || probe::comes_to_connect(net, attack.host, other);
    let said: Vec<String> = ports
        .iter()
        .zip(&answers)
        .map(|(port, open)| format!("port {port} {}", if *open { "open" } else { "closed" }))
        .collect();
    story.tell(&format!("Tried from {}: {}.", attack.source, said.join(", ")));
    ports.into_iter().zip(answers).filter(|(_, open)| *open).map(|(port, _)| port).collect()
}
