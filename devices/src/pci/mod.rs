//! The PCI bus: configuration space, and the functions of the i440FX chip set.

pub mod bus;
pub mod config_space;
pub mod i440fx;
pub mod piix3;
pub mod piix4_pm;

pub use bus::{Function, PciBus};
pub use config_space::{BarKind, ConfigSpace, Space};
