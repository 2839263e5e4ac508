//! Says which XDP object is embedded: the committed one, or the one named by `BLOCKER_EBPF`. Nothing is detected.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=BLOCKER_EBPF");
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets CARGO_MANIFEST_DIR"));
    let object = std::env::var_os("BLOCKER_EBPF").map_or_else(|| manifest.join("bpf/blocker.bpf.o"), PathBuf::from);
    assert!(object.is_file(), "there is no XDP object {}: BLOCKER_EBPF must name a file", object.display());
    println!("cargo:rerun-if-changed={}", object.display());
    println!("cargo:rustc-env=BLOCKER_EBPF_OBJECT={}", object.display());
}
