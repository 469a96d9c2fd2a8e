//! VGA as far as text mode programs look: the memory window, registers that store and return, and a retrace bit that
//! follows virtual time. Nothing is drawn here.

use crate::bytes::Bytes;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// Size of the window at 0xA0000.
pub const WINDOW: usize = 0x2_0000;
/// 60 frames a second.
const FRAME_NS: u64 = 16_683_000;
/// 449 lines a frame.
const LINE_NS: u64 = FRAME_NS / 449;
/// Lines that are shown.
const SHOWN_LINES: u64 = 400;

/// The adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vga {
    memory: Bytes<WINDOW>,
    misc: u8,
    feature: u8,
    sequencer: (u8, Bytes<8>),
    graphics: (u8, Bytes<16>),
    crtc: (u8, Bytes<32>),
    attribute: (u8, Bytes<32>),
    /// The attribute port takes data next, not an index.
    attribute_data: bool,
    dac_mask: u8,
    dac_state: u8,
    dac_read: u16,
    dac_write: u16,
    palette: Bytes<768>,
}

impl Vga {
    /// The adapter in 80 by 25 text mode, colour, as a video BIOS leaves it.
    #[must_use]
    pub fn text_mode() -> Self {
        let mut vga = Self { misc: 0x67, dac_mask: 0xff, ..Self::default() };
        vga.sequencer.1[..5].copy_from_slice(&[0x03, 0x00, 0x03, 0x00, 0x02]);
        vga.graphics.1[..9].copy_from_slice(&[0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff]);
        vga.crtc.1[..25].copy_from_slice(&[
            0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00,
            0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
        ]);
        let palette = [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f];
        vga.attribute.1[..16].copy_from_slice(&palette);
        vga.attribute.1[16..21].copy_from_slice(&[0x0c, 0x00, 0x0f, 0x08, 0x00]);
        vga
    }

    /// The window's memory.
    #[must_use]
    pub fn memory(&self) -> &[u8; WINDOW] {
        &self.memory
    }

    /// The guest reads a byte of the window.
    #[must_use]
    pub fn read_memory(&self, offset: u64) -> u8 {
        self.memory[offset as usize % WINDOW]
    }

    /// The guest writes a byte of the window.
    pub fn write_memory(&mut self, offset: u64, value: u8) {
        self.memory[offset as usize % WINDOW] = value;
    }

    /// Whether the CRTC answers at 0x3Dx (colour), not at 0x3Bx.
    fn colour(&self) -> bool {
        self.misc & 1 != 0
    }

    /// Whether one of the ports 0x3B0 to 0x3DF is the adapter's.
    #[must_use]
    pub fn claims(&self, port: u16) -> bool {
        match port {
            0x3b4 | 0x3b5 | 0x3ba => !self.colour(),
            0x3d4 | 0x3d5 | 0x3da => self.colour(),
            0x3c0..=0x3ca | 0x3cc | 0x3ce | 0x3cf => true,
            _ => false,
        }
    }

    /// The guest reads a port that [`Self::claims`] says is the adapter's.
    pub fn read(&mut self, now: VirtualTime, port: u16) -> u8 {
        match port {
            0x3c0 => self.attribute.0,
            0x3c1 => self.attribute.1[usize::from(self.attribute.0 & 0x1f)],
            // Input status 0.
            0x3c2 => 0x10,
            0x3c4 => self.sequencer.0,
            0x3c5 => self.sequencer.1[usize::from(self.sequencer.0 & 7)],
            0x3c6 => self.dac_mask,
            0x3c7 => self.dac_state,
            0x3c8 => (self.dac_write / 3) as u8,
            0x3c9 => {
                let value = self.palette[usize::from(self.dac_read) % 768];
                self.dac_read = (self.dac_read + 1) % 768;
                value
            }
            0x3ca => self.feature,
            0x3cc => self.misc,
            0x3ce => self.graphics.0,
            0x3cf => self.graphics.1[usize::from(self.graphics.0 & 15)],
            0x3b4 | 0x3d4 => self.crtc.0,
            0x3b5 | 0x3d5 => self.crtc.1[usize::from(self.crtc.0 & 31)],
            0x3ba | 0x3da => {
                self.attribute_data = false;
                input_status_1(now)
            }
            _ => 0xff,
        }
    }

    /// The guest writes a port that [`Self::claims`] says is the adapter's.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x3c0 if self.attribute_data => {
                self.attribute.1[usize::from(self.attribute.0 & 0x1f)] = value;
                self.attribute_data = false;
            }
            0x3c0 => {
                self.attribute.0 = value & 0x3f;
                self.attribute_data = true;
            }
            0x3c2 => self.misc = value,
            0x3c4 => self.sequencer.0 = value & 7,
            0x3c5 => self.sequencer.1[usize::from(self.sequencer.0 & 7)] = value,
            0x3c6 => self.dac_mask = value,
            0x3c7 => {
                self.dac_read = u16::from(value) * 3;
                self.dac_state = 3;
            }
            0x3c8 => {
                self.dac_write = u16::from(value) * 3;
                self.dac_state = 0;
            }
            0x3c9 => {
                self.palette[usize::from(self.dac_write) % 768] = value & 0x3f;
                self.dac_write = (self.dac_write + 1) % 768;
            }
            0x3ce => self.graphics.0 = value & 15,
            0x3cf => self.graphics.1[usize::from(self.graphics.0 & 15)] = value,
            0x3b4 | 0x3d4 => self.crtc.0 = value & 31,
            0x3b5 | 0x3d5 => self.write_crtc(value),
            0x3ba | 0x3da => self.feature = value,
            _ => {}
        }
    }

    /// Bit 7 of register 0x11 protects the timing registers 0 to 7, but for bit 4 of 7.
    fn write_crtc(&mut self, value: u8) {
        let index = usize::from(self.crtc.0 & 31);
        let protected = self.crtc.1[0x11] & 0x80 != 0;
        match index {
            0..=6 if protected => {}
            7 if protected => self.crtc.1[7] = self.crtc.1[7] & !0x10 | value & 0x10,
            _ => self.crtc.1[index] = value,
        }
    }
}

/// Bit 0: nothing is being shown; bit 3: vertical retrace.
fn input_status_1(now: VirtualTime) -> u8 {
    let in_frame = now.ns() % FRAME_NS;
    let line = in_frame / LINE_NS;
    let blank = line >= SHOWN_LINES || in_frame % LINE_NS > LINE_NS * 4 / 5;
    u8::from(blank) | u8::from((412..414).contains(&line)) << 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrace_comes_once_a_frame() {
        let mut vga = Vga::text_mode();
        let mut rises = 0;
        let mut before = 0;
        for us in 0..100_000 {
            let status = vga.read(VirtualTime::from_ns(us * 1000), 0x3da) & 8;
            rises += u32::from(status != 0 && before == 0);
            before = status;
        }
        assert_eq!(rises, 6);
    }

    #[test]
    fn attribute_port_alternates_and_status_resets_it() {
        let mut vga = Vga::text_mode();
        vga.write(0x3c0, 0x13);
        vga.read(VirtualTime::ZERO, 0x3da);
        vga.write(0x3c0, 0x14);
        vga.write(0x3c0, 0x55);
        assert_eq!(vga.read(VirtualTime::ZERO, 0x3c1), 0x55);
        assert_eq!(vga.attribute.1[0x13], 0x08);
    }

    #[test]
    fn cursor_registers_store_and_timing_is_protected() {
        let mut vga = Vga::text_mode();
        for (index, value, kept) in [(0x0e, 0x12, 0x12), (0x00, 0x33, 0x5f)] {
            vga.write(0x3d4, index);
            vga.write(0x3d5, value);
            assert_eq!(vga.read(VirtualTime::ZERO, 0x3d5), kept);
        }
    }

    #[test]
    fn monochrome_moves_the_crtc() {
        let mut vga = Vga::text_mode();
        assert!(vga.claims(0x3d4) && !vga.claims(0x3b4));
        vga.write(0x3c2, 0x66);
        assert!(vga.claims(0x3b4) && !vga.claims(0x3da));
    }
}
