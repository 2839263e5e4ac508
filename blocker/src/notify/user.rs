//! What a user of this machine is called, by number.
//!
//! `/etc/passwd` alone is asked: a directory service behind it may take as long as it likes, and may be what is broken.

use std::fs::File;
use std::io::Read as _;

/// What is read of the file, at most.
const MAX_BYTES: u64 = 1024 * 1024;

/// The name of a user, if the machine's own file has one.
pub(super) fn name(uid: u32) -> Option<String> {
    let mut text = Vec::new();
    File::open("/etc/passwd").and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text)).ok()?;
    find(&text, uid)
}

fn find(passwd: &[u8], uid: u32) -> Option<String> {
    let wanted = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)? == wanted.as_bytes()).then(|| super::notice::plain(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_file_says_and_nobody_a_name_that_is_another_s() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\n\n:x:7:7::/:\nbroken:x\nali\x1bce:x:1000:1000:0:/:/bin/sh\nbob:x:1000:0::/:";

        assert_eq!(find(passwd, 0).as_deref(), Some("root"));
        assert_eq!(find(passwd, 1000).as_deref(), Some(r"ali\u{1b}ce"));
        for nobody in [1, 7, 10, 100] {
            assert_eq!(find(passwd, nobody), None, "{nobody}");
        }
        assert_eq!(name(0).as_deref(), Some("root"), "as on every machine");
    }
}
