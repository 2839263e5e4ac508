//! What fuzzing checks: each module is a target, with a function `check` that takes any bytes and panics if a promise is
//! broken, and the seeds from which the fuzzer sets out.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; `cargo xtask test` runs them over their seeds, which needs no fuzzer.
//! An input that breaks a promise becomes a named test of the package that broke it.
//!
//! The model of the verdict, its tables and its frames are those of `blocker-ebpf/tests/model`.

pub mod config;
pub mod expressions;
pub mod fail2ban;
pub mod frames;
pub mod lines;
pub mod names;
pub mod splitter;
pub mod words;

#[path = "../../blocker-ebpf/tests/model/frames.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod generated;
#[path = "../../blocker-ebpf/tests/model/rules.rs"]
mod rules;
#[path = "../../blocker-ebpf/tests/model/world.rs"]
#[expect(dead_code, reason = "the model's tests use more of it")]
mod world;

/// A target: its name, what it checks of any bytes, and where it sets out from.
pub struct Target {
    /// The name of the module.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub check: fn(&[u8]),
    /// Inputs that reach far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 8] = [
    Target { name: "config", check: config::check, seeds: config::seeds },
    Target { name: "expressions", check: expressions::check, seeds: expressions::seeds },
    Target { name: "fail2ban", check: fail2ban::check, seeds: fail2ban::seeds },
    Target { name: "frames", check: frames::check, seeds: frames::seeds },
    Target { name: "lines", check: lines::check, seeds: lines::seeds },
    Target { name: "names", check: names::check, seeds: names::seeds },
    Target { name: "splitter", check: splitter::check, seeds: splitter::seeds },
    Target { name: "words", check: words::check, seeds: words::seeds },
];
