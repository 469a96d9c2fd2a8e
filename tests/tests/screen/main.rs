//! What a guest shows and what is typed and pointed at before it: pictures while recording, pictures of the replay, and golden
//! ones; a VNC client that is not ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod pictures;
#[allow(dead_code, reason = "more of it is used elsewhere")]
#[path = "../monitor/shell.rs"]
mod shell;
mod vnc;
