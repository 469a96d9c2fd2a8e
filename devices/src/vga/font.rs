//! The font that a video BIOS would put into plane 2: Spleen 8 by 16, in the order of code page 437.

use spleen_font::FONT_8X16;

/// Rows of a glyph.
pub(super) const ROWS: usize = 16;

/// What stands in code page 437, control characters as they are drawn.
const CODE_PAGE: &str = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼ !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`\
    abcdefghijklmnopqrstuvwxyz{|}~⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

/// The 256 glyphs, a byte a row, the leftmost dot highest. What the font lacks is blank.
pub(super) fn glyphs() -> Vec<[u8; ROWS]> {
    let font = Psf1::new(FONT_8X16);
    CODE_PAGE.chars().map(|c| font.glyph(c).unwrap_or_default()).collect()
}

/// A console font in version 1 of the PC screen font format (Linux kbd, psf.txt).
struct Psf1<'a> {
    glyphs: &'a [[u8; ROWS]],
    /// For each glyph the characters it stands for, in UTF-16, ended by [`Self::END`].
    table: &'a [[u8; 2]],
}

impl<'a> Psf1<'a> {
    const END: u16 = 0xffff;
    const HEADER: usize = 4;

    fn new(file: &'a [u8]) -> Self {
        let has_512 = file.get(2).is_some_and(|mode| mode & 1 != 0);
        let count = if has_512 { 512 } else { 256 };
        let (glyphs, table) =
            file.get(Self::HEADER..).unwrap_or_default().split_at_checked(count * ROWS).unwrap_or_default();
        Self { glyphs: glyphs.as_chunks().0, table: table.as_chunks().0 }
    }

    fn glyph(&self, c: char) -> Option<[u8; ROWS]> {
        let mut glyph = 0;
        for unit in self.table.iter().map(|unit| u16::from_le_bytes(*unit)) {
            if unit == Self::END {
                glyph += 1;
            } else if u32::from(unit) == u32::from(c) {
                return self.glyphs.get(glyph).copied();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_glyph_and_nearly_all_are_drawn() {
        let glyphs = glyphs();
        assert_eq!(glyphs.len(), 256);
        let blank = (0..256).filter(|code| glyphs[*code] == [0; ROWS]).count();
        assert!(blank <= 14, "{blank} glyphs are blank");
        assert_eq!(glyphs[0xdb], [0xff; ROWS]);
        let letter = glyphs[usize::from(b'L')];
        assert!(letter.iter().filter(|row| **row != 0).count() > 8);
    }

    /// The font is part of a machine's state: another one would be another machine.
    #[test]
    fn the_font_is_the_one_that_recordings_have() {
        let bytes = glyphs().concat();
        let sum = bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        assert_eq!(sum, 0xeaf4_5c7a_9d50_41c7);
    }
}
