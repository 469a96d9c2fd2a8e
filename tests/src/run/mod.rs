//! Runs machines as child processes, rrvmm and QEMU alike, with a time limit, and keeps what they print.

mod console;
mod debugger;
mod guest;
mod interactive;
mod luck;
mod network;
mod process;

pub use console::{Console, Running, SESSION_LIMIT, connect};
pub use debugger::Debugger;
pub use guest::{Guest, QEMU_CPU, qemu, rrvmm, rrvmm_program};
pub use interactive::{Script, typed_into_pipe, typed_into_terminal};
pub use luck::Luck;
pub use network::AnsweringNetwork;
pub use process::{Outcome, Process, has_program, md5, with_memory_limit};

use std::fmt::Display;

/// Says on standard error, where the test harness cannot hide it, that `what` did not run and why.
pub fn skipped(what: &str, why: impl Display) {
    use std::io::Write as _;
    // Not eprintln!: that one is captured by the harness, and a skip must not look like a pass.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
