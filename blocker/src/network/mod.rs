//! What the daemon must know of this machine's network: which interfaces to protect, and whom never to ban.
//!
//! Everything is read anew when the kernel says that something changed ([`changes`]): reading is a matter of
//! microseconds, and there is no state to go stale.

pub mod changes;
mod found;
mod interfaces;
mod routes;

pub use found::found_allowed;
pub use interfaces::{Interface, Suitability, list, wanted};
