//! Devices that not every machine's kernel has, and other programs on them: VLANs, bonds, bridges, VRFs, virtio network
//! cards, libxdp's dispatcher and a place in it. The real daemon, the real kernel, packets that a socket behind it counts.
//!
//! `cargo xtask test-kernels` runs them in virtual machines, on each kernel that is supported. They run anywhere else, too,
//! if the kernel has the devices (and, for `virtio.rs`, two such cards on one wire): all need root.

mod bonds;
mod bridges;
#[path = "../e2e/dispatcher.rs"]
mod component;
mod dispatcher;
mod guard;
mod modes;
#[path = "../e2e/siege.rs"]
mod siege;
mod stacked;
mod virtio;
mod vlans;
mod wire;
