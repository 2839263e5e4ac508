//! Asks the kernel: for all it has of a kind (one netlink dump), or for one thing. Both are bounded in time and in what
//! is kept.
//!
//! Only headers and attributes are read here, and of these only what is asked for: what a newer kernel adds, or lays out
//! in another way, costs nothing but itself.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NlasIterator,
};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

/// How long a dump may take, retries included. It is time in which no line is judged. A kernel lists some two million
/// routes a second.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often a dump is begun anew because what it lists changed meanwhile. The last one is taken as it is: the change
/// rings the bell, and everything is looked at again.
const MAX_ATTEMPTS: usize = 3;

/// Most entries kept of a dump.
const MAX_ENTRIES: usize = 65_536;

/// Longest datagram read, in bytes. The kernel fills 32 KiB at most (`netlink_dump`).
const MAX_DATAGRAM_BYTES: usize = 64 * 1024;

/// What a dump listed.
#[derive(Debug)]
pub(super) struct Dump<T> {
    /// What was made of the entries, in the kernel's order.
    pub(super) entries: Vec<T>,
    /// Whether that is everything; if not, the time or the room was up.
    pub(super) is_whole: bool,
}

/// What the kernel is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Of which part of it.
    pub(super) protocol: SockProtocol,
    /// The number of the question: `RTM_GET…`, or a family of generic netlink.
    pub(super) kind: u16,
    /// What stands behind the netlink header.
    pub(super) payload: &'a [u8],
}

/// That the kernel does not answer, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel refuses to answer: {}", .0.desc())]
pub(super) struct Refused(pub(super) Errno);

/// Asks for everything of a kind: `request` is its `RTM_GET…`, `header` what stands behind the netlink header. `read`
/// gets what stands behind the netlink header of each entry, and makes of it what is kept.
///
/// # Errors
///
/// The kernel's. That there is more than can be read in [`PATIENCE`] is none, and shows in the dump.
pub(super) fn dump<T>(request: u16, header: &[u8], read: impl Fn(&[u8]) -> Vec<T>) -> Result<Dump<T>> {
    let question = Question { protocol: SockProtocol::NetlinkRoute, kind: request, payload: header };
    dump_of(&question, read)
}

/// The same of any part of the kernel.
///
/// # Errors
///
/// As [`dump`].
pub(super) fn dump_of<T>(question: &Question<'_>, read: impl Fn(&[u8]) -> Vec<T>) -> Result<Dump<T>> {
    let deadline = Instant::now() + PATIENCE;
    let mut attempts = 0;
    loop {
        let attempt = attempt(question, NLM_F_DUMP, deadline, &read)?;
        attempts += 1;
        if !attempt.is_interrupted || !attempt.dump.is_whole || attempts == MAX_ATTEMPTS {
            return Ok(attempt.dump);
        }
    }
}

/// Asks for one thing.
///
/// # Errors
///
/// The kernel's, [`Refused`] among them; that it does not answer in time.
pub(super) fn ask<T>(question: &Question<'_>, read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
    let deadline = Instant::now() + PATIENCE;
    // With NLM_F_ACK the answer has an end.
    let attempt = attempt(question, NLM_F_ACK, deadline, &|payload: &[u8]| read(payload).into_iter().collect())?;
    ensure!(attempt.dump.is_whole, "the kernel does not answer in {PATIENCE:?}");
    Ok(attempt.dump.entries.into_iter().next())
}

/// The attributes in `bytes`: number and value of each, up to the first that is not well formed.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
        Some((kind, attribute.into_inner().get(ATTRIBUTE_HEADER_BYTES..end)?))
    })
}

/// A number as the kernel writes it, at the beginning of `bytes`.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

/// `NLA_HDRLEN`.
const ATTRIBUTE_HEADER_BYTES: usize = 4;

struct Attempt<T> {
    dump: Dump<T>,
    /// What it lists changed meanwhile: entries may be missing, or twice in it.
    is_interrupted: bool,
}

fn attempt<T>(
    question: &Question<'_>,
    flags: u16,
    deadline: Instant,
    read: &impl Fn(&[u8]) -> Vec<T>,
) -> Result<Attempt<T>> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, question.protocol)
        .context("opening a netlink socket")?;
    // Connected to the kernel, it takes messages from nobody else.
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("connecting a netlink socket")?;
    let patience = TimeVal::new(0, PATIENCE.subsec_micros().into());
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).context("bounding a netlink socket")?;
    send(socket.as_raw_fd(), &message(question.kind, flags, question.payload), MsgFlags::empty())
        .context("asking the kernel")?;

    let mut attempt = Attempt { dump: Dump { entries: Vec::new(), is_whole: false }, is_interrupted: false };
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    while Instant::now() < deadline {
        // With MSG_TRUNC the length is that of the datagram, and not of what was read of it.
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => break,
            Err(error) => return Err(error).context("reading the kernel's answer"),
        };
        let datagram = buffer.get(..length).context("the kernel's answer is longer than expected")?;
        if take(datagram, read, &mut attempt)? {
            attempt.dump.is_whole = true;
            break;
        }
        if attempt.dump.entries.len() >= MAX_ENTRIES {
            break;
        }
    }
    Ok(attempt)
}

fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = NetlinkHeader::default();
    message.message_type = kind;
    message.flags = NLM_F_REQUEST | flags;
    let length = message.buffer_len() + payload.len();
    message.length = u32::try_from(length).expect("requests are a few bytes long");
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes the entries out of a datagram; true if the answer ends with it.
fn take<T>(datagram: &[u8], read: &impl Fn(&[u8]) -> Vec<T>, attempt: &mut Attempt<T>) -> Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest).context("reading the kernel's answer")?;
        attempt.is_interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
        let payload = message.payload();
        match message.message_type() {
            // Both begin with an error number, negated, and end the answer: the first of a dump, the other one of all else.
            NLMSG_DONE | NLMSG_ERROR => {
                let code = number(payload).map_or(0, u32::cast_signed);
                if code < 0 {
                    return Err(Refused(Errno::from_raw(code.saturating_neg())).into());
                }
                return Ok(true);
            }
            _ => attempt.dump.entries.extend(read(payload)),
        }
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(MESSAGE_ALIGNMENT)..).unwrap_or_default();
    }
    Ok(false)
}

/// `NLMSG_ALIGNTO`.
const MESSAGE_ALIGNMENT: usize = 4;

/// Attributes, written as the kernel does.
pub(super) mod written {
    /// An attribute.
    pub(in crate::network) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = value.len() + super::ATTRIBUTE_HEADER_BYTES;
        let length = u16::try_from(length).expect("what is asked takes a few bytes");
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An attribute that is a number.
    pub(in crate::network) fn numbered(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = message(kind, 0, payload);
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn taken(datagram: &[u8]) -> Result<(bool, Attempt<Vec<u8>>)> {
        let mut attempt = Attempt { dump: Dump { entries: Vec::new(), is_whole: false }, is_interrupted: false };
        let is_done = take(datagram, &|payload| vec![payload.to_vec()], &mut attempt)?;
        Ok((is_done, attempt))
    }

    #[test]
    fn reads_entries_up_to_the_end_of_the_dump() {
        let datagram = [entry(16, 2, b"first"), entry(16, 2, b"second!!"), entry(NLMSG_DONE, 2, &[0; 4])].concat();

        let (is_done, attempt) = taken(&datagram).unwrap();

        assert!(is_done && !attempt.is_interrupted);
        assert_eq!(attempt.dump.entries, [b"first".to_vec(), b"second!!".to_vec()]);
    }

    #[test]
    fn a_change_in_between_is_noticed() {
        let (is_done, attempt) = taken(&entry(16, NLM_F_DUMP_INTR, b"entry")).unwrap();

        assert!(attempt.is_interrupted && !is_done);
    }

    #[test]
    fn the_kernels_refusal_is_an_error_in_its_words() {
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            let error = taken(&entry(kind, 0, &(-libc::EPERM).to_ne_bytes())).err().unwrap();

            assert!(error.to_string().contains("not permitted"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            drop(taken(&bytes));
            proptest::prop_assert!(attributes(&bytes).map(|(_, value)| value.len()).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error_or_left_out_and_no_panic() {
        let whole = entry(16, 2, &written::attribute(3, b"eth0"));
        for end in 1..whole.len() {
            assert!(taken(&whole[..end]).is_err(), "{end} bytes");
        }
        let attribute = written::attribute(3, b"eth0");
        for end in 0..attribute.len() {
            assert_eq!(attributes(&attribute[..end]).count(), 0, "{end} bytes");
        }
    }
}
