//! Unix sockets whose place is configured: nobody else's is taken, and clients beyond a number wait.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use super::server::Call;
use crate::exit::io_failure;

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
    calls: mpsc::Sender<Call>,
    serve: impl Fn(UnixStream, mpsc::Sender<Call>) -> F,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(places));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = calls.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = serve(stream, calls.clone());
                tokio::spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "a control client was cut off");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
