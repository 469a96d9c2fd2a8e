//! ACPI tables of the `pc` board (ACPI 6.5): for kernels that are started without firmware, and as files for a firmware.

mod dsdt;
mod fixed;
mod loader;

pub(crate) use loader::files;

use crate::pc::PcConfig;
use acpi_tables::Aml;
use acpi_tables::facs::FACS;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::xsdt::XSDT;

/// Where the RSDP is.
pub const RSDP_ADDRESS: u64 = 0xe_0000;
/// Where the other tables begin.
const TABLES_ADDRESS: u64 = RSDP_ADDRESS + TABLES_ALIGNMENT;
/// The first of them is the FACS, which has to be aligned to 64 bytes.
const TABLES_ALIGNMENT: u64 = 0x40;
/// Bytes that the FACS is given.
const FACS_ROOM: u64 = 0xc0;

const OEM_ID: [u8; 6] = *b"RRVMM ";
const OEM_TABLE_ID: [u8; 8] = *b"RRVMMPC ";
const OEM_REVISION: u32 = 1;

/// The tables, ready to be copied into guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcpiTables {
    /// Guest physical address of the RSDP.
    pub rsdp: u64,
    /// Bytes, and the guest physical address they belong at.
    pub blobs: Vec<(u64, Vec<u8>)>,
}

/// The tables that describe the board built from `config`. They fit below 0xF0000.
#[must_use]
pub fn tables(config: &PcConfig) -> AcpiTables {
    let Layout { xsdt, mut blobs, .. } = Layout::new(config, TABLES_ADDRESS);
    blobs.insert(0, (RSDP_ADDRESS, bytes(&Rsdp::new(OEM_ID, xsdt))));
    AcpiTables { rsdp: RSDP_ADDRESS, blobs }
}

/// All tables but the RSDP, one behind the other.
struct Layout {
    /// Address of the FADT.
    fadt: u64,
    /// Address of the XSDT, the last.
    xsdt: u64,
    /// As in [`AcpiTables`], in the order of their addresses.
    blobs: Vec<(u64, Vec<u8>)>,
}

impl Layout {
    /// The tables from address `base` on, a multiple of [`TABLES_ALIGNMENT`].
    fn new(config: &PcConfig, base: u64) -> Self {
        let mut blobs = vec![(base, bytes(&FACS::new()))];
        let mut next = base + FACS_ROOM;
        let mut place = |table: Vec<u8>| {
            let address = next;
            next = (next + table.len() as u64).next_multiple_of(16);
            blobs.push((address, table));
            address
        };
        let dsdt = place(dsdt::dsdt(config));
        let fadt = place(fixed::fadt(config, dsdt, base));
        let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
        for table in [fadt, place(fixed::madt(config)), place(fixed::hpet())] {
            xsdt.add_entry(table);
        }
        let xsdt = place(bytes(&xsdt));
        Self { fadt, xsdt, blobs }
    }
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> AcpiTables {
        tables(&PcConfig::new(512 << 20, false))
    }

    fn table<'a>(tables: &'a AcpiTables, signature: &[u8; 4]) -> &'a [u8] {
        &tables.blobs.iter().find(|(_, bytes)| bytes.starts_with(signature)).unwrap().1
    }

    #[test]
    fn tables_have_valid_checksums_and_do_not_overlap() {
        let tables = built();
        for pair in tables.blobs.windows(2) {
            assert!(pair[0].0 + pair[0].1.len() as u64 <= pair[1].0);
        }
        let (last, bytes) = tables.blobs.last().unwrap();
        assert!(last + bytes.len() as u64 <= 0xf_0000);
        for (address, bytes) in tables.blobs.iter().filter(|(_, bytes)| !bytes.starts_with(b"FACS")) {
            let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            assert_eq!(sum, 0, "checksum at {address:#x}");
        }
    }

    #[test]
    fn every_table_can_be_found_from_the_rsdp() {
        let tables = built();
        let at = |address: u64| &tables.blobs.iter().find(|(start, _)| *start == address).unwrap().1;
        let u64_at =
            |bytes: &[u8], offset: usize| u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap());
        let u32_at =
            |bytes: &[u8], offset: usize| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap());
        let xsdt = at(u64_at(at(tables.rsdp), 24));
        assert_eq!(u32_at(xsdt, 4) as usize, xsdt.len());
        let named: Vec<&[u8]> = xsdt[36..].chunks(8).map(|entry| &at(u64_at(entry, 0))[..4]).collect();
        assert_eq!(named, [b"FACP", b"APIC", b"HPET"]);
        let fadt = table(&tables, b"FACP");
        assert_eq!(&at(u64::from(u32_at(fadt, 36)))[..4], b"FACS");
        assert_eq!(&at(u64::from(u32_at(fadt, 40)))[..4], b"DSDT");
    }

    #[test]
    fn madt_remaps_the_timer_and_makes_the_sci_level_triggered() {
        let tables = built();
        let madt = table(&tables, b"APIC");
        let has = |entry: &[u8]| madt[44..].windows(entry.len()).any(|window| window == entry);
        assert_eq!(madt[40] & 1, 1, "there are 8259s");
        assert!(has(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]));
        assert!(has(&[2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0]));
    }
}
