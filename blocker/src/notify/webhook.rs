//! The receiver that is told by HTTP: a POST of JSON, signed.
//!
//! `X-Blocker-Signature: sha256=…` is the HMAC (RFC 2104) of the whole body with the secret, in hexadecimal. The body has the time it
//! was sent at, so that nobody can use an old one again; a piece that is tried again is signed again. Redirects are not followed.

use std::sync::Arc;
use std::time::Duration;

use blocker_core::config::notify::{self, Url};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::notice::{Batch, plain};
use super::worker::{Failed, Receiver, within};
use super::{secret, shown};

/// The header with the signature.
const SIGNATURE: &str = "X-Blocker-Signature";

/// How long a POST may take, looking up the name included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of an answer that are told, if it is a refusal.
const MAX_ANSWER_BYTES: usize = 512;

/// Bytes of an answer's head that are read.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Who is told by HTTP.
#[derive(Debug)]
pub(super) struct WebhookReceiver {
    config: notify::Webhook,
    host: String,
}

impl WebhookReceiver {
    pub(super) fn new(config: notify::Webhook, host: &str) -> Self {
        Self { config, host: host.to_owned() }
    }

    async fn post(&self, batch: &Batch) -> Result<(), Failed> {
        let notify::Webhook { url, secret_file, .. } = &self.config;
        let secret = secret_file.as_deref().map(secret::read).transpose()?;
        let body = batch.json(&self.host);
        let authority = if url.port == if url.is_secure { 443 } else { 80 } {
            url.host.clone()
        } else {
            format!("{}:{}", url.host, url.port)
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&url.path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("blocker/", env!("CARGO_PKG_VERSION")));
        if let Some(secret) = secret {
            request = request.header(SIGNATURE, signature(&secret, &body));
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failed::Never(format!("{} cannot be asked: {error}", url.origin())))?;
        let bare = url.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, url.port)).await.map_err(|error| later(url, &error.to_string()))?;
        if url.is_secure {
            let name = ServerName::try_from(bare.to_owned())
                .map_err(|error| Failed::Never(format!("{}: {error}", url.origin())))?;
            let stream = tls()?.connect(name, stream).await.map_err(|error| later(url, &error.to_string()))?;
            answer(url, stream, request).await
        } else {
            answer(url, stream, request).await
        }
    }
}

impl Receiver for WebhookReceiver {
    async fn tell(&mut self, batch: &Batch, _: bool) -> Result<(), Failed> {
        within(ANSWER_WITHIN, self.post(batch)).await
    }
}

fn later(url: &Url, why: &str) -> Failed {
    Failed::Later(shown(&format!("{}: {why}", url.origin())))
}

/// The value of the header that signs `body`.
fn signature(secret: &[u8], body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").expect("a string takes it");
    }
    text
}

/// TLS that trusts whom this machine trusts.
fn tls() -> Result<TlsConnector, Failed> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(Failed::Later(
            "this machine has no certificates that it trusts: install ca-certificates".to_owned(),
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failed::Never(format!("TLS cannot be used: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Sends the request, and reads what becomes of it.
async fn answer(
    url: &Url,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<(), Failed> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| later(url, &error.to_string()))?;
    let ask = async {
        let response = sender.send_request(request).await.map_err(|error| later(url, &error.to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        // One that is longer is not told at all.
        let words = body.map(|body| plain(body.to_bytes().trim_ascii())).unwrap_or_default();
        Err(refused(url, status, &words))
    };
    tokio::pin!(ask);
    tokio::select! {
        answer = &mut ask => answer,
        // What is told of the end of a connection is told to who asks, too.
        ended = connection => match ended {
            Ok(()) => ask.await,
            Err(error) => Err(later(url, &error.to_string())),
        },
    }
}

fn refused(url: &Url, status: StatusCode, words: &str) -> Failed {
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    let why = shown(&format!("{}: {status}{words}", url.origin()));
    let may_pass = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_redirection() {
        Failed::Never(format!("{why}: redirects are not followed, name the address that it is at"))
    } else if status.is_server_error() || may_pass.contains(&status) {
        Failed::Later(why)
    } else {
        Failed::Never(why)
    }
}

#[cfg(test)]
mod tests {
    use blocker_core::config::notify::{Occasion, Wanted};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::notice::testing::{HOSTILE, ban};
    use super::*;
    use crate::source::testing::TempDir;

    /// RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        for (key, data, expected) in [
            (&[0x0b; 20][..], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(signature(key, data.as_bytes()), format!("sha256={expected}"));
        }
    }

    /// Has a connection answered by `answer`; returns what became of it, and the request.
    async fn told(answer: &'static str, secret_file: Option<String>) -> (Result<(), Failed>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"}]}") {
                assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
            }
            stream.write_all(answer.as_bytes()).await.expect("it is read");
            String::from_utf8(request).expect("text")
        });
        let config = notify::Webhook {
            name: "x".to_owned(),
            wanted: Wanted { on: vec![Occasion::Ban], jails: Vec::new(), alarms: true },
            url: Url { is_secure: false, host: "127.0.0.1".to_owned(), port, path: "/hook?a=b".to_owned() },
            secret_file,
        };
        let batch = Batch { notices: vec![ban("192.0.2.9", HOSTILE)], left_out: 0 };
        let told = WebhookReceiver::new(config, "mx1").tell(&batch, false).await;
        (told, server.await.expect("it answers"))
    }

    #[tokio::test]
    async fn a_post_is_signed_and_has_nothing_of_a_client_but_in_its_body() {
        let dir = TempDir::new();
        std::fs::write(dir.path("secret"), "It is a secret\n").expect("written");

        let (told, request) = told("HTTP/1.1 204 No Content\r\n\r\n", Some(dir.text("secret"))).await;

        assert_eq!(told, Ok(()));
        let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
        let expected = format!("x-blocker-signature: {}", signature(b"It is a secret", body.as_bytes()));
        assert!(head.lines().any(|line| line.eq_ignore_ascii_case(&expected)), "{head}\n{expected}");
        assert!(!head.contains("victim") && head.lines().count() == 6, "{head}");
        assert!(!body.contains(char::is_control), "{body}");
    }

    #[tokio::test]
    async fn what_becomes_of_it_is_read_from_the_status() {
        let (later, _) = told("HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nbusy\n", None).await;
        let (never, _) = told("HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", None).await;
        let (moved, _) = told("HTTP/1.1 302 x\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", None).await;
        let (garbage, _) = told("SSH-2.0-x\r\n\r\n", None).await;

        assert!(
            matches!(&later, Err(Failed::Later(why)) if why.ends_with("503 Service Unavailable: busy")),
            "{later:?}"
        );
        assert!(matches!(&never, Err(Failed::Never(why)) if why.ends_with("404 Not Found")), "{never:?}");
        assert!(matches!(&moved, Err(Failed::Never(why)) if why.contains("redirects are not followed")), "{moved:?}");
        assert!(matches!(&garbage, Err(Failed::Later(_))), "{garbage:?}");
        // Chats have what is as good as a password in the path: whoever may look at the status must not see it.
        for failed in [later, never, moved, garbage] {
            let Err(Failed::Later(why) | Failed::Never(why)) = failed else { panic!("{failed:?}") };
            assert!(why.starts_with("http://127.0.0.1:") && !why.contains("hook") && !why.contains("a=b"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_told_and_nothing_is_sent_without_it() {
        let config = notify::Webhook {
            name: "x".to_owned(),
            wanted: Wanted { on: vec![Occasion::Ban], jails: Vec::new(), alarms: true },
            url: Url { is_secure: false, host: "127.0.0.1".to_owned(), port: 9, path: "/".to_owned() },
            secret_file: Some("/nonexistent/secret".to_owned()),
        };

        let told = WebhookReceiver::new(config, "mx1").tell(&Batch::default(), false).await;

        assert!(
            matches!(&told, Err(Failed::Later(why)) if why.starts_with("the secret in /nonexistent/secret: ")),
            "{told:?}"
        );
    }
}
