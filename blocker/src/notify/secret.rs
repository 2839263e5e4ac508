//! Secrets in files: read when they are needed, so that they can be changed while the daemon runs.

use std::fs::File;
use std::io::Read as _;

use super::worker::Failed;

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
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut secret))
        .map_err(|error| wrong(error.to_string()))?;
    if secret.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("longer than {MAX_BYTES} bytes")));
    }
    secret.truncate(secret.trim_ascii_end().len());
    if secret.is_empty() { Err(wrong("the file is empty".to_owned())) } else { Ok(secret) }
}
