//! Word to the outside: mails, webhooks and programs that are told of bans.
//!
//! # Theory of operation
//!
//! The daemon's task hands over what happened, without waiting; each receiver has a worker with a bounded queue and a thread of its
//! own ([`worker`]). A receiver that hangs, or is not there, loses what does not fit into its queue, is a problem in `status`,
//! and harms nobody else: no ban waits for it, nor another receiver.
//!
//! ```text
//! daemon ──▶ queue ──▶ worker (gathers, tries again) ──▶ mail (SMTP, or a program like sendmail)
//!        └─▶ queue ──▶ worker                         ──▶ webhook (POST of JSON, signed)
//!        └─▶ queue ──▶ worker                         ──▶ program (JSON on standard input)
//! ```
//!
//! What attackers wrote is escaped where it comes in ([`notice`]), is in texts and JSON only, and never in an argument, an environment
//! or a header.

mod alarm;
mod child;
mod mail;
mod notice;
mod program;
mod secret;
mod user;
mod webhook;
mod whois;
mod words;
mod worker;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use blocker_core::config::notify::{Notify, Occasion, Wanted, is_mail_address};
use blocker_core::engine::Event;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::Reading;
use crate::control::status::ReceiverStatus;
use crate::control::wire::Tested;
use mail::MailReceiver;
use notice::{Happening, Told, What, plain};
use program::ProgramReceiver;
use webhook::WebhookReceiver;
use worker::Handle;

pub use alarm::{Alarm, State as AlarmState};

/// How long a stop waits for the receivers.
pub const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How long a test of the receivers may take: less than a client waits for an answer.
const TEST_WITHIN: Duration = Duration::from_secs(50);

/// Most characters of what is told about a failure.
const MAX_SHOWN_CHARS: usize = 400;

/// All who are told.
#[derive(Debug, Default)]
pub struct Notifier {
    receivers: Vec<Named>,
    /// Receivers that ask for a jail there is none of, with its name.
    unknown: Vec<(String, String)>,
}

#[derive(Debug)]
struct Named {
    /// As its table is called: `mail`, `webhook.chat`.
    name: String,
    wanted: Wanted,
    handle: Handle,
}

impl Notifier {
    /// Starts a worker for each receiver.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn start(config: &Notify) -> Result<Self> {
        let host = host_name();
        let Notify { mail, webhooks, programs } = config.clone();
        let mut receivers = Vec::new();
        if let Some(mail) = mail {
            let wanted = mail.wanted.clone();
            receivers.push(Named::start("mail".to_owned(), wanted, MailReceiver::new(mail, &host))?);
        }
        for webhook in webhooks {
            let (name, wanted) = (format!("webhook.{}", webhook.name), webhook.wanted.clone());
            receivers.push(Named::start(name, wanted, WebhookReceiver::new(webhook, &host))?);
        }
        for program in programs {
            let (name, wanted) = (format!("exec.{}", program.name), program.wanted.clone());
            receivers.push(Named::start(name, wanted, ProgramReceiver::new(program, &host))?);
        }
        Ok(Self { receivers, unknown: Vec::new() })
    }

    /// Notes who asks for a jail that `is_jail` does not know.
    pub fn check_jails(&mut self, is_jail: impl Fn(&str) -> bool) {
        let unknown = self.receivers.iter().flat_map(|Named { name, wanted, .. }| {
            wanted.jails.iter().filter(|jail| !is_jail(jail)).map(|jail| (name.clone(), jail.clone()))
        });
        self.unknown = unknown.collect();
        for (receiver, jail) in &self.unknown {
            tracing::warn!("`notify.{receiver}.jails` has `{jail}`, and no such jail is on");
        }
    }

    /// Tells whoever wants it that the daemon has started.
    pub fn started(&mut self, jails: &[String], bans: usize) {
        self.tell(|wanted| wanted.on.contains(&Occasion::Start), || What::Started { jails: jails.to_vec(), bans });
    }

    /// Tells of what happened to bans. `jail` names the jail of an event.
    pub fn tell_all<'e>(&mut self, events: impl Iterator<Item = &'e Event>, jail: impl Fn(&Event) -> String) {
        if self.receivers.is_empty() {
            return;
        }
        let mut clock = None;
        for event in events {
            let Some(told) = Told::of(event) else { continue };
            let mut happening = None;
            for Named { name: _, wanted, handle } in &mut self.receivers {
                if !wanted.on.contains(&told.occasion()) || !wants(wanted, || jail(event)) {
                    continue;
                }
                handle.tell(|| {
                    let make = || {
                        Arc::new(Happening {
                            what: told.what(jail(event)),
                            clock: *clock.get_or_insert_with(Reading::take),
                        })
                    };
                    Arc::clone(happening.get_or_insert_with(make))
                });
            }
        }
    }

    /// Whether anybody wants alarms.
    pub fn wants_alarms(&self) -> bool {
        self.receivers.iter().any(|named| named.wanted.alarms)
    }

    /// Tells whoever wants it of an alarm.
    pub fn alarm(&mut self, alarm: &Alarm) {
        self.tell(|wanted| wanted.alarms, || What::Alarm(alarm.clone()));
    }

    fn tell(&mut self, is_wanted: impl Fn(&Wanted) -> bool, what: impl Fn() -> What) {
        let clock = Reading::take();
        for Named { name: _, wanted, handle } in &mut self.receivers {
            if is_wanted(wanted) {
                handle.tell_behind_a_flood(|| Arc::new(Happening { what: what(), clock }));
            }
        }
    }

    /// Tells that the daemon stops, and has all workers tell what waits; waits for them up to [`STOP_WITHIN`].
    pub async fn stop(mut self) {
        self.tell(|wanted| wanted.on.contains(&Occasion::Stop), || What::Stopping);
        let names: Vec<String> = self.receivers.iter().map(|named| named.name.clone()).collect();
        let ends: Vec<_> = self.receivers.into_iter().map(|named| tokio::spawn(named.handle.finish())).collect();
        let all = async {
            for end in ends {
                if let Err(error) = end.await {
                    tracing::debug!(%error, "a worker of a receiver ended otherwise");
                }
            }
        };
        if timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("not all of {} could be told that the daemon stops", names.join(", "));
        }
    }

    /// Sends a test to each receiver, and says later what became of it.
    pub fn test(&self) -> impl Future<Output = Vec<Tested>> + use<> {
        let tests: Vec<_> =
            self.receivers.iter().map(|named| (named.name.clone(), named.handle.tests.clone())).collect();
        async move {
            let mut waiting = Vec::new();
            for (receiver, tests) in tests {
                let task = tokio::spawn(async move {
                    let (reply, answer) = oneshot::channel();
                    tests.send(reply).await.ok()?;
                    answer.await.ok()
                });
                waiting.push((receiver, task));
            }
            let deadline = tokio::time::Instant::now() + TEST_WITHIN;
            let mut tested = Vec::new();
            for (receiver, task) in waiting {
                let error = match tokio::time::timeout_at(deadline, task).await {
                    Ok(Ok(Some(Ok(())))) => None,
                    Ok(Ok(Some(Err(why)))) => Some(why),
                    Ok(Ok(None) | Err(_)) => Some("its worker is gone: see the daemon's log".to_owned()),
                    Err(_) => Some(format!(
                        "no answer within {} s: is it still busy with what came before?",
                        TEST_WITHIN.as_secs()
                    )),
                };
                let outcome = if error.is_none() { "sent" } else { "failed" };
                tested.push(Tested { receiver, outcome: outcome.to_owned(), error });
            }
            tested
        }
    }

    /// How it goes with each.
    pub fn status(&self) -> impl Iterator<Item = ReceiverStatus> + '_ {
        self.receivers.iter().map(|Named { name, wanted: _, handle }| {
            let state = handle.state.borrow();
            ReceiverStatus {
                name: name.clone(),
                sent: state.sent,
                failed: state.failed,
                dropped: state.given_up + handle.left_out(),
                waiting: handle.queue.max_capacity() - handle.queue.capacity(),
                error: state.problem.clone(),
            }
        })
    }

    /// What is wrong with them.
    pub fn problems(&self) -> impl Iterator<Item = String> + '_ {
        let unknown = self.unknown.iter();
        let unknown = unknown
            .map(|(name, jail)| format!("notify.{name} is to tell of the jail `{jail}`, and no such jail is on"));
        self.receivers.iter().filter_map(Named::problem).chain(unknown)
    }
}

impl Named {
    fn start<R: worker::Receiver>(name: String, wanted: Wanted, receiver: R) -> Result<Self> {
        let handle = worker::start(&name, receiver)?;
        Ok(Self { name, wanted, handle })
    }

    fn problem(&self) -> Option<String> {
        let Self { name, wanted: _, handle } = self;
        let (error, left_out) = (handle.state.borrow().problem.clone(), handle.left_out());
        match (error, left_out) {
            (None, 0) => None,
            (None, _) => Some(format!(
                "{left_out} bans and ends of bans came too fast for notify.{name}: it was told their number"
            )),
            (Some(error), 0) => Some(format!("notify.{name} fails: {error}")),
            (Some(error), _) => {
                Some(format!("notify.{name} fails, and has missed {left_out} bans and ends of bans: {error}"))
            }
        }
    }
}

fn wants(wanted: &Wanted, jail: impl FnOnce() -> String) -> bool {
    wanted.jails.is_empty() || {
        let jail = jail();
        let jail = if jail.is_empty() { crate::kernel::MANUAL_JAIL } else { &jail };
        wanted.jails.iter().any(|wanted| wanted == jail)
    }
}

/// What this machine is called, as far as that can stand in an address.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if is_mail_address(&format!("blocker@{name}")) { name.to_owned() } else { "localhost".to_owned() }
}

/// What somebody else said, for the log and for people.
fn shown(text: &str) -> String {
    let text = plain(text.as_bytes());
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
