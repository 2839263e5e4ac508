//! Secrets in files: read when they are needed, so that they can be changed while the daemon runs.

use std::io::Read as _;
use std::path::Path;

use super::worker::Failed;
use crate::regular;

/// Longest secret, in bytes.
const MAX_BYTES: u64 = 4_096;

/// Reads a secret: the file without blanks and line ends behind it.
///
/// # Errors
///
/// [`Failed::Later`]: it may be put right.
pub(super) fn read(path: &str) -> Result<Vec<u8>, Failed> {
    let wrong = |why: String| Failed::Later(format!("the secret in {}: {why}", path.escape_debug()));
    let mut secret = Vec::new();
    regular::open(Path::new(path))
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut secret))
        .map_err(|error| wrong(error.to_string()))?;
    if secret.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("longer than {MAX_BYTES} bytes")));
    }
    secret.truncate(secret.trim_ascii_end().len());
    if secret.is_empty() { Err(wrong("the file is empty".to_owned())) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::source::testing::TempDir;

    #[test]
    fn a_secret_ends_before_blanks_and_is_no_longer_than_it_may_be() {
        let dir = TempDir::new();
        dir.write("secret", b" a b \n\n");
        dir.write("empty", b"\n");
        dir.write("long", &[b'x'; 4097]);

        assert_eq!(read(&dir.text("secret")), Ok(b" a b".to_vec()));
        for (name, why) in
            [("empty", "is empty"), ("long", "longer than"), ("none", "No such file"), (".", "a directory")]
        {
            let refused = read(&dir.text(name));
            assert!(matches!(&refused, Err(Failed::Later(said)) if said.contains(why)), "{name}: {refused:?}");
        }
    }

    #[test]
    fn what_nobody_writes_to_is_not_waited_for() {
        let dir = TempDir::new();
        mkfifo(&dir.path("pipe"), Mode::S_IRWXU).expect("it can be made");
        let (told, read_it) = channel();
        let path = dir.text("pipe");
        thread::spawn(move || told.send(read(&path)));

        let refused = read_it.recv_timeout(Duration::from_secs(20)).expect("an answer at once");

        assert!(
            matches!(&refused, Err(Failed::Later(why)) if why.ends_with("is a FIFO, expected a regular file")),
            "{refused:?}"
        );
    }
}
