//! The MMX registers, which are the significands of the physical x87 registers (SDM volume 1, 9.2 and 9.5).

use super::state::X87;

impl X87 {
    /// What every MMX instruction but EMMS does first: TOP becomes 0, every register valid.
    #[inline]
    pub fn enter_mmx(&mut self) {
        self.set_top(0);
        self.tag = 0xff;
    }

    /// MM`i`.
    #[inline]
    #[must_use]
    pub fn mmx(&self, i: u8) -> u64 {
        self.st[usize::from(i & 7)].sig
    }

    /// Writes MM`i`; the bits above it in the x87 register become ones.
    #[inline]
    pub fn set_mmx(&mut self, i: u8, value: u64) {
        let register = &mut self.st[usize::from(i & 7)];
        register.sig = value;
        register.se = 0xffff;
    }

    /// EMMS: every register empty.
    #[inline]
    pub fn emms(&mut self) {
        self.set_top(0);
        self.tag = 0;
    }
}
