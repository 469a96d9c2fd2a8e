//! Machine assembly, accelerators, host backends, sessions and the command line.

pub mod accel;
pub mod asciicast;
pub mod checkpoints;
pub mod demo;
pub mod disk;
pub mod diverge;
pub mod doctor;
pub mod explore;
pub mod gdb;
pub mod host;
pub mod landmark;
pub mod loader;
pub mod machine;
pub mod memory;
pub mod monitor;
pub mod pages;
pub mod pcap;
pub mod picture;
pub mod pmu;
pub mod session;

/// Writes a line to standard error as `eprintln!` does, but does not panic when nobody reads it any more, so that a
/// recording is closed properly all the same.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::writeln!(::std::io::stderr(), $($text)*);
    }};
}
