//! Single characters: escapes, and the classes that hold several.

use super::{Before, Fault, Scanner, hex};

/// A member of a class.
enum Member {
    Char(char),
    /// `\d` and the like.
    Set(char),
}

impl Scanner<'_> {
    pub(super) fn escape(&mut self, start: usize) -> Result<(), Fault> {
        let Some(char) = self.take() else { return self.fault(start, "it ends in a backslash") };
        match char {
            'A' => self.zero_width("\\A"),
            'Z' => self.zero_width("\\z"),
            'b' | 'B' => self.zero_width(&format!("\\{char}")),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.atom(&format!("\\{char}")),
            '1'..='9' => {
                let second = self.peek().filter(char::is_ascii_digit);
                let third = self.rest().chars().nth(1).filter(|digit| ('0'..='7').contains(digit));
                if let (Some('0'..='7'), Some(_), '1'..='3') = (second, third, char) {
                    let number = self.octal(start, 3);
                    return self.number(start, number);
                }
                let end = self.at + usize::from(second.is_some());
                let group = &self.source[start + 1..end];
                self.at = end;
                self.is_fancy = true;
                // The group keeps a digit behind it from being part of the number.
                self.atom(&format!("(?:\\{group})"));
            }
            '0' => {
                let number = self.octal(start, 3);
                return self.number(start, number);
            }
            _ => {
                let char = self.escaped(start, char)?;
                self.literal_or_hex(char);
            }
        }
        Ok(())
    }

    fn zero_width(&mut self, text: &str) {
        self.out.push_str(text);
        self.before = Before::Nothing;
    }

    fn literal_or_hex(&mut self, char: char) {
        if char.is_control() { self.atom(&hex(char)) } else { self.literal(char) }
    }

    fn number(&mut self, start: usize, number: Option<char>) -> Result<(), Fault> {
        match number {
            Some(char) => {
                self.literal_or_hex(char);
                Ok(())
            }
            None => self.fault(start, "the number is no character's"),
        }
    }

    /// The octal number of at most `digits` digits behind the backslash at `start`.
    fn octal(&mut self, start: usize, digits: usize) -> Option<char> {
        let text = &self.source[start + 1..];
        let len = text.bytes().take(digits).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
        self.at = start + 1 + len;
        u32::from_str_radix(&text[..len], 8).ok().and_then(char::from_u32)
    }

    /// The character that `char` behind a backslash stands for, in a class and outside.
    fn escaped(&mut self, start: usize, char: char) -> Result<char, Fault> {
        let digits = match char {
            'a' => return Ok('\x07'),
            'f' => return Ok('\x0c'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\x0b'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ if char.is_ascii_alphanumeric() => {
                return self.fault(start, format!("`\\{char}` is no escape that Python knows"));
            }
            _ => return Ok(char),
        };
        let text = self.rest().get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = text.and_then(|text| u32::from_str_radix(text, 16).ok()).and_then(char::from_u32);
        let Some(number) = number else {
            return self
                .fault(start, format!("`\\{char}` asks for {digits} hexadecimal digits of a character's number"));
        };
        self.at += digits;
        Ok(number)
    }

    pub(super) fn class(&mut self, start: usize) -> Result<(), Fault> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let first = self.at;
        loop {
            let at = self.at;
            let Some(char) = self.take() else { return self.fault(start, "the class has no end: `]` is missing") };
            if char == ']' && at > first {
                break;
            }
            let low = self.member(at, char)?;
            let is_range = self.rest().starts_with('-') && !self.rest().starts_with("-]") && self.rest() != "-";
            if !is_range {
                match low {
                    Member::Char(char) => self.push_in_class(char),
                    Member::Set(set) => self.out.extend(['\\', set]),
                }
                continue;
            }
            self.at += 1;
            let place = self.at;
            let Some(char) = self.take() else { return self.fault(start, "the class has no end: `]` is missing") };
            match (low, self.member(place, char)?) {
                (Member::Char(low), Member::Char(high)) if low <= high => {
                    self.push_in_class(low);
                    self.out.push('-');
                    self.push_in_class(high);
                }
                (Member::Char(_) | Member::Set(_), _) => return self.fault(at, "it is no range of characters"),
            }
        }
        self.atom("]");
        Ok(())
    }

    fn member(&mut self, at: usize, char: char) -> Result<Member, Fault> {
        if char != '\\' {
            return Ok(Member::Char(char));
        }
        let Some(char) = self.take() else { return self.fault(at, "it ends in a backslash") };
        match char {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => Ok(Member::Set(char)),
            'b' => Ok(Member::Char('\x08')),
            '0'..='7' => match self.octal(at, 3) {
                Some(char) => Ok(Member::Char(char)),
                None => self.fault(at, "the number is no character's"),
            },
            _ => self.escaped(at, char).map(Member::Char),
        }
    }

    fn push_in_class(&mut self, char: char) {
        // By its number, it means nothing else to any engine.
        if char.is_ascii_alphanumeric() || !char.is_ascii() || "_.,:;/<>@%=".contains(char) {
            self.out.push(char);
        } else {
            self.out.push_str(&hex(char));
        }
    }
}
