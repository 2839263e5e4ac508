//! A terminal to run a command on: a pseudo terminal of the kernel's, and what is seen on its screen.

use std::{
    fs::{self, File},
    io::{Read, Write},
    num::NonZero,
    os::fd::AsRawFd,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result};
use blocker_tests::{process, wait};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::tcgetattr,
    },
    unistd::Pid,
};

use crate::siege::LIMIT;

/// A command on a terminal that it controls. Killed on drop.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// The terminal itself, as the command has it.
    line: File,
    before: String,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Runs `command` on a terminal of this size.
    pub(crate) fn run(command: &Command, (columns, rows): (u16, u16)) -> Result<Self> {
        let (keyboard, line) = open((columns, rows))?;
        let before = state(&line)?;
        let child = spawn(command, &line)?;
        let screen = vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0);
        let seen = Arc::new(Mutex::new(Seen { screen, bytes: Vec::new() }));
        let (mut shown, sees) = (keyboard.try_clone()?, Arc::clone(&seen));
        // Ends when nobody has the other end any more.
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(size @ 1..) = shown.read(&mut piece) {
                let mut seen = lock(&sees);
                seen.screen.process(&piece[..size]);
                seen.bytes.extend_from_slice(&piece[..size]);
            }
        });
        Ok(Self { child, keyboard, line, before, seen })
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        lock(&self.seen).screen.screen().contents()
    }

    /// All that was written to it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        lock(&self.seen).bytes.clone()
    }

    /// Waits until the screen has all of `words` on it, and returns it.
    pub(crate) fn await_words(&self, words: &[&str]) -> Result<String> {
        self.await_screen(&format!("{words:?} on the screen"), |screen| words.iter().all(|word| screen.contains(word)))
    }

    /// Waits until the screen is as it should be, and returns it.
    pub(crate) fn await_screen(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Result<String> {
        wait::until(what, LIMIT, || {
            let screen = self.screen();
            if is_so(&screen) { Ok(screen) } else { Err(screen) }
        })
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("pressing keys")
    }

    /// Makes it another size, which the command is told as by any terminal.
    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) -> Result<()> {
        lock(&self.seen).screen.screen_mut().set_size(at_least_one(rows), at_least_one(columns));
        let path = fs::read_link(format!("/proc/self/fd/{}", self.line.as_raw_fd()))?;
        let mut stty = Command::new("stty");
        stty.arg("-F").arg(path).args(["rows", &rows.to_string(), "cols", &columns.to_string()]);
        process::run(stty, LIMIT)?.success().map(drop)
    }

    /// Sends the command a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).context("sending a signal")
    }

    /// Waits for the end of the command, and that the terminal is as it was before.
    pub(crate) fn await_end(&mut self) -> Result<ExitStatus> {
        let (child, seen) = (&mut self.child, &self.seen);
        let status = wait::until("the end of the command", LIMIT, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(format!("it still runs:\n{}", lock(seen).screen.screen().contents())),
            Err(error) => Err(error.to_string()),
        })?;
        assert_eq!(state(&self.line)?, self.before, "its keys are read as before");
        wait::until("the screen as it was before", LIMIT, || {
            let seen = lock(&self.seen);
            let screen = seen.screen.screen();
            if screen.alternate_screen() || screen.hide_cursor() { Err(screen.contents()) } else { Ok(()) }
        })?;
        Ok(status)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap_or_else(|error| eprintln!("the command was not killed: {error}"));
            if let Err(error) = self.child.wait() {
                eprintln!("the command was not reaped: {error}");
            }
        }
    }
}

/// Runs `command` on a terminal that goes away, as that of a broken connection does, when `word` is on it. Returns how it ended.
pub(crate) fn lose(command: &Command, word: &str) -> Result<ExitStatus> {
    let (mut keyboard, line) = open((80, 24))?;
    let mut child = spawn(command, &line)?;
    drop(line);
    let mut screen = vt100::Parser::new(at_least_one(24), at_least_one(80), 0);
    let mut piece = [0; 4096];
    while !screen.screen().contents().contains(word) {
        match keyboard.read(&mut piece) {
            Ok(size @ 1..) => screen.process(&piece[..size]),
            Ok(0) | Err(_) => break,
        }
    }
    drop(keyboard);
    let ended = wait::until("the end of the command", LIMIT, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("it still runs".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    if ended.is_err() {
        child.kill().and_then(|()| child.wait()).context("killing the command")?;
    }
    ended
}

/// Both ends of a new terminal: where it is typed and read, and where commands run.
fn open((columns, rows): (u16, u16)) -> Result<(File, File)> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).context("opening a terminal")?;
    // A command that had the other end itself would never lose it.
    for end in [&pty.master, &pty.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("keeping a terminal from commands")?;
    }
    Ok((File::from(pty.master), File::from(pty.slave)))
}

/// Runs `command` on a terminal that it controls.
fn spawn(command: &Command, line: &File) -> Result<Child> {
    let mut on_terminal = Command::new("setsid");
    on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm-256color");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => on_terminal.env(name, value),
            None => on_terminal.env_remove(name),
        };
    }
    on_terminal.stdin(line.try_clone()?).stdout(line.try_clone()?).stderr(line.try_clone()?);
    on_terminal.spawn().context("starting a command on a terminal")
}

/// How a terminal treats what is typed and printed.
fn state(line: &File) -> Result<String> {
    let modes = tcgetattr(line).context("reading the modes of a terminal")?;
    Ok(format!("{:?} {:?} {:?}", modes.local_flags, modes.input_flags, modes.output_flags))
}

fn at_least_one(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap_or(NonZero::<u16>::MIN)
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
