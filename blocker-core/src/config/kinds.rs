//! What may stand at a key, each with the words that an error shows.

use std::path::PathBuf;
use std::time::Duration;

use super::ports::{PortRange, Ports};
use super::value::{Kind, Read, Reading};
use super::{Attach, Enabled, Interfaces, MAX_ALLOW_FILES, Mode};
use crate::jail::Counter;
use crate::journal::{Matches, Unmatchable};
use crate::prefix::Prefix;
use crate::time::{BanTime, parse_span};

pub(super) const INTERFACES: Kind<Interfaces> = Kind {
    expected: "\"auto\", or names of interfaces of 1 to 15 characters, in which *, ? and [] stand for what varies",
    read: |value| match value.text() {
        Some("auto") => Ok(Interfaces::Auto),
        Some(_) | None => value.list(1, interface).map(Interfaces::Named),
    },
};

pub(super) const ATTACH: Kind<Vec<Attach>> = Kind {
    expected: "a list of \"native\", \"generic\", \"tcx\" and \"dispatcher\", each at most once",
    read: |value| {
        let way = |value: Reading<'_>| {
            value.or_unexpected(match value.text() {
                Some("native") => Some(Attach::Native),
                Some("generic") => Some(Attach::Generic),
                Some("tcx") => Some(Attach::Tcx),
                Some("dispatcher") => Some(Attach::Dispatcher),
                Some(_) | None => None,
            })
        };
        let ways = value.list(1, way)?;
        let is_twice = (1..ways.len()).any(|at| ways[..at].contains(&ways[at]));
        value.or_unexpected((!is_twice).then_some(ways))
    },
};

pub(super) const INTERFACE_LIST: Kind<Vec<String>> =
    Kind { expected: "a list of names of interfaces of 1 to 15 characters", read: |value| value.list(0, interface) };

pub(super) fn interface(value: Reading<'_>) -> Read<String> {
    // What Linux takes as a name (dev_valid_name); `auto` has a meaning here. A pattern is longer than what it matches.
    let is_name = |name: &&str| {
        let longest = if name.contains(['*', '?', '[']) { MAX_PATTERN_BYTES } else { 15 };
        (1..=longest).contains(&name.len())
            && ![".", "..", "auto"].contains(name)
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    };
    value.or_unexpected(value.text().filter(is_name).map(str::to_owned))
}

/// Longest pattern of interfaces' names.
pub(super) const MAX_PATTERN_BYTES: usize = 64;

pub(super) const COUNTER: Kind<Counter> = Kind {
    expected: "\"exact\" or \"fail2ban\"",
    read: |value| {
        value.or_unexpected(match value.text() {
            Some("exact") => Some(Counter::Exact),
            Some("fail2ban") => Some(Counter::Fail2ban),
            Some(_) | None => None,
        })
    },
};

pub(super) const MODE: Kind<Mode> = Kind {
    expected: "\"enforce\" or \"observe\"",
    read: |value| {
        value.or_unexpected(match value.text() {
            Some("enforce") => Some(Mode::Enforce),
            Some("observe") => Some(Mode::Observe),
            Some(_) | None => None,
        })
    },
};

pub(super) const PREFIXES: Kind<Vec<Prefix>> = Kind {
    expected: "addresses and networks such as \"192.0.2.9\" or \"2001:db8::/64\"",
    read: |value| value.list(0, |value| value.or_unexpected(value.text().and_then(|text| text.parse().ok()))),
};

pub(super) const ALLOW_FILES: Kind<Vec<PathBuf>> = Kind {
    expected: "at most 16 absolute paths of files",
    read: |value| {
        let paths = value.list(0, |value| path(value, MAX_PATH_BYTES))?;
        value.or_unexpected((paths.len() <= MAX_ALLOW_FILES).then_some(paths))
    },
};

pub(super) const TRUTH: Kind<bool> =
    Kind { expected: "true or false", read: |value| value.or_unexpected(value.truth()) };

pub(super) const LOG_FILE: Kind<Option<PathBuf>> = Kind {
    expected: "the absolute path of a file, or \"\" for none",
    read: |value| match value.text() {
        Some("") => Ok(None),
        _ => path(value, MAX_PATH_BYTES).map(Some),
    },
};

pub(super) const DIRECTORY: Kind<PathBuf> =
    Kind { expected: "an absolute path", read: |value| path(value, MAX_PATH_BYTES) };

pub(super) const SOCKET_DIRECTORY: Kind<PathBuf> = Kind {
    expected: "an absolute path of at most 94 bytes, for a socket in it",
    read: |value| path(value, MAX_SOCKET_DIRECTORY_BYTES),
};

pub(super) fn path(value: Reading<'_>, max_bytes: usize) -> Read<PathBuf> {
    value.or_unexpected(value.text().filter(|text| is_path(text, max_bytes)).map(PathBuf::from))
}

pub(super) fn is_path(text: &str, max_bytes: usize) -> bool {
    text.starts_with('/') && text.len() <= max_bytes && !text.contains(char::is_control)
}

/// Longest path the kernel takes: `PATH_MAX` less its final zero.
pub(super) const MAX_PATH_BYTES: usize = 4_095;

/// What `sun_path` leaves beside `/control.sock` and a final zero (unix(7): 108 bytes).
pub(super) const MAX_SOCKET_DIRECTORY_BYTES: usize = 108 - "/control.sock".len() - 1;

pub(super) const CAPACITY: Kind<Option<u32>> = Kind {
    expected: "\"auto\", or a whole number from 1024 to 16777216",
    read: |value| match value.text() {
        Some("auto") => Ok(None),
        Some(_) | None => {
            let number = value.number().and_then(|number| u32::try_from(number).ok());
            value.or_unexpected(number.filter(|number| (1 << 10..=1 << 24).contains(number)).map(Some))
        }
    },
};

pub(super) const IPV6_PREFIX: Kind<u8> = Kind {
    expected: "a whole number from 32 to 128",
    read: |value| {
        let number = value.number().and_then(|number| u8::try_from(number).ok());
        value.or_unexpected(number.filter(|number| (32..=128).contains(number)))
    },
};

pub(super) const LINE_BYTES: Kind<usize> = Kind {
    expected: "a whole number from 1024 to 65536",
    read: |value| {
        let number = value.number().and_then(|number| usize::try_from(number).ok());
        value.or_unexpected(number.filter(|number| (1 << 10..=1 << 16).contains(number)))
    },
};

pub(super) const RETRIES: Kind<u32> = Kind {
    expected: "a whole number from 1 to 1000",
    read: |value| {
        let number = value.number().and_then(|number| u32::try_from(number).ok());
        value.or_unexpected(number.filter(|number| (1..=1_000).contains(number)))
    },
};

pub(super) const SPAN: Kind<Duration> = Kind {
    expected: "a length of time such as \"90s\", \"10m\", \"1h30m\", \"3d\" or \"1w\"",
    read: |value| value.or_unexpected(span(value)),
};

pub(super) const BAN_TIME: Kind<BanTime> = Kind {
    expected: "a length of time such as \"10m\", \"1h30m\" or \"3d\", or \"forever\"",
    read: |value| {
        // fail2ban's habit, in either spelling: a negative time never ends.
        let seconds = value.number().or_else(|| value.text()?.trim().parse().ok());
        let is_forever =
            seconds.is_some_and(|seconds| seconds < 0) || value.text().is_some_and(|text| text.trim() == "forever");
        value.or_unexpected(if is_forever { Some(BanTime::Forever) } else { span(value).map(BanTime::For) })
    },
};

/// A length of time, written out or as bare seconds.
pub(super) fn span(value: Reading<'_>) -> Option<Duration> {
    let written = value.number().map(|seconds| seconds.to_string());
    parse_span(written.as_deref().or_else(|| value.text())?).ok()
}

pub(super) const ENABLED: Kind<Enabled> = Kind {
    expected: "\"auto\", true or false",
    read: |value| {
        value.or_unexpected(match (value.text(), value.truth()) {
            (Some("auto"), _) => Some(Enabled::Auto),
            (_, Some(true)) => Some(Enabled::Yes),
            (_, Some(false)) => Some(Enabled::No),
            (_, None) => None,
        })
    },
};

pub(super) const LOGS: Kind<Vec<String>> = Kind {
    expected: "absolute paths of log files, in which *, ? and [] stand for what varies",
    read: |value| {
        value.list(1, |value| {
            let path = value.text().filter(|text| is_path(text, MAX_PATH_BYTES));
            value.or_unexpected(path.map(str::to_owned))
        })
    },
};

pub(super) const MATCHES: Kind<Matches> = Kind {
    expected: EXPECTED_MATCHES,
    read: |value| match matches(value)? {
        Some(matches) => Ok(matches),
        None => value.or_unexpected(None),
    },
};

/// An empty list trusts everybody.
pub(super) const TRUST: Kind<Option<Matches>> = Kind { expected: EXPECTED_MATCHES, read: matches };

pub(super) const EXPECTED_MATCHES: &str = "matches as journalctl takes them, such as \"_SYSTEMD_UNIT=dovecot.service\", with \"+\" \
                                between alternatives";

/// `None` for an empty list.
pub(super) fn matches(value: Reading<'_>) -> Read<Option<Matches>> {
    let entries = value.entries();
    let mut words = Vec::new();
    for entry in &entries {
        match entry.text() {
            Some(word) => words.push(word),
            None => return entry.or_unexpected(None),
        }
    }
    match Matches::read(words) {
        Ok(matches) => Ok(Some(matches)),
        Err(Unmatchable::None) => Ok(None),
        Err(Unmatchable::Word(place) | Unmatchable::Plus(place)) => {
            entries.get(place).copied().unwrap_or(value).or_unexpected(None)
        }
        Err(Unmatchable::TooMany) => value.or_unexpected(None),
    }
}

pub(super) const NAMESPACE: Kind<Option<String>> = Kind {
    expected: "the name of a journal's namespace, 1 to 64 letters, digits, _, -, . and :, or \"\"",
    read: |value| {
        if value.text() == Some("") {
            return Ok(None);
        }
        let is_name = |text: &&str| {
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
            (1..=64).contains(&text.len()) && text.bytes().all(is_of_name)
        };
        value.or_unexpected(value.text().filter(is_name).map(|text| Some(text.to_owned())))
    },
};

pub(super) const MAYBE_DIRECTORY: Kind<Option<PathBuf>> = Kind {
    expected: "an absolute path, or \"\"",
    read: |value| match value.text() {
        Some("") => Ok(None),
        Some(_) | None => path(value, MAX_PATH_BYTES).map(Some),
    },
};

pub(super) const PORTS: Kind<Ports> = Kind {
    expected: "services and ports such as \"imap\", 588, \"5000-5010\", \"sip/udp\" or \"588/sctp\", or \"all\" by itself",
    read: |value| match value.text() {
        Some("all") => Ok(Ports::All),
        Some(_) | None => value.list(1, ports).map(Ports::listed),
    },
};

pub(super) fn ports(value: Reading<'_>) -> Read<PortRange> {
    let number = value.number().map(|number| number.to_string());
    let Some(text) = number.as_deref().or_else(|| value.text()) else {
        return value.or_unexpected(None);
    };
    let range = PortRange::read(text, value.services());
    let (text, protocol) = PortRange::parts(text);
    let is_name =
        text != "all" && !text.contains(char::is_whitespace) && text.contains(|c: char| c.is_ascii_alphabetic());
    match range {
        Some(range) => Ok(range),
        None if is_name => Err(value.no_such("service", value.services().names(protocol), false)),
        None => value.or_unexpected(None),
    }
}
