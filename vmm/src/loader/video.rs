//! `vga=` on the command line of a Linux kernel, which boot loaders honour in the kernel's stead: it only knows how to draw in the
//! mode that it finds. (Linux Documentation/fb/vesafb.rst, arch/x86/boot.rst.)

use super::{BootSource, LoadError, bzimage};
use rrvmm_devices::pc::VideoMode;

/// Numbers of modes with a linear frame buffer: of VESA, and from 0x340 on of the Bochs video BIOS; 0x200 is added to theirs.
const MODES: [(u16, u16, u16, u16); 27] = [
    (0x301, 640, 480, 8),
    (0x303, 800, 600, 8),
    (0x305, 1024, 768, 8),
    (0x307, 1280, 1024, 8),
    (0x310, 640, 480, 15),
    (0x311, 640, 480, 16),
    (0x312, 640, 480, 24),
    (0x313, 800, 600, 15),
    (0x314, 800, 600, 16),
    (0x315, 800, 600, 24),
    (0x316, 1024, 768, 15),
    (0x317, 1024, 768, 16),
    (0x318, 1024, 768, 24),
    (0x319, 1280, 1024, 15),
    (0x31a, 1280, 1024, 16),
    (0x31b, 1280, 1024, 24),
    (0x31c, 1600, 1200, 8),
    (0x31d, 1600, 1200, 15),
    (0x31e, 1600, 1200, 16),
    (0x31f, 1600, 1200, 24),
    (0x340, 320, 200, 32),
    (0x341, 640, 400, 32),
    (0x342, 640, 480, 32),
    (0x343, 800, 600, 32),
    (0x344, 1024, 768, 32),
    (0x345, 1280, 1024, 32),
    (0x347, 1600, 1200, 32),
];

/// The mode that the command line wants the screen to be in; none for text.
///
/// # Errors
/// It names a mode that there is not.
pub fn video_mode(source: &BootSource) -> Result<Option<VideoMode>, LoadError> {
    if !source.kernel.as_deref().is_some_and(bzimage::is_bzimage) {
        return Ok(None);
    }
    let Some(wanted) =
        source.cmdline.split_whitespace().filter_map(|word| word.strip_prefix("vga=")).next_back()
    else {
        return Ok(None);
    };
    let number = match wanted.strip_prefix("0x").or_else(|| wanted.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => wanted.parse(),
    };
    match (wanted, number) {
        // Text of 80 by 25 characters, which it is in anyway.
        ("normal", _) | (_, Ok(0 | 0x0f00 | 0xffff)) => Ok(None),
        (_, Ok(number)) => match MODES.iter().find(|mode| mode.0 == number) {
            Some(&(number, width, height, bits)) => Ok(Some(VideoMode { number, width, height, bits })),
            None => Err(LoadError::VideoMode(wanted.to_owned())),
        },
        (_, Err(_)) => Err(LoadError::VideoMode(wanted.to_owned())),
    }
}

/// What the kernel finds in the zero page of the mode that the screen is in: struct `screen_info`.
pub(super) fn describe(page: &mut [u8; 4096], mode: &VideoMode, frame_buffer: u32) {
    const LINEAR_FRAME_BUFFER: u8 = 0x23;
    const VIDEO_TYPE: usize = 0x0f;
    const SIZE: usize = 0x12;
    /// A colour mode with graphics and a linear frame buffer, in hardware that is a VGA.
    const ATTRIBUTES: u16 = 0x9b;
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(VIDEO_TYPE, &[LINEAR_FRAME_BUFFER]);
    for (n, value) in [mode.width, mode.height, mode.bits].into_iter().enumerate() {
        put(SIZE + 2 * n, &value.to_le_bytes());
    }
    put(0x18, &frame_buffer.to_le_bytes());
    // In pieces of 64 KiB.
    put(0x1c, &(rrvmm_devices::vga::LFB_BYTES >> 16).to_le_bytes());
    put(0x24, &mode.pitch().to_le_bytes());
    // Bits and first bit of red, green, blue and of nothing.
    put(
        0x26,
        &match mode.bits {
            15 => [5, 10, 5, 5, 5, 0, 1, 15],
            16 => [5, 11, 6, 5, 5, 0, 0, 0],
            24 => [8, 16, 8, 8, 8, 0, 0, 0],
            32 => [8, 16, 8, 8, 8, 0, 8, 24],
            _ => [0; 8],
        },
    );
    put(0x32, &1u16.to_le_bytes());
    put(0x34, &ATTRIBUTES.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::tests::bzimage_with;
    use super::*;

    fn mode(cmdline: &str) -> Result<Option<(u16, u16, u16)>, String> {
        let mode = video_mode(&bzimage_with(cmdline));
        mode.map(|mode| mode.map(|m| (m.width, m.height, m.bits))).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_are_known_by_their_numbers() {
        assert_eq!(mode("console=tty0"), Ok(None));
        assert_eq!(mode("vga=normal quiet"), Ok(None));
        assert_eq!(mode("quiet vga=0x318"), Ok(Some((1024, 768, 24))));
        assert_eq!(mode("vga=791 quiet"), Ok(Some((1024, 768, 16))));
        assert_eq!(mode("vga=0x318 vga=0x343"), Ok(Some((800, 600, 32))));
        for bad in ["ask", "0x399", "1024x768", "-1", ""] {
            let error = mode(&format!("vga={bad}")).unwrap_err();
            assert!(error.contains("0x344"), "{error}");
        }
        let firmware = BootSource { cmdline: "vga=0x999".to_owned(), ..BootSource::default() };
        assert!(matches!(video_mode(&firmware), Ok(None)));
    }

    #[test]
    fn every_mode_fits_the_frame_buffer_and_can_be_set() {
        for (number, width, height, bits) in MODES {
            let mode = VideoMode { number, width, height, bits };
            assert!(u32::from(mode.pitch()) * u32::from(height) <= rrvmm_devices::vga::LFB_BYTES);
            assert_eq!(
                rrvmm_devices::vga::Vga::in_mode(&mode).size(),
                (width.into(), height.into()),
                "{number:#x}"
            );
        }
    }
}
