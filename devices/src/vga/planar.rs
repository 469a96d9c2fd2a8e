//! The graphics modes of a VGA: sixteen colours in four planes, four in CGA order, 256 in a byte each.

use crate::vga::Vga;
use crate::vga::frame::Frame;
use crate::vga::timing::{Line, Timing, address, sixteen_colours};

/// Graphics register 5: pixels of two bits, as the CGA had them; pixels of eight bits.
const INTERLEAVED: u8 = 0x20;
const BYTES: u8 = 0x40;

/// Draws the picture.
pub(super) fn draw(vga: &Vga, timing: Timing) -> Frame {
    let mut frame = Frame::black(timing.width(), timing.height);
    let mode = vga.graphics.registers[5];
    let colours = vga.dac.colours(vga.vbe.dac_has_8_bits());
    let few = sixteen_colours(vga);
    let enabled = vga.attribute.1[0x12] & 15;
    for y in 0..timing.height {
        let line = timing.line(vga, y);
        let panned = timing.panning(vga, line);
        let pixels = frame.line(y);
        if mode & BYTES != 0 {
            // Every byte lasts two dots, so panning moves by pairs.
            let dots = bytes(vga, timing, line).flat_map(|byte| [colours[usize::from(byte)]; 2]);
            fill(pixels, timing, dots.skip(panned as usize & !1));
        } else {
            let dots = nibbles(vga, timing, line, mode).map(|dot| few[usize::from(dot & enabled)]);
            fill(pixels, timing, dots.skip(panned as usize));
        }
    }
    frame
}

fn fill(pixels: &mut [[u8; 3]], timing: Timing, mut dots: impl Iterator<Item = [u8; 3]>) {
    for pixel in pixels.chunks_mut(timing.repeat as usize) {
        pixel.fill(dots.next().unwrap_or_default());
    }
}

/// What the planes have for each character of a line and one more, which panning moves in.
fn groups(vga: &Vga, timing: Timing, line: Line) -> impl Iterator<Item = u32> {
    (0..=timing.characters)
        .map(move |n| vga.planes.at(address(vga, line.counter.wrapping_add(n), line.row_line)))
}

/// The 256-colour pixels of a line: the planes in turn.
fn bytes(vga: &Vga, timing: Timing, line: Line) -> impl Iterator<Item = u8> {
    groups(vga, timing, line).flat_map(u32::to_le_bytes)
}

/// The sixteen-colour dots of a line.
fn nibbles(vga: &Vga, timing: Timing, line: Line, mode: u8) -> impl Iterator<Item = u8> {
    groups(vga, timing, line).flat_map(move |planes| {
        let planes = planes.to_le_bytes();
        (0..8).map(
            move |dot| if mode & INTERLEAVED != 0 { interleaved(planes, dot) } else { planar(planes, dot) },
        )
    })
}

/// A bit of each plane.
fn planar(planes: [u8; 4], dot: u32) -> u8 {
    (0..).zip(planes).fold(0, |colour, (plane, byte)| colour | (byte >> (7 - dot) & 1) << plane)
}

/// Two bits at once: four pixels in the even planes, then four in the odd ones.
fn interleaved(planes: [u8; 4], dot: u32) -> u8 {
    let pair = dot as usize / 4;
    let shift = 6 - dot % 4 * 2;
    (planes[pair] >> shift & 3) | (planes[pair + 2] >> shift & 3) << 2
}

/// The dots of line `y` of a VBE mode with four planes, `pitch` bytes a line from `start` on.
pub(super) fn vbe_line(vga: &Vga, start: u32, skip: u32, pixels: &mut [[u8; 3]], colours: &[[u8; 3]; 16]) {
    let dots = (0..).flat_map(|n: u32| {
        let planes = vga.planes.at(start.wrapping_add(n) as usize).to_le_bytes();
        (0..8).map(move |dot| planar(planes, dot))
    });
    for (pixel, dot) in pixels.iter_mut().zip(dots.skip(skip as usize)) {
        *pixel = colours[usize::from(dot & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vga::frame;
    use rrvmm_replay::VirtualTime;

    /// Sets registers as a video BIOS does for a mode: miscellaneous output, sequencer, graphics, CRTC, attribute mode control.
    fn mode(misc: u8, sequencer: &[u8], graphics: &[u8], crtc: &[u8], control: u8) -> Vga {
        let mut vga = Vga::text_mode();
        vga.write(0x3c2, misc);
        for (ports, values) in [(0x3c4, sequencer), (0x3ce, graphics)] {
            for (index, value) in (0..).zip(values) {
                vga.write(ports, index);
                vga.write(ports + 1, *value);
            }
        }
        vga.write(0x3d4, 0x11);
        vga.write(0x3d5, 0);
        for (index, value) in (0..).zip(crtc) {
            vga.write(0x3d4, index);
            vga.write(0x3d5, *value);
        }
        vga.read(VirtualTime::ZERO, 0x3da);
        for (index, value) in [(0x10, control), (0x13, 0), (0x20, 0)] {
            vga.write(0x3c0, index);
            if index < 0x20 {
                vga.write(0x3c0, value);
            }
        }
        vga
    }

    /// Mode 12h: 640 by 480 in sixteen colours.
    fn mode_12h() -> Vga {
        let crtc = [
            0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf,
            0x28, 0, 0xe7, 0x04, 0xe3, 0xff,
        ];
        mode(0xe3, &[3, 1, 15, 0, 6], &[0, 0, 0, 0, 0, 0, 5, 15, 0xff], &crtc, 1)
    }

    /// Mode 13h: 320 by 200 in 256 colours, chained or as mode X.
    fn mode_13h(chained: bool) -> Vga {
        let (underline, control) = if chained { (0x40, 0xa3) } else { (0, 0xe3) };
        let crtc = [
            0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f,
            0x28, underline, 0x96, 0xb9, control, 0xff,
        ];
        let memory_mode = if chained { 0x0e } else { 6 };
        mode(0x63, &[3, 1, 15, 0, memory_mode], &[0, 0, 0, 0, 0, 0x40, 5, 15, 0xff], &crtc, 0x41)
    }

    fn pixel(frame: &Frame, x: u32, y: u32) -> [u8; 3] {
        let at = ((y * frame.width + x) * 3) as usize;
        [frame.rgb[at], frame.rgb[at + 1], frame.rgb[at + 2]]
    }

    fn lit(vga: &Vga) -> Vec<(u32, u32)> {
        let frame = frame(vga, &[][..]);
        let all = (0..frame.height).flat_map(|y| (0..frame.width).map(move |x| (x, y)));
        all.filter(|(x, y)| pixel(&frame, *x, *y) != [0; 3]).collect()
    }

    #[test]
    fn sixteen_colours_take_a_bit_of_each_plane() {
        let mut vga = mode_12h();
        vga.write(0x3c4, 2);
        vga.write(0x3c5, 0b1100);
        // Font bytes would be dots here.
        for at in 0..0x1_0000 {
            vga.write_memory(at, 0);
        }
        vga.write_memory(100 * 80 + 79, 0x01);
        let frame = frame(&vga, &[][..]);
        assert_eq!((frame.width, frame.height), (640, 480));
        assert_eq!(pixel(&frame, 639, 100), [0xff, 0x55, 0x55]);
        assert_eq!(lit(&vga), [(639, 100)]);
    }

    #[test]
    fn bytes_are_pixels_chained_or_not() {
        for chained in [true, false] {
            let mut vga = mode_13h(chained);
            for at in 0..0x1_0000 {
                vga.write_memory(at, 0);
            }
            if chained {
                vga.write_memory(3 * 320 + 6, 4);
            } else {
                vga.write(0x3c4, 2);
                vga.write(0x3c5, 1 << 2);
                vga.write_memory(3 * 80 + 1, 4);
            }
            assert_eq!(lit(&vga), [(12, 6), (13, 6), (12, 7), (13, 7)], "chained: {chained}");
        }
    }

    #[test]
    fn the_split_shows_the_beginning_again() {
        let mut vga = mode_12h();
        for at in 0..0x1_0000 {
            vga.write_memory(at, 0);
        }
        vga.write_memory(0, 0x80);
        for (index, value) in [(0x0c, 0x40), (7, 0x2e), (9, 0), (0x18, 199)] {
            vga.write(0x3d4, index);
            vga.write(0x3d5, value);
        }
        assert_eq!(lit(&vga), [(0, 200)]);
    }
}
