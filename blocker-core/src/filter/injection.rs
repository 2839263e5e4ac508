//! What attackers can write into lines, by a grammar: into each place of each service's lines where a client's text stands, and as
//! far as it survives there, pieces of that service's own lines with a victim's address in them. No address but the peer's
//! ever comes out, of any filter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::registry::Filters;
use super::{Filter, Judgement};
use crate::record;

const PEER: &str = "192.0.2.9";
const VICTIM: &str = "203.0.113.66";

/// A kind of line: `{peer}` is the client's address, `{text}` the place of the client's text.
struct Shape {
    filter: &'static str,
    header: &'static str,
    message: &'static str,
    /// What of a text survives in that place.
    survives: fn(&str) -> String,
}

/// As many bytes of a text as a service keeps, of those that it lets stand.
fn kept(text: &str, most: usize, of: impl Fn(char) -> bool) -> String {
    text.chars().filter(|byte| of(*byte)).take(most).collect()
}

/// Printable text: user names nearly everywhere. The longest that any service keeps.
fn printable(text: &str) -> String {
    kept(text, 1_000, |byte| (' '..='~').contains(&byte))
}

/// Dovecot's user names: 80 bytes (`client-common.c`).
fn dovecot_user(text: &str) -> String {
    kept(text, 80, |byte| byte >= ' ')
}

/// The same for its authentication, with an empty `auth_username_chars`: 64 bytes.
fn auth_user(text: &str) -> String {
    kept(text, 64, |byte| byte >= ' ')
}

/// OpenSSH's and Postfix's user names: 100 bytes.
fn of_100(text: &str) -> String {
    kept(text, 100, |byte| (' '..='~').contains(&byte))
}

/// What Exim takes as a client's own name, without `helo_accept_junk_hosts`.
fn helo(text: &str) -> String {
    kept(text, 255, |byte| byte.is_ascii_alphanumeric() || "._:[]-".contains(byte))
}

/// What may be the name of a host.
fn host(text: &str) -> String {
    kept(text, 255, |byte| byte.is_ascii_alphanumeric() || ".-".contains(byte))
}

/// The user of basic authentication in nginx's access log: no colon, quotes and backslashes escaped.
fn basic_user(text: &str) -> String {
    hex_escaped(&text.replace(':', ""))
}

/// A text of a request in nginx's access log.
fn hex_escaped(text: &str) -> String {
    printable(text).replace('\\', "\\x5C").replace('"', "\\x22")
}

/// A text in quotes, as Stalwart writes it, and a user in Apache's error log.
fn backslashed(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "imap-login: Disconnected (auth failed, 2 attempts in 4 secs): user=<{text}>, method=PLAIN, rip={peer}, lip=198.51.100.1, TLS", survives: dovecot_user },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 pop3-login: Info: ", message: "Login aborted: Logged out (auth failed, 2 attempts in 4 secs) (auth_failed): user=<{text}>, method=PLAIN, rip={peer}, lip=198.51.100.1", survives: dovecot_user },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "auth: passwd-file({text},{peer},<abc>): Password mismatch", survives: auth_user },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "auth: passwd-file({text},{peer}): unknown user (given password: x)", survives: auth_user },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "auth: passwd-file(x,{peer},<abc>): Password mismatch (given password: {text})", survives: printable },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "auth: plain(?,{peer},<abc>): Username character disallowed by auth_username_chars: 0x3e (username: {text})", survives: printable },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "auth({text},{peer},sasl:plain)<abc>: passwd-file: Password mismatch", survives: auth_user },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 mx1 dovecot: ", message: "auth-worker({text},{peer},sasl:plain)<7><abc>: request [7]: sql: unknown user", survives: auth_user },
    Shape { filter: "dovecot", header: "Nov 23 01:06:25 auth: Info: ", message: "pam({text},{peer},<abc>): pam_authenticate() failed: Authentication failure (Password mismatch?)", survives: auth_user },
    Shape { filter: "postfix", header: "Nov 23 01:06:25 mx1 postfix/smtpd[7]: ", message: "warning: unknown[{peer}]: SASL LOGIN authentication failed: (reason unavailable), sasl_username={text}", survives: of_100 },
    Shape { filter: "postfix", header: "Nov 23 01:06:25 mx1 postfix/smtpd[7]: ", message: "warning: {text}[{peer}]: SASL LOGIN authentication failed: x", survives: host },
    Shape { filter: "postfix", header: "Nov 23 01:06:25 mx1 postfix/smtpd[7]: ", message: "warning: non-SMTP command from unknown[{peer}]: {text}", survives: of_100 },
    Shape { filter: "postfix", header: "Nov 23 01:06:25 mx1 postfix/smtpd[7]: ", message: "NOQUEUE: reject: RCPT from unknown[{peer}]: 454 4.7.1 <{text}>: Relay access denied; from=<{text}> to=<{text}> proto=ESMTP helo=<{text}>", survives: printable },
    Shape { filter: "postfix-postscreen", header: "Nov 23 01:06:25 mx1 postfix/postscreen[7]: ", message: "PREGREET 14 after 0.1 from [{peer}]:4242: {text}", survives: of_100 },
    Shape { filter: "postfix-postscreen", header: "Nov 23 01:06:25 mx1 postfix/postscreen[7]: ", message: "COMMAND PIPELINING from [{peer}]:4242 after EHLO: {text}", survives: of_100 },
    Shape { filter: "postfix-postscreen", header: "Nov 23 01:06:25 mx1 postfix/postscreen[7]: ", message: "NOQUEUE: reject: RCPT from [{peer}]:4242: 550 5.7.1 x; from=<{text}>, to=<{text}>, proto=ESMTP, helo=<{text}>", survives: printable },
    Shape { filter: "exim", header: "2026-11-23 01:06:25 ", message: "login_server authenticator failed for ({text}) [{peer}]: 535 Incorrect authentication data (set_id=x)", survives: helo },
    Shape { filter: "exim", header: "2026-11-23 01:06:25 +0100 [7] ", message: "login_server authenticator failed for H=(x) [{peer}]:4242 I=[198.51.100.1]:587: 535 Incorrect authentication data (set_id={text})", survives: printable },
    Shape { filter: "exim", header: "2026-11-23 01:06:25 ", message: "login_server authenticator failed for {text} (x) [{peer}]: 535 Incorrect authentication data", survives: host },
    Shape { filter: "exim", header: "2026-11-23 01:06:25 ", message: "rejected EHLO from [{peer}]: syntactically invalid argument(s): {text}", survives: printable },
    Shape { filter: "sendmail", header: "Nov 23 01:06:25 mx1 sm-mta[7]: ", message: "AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user={text}, relay=x [{peer}]", survives: printable },
    Shape { filter: "courier", header: "Nov 23 01:06:25 mx1 imapd: ", message: "LOGIN FAILED, user={text}, ip=[::ffff:{peer}], port=[4242]", survives: printable },
    Shape { filter: "courier", header: "Nov 23 01:06:25 mx1 pop3d: ", message: "LOGIN FAILED, user={text}, ip=[{peer}]", survives: printable },
    Shape { filter: "cyrus", header: "Nov 23 01:06:25 mx1 cyrus/imap[7]: ", message: "badlogin: [{peer}] plaintext {text} SASL(-13): authentication failure: checkpass failed", survives: printable },
    Shape { filter: "cyrus", header: "Nov 23 01:06:25 mx1 imap[7]: ", message: "badlogin: {text} [{peer}] PLAIN (x) [SASL(-13): authentication failure: Password verification failed]", survives: host },
    Shape { filter: "cyrus", header: "Nov 23 01:06:25 mx1 imap[7]: ", message: "badlogin: [{peer}] PLAIN ({text}) [SASL(-13): authentication failure: Password verification failed]", survives: printable },
    Shape { filter: "cyrus", header: "Nov 23 01:06:25 mx1 imap[7]: ", message: "event=login.bad r.clienthost=\"[{peer}]\" u.username=\"{text}\" login.mech=PLAIN", survives: backslashed },
    Shape { filter: "roundcube", header: "Nov 23 01:06:25 mx1 roundcube: ", message: "<0123abcd> Failed login for {text} from {peer} in session 0123 (error: 0)", survives: printable },
    Shape { filter: "roundcube", header: "Nov 23 01:06:25 mx1 roundcube: ", message: "<0123abcd> Failed login for x from {peer} (X-Real-IP: {text},X-Forwarded-For: {text}) in session 0123 (error: 0)", survives: printable },
    Shape { filter: "roundcube", header: "Nov 23 01:06:25 mx1 roundcube: ", message: "<0123abcd> Failed login for {text} from {peer} (X-Forwarded-For: {text}) in session 0123 (error: 0)", survives: printable },
    Shape { filter: "sogo", header: "Nov 23 01:06:25 sogod [7]: ", message: "SOGoRootPage Login from '{peer}' for user '{text}' might not have worked - password policy: 65535  grace: -1  expire: -1  bound: 0", survives: printable },
    Shape { filter: "sogo", header: "Nov 23 01:06:25 mx1 sogod[7]: ", message: "SOGoRootPage Login from '{text}, {peer}' for user 'x' might not have worked - password policy: 65535  grace: -1  expire: -1  bound: 0", survives: printable },
    Shape { filter: "stalwart", header: "2026-11-23T01:06:25Z ", message: "DEBUG Authentication failed (auth.failed) listenerId = \"imap\", remoteIp = {peer}, remotePort = 4242, accountName = \"{text}\"", survives: backslashed },
    Shape { filter: "stalwart", header: "2026-11-23T01:06:25Z ", message: "DEBUG Authentication failed (auth.failed) accountName = \"{text}\", remoteIp = {peer}, remotePort = 4242", survives: backslashed },
    Shape { filter: "rspamd", header: "2026-11-23 01:06:25 ", message: "#7(controller) <0a1b2c>; csession; rspamd_controller_check_password: deny default password for remote access; source ip: {peer}", survives: printable },
    Shape { filter: "rspamd", header: "2026-11-23 01:06:25 ", message: "#7(normal) <0a1b2c>; task; rspamd_task_write_log: id: <{text}>, ip: {peer}, from: <{text}>, subject: {text}", survives: printable },
    Shape { filter: "sshd", header: "Nov 23 01:06:25 mx1 sshd[7]: ", message: "Failed password for invalid user {text} from {peer} port 4242 ssh2", survives: of_100 },
    Shape { filter: "sshd", header: "Nov 23 01:06:25 mx1 sshd[7]: ", message: "Invalid user {text} from {peer} port 4242", survives: of_100 },
    Shape { filter: "sshd", header: "Nov 23 01:06:25 mx1 sshd[7]: ", message: "Connection closed by authenticating user {text} {peer} port 4242 [preauth]", survives: of_100 },
    Shape { filter: "vsftpd", header: "Mon Nov 23 01:06:25 2026 ", message: "[pid 7] [{text}] FAIL LOGIN: Client \"{peer}\"", survives: printable },
    Shape { filter: "vsftpd", header: "Nov 23 01:06:25 mx1 vsftpd[7]: ", message: "[ftp] FAIL MKDIR: Client \"{peer}\", \"/{text}\"", survives: printable },
    Shape { filter: "vsftpd", header: "Mon Nov 23 01:06:25 2026 ", message: "[pid 7] [ftp] FAIL DOWNLOAD: Client \"{peer}\", \"/{text}\", 0.00Kbyte/sec", survives: printable },
    Shape { filter: "proftpd", header: "Nov 23 01:06:25 mx1 proftpd[7]: ", message: "mx1 (x[{peer}]) - USER {text} (Login failed): Incorrect password", survives: printable },
    Shape { filter: "proftpd", header: "2026-11-23 01:06:25,123 ", message: "mx1 proftpd[7] mx1 ({text}[{peer}]): USER x (Login failed): No such user found", survives: host },
    Shape { filter: "proftpd", header: "Nov 23 01:06:25 mx1 proftpd[7]: ", message: "mx1 (x[{peer}]) - USER {text}: no such user found from x [{peer}] to 198.51.100.1:21", survives: printable },
    Shape { filter: "pure-ftpd", header: "Nov 23 01:06:25 mx1 pure-ftpd: ", message: "(?@{peer}) [WARNING] Authentication failed for user [{text}]", survives: printable },
    Shape { filter: "pure-ftpd", header: "Nov 23 01:06:25 mx1 pure-ftpd: ", message: "({text}@{peer}) [WARNING] Authentication failed for user [x]", survives: printable },
    Shape { filter: "pure-ftpd", header: "Nov 23 01:06:25 mx1 pure-ftpd: ", message: "(ftp@{peer}) [NOTICE] {text} downloaded  (1 bytes, 1KB/sec)", survives: printable },
    Shape { filter: "nginx", header: "", message: "{peer} - {text} [23/Nov/2026:01:06:25 +0000] \"GET / HTTP/1.1\" 401 179 \"-\" \"x\"", survives: basic_user },
    Shape { filter: "nginx", header: "", message: "{peer} - x [23/Nov/2026:01:06:25 +0000] \"GET /{text} HTTP/1.1\" 401 179 \"{text}\" \"{text}\"", survives: hex_escaped },
    Shape { filter: "apache", header: "[Mon Nov 23 01:06:25.123456 2026] ", message: "[auth_basic:error] [pid 7] [client {peer}:4242] AH01618: user {text} not found: /{text}", survives: backslashed },
    Shape { filter: "apache", header: "[Mon Nov 23 01:06:25.123456 2026] ", message: "[auth_basic:error] [pid 7] [client {peer}:4242] AH01617: user {text}: authentication failure for \"/{text}\": Password Mismatch, referer: {text}", survives: backslashed },
    Shape { filter: "apache", header: "[Mon Nov 23 01:06:25 2026] ", message: "[error] [client {peer}] user {text} not found: /{text}", survives: backslashed },
    Shape { filter: "apache", header: "[Mon Nov 23 01:06:25.123456 2026] ", message: "[core:error] [pid 7] [client {peer}:4242] AH00126: Invalid URI in request {text}", survives: backslashed },
];

/// The line of `shape` about `peer`, with `text` where the client's stands.
fn line(shape: &Shape, peer: &str, text: &str) -> String {
    [shape.header, &shape.message.replace("{peer}", peer).replace("{text}", text)].concat()
}

/// What a client may type to be taken for somebody else: of its service's lines about the victim, each end that begins where a word or
/// a sign does, alone and with more around it.
fn forgeries(filter: &str) -> BTreeSet<String> {
    let mut forgeries = BTreeSet::from([VICTIM, "x", "", "-"].map(str::to_owned));
    for shape in SHAPES.iter().filter(|shape| shape.filter == filter) {
        let whole = line(shape, VICTIM, "x");
        let mut last = 'x';
        for (at, char) in whole.char_indices() {
            let begins = !(char.is_ascii_alphanumeric() && last.is_ascii_alphanumeric());
            last = char;
            if !begins {
                continue;
            }
            let end = &whole[at..];
            // Up to the address; what stands behind it only with one in front.
            let other = match end.rfind(VICTIM) {
                Some(found) => end[..found + VICTIM.len()].to_owned(),
                None => format!("{VICTIM}{end}"),
            };
            for forgery in [end, &other] {
                forgeries.insert(forgery.to_owned());
                forgeries.insert(format!("x{forgery}"));
                forgeries.insert(format!("{forgery} x"));
            }
        }
    }
    forgeries
}

#[test]
fn whatever_a_client_types_no_filter_names_anybody_but_the_client() {
    let filters = Filters::builtin();
    let peer: IpAddr = PEER.parse().unwrap();
    // Per filter: lines, and how many of them name the peer.
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut misled = Vec::new();
    for shape in SHAPES {
        let own = filters.by_name(shape.filter).unwrap();
        let texts: BTreeSet<String> = forgeries(shape.filter).iter().map(|text| (shape.survives)(text)).collect();
        for text in texts {
            let line = line(shape, PEER, &text);
            let Ok(record) = record::parse(line.as_bytes()) else { continue };
            for filter in filters.iter() {
                if let Some(named) = named(filter, &record)
                    && named != Named::Failed(peer)
                {
                    misled.push(format!("{} says {named:?} of {line}", filter.name()));
                }
            }
            let (lines, named) = counts.entry(shape.filter).or_default();
            *lines += 1;
            *named += usize::from(matches!(own.judge(&record), Judgement::Failure(_)));
        }
    }

    assert_eq!(misled, Vec::<String>::new(), "{} lines mislead", misled.len());
    let all: usize = counts.values().map(|(lines, _)| lines).sum();
    assert!(all >= 300, "{all} lines");
    for filter in filters.iter().filter(|&filter| *filter != Filter::Bans) {
        let (lines, named) = counts.get(filter.name()).copied().unwrap_or_default();
        assert!(lines > 10 && named > 0, "{}: {named} of {lines} lines name the peer", filter.name());
    }
}

/// Whom a line is about. No line here is of a login that succeeded: a client who could make it one would be forgiven.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Failed(IpAddr),
    Succeeded(IpAddr),
}

fn named(filter: &Filter, record: &record::Record<'_>) -> Option<Named> {
    match filter.judge(record) {
        Judgement::Failure(failure) => Some(Named::Failed(failure.addr)),
        Judgement::Success(success) => Some(Named::Succeeded(success.addr)),
        Judgement::Ignored(_) | Judgement::Helper(_) | Judgement::NoMatch => None,
    }
}

/// A kind of line, and a text made of some forgeries for it and of anything else.
fn typed() -> impl Strategy<Value = (usize, String)> {
    static FORGERIES: LazyLock<Vec<Vec<String>>> =
        LazyLock::new(|| SHAPES.iter().map(|shape| forgeries(shape.filter).into_iter().collect()).collect());
    (0..SHAPES.len()).prop_flat_map(|shape| {
        let forgery = prop::sample::select(FORGERIES[shape].as_slice());
        let piece = prop_oneof![3 => forgery, 1 => "[ -~]{0,8}", 1 => "\\PC{0,8}"];
        (Just(shape), prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn nor_does_any_mixture_of_forgeries_name_anybody_else((shape, text) in typed()) {
        let shape = &SHAPES[shape];
        let line = line(shape, PEER, &(shape.survives)(&text));
        if let Ok(record) = record::parse(line.as_bytes()) {
            for filter in Filters::builtin().iter() {
                if let Some(named) = named(filter, &record) {
                    let peer = Named::Failed(PEER.parse().unwrap());
                    prop_assert_eq!(named, peer, "{} of {}", filter.name(), line);
                }
            }
        }
    }
}
