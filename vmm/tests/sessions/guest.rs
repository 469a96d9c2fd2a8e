//! Three guests: one echoes what comes in at COM1 until it has echoed a `q`, then leaves with status 33; one never stops
//! writing to the debug console; one has the first sector of an IDE disk moved to memory, and leaves with status 33.

use std::path::PathBuf;
use tempfile::TempDir;

/// What the echoing guest exits with.
pub const STATUS: i32 = 0x10 * 2 + 1;

const LOAD: u32 = 0x10_0000;
const FLOOD: &[u8] = &[
    0xB0, b'x', // start: mov $'x', %al
    0xE6, 0xE9, // again: out %al, $0xe9
    0xEB, 0xFC, //        jmp again
];
const ECHO: &[u8] = &[
    0xBA, 0xFD, 0x03, 0x00, 0x00, // start: mov $0x3fd, %edx (line status)
    0xEC, //                        wait:  in %dx, %al
    0xA8, 0x01, //                         test $1, %al
    0x74, 0xFB, //                         jz wait
    0xB2, 0xF8, //                         mov $0xf8, %dl
    0xEC, //                               in %dx, %al
    0xEE, //                               out %al, %dx
    0x3C, b'q', //                         cmp $'q', %al
    0x75, 0xEE, //                         jne start
    0xB0, 0x10, //                         mov $0x10, %al
    0xE6, 0xF4, //                         out %al, $0xf4
    0xF4, //                               hlt
];

/// Where the guest that reads a disk has it put.
pub const SECTOR: u64 = 0x6000;
#[rustfmt::skip]
const READ_DISK: &[u8] = &[
    0xBA, 0xF8, 0x0C, 0x00, 0x00, // mov $0xcf8,%edx
    0xB8, 0x04, 0x09, 0x00, 0x80, // mov $0x80000904,%eax
    0xEF, // out %eax,%dx
    0xB2, 0xFC, // mov $0xfc,%dl
    0xB0, 0x07, // mov $0x7,%al
    0xEE, // out %al,%dx
    0xC7, 0x05, 0x00, 0x50, 0x00, 0x00, 0x00, 0x60, 0x00, 0x00, // movl $0x6000,0x5000
    0xC7, 0x05, 0x04, 0x50, 0x00, 0x00, 0x00, 0x02, 0x00, 0x80, // movl $0x80000200,0x5004
    0xBA, 0x04, 0xC0, 0x00, 0x00, // mov $0xc004,%edx
    0xB8, 0x00, 0x50, 0x00, 0x00, // mov $0x5000,%eax
    0xEF, // out %eax,%dx
    0xB2, 0x00, // mov $0x0,%dl
    0xB0, 0x08, // mov $0x8,%al
    0xEE, // out %al,%dx
    0xBA, 0xF2, 0x01, 0x00, 0x00, // mov $0x1f2,%edx
    0xB0, 0x01, // mov $0x1,%al
    0xEE, // out %al,%dx
    0xB0, 0x00, // mov $0x0,%al
    0x42, // inc %edx
    0xEE, // out %al,%dx
    0x42, // inc %edx
    0xEE, // out %al,%dx
    0x42, // inc %edx
    0xEE, // out %al,%dx
    0x42, // inc %edx
    0xB0, 0xE0, // mov $0xe0,%al
    0xEE, // out %al,%dx
    0x42, // inc %edx
    0xB0, 0xC8, // mov $0xc8,%al
    0xEE, // out %al,%dx
    0xBA, 0x00, 0xC0, 0x00, 0x00, // mov $0xc000,%edx
    0xB0, 0x09, // mov $0x9,%al
    0xEE, // out %al,%dx
    0xB2, 0x02, // mov $0x2,%dl
    0xEC, // in %dx,%al
    0xA8, 0x04, // test $0x4,%al
    0x74, 0xFB, // jz wait
    0xA0, 0x00, 0x60, 0x00, 0x00, // mov 0x6000,%al
    0xB0, 0x10, // mov $0x10,%al
    0xE6, 0xF4, // out %al,$0xf4
    0xF4, // hlt
];

/// Writes the echoing guest into `directory`.
pub fn echo(directory: &TempDir) -> PathBuf {
    write(directory, "echo", ECHO)
}

/// Writes the guest that never stops into `directory`.
pub fn flood(directory: &TempDir) -> PathBuf {
    write(directory, "flood", FLOOD)
}

/// A Multiboot image that is loaded by the addresses in its header.
fn write(directory: &TempDir, name: &str, code: &[u8]) -> PathBuf {
    let flags = 1u32 << 16;
    let checksum = 0u32.wrapping_sub(0x1BAD_B002).wrapping_sub(flags);
    let header = [0x1BAD_B002, flags, checksum, LOAD, LOAD, 0, 0, LOAD + 32];
    let image: Vec<u8> =
        header.iter().flat_map(|word: &u32| word.to_le_bytes()).chain(code.iter().copied()).collect();
    let path = directory.path().join(name);
    std::fs::write(&path, image).unwrap();
    path
}

/// Writes the guest that reads a disk into `directory`.
pub fn read_disk(directory: &TempDir) -> PathBuf {
    write(directory, "read-disk", READ_DISK)
}
