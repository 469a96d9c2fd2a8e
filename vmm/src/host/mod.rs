//! The only place that touches the host while a machine runs: consoles, clocks and signals.
//!
//! A live session (run, record) has a [`Live`], which gives it input. A replaying session has [`Outputs`] alone, from
//! which no input can be had.
//!
//! No byte a guest writes to a terminal, pipe or file is lost: the machine waits for a reader that does not keep up, until a
//! signal or the deadline ends the wait. A pty or socket may have no reader at all, so there the machine never waits;
//! what exceeds a backlog is dropped, oldest first, counted and reported. (A replay prints it again.)

mod appended;
mod clock;
mod error;
mod escape;
pub mod image;
mod inputs;
mod live;
mod net;
mod output;
mod pty;
mod random;
mod signal;
mod sink;
mod spec;
mod stdio;
mod terminal;
mod unix;
pub mod vnc;

pub use appended::Appended;
pub use clock::{
    Deadline, Pace, PaceChoice, Stopwatch, nanoseconds, thread_time, wall_clock, wall_clock_precise,
};
pub use error::HostError;
pub use inputs::{InputReceiver, InputSender, SessionOver, inputs};
pub use live::{HostEvent, Live};
pub use net::{Card, NetSpec, ParseNetError};
pub use output::Outputs;
pub use random::random_seed;
pub use signal::{Signals, StopSignal, leave_interrupts_to_others};
pub use spec::{ConsoleSpec, ParseConsoleError};
pub use terminal::restore_terminal;
pub use unix::listen_unix;
