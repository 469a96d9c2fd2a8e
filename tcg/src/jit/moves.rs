//! Moves between registers.

use super::{
    asm::Rm,
    emit::Emit,
    regs::{S1, Source, file},
};
use crate::{
    ir::{Op, Reg, Size, Val},
    x86::Cpu,
};

impl Emit<'_> {
    pub(super) fn mov(&mut self, size: Size, dst: Reg, src: Val, rest: &[Op<Cpu>]) {
        if dst == Reg::SINK || self.is_count(dst, src, rest) {
            return;
        }
        match (self.source(src), size) {
            (Source::Imm(v), Size::B | Size::W) => {
                let d = self.update(dst);
                self.a.store_imm(size, Rm::Reg(d), v as i32);
            }
            (Source::Imm(v), Size::D | Size::Q) => {
                let d = self.write(dst);
                self.a.mov_imm(d, v & size.mask());
            }
            (Source::Host(h), _) => self.put(size, dst, h),
            (Source::File(r), Size::B | Size::W) => {
                let d = self.update(dst);
                self.a.load(size, d, file(r));
            }
            (Source::File(r), Size::D | Size::Q) => {
                let d = self.write(dst);
                self.a.load(size, d, file(r));
            }
        }
    }

    pub(super) fn extend(&mut self, signed: bool, from: Size, to: Size, dst: Reg, src: Reg) {
        if dst == Reg::SINK {
            return;
        }
        let s = self.look(src);
        let d = self.write(dst);
        if signed {
            self.a.movsx(from, to, d, s);
        } else {
            self.a.movzx(from.min(to), d, s);
        }
    }

    /// dst = bits 8 to 15 of src.
    pub(super) fn high8(&mut self, dst: Reg, src: Reg) {
        let s = self.read(src);
        let d = self.write(dst);
        self.a.mov(d, s);
        self.a.shift_imm(5, Size::D, d, 8);
        self.a.movzx(Size::B, d, Rm::Reg(d));
        self.exact = 0;
    }

    /// Bits 8 to 15 of dst = low byte of src.
    pub(super) fn set_high8(&mut self, dst: Reg, src: Reg) {
        let s = self.in_scratch(S1, src);
        let d = self.update(dst);
        if s == d {
            self.a.mov(S1, s);
        }
        let s = if s == d { S1 } else { s };
        self.a.shift_imm(1, Size::Q, d, 8);
        self.a.store(Size::B, Rm::Reg(d), s);
        self.a.shift_imm(0, Size::Q, d, 8);
        self.exact = 0;
    }

    pub(super) fn bswap(&mut self, size: Size, dst: Reg, src: Reg) -> bool {
        if size < Size::D {
            return false;
        }
        let s = self.read(src);
        let d = self.write(dst);
        self.a.load(size, d, Rm::Reg(s));
        self.a.bswap(size, d);
        true
    }
}
