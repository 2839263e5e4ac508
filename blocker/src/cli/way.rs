//! The way of a list to the daemon: several requests under way at once, their answers in order.
//!
//! While one request waits for the disk, the next ones are carried out; the daemon writes what all of them changed at once.
//! What the daemon has answered is done and on disk.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context, Error, Result};
use blocker_core::whom::Whom;

use super::targets::{Changes, Chunk, Part, Target, in_parts};
use crate::control::client::Client;
use crate::control::wire::{MAX_UNDER_WAY, Request};

/// A list on its way.
pub(super) struct Way<'a, F> {
    runtime: &'a Path,
    /// What is asked about some of the list.
    request: F,
    changes: Changes,
    client: Option<Client>,
    /// What is asked about and not answered, at most [`MAX_UNDER_WAY`].
    under_way: VecDeque<Chunk>,
}

impl<'a, F: Fn(&[Whom]) -> Request> Way<'a, F> {
    pub(super) fn new(runtime: &'a Path, json: bool, request: F) -> Self {
        Self { runtime, request, changes: Changes::new(json), client: None, under_way: VecDeque::new() }
    }

    /// Asks about all of them, and prints what became of each.
    pub(super) fn go(mut self, targets: &[Target]) -> Result<()> {
        let gone = in_parts(targets, |part| match part {
            Part::Chunk(chunk) => self.send(chunk),
            Part::Pause => self.settle(),
        });
        // What was sent before something went wrong is done, too, and told.
        let settled = self.settle();
        gone.and(settled)?;
        self.changes.finish()
    }

    fn send(&mut self, chunk: Chunk) -> Result<()> {
        while self.under_way.len() >= MAX_UNDER_WAY {
            self.receive()?;
        }
        let client = match &mut self.client {
            Some(client) => client,
            None => self.client.insert(Client::connect(self.runtime)?),
        };
        client.send(&(self.request)(&chunk.whom))?;
        self.under_way.push_back(chunk);
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let Some((client, chunk)) = self.client.as_mut().zip(self.under_way.pop_front()) else { return Ok(()) };
        let mut left = chunk.whom.iter().copied();
        let received = client.receive(|reply| self.changes.take(reply, &mut left));
        match chunk.lines {
            None => received,
            Some((first, last)) => received.with_context(|| format!("stdin, lines {first} to {last}")),
        }
    }

    /// Waits for all answers, and closes the connection: stdin may take longer than the daemon waits. Of several errors the
    /// first is returned.
    fn settle(&mut self) -> Result<()> {
        let mut first: Option<Error> = None;
        while !self.under_way.is_empty() {
            if let Err(error) = self.receive() {
                first.get_or_insert(error);
            }
        }
        self.client = None;
        first.map_or(Ok(()), Err)
    }
}
