//! Rectangles of a picture as a client wants them: Raw and ZRLE (RFC 6143, 7.7).

use super::pixels::PixelFormat;
use flate2::{Compress, Compression, FlushCompress};
use rrvmm_devices::vga::Frame;
use std::io;

/// Pixels of a tile, either way; also the grain in which pictures are compared.
pub(super) const TILE: u32 = 64;
/// Numbers of the encodings.
pub(super) const RAW: i32 = 0;
pub(super) const ZRLE: i32 = 16;
pub(super) const DESKTOP_SIZE: i32 = -223;
/// QEMU's pseudo-encoding for the lights of the keyboard (RFB community specification, "LED State").
pub(super) const LED_STATE: i32 = -261;
/// Most colours of a palette.
const PALETTE: usize = 16;

/// A part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Rect {
    /// All of `frame`.
    pub fn whole(frame: &Frame) -> Self {
        Self { x: 0, y: 0, width: frame.width, height: frame.height }
    }

    /// What both have, unless that is nothing.
    pub fn overlap(self, other: Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let right = (self.x + self.width).min(other.x + other.width);
        let bottom = (self.y + self.height).min(other.y + other.height);
        (x < right && y < bottom).then(|| Self { x, y, width: right - x, height: bottom - y })
    }

    /// Its head in an update.
    pub fn head(self, encoding: i32) -> [u8; 12] {
        let mut head = [0; 12];
        for (n, value) in [self.x, self.y, self.width, self.height].into_iter().enumerate() {
            head[2 * n..][..2].copy_from_slice(&(value as u16).to_be_bytes());
        }
        head[8..].copy_from_slice(&encoding.to_be_bytes());
        head
    }
}

fn row(frame: &Frame, x: u32, y: u32, width: u32) -> &[[u8; 3]] {
    let start = (y as usize * frame.width as usize + x as usize) * 3;
    frame.rgb[start..start + width as usize * 3].as_chunks().0
}

/// The parts of `new` within `area` in which it differs from `old`, which has the same size.
pub(super) fn changes(old: &Frame, new: &Frame, area: Rect) -> Vec<Rect> {
    let mut rects: Vec<Rect> = Vec::new();
    for y in (0..new.height).step_by(TILE as usize) {
        for x in (0..new.width).step_by(TILE as usize) {
            let tile = Rect { x, y, width: TILE.min(new.width - x), height: TILE.min(new.height - y) };
            let Some(tile) = tile.overlap(area) else { continue };
            let differs = (tile.y..tile.y + tile.height)
                .any(|y| row(old, tile.x, y, tile.width) != row(new, tile.x, y, tile.width));
            if !differs {
                continue;
            }
            match rects.last_mut() {
                Some(last) if last.y == tile.y && last.x + last.width == tile.x => last.width += tile.width,
                _ => rects.push(tile),
            }
        }
    }
    rects
}

/// Appends the pixels of `rect`, one after the other.
pub(super) fn raw(frame: &Frame, rect: Rect, format: PixelFormat, to: &mut Vec<u8>) {
    for y in rect.y..rect.y + rect.height {
        row(frame, rect.x, y, rect.width).iter().for_each(|rgb| format.put(*rgb, to));
    }
}

/// The stream that a connection's ZRLE rectangles share.
pub(super) struct Zrle(Compress);

impl Zrle {
    pub fn new() -> Self {
        Self(Compress::new(Compression::fast(), true))
    }

    /// Appends the pixels of `rect`: a length and tiles, compressed.
    pub fn put(
        &mut self,
        frame: &Frame,
        rect: Rect,
        format: PixelFormat,
        to: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut tiles = Vec::new();
        for y in (rect.y..rect.y + rect.height).step_by(TILE as usize) {
            for x in (rect.x..rect.x + rect.width).step_by(TILE as usize) {
                let width = TILE.min(rect.x + rect.width - x);
                let height = TILE.min(rect.y + rect.height - y);
                tile(frame, Rect { x, y, width, height }, format, &mut tiles);
            }
        }
        let length_at = to.len();
        to.extend([0; 4]);
        self.compress(&tiles, to)?;
        let length = (to.len() - length_at - 4) as u32;
        to[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn compress(&mut self, mut bytes: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
        loop {
            to.reserve(bytes.len() / 2 + 1024);
            let before = self.0.total_in();
            self.0.compress_vec(bytes, to, FlushCompress::Sync).map_err(io::Error::other)?;
            bytes = &bytes[(self.0.total_in() - before) as usize..];
            // Room that is left means that everything is out.
            if bytes.is_empty() && to.len() < to.capacity() {
                return Ok(());
            }
        }
    }
}

/// Appends a tile: one colour, a palette, or its pixels.
fn tile(frame: &Frame, tile: Rect, format: PixelFormat, to: &mut Vec<u8>) {
    let rows = || (tile.y..tile.y + tile.height).map(|y| row(frame, tile.x, y, tile.width));
    let Some(palette) = palette(rows().flatten()) else {
        to.push(0);
        rows().flatten().for_each(|rgb| format.put_compact(*rgb, to));
        return;
    };
    to.push(palette.len() as u8);
    palette.iter().for_each(|rgb| format.put_compact(*rgb, to));
    let bits = match palette.len() {
        1 => return,
        2 => 1,
        3 | 4 => 2,
        _ => 4,
    };
    for row in rows() {
        let (mut byte, mut free) = (0, 8);
        for rgb in row {
            let index = palette.iter().position(|colour| colour == rgb).unwrap_or(0);
            free -= bits;
            byte |= (index as u8) << free;
            if free == 0 {
                to.push(byte);
                (byte, free) = (0, 8);
            }
        }
        if free < 8 {
            to.push(byte);
        }
    }
}

/// The colours, if they are few.
fn palette<'a>(pixels: impl Iterator<Item = &'a [u8; 3]>) -> Option<Vec<[u8; 3]>> {
    let mut palette: Vec<[u8; 3]> = Vec::with_capacity(PALETTE);
    for rgb in pixels {
        if palette.last() != Some(rgb) && !palette.contains(rgb) {
            if palette.len() == PALETTE {
                return None;
            }
            palette.push(*rgb);
        }
    }
    Some(palette)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with something in it.
    fn picture(seed: u32) -> Frame {
        let mut frame = Frame::black(150, 70);
        for (n, byte) in (0u32..).zip(frame.rgb.iter_mut()) {
            let pixel = n / 3;
            *byte = match pixel % 150 {
                0..64 => 7,
                64..128 => (pixel % 3) as u8 * 9,
                _ => pixel.wrapping_mul(2_654_435_761).wrapping_add(seed).wrapping_add(n % 3) as u8,
            };
        }
        frame
    }

    /// Decodes ZRLE rectangles as a client does.
    fn decode(tiles: &[u8], rect: Rect) -> Frame {
        let mut frame = Frame::black(rect.width, rect.height);
        let mut at = 0;
        let mut take = |n: usize| {
            at += n;
            &tiles[at - n..at]
        };
        for y in (0..rect.height).step_by(64) {
            for x in (0..rect.width).step_by(64) {
                let (width, height) = (64.min(rect.width - x), 64.min(rect.height - y));
                let count = usize::from(take(1)[0]);
                let colours: Vec<[u8; 3]> = (0..count).map(|_| take(3).try_into().unwrap()).collect();
                let bits = [0, 0, 1, 2, 2].get(count).copied().unwrap_or(4);
                for line in y..y + height {
                    let packed = take((width as usize * bits).div_ceil(8)).to_vec();
                    for n in 0..width as usize {
                        let bgr: [u8; 3] = match count {
                            0 => take(3).try_into().unwrap(),
                            _ => {
                                let bit = n * bits;
                                let shifted = packed.get(bit / 8).map_or(0, |b| b >> (8 - bits - bit % 8));
                                colours[usize::from(shifted) & ((1 << bits) - 1)]
                            }
                        };
                        let to = ((line * rect.width + x) as usize + n) * 3;
                        frame.rgb[to..to + 3].copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
                    }
                }
            }
        }
        frame
    }

    #[test]
    fn zrle_decodes_to_the_same_pixels_also_the_second_time() {
        let mut zrle = Zrle::new();
        let mut inflate = flate2::Decompress::new(true);
        for seed in 0..3 {
            let frame = picture(seed);
            let mut bytes = Vec::new();
            zrle.put(&frame, Rect::whole(&frame), PixelFormat::OURS, &mut bytes).unwrap();
            assert_eq!(bytes.len() - 4, u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize);
            let mut tiles = Vec::with_capacity(1 << 20);
            inflate.decompress_vec(&bytes[4..], &mut tiles, flate2::FlushDecompress::Sync).unwrap();
            assert_eq!(decode(&tiles, Rect::whole(&frame)), frame);
        }
    }

    #[test]
    fn only_what_changed_is_sent() {
        let old = picture(0);
        let mut new = old.clone();
        assert!(changes(&old, &new, Rect::whole(&old)).is_empty());
        new.rgb[(69 * 150 + 70) * 3] ^= 1;
        new.rgb[(69 * 150 + 149) * 3] ^= 1;
        let both = [Rect { x: 64, y: 64, width: 86, height: 6 }];
        assert_eq!(changes(&old, &new, Rect::whole(&old)), both);
        let left = Rect { x: 0, y: 0, width: 64, height: 70 };
        assert!(changes(&old, &new, left).is_empty());
    }
}
