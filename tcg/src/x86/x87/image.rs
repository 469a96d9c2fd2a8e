//! Memory images: the FNSTENV and FNSAVE layouts (SDM volume 1, figures 8-9 to 8-12) and the x87 part of FXSAVE and XSAVE.

use super::state::X87;
use crate::softfloat::{Class, F80, Float};

/// Which of the four environment layouts applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvLayout {
    /// Operand size 32 (28-byte environment) rather than 16 (14 bytes).
    pub wide: bool,
    /// Real-address or virtual-8086 mode: linear pointers and the opcode rather than selectors.
    pub real: bool,
}

impl EnvLayout {
    /// Size of the environment (FNSTENV, FLDENV), in bytes.
    #[must_use]
    pub const fn env_bytes(self) -> usize {
        if self.wide { 28 } else { 14 }
    }

    /// Size of environment and registers (FNSAVE, FRSTOR), in bytes.
    #[must_use]
    pub const fn state_bytes(self) -> usize {
        self.env_bytes() + 80
    }

    const fn field_bytes(self) -> usize {
        if self.wide { 4 } else { 2 }
    }
}

/// Size of the largest image.
pub const IMAGE_MAX: usize = 108;

/// An image's seven fields, without their padding.
fn get_field(image: &[u8; IMAGE_MAX], layout: EnvLayout, index: usize) -> u32 {
    let at = index * layout.field_bytes();
    let low = u32::from(image[at]) | u32::from(image[at + 1]) << 8;
    if layout.wide { low | u32::from(image[at + 2]) << 16 | u32::from(image[at + 3]) << 24 } else { low }
}

fn put_field(image: &mut [u8; IMAGE_MAX], layout: EnvLayout, index: usize, value: u32) {
    let (at, bytes) = (index * layout.field_bytes(), layout.field_bytes());
    image[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
}

impl X87 {
    /// The 16-bit tag word: for each physical register 0 valid, 1 zero, 2 special, 3 empty.
    #[must_use]
    pub fn tag_word(&self) -> u16 {
        (0..8).fold(0, |word, r| {
            let tag = match self.st[r].parts().class {
                _ if self.tag >> r & 1 == 0 => 3,
                Class::Normal => 0,
                Class::Zero => 1,
                Class::Denormal
                | Class::Infinity
                | Class::QuietNan
                | Class::SignallingNan
                | Class::Unsupported => 2,
            };
            word | tag << (2 * r)
        })
    }

    fn set_tag_word(&mut self, word: u16) {
        self.tag = (0..8).fold(0, |tag, r| tag | u8::from(word >> (2 * r) & 3 != 3) << r);
    }

    /// What FNSTENV stores: the first [`EnvLayout::env_bytes`] bytes. The caller then calls [`Self::mask_all`].
    #[must_use]
    pub fn env_image(&self, layout: EnvLayout) -> [u8; IMAGE_MAX] {
        let mut image = [0; IMAGE_MAX];
        // Reserved upper halves read as ones.
        let ones = 0xffff_0000;
        let mut put = |index, value: u32| put_field(&mut image, layout, index, value);
        put(0, u32::from(self.cw) | ones);
        put(1, u32::from(self.sw) | ones);
        put(2, u32::from(self.tag_word()) | ones);
        let (fop, fcs, fds) = (u32::from(self.fop), u32::from(self.fcs), u32::from(self.fds));
        let (fip, fdp) = (self.fip as u32, self.fdp as u32);
        if layout.real {
            let (fip, fdp) = (fip.wrapping_add(fcs << 4), fdp.wrapping_add(fds << 4));
            // Bits 16 to 31 follow the opcode: at bit 12 of a field, in either size.
            put(3, if layout.wide { fip & 0xffff } else { fip });
            put(4, if layout.wide { (fip >> 16) << 12 | fop } else { (fip >> 16 & 15) << 12 | fop });
            put(5, if layout.wide { fdp & 0xffff } else { fdp });
            put(6, if layout.wide { (fdp >> 16) << 12 } else { (fdp >> 16 & 15) << 12 });
        } else {
            put(3, fip);
            put(4, fcs | fop << 16);
            put(5, fdp);
            put(6, fds | ones);
        }
        image
    }

    /// FNSTENV's last step, once its image is in memory: all exceptions masked, none pending.
    pub fn mask_all(&mut self) {
        self.cw |= 0x3f;
        self.update_summary();
    }

    /// FLDENV, from the first [`EnvLayout::env_bytes`] bytes.
    pub fn load_env(&mut self, image: &[u8; IMAGE_MAX], layout: EnvLayout) {
        let get = |index| get_field(image, layout, index);
        self.load_cw(get(0) as u16);
        self.sw = get(1) as u16;
        self.set_tag_word(get(2) as u16);
        if layout.real {
            let high = |field: u32| {
                if layout.wide { (field >> 12 & 0xffff) << 16 } else { (field >> 12 & 15) << 16 }
            };
            self.fip = (get(3) & 0xffff | high(get(4))).into();
            self.fdp = (get(5) & 0xffff | high(get(6))).into();
            self.fop = get(4) as u16 & 0x7ff;
            self.fcs = 0;
            self.fds = 0;
        } else {
            self.fip = get(3).into();
            self.fdp = get(5).into();
            self.fcs = get(4) as u16;
            self.fds = get(6) as u16;
            if layout.wide {
                self.fop = (get(4) >> 16) as u16 & 0x7ff;
            }
        }
        self.update_summary();
    }

    /// What FNSAVE stores: the first [`EnvLayout::state_bytes`] bytes. The caller then calls [`Self::init`].
    #[must_use]
    pub fn state_image(&self, layout: EnvLayout) -> [u8; IMAGE_MAX] {
        let mut image = self.env_image(layout);
        for i in 0..8 {
            let at = layout.env_bytes() + 10 * usize::from(i);
            image[at..at + 10].copy_from_slice(&self.get(i).to_bytes());
        }
        image
    }

    /// FRSTOR, from the first [`EnvLayout::state_bytes`] bytes.
    pub fn restore(&mut self, image: &[u8; IMAGE_MAX], layout: EnvLayout) {
        self.load_env(image, layout);
        for i in 0..8u8 {
            let at = layout.env_bytes() + 10 * usize::from(i);
            self.put_register(i, &image[at..at + 10]);
        }
    }

    /// Writes ST(i) from ten bytes, the tags untouched.
    fn put_register(&mut self, i: u8, bytes: &[u8]) {
        let mut value = [0; 10];
        value.copy_from_slice(bytes);
        self.st[usize::from((self.top() + i) & 7)] = F80::from_bytes(value);
    }

    /// The x87 part of an FXSAVE or XSAVE area: its bytes 0 to 159. Bytes 24 to 31 (MXCSR and its mask) are left zero for
    /// the caller. `rex_w`: 64-bit pointers without selectors.
    #[must_use]
    pub fn fxsave(&self, rex_w: bool) -> [u8; 160] {
        let mut area = [0; 160];
        area[0..2].copy_from_slice(&self.cw.to_le_bytes());
        area[2..4].copy_from_slice(&self.sw.to_le_bytes());
        area[4] = self.tag;
        area[6..8].copy_from_slice(&self.fop.to_le_bytes());
        let pointer = |offset: u64, selector: u16| {
            if rex_w { offset } else { offset & 0xffff_ffff | u64::from(selector) << 32 }
        };
        area[8..16].copy_from_slice(&pointer(self.fip, self.fcs).to_le_bytes());
        area[16..24].copy_from_slice(&pointer(self.fdp, self.fds).to_le_bytes());
        for i in 0..8 {
            let at = 32 + 16 * usize::from(i);
            area[at..at + 10].copy_from_slice(&self.get(i).to_bytes());
        }
        area
    }

    /// Loads what [`Self::fxsave`] stored (FXRSTOR, XRSTOR).
    pub fn fxrstor(&mut self, area: &[u8; 160], rex_w: bool) {
        let word = |at: usize| u16::from_le_bytes([area[at], area[at + 1]]);
        let quad = |at: usize| (0..4).fold(0, |value, i| value | u64::from(word(at + 2 * i)) << (16 * i));
        self.load_cw(word(0));
        self.sw = word(2);
        self.tag = area[4];
        self.fop = word(6) & 0x7ff;
        let (ip, dp) = (quad(8), quad(16));
        let offset_mask = if rex_w { u64::MAX } else { 0xffff_ffff };
        (self.fip, self.fdp) = (ip & offset_mask, dp & offset_mask);
        (self.fcs, self.fds) = if rex_w { (0, 0) } else { ((ip >> 32) as u16, (dp >> 32) as u16) };
        for i in 0..8u8 {
            let at = 32 + 16 * usize::from(i);
            self.put_register(i, &area[at..at + 10]);
        }
        self.update_summary();
    }

    /// Whether the x87 state component is in its initial configuration (XSAVE's XINUSE).
    #[must_use]
    pub fn is_initial(&self) -> bool {
        let initial = Self { tag: 0, cw: 0x37f, ..Self::reset() };
        *self == initial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear pointers 12345h and ABCDEh, opcode D9 C1.
    fn state() -> X87 {
        let mut x87 = X87::reset();
        x87.note_instruction(0x1c1, 0x1234, 0x5);
        x87.note_operand(0xa000, 0xbcde);
        x87
    }

    #[test]
    fn real_mode_layouts_hold_linear_pointers_and_the_opcode() {
        let narrow = state().env_image(EnvLayout { wide: false, real: true });
        assert_eq!(narrow[6..14], [0x45, 0x23, 0xc1, 0x11, 0xde, 0xbc, 0x00, 0xa0]);
        let wide = state().env_image(EnvLayout { wide: true, real: true });
        let fields = [0x45, 0x23, 0, 0, 0xc1, 0x11, 0, 0, 0xde, 0xbc, 0, 0, 0x00, 0xa0, 0, 0];
        assert_eq!(wide[12..28], fields);
    }

    #[test]
    fn every_layout_survives_a_round_trip() {
        for (wide, real) in [(false, false), (false, true), (true, false), (true, true)] {
            let layout = EnvLayout { wide, real };
            let image = state().state_image(layout);
            let mut x87 = X87::reset();
            x87.restore(&image, layout);
            assert_eq!(x87.state_image(layout), image, "{layout:?}");
        }
    }

    #[test]
    fn only_an_initialised_unit_is_initial() {
        assert!(!X87::reset().is_initial());
        let mut x87 = X87::reset();
        x87.init();
        assert!(x87.is_initial());
        x87.execute(crate::x86::x87::X87Op::FldConstant(crate::x86::x87::Constant::Zero), 0).unwrap();
        assert!(!x87.is_initial());
    }
}
