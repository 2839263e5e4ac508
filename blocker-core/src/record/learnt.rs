//! Which form of stamp a log has.

use super::stamp::{Form, Stamp};

/// What was learnt of one log: nearly all of its lines have the same form of stamp, which is tried first.
///
/// Since no text is a stamp in two forms, what was learnt changes how fast a line is read and not what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt(Option<Form>);

impl Learnt {
    /// The form of the last line that had one.
    #[must_use]
    pub fn form(self) -> Option<Form> {
        self.0
    }

    /// Reads a stamp at the start of `text`, and learns its form.
    pub(super) fn read<'a>(&mut self, text: &'a [u8]) -> Option<(Form, Stamp, &'a [u8])> {
        if let Some(form) = self.0
            && let Some((stamp, rest)) = form.read(text)
        {
            return Some((form, stamp, rest));
        }
        let (form, stamp, rest) = Form::read_any(text)?;
        self.0 = Some(form);
        Some((form, stamp, rest))
    }
}
