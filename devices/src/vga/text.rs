//! Text modes: a character and an attribute each, drawn with the font in plane 2.

use crate::vga::Vga;
use crate::vga::frame::Frame;
use crate::vga::timing::{Timing, address, sixteen_colours};

/// Bytes of a glyph's place in the font plane.
const GLYPH: usize = 32;

/// Draws the picture.
pub(super) fn draw(vga: &Vga, timing: Timing) -> Frame {
    let mut frame = Frame::black(timing.width(), timing.height);
    let screen = Screen::new(vga, timing);
    for y in 0..timing.height {
        screen.draw_line(y, frame.line(y));
    }
    frame
}

/// What holds for every line.
struct Screen<'a> {
    vga: &'a Vga,
    timing: Timing,
    colours: [[u8; 3]; 16],
    /// Where the fonts of characters without and with attribute bit 3 are.
    fonts: [usize; 2],
    /// Attribute bit 7 makes a character blink instead of giving it a light background.
    blinks: bool,
    /// Line-drawing characters go on into the ninth dot.
    joins: bool,
    /// The counter's value under the cursor, and the lines of it.
    cursor: Option<(u32, std::ops::RangeInclusive<u32>)>,
    underline: u32,
}

impl<'a> Screen<'a> {
    fn new(vga: &'a Vga, timing: Timing) -> Self {
        let crtc = &vga.crtc.registers;
        let map = vga.sequencer.registers[3];
        let font = |low: u8, high: u8| {
            [0, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000]
                [usize::from(low & 3 | (high & 1) << 2)]
        };
        let (first, last) = (u32::from(crtc[0x0a] & 0x1f), u32::from(crtc[0x0b] & 0x1f));
        let at = u32::from(crtc[0x0e]) << 8 | u32::from(crtc[0x0f]);
        Self {
            vga,
            timing,
            colours: sixteen_colours(vga),
            fonts: [font(map, map >> 4), font(map >> 2, map >> 5)],
            blinks: vga.attribute.1[0x10] & 0x08 != 0,
            joins: vga.attribute.1[0x10] & 0x04 != 0,
            cursor: (crtc[0x0a] & 0x20 == 0 && first <= last).then_some((at, first..=last)),
            underline: u32::from(crtc[0x14] & 0x1f),
        }
    }

    fn draw_line(&self, y: u32, pixels: &mut [[u8; 3]]) {
        let line = self.timing.line(self.vga, y);
        let panned = self.timing.panning(self.vga, line);
        // One character more than fits, for what panning moves in.
        let mut dots = (0..=self.timing.characters).flat_map(|n| {
            let (bits, colours) = self.cell(line.counter.wrapping_add(n), line.row_line);
            let dots = self.timing.dots;
            (0..dots).map(move |dot| colours[usize::from(bits >> (8 - dot) & 1)])
        });
        dots.by_ref().take(panned as usize).for_each(drop);
        for pixel in pixels.chunks_mut(self.timing.repeat as usize) {
            pixel.fill(dots.next().unwrap_or_default());
        }
    }

    /// The nine dots of a line of the character that the counter leads to, leftmost in bit 8, and its colours.
    fn cell(&self, counter: u32, row_line: u32) -> (u16, [[u8; 3]; 2]) {
        let [code, attribute, ..] = self.vga.planes.at(address(self.vga, counter, 0)).to_le_bytes();
        let font = self.fonts[usize::from(attribute >> 3 & 1)];
        let glyph = self.vga.planes.font(font + usize::from(code) * GLYPH + row_line as usize % GLYPH);
        let ninth = if self.joins && (0xc0..=0xdf).contains(&code) { glyph & 1 } else { 0 };
        let mut bits = u16::from(glyph) << 1 | u16::from(ninth);
        if attribute & 7 == 1 && row_line == self.underline {
            bits = 0x1ff;
        }
        if self
            .cursor
            .as_ref()
            .is_some_and(|(at, lines)| *at == counter & 0xffff && lines.contains(&row_line))
        {
            bits = 0x1ff;
        }
        let background = if self.blinks { attribute >> 4 & 7 } else { attribute >> 4 };
        let shown = |colour: u8| self.colours[usize::from(colour & 15)];
        (bits, [shown(background), shown(attribute)])
    }
}

#[cfg(test)]
mod tests {
    use crate::vga::{Frame, Vga, font, frame};

    fn pixel(frame: &Frame, x: u32, y: u32) -> [u8; 3] {
        let at = ((y * frame.width + x) * 3) as usize;
        [frame.rgb[at], frame.rgb[at + 1], frame.rgb[at + 2]]
    }

    fn screen_with(cells: &[(u64, u8, u8)]) -> Frame {
        let mut vga = Vga::text_mode();
        // No cursor.
        vga.write(0x3d4, 0x0a);
        vga.write(0x3d5, 0x20);
        for (n, code, attribute) in cells {
            vga.write_memory(0x1_8000 + n * 2, *code);
            vga.write_memory(0x1_8001 + n * 2, *attribute);
        }
        frame(&vga, &[][..])
    }

    #[test]
    fn a_character_is_its_glyph_in_its_colours() {
        let frame = screen_with(&[(81, b'R', 0x1e)]);
        assert_eq!((frame.width, frame.height), (720, 400));
        let glyph = font::glyphs()[usize::from(b'R')];
        for (y, bits) in (16..).zip(glyph) {
            for x in 0..9 {
                let lit = x < 8 && bits >> (7 - x) & 1 != 0;
                let colour = if lit { [0xff, 0xff, 0x55] } else { [0, 0, 0xaa] };
                assert_eq!(pixel(&frame, 9 + x, y), colour, "{x} {y}");
            }
        }
        assert_eq!(pixel(&frame, 0, 0), [0; 3]);
    }

    #[test]
    fn lines_join_across_the_ninth_dot_and_letters_do_not() {
        let frame = screen_with(&[(0, 0xc4, 0x07), (1, 0xdb, 0x07), (2, 0xb1, 0x07)]);
        let ninth = |cell: u32| (0..16).filter(|y| pixel(&frame, cell * 9 + 8, *y) != [0; 3]).count();
        assert!(ninth(0) >= 1);
        assert_eq!((ninth(1), ninth(2)), (16, 0));
    }

    #[test]
    fn the_cursor_stands_where_the_registers_say() {
        let mut vga = Vga::text_mode();
        for (index, value) in [(0x0e, 0), (0x0f, 161), (0x0a, 0x0d), (0x0b, 0x0e)] {
            vga.write(0x3d4, index);
            vga.write(0x3d5, value);
        }
        vga.write_memory(0x1_8000 + 161 * 2 + 1, 0x07);
        let frame = frame(&vga, &[][..]);
        let lit: Vec<u32> = (0..400).filter(|y| pixel(&frame, 9, *y) != [0; 3]).collect();
        assert_eq!(lit, [32 + 13, 32 + 14]);
    }
}
