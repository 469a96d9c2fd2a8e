//! VBE modes: pixels one after the other in the linear frame buffer.

use crate::vga::frame::{Frame, VideoMemory};
use crate::vga::timing::sixteen_colours;
use crate::vga::vbe::Layout;
use crate::vga::{Vga, planar};

/// Draws the picture.
pub(super) fn draw(vga: &Vga, layout: Layout, memory: &(impl VideoMemory + ?Sized)) -> Frame {
    let mut frame = Frame::black(layout.width, layout.height);
    let colours = vga.dac.colours(vga.vbe.dac_has_8_bits());
    let few = sixteen_colours(vga);
    let mut bytes = vec![0; (layout.width * layout.bpp.div_ceil(8)) as usize];
    for y in 0..layout.height {
        let start = layout.start.saturating_add(y * layout.pitch);
        let pixels = frame.line(y);
        if layout.bpp == 4 {
            planar::vbe_line(vga, start, layout.skip, pixels, &few);
            continue;
        }
        memory.read(start as usize, &mut bytes);
        match layout.bpp {
            8 => each(pixels, &bytes, |[index]| colours[usize::from(index)]),
            15 => each(pixels, &bytes, |pair| {
                let value = u16::from_le_bytes(pair);
                [five(value >> 10), five(value >> 5), five(value)]
            }),
            16 => each(pixels, &bytes, |pair| {
                let value = u16::from_le_bytes(pair);
                let green = (value >> 5 & 0x3f) as u8;
                [five(value >> 11), green << 2 | green >> 4, five(value)]
            }),
            24 => each(pixels, &bytes, |[blue, green, red]| [red, green, blue]),
            _ => each(pixels, &bytes, |[blue, green, red, _]| [red, green, blue]),
        }
    }
    frame
}

fn each<const N: usize>(pixels: &mut [[u8; 3]], bytes: &[u8], colour: impl Fn([u8; N]) -> [u8; 3]) {
    for (pixel, bytes) in pixels.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *pixel = colour(*bytes);
    }
}

/// Five bits as eight.
fn five(value: u16) -> u8 {
    let value = (value & 0x1f) as u8;
    value << 3 | value >> 2
}

#[cfg(test)]
mod tests {
    use crate::vga::{Vga, frame};

    /// The pixels of a mode with 8 by 2 pixels of `bpp` bits over `memory`.
    fn drawn(bpp: u16, memory: &[u8]) -> Vec<u8> {
        let mut vga = Vga::text_mode();
        for (index, value) in [(1, 8), (2, 2), (3, bpp), (4, 0x41)] {
            vga.write_vbe(0x1ce, index);
            vga.write_vbe(0x1cf, value);
        }
        let frame = frame(&vga, memory);
        assert_eq!((frame.width, frame.height), (8, 2));
        frame.rgb
    }

    #[test]
    fn pixels_of_all_sizes() {
        for (bpp, bytes) in [
            (8, &[0x3e][..]),
            (15, &[0xea, 0x7f]),
            (16, &[0xea, 0xff]),
            (24, &[0x52, 0xff, 0xff]),
            (32, &[0x52, 0xff, 0xff, 0x77]),
        ] {
            let rgb = drawn(bpp, bytes);
            let [red, green, blue] = [rgb[0], rgb[1], rgb[2]];
            assert!(red >= 0xfb && green >= 0xfb && (0x52..=0x55).contains(&blue), "{bpp}: {rgb:x?}");
            assert!(rgb[3..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn lines_follow_each_other() {
        let mut memory = [0; 64];
        memory[32 + 4 * 7 + 2] = 0xff;
        let rgb = drawn(32, &memory);
        assert_eq!(rgb.iter().position(|byte| *byte != 0), Some(15 * 3));
    }

    #[test]
    fn a_screen_that_is_switched_off_is_black() {
        let mut vga = Vga::text_mode();
        for (index, value) in [(1, 8), (2, 2), (3, 32), (4, 0x41)] {
            vga.write_vbe(0x1ce, index);
            vga.write_vbe(0x1cf, value);
        }
        vga.write(0x3c0, 0);
        assert_eq!(frame(&vga, &[0xff; 64][..]).rgb, [0; 48]);
    }
}
