//! Two guests: one echoes what comes in at COM1 until it has echoed a `q`, then leaves with status 33; the other never stops
//! writing to the debug console.

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
