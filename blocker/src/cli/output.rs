//! Printing: results to stdout, for people or as JSON; a reader that went away is no error.

use std::io::{self, Write as _};

use anyhow::{Context, Result};
use serde::Serialize;

/// The reader of stdout had seen enough (`| head`).
#[derive(Debug, thiserror::Error)]
#[error("the reader of stdout is gone")]
pub(super) struct ReaderGone;

/// Prints a line.
///
/// # Errors
///
/// [`ReaderGone`], or why stdout cannot be written.
pub(super) fn line(text: &str) -> Result<()> {
    written(writeln!(io::stdout().lock(), "{text}"))
}

/// Prints lines, each with its end, by one call of the system if it takes them.
pub(super) fn text(lines: &str) -> Result<()> {
    bytes(lines.as_bytes())
}

/// The same of lines that were put together as bytes.
pub(super) fn bytes(lines: &[u8]) -> Result<()> {
    written(io::stdout().lock().write_all(lines))
}

fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("writing to stdout"),
    }
}

/// What somebody wrote, so that no terminal obeys it and no line begins in it.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string(value).context("writing JSON")?)
}

/// Prints rows in aligned columns, the last one unpadded.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: [&str; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(padded.join("  ").trim_end())
    };
    print(head)?;
    for row in rows {
        print(row.each_ref().map(String::as_str))?;
    }
    Ok(())
}
