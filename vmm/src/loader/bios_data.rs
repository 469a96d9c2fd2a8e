//! The BIOS data area, for guests that look there although no BIOS ran: Linux sizes conventional memory by it.

use super::{LoadError, place::Placement};

/// Start of the extended BIOS data area, the last KiB of conventional memory.
pub(super) const EBDA: u64 = 0x9_FC00;
/// Interrupt vectors and BIOS data, which no part of a boot source may occupy.
const BIOS_DATA_END: u64 = 0x500;
/// I/O ports of the serial ports COM1 and COM2.
const SERIAL_PORTS: [u16; 2] = [0x3F8, 0x2F8];
/// Equipment word: FPU present, two serial ports.
const EQUIPMENT: u16 = 2 << 9 | 1 << 1;

/// Writes the fields that are still read today: serial ports, EBDA segment, equipment, KiB of conventional memory.
pub(super) fn write(place: &mut Placement<'_>) -> Result<(), LoadError> {
    place.claim("the BIOS data area", 0, BIOS_DATA_END)?;
    for (address, word) in [
        (0x400, SERIAL_PORTS[0]),
        (0x402, SERIAL_PORTS[1]),
        (0x40E, (EBDA >> 4) as u16),
        (0x410, EQUIPMENT),
        (0x413, (EBDA >> 10) as u16),
    ] {
        place.fill(address, &word.to_le_bytes())?;
    }
    place.claim("the extended BIOS data area", EBDA, 0x400)?;
    place.fill(EBDA, &[1])
}
