//! Tells when interfaces, addresses or routes change.
//!
//! A netlink socket serves as a bell: what rang it is not read, because everything is looked at anew. It rings at once,
//! and then at most every second: where routes change all the time, looking must not be all there is.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

/// `include/uapi/linux/rtnetlink.h`: links, addresses and routes of both families, and nexthop objects. Rules are none of
/// it: every table is looked at, whatever rule leads to it.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 31;

/// How long the bell is silent after it rang; what happens meanwhile rings it at the end.
const QUIET: Duration = Duration::from_secs(1);

/// The bell.
pub struct Changes {
    socket: AsyncFd<OwnedFd>,
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
        Ok(Self { socket, is_due: false, quiet_until: Instant::now() })
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
        let mut ready = self.socket.readable().await?;
        let mut message = [0; 4096];
        loop {
            match recv(ready.get_inner().as_raw_fd(), &mut message, MsgFlags::empty()) {
                // ENOBUFS: there was more than the socket holds. It rang, which is all that is asked.
                Ok(_) | Err(Errno::ENOBUFS) => self.is_due = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}
