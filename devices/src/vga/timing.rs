//! What the CRT controller scans (IBM PS/2 Hardware Technical Reference, "CRT Controller Registers").

use crate::vga::Vga;

/// A VGA monitor shows no more than this, whatever the registers say.
const MAX_CHARACTERS: u32 = 200;

/// The shown part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// Character clocks of a line.
    pub characters: u32,
    /// Dots of a character: 8 or 9.
    pub dots: u32,
    /// How often each dot is shown: 2 at half the dot clock.
    pub repeat: u32,
    /// Lines.
    pub height: u32,
    /// Lines of a row, each shown [`Self::double`] times.
    pub row_lines: u32,
    /// 2 where each line is scanned twice.
    pub double: u32,
    /// The line from which the picture begins again at address 0.
    pub split: u32,
}

impl Timing {
    pub fn of(vga: &Vga) -> Self {
        let crtc = &vga.crtc.registers;
        let clocking = vga.sequencer.registers[1];
        let bit = |register: usize, bit: u8| u32::from(crtc[register] >> bit & 1);
        let halved = if crtc[0x17] & 4 != 0 { 2 } else { 1 };
        let end = u32::from(crtc[0x12]) | bit(7, 1) << 8 | bit(7, 6) << 9;
        Self {
            characters: (u32::from(crtc[1]) + 1).min(MAX_CHARACTERS),
            dots: if clocking & 1 != 0 { 8 } else { 9 },
            repeat: if clocking & 8 != 0 { 2 } else { 1 },
            height: (end + 1) * halved,
            row_lines: u32::from(crtc[9] & 0x1f) + 1,
            double: if crtc[9] & 0x80 != 0 { 2 } else { 1 },
            split: u32::from(crtc[0x18]) | bit(7, 4) << 8 | bit(9, 6) << 9,
        }
    }

    /// Pixels of a line.
    pub fn width(self) -> u32 {
        self.characters * self.dots * self.repeat
    }

    /// For line `y`: the address counter at its beginning, the line of its row, and whether it is below the split.
    pub fn line(self, vga: &Vga, y: u32) -> Line {
        let crtc = &vga.crtc.registers;
        let below = y > self.split;
        let (first, scanned) = if below {
            (0, (y - self.split - 1) / self.double)
        } else {
            let start = u32::from(crtc[0x0c]) << 8 | u32::from(crtc[0x0d]);
            (start + u32::from(crtc[8] >> 5 & 3), y / self.double + u32::from(crtc[8] & 0x1f))
        };
        let pitch = u32::from(crtc[0x13]) * 2;
        Line {
            counter: first.wrapping_add(scanned / self.row_lines * pitch),
            row_line: scanned % self.row_lines,
            below,
        }
    }

    /// Dots by which line `line` is shifted to the left.
    pub fn panning(self, vga: &Vga, line: Line) -> u32 {
        let stops_at_split = vga.attribute.1[0x10] & 0x20 != 0;
        if line.below && stops_at_split {
            return 0;
        }
        let value = u32::from(vga.attribute.1[0x13] & 15);
        // With nine dots, 8 means none and 0 one.
        if self.dots == 9 { (value + 1) % 9 } else { value & 7 }
    }
}

/// A line of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The address counter's value for the first character.
    pub counter: u32,
    /// Which line of its row it is.
    pub row_line: u32,
    /// Whether it is below the split.
    pub below: bool,
}

/// The address in a plane at which the counter's value `counter` leads in line `row_line` of a row.
pub(super) fn address(vga: &Vga, counter: u32, row_line: u32) -> usize {
    let crtc = &vga.crtc.registers;
    let mode = crtc[0x17];
    let mut at = if crtc[0x14] & 0x40 != 0 {
        counter << 2 | counter >> 14 & 3
    } else if mode & 0x40 == 0 {
        let wrapped = if mode & 0x20 != 0 { 15 } else { 13 };
        counter << 1 | counter >> wrapped & 1
    } else {
        counter
    };
    // The CGA and the Hercules adapter kept lines of a row in banks of 8 KiB.
    if mode & 1 == 0 {
        at = at & !0x2000 | (row_line & 1) << 13;
    }
    if mode & 2 == 0 {
        at = at & !0x4000 | (row_line & 2) << 13;
    }
    at as usize & 0xffff
}

/// The colours that the sixteen attributes lead to.
pub(super) fn sixteen_colours(vga: &Vga) -> [[u8; 3]; 16] {
    let colours = vga.dac.colours(vga.vbe.dac_has_8_bits());
    let (mode, select) = (vga.attribute.1[0x10], vga.attribute.1[0x14]);
    std::array::from_fn(|n| {
        let entry = vga.attribute.1[n] & 0x3f;
        let low = if mode & 0x80 != 0 { entry & 0x0f | (select & 3) << 4 } else { entry };
        colours[usize::from(low | (select & 0x0c) << 4)]
    })
}
