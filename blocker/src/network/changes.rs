//! Tells when interfaces, addresses or routes change.
//!
//! A netlink socket serves as a bell: what rang it is not read, because everything is looked at anew.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `include/uapi/linux/rtnetlink.h`: links, and addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// The bell.
pub struct Changes {
    socket: AsyncFd<OwnedFd>,
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
        Ok(Self { socket })
    }

    /// Waits for the next change; several at once are one.
    pub async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut rang = false;
            let mut message = [0; 4096];
            loop {
                match recv(ready.get_inner().as_raw_fd(), &mut message, MsgFlags::empty()) {
                    // ENOBUFS: there was more than the socket holds. It rang, which is all that is asked.
                    Ok(_) | Err(Errno::ENOBUFS) => rang = true,
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            ready.clear_ready();
            if rang {
                return Ok(());
            }
        }
    }
}
