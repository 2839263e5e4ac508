//! The terminal: what is shown on it, until when, and that it is given back as it was, whatever ends the command.

use std::collections::VecDeque;
use std::env;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Rect, Size};
use ratatui::{DefaultTerminal, TerminalOptions, Viewport};
use tokio::signal::unix::{SignalKind, signal};

use super::draw;
use super::feed::{Asker, News};
use super::view::View;
use crate::control::watch::{MAX_NEW_BANS, NewBan};

/// How long at most until a key or an answer is taken notice of.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Rates of drops that are remembered: as many as a wide terminal has columns.
const MAX_RATES: usize = 512;

/// An answer that has not come after this time, and three intervals, is missed.
const PATIENCE: Duration = Duration::from_secs(2);

/// What attackers are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Packets dropped in a second.
    Rate,
    /// Packets dropped.
    Packets,
    /// Failed attempts.
    Attempts,
    /// Who was seen last.
    Last,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Rate => Self::Packets,
            Self::Packets => Self::Attempts,
            Self::Attempts => Self::Last,
            Self::Last => Self::Rate,
        }
    }
}

/// All that is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) view: Option<View>,
    /// Why there is no newer one.
    pub(super) waiting: Option<String>,
    /// The last bans, the first one first; at most [`MAX_NEW_BANS`].
    pub(super) bans: VecDeque<NewBan>,
    /// Packets dropped in a second, the last one at the end; at most [`MAX_RATES`].
    pub(super) rates: VecDeque<f64>,
    pub(super) sort: Sort,
    pub(super) is_paused: bool,
    pub(super) is_coloured: bool,
}

impl Shown {
    pub(super) fn new(is_coloured: bool) -> Self {
        Self {
            view: None,
            waiting: None,
            bans: VecDeque::new(),
            rates: VecDeque::new(),
            sort: Sort::Rate,
            is_paused: false,
            is_coloured,
        }
    }

    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Told(mut view) => {
                // The first answer, also of a daemon that was started again, may have bans that are known.
                let is_first = view.interval_s.is_none();
                for ban in view.new_bans.drain(..) {
                    if !is_first || !self.bans.contains(&ban) {
                        self.bans.push_back(ban);
                    }
                }
                while self.bans.len() > MAX_NEW_BANS {
                    self.bans.pop_front();
                }
                self.rates.extend(view.packets.dropped.packets_per_s);
                while self.rates.len() > MAX_RATES {
                    self.rates.pop_front();
                }
                self.waiting = None;
                self.view = Some(*view);
            }
            News::Waiting(why) => self.waiting = Some(why),
        }
    }
}

/// Shows it until somebody presses `q`, or a signal comes.
pub(super) fn run(mut asker: Asker, interval: Duration) -> Result<()> {
    // Who may not ask hears so on the terminal as it is.
    let first = asker.ask()?;
    let ended = end_by_signal()?;
    let news = ask_on(asker, interval)?;
    // The standard: <https://no-color.org>.
    let mut shown = Shown::new(env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    shown.take(first);
    let mut terminal = Terminal::set_up().context("setting up the terminal")?;
    if turn(&mut terminal.0, &mut shown, &news, &ended, interval)? == Input::Gone {
        // There is nothing to give back, and ratatui would panic for want of somebody to tell.
        std::mem::forget(terminal);
    }
    Ok(())
}

/// Given back when this is dropped.
struct Terminal(DefaultTerminal);

impl Terminal {
    /// What a terminal is taken for that does not tell its size, as many a serial line does not: as by other programs.
    const UNKNOWN: Rect = Rect::new(0, 0, 80, 24);

    fn set_up() -> io::Result<Self> {
        // Restores the terminal on a panic, too, before what that says.
        let mut terminal = Self(ratatui::try_init()?);
        let Size { width, height } = terminal.0.size()?;
        if width == 0 || height == 0 {
            let viewport = Viewport::Fixed(Self::UNKNOWN);
            terminal.0 =
                DefaultTerminal::with_options(CrosstermBackend::new(io::stdout()), TerminalOptions { viewport })?;
        }
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn turn(
    terminal: &mut DefaultTerminal,
    shown: &mut Shown,
    news: &Receiver<Result<News>>,
    ended: &AtomicBool,
    interval: Duration,
) -> Result<Input> {
    let mut frozen: Option<Shown> = None;
    let mut answered = Instant::now();
    let mut is_new = true;
    while !ended.load(Ordering::Relaxed) {
        if is_new {
            let visible = frozen.as_ref().unwrap_or(shown);
            match terminal.draw(|frame| draw::draw(frame, visible)) {
                Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => return Ok(Input::Gone),
                drawn => _ = drawn.context("drawing on the terminal")?,
            }
        }
        is_new = false;
        if wait_for_key()? == Input::Gone {
            return Ok(Input::Gone);
        }
        if event::poll(Duration::ZERO).or_else(if_interrupted).context("waiting for a key")? {
            is_new = true;
            match event::read().context("reading a key")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match action(key) {
                    Some(Action::Quit) => return Ok(Input::There),
                    Some(Action::Pause) => {
                        frozen = match frozen {
                            None => Some(Shown { is_paused: true, ..shown.clone() }),
                            Some(_) => None,
                        };
                    }
                    Some(Action::Sort) => {
                        shown.sort = shown.sort.next();
                        if let Some(frozen) = &mut frozen {
                            frozen.sort = shown.sort;
                        }
                    }
                    None => {}
                },
                Event::Key(_) | Event::Resize(..) | Event::FocusGained | Event::FocusLost => {}
                Event::Mouse(_) | Event::Paste(_) => {}
            }
        }
        loop {
            match news.try_recv() {
                Ok(told) => {
                    shown.take(told?);
                    answered = Instant::now();
                    is_new = true;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => bail!("the thread that asks the daemon has ended"),
            }
        }
        let silent = answered.elapsed();
        if silent > 3 * interval + PATIENCE {
            shown.waiting = Some(format!("the daemon has not answered for {} s", silent.as_secs()));
            is_new = true;
        }
    }
    Ok(Input::There)
}

enum Action {
    Quit,
    Pause,
    Sort,
}

fn action(key: KeyEvent) -> Option<Action> {
    let KeyCode::Char(letter) = key.code else { return (key.code == KeyCode::Esc).then_some(Action::Quit) };
    match letter {
        'c' if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Action::Quit),
        'q' | 'Q' => Some(Action::Quit),
        'p' | 'P' | ' ' => Some(Action::Pause),
        's' | 'S' => Some(Action::Sort),
        _ => None,
    }
}

/// Whether there still is a terminal to read keys from.
#[derive(PartialEq, Eq)]
enum Input {
    There,
    Gone,
}

/// Waits until a key may have been pressed, for [`LOOK_EVERY`] at most. A terminal that is gone has to be seen here: crossterm (0.29)
/// would read its end again and again, and never come back.
fn wait_for_key() -> Result<Input> {
    let stdin = io::stdin();
    let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let within = PollTimeout::try_from(LOOK_EVERY).unwrap_or(PollTimeout::MAX);
    match poll(&mut waiting, within) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error).context("waiting for a key"),
    }
    let [input] = waiting;
    let is_gone = input.revents().is_some_and(|found| found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR));
    Ok(if is_gone { Input::Gone } else { Input::There })
}

/// A signal has come: there is no key, and the loop sees whether it was to end.
fn if_interrupted(error: io::Error) -> io::Result<bool> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
}

/// Asks in a thread of its own, so that keys are heard while a daemon does not answer. One answer waits at most.
fn ask_on(mut asker: Asker, interval: Duration) -> Result<Receiver<Result<News>>> {
    let (told, news) = mpsc::sync_channel(1);
    let ask = move || {
        loop {
            thread::sleep(interval);
            let answer = asker.ask();
            let is_over = answer.is_err();
            if told.send(answer).is_err() || is_over {
                return;
            }
        }
    };
    thread::Builder::new().name("watch".to_owned()).spawn(ask).context("starting the thread that asks the daemon")?;
    Ok(news)
}

/// Whether a signal has come that ends the command. It must not be ended by the signal itself: the terminal would stay as it is.
fn end_by_signal() -> Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let listening = {
        let _entered = runtime.enter();
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal)
    };
    let [terminate, interrupt, hang_up] = listening;
    let what = "listening for signals";
    let (mut terminate, mut interrupt, mut hang_up) =
        (terminate.context(what)?, interrupt.context(what)?, hang_up.context(what)?);
    let wait = move || {
        runtime.block_on(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        seen.store(true, Ordering::Relaxed);
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .context("starting the thread that waits for signals")?;
    Ok(ended)
}
