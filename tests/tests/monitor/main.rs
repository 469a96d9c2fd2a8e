//! The monitor as other programs use it, and a recording that goes on live.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;
mod qmp;
mod shell;
