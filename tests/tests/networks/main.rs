//! Networks of a real host behind a card: passt that dies in the middle, tap interfaces, and what is said when there is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machine;
mod passt;
mod tap;
