//! `blocker doctor`: can this machine do it, and if not, what would help?
//!
//! First everything is looked at ([`gather`]) and nothing changed: no program is loaded, nothing mounted, no module asked
//! for. The [`Facts`] then are judged without another look ([`judge`]), so that machines that nobody has at hand can be judged
//! in tests. What this process may not look at is a fact, too, with the reason.
//!
//! ```text
//! gather/machine, memory, interfaces, logs, listening ──▶ Facts ──▶ judge/machine, configuration, interfaces ──▶ Report
//!                                                                     native: would the driver take the program?
//!                                                                     drivers: what is known of each
//! ```

mod drivers;
mod facts;
mod finding;
mod gather;
mod judge;
mod native;
#[cfg(test)]
mod testing;

pub use facts::{Configuration, Facts};
pub use finding::{Finding, InterfaceReport, Level, NativeReport, ObstacleReport, Report};
pub use gather::gather;
pub use judge::judge;
