//! What actions do, told by their names and parameters. Their commands are never looked at: packets are dropped by the kernel's
//! part, whatever firewall there was.

use super::fault::{Fault, Place};
use super::files::Files;
use super::parameters::Named;
use super::part::Part;

const DIRECTORY: &str = "action.d";

/// An action of a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// As the jail calls it.
    pub named: Named,
    /// What it does.
    pub effect: Effect,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It closes some ports.
    Ports {
        /// Names, numbers and ranges, as written: `pop3,imap,5000:5010`.
        port: String,
        /// `tcp`, `udp`, `all` or several of them.
        protocol: String,
    },
    /// It closes all ports.
    AllPorts,
    /// It sends a mail.
    Mail(Mail),
    /// It does something else that fail2ban brings an action for.
    Elsewhere {
        /// What that is: `reports to AbuseIPDB`.
        does: &'static str,
        /// What there is instead.
        instead: &'static str,
    },
    /// It is somebody's own.
    Own,
}

/// A mail about a ban.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Whom it is for.
    pub dest: Option<String>,
    /// Whom it is from.
    pub sender: Option<String>,
    /// What it calls the jail.
    pub name: Option<String>,
    /// Whether it says whom the address belongs to.
    pub with_whois: bool,
    /// Whether it has lines of the log.
    pub with_lines: bool,
}

/// How far the bans of a kind of action reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// As its parameters say.
    Ports,
    /// Always everything.
    All,
}

/// Firewalls and what is used as one, by the beginnings of the actions' names; the first that fits counts.
const FIREWALLS: &[(&str, Reach)] = &[
    ("iptables-xt_recent", Reach::All),
    ("iptables", Reach::Ports),
    ("nftables", Reach::Ports),
    ("firewallcmd", Reach::Ports),
    ("ipset", Reach::Ports),
    ("bsd-ipfw", Reach::Ports),
    ("ipfw", Reach::Ports),
    ("osx-ipfw", Reach::Ports),
    ("pf", Reach::Ports),
    ("ufw", Reach::All),
    ("shorewall", Reach::All),
    ("route", Reach::All),
    ("hostsdeny", Reach::All),
    ("npf", Reach::All),
    ("ipfilter", Reach::All),
    ("osx-afctl", Reach::All),
    ("apf", Reach::All),
    ("csf", Reach::All),
    ("symbiosis-blacklist", Reach::All),
    ("blocklist_ipset", Reach::All),
];

const REPORTS: &str = "blocker brings no such report: a program of your own in a table [notify.exec.NAME] is told of each ban, and can send it";
const DEVICES: &str = "bans are enforced on this machine only: a program in a table [notify.exec.NAME], or a webhook, is told of each, and can hand it on";
const PROXIED: &str =
    "behind a proxy the packets are the proxy's, and must not be dropped here: leave this jail to fail2ban";

/// What else fail2ban brings, by the beginnings of the actions' names.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("abuseipdb", "reports to AbuseIPDB", REPORTS),
    ("badips", "reports to badips.com, which is gone", "nothing: remove it"),
    ("blocklist_de", "reports to blocklist.de", REPORTS),
    ("dshield", "reports to DShield", REPORTS),
    ("mynetwatchman", "reports to myNetWatchman, which is gone", "nothing: remove it"),
    ("ipthreat", "reports to IPThreat", REPORTS),
    ("complain", "complains to the network's owner by mail", REPORTS),
    ("xarf", "complains to the network's owner by mail", REPORTS),
    ("cloudflare", "bans at Cloudflare", PROXIED),
    ("netscaler", "bans on a NetScaler", DEVICES),
    ("mikrotik", "bans on a MikroTik router", DEVICES),
    ("nsupdate", "lists the address in a DNS zone", DEVICES),
    ("nginx-block-map", "lists the address for nginx", PROXIED),
    ("helpers-common", "is a part of other actions", "nothing: remove it"),
    ("apprise", "sends a message by Apprise", "a program in a table [notify.exec.NAME] can do so"),
    ("smtp", "sends a mail", MAIL),
    ("dummy", "writes a file for trials", "`mode = \"observe\"` bans nobody and counts"),
];

/// What there is instead of mails.
pub(super) const MAIL: &str = "mails are the table [notify.mail] here, one for all jails";

impl Action {
    /// What `named`, called at `at`, does.
    ///
    /// # Errors
    ///
    /// What is wrong with its files: fail2ban would not run the jail.
    pub(super) fn read(files: &Files, named: Named, at: &Place) -> Result<Self, Vec<Fault>> {
        let name = named.name.as_str();
        if name.ends_with(".py") {
            let effect = elsewhere(name).unwrap_or(Effect::Own);
            return Ok(Self { named, effect });
        }
        let part = Part::load(files, DIRECTORY, &named, at, &[])?;
        let get = |key: &str| {
            part.get(key).map(|text| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
        };
        let firewall = FIREWALLS.iter().find(|(beginning, _)| name.starts_with(beginning));
        let effect = match firewall {
            Some((_, reach)) => {
                let kinds = [get("type"), get("actiontype")];
                let mut is_all = *reach == Reach::All || name.contains("allports");
                for kind in kinds {
                    is_all |= kind.map_err(|fault| vec![fault])?.is_some_and(|kind| kind.contains("allports"));
                }
                let port = get("port").map_err(|fault| vec![fault])?;
                let protocol = get("protocol").map_err(|fault| vec![fault])?.unwrap_or_else(|| "tcp".to_owned());
                match port {
                    Some(port) if !is_all => Effect::Ports { port, protocol },
                    Some(_) | None => Effect::AllPorts,
                }
            }
            None if name.starts_with("sendmail") || name.starts_with("mail") => {
                let text = |key: &str| get(key).map_err(|fault| vec![fault]);
                Effect::Mail(Mail {
                    dest: text("dest")?,
                    sender: text("sender")?,
                    name: text("name")?,
                    with_whois: name.contains("whois"),
                    with_lines: name.contains("lines") || name.contains("matches"),
                })
            }
            None => elsewhere(name).unwrap_or(Effect::Own),
        };
        Ok(Self { named, effect })
    }
}

fn elsewhere(name: &str) -> Option<Effect> {
    let known = ELSEWHERE.iter().find(|(beginning, ..)| name.starts_with(beginning));
    known.map(|&(_, does, instead)| Effect::Elsewhere { does, instead })
}
