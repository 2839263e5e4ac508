//! Which requests of ours a command of fail2ban's is.
//!
//! What fail2ban's client can say and the daemon does not do is refused with what to do instead. `stop` is among that: the
//! client's `restart` is a `stop`, after which it starts a fail2ban of its own.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use blocker_core::prefix::{InvalidPrefix, Prefix};
use blocker_core::whom::Whom;
use serde_pickle::Value;
use tokio::sync::{mpsc, oneshot};

use super::ignore;
use super::lookup::Lookup;
use super::pickle::{Exception, Word, dict, int, list, string};
use super::values::{self, Flavor};
use crate::control::access::Right;
use crate::control::server::Call;
use crate::control::status::{JailStatus, Status};
use crate::control::wire::{Ban, MAX_PREFIXES, Reply, Request};

/// What `version` says: the fail2ban whose answers these are, and behind it, where versions have such a place, who gives them.
const VERSION: &str = concat!("1.1.0+blocker.", env!("CARGO_PKG_VERSION"));

/// What shows why an address is banned, or never is.
pub(super) const REASON: &str = "fail2ban-client";

/// Who asks, and how.
pub(super) struct Asker {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) right: Right,
    pub(super) uid: u32,
}

pub(super) type Answer = Result<Value, Exception>;

impl Asker {
    /// Does what a command says.
    ///
    /// # Errors
    ///
    /// What fail2ban's client is to print.
    pub(super) async fn perform(&self, words: &[Word]) -> Answer {
        if self.right == Right::None {
            let uid = self.uid;
            return said(format!("user {uid} may not control the daemon: run it as root (sudo fail2ban-client …)"));
        }
        let texts: Vec<&str> = words.iter().map_while(text).collect();
        match texts.as_slice() {
            ["ping", ..] => Ok(string("pong")),
            ["echo", rest @ ..] => Ok(list(rest.iter().copied(), string)),
            ["version"] => Ok(string(VERSION)),
            // Its log is written by whom standard error goes to, and never has to be opened anew.
            ["flushlogs"] => Ok(string("flushed")),
            ["status"] => Ok(values::overview(&self.jails().await?, None)),
            ["status", "--all", flavor @ ..] => self.all(flavor.first().copied()).await,
            ["status", jail, flavor @ ..] => self.status(jail, flavor.first().copied()).await,
            ["stats" | "statistics", ..] => Ok(values::each(&self.jails().await?, &[], Flavor::Stats)),
            ["banned"] => self.banned().await,
            ["banned", whom @ ..] => self.jails_of(whom).await,
            ["unban", "--all"] => self.unban_all().await,
            ["unban", whom @ ..] if !whom.is_empty() => {
                let whom = whom.iter().map(|text| prefix(text)).collect::<Result<Vec<_>, _>>()?;
                Ok(int(self.lift(&whom, None).await?.0))
            }
            ["reload", ..] => self.reload(&texts[1..], words.iter().find_map(options).unwrap_or_default()).await,
            ["stop", ..] => said(
                "blocker is stopped by `systemctl stop blocker`, which keeps its bans; a restart by fail2ban-client would start a \
                 fail2ban in its place",
            ),
            ["get"] | ["set"] | ["set", _] | ["get", _] if !is_global(&texts) => Err(Exception::Missing),
            ["get" | "set", ..] if is_global(&texts) => said(format!(
                "`{}` is of fail2ban alone: blocker's settings are in its configuration, and `blocker status` shows them",
                shown(&texts[..2])
            )),
            ["get", jail, verb, rest @ ..] => self.get(jail, verb, rest).await,
            ["set", jail, verb, rest @ ..] => self.set(jail, verb, rest).await,
            _ => said(format!("Invalid command: blocker does not know `{}`; see `blocker help`", shown(&texts))),
        }
    }

    async fn all(&self, flavor: Option<&str>) -> Answer {
        let (jails, flavor) = (self.jails().await?, Flavor::of(flavor));
        let bans = if flavor == Flavor::Basic { self.bans().await? } else { Vec::new() };
        let each = values::each(&jails, &bans, flavor);
        Ok(if flavor == Flavor::Stats { each } else { values::overview(&jails, Some(each)) })
    }

    async fn status(&self, jail: &str, flavor: Option<&str>) -> Answer {
        if flavor == Some("cymru") {
            return said("blocker asks no server whose an address is: see `blocker bans`");
        }
        let (jail, flavor) = (self.jail(jail).await?, Flavor::of(flavor));
        let bans = if flavor == Flavor::Basic { self.bans().await? } else { Vec::new() };
        Ok(values::jail(&jail, &bans, flavor))
    }

    async fn banned(&self) -> Answer {
        let (jails, bans) = (self.jails().await?, self.bans().await?);
        Ok(list(&jails, |jail| {
            let begun = values::begun(&bans, &jail.name);
            dict([(jail.name.clone(), list(begun, |ban| string(ban.prefix.to_string())))])
        }))
    }

    /// The jails that ban each of `whom`.
    async fn jails_of(&self, whom: &[&str]) -> Answer {
        let whom = whom.iter().map(|text| prefix(text)).collect::<Result<Vec<_>, _>>()?;
        let bans = self.bans().await?;
        let lookup = Lookup::new(&bans);
        Ok(list(whom, |whom| {
            let mut by = Vec::new();
            for ban in lookup.covering(whom) {
                if !by.contains(&ban.jail) {
                    by.push(ban.jail.clone());
                }
            }
            list(by, string)
        }))
    }

    async fn unban_all(&self) -> Answer {
        let replies = self.ask(Request::UnbanAll).await?;
        let lifted = replies.iter().find_map(|reply| if let Reply::Lifted(many) = reply { Some(*many) } else { None });
        Ok(int(lifted.unwrap_or(0)))
    }

    /// The client sends the options, and what it would set, which is for us to know.
    async fn reload(&self, which: &[&str], options: &[String]) -> Answer {
        let is_asked = |option: &str| options.iter().any(|known| known == option) || which.contains(&option);
        let jail = which.iter().find(|word| !word.starts_with("--"));
        if let Some(name) = jail {
            match self.jail(name).await {
                Ok(_) => {}
                Err(Exception::UnknownJail(_)) if is_asked("--if-exists") => return Ok(string("OK")),
                Err(error) => return Err(error),
            }
        }
        if is_asked("--unban") {
            match jail {
                None => drop(self.unban_all().await?),
                Some(name) => {
                    let bans = self.bans().await?;
                    let whom: Vec<Prefix> = values::begun(&bans, name).into_iter().map(|ban| ban.prefix).collect();
                    self.lift(&whom, Some(name)).await?;
                }
            }
        }
        self.ask(Request::Reload).await?;
        Ok(string("OK"))
    }

    async fn get(&self, jail: &str, verb: &str, rest: &[&str]) -> Answer {
        let status = self.jail(jail).await?;
        match (verb, rest) {
            ("bantime", []) => Ok(values::ban_seconds(&status.ban_time)),
            ("findtime", []) => Ok(values::seconds(&status.find_time)),
            ("maxretry", []) => Ok(int(status.max_retry)),
            (verb, []) if ignore::GETS.contains(&verb) => self.get_ignore(verb).await,
            ("logpath", []) => Ok(list(status.files, string)),
            ("journalmatch", []) => Ok(list(status.journal, |matches| list(matches.split_whitespace(), string))),
            ("banip", rest) => {
                Ok(values::ending(&self.bans().await?, jail, rest.first().is_some_and(|word| *word == "--with-time")))
            }
            ("banned", []) => Ok(list(values::begun(&self.bans().await?, jail), |ban| string(ban.prefix.to_string()))),
            ("banned", whom) => {
                let whom = whom.iter().map(|text| prefix(text)).collect::<Result<Vec<_>, _>>()?;
                let bans = self.bans().await?;
                let of_jail = Lookup::new(bans.iter().filter(|ban| ban.jail == jail));
                let is_banned = |whom: &Prefix| int(i64::from(of_jail.covering(*whom).next().is_some()));
                Ok(if let [whom] = whom.as_slice() { is_banned(whom) } else { list(&whom, is_banned) })
            }
            _ => said(format!(
                "Invalid command: blocker does not tell `{verb}`; see `blocker status {}`, or {}",
                shown(&[jail]),
                in_configuration(verb, jail)
            )),
        }
    }

    async fn set(&self, jail: &str, verb: &str, rest: &[&str]) -> Answer {
        self.jail(jail).await?;
        match (verb, rest) {
            ("banip", whom) => self.ban(jail, whom).await,
            ("unbanip", ["--report-absent", whom @ ..]) => self.unban(jail, whom, true).await,
            ("unbanip", whom) => self.unban(jail, whom, false).await,
            ("attempt", [whom, failures @ ..]) => {
                let addr = address(whom)?;
                let attempts = u32::try_from(failures.len().max(1)).unwrap_or(u32::MAX);
                self.ask(Request::Attempt { jail: jail.to_owned(), addr, attempts }).await?;
                Ok(int(1))
            }
            ("attempt", []) => Err(Exception::Missing),
            (verb, rest) if ignore::SETS.contains(&verb) => self.set_ignore(verb, rest).await,
            _ => said(format!(
                "Invalid command: blocker does not set `{verb}`; change {}, then `blocker reload`",
                in_configuration(verb, jail)
            )),
        }
    }

    /// Bans; says how many were not banned before.
    async fn ban(&self, jail: &str, whom: &[&str]) -> Answer {
        let whom = whom
            .iter()
            .map(|text| text.parse::<Whom>().map_err(|error| value(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut banned, mut refused) = (0, Vec::new());
        for prefixes in whom.chunks(MAX_PREFIXES) {
            let (prefixes, jail, reason) = (prefixes.to_vec(), Some(jail.to_owned()), Some(REASON.to_owned()));
            for reply in self.ask(Request::Ban { prefixes, jail, ban_time: None, reason, runs: false }).await? {
                let Reply::Change(change) = reply else { continue };
                match change.why {
                    Some(why) => refused.push(format!("{}: {why}", change.prefix)),
                    None => banned += usize::from(change.outcome == "banned"),
                }
            }
        }
        if refused.is_empty() { Ok(int(banned)) } else { Err(Exception::Value(refused.join("; "))) }
    }

    async fn unban(&self, jail: &str, whom: &[&str], report_absent: bool) -> Answer {
        let whom = whom.iter().map(|text| prefix(text)).collect::<Result<Vec<_>, _>>()?;
        let (lifted, absent) = self.lift(&whom, Some(jail)).await?;
        if report_absent && !absent.is_empty() {
            let absent: Vec<String> = absent.iter().map(|prefix| format!("'{prefix}'")).collect();
            return Err(Exception::Value(format!("not banned: [{}]", absent.join(", "))));
        }
        Ok(int(lifted))
    }

    /// Lifts the bans of addresses, and all those inside networks; of `jail` if it is given. Says how many there were, and
    /// who had none. Who is let go is let go by all jails.
    async fn lift(&self, whom: &[Prefix], jail: Option<&str>) -> Result<(usize, Vec<Prefix>), Exception> {
        let bans = self.bans().await?;
        let of_jail: Vec<&Ban> = bans.iter().filter(|ban| jail.is_none_or(|jail| ban.jail == jail)).collect();
        let lookup = Lookup::new(of_jail.iter().copied());
        let (mut prefixes, mut absent, mut asked_before) = (BTreeSet::new(), Vec::new(), HashSet::new());
        // Each once: then a ban is looked at no more often than there are lengths of networks.
        for &asked in whom.iter().filter(|asked| asked_before.insert(**asked)) {
            let mut inside = lookup.inside(asked).map(|ban| ban.prefix).peekable();
            // Of an IPv6 host its network may be banned: which one that is, the engine knows.
            let is_covered = asked.is_host() && asked.addr().is_ipv6() && lookup.covering(asked).next().is_some();
            if inside.peek().is_none() && !is_covered {
                absent.push(asked);
            }
            prefixes.extend(inside.chain(is_covered.then_some(asked)));
        }
        let prefixes: Vec<Prefix> = prefixes.into_iter().collect();
        let mut lifted = HashSet::new();
        for prefixes in prefixes.chunks(MAX_PREFIXES) {
            for reply in self.ask(Request::Unban { prefixes: prefixes.to_vec() }).await? {
                if let Reply::Change(change) = reply
                    && change.outcome == "unbanned"
                {
                    lifted.insert(change.prefix);
                }
            }
        }
        Ok((of_jail.iter().filter(|ban| lifted.contains(&ban.prefix)).count(), absent))
    }

    /// The jails; that of bans by command only while it has some.
    async fn jails(&self) -> Result<Vec<JailStatus>, Exception> {
        let mut jails = self.whole_status().await?.jails;
        jails.retain(|jail| jail.filter.is_some() || jail.in_force > 0);
        Ok(jails)
    }

    async fn jail(&self, name: &str) -> Result<JailStatus, Exception> {
        let jails = self.whole_status().await?.jails;
        jails.into_iter().find(|jail| jail.name == name).ok_or_else(|| Exception::UnknownJail(name.to_owned()))
    }

    async fn whole_status(&self) -> Result<Box<Status>, Exception> {
        let replies = self.ask(Request::Status).await?;
        let status =
            replies.into_iter().find_map(|reply| if let Reply::Status(status) = reply { Some(status) } else { None });
        status.ok_or_else(|| Exception::Said("the daemon did not tell its status".to_owned()))
    }

    async fn bans(&self) -> Result<Vec<Ban>, Exception> {
        let replies = self.ask(Request::Bans).await?;
        Ok(replies.into_iter().filter_map(|reply| if let Reply::Ban(ban) = reply { Some(ban) } else { None }).collect())
    }

    /// Asks the daemon's task.
    pub(super) async fn ask(&self, request: Request) -> Result<Vec<Reply>, Exception> {
        if !self.right.covers(&request) {
            let uid = self.uid;
            let message =
                format!("user {uid} may look, and not change anything: run it as root (sudo fail2ban-client …)");
            return Err(Exception::Said(message));
        }
        request.check().map_err(Exception::Value)?;
        let gone = || Exception::Said("blocker is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call { request, uid: Some(self.uid), reply, is_behind: false }).await.map_err(|_| gone())?;
        let replies = answer.await.map_err(|_| gone())?;
        for reply in &replies {
            if let Reply::Error { message, .. } = reply {
                return Err(Exception::Said(message.clone()));
            }
            if let Reply::Warning(message) = reply {
                tracing::warn!(asked_by = "fail2ban-client", "{message}");
            }
        }
        Ok(replies)
    }
}

pub(super) fn said<T>(message: impl Into<String>) -> Result<T, Exception> {
    Err(Exception::Said(message.into()))
}

fn text(word: &Word) -> Option<&str> {
    if let Word::Text(text) = word { Some(text) } else { None }
}

fn options(word: &Word) -> Option<&[String]> {
    if let Word::List(options) = word { Some(options) } else { None }
}

fn value(error: &InvalidPrefix) -> Exception {
    Exception::Value(error.to_string())
}

pub(super) fn prefix(text: &str) -> Result<Prefix, Exception> {
    text.parse().map_err(|error| value(&error))
}

fn address(text: &str) -> Result<IpAddr, Exception> {
    let prefix = prefix(text)?;
    if prefix.is_host() { Ok(prefix.addr()) } else { Err(Exception::Value(format!("`{prefix}` is no address"))) }
}

/// Words of a command in an error, no more than one can read.
fn shown(words: &[&str]) -> String {
    let joined: String = words.join(" ").chars().take(80).collect();
    joined.escape_debug().to_string()
}

/// Whether it is a setting of fail2ban's server, and of no jail.
fn is_global(texts: &[&str]) -> bool {
    let names =
        ["loglevel", "logtarget", "syslogsocket", "dbfile", "dbmaxmatches", "dbpurgeage", "thread", "allowipv6"];
    texts.get(1).is_some_and(|name| names.contains(name))
}

/// Where our configuration has what fail2ban calls `verb`.
fn in_configuration(verb: &str, jail: &str) -> String {
    let jail = shown(&[jail]);
    match verb {
        "bantime" => format!("`ban_time` in `[jails.{jail}]`"),
        "findtime" => format!("`find_time` in `[jails.{jail}]`"),
        "maxretry" => format!("`max_retry` in `[jails.{jail}]`"),
        "addlogpath" | "dellogpath" | "addjournalmatch" | "deljournalmatch" => {
            format!("`log` or `journal` in `[jails.{jail}]`")
        }
        _ => format!("`[jails.{jail}]` in its configuration"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::control::wire::Change;

    fn words(texts: &[&str]) -> Vec<Word> {
        texts.iter().map(|text| Word::Text((*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn who_may_not_is_told_so_and_the_daemon_is_not_asked() {
        let (calls, mut asked) = mpsc::channel(1);
        let asker = |right| Asker { calls: calls.clone(), right, uid: 1000 };

        for texts in [&["ping"][..], &["version"], &["status"], &["unban", "--all"], &["nonsense"]] {
            let refused = asker(Right::None).perform(&words(texts)).await;
            assert!(matches!(&refused, Err(Exception::Said(why)) if why.contains("may not control")), "{refused:?}");
        }
        for texts in [&["unban", "--all"][..], &["reload", "--all"]] {
            let refused = asker(Right::Look).perform(&words(texts)).await;
            assert!(matches!(&refused, Err(Exception::Said(why)) if why.contains("may look")), "{refused:?}");
        }
        assert!(asked.try_recv().is_err(), "nothing was asked");
    }

    /// A daemon that bans so many hosts, and is asked by one command.
    async fn asked(bans: u32, words: Vec<Word>) -> Answer {
        let (calls, mut asked) = mpsc::channel::<Call>(1);
        let daemon = tokio::spawn(async move {
            while let Some(Call { request, uid: _, reply, is_behind: _ }) = asked.recv().await {
                let replies = if let Request::Unban { prefixes } = request {
                    let change = |prefix| Change { prefix, outcome: "unbanned".into(), why: None };
                    prefixes.into_iter().map(|prefix| Reply::Change(change(prefix))).collect()
                } else {
                    assert!(matches!(request, Request::Bans), "{request:?}");
                    (0..bans).map(|number| Reply::Ban(ban(number))).chain([Reply::Done]).collect()
                };
                drop(reply.send(replies));
            }
        });
        let answer = Asker { calls, right: Right::Change, uid: 0 }.perform(&words).await;
        daemon.await.expect("it ends");
        answer
    }

    fn ban(number: u32) -> Ban {
        values::testing::ban(&std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string())
    }

    /// The daemon has one thread: who may look must not hold it for minutes.
    #[tokio::test]
    async fn many_addresses_are_looked_up_among_many_bans_without_comparing_each_with_each() {
        const MANY: u32 = 20_000;
        let whom: Vec<String> = (0..MANY).map(|number| ban(5 * number).prefix.to_string()).collect();
        let command = |verb: &str| words(&[&[verb][..], &whom.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        let began = Instant::now();

        let Ok(Value::List(banned)) = asked(5 * MANY / 2, command("banned")).await else { panic!("a list") };
        let lifted = asked(5 * MANY / 2, command("unban")).await;

        let by_nobody = banned.iter().filter(|by| **by == Value::List(Vec::new())).count();
        assert_eq!((banned.len(), by_nobody), (MANY as usize, MANY as usize / 2));
        assert_eq!(lifted, Ok(int(MANY / 2)));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_none_of_ours_is_refused_with_what_is() {
        let (calls, mut asked) = mpsc::channel(1);
        let asker = Asker { calls, right: Right::Change, uid: 0 };

        for (texts, hint) in [
            (&["frobnicate"][..], "`frobnicate`; see `blocker help`"),
            (&["stop"], "systemctl stop blocker"),
            (&["stop", "dovecot"], "systemctl stop blocker"),
            (&["start", "dovecot"], "blocker help"),
            (&["unban"], "blocker help"),
            (&["get", "dbfile"], "blocker status"),
            (&["set", "loglevel", "DEBUG"], "blocker status"),
            (&[], "blocker help"),
        ] {
            let refused = asker.perform(&words(texts)).await;
            assert!(matches!(&refused, Err(Exception::Said(why)) if why.contains(hint)), "{texts:?}: {refused:?}");
        }
        for texts in [&["get"][..], &["set"], &["get", "dovecot"], &["set", "dovecot"]] {
            assert_eq!(asker.perform(&words(texts)).await, Err(Exception::Missing), "{texts:?}");
        }
        assert!(matches!(asker.perform(&words(&["unban", "example.org"])).await, Err(Exception::Value(_))));
        assert!(asked.try_recv().is_err(), "nothing was asked");
    }
}
