//! What a drive says of itself (ATA8-ACS, IDENTIFY DEVICE and IDENTIFY PACKET DEVICE).

use super::drive::{Drive, Media};
use super::registers::{HEADS, SECTORS_PER_TRACK};

/// Most sectors of a READ MULTIPLE.
pub(super) const MAX_MULTIPLE: u8 = 16;
/// Commands that a drive with a queue takes at a time.
pub const QUEUE: u16 = 32;

/// The 256 words of a drive's identity, least significant byte first.
pub(super) fn identify(drive: &Drive) -> Vec<u8> {
    let mut words = [0u16; 256];
    let is_disk = drive.config.media == Media::Disk;
    string(&mut words[10..20], &format!("RR{:05}", drive.config.disk));
    string(&mut words[23..27], "1.0");
    let model = if is_disk { "RRVMM HARDDISK" } else { "RRVMM DVD-ROM" };
    string(&mut words[27..47], model);
    // DMA, LBA, IORDY.
    words[49] = 0x0b00;
    words[51] = 0x0200;
    words[53] = 0x0007;
    modes(&mut words, drive.mode);
    // ATA/ATAPI-4 to 7.
    words[80] = 0x00f0;
    words[83..=84].copy_from_slice(&[0x4000; 2]);
    words[87] = 0x4000;
    if is_disk {
        disk(&mut words, drive);
    } else {
        // CD-ROM, removable, packets of 12 bytes, which it takes at once.
        words[0] = 0x85c0;
        words[82] = 0x0210;
        words[85] = 0x0210;
    }
    if drive.config.serial {
        serial_ata(&mut words, is_disk);
    } else {
        // The cable has 80 conductors.
        words[93] = 0x6001;
    }
    // The sum of all bytes is zero.
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes[510] = 0xa5;
    bytes[511] = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
    bytes
}

fn disk(words: &mut [u16; 256], drive: &Drive) {
    let sectors = drive.config.sectors;
    let cylinders = (sectors / (HEADS * SECTORS_PER_TRACK)).min(16383);
    let geometry = [cylinders as u16, HEADS as u16, SECTORS_PER_TRACK as u16];
    words[0] = 0x0040;
    (words[1], words[3], words[6]) = (geometry[0], geometry[1], geometry[2]);
    words[54..57].copy_from_slice(&geometry);
    double(words, 57, (cylinders * HEADS * SECTORS_PER_TRACK) as u32);
    words[47] = 0x8000 | u16::from(MAX_MULTIPLE);
    words[59] = if drive.multiple > 0 { 0x0100 | u16::from(drive.multiple) } else { 0 };
    double(words, 60, sectors.min(0x0fff_ffff) as u32);
    // Write cache; 48-bit numbers, FLUSH CACHE, FLUSH CACHE EXT. On from the start.
    words[82] = 0x0020;
    words[83] = 0x7400;
    words[85] = 0x0020;
    words[86] = 0x3400;
    double(words, 100, sectors as u32);
    double(words, 102, (sectors >> 32) as u32);
    // Does not rotate.
    words[217] = 1;
}

/// PIO 4, multiword DMA 2, Ultra DMA 5, and which of them is chosen (SET FEATURES).
fn modes(words: &mut [u16; 256], mode: u8) {
    let chosen = 1u16 << (8 + (mode & 7));
    words[62] = 0;
    words[63] = 0x0007 | if mode >> 3 == 4 { chosen } else { 0 };
    words[64] = 0x0003;
    words[65..69].copy_from_slice(&[120; 4]);
    words[88] = 0x003f | if mode >> 3 == 8 { chosen } else { 0 };
}

fn serial_ata(words: &mut [u16; 256], is_disk: bool) {
    // 1.5 and 3 Gbit/s, and a queue.
    words[76] = 0x0006 | if is_disk { 0x0100 } else { 0 };
    words[75] = if is_disk { QUEUE - 1 } else { 0 };
    words[80] = 0x01f0;
    words[222] = 0x101f;
}

fn double(words: &mut [u16; 256], at: usize, value: u32) {
    words[at] = value as u16;
    words[at + 1] = (value >> 16) as u16;
}

/// Text, filled up with spaces, with the first of two characters in a word's upper byte.
fn string(words: &mut [u16], text: &str) {
    let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
    for word in words {
        let pair = [bytes.next().unwrap_or(b' '), bytes.next().unwrap_or(b' ')];
        *word = u16::from_be_bytes(pair);
    }
}
