//! Time as a value, the boundary every outside input crosses, the journal that keeps it, and the timeline over it.
#![forbid(unsafe_code)]

pub mod seam;
pub mod time;

pub use seam::Admitted;
pub use time::{Position, VirtualTime};
