//! The parser and the verdict of the XDP program, which also build on the host.
//!
//! [`packet`] reads headers, [`verdict`] decides; neither knows a map or a helper of the kernel. The program proper
//! (`main.rs`, `maps.rs`) hands them a packet and its maps; tests and fuzzers hand them slices and tables of their own.

#![no_std]
// The target has atomic additions, the compiler only by assembly.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod counts;
pub mod known;
pub mod packet;
pub mod verdict;
