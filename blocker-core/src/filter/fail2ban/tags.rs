//! The tags of fail2ban's expressions, and what stands for them.
//!
//! Expansions are our own, written from what the tags are documented to match. The number and the order of their groups are
//! those of fail2ban, so that a reference back by number (`\2`) means the same group.
//!
//! `<HOST>` also takes a name, as fail2ban's does unless it is told otherwise: so the same text is taken for the host. But no
//! name is ever resolved: who is named so is nobody. All addresses are read strictly afterwards.

/// Four numbers: whether they are an address is seen when it is read.
const IP4: &str = r"(?P<ip4>(?:[0-9]{1,3}\.){3}[0-9]{1,3})";

/// Anything of hexadecimal digits and colons that may be an address; it never ends in a lone colon, which is the line's.
const IP6: &str =
    "(?P<ip6>(?:[0-9A-Fa-f]{1,4}:|::)(?:[0-9A-Fa-f]{0,4}:){0,7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,7}:|::)";

/// How systems print an IPv4 address that came by IPv6.
const MAPPED: &str = "(?:::f{4,6}:)?";

/// Something that may be a name, in whatever script.
const NAME: &str = r"(?P<dns>[0-9A-Za-z_\-.^\x{80}-\x{10FFFF}]*[0-9A-Za-z_\x{80}-\x{10FFFF}])";

/// The length of a prefix.
const CIDR: &str = "(?P<cidr>[0-9]+)";

/// What a tag in angle brackets is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// A whole expression.
    Whole(String),
    /// The beginning of a group: `<F-USER>`.
    Open(String),
    /// Its end: `</F-USER>`.
    Close,
    /// One that fail2ban has and we have not: why.
    Refused(&'static str),
}

/// The tag at the start of `text`, which begins with `<`, and its length in bytes; `None` if it is plain text. `skips` is how
/// many `<SKIPLINES>` stand before it.
pub(super) fn read(text: &str, skips: usize) -> Option<(Tag, usize)> {
    let end = text.find('>')?;
    let inner = &text[1..end];
    Some((tag(inner, skips)?, end + 1))
}

fn tag(inner: &str, skips: usize) -> Option<Tag> {
    let whole = match inner {
        "HOST" => format!(r"(?:\[?(?:{MAPPED}{IP4}|{IP6})\]?|{NAME})"),
        "ADDR" => format!(r"\[?(?:{MAPPED}{IP4}|{IP6})\]?"),
        "SUBNET" => format!(r"\[?(?:{MAPPED}{IP4}|{IP6})(?:/{CIDR})?\]?"),
        "IP4" => format!("{MAPPED}{IP4}"),
        "IP6" => format!(r"\[?{IP6}\]?"),
        "CIDR" => CIDR.to_owned(),
        "DNS" => NAME.to_owned(),
        "F-ID/" => r"(?P<fid>\S+)".to_owned(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        "SKIPLINES" => format!(r"\n(?P<{SKIPLINES}{skips}>(?:.*\n)*?)"),
        _ => return named(inner),
    };
    Some(Tag::Whole(whole))
}

/// `F-NAME`, `/F-NAME`.
fn named(inner: &str) -> Option<Tag> {
    let is_name = |name: &str| {
        let of_names = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !name.is_empty() && name.bytes().all(of_names)
    };
    if inner.strip_prefix("/F-").is_some_and(is_name) {
        return Some(Tag::Close);
    }
    let name = inner.strip_prefix("F-").filter(|name| is_name(name))?;
    Some(match name {
        "ID" => Tag::Open("(?P<fid>".to_owned()),
        "PORT" => Tag::Open("(?P<fport>".to_owned()),
        _ if name.starts_with("TUPLE_") => Tag::Refused("bans are of addresses, not of tuples: leave <F-TUPLE_…> out"),
        _ => Tag::Open(format!("(?P<{}>", name.to_ascii_lowercase())),
    })
}

/// How the groups of `<SKIPLINES>` are called, with a number behind it.
pub(super) const SKIPLINES: &str = "skiplines";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tag_is_text() {
        for text in ["<", "<x>", "<HOSTX>", "<host>", "<mdre->", "<F->", "<F-user>", "<F-USER/>", "<HOST"] {
            assert_eq!(read(text, 0), None, "{text}");
        }
    }

    #[test]
    fn a_tag_is_an_expression_or_one_end_of_a_group() {
        for (text, tag) in [
            ("<F-USER>x", Tag::Open("(?P<user>".into())),
            ("<F-ALT_USER1>", Tag::Open("(?P<alt_user1>".into())),
            ("<F-ID>", Tag::Open("(?P<fid>".into())),
            ("</F-ID>", Tag::Close),
            ("<F-PORT/>", Tag::Whole(r"(?P<fport>\w+)".into())),
        ] {
            assert_eq!(read(text, 0).unwrap().0, tag, "{text}");
        }
        assert_eq!(read("<SKIPLINES>", 3).unwrap().0, Tag::Whole(r"\n(?P<skiplines3>(?:.*\n)*?)".into()));
        assert!(matches!(read("<F-TUPLE_ID>", 0).unwrap().0, Tag::Refused(_)));
    }
}
