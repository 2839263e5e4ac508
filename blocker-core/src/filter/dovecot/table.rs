//! Every reason for which Dovecot's login processes end a connection, in the words of 2.2, 2.3 and 2.4.
//!
//! From src/login-common/client-common.c, `client_get_extra_disconnect_reason`, of 2.2.36, 2.3.19 and 2.4.4. What is not
//! here is not known, and a line with it is no match. How a [`Cause`] weighs is in [`super::reason`].

/// One reason in the words of each version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// For people.
    pub(super) name: &'static str,
    /// How the parenthesis begins in 2.2 and 2.3 (and the one before the last in 2.4).
    pub(super) words: &'static [&'static [u8]],
    /// The last parenthesis of 2.4.
    pub(super) events: &'static [&'static [u8]],
    /// What it means for the count.
    pub(super) cause: Cause,
}

/// What a reason means for the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Passwords were refused, as many as the line says; if no mechanism is named, without being looked at.
    Refused,
    /// Passwords were refused behind a proxy: looked at, whatever mechanism the line names.
    RefusedByBackend,
    /// A try that was not checked, of this weight, with perhaps others in front of it.
    Probe { tenths: u32, hides: Hides },
    /// This weight for the line.
    Once { tenths: u32 },
    /// Nothing, for this reason.
    Harmless(&'static str),
}

/// Which wrong passwords may stand behind a probe if the line shows a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hides {
    /// None: every try was like the last.
    Nothing,
    /// All tries but the last.
    AllButLast,
    /// All tries but the last; one also where the number is missing, as in 2.3.
    AtLeastOne,
}

/// The two that most lines have come first. No wording begins another; no event stands twice.
pub(super) const TABLE: &[Row] = &[
    Row { name: "auth failed", words: &[b"auth failed"], events: &[b"auth_failed"], cause: Cause::Refused },
    Row {
        name: "no auth attempts",
        words: &[b"no auth attempts"],
        events: &[b"no_auth_attempts"],
        cause: Cause::Harmless("no auth attempts"),
    },
    Row {
        name: "proxy dest auth failed",
        words: &[b"proxy dest auth failed", b"proxy dest authentication failure"],
        events: &[b"proxy_dest_auth_failed"],
        cause: Cause::RefusedByBackend,
    },
    Row {
        name: "tried to use disallowed plaintext auth",
        words: &[
            b"tried to use disallowed plaintext auth",
            b"tried to use disallowed cleartext auth",
            b"disallowed cleartext auth",
        ],
        events: &[b"cleartext_auth_disabled"],
        cause: Cause::Probe { tenths: 2, hides: Hides::Nothing },
    },
    Row {
        name: "tried to use unsupported auth mechanism",
        words: &[b"tried to use unsupported auth mechanism"],
        events: &[b"invalid_mech"],
        cause: Cause::Probe { tenths: 3, hides: Hides::AtLeastOne },
    },
    Row {
        name: "sent invalid base64 in response",
        words: &[b"sent invalid base64 in response"],
        events: &[b"invalid_base64"],
        cause: Cause::Probe { tenths: 3, hides: Hides::AtLeastOne },
    },
    Row {
        name: "client didn't finish SASL auth",
        words: &[b"client didn't finish SASL auth"],
        events: &[b"auth_waiting_client"],
        cause: Cause::Probe { tenths: 2, hides: Hides::AllButLast },
    },
    Row {
        name: "aborted authentication",
        words: &[b"aborted authentication", b"auth aborted by client"],
        events: &[b"auth_aborted_by_client"],
        cause: Cause::Probe { tenths: 1, hides: Hides::AllButLast },
    },
    Row {
        name: "disconnected while authenticating",
        words: &[b"disconnected while authenticating"],
        events: &[],
        cause: Cause::Once { tenths: 5 },
    },
    Row {
        name: "authorization failed",
        words: &[b"authorization failed"],
        events: &[b"authorization_failed"],
        cause: Cause::Once { tenths: 1 },
    },
    Row {
        name: "user disabled",
        words: &[b"user disabled"],
        events: &[b"user_disabled"],
        cause: Cause::Once { tenths: 1 },
    },
    Row {
        name: "password expired",
        words: &[b"password expired"],
        events: &[b"password_expired"],
        cause: Cause::Once { tenths: 1 },
    },
    Row {
        name: "login disabled",
        words: &[b"login disabled"],
        events: &[b"login_disabled"],
        cause: Cause::Once { tenths: 1 },
    },
    Row {
        name: "anonymous logins disabled",
        words: &[b"anonymous logins disabled"],
        events: &[b"anonymous_auth_disabled"],
        cause: Cause::Once { tenths: 1 },
    },
    Row {
        name: "client certificate refused",
        words: &[
            b"cert required, client didn't start TLS",
            b"client didn't send a cert",
            b"client sent an invalid cert",
            b"client sent an untrusted cert",
        ],
        events: &[b"client_ssl_not_started", b"client_ssl_cert_missing", b"client_ssl_cert_untrusted"],
        cause: Cause::Once { tenths: 1 },
    },
    Row {
        name: "disconnected during TLS handshake",
        words: &[b"disconnected during TLS handshake"],
        events: &[b"tls_handshake_not_finished"],
        cause: Cause::Harmless("the TLS handshake was not finished"),
    },
    Row {
        name: "disconnected before auth was ready",
        words: &[b"disconnected before auth was ready", b"disconnected before greeting"],
        events: &[b"auth_process_not_ready"],
        cause: Cause::Harmless("gone before the server was ready"),
    },
    Row {
        name: "disconnected while finishing login",
        words: &[b"disconnected while finishing login"],
        events: &[],
        cause: Cause::Harmless("the password was right"),
    },
    Row {
        name: "connection limit reached",
        words: &[b"connection limit reached"],
        events: &[b"connection_limit"],
        cause: Cause::Harmless("the password was right, too many connections"),
    },
    Row {
        name: "auth referral",
        words: &[b"auth referral"],
        events: &[b"auth_nologin_referral"],
        cause: Cause::Harmless("the client was sent to another server"),
    },
    Row {
        name: "auth service reported temporary failure",
        words: &[b"auth service reported temporary failure", b"auth process communication failure"],
        events: &[b"temp_fail", b"auth_process_comm_fail"],
        cause: OWN_TROUBLE,
    },
    Row { name: "internal failure", words: &[b"internal failure"], events: &[b"internal_failure"], cause: OWN_TROUBLE },
    Row {
        name: "proxy dest failed",
        words: &[
            b"proxy dest connection failed",
            b"proxy dest internal failure",
            b"proxy dest remote failure",
            b"proxy dest protocol failure",
            b"proxy dest temporary authentication failure",
            b"proxy dest redirected",
        ],
        events: &[
            b"proxy_dest_connect_failed",
            b"proxy_dest_internal_failure",
            b"proxy_dest_remote_failure",
            b"proxy_dest_protocol_failure",
            b"proxy_dest_auth_temp_failed",
            b"proxy_dest_redirected",
        ],
        cause: OWN_TROUBLE,
    },
    Row {
        name: "shutting down",
        words: &[b"The process is shutting down so the login is aborted."],
        events: &[b"shutting_down"],
        cause: Cause::Harmless("the server was shutting down"),
    },
    Row {
        name: "process full",
        words: &[b"client_limit and process_limit was hit and this login session was killed."],
        events: &[b"process_full"],
        cause: Cause::Harmless("the server had too many connections"),
    },
];

const OWN_TROUBLE: Cause = Cause::Harmless("the server's own trouble");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_wording_begins_another_and_no_event_stands_twice() {
        let wordings: Vec<&[u8]> = TABLE.iter().flat_map(|row| row.words).copied().collect();
        for (index, wording) in wordings.iter().enumerate() {
            let others = wordings.iter().enumerate().filter(|(other, _)| *other != index);
            assert!(others.into_iter().all(|(_, other)| !other.starts_with(wording)), "{}", wording.escape_ascii());
        }
        let mut seen = BTreeSet::new();
        for event in TABLE.iter().flat_map(|row| row.events) {
            assert!(seen.insert(event), "{}", event.escape_ascii());
        }
    }
}
