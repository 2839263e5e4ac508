//! Which programs a filter listens to.

/// Names of programs, in which `*` stands for any bytes.
#[derive(Debug)]
pub(super) struct Programs(Vec<Vec<u8>>);

impl Programs {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    /// Texts of which every one of them has at least one; `None` if there are none that are worth a search.
    pub(super) fn needles(&self) -> Option<Vec<Vec<u8>>> {
        let longest = |name: &Vec<u8>| {
            let literal = name.split(|byte| *byte == b'*').max_by_key(|literal| literal.len())?;
            (literal.len() >= SHORTEST_NEEDLE).then(|| literal.to_vec())
        };
        if self.0.is_empty() { None } else { self.0.iter().map(longest).collect() }
    }

    /// Whether `program` is one of them.
    pub(super) fn has(&self, program: &[u8]) -> bool {
        self.0.iter().any(|name| matches(name, program))
    }
}

/// Shortest part of a name that is worth a search, in bytes.
const SHORTEST_NEEDLE: usize = 4;

/// Whether `text` is `name`, in which `*` stands for any bytes. The last `*` gives way: linear in `text` for each `*`.
fn matches(name: &[u8], text: &[u8]) -> bool {
    let (mut at_name, mut at_text) = (0, 0);
    let mut resume = None;
    while at_text < text.len() {
        match name.get(at_name) {
            Some(b'*') => {
                at_name += 1;
                resume = Some((at_name, at_text));
            }
            Some(byte) if *byte == text[at_text] => {
                at_name += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((after_star, from)) = resume else { return false };
                at_name = after_star;
                at_text = from + 1;
                resume = Some((after_star, from + 1));
            }
        }
    }
    name[at_name..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_bytes_also_for_none() {
        let programs = Programs::new(&["postfix*/smtpd".to_owned(), "sshd".to_owned(), "a*b*c".to_owned()]);

        for yes in ["postfix/smtpd", "postfix/submission/smtpd", "postfix-out/smtps/smtpd", "sshd", "abc", "axbbxcc"] {
            assert!(programs.has(yes.as_bytes()), "{yes}");
        }
        for no in ["postfix/smtp", "postfix/smtpd/x", "xsshd", "sshd2", "", "ab", "acb"] {
            assert!(!programs.has(no.as_bytes()), "{no}");
        }
    }
}
