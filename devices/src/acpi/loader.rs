//! The tables as files for a firmware, which decides where they go (QEMU's "table loader", which SeaBIOS and OVMF carry out): a script of
//! commands of 128 bytes each says what to allocate, which fields are offsets that become addresses, and which checksums to make.

use super::{Layout, OEM_ID, TABLES_ALIGNMENT, bytes};
use crate::pc::PcConfig;
use acpi_tables::rsdp::Rsdp;

const TABLES: &str = "etc/acpi/tables";
const RSDP: &str = "etc/acpi/rsdp";
const SCRIPT: &str = "etc/table-loader";

const COMMAND: usize = 128;
/// Bytes of a file's name in a command.
const NAME: usize = 56;
const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
/// Anywhere, and in 0xF0000 to 0xFFFFF, where an operating system looks for the RSDP.
const HIGH_ZONE: u8 = 1;
const F_SEGMENT: u8 = 2;

/// Offsets of fields (ACPI 6.5, 5.2.5 to 5.2.9): a table's checksum, the FADT's pointers to FACS and DSDT, the XSDT's entries; the RSDP's
/// checksums and its pointer to the XSDT.
const CHECKSUM: u64 = 9;
const FADT_POINTERS: [u64; 2] = [36, 40];
const XSDT_ENTRIES: u64 = 36;
const RSDP_CHECKSUM: usize = 8;
const RSDP_XSDT: u64 = 24;
const RSDP_EXTENDED_CHECKSUM: usize = 32;
/// Bytes of the RSDP that its first checksum covers.
const RSDP_FIRST_PART: usize = 20;

/// The files that describe the board built from `config`, with their names.
pub(crate) fn files(config: &PcConfig) -> [(&'static str, Vec<u8>); 3] {
    let layout = Layout::new(config, 0);
    let mut tables = Vec::new();
    for (offset, table) in &layout.blobs {
        tables.resize(*offset as usize, 0);
        tables.extend(table);
    }
    let mut rsdp = bytes(&Rsdp::new(OEM_ID, layout.xsdt));
    let mut script = Script::default();
    script.allocate(RSDP, 16, F_SEGMENT);
    script.allocate(TABLES, TABLES_ALIGNMENT as u32, HIGH_ZONE);
    for field in FADT_POINTERS {
        script.add_pointer(TABLES, layout.fadt + field, 4);
    }
    for field in (layout.xsdt + XSDT_ENTRIES..tables.len() as u64).step_by(8) {
        script.add_pointer(TABLES, field, 8);
    }
    script.add_pointer(RSDP, RSDP_XSDT, 8);
    for (offset, table) in &layout.blobs {
        if [layout.fadt, layout.xsdt].contains(offset) {
            script.add_checksum(TABLES, &mut tables, *offset as usize, table.len(), CHECKSUM as usize);
        }
    }
    script.add_checksum(RSDP, &mut rsdp, 0, RSDP_FIRST_PART, RSDP_CHECKSUM);
    let all = rsdp.len();
    script.add_checksum(RSDP, &mut rsdp, 0, all, RSDP_EXTENDED_CHECKSUM);
    [(TABLES, tables), (RSDP, rsdp), (SCRIPT, script.0)]
}

/// The commands so far.
#[derive(Default)]
struct Script(Vec<u8>);

impl Script {
    fn command(&mut self, number: u32, operands: &[&[u8]]) {
        let end = self.0.len() + COMMAND;
        self.0.extend(number.to_le_bytes());
        self.0.extend(operands.concat());
        self.0.resize(end, 0);
    }

    fn allocate(&mut self, file: &str, alignment: u32, zone: u8) {
        self.command(ALLOCATE, &[&name(file), &alignment.to_le_bytes(), &[zone]]);
    }

    /// The field of `size` bytes at `offset` of `file` is an offset in the tables.
    fn add_pointer(&mut self, file: &str, offset: u64, size: u8) {
        self.command(ADD_POINTER, &[&name(file), &name(TABLES), &(offset as u32).to_le_bytes(), &[size]]);
    }

    /// The byte at `field` of the `length` bytes from `start` on makes their sum zero. It has to be zero before.
    fn add_checksum(&mut self, file: &str, content: &mut [u8], start: usize, length: usize, field: usize) {
        content[start + field] = 0;
        let numbers = [start + field, start, length].map(|number| (number as u32).to_le_bytes());
        self.command(ADD_CHECKSUM, &[&name(file), &numbers.concat()]);
    }
}

fn name(file: &str) -> [u8; NAME] {
    let mut name = [0; NAME];
    name[..file.len()].copy_from_slice(file.as_bytes());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// What a firmware does with the files: the tables at `base`, and the RSDP.
    fn carry_out(base: u64) -> (Vec<u8>, Vec<u8>) {
        let [(_, mut tables), (_, mut rsdp), (_, script)] = files(&PcConfig::new(64 << 20, true));
        for command in script.chunks(COMMAND) {
            assert_eq!(command.len(), COMMAND);
            let is_rsdp = command[4..].starts_with(RSDP.as_bytes());
            let file = if is_rsdp { &mut rsdp } else { &mut tables };
            match u32_at(command, 0) {
                ALLOCATE => assert_eq!(command[64], if is_rsdp { F_SEGMENT } else { HIGH_ZONE }),
                ADD_POINTER => {
                    let (at, size) = (u32_at(command, 116) as usize, usize::from(command[120]));
                    let mut value = [0; 8];
                    value[..size].copy_from_slice(&file[at..at + size]);
                    let value = u64::from_le_bytes(value) + base;
                    file[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
                }
                ADD_CHECKSUM => {
                    let [at, start, length] = [60, 64, 68].map(|at| u32_at(command, at) as usize);
                    assert_eq!(file[at], 0);
                    let sum =
                        file[start..start + length].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
                    file[at] = sum.wrapping_neg();
                }
                other => panic!("command {other}"),
            }
        }
        (tables, rsdp)
    }

    /// Where the firmware puts them, they are what a kernel without firmware finds.
    #[test]
    fn a_firmware_makes_the_tables_that_belong_there() {
        let base = 0x1ff_e000;
        let (tables, rsdp) = carry_out(base);
        let layout = Layout::new(&PcConfig::new(64 << 20, true), base);
        for (address, table) in &layout.blobs {
            assert_eq!(tables[(address - base) as usize..][..table.len()], *table);
        }
        assert_eq!(rsdp, bytes(&Rsdp::new(OEM_ID, layout.xsdt)));
    }

    #[test]
    fn with_firmware_the_fadt_says_how_to_switch_acpi_on() {
        let port = |firmware| {
            let layout = Layout::new(&PcConfig::new(64 << 20, firmware), 0);
            let fadt = &layout.blobs.iter().find(|(address, _)| *address == layout.fadt).unwrap().1;
            (u32_at(fadt, 48), fadt[52], fadt[53])
        };
        assert_eq!((port(false), port(true)), ((0, 0, 0), (0xb2, 0xf1, 0xf0)));
    }
}
