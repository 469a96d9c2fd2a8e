//! The PCI bus: configuration space, and the functions of the i440FX chip set.

pub mod bus;
pub mod config_space;
pub mod display;
pub mod function;
pub mod i440fx;
pub mod msix;
pub mod piix3;
pub mod piix4_pm;

pub use bus::PciBus;
pub use config_space::{BarKind, ConfigSpace, Space};
pub use display::DisplayFunction;
pub use function::{Function, PciFunction};
