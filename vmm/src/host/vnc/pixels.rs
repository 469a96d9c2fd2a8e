//! Pixels as a client wants them (RFC 6143, 7.4).

use std::io;

/// A client's pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PixelFormat {
    bytes: usize,
    depth: u8,
    big_endian: bool,
    max: [u16; 3],
    shift: [u8; 3],
}

impl PixelFormat {
    /// Bytes of a pixel format in a message.
    pub const BYTES: usize = 16;
    /// 32 bits: blue lowest, then green, red.
    pub const OURS: Self = Self { bytes: 4, depth: 24, big_endian: false, max: [255; 3], shift: [16, 8, 0] };

    /// As a message has it.
    pub fn write(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&[self.bytes as u8 * 8, self.depth, u8::from(self.big_endian), 1]);
        for (n, max) in self.max.into_iter().enumerate() {
            bytes[4 + 2 * n..][..2].copy_from_slice(&max.to_be_bytes());
        }
        bytes[10..13].copy_from_slice(&self.shift);
        bytes
    }

    /// Reads one from a message. Colour maps are not served.
    pub fn read(bytes: &[u8; Self::BYTES]) -> io::Result<Self> {
        let max = |n: usize| u16::from_be_bytes([bytes[4 + 2 * n], bytes[5 + 2 * n]]);
        let format = Self {
            bytes: usize::from(bytes[0] / 8),
            depth: bytes[1],
            big_endian: bytes[2] != 0,
            max: [max(0), max(1), max(2)],
            shift: [bytes[10], bytes[11], bytes[12]],
        };
        let is_known =
            matches!(bytes[0], 8 | 16 | 32) && bytes[3] != 0 && format.shift.iter().all(|s| *s < 32);
        if is_known { Ok(format) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Appends a pixel.
    pub fn put(self, rgb: [u8; 3], to: &mut Vec<u8>) {
        self.put_bytes(rgb, 0..self.bytes, to);
    }

    /// Appends a pixel as ZRLE has it (RFC 6143, 7.7.5): without the byte that is always zero.
    pub fn put_compact(self, rgb: [u8; 3], to: &mut Vec<u8>) {
        self.put_bytes(rgb, self.compact(), to);
    }

    fn put_bytes(self, rgb: [u8; 3], range: std::ops::Range<usize>, to: &mut Vec<u8>) {
        let value = self.value(rgb);
        let mut bytes = value.to_le_bytes();
        if self.big_endian {
            bytes[..self.bytes].reverse();
        }
        to.extend_from_slice(&bytes[range]);
    }

    fn value(self, rgb: [u8; 3]) -> u32 {
        let part = |n: usize| {
            let level = (u32::from(rgb[n]) * u32::from(self.max[n]) + 127) / 255;
            level << self.shift[n]
        };
        part(0) | part(1) | part(2)
    }

    /// Which bytes of a pixel ZRLE sends.
    fn compact(self) -> std::ops::Range<usize> {
        let used = self.value([255; 3]);
        if self.bytes != 4 || self.depth > 24 {
            return 0..self.bytes;
        }
        match (used & 0xff00_0000 == 0, used & 0xff == 0, self.big_endian) {
            (true, _, false) => 0..3,
            (true, _, true) => 1..4,
            (false, true, false) => 1..4,
            (false, true, true) => 0..3,
            (false, false, _) => 0..4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(format: PixelFormat, rgb: [u8; 3]) -> (Vec<u8>, Vec<u8>) {
        let (mut whole, mut compact) = (Vec::new(), Vec::new());
        format.put(rgb, &mut whole);
        format.put_compact(rgb, &mut compact);
        (whole, compact)
    }

    #[test]
    fn formats_are_read_and_pixels_written_in_them() {
        assert_eq!(PixelFormat::read(&PixelFormat::OURS.write()).unwrap(), PixelFormat::OURS);
        assert_eq!(put(PixelFormat::OURS, [1, 2, 3]), (vec![3, 2, 1, 0], vec![3, 2, 1]));
        let big = PixelFormat { big_endian: true, ..PixelFormat::OURS };
        assert_eq!(put(big, [1, 2, 3]), (vec![0, 1, 2, 3], vec![1, 2, 3]));
        let high = PixelFormat { shift: [24, 16, 8], ..PixelFormat::OURS };
        assert_eq!(put(high, [1, 2, 3]), (vec![0, 3, 2, 1], vec![3, 2, 1]));
        let small =
            PixelFormat { bytes: 2, depth: 16, max: [31, 63, 31], shift: [11, 5, 0], ..PixelFormat::OURS };
        assert_eq!(put(small, [255, 0, 255]).0, [0x1f, 0xf8]);
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for (at, value) in [(0, 24), (0, 0), (3, 0), (10, 32)] {
            let mut bytes = PixelFormat::OURS.write();
            bytes[at] = value;
            assert!(PixelFormat::read(&bytes).is_err());
        }
    }
}
