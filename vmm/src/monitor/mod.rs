//! The monitor: a Unix socket over which people and programs look at a session and steer it, in the words of QMP.
//!
//! A session is a [`Subject`]: a recording that is explored ([`Exploring`]) or one that is live ([`Attending`]), recorded or not. The socket, the
//! protocol and the commands know nothing more of it. Several clients are served at once, each by threads of its own;
//! whatever one sends or fails to read ends at most its own connection.

mod attending;
mod client;
mod commands;
mod events;
mod exploring;
mod human;
mod keys;
mod messages;
mod outbox;
mod qmp;
mod server;
mod shell;
mod subject;
#[cfg(test)]
mod tests;

pub use attending::{Attendance, Attending};
pub use events::Events;
pub use exploring::Exploring;
pub use server::Bound;
pub use shell::{AskError, ask};
pub use subject::{EventFilter, Mode, Place, Refused, Status, Subject};
