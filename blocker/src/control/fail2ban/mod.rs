//! fail2ban's own client, and the scripts that parse what it prints, answered as its server would.
//!
//! A command is a pickled list of texts and a marker; the answer is a pickled pair, `(0, value)` or `(1, exception)`, and the
//! marker. What is in a value, the client makes text of. [`server`] listens and takes the bytes in, [`admit`] lets pass what is
//! only texts, numbers and lists, [`pickle`] reads and writes those, [`verbs`] says which request of ours a command is,
//! [`lookup`] finds whom it names among the bans, and [`values`] says what fail2ban would answer.
//!
//! Who may ask for what is decided as on the control socket: a command is one or two of its requests.

mod admit;
mod ignore;
mod lookup;
mod pickle;
mod server;
mod values;
mod verbs;

pub use server::Server;
