//! On which file system a log is, as far as that matters: some of them do not announce what is written elsewhere.
//!
//! inotify tells what goes through this machine's own view of a file. What another machine writes (NFS, SMB, Ceph), another
//! program serves (FUSE) or another view of the same layers changes (overlayfs) comes without a word. Such files are read
//! all the same, since everything is looked at every second; `status` says so.

use std::fs::File;

use nix::sys::statfs::fstatfs;

/// Magic numbers of statfs(2), and names: linux/magic.h, and the sources of those that are not in it.
const UNANNOUNCED: &[(u64, &str)] = &[
    (0x0000_6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0x0000_517b, "smb"),
    (0x6573_5546, "fuse"),
    (0x794c_7630, "overlay"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0x2003_0528, "orangefs"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
    (0x6175_6673, "aufs"),
];

/// The name of the file system that `file` is on, if it is one that may not announce writes.
pub(super) fn unannounced(file: &File) -> Option<&'static str> {
    // On 32 bits the number is signed; none of the numbers needs more than 32.
    let magic = fstatfs(file).ok()?.filesystem_type().0 as u64 & 0xffff_ffff;
    UNANNOUNCED.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_of_this_machine_s_own_announces() {
        let file = File::open("/proc/self/stat").expect("proc is mounted");

        assert_eq!(unannounced(&file), None);
    }

    #[test]
    fn the_numbers_are_those_of_the_system_s_headers() {
        use nix::sys::statfs::{self, FsType};
        let rows: [(FsType, &str); 7] = [
            (statfs::NFS_SUPER_MAGIC, "nfs"),
            (statfs::SMB_SUPER_MAGIC, "smb"),
            (statfs::FUSE_SUPER_MAGIC, "fuse"),
            (statfs::OVERLAYFS_SUPER_MAGIC, "overlay"),
            (statfs::CODA_SUPER_MAGIC, "coda"),
            (statfs::AFS_SUPER_MAGIC, "afs"),
            (statfs::OCFS2_SUPER_MAGIC, "ocfs2"),
        ];
        for (FsType(magic), name) in rows {
            assert!(UNANNOUNCED.contains(&(magic as u64, name)), "{name} is {magic:#x}");
        }
    }
}
