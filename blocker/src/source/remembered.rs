//! Where to begin in files that are not open.
//!
//! Of closed files the place where they were left, so that one that comes back is not read twice; of files that were there
//! when the source began and could not be opened, the length they had.

use std::collections::VecDeque;

use super::tail::{Identity, Start};

/// Most files remembered; beyond that the one noted first is forgotten and would be read from its beginning. At 150 bytes
/// each, 150 KiB.
const MAX_REMEMBERED: usize = 1024;

/// Positions by file.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// The one noted first in front; no file twice.
    starts: VecDeque<(Identity, Start)>,
}

impl Remembered {
    /// Notes where to begin in a file, in place of what was noted before.
    pub(super) fn put(&mut self, identity: Identity, start: Start) {
        self.forget(identity);
        if self.starts.len() == MAX_REMEMBERED {
            self.starts.pop_front();
        }
        self.starts.push_back((identity, start));
    }

    /// Where to begin in a file, if that was noted.
    pub(super) fn get(&self, identity: Identity) -> Option<&Start> {
        self.starts.iter().find(|(remembered, _)| *remembered == identity).map(|(_, start)| start)
    }

    /// Forgets a file: it is open.
    pub(super) fn forget(&mut self, identity: Identity) {
        self.starts.retain(|(remembered, _)| *remembered != identity);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;

    #[test]
    fn remembers_the_last_place_and_no_more_files_than_the_bound() {
        let dir = TempDir::new();
        let identities: Vec<_> = (0..=MAX_REMEMBERED)
            .map(|number| {
                let name = number.to_string();
                dir.write(&name, b"");
                Identity::of(&std::fs::metadata(dir.path(&name)).expect("the file exists"))
            })
            .collect();
        let mut remembered = Remembered::default();

        for &identity in &identities {
            remembered.put(identity, Start::After(1));
            remembered.put(identity, Start::After(2));
        }

        assert_eq!(remembered.get(identities[0]), None, "the one noted first makes room");
        assert_eq!(remembered.get(identities[1]), Some(&Start::After(2)));
        assert_eq!(remembered.starts.len(), MAX_REMEMBERED);
        remembered.forget(identities[1]);
        assert_eq!(remembered.get(identities[1]), None);
    }
}
