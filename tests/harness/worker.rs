//! A thread on one of the hosts that repeats its work until the value that holds it goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::Result;

use crate::netns::{Host, Net};

/// The thread; stopped and awaited on drop.
#[derive(Debug)]
pub struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Repeats `step` on `host`. A step must end by itself within a second or so: stopping waits for it.
    ///
    /// # Errors
    ///
    /// If the host's namespace cannot be entered.
    pub fn start(net: &Net, host: Host, mut step: impl FnMut() + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = net.spawn(host, move || {
            while !stopped.load(Ordering::Relaxed) {
                step();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was printed when it happened, and the test that needed the worker's result fails for want of it.
            thread.join().ok();
        }
    }
}

/// Runs `make` on `host` and hands back what it made: a socket belongs to the namespace it was made in for ever.
///
/// # Errors
///
/// Its own, or if the namespace cannot be entered.
pub fn make_on<T: Send + 'static>(
    net: &Net,
    host: Host,
    make: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    net.spawn(host, make)?.join().unwrap_or_else(|_| anyhow::bail!("a thread on the {} panicked", host.name()))
}
