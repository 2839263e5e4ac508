//! What the daemon must know of this machine's network: which interfaces to protect, and whom never to ban.
//!
//! Everything is read anew when the kernel says that something changed ([`changes`]): on most machines reading is a
//! matter of microseconds, on all it is bounded, and there is no state to go stale.

pub mod allow_files;
pub mod changes;
pub mod connections;
mod device;
mod ethtool;
mod found;
mod genetlink;
mod interfaces;
pub mod logins;
mod netdev;
mod netlink;
mod nexthops;
mod routes;
mod wanted;

pub use device::{Device, XdpPlace, devices};
pub use ethtool::{QueueCount, Queues};
pub use found::{Found, found_allowed, found_logins};
pub use interfaces::{Interface, Suitability, list};
pub use netdev::XdpFeatures;
pub use routes::{DefaultRoutes, Hop, default_routes};
pub use wanted::{Wanted, WhyNot, carriers, check_pattern, named, wanted};
