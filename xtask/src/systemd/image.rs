//! The machine's Debian: its packages, installed as on any machine, into an image that is only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::kernels::archive::Mirror;

/// What is in it besides the essential packages: systemd with logind and a place for users to log in, a syslog daemon that
/// writes files, and a program like sendmail.
const PACKAGES: &str =
    "systemd,systemd-sysv,dbus,udev,libpam-systemd,openssh-server,openssh-client,rsyslog,msmtp-mta,iproute2,procps";

/// Nobody reads in the machine.
const LEFT_OUT: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// The image of a release of Debian, made if it is not there, or if there may be newer packages and `update` asks for them.
///
/// # Errors
///
/// If the packages cannot be fetched or installed.
pub(super) fn made(place: &Path, suite: &str, mirror: &Mirror, update: bool) -> Result<PathBuf> {
    let (image, contents) = (place.join("debian.sqfs"), place.join("debian.packages"));
    let is_current = image.exists() && fs::read_to_string(&contents).is_ok_and(|made_of| made_of == PACKAGES);
    if is_current && !update {
        return Ok(image);
    }
    make(&image, suite, mirror)?;
    fs::write(&contents, PACKAGES).with_context(|| format!("writing {}", contents.display()))?;
    Ok(image)
}

fn make(image: &Path, suite: &str, mirror: &Mirror) -> Result<()> {
    eprintln!("$ mmdebstrap {suite} | tar2sqfs {}", image.display());
    let mut install = Command::new("mmdebstrap");
    install.args(["--quiet", "--variant=minbase", "--include", PACKAGES]);
    for path in LEFT_OUT {
        install.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    install.args([suite, "-"]).args(mirror.lines(suite)).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut installing = install.spawn().context("starting mmdebstrap")?;
    let tree = installing.stdout.take().context("its output is piped")?;
    let next = image.with_extension("next");
    // Quick to read in an emulated machine. It warns of the access lists of the journal's folder, which it leaves out.
    let mut pack = Command::new("tar2sqfs");
    pack.args(["--quiet", "--force", "--compressor", "lz4"]).arg(&next).stdin(tree);
    let packed = pack.status().context("starting tar2sqfs")?;
    let installed = installing.wait().context("waiting for mmdebstrap")?;
    ensure!(installed.success(), "mmdebstrap ended with {installed}");
    ensure!(packed.success(), "tar2sqfs ended with {packed}");
    fs::rename(&next, image).with_context(|| format!("renaming {}", next.display()))
}
