//! The flood: TCP SYNs from banned sources by a packet socket, many to a system call, from one processor.

use std::{
    io::Error,
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use blocker_tests::{
    netns::{Host, Net},
    worker::{Worker, make_on},
};
use nix::net::if_::if_nametoindex;

use crate::{
    SENDER,
    legitimate::{PORT, stay_on},
    wire::{ATTACKER_MAC, FIRST, SERVER, SERVER_MAC, Wire},
};

/// Frames of one system call.
const AT_ONCE: usize = 64;

/// Frames that differ, at most: 4 MiB, more than a processor keeps close.
const MOST_FRAMES: usize = 1 << 16;

/// A frame as short as Ethernet has them.
const FRAME_BYTES: usize = 60;

/// Sends until it is dropped.
pub(crate) struct Sender {
    sent: Arc<AtomicU64>,
    worker: Worker,
}

impl Sender {
    /// Starts to send, each frame from the next of `sources`.
    pub(crate) fn start(net: &Net, wire: &Wire, sources: &[Ipv4Addr]) -> Result<Self> {
        let name = wire.name.clone();
        let socket = make_on(net, Host::Attacker, move || open(&name))?;
        let mut frames: Vec<[u8; FRAME_BYTES]> = sources.iter().take(MOST_FRAMES).map(|source| syn(*source)).collect();
        // Whole calls.
        let distinct = frames.len();
        while !frames.len().is_multiple_of(AT_ONCE) {
            frames.push(frames[frames.len() % distinct]);
        }
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let (mut next, mut fresh) = (0, true);
        let worker = Worker::start(net, Host::Attacker, move || {
            if fresh {
                stay_on(SENDER, Some(FIRST));
                fresh = false;
            }
            // A step of some milliseconds.
            for _ in 0..64 {
                counter.fetch_add(send(&socket, &frames[next..next + AT_ONCE]), Ordering::Relaxed);
                next = (next + AT_ONCE) % frames.len();
            }
        })?;
        Ok(Self { sent, worker })
    }

    /// Stops, and says how many frames were handed to the veth, those included that its full queue threw away.
    pub(crate) fn finish(self) -> u64 {
        drop(self.worker);
        self.sent.load(Ordering::Relaxed)
    }
}

/// A packet socket on the interface, which receives nothing and goes past all queueing.
fn open(name: &str) -> Result<OwnedFd> {
    let index = if_nametoindex(name).with_context(|| format!("finding {name}"))?;
    // SAFETY: a system call without pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(Error::last_os_error()).context("opening a packet socket");
    }
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: 0,
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a whole `sockaddr_ll` and outlives the call.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), size) };
    if bound < 0 {
        return Err(Error::last_os_error()).with_context(|| format!("binding a packet socket to {name}"));
    }
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the option's value is an integer that outlives the call.
    let set =
        unsafe { libc::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, (&raw const on).cast(), size) };
    if set < 0 {
        return Err(Error::last_os_error()).context("going past queueing");
    }
    Ok(socket)
}

/// Sends frames, and says how many were handed over.
fn send(socket: &OwnedFd, frames: &[[u8; FRAME_BYTES]]) -> u64 {
    let mut parts: [libc::iovec; AT_ONCE] =
        std::array::from_fn(|at| libc::iovec { iov_base: frames[at].as_ptr().cast_mut().cast(), iov_len: FRAME_BYTES });
    let mut messages: [libc::mmsghdr; AT_ONCE] = std::array::from_fn(|at| {
        // SAFETY: zeros are a message without an address, parts and extras.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = &raw mut parts[at];
        message.msg_hdr.msg_iovlen = 1;
        message
    });
    let mut done = 0;
    while done < AT_ONCE {
        let left = &mut messages[done..];
        // SAFETY: each message points to a part and each part to a frame, which all outlive the call; sending writes to none.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), left.len() as libc::c_uint, 0) };
        // A frame that the full queue threw away is an error if it was the first.
        done += usize::try_from(sent).unwrap_or(0).max(1);
    }
    AT_ONCE as u64
}

/// A TCP SYN to the service, with checksums that a stack takes.
fn syn(source: Ipv4Addr) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    frame[..6].copy_from_slice(&SERVER_MAC);
    frame[6..12].copy_from_slice(&ATTACKER_MAC);
    frame[12..14].copy_from_slice(&[8, 0]);
    let (source, server) = (source.octets(), SERVER.octets());
    let ip = &mut frame[14..34];
    ip[0] = 0x45;
    ip[3] = 40;
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&source);
    ip[16..20].copy_from_slice(&server);
    let sum = checksum(&[ip]);
    ip[10..12].copy_from_slice(&sum);
    let tcp = &mut frame[34..54];
    tcp[..2].copy_from_slice(&(1024 + u16::from(source[3])).to_be_bytes());
    tcp[2..4].copy_from_slice(&PORT.to_be_bytes());
    tcp[4..8].copy_from_slice(&source);
    tcp[12] = 0x50;
    tcp[13] = 2;
    tcp[14..16].copy_from_slice(&[0xff, 0xff]);
    let sum = checksum(&[&source, &server, &[0, 6, 0, 20], tcp]);
    tcp[16..18].copy_from_slice(&sum);
    frame
}

/// The Internet checksum (RFC 1071) of parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
