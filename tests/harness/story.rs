//! The laboratory's voice: a line per event on standard output, with the time since the beginning.

use std::time::Instant;

/// Tells what happens, unless it is to be silent.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    begun: Instant,
    aloud: bool,
}

impl Story {
    /// Begins; `aloud` prints.
    #[must_use]
    pub fn begin(aloud: bool) -> Self {
        Self { begun: Instant::now(), aloud }
    }

    /// One event.
    pub fn tell(&self, event: &str) {
        if self.aloud {
            println!("{:7.2} s  {event}", self.begun.elapsed().as_secs_f64());
        }
    }

    /// Text without a time, such as a table.
    pub fn show(&self, text: &str) {
        if self.aloud {
            println!("{text}");
        }
    }
}

/// A log line fit for a terminal: whatever the attacker put in, shortened and with control characters escaped.
#[must_use]
pub fn presentable(line: &str) -> String {
    let escaped: String = line.chars().flat_map(escape).collect();
    let mut shortened: String = escaped.chars().take(WIDTH).collect();
    if shortened.len() < escaped.len() {
        shortened.push('…');
    }
    shortened
}

/// Characters of a log line that are shown.
const WIDTH: usize = 150;

fn escape(character: char) -> Box<dyn Iterator<Item = char>> {
    // Printable ASCII says what it looks like; everything else may reverse, hide or recolour text.
    if character == ' ' || character.is_ascii_graphic() {
        Box::new(std::iter::once(character))
    } else {
        Box::new(character.escape_default())
    }
}

#[cfg(test)]
mod tests {
    use super::presentable;

    #[test]
    fn terminals_get_no_control_characters_and_no_endless_lines() {
        assert_eq!(presentable("a\u{1b}[31mb\u{202e}"), r"a\u{1b}[31mb\u{202e}");
        assert_eq!(presentable(&"x".repeat(1000)).chars().count(), 151);
    }
}
