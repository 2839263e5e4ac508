//! Tells when interfaces, addresses or routes change, or files that say whom never to ban.
//!
//! A netlink socket and inotify serve as a bell: what rang it is not read, because everything is looked at anew. It rings
//! at once, and then at most every second: where routes change all the time, looking must not be all there is.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

/// `include/uapi/linux/rtnetlink.h`: links, addresses and routes of both families, and nexthop objects. Rules are none of
/// it: every table is looked at, whatever rule leads to it.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 31;

/// How long the bell is silent after it rang; what happens meanwhile rings it at the end.
const QUIET: Duration = Duration::from_secs(1);

/// A file, or everything in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
    /// `None` for every file in it.
    name: Option<OsString>,
}

impl Place {
    /// The file at `path`; `None` if that names none.
    #[must_use]
    pub fn file(path: &Path) -> Option<Self> {
        Some(Self { directory: path.parent()?.to_owned(), name: Some(path.file_name()?.to_owned()) })
    }

    /// Everything in the directory at `path`.
    #[must_use]
    pub fn directory(path: &Path) -> Self {
        Self { directory: path.to_owned(), name: None }
    }
}

/// The bell.
pub struct Changes {
    socket: AsyncFd<OwnedFd>,
    files: Option<Files>,
    /// Whether something changed since the bell last rang.
    is_due: bool,
    /// When it may ring again.
    quiet_until: Instant,
}

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe, and asks for what an OwnedFd guarantees: that it stays open"
    )]
    pub fn listen() -> Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .context("opening a netlink socket")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).context("listening for network changes")?;
        let socket = AsyncFd::with_interest(socket, Interest::READABLE).context("waiting for network changes")?;
        Ok(Self { socket, files: None, is_due: false, quiet_until: Instant::now() })
    }

    /// Rings also when something changes at these places, from here on, and at no others. To be called now and then: a
    /// directory may come only later. Whatever cannot be watched is looked at every minute all the same.
    pub fn watch(&mut self, places: Vec<Place>) {
        if self.files.as_ref().is_none_or(|files| files.places != places) {
            self.files = Files::new(places)
                .inspect_err(|error| tracing::debug!("files of allowed addresses are looked at every minute: {error}"))
                .ok();
        }
        if let Some(files) = &mut self.files {
            // What happened before it was watched is not known.
            self.is_due |= files.watch();
        }
    }

    /// Waits for the next change; several at once are one. May be abandoned and called again: no change is lost.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub async fn next(&mut self) -> io::Result<()> {
        while !self.is_due {
            self.listen_on().await?;
        }
        sleep_until(self.quiet_until).await;
        self.is_due = false;
        self.quiet_until = Instant::now() + QUIET;
        Ok(())
    }

    /// Takes all messages that wait, once there are some.
    async fn listen_on(&mut self) -> io::Result<()> {
        let Self { socket, files, is_due, quiet_until: _ } = self;
        tokio::select! {
            ready = socket.readable() => {
                let mut ready = ready?;
                let mut message = [0; 4096];
                loop {
                    match recv(ready.get_inner().as_raw_fd(), &mut message, MsgFlags::empty()) {
                        // ENOBUFS: there was more than the socket holds. It rang, which is all that is asked.
                        Ok(_) | Err(Errno::ENOBUFS) => *is_due = true,
                        Err(Errno::EINTR) => {}
                        Err(Errno::EAGAIN) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                ready.clear_ready();
            }
            noticed = notice(files) => match noticed {
                Ok(is_one_of_them) => *is_due |= is_one_of_them,
                Err(error) => {
                    tracing::warn!(%error, "file notifications broke: files of allowed addresses are looked at every minute");
                    *files = None;
                    *is_due = true;
                }
            },
        }
        Ok(())
    }
}

/// An inotify instance and what it watches.
struct Files {
    inotify: Inotify,
    /// A second descriptor of it, readable when there is something to take.
    ready: AsyncFd<OwnedFd>,
    places: Vec<Place>,
    watched: HashMap<WatchDescriptor, PathBuf>,
}

impl Files {
    #[expect(
        deprecated,
        reason = "its replacement is unsafe, and asks for what an OwnedFd guarantees: that it stays open"
    )]
    fn new(places: Vec<Place>) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let ready = AsyncFd::with_interest(inotify.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        Ok(Self { inotify, ready, places, watched: HashMap::new() })
    }

    /// Watches the directories that it does not watch yet. Returns whether there were any.
    fn watch(&mut self) -> bool {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let before = self.watched.len();
        for directory in self.places.iter().map(|place| &place.directory) {
            if self.watched.values().any(|watched| watched == directory) {
                continue;
            }
            // It may not be there, or not yet.
            if let Ok(descriptor) = self.inotify.add_watch(directory, flags) {
                self.watched.insert(descriptor, directory.clone());
            }
        }
        self.watched.len() > before
    }

    /// Takes the notifications that wait. Returns whether one is of a place.
    fn take(&mut self) -> Result<bool, Errno> {
        let mut is_one_of_them = false;
        for event in self.inotify.read_events()? {
            if event.mask.intersects(AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF) {
                self.watched.remove(&event.wd);
            }
            let directory = self.watched.get(&event.wd);
            let is_named = |place: &Place| place.name.is_none() || place.name == event.name;
            is_one_of_them |= directory.is_none_or(|directory| {
                self.places.iter().any(|place| place.directory == *directory && is_named(place))
            });
        }
        Ok(is_one_of_them)
    }
}

/// Waits for notifications, and says whether one is of a place. Waits forever if there will be none.
async fn notice(files: &mut Option<Files>) -> io::Result<bool> {
    let Some(files) = files else { return std::future::pending().await };
    drop(files.ready.readable().await?);
    match files.take() {
        Ok(is_one_of_them) => Ok(is_one_of_them),
        Err(Errno::EAGAIN) => {
            files.ready.readable().await?.clear_ready();
            Ok(false)
        }
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
