//! What the laboratory found: a table for people, and the list of promises that were not kept.

use std::{fmt, net::IpAddr, time::Duration};

use crate::legitimate::Experience;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The attackers, in the order they began.
    pub attackers: Vec<Attacker>,
    /// What the legitimate user went through meanwhile.
    pub legitimate: Experience,
}

/// What became of one attacker.
#[derive(Clone, Debug)]
pub struct Attacker {
    /// The program, and what it attacked.
    pub what: &'static str,
    /// Its address.
    pub source: IpAddr,
    /// Lines about it up to the one that made the ban.
    pub lines: usize,
    /// Passwords that Dovecot refused it, by those lines.
    pub refused: u32,
    /// The attempts that the ban is founded on.
    pub counted: f64,
    /// From the write of the line that made the ban to the first dropped packet.
    pub delay: Duration,
    /// Packets dropped.
    pub dropped: u64,
    /// Which of the mail ports it could still reach: must be none.
    pub open_mail_ports: Vec<u16>,
    /// Whether it could reach the port that no jail protects: it must.
    pub other_port_open: bool,
}

impl Report {
    /// What should be so and is not: empty if all is well.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for attacker in &self.attackers {
            let Attacker { what, source, refused, counted, open_mail_ports, other_port_open, .. } = attacker;
            let who = format!("{what} from {source}");
            if (counted - f64::from(*refused)).abs() > f64::EPSILON {
                broken.push(format!("{who}: {counted} attempts counted, {refused} passwords refused"));
            }
            if !open_mail_ports.is_empty() {
                broken.push(format!("{who}: still reaches {open_mail_ports:?}"));
            }
            if !other_port_open {
                broken.push(format!("{who}: shut out of a port that no jail protects"));
            }
        }
        let Experience { logins, failures, .. } = &self.legitimate;
        if *logins == 0 {
            broken.push("the legitimate user never logged in".into());
        }
        broken.extend(failures.iter().map(|failure| format!("the legitimate user was disturbed: {failure}")));
        broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<18} {:<20} {:>6} {:>8} {:>8} {:>16} {:>9}  {:<11} other port",
            "attacker", "address", "lines", "refused", "counted", "line to drop", "dropped", "mail ports"
        )?;
        for attacker in &self.attackers {
            writeln!(
                f,
                "{:<18} {:<20} {:>6} {:>8} {:>8} {:>13.3} ms {:>9}  {:<11} {}",
                attacker.what,
                attacker.source.to_string(),
                attacker.lines,
                attacker.refused,
                attacker.counted,
                attacker.delay.as_secs_f64() * 1000.0,
                attacker.dropped,
                if attacker.open_mail_ports.is_empty() { "closed" } else { "OPEN" },
                if attacker.other_port_open { "open" } else { "CLOSED" },
            )?;
        }
        let Experience { logins, failures, slowest, longest_gap } = &self.legitimate;
        write!(
            f,
            "legitimate user    {logins} logins, {} failed; slowest {:.0} ms, longest time between two {:.0} ms",
            failures.len(),
            slowest.as_secs_f64() * 1000.0,
            longest_gap.as_secs_f64() * 1000.0,
        )
    }
}
