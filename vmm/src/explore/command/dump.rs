//! Memory as numbers.

use std::fmt::Write;

/// Bytes in a line.
const LINE: usize = 16;
/// Most units at once.
const MOST: usize = 4096;

/// How to show memory: gdb's `/8xg` and the like, hexadecimal only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    count: usize,
    size: usize,
}

impl Format {
    /// Reads a count and letters: `x` is understood, a size `b`, `h`, `w` or `g` counts; without one it is `w`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (count, letters) = text.split_at(end);
        let count = if count.is_empty() { 1 } else { count.parse().unwrap_or(usize::MAX) };
        if count == 0 || count > MOST {
            return Err(format!("show 1 to {MOST} units at once"));
        }
        let mut size = 4;
        for letter in letters.chars() {
            size = match letter {
                'x' => size,
                'b' => 1,
                'h' => 2,
                'w' => 4,
                'g' => 8,
                _ => return Err(format!("{letter:?} is no size; write b, h, w or g")),
            };
        }
        Ok(Self { count, size })
    }

    /// Bytes to read.
    pub(super) fn bytes(self) -> usize {
        self.count * self.size
    }

    /// `bytes`, which are from `addr` on, in lines; an incomplete last unit is left out.
    pub(super) fn write(self, addr: u64, bytes: &[u8]) -> String {
        let mut text = String::new();
        for (number, line) in bytes.chunks(LINE).enumerate() {
            let _ = write!(text, "{:#018x}:", addr.wrapping_add((number * LINE) as u64));
            for unit in line.chunks_exact(self.size) {
                let value = unit.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
                let _ = write!(text, " 0x{value:0width$x}", width = 2 * self.size);
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shown_in_units() {
        let format = Format::read("3xh").unwrap();
        assert_eq!(format.bytes(), 6);
        assert_eq!(format.write(0x1000, &[1, 2, 3, 4, 5, 6]), "0x0000000000001000: 0x0201 0x0403 0x0605\n");
        assert_eq!(Format::read(""), Ok(Format { count: 1, size: 4 }));
        assert_eq!(Format::read("gx"), Ok(Format { count: 1, size: 8 }));
    }

    #[test]
    fn too_much_or_nonsense_is_refused() {
        for text in ["0", "5000", "99999999999999999999", "8s", "b8"] {
            assert!(Format::read(text).is_err(), "{text:?}");
        }
    }
}
