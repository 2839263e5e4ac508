//! What a task needs of the machine's packages: looked for, and on Debian and its kin installed.

use anyhow::{Result, bail};

use crate::command::{as_root, find_program, is_root, run, run_as};

/// A program or file that a task needs, and Debian's package of it.
pub(crate) struct Need {
    /// A program's name, or an absolute path.
    pub(crate) what: &'static str,
    /// The package that brings it.
    pub(crate) package: &'static str,
}

/// To build: a C compiler links the binaries.
pub(crate) const BUILD: &[Need] = &[Need { what: "cc", package: "gcc" }, Need { what: "git", package: "git" }];

/// To run the tests that need no privileges: what compresses logs.
pub(crate) const TESTS: &[Need] = &[
    Need { what: "gzip", package: "gzip" },
    Need { what: "xz", package: "xz-utils" },
    Need { what: "bzip2", package: "bzip2" },
    Need { what: "zstd", package: "zstd" },
];

/// To run namespaces with a mail server and its attackers in them.
pub(crate) const LAB: &[Need] = &[
    Need { what: "ip", package: "iproute2" },
    Need { what: "nsenter", package: "util-linux" },
    Need { what: "setpriv", package: "util-linux" },
    Need { what: "logger", package: "bsdutils" },
    Need { what: "mount", package: "mount" },
    Need { what: "curl", package: "curl" },
    Need { what: "dovecot", package: "dovecot-core" },
    Need { what: "/usr/lib/dovecot/imap-login", package: "dovecot-imapd" },
    Need { what: "/usr/lib/dovecot/pop3-login", package: "dovecot-pop3d" },
    Need { what: "hydra", package: "hydra" },
    Need { what: "bpftool", package: "bpftool" },
];

/// To test besides, end to end: what else writes logs, what is told of bans, and what checks what we write. Postfix takes the place of
/// another mail server on the machine.
pub(crate) const END_TO_END: &[Need] = &[
    Need { what: "postfix", package: "postfix" },
    Need { what: "setsid", package: "util-linux" },
    Need { what: "xdp-loader", package: "xdp-tools" },
    Need { what: "journalctl", package: "systemd" },
    Need { what: "/usr/lib/systemd/systemd-journal-remote", package: "systemd-journal-remote" },
    Need { what: "promtool", package: "prometheus" },
    Need { what: "aiosmtpd", package: "python3-aiosmtpd" },
    Need { what: "/usr/bin/python3", package: "python3" },
    Need { what: "msmtp", package: "msmtp" },
    Need { what: "whois", package: "whois" },
    Need { what: "webhook", package: "webhook" },
    Need { what: "openssl", package: "openssl" },
    // Tells what reaches the disk before the power fails.
    Need { what: "strace", package: "strace" },
];

/// To run other kernels in virtual machines: what fetches and unpacks them, and what runs in them.
pub(crate) const KERNELS: &[Need] = &[
    Need { what: "qemu-system-x86_64", package: "qemu-system-x86" },
    Need { what: "dpkg-deb", package: "dpkg" },
    Need { what: "/usr/share/keyrings/debian-archive-keyring.gpg", package: "debian-archive-keyring" },
    Need { what: "depmod", package: "kmod" },
    Need { what: "xz", package: "xz-utils" },
    Need { what: "strip", package: "binutils" },
    Need { what: "ldd", package: "libc-bin" },
    Need { what: "busybox", package: "busybox-static" },
    Need { what: "ip", package: "iproute2" },
    Need { what: "nsenter", package: "util-linux" },
    Need { what: "ethtool", package: "ethtool" },
    Need { what: "bpftool", package: "bpftool" },
    Need { what: "xdp-loader", package: "xdp-tools" },
    Need { what: "xdp-filter", package: "xdp-tools" },
];

/// To run a Debian with systemd in a virtual machine, besides: what installs it into an image.
pub(crate) const SYSTEMD: &[Need] = &[
    Need { what: "mmdebstrap", package: "mmdebstrap" },
    Need { what: "tar2sqfs", package: "squashfs-tools-ng" },
    Need { what: "/usr/sbin/mke2fs", package: "e2fsprogs" },
];

/// To read fail2ban's own files as it does itself: what fetches and unpacks two releases of it, and what runs them.
pub(crate) const FAIL2BAN: &[Need] = &[
    Need { what: "dpkg-deb", package: "dpkg" },
    Need { what: "/usr/share/keyrings/debian-archive-keyring.gpg", package: "debian-archive-keyring" },
    Need { what: "python3", package: "python3" },
];

/// To fuzz: libFuzzer is C++.
pub(crate) const FUZZ: &[Need] = &[Need { what: "c++", package: "g++" }];

/// To measure beside: the filter of xdp-tools.
pub(crate) const PACKET_BENCH: &[Need] = &[Need { what: "xdp-filter", package: "xdp-tools" }];

/// To measure beside: what else drops packets, in network namespaces.
pub(crate) const FILTERS: &[Need] = &[
    Need { what: "ip", package: "iproute2" },
    Need { what: "nsenter", package: "util-linux" },
    Need { what: "ethtool", package: "ethtool" },
    Need { what: "nft", package: "nftables" },
    Need { what: "iptables", package: "iptables" },
    Need { what: "ipset", package: "ipset" },
];

/// To measure beside: fail2ban's tester of filters, and a search for text.
pub(crate) const INGEST_BENCH: &[Need] =
    &[Need { what: "fail2ban-regex", package: "fail2ban" }, Need { what: "rg", package: "ripgrep" }];

/// Installs what is missing of `needs`.
///
/// # Errors
///
/// If something is missing and there is no `apt-get`, or it fails: one sentence that names all that is missing.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    install(&packages)?;
    let missing = self::missing(needs);
    if let [first, ..] = missing.as_slice() {
        bail!("the package {} is installed, but `{}` is not there", first.package, first.what);
    }
    Ok(())
}

/// Installs Debian packages by name.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let mut packages = packages.to_vec();
    packages.sort_unstable();
    packages.dedup();
    if find_program("apt-get", &[]).is_none() {
        bail!("missing: {}. Install them with this machine's package manager, then try again", packages.join(", "));
    }
    eprintln!(
        "Installing what is missing: {}{}",
        packages.join(" "),
        if is_root() { "" } else { " (through sudo: it may ask for your password)" }
    );
    run(as_root("apt-get").args(["update", "-qq"]))?;
    let words = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    run_as(&words, as_root("sh").args(["-c", INSTALL, "sh"]).args(&packages))
}

/// Installs packages without starting the servers in them: the tests run their own, in namespaces. Debian asks
/// `policy-rc.d` before it starts one; the file is there for the time of the installation, unless there is one already.
const INSTALL: &str = "\
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \"$@\"";

fn missing(needs: &[Need]) -> Vec<&Need> {
    needs
        .iter()
        .filter(|need| {
            if need.what.starts_with('/') {
                !std::path::Path::new(need.what).exists()
            } else {
                find_program(need.what, &[]).is_none()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_every_package_that_run_and_test_install() {
        let readme = include_str!("../../README.md");
        let (_, named) = readme.split_once("they install with").expect("it says so");
        let named = named.split("\n\n").next().unwrap_or_default();

        for need in [BUILD, TESTS, LAB, END_TO_END, FAIL2BAN].into_iter().flatten() {
            assert!(named.contains(&format!("`{}`", need.package)), "{} in {named}", need.package);
        }
    }
}
