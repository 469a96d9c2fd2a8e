//! A real gdb over recordings: every way to move, both ways to stop, and everything that may come over its socket.
//!
//! The normal run takes payloads and a few positions of a kernel's boot. All of it:
//! `cargo test --release -p rrvmm-tests --test gdb -- --ignored --test-threads 1`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod lines;
mod lists;
mod recordings;
mod registers;
mod session;
mod walk;
