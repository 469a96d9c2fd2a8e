//! Every chip, bus and board as a pure state machine.
//!
//! Guest accesses, admitted inputs and the passing of virtual time go in; responses, interrupt lines and [`Output`]s come
//! out. Nothing here can name the host: no clock, file, socket, thread or randomness, and no map whose order is not its
//! keys' order. All state is plain data that is saved whole.
#![forbid(unsafe_code)]

pub mod acpi;
pub mod ahci;
pub mod ata;
pub mod bus;
pub mod bytes;
pub mod chips;
pub mod dma;
pub mod e1000;
mod ethernet;
pub mod fw_cfg;
pub mod ide;
pub mod input;
pub mod key;
pub mod ne2000;
pub mod output;
pub mod pc;
pub mod pci;
pub mod vga;
pub mod virtio;

pub use bus::Width;
pub use input::{Button, Input, Pointer};
pub use key::Key;
pub use output::Output;
pub use pc::{Pc, PcConfig, PcState};
