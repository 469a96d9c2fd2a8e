//! A server for gdb over an [`Explorer`](crate::explore::Explorer), by its remote protocol.
//!
//! The packets are [`gdbstub`]'s. One gdb is served at a time; whatever it does or fails to do, the server goes on waiting for
//! the next one. Reverse commands, breakpoints and watchpoints work on the recording, and nothing gdb does changes it:
//! a write to registers or memory begins a diversion.
//!
//! **Which registers.** gdb reads the description of the target once, when it connects, and the size of every register
//! packet must be as described from then on. So each [`Layout`] is fixed when gdb reads the description, and the
//! same registers are shown through it in whatever mode the guest is: a 64-bit layout shows a guest in 32-bit mode with
//! its registers extended by zeros. The layout is 64-bit where the guest is in 64-bit mode or its kernel is a 64-bit
//! file, else 32-bit, unless `monitor architecture` says otherwise; `unset tdesc filename` makes gdb read it again.

mod address;
mod arch;
mod layout;
mod monitor;
mod registers;
mod server;
mod session;
mod stops;
mod stream;
mod target;
mod xml;

pub use address::{GdbAddress, ParseGdbAddressError};
pub use layout::Layout;
pub use server::{Bound, GdbError};
