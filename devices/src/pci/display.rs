//! The display adapter as a PCI function (QEMU docs/specs/standard-vga.rst): the linear frame buffer behind base address register 0,
//! the registers behind 2, and the video BIOS behind the expansion ROM register.

use crate::pc::{DisplayConfig, FRAME_BUFFER_BASE};
use crate::pci::config_space::{BarKind, COMMAND, COMMAND_MEMORY, ConfigSpace, Identity, Space};
use crate::vga::LFB_BYTES;
use serde::{Deserialize, Serialize};

const FRAME_BUFFER_BAR: u8 = 0;
const REGISTERS_BAR: u8 = 2;
/// Bytes of the registers' window.
const REGISTERS_BYTES: u64 = 0x1000;
const COMMAND_PORTS: u8 = 1;
/// Subsystem vendor and device.
const SUBSYSTEM: u8 = 0x2c;
/// The expansion ROM base address register, and its bit that lets the ROM answer.
const ROM: u8 = 0x30;
const ROM_ENABLED: u64 = 1;
/// Where the windows are put on a machine without firmware to do it.
const FRAME_BUFFER: u64 = FRAME_BUFFER_BASE as u64;
const REGISTERS: u64 = 0xfebf_0000;

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayFunction {
    pub(crate) config: ConfigSpace,
}

impl DisplayFunction {
    /// The function after reset.
    #[must_use]
    pub fn new(display: &DisplayConfig) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x1234,
            device: 0x1111,
            revision: 2,
            class: 0x03_0000,
            multifunction: false,
            interrupt_pin: 0,
        });
        config.set_u16(SUBSYSTEM, 0x1af4);
        config.set_u16(SUBSYSTEM + 2, 0x1100);
        config.add_bar(FRAME_BUFFER_BAR, BarKind::Memory32, u64::from(LFB_BYTES));
        config.add_bar(REGISTERS_BAR, BarKind::Memory32, REGISTERS_BYTES);
        if let Some(size) = display.rom_window() {
            let [_, second, third, fourth] = (!(size - 1)).to_le_bytes();
            config.allow(ROM, &[ROM_ENABLED as u8, second & 0xf8, third, fourth]);
        }
        Self { config }
    }

    /// Puts the windows where they are out of other devices' way, and lets the function answer there and at the VGA's ports.
    pub(crate) fn assign(&mut self) {
        self.config.place_bar(FRAME_BUFFER_BAR, FRAME_BUFFER);
        self.config.place_bar(REGISTERS_BAR, REGISTERS);
        self.config.set_byte(COMMAND, self.config.byte(COMMAND) | COMMAND_PORTS);
    }

    /// Where the linear frame buffer is, while it answers.
    #[must_use]
    pub(crate) fn frame_buffer(&self) -> Option<u64> {
        self.config.base(FRAME_BUFFER_BAR)
    }

    /// Where the ROM is, while it answers.
    #[must_use]
    pub(crate) fn rom(&self) -> Option<u64> {
        let register = u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|n| self.config.byte(ROM + n))));
        let answers = register & ROM_ENABLED != 0 && self.config.byte(COMMAND) & COMMAND_MEMORY != 0;
        answers.then_some(register & !0x7ff).filter(|base| *base != 0)
    }

    /// The offset of `address` in the registers' window, if it is there.
    #[must_use]
    pub(crate) fn register(&self, address: u64) -> Option<u64> {
        let (bar, offset) = self.config.decode(Space::Memory, address)?;
        (bar == REGISTERS_BAR).then_some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_follow_their_registers() {
        let mut function = DisplayFunction::new(&DisplayConfig { rom_bytes: 39_000, ..DisplayConfig::pci() });
        assert_eq!((function.frame_buffer(), function.rom()), (None, None));
        function.assign();
        assert_eq!(function.frame_buffer(), Some(FRAME_BUFFER));
        assert_eq!(function.register(REGISTERS + 0x500), Some(0x500));
        for (n, byte) in (ROM..).zip([0xff; 4]) {
            function.config.write(n, byte);
        }
        assert_eq!(function.rom(), Some(0xffff_0000));
        function.config.write(COMMAND, 0);
        assert_eq!(
            (function.frame_buffer(), function.rom(), function.register(REGISTERS)),
            (None, None, None)
        );
    }

    #[test]
    fn without_a_rom_there_is_no_window_for_one() {
        let mut function = DisplayFunction::new(&DisplayConfig::pci());
        function.assign();
        for (n, byte) in (ROM..).zip([0xff; 4]) {
            function.config.write(n, byte);
        }
        assert_eq!(function.rom(), None);
        assert_eq!(function.config.byte(ROM + 3), 0);
    }
}
