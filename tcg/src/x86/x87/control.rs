//! FINCSTP, FDECSTP, FFREE, FNCLEX, FLDCW.

use super::state::{X87, sw};
use crate::softfloat::Flags;

/// Control word bits that can be written; bit 6 always reads 1.
const CW_WRITABLE: u16 = 0x1f3f;
const CW_ONE: u16 = 0x40;

impl X87 {
    pub(super) fn fincstp(&mut self) {
        self.set_c1(false);
        self.set_top(self.top() + 1);
    }

    pub(super) fn fdecstp(&mut self) {
        self.set_c1(false);
        self.set_top(self.top() + 7);
    }

    pub(super) fn ffree(&mut self, i: u8, pop: bool) {
        self.set_c1(false);
        self.free(i);
        if pop {
            self.pop();
        }
    }

    pub(super) fn fnclex(&mut self) {
        self.sw &= !(u16::from(Flags::ALL.bits()) | sw::SF | sw::ES | sw::B);
    }

    pub(super) fn fldcw(&mut self, cw: u16) {
        self.load_cw(cw);
        self.update_summary();
    }

    /// Loads the control word without looking at pending exceptions.
    pub(super) fn load_cw(&mut self, cw: u16) {
        self.cw = cw & CW_WRITABLE | CW_ONE;
    }
}
