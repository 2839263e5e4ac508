//! Unix sockets whose place is configured: nobody else's is taken, and clients beyond a number wait.
//!
//! Who a client is, the kernel says when it is accepted. Who may ask for nothing takes none of the places of those who may: it is
//! told so in one of a few others, for a second, and closed at once where these are taken.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::access::{Access, Right};
use super::server::Call;
use crate::exit::io_failure;

/// Who may ask for nothing is told so in as many places.
const STRANGERS: usize = 4;

/// For so long each.
const PATIENCE_WITH_STRANGERS: Duration = Duration::from_secs(1);

/// Listens at `path`. A socket that nobody has open is replaced, and nothing else.
///
/// # Errors
///
/// If something else is there, or the socket cannot be made.
pub(crate) fn bind(path: &Path, mode: u32) -> Result<UnixListener> {
    let failed = |error| io_failure(error, "taking its place");
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                bail!("another process listens there");
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(_) => bail!("something that is no socket is there"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

/// Serves each client in a task of its own, `places` of them at once, until nobody takes the calls.
pub(super) async fn serve_each<F>(
    listener: &UnixListener,
    places: usize,
    access: Access,
    calls: mpsc::Sender<Call>,
    serve: impl Fn(UnixStream, (Right, u32), mpsc::Sender<Call>) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let (places, strangers) = (Arc::new(Semaphore::new(places)), Arc::new(Semaphore::new(STRANGERS)));
    loop {
        let accepted = tokio::select! {
            () = calls.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a control client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let peer = match access.of_peer(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::debug!(%error, "who a control client is cannot be known");
                continue;
            }
        };
        let (place, patience) = match peer {
            (Right::None, uid) => match Arc::clone(&strangers).try_acquire_owned() {
                Ok(place) => (place, PATIENCE_WITH_STRANGERS),
                Err(_) => {
                    tracing::debug!(uid, "one control client more of somebody who may ask for nothing");
                    continue;
                }
            },
            (Right::Change | Right::Look, _) => tokio::select! {
                () = calls.closed() => return,
                place = Arc::clone(&places).acquire_owned() => match place {
                    Ok(place) => (place, Duration::MAX),
                    Err(_) => return,
                },
            },
        };
        let served = serve(stream, peer, calls.clone());
        tokio::spawn(async move {
            match timeout(patience, served).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a control client was cut off"),
                Err(_) => tracing::debug!("a control client that may ask for nothing was cut off"),
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Client;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::source::testing::TempDir;

    #[tokio::test]
    async fn places_are_for_those_who_may_ask_and_further_ones_wait() {
        let dir = TempDir::new();
        let path = dir.path("socket");
        let listener = bind(&path, 0o600).expect("it can be made");
        let (calls, _taken) = mpsc::channel(1);
        let (served, mut serving) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            serve_each(&listener, 2, Access::default(), calls, |mut stream, (right, _), _| {
                let served = served.clone();
                async move {
                    served.send(right).map_err(io::Error::other)?;
                    // Until the client closes.
                    stream.read(&mut [0]).await.map(drop)
                }
            })
            .await;
        });

        let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&path).expect("it listens")).collect();

        for _ in 0..2 {
            assert_eq!(serving.recv().await, Some(Right::Change), "these are this process' own user's");
        }
        assert!(timeout(Duration::from_millis(200), serving.recv()).await.is_err(), "the third waits");
        drop(clients.remove(0));
        assert_eq!(timeout(Duration::from_secs(20), serving.recv()).await, Ok(Some(Right::Change)));
    }
}
