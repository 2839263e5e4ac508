//! Which form of stamp a log has.

use super::stamp::{Form, Stamp};

/// What was learnt of one log: nearly all of its lines have the same form of stamp, which is tried first.
///
/// Since no text is a stamp in two forms, and none both has one and does without, what was learnt changes how fast a line is
/// read and not what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    known: Known,
    /// The last stamp that syslog wrote without fractions: many lines have that of the line before.
    last: Option<(Syslog, Stamp)>,
}

/// `Nov 23 01:06:25 `, with the blank that ends it: whatever else begins so has the same stamp.
type Syslog = [u8; 16];

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
        match self.known {
            Known::Form(form) => Some(form),
            Known::Nothing | Known::Unstamped => None,
        }
    }

    /// Whether the last line that could be read had no stamp.
    pub(super) fn is_unstamped(self) -> bool {
        self.known == Known::Unstamped
    }

    /// Learns that a line had no stamp.
    pub(super) fn set_unstamped(&mut self) {
        self.known = Known::Unstamped;
    }

    /// Reads a stamp at the start of `text`, and learns its form.
    pub(super) fn read<'a>(&mut self, text: &'a [u8]) -> Option<(Form, Stamp, &'a [u8])> {
        if let Some((last, stamp)) = &self.last
            && text.starts_with(last)
        {
            self.known = Known::Form(Form::MonthDay);
            return Some((Form::MonthDay, *stamp, &text[last.len() - 1..]));
        }
        let (form, stamp, rest) = match self.form().and_then(|form| Some((form, form.read(text)?))) {
            Some((form, (stamp, rest))) => (form, stamp, rest),
            None => Form::read_any(text)?,
        };
        self.known = Known::Form(form);
        self.last = text.first_chunk::<16>().filter(|_| form == Form::MonthDay).and_then(|first| {
            let is_all = text.len() - rest.len() == first.len() - 1 && first.ends_with(b" ");
            is_all.then_some((*first, stamp))
        });
        Some((form, stamp, rest))
    }
}
