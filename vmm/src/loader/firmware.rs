//! Firmware: a raw image that ends at 4 GiB, where the CPU fetches its first instruction.

use super::{BootSource, EntryState, LoadError};
use std::ops::{Range, RangeInclusive};

const FOUR_GIB: u64 = 1 << 32;
/// Least and most bytes of an image.
const SIZES: RangeInclusive<usize> = 64 << 10..=16 << 20;
const PAGE: usize = 4096;

/// Where the chipset shows the image's end a second time, below 1 MiB: its last byte is also this range's last.
/// What of it an image shorter than the range leaves free is RAM, as is all of it once the chipset is told so.
pub const FIRMWARE_SHADOW: Range<u64> = 0xE_0000..0x10_0000;

/// The physical addresses of an image of `length` bytes.
#[must_use]
pub fn firmware_window(length: usize) -> Range<u64> {
    FOUR_GIB - length as u64..FOUR_GIB
}

pub(super) fn check(source: &BootSource, image: &[u8]) -> Result<EntryState, LoadError> {
    for (given, option) in [
        (source.initrd.is_some(), "--initrd"),
        (!source.cmdline.is_empty(), "--cmdline"),
        (!source.modules.is_empty(), "--module"),
    ] {
        if given {
            return Err(LoadError::NotWithBios(option));
        }
    }
    if !SIZES.contains(&image.len()) || !image.len().is_multiple_of(PAGE) {
        return Err(LoadError::FirmwareSize(image.len()));
    }
    Ok(EntryState::reset())
}
