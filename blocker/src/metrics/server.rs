//! Answers over HTTP whoever collects metrics. One that hangs, floods or sends garbage costs one of a few places for some
//! seconds, and harms nobody.
//!
//! One task owns the socket and the last text: of any number of requests within a second, one makes the daemon's task read
//! its counters, as `blocker status` does.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use blocker_core::config::MetricsSocket;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::prometheus_text;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::families;
use crate::control::server::Call;
use crate::control::unix;
use crate::control::wire::{Reply, Request as Asked};
use crate::exit::io_failure;

/// Clients served at once; others wait in the socket's backlog.
const MAX_CLIENTS: usize = 16;

/// A connection is one request, and ends within this time. Prometheus waits for 10 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// The daemon must answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long a text is told to all who ask.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Longest head of a request, in bytes: the least that hyper takes. Its body is not read.
const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// Most lines of a request's head.
const MAX_HEADERS: usize = 64;

/// What is asked of the task that owns the text: the text, or why there is none.
type Ask = oneshot::Sender<Result<Bytes, &'static str>>;

/// The listening socket. The file of a unix socket is removed when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    /// When the daemon started, in seconds since 1970.
    started: f64,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Server {
    /// Listens. Of unix sockets, one that nobody has open is replaced, and nothing else.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made.
    pub fn bind(socket: &MetricsSocket) -> Result<Self> {
        let listener = match socket {
            MetricsSocket::Tcp(addr) => {
                let listen = || {
                    let listener = std::net::TcpListener::bind(addr)?;
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                };
                Listener::Tcp(listen().map_err(|error| io_failure(error, format!("listening for metrics on {addr}")))?)
            }
            MetricsSocket::Unix(path) => {
                // Who may ask is for the directory to say: there is nothing in the metrics that `ps` and `ip` do not tell of
                // their kind.
                let listener = unix::bind(Path::new(path), 0o666)
                    .with_context(|| format!("`metrics.listen`: listening on the unix socket {path}"))?;
                Listener::Unix(listener, PathBuf::from(path))
            }
        };
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self { listener, started: started.as_secs_f64() })
    }

    /// Serves until nobody takes the calls.
    pub async fn run(self, calls: mpsc::Sender<Call>) {
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        let (asks_in, mut asks) = mpsc::channel::<Ask>(MAX_CLIENTS);
        let mut last = None;
        loop {
            let accepted = tokio::select! {
                () = calls.closed() => return,
                Some(ask) = asks.recv() => {
                    if ask.send(self.text(&mut last, &calls).await).is_err() {
                        tracing::debug!("a client for metrics went away before its answer");
                    }
                    continue;
                }
                accepted = async {
                    let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                    Ok::<_, io::Error>((place, self.listener.accept().await?))
                } => accepted,
            };
            match accepted {
                Ok((place, client)) => {
                    let asks = asks_in.clone();
                    tokio::spawn(async move {
                        match client {
                            Client::Tcp(stream) => serve(stream, asks).await,
                            Client::Unix(stream) => serve(stream, asks).await,
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a client for metrics could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// The text, from `last` if that is young enough.
    async fn text(
        &self,
        last: &mut Option<(Instant, Bytes)>,
        calls: &mpsc::Sender<Call>,
    ) -> Result<Bytes, &'static str> {
        if let Some((_, text)) = last.as_ref().filter(|(made, _)| made.elapsed() < FRESH_FOR) {
            return Ok(text.clone());
        }
        let (reply, answer) = oneshot::channel();
        let ask = async {
            calls.send(Call { request: Asked::Status, uid: None, reply, is_behind: false }).await.ok()?;
            answer.await.ok()
        };
        let Ok(replies) = timeout(ANSWER_WITHIN, ask).await else { return Err("the daemon is busy") };
        let status = replies.into_iter().flatten().find_map(|reply| match reply {
            Reply::Status(status) => Some(status),
            Reply::Ban(_)
            | Reply::Allowed(_)
            | Reply::Change(_)
            | Reply::Run(_)
            | Reply::Report(_)
            | Reply::Watch(_)
            | Reply::Why(_)
            | Reply::Lifted(_)
            | Reply::Tested(_)
            | Reply::Said(_)
            | Reply::Warning(_)
            | Reply::Done
            | Reply::Error { .. } => None,
        });
        let Some(status) = status else { return Err("the daemon cannot read its counters, or is ending") };
        let Ok(text) = families::text(&status, self.started) else { return Err("the metrics cannot be written") };
        let text = Bytes::from(text);
        *last = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Client> {
        Ok(match self {
            Self::Tcp(listener) => Client::Tcp(listener.accept().await?.0),
            Self::Unix(listener, _) => Client::Unix(listener.accept().await?.0),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!(%error, "the socket for metrics was gone already");
        }
    }
}

/// Serves one connection, in which there is one request.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, asks: mpsc::Sender<Ask>) {
    let service = service_fn(|request| {
        let asks = asks.clone();
        async move { Ok::<_, Infallible>(answer(&request, &asks).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(PATIENCE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client for metrics sent something else, or went away"),
        Err(_) => tracing::debug!("a client for metrics was cut off: it took too long"),
    }
}

async fn answer<B>(request: &Request<B>, asks: &mpsc::Sender<Ask>) -> Response<Full<Bytes>> {
    let plain =
        |status, text: &'static str| response(status, CONTENT_TYPE, "text/plain", Bytes::from_static(text.as_bytes()));
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return response(StatusCode::METHOD_NOT_ALLOWED, ALLOW, "GET, HEAD", Bytes::new());
    }
    match request.uri().path() {
        "/metrics" => {}
        "/" => return plain(StatusCode::OK, "blocker: metrics are at /metrics\n"),
        _ => return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
    }
    let (ask, text) = oneshot::channel();
    if asks.send(ask).await.is_err() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon is ending\n");
    }
    match text.await {
        Ok(Ok(text)) => response(StatusCode::OK, CONTENT_TYPE, prometheus_text::CONTENT_TYPE, text),
        Ok(Err(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon is ending\n"),
    }
}

fn response(
    status: StatusCode,
    header: hyper::header::HeaderName,
    value: &'static str,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header, hyper::header::HeaderValue::from_static(value));
    response
}
