//! VGA display adapter (IBM Personal System/2 Hardware Technical Reference, "Video Subsystem") with the Bochs VBE extensions.
//!
//! Two memories: the 256 KiB of the four planes, which the window at 0xA0000 reaches through the graphics controller and which are
//! in here, and the linear frame buffer of [`LFB_BYTES`], which is plain memory of the machine and only read through
//! [`VideoMemory`] when a frame is drawn.

mod dac;
mod edid;
mod font;
mod frame;
mod linear;
mod planar;
mod planes;
mod text;
mod timing;
mod vbe;

pub use frame::{Frame, VideoMemory, frame};
pub use vbe::{LFB_BYTES, VBE_PORTS, Vbe};

use crate::bytes::Bytes;
use crate::pc::VideoMode;
use dac::Dac;
use planes::Planes;
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
/// Miscellaneous output: the CRTC answers at 0x3Dx.
const MISC_COLOUR: u8 = 0x01;
/// Miscellaneous output: the window is there.
const MISC_MEMORY: u8 = 0x02;
/// Attribute index: the palette is the screen's, not the processor's; without it nothing is shown.
const PALETTE_SHOWN: u8 = 0x20;

/// An index register and the registers behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Indexed<const N: usize> {
    index: u8,
    registers: Bytes<N>,
}

impl<const N: usize> Indexed<N> {
    /// The register that the index selects.
    fn selected(&self) -> u8 {
        self.registers[usize::from(self.index) % N]
    }

    fn select(&mut self, value: u8) {
        self.index = value & (N - 1) as u8;
    }

    fn write(&mut self, value: u8) {
        self.registers[usize::from(self.index) % N] = value;
    }
}

/// The adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vga {
    planes: Planes,
    misc: u8,
    feature: u8,
    sequencer: Indexed<8>,
    graphics: Indexed<16>,
    crtc: Indexed<32>,
    /// Index with [`PALETTE_SHOWN`]; registers 0 to 15 are the palette.
    attribute: (u8, Bytes<32>),
    /// The attribute port takes data next, not an index.
    attribute_data: bool,
    dac: Dac,
    vbe: Vbe,
}

impl Vga {
    /// The adapter in 80 by 25 text mode, colour, with a font and the usual palette, as a video BIOS leaves it.
    #[must_use]
    pub fn text_mode() -> Self {
        let mut vga = Self {
            planes: Planes::with_font(),
            misc: 0x67,
            feature: 0,
            sequencer: Indexed::default(),
            graphics: Indexed::default(),
            crtc: Indexed::default(),
            attribute: (PALETTE_SHOWN, Bytes::default()),
            attribute_data: false,
            dac: Dac::default(),
            vbe: Vbe::default(),
        };
        vga.sequencer.registers[..5].copy_from_slice(&[0x03, 0x00, 0x03, 0x00, 0x02]);
        vga.graphics.registers[..9].copy_from_slice(&[0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff]);
        vga.crtc.registers[..25].copy_from_slice(&[
            0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00,
            0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
        ]);
        let palette = [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f];
        vga.attribute.1[..16].copy_from_slice(&palette);
        vga.attribute.1[16..21].copy_from_slice(&[0x0c, 0x00, 0x0f, 0x08, 0x00]);
        vga
    }

    /// As [`Vga::text_mode`], and then put into a mode with a linear frame buffer, which is black.
    #[must_use]
    pub fn in_mode(mode: &VideoMode) -> Self {
        let mut vga = Self::text_mode();
        vga.vbe.start_in(mode.width, mode.height, mode.bits);
        vga
    }

    /// The reset line: registers as at power-on; memory stays.
    pub fn reset(&mut self) {
        let planes = std::mem::take(&mut self.planes);
        *self = Self { planes, ..Self::text_mode() };
    }

    /// The VBE extensions.
    #[must_use]
    pub fn vbe(&self) -> &Vbe {
        &self.vbe
    }

    /// Whether an access to one of the [`VBE_PORTS`] was taken: those are 16 bits wide.
    pub(crate) fn read_vbe(&self, port: u16) -> u16 {
        self.vbe.read_port(port)
    }

    pub(crate) fn write_vbe(&mut self, port: u16, value: u16) {
        self.vbe.write_port(port, value);
    }

    /// The registers as BAR 2 shows them: the monitor's EDID at 0, VGA ports from 0x3C0 on at 0x400, VBE registers at 0x500, two bytes
    /// each.
    pub(crate) fn read_mmio(&mut self, now: VirtualTime, offset: u64, bytes: u64) -> u64 {
        match (offset, bytes) {
            (0..=0x3ff, _) => edid::read(offset, bytes),
            (0x400..=0x41f, _) => {
                let port = 0x3c0 + (offset - 0x400) as u16;
                let byte = |vga: &mut Self, n: u16| u64::from(vga.read_if_claimed(now, port + n));
                (0..bytes.min(0x20) as u16).fold(0, |value, n| value | byte(self, n) << (8 * n))
            }
            (0x500..=0x515, 2) if offset & 1 == 0 => u64::from(self.vbe.read(((offset - 0x500) / 2) as u16)),
            // Size of the extended registers, and the byte order of the frame buffer, which is little endian.
            (0x600, 4) => 8,
            (0x604, 4) => 0x1e1e_1e1e,
            _ => 0,
        }
    }

    /// Writes what [`Self::read_mmio`] reads.
    pub(crate) fn write_mmio(&mut self, offset: u64, bytes: u64, value: u64) {
        match (offset, bytes) {
            (0x400..=0x41f, _) => {
                let port = 0x3c0 + (offset - 0x400) as u16;
                for (n, byte) in (0..).zip(value.to_le_bytes().into_iter().take(bytes as usize)) {
                    if self.claims(port + n) {
                        self.write(port + n, byte);
                    }
                }
            }
            (0x500..=0x515, 2) if offset & 1 == 0 => {
                self.vbe.write(((offset - 0x500) / 2) as u16, value as u16);
            }
            _ => {}
        }
    }

    fn read_if_claimed(&mut self, now: VirtualTime, port: u16) -> u8 {
        if self.claims(port) { self.read(now, port) } else { 0xff }
    }

    /// Bytes at the beginning of the linear frame buffer that a mode switch asks to be cleared, once.
    pub(crate) fn take_clear(&mut self) -> Option<u32> {
        self.vbe.take_clear()
    }

    /// Whether [`Self::take_clear`] has anything.
    #[must_use]
    pub(crate) fn wants_clear(&self) -> bool {
        self.vbe.wants_clear()
    }

    /// Where in the linear frame buffer the first 64 KiB of the window lead; none while they lead to the planes.
    #[must_use]
    pub fn bank(&self) -> Option<u32> {
        self.vbe.bank()
    }

    /// Where in the planes the window's byte `offset` is; none where the adapter does not answer (graphics register 6).
    fn decode(&self, offset: u64) -> Option<usize> {
        if self.misc & MISC_MEMORY == 0 {
            return None;
        }
        let (start, len) = match self.graphics.registers[6] >> 2 & 3 {
            0 => (0, 0x2_0000),
            1 => (0, 0x1_0000),
            2 => (0x1_0000, 0x8000),
            _ => (0x1_8000, 0x8000),
        };
        offset.checked_sub(start).filter(|into| *into < len).map(|into| into as usize)
    }

    /// The guest reads a byte of the window.
    pub fn read_memory(&mut self, offset: u64) -> u8 {
        match self.decode(offset) {
            Some(at) => self.planes.read(at, &self.sequencer.registers, &self.graphics.registers),
            None => 0xff,
        }
    }

    /// The guest writes a byte of the window.
    pub fn write_memory(&mut self, offset: u64, value: u8) {
        if let Some(at) = self.decode(offset) {
            self.planes.write(at, value, &self.sequencer.registers, &self.graphics.registers);
        }
    }

    /// Whether the CRTC answers at 0x3Dx (colour), not at 0x3Bx.
    fn colour(&self) -> bool {
        self.misc & MISC_COLOUR != 0
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
            // Input status 0: the sense bit says that a monitor is there.
            0x3c2 => 0x10,
            0x3c4 => self.sequencer.index,
            0x3c5 => self.sequencer.selected(),
            0x3c6..=0x3c9 => self.dac.read(port),
            0x3ca => self.feature,
            0x3cc => self.misc,
            0x3ce => self.graphics.index,
            0x3cf => self.graphics.selected(),
            0x3b4 | 0x3d4 => self.crtc.index,
            0x3b5 | 0x3d5 => self.crtc.selected(),
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
            0x3c4 => self.sequencer.select(value),
            0x3c5 => self.sequencer.write(value),
            0x3c6..=0x3c9 => self.dac.write(port, value, self.vbe.dac_has_8_bits()),
            0x3ce => self.graphics.select(value),
            0x3cf => self.graphics.write(value),
            0x3b4 | 0x3d4 => self.crtc.select(value),
            0x3b5 | 0x3d5 => self.write_crtc(value),
            0x3ba | 0x3da => self.feature = value,
            _ => {}
        }
    }

    /// Bit 7 of register 0x11 protects the timing registers 0 to 7, but for bit 4 of 7.
    fn write_crtc(&mut self, value: u8) {
        let protected = self.crtc.registers[0x11] & 0x80 != 0;
        match self.crtc.index {
            0..=6 if protected => {}
            7 if protected => {
                let register = &mut self.crtc.registers[7];
                *register = *register & !0x10 | value & 0x10;
            }
            _ => self.crtc.write(value),
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
