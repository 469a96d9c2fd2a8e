//! The Bochs VBE extensions ("VBE DISPI", QEMU docs/specs/standard-vga.rst and the Bochs VBE documentation): graphics modes of any
//! size over one linear frame buffer.

use serde::{Deserialize, Serialize};

/// Bytes of the linear frame buffer.
pub const LFB_BYTES: u32 = 16 << 20;
/// Index port and data port, and the data port where aligned accesses are wanted; 16 bits each.
pub const VBE_PORTS: std::ops::RangeInclusive<u16> = 0x1ce..=0x1d0;

const INDEX_PORT: u16 = 0x1ce;
const ID: u16 = 0;
const XRES: u16 = 1;
const YRES: u16 = 2;
const BPP: u16 = 3;
const ENABLE: u16 = 4;
const BANK: u16 = 5;
const VIRT_WIDTH: u16 = 6;
const VIRT_HEIGHT: u16 = 7;
const X_OFFSET: u16 = 8;
const Y_OFFSET: u16 = 9;
const VIDEO_MEMORY_64K: u16 = 10;

/// The newest version of the interface, and the oldest.
const NEWEST_ID: u16 = 0xb0c5;
const OLDEST_ID: u16 = 0xb0c0;
const ENABLED: u16 = 0x01;
const GET_CAPABILITIES: u16 = 0x02;
const DAC_8_BITS: u16 = 0x20;
const NO_CLEAR: u16 = 0x80;
const ENABLE_BITS: u16 = ENABLED | GET_CAPABILITIES | DAC_8_BITS | 0x40 | NO_CLEAR;
const BANK_BYTES: u32 = 0x1_0000;
/// The largest mode.
const MAX_WIDTH: u16 = 2560;
const MAX_HEIGHT: u16 = 1600;
const MAX_BPP: u16 = 32;

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vbe {
    index: u16,
    id: u16,
    width: u16,
    height: u16,
    bpp: u16,
    enable: u16,
    bank: u16,
    virt_width: u16,
    x: u16,
    y: u16,
    /// Bytes to clear.
    clear: Option<u32>,
}

impl Default for Vbe {
    fn default() -> Self {
        Self {
            index: 0,
            id: NEWEST_ID,
            width: 0,
            height: 0,
            bpp: 8,
            enable: 0,
            bank: 0,
            virt_width: 0,
            x: 0,
            y: 0,
            clear: None,
        }
    }
}

/// Where a mode's pixels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub width: u32,
    pub height: u32,
    /// Bits of a pixel: 4 (in the planes), 8, 15, 16, 24 or 32.
    pub bpp: u32,
    /// Bytes from a line to the next; for 4 bits, of each plane.
    pub pitch: u32,
    /// Byte of the first pixel.
    pub start: u32,
    /// Pixels to leave out at the beginning of each line; only for 4 bits.
    pub skip: u32,
}

impl Vbe {
    /// As set-up software puts it into a mode.
    pub(super) fn start_in(&mut self, width: u16, height: u16, bits: u16) {
        let on = ENABLED | 0x40 | NO_CLEAR;
        for (index, value) in [(ENABLE, 0), (XRES, width), (YRES, height), (BPP, bits), (ENABLE, on)] {
            self.write(index, value);
        }
    }

    pub(super) fn read_port(&self, port: u16) -> u16 {
        if port == INDEX_PORT { self.index } else { self.read(self.index) }
    }

    pub(super) fn write_port(&mut self, port: u16, value: u16) {
        if port == INDEX_PORT {
            self.index = value;
        } else {
            self.write(self.index, value);
        }
    }

    /// Reads a register.
    pub(super) fn read(&self, index: u16) -> u16 {
        let asks_for_most = self.enable & GET_CAPABILITIES != 0;
        match index {
            ID => self.id,
            XRES if asks_for_most => MAX_WIDTH,
            YRES if asks_for_most => MAX_HEIGHT,
            BPP if asks_for_most => MAX_BPP,
            XRES => self.width,
            YRES => self.height,
            BPP => self.bpp,
            ENABLE => self.enable,
            BANK => self.bank,
            VIRT_WIDTH => self.virt_width,
            VIRT_HEIGHT => self.virt_height(),
            X_OFFSET => self.x,
            Y_OFFSET => self.y,
            VIDEO_MEMORY_64K => (LFB_BYTES / BANK_BYTES) as u16,
            _ => 0,
        }
    }

    /// Writes a register.
    pub(super) fn write(&mut self, index: u16, value: u16) {
        match index {
            ID if (OLDEST_ID..=NEWEST_ID).contains(&value) => self.id = value,
            XRES if value <= MAX_WIDTH && value.is_multiple_of(8) => self.width = value,
            YRES if value <= MAX_HEIGHT => self.height = value,
            BPP if value == 0 => self.bpp = 8,
            BPP if matches!(value, 4 | 8 | 15 | 16 | 24 | 32) => self.bpp = value,
            ENABLE => self.write_enable(value & ENABLE_BITS),
            BANK if u32::from(value) < LFB_BYTES / BANK_BYTES => self.bank = value,
            VIRT_WIDTH if value >= self.width && value.is_multiple_of(8) => self.virt_width = value,
            X_OFFSET => self.x = value,
            Y_OFFSET => self.y = value,
            // Follows from the width, as does the size of memory.
            VIRT_HEIGHT | VIDEO_MEMORY_64K => {}
            // What the device cannot do it does not take.
            _ => {}
        }
    }

    fn write_enable(&mut self, value: u16) {
        let switches_on = value & ENABLED != 0 && self.enable & ENABLED == 0;
        self.enable = value;
        if value & ENABLED == 0 {
            self.bank = 0;
        } else if switches_on {
            (self.virt_width, self.x, self.y) = (self.width, 0, 0);
            if value & NO_CLEAR == 0 && self.bpp > 4 {
                self.clear = Some(self.pitch().saturating_mul(u32::from(self.height)).min(LFB_BYTES));
            }
        }
    }

    /// Bytes of a line; with 4 bits, of a line of one plane.
    fn pitch(&self) -> u32 {
        let width = u32::from(self.virt_width.max(self.width));
        match self.bpp {
            4 => width / 8,
            bpp => width * u32::from(bpp).div_ceil(8),
        }
    }

    fn virt_height(&self) -> u16 {
        let memory = if self.bpp == 4 { super::planes::PLANE as u32 } else { LFB_BYTES };
        memory.checked_div(self.pitch()).map_or(0, |lines| lines.min(u32::from(u16::MAX)) as u16)
    }

    /// Where the pixels are, while a mode with any is on.
    pub(super) fn layout(&self) -> Option<Layout> {
        // A damaged state may have more.
        let width = u32::from(self.width.min(MAX_WIDTH));
        let height = u32::from(self.height.min(MAX_HEIGHT));
        let pitch = self.pitch();
        if self.enable & ENABLED == 0 || width == 0 || height == 0 || pitch == 0 {
            return None;
        }
        // What would lie beyond the end of memory is shown from further up.
        let y = u32::from(self.y).min(u32::from(self.virt_height()).saturating_sub(height));
        let x = u32::from(self.x).min(u32::from(self.virt_width).saturating_sub(width));
        let bpp = u32::from(self.bpp);
        let (into, skip) = if bpp == 4 { (x / 8, x % 8) } else { (x * bpp.div_ceil(8), 0) };
        Some(Layout { width, height, bpp, pitch, start: y * pitch + into, skip })
    }

    /// Where the window's first 64 KiB lead: to a bank of the linear frame buffer, or to the planes.
    pub(super) fn bank(&self) -> Option<u32> {
        (self.enable & ENABLED != 0 && self.bpp > 4).then_some(u32::from(self.bank) * BANK_BYTES)
    }

    pub(super) fn dac_has_8_bits(&self) -> bool {
        self.enable & DAC_8_BITS != 0
    }

    pub(super) fn wants_clear(&self) -> bool {
        self.clear.is_some()
    }

    pub(super) fn take_clear(&mut self) -> Option<u32> {
        self.clear.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(width: u16, height: u16, bpp: u16) -> Vbe {
        let mut vbe = Vbe::default();
        for (index, value) in [(ENABLE, 0), (XRES, width), (YRES, height), (BPP, bpp), (ENABLE, 0x41)] {
            vbe.write(index, value);
        }
        vbe
    }

    #[test]
    fn a_mode_is_set_and_asks_for_a_cleared_screen() {
        let mut vbe = mode(1024, 768, 32);
        let layout = Layout { width: 1024, height: 768, bpp: 32, pitch: 4096, start: 0, skip: 0 };
        assert_eq!(vbe.layout(), Some(layout));
        assert_eq!((vbe.read(VIRT_WIDTH), vbe.read(VIRT_HEIGHT)), (1024, 4096));
        assert_eq!((vbe.take_clear(), vbe.take_clear()), (Some(3 << 20), None));
        vbe.write(ENABLE, 0);
        assert_eq!((vbe.layout(), vbe.bank()), (None, None));
        vbe.write(ENABLE, 0xc1);
        assert_eq!(vbe.take_clear(), None);
    }

    #[test]
    fn a_wider_screen_pans_but_never_beyond_memory() {
        let mut vbe = mode(640, 480, 16);
        vbe.write(VIRT_WIDTH, 1024);
        (vbe.x, vbe.y) = (384, 100);
        assert_eq!(vbe.layout().unwrap().start, 100 * 2048 + 768);
        (vbe.x, vbe.y) = (u16::MAX, u16::MAX);
        let layout = vbe.layout().unwrap();
        assert!(layout.start + 479 * layout.pitch + 1280 <= LFB_BYTES);
    }

    #[test]
    fn what_cannot_be_is_not_taken() {
        let mut vbe = mode(640, 480, 8);
        for (index, value) in [(XRES, 2568), (XRES, 641), (YRES, 1601), (BPP, 7), (BANK, 256), (ID, 0xb0c6)] {
            let before = vbe.read(index);
            vbe.write(index, value);
            assert_eq!(vbe.read(index), before, "register {index}");
        }
        vbe.write(ENABLE, 0x43);
        assert_eq!([XRES, YRES, BPP].map(|index| vbe.read(index)), [2560, 1600, 32]);
        assert_eq!(vbe.read(VIDEO_MEMORY_64K), 256);
    }

    #[test]
    fn banks_are_for_packed_pixels() {
        let mut vbe = mode(800, 600, 8);
        vbe.write(BANK, 3);
        assert_eq!(vbe.bank(), Some(0x3_0000));
        assert_eq!(mode(800, 600, 4).bank(), None);
    }
}
