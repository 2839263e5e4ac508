//! Which form of stamp a log has.

use super::stamp::{Form, Stamp};

/// What was learnt of one log: nearly all of its lines have the same form of stamp, which is tried first.
///
/// Since no text is a stamp in two forms, and none both has one and does without, what was learnt changes how fast a line is
/// read and not what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt(Known);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    /// The form of the last stamp.
    Form(Form),
    /// The last line did without.
    Unstamped,
}

impl Learnt {
    /// The form that is tried first.
    #[must_use]
    pub fn form(self) -> Option<Form> {
        match self.0 {
            Known::Form(form) => Some(form),
            Known::Nothing | Known::Unstamped => None,
        }
    }

    /// Whether the last line that could be read had no stamp.
    pub(super) fn is_unstamped(self) -> bool {
        self.0 == Known::Unstamped
    }

    /// Learns that a line had no stamp.
    pub(super) fn set_unstamped(&mut self) {
        self.0 = Known::Unstamped;
    }

    /// Reads a stamp at the start of `text`, and learns its form.
    pub(super) fn read<'a>(&mut self, text: &'a [u8]) -> Option<(Form, Stamp, &'a [u8])> {
        if let Known::Form(form) = self.0
            && let Some((stamp, rest)) = form.read(text)
        {
            return Some((form, stamp, rest));
        }
        let (form, stamp, rest) = Form::read_any(text)?;
        self.0 = Known::Form(form);
        Some((form, stamp, rest))
    }
}
