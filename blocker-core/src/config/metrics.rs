//! Where metrics are told.

use std::fmt;
use std::net::SocketAddr;

use super::MAX_SOCKET_BYTES;
use super::kinds::is_path;
use super::value::Kind;

/// Where the daemon answers whoever collects metrics. Other machines cannot connect: what is told has no password, and is of
/// use to an attacker who wants to know whether he was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsSocket {
    /// TCP on a loopback address.
    Tcp(SocketAddr),
    /// A unix stream socket at this absolute path, of [`MAX_SOCKET_BYTES`] at most.
    Unix(String),
}

impl fmt::Display for MetricsSocket {
    /// As in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// An empty text is off, as the default.
pub(super) const METRICS: Kind<Option<MetricsSocket>> = Kind {
    expected: "\"127.0.0.1:9913\", \"[::1]:9913\" or another loopback address with a port, since metrics have no password and are \
               not for other machines; or \"unix:\" and an absolute path of at most 107 bytes; or \"\" for none",
    read: |value| match value.text() {
        Some("") => Ok(None),
        text => {
            let socket = text.and_then(|text| match text.strip_prefix("unix:") {
                Some(path) => is_path(path, MAX_SOCKET_BYTES).then(|| MetricsSocket::Unix(path.to_owned())),
                None => {
                    // What is no address is told as all that is no place: with what it should be.
                    let addr = text.parse().ok();
                    addr.filter(|addr: &SocketAddr| addr.ip().is_loopback() && addr.port() != 0).map(MetricsSocket::Tcp)
                }
            });
            value.or_unexpected(socket.map(Some))
        }
    },
};

#[cfg(test)]
mod tests {
    use crate::config::{Names, read};

    fn listen(value: &str) -> Result<Option<String>, String> {
        match read(&format!("[metrics]\nlisten = {value}\n"), &Names::builtin()) {
            Ok(config) => Ok(config.metrics.map(|socket| socket.to_string())),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn metrics_are_off_unless_a_loopback_address_or_a_unix_socket_is_named() {
        for socket in ["127.0.0.1:9913", "127.8.0.1:1", "[::1]:9913", "unix:/run/blocker/metrics.sock"] {
            assert_eq!(listen(&format!("{socket:?}")), Ok(Some(socket.to_owned())));
        }
        assert_eq!(listen("\"\""), Ok(None));
        assert_eq!(read("", &Names::builtin()).unwrap().metrics, None);
    }

    #[test]
    fn metrics_for_other_machines_are_refused_with_the_reason() {
        let long = format!("\"unix:/{}\"", "x".repeat(107));
        for value in [
            "\"0.0.0.0:9913\"",
            "\"[::]:9913\"",
            "\"192.0.2.1:9913\"",
            "\"127.0.0.1\"",
            "\"127.0.0.1:0\"",
            "\"localhost:9913\"",
            "\"unix:metrics.sock\"",
            "9913",
            "true",
            &long,
        ] {
            let error = listen(value).expect_err(value);
            assert!(error.starts_with("line 2: `metrics.listen` is "), "{error}");
            assert!(error.contains("not for other machines"), "{error}");
        }
        assert!(read("[metrics]\nlistn = \"\"\n", &Names::builtin()).is_err());
    }
}
