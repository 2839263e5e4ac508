//! Who may use the control socket, besides root and the daemon's own user; and where fail2ban's client is answered.

use super::MAX_SOCKET_BYTES;
use super::kinds::is_path;
use super::value::Kind;
use super::walk::Section;

/// The table `[control]`: names of groups, and a socket. Whether there are such groups is for the machine to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Whose members may do everything.
    pub group: Option<String>,
    /// Whose members may look, also at lines of logs: `blocker status`, `bans`, `why` and `allow --list`.
    pub look_group: Option<String>,
    /// A unix stream socket, at this absolute path of [`MAX_SOCKET_BYTES`] at most, that speaks fail2ban's protocol.
    pub fail2ban_socket: Option<String>,
}

/// Longest name of a group in bytes, as `groupadd` takes it.
const MAX_GROUP_BYTES: usize = 32;

pub(super) fn control(section: &mut Section<'_, '_>) -> Control {
    Control {
        group: section.get("group", &GROUP, None),
        look_group: section.get("look_group", &GROUP, None),
        fail2ban_socket: section.get("fail2ban_socket", &SOCKET, None),
    }
}

/// A name, not a number: a number that means another group tomorrow gives away the right to free attackers.
const GROUP: Kind<Option<String>> = Kind {
    expected: "the name of a group, of 1 to 32 letters, digits, _, -, . and not a number; or \"\" for none",
    read: |value| match value.text() {
        Some("") => Ok(None),
        text => {
            let is_name = |text: &&str| {
                let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
                text.len() <= MAX_GROUP_BYTES
                    && text.bytes().all(is_of_name)
                    && !text.starts_with(['-', '.'])
                    && !text.bytes().all(|byte| byte.is_ascii_digit())
            };
            value.or_unexpected(text.filter(is_name).map(|text| Some(text.to_owned())))
        }
    },
};

/// An empty text is off, as the default.
const SOCKET: Kind<Option<String>> = Kind {
    expected: "the absolute path of a socket, of at most 107 bytes, such as \"/run/fail2ban/fail2ban.sock\"; or \"\" for none",
    read: |value| match value.text() {
        Some("") => Ok(None),
        text => {
            value.or_unexpected(text.filter(|text| is_path(text, MAX_SOCKET_BYTES)).map(|text| Some(text.to_owned())))
        }
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Names, read};

    #[test]
    fn groups_are_names_and_none_unless_set() {
        let text = "[control]\ngroup = \"blocker\"\nlook_group = \"adm\"\n";
        let expected =
            Control { group: Some("blocker".to_owned()), look_group: Some("adm".to_owned()), fail2ban_socket: None };

        assert_eq!(read(text, &Names::builtin()).unwrap().control, expected);
        assert_eq!(read("[control]\ngroup = \"\"\n", &Names::builtin()).unwrap().control, Control::default());
        for wrong in ["\"4\"", "4", "\"a b\"", "\"-x\"", "\"a:b\"", "true", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""] {
            let errors = read(&format!("[control]\nlook_group = {wrong}\n"), &Names::builtin()).expect_err(wrong);
            let error = errors[0].to_string();
            assert!(
                error.starts_with("line 2: `control.look_group` is ") && error.contains("name of a group"),
                "{error}"
            );
        }
    }
    #[test]
    fn fail2bans_socket_is_off_unless_an_absolute_path_is_named() {
        let of = |value: &str| {
            let text = format!("[control]\nfail2ban_socket = {value}\n");
            read(&text, &Names::builtin())
                .map(|config| config.control.fail2ban_socket)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())
        };
        let usual = "/run/fail2ban/fail2ban.sock";

        assert_eq!(read("", &Names::builtin()).unwrap().control.fail2ban_socket, None);
        assert_eq!(of("\"\""), Ok(None));
        assert_eq!(of(&format!("{usual:?}")), Ok(Some(usual.to_owned())));
        let long = format!("\"/{}\"", "x".repeat(107));
        for wrong in ["\"fail2ban.sock\"", "\"/run/a\\nb\"", "true", long.as_str()] {
            let error = of(wrong).expect_err(wrong);
            assert!(error.starts_with("line 2: `control.fail2ban_socket` is ") && error.contains(usual), "{error}");
        }
    }
}
