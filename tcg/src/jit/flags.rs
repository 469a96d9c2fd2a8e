//! Guest flags: pending as operands, in the host's flags, or settled in their words.

use super::{
    asm::{Rm, cc, host::*},
    emit::{Emit, Source},
    frame::{FLAG_C, FLAG_S, FLAG_Z, LAZY_A, LAZY_B, LAZY_CARRY, LAZY_WORD},
    thunks::BASE,
};
use crate::{
    ir::{Cond, Size},
    lazy::Kind,
};

/// OF.
pub(super) const O: u8 = 1;
/// CF.
pub(super) const C: u8 = 2;
/// ZF.
pub(super) const Z: u8 = 4;
/// SF.
pub(super) const S: u8 = 8;
/// PF.
pub(super) const P: u8 = 16;
/// All five that conditions ask for.
pub(super) const ALL: u8 = 31;

/// Where the guest's flags are, as far as known while compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// In the words or pending: memory says which.
    Unknown,
    /// In the words.
    Words,
    /// Pending as this operation; its operands are in memory. `count` is that of a shift.
    Known { kind: Kind, size: Size, count: u8 },
}

/// Which flags the host's equal after it did the same operation.
pub(super) fn exact_after(kind: Kind, size: Size, count: u8) -> u8 {
    match kind {
        Kind::Settled => 0,
        Kind::Add
        | Kind::Sub
        | Kind::Adc
        | Kind::Sbb
        | Kind::Logic
        | Kind::Inc
        | Kind::Dec
        | Kind::Popcnt => ALL,
        Kind::Shl | Kind::Shr | Kind::Sar => match count {
            1 => ALL,
            n if u32::from(n) < size.bits() => C | Z | S | P,
            _ => Z | S | P,
        },
        Kind::Imul | Kind::Mul => O | C,
    }
}

fn asks(cond: Cond) -> u8 {
    match cond {
        Cond::O | Cond::No => O,
        Cond::B | Cond::Ae => C,
        Cond::E | Cond::Ne => Z,
        Cond::Be | Cond::A => C | Z,
        Cond::S | Cond::Ns => S,
        Cond::P | Cond::Np => P,
        Cond::L | Cond::Ge => S | O,
        Cond::Le | Cond::G => S | O | Z,
    }
}

fn at(disp: i32) -> Rm {
    Rm::Base(BASE, disp)
}

impl Emit<'_> {
    /// Stores an operand of the pending operation.
    fn keep(&mut self, disp: i32, v: Source) {
        match v {
            Source::Host(h) => self.a.store(Size::Q, at(disp), h),
            Source::Imm(v) => match i32::try_from(v as i64) {
                Ok(v) => self.a.store_imm(Size::Q, at(disp), v),
                Err(_) => {
                    self.a.mov_imm(RCX, v);
                    self.a.store(Size::Q, at(disp), RCX);
                }
            },
        }
    }

    pub(super) fn keep_a(&mut self, v: Source) {
        self.keep(LAZY_A, v);
    }

    pub(super) fn keep_b(&mut self, v: Source) {
        self.keep(LAZY_B, v);
    }

    /// Stores the host's CF as the carry before the operation.
    pub(super) fn keep_carry(&mut self) {
        self.a.setcc(2, at(LAZY_CARRY));
    }

    /// The flags are now those of this operation, whose operands are kept. Emits no more than a move.
    pub(super) fn set_pending(&mut self, kind: Kind, size: Size, count: u8) {
        let word = kind.word(size);
        if self.word != Some(word) {
            self.a.store_imm(Size::D, at(LAZY_WORD), word as i32);
            self.word = Some(word);
        }
        self.pending = Pending::Known { kind, size, count };
    }

    /// As [`Emit::set_pending`] on a path that may be jumped over.
    pub(super) fn maybe_pending(&mut self, kind: Kind, size: Size) {
        self.a.store_imm(Size::D, at(LAZY_WORD), kind.word(size) as i32);
        self.word = None;
        self.pending = Pending::Unknown;
    }

    /// Whether the host's flags are, or can cheaply be made, right for `wanted`.
    fn reproduces(&self, wanted: u8) -> bool {
        if self.exact & wanted == wanted {
            return true;
        }
        match self.pending {
            Pending::Known { kind, size, count } => match kind {
                Kind::Add | Kind::Sub | Kind::Adc | Kind::Sbb | Kind::Logic | Kind::Inc | Kind::Dec => true,
                Kind::Shl | Kind::Shr | Kind::Sar => exact_after(kind, size, count) & wanted == wanted,
                Kind::Settled | Kind::Imul | Kind::Mul | Kind::Popcnt => false,
            },
            Pending::Unknown | Pending::Words => false,
        }
    }

    /// Redoes the pending operation for its flags; uses RCX. Only after [`Emit::reproduces`].
    fn reproduce(&mut self, wanted: u8) {
        if self.exact & wanted == wanted {
            return;
        }
        let Pending::Known { kind, size, count } = self.pending else { return };
        self.a.load(Size::Q, RCX, at(LAZY_A));
        match kind {
            Kind::Add => self.a.alu(0, size, RCX, at(LAZY_B)),
            Kind::Sub => self.a.alu(7, size, RCX, at(LAZY_B)),
            Kind::Logic => self.a.test(size, Rm::Reg(RCX), RCX),
            Kind::Adc | Kind::Sbb | Kind::Inc | Kind::Dec => {
                self.a.bt_imm(Size::D, at(LAZY_CARRY), 0);
                match kind {
                    Kind::Adc => self.a.alu(2, size, RCX, at(LAZY_B)),
                    Kind::Sbb => self.a.alu(3, size, RCX, at(LAZY_B)),
                    Kind::Inc => self.a.step(0, size, Rm::Reg(RCX)),
                    _ => self.a.step(1, size, Rm::Reg(RCX)),
                }
            }
            Kind::Shl => self.a.shift_imm(4, size, RCX, count),
            Kind::Shr => self.a.shift_imm(5, size, RCX, count),
            Kind::Sar => self.a.shift_imm(7, size, RCX, count),
            Kind::Settled | Kind::Imul | Kind::Mul | Kind::Popcnt => {}
        }
        self.exact = exact_after(kind, size, count);
    }

    /// Settles the flags unless the host can be made to have `wanted`. May empty the register cache: before operands.
    pub(super) fn prepare_flags(&mut self, wanted: u8) {
        if !self.reproduces(wanted) {
            self.settle();
        }
    }

    /// Makes the host's CF the guest's, after [`Emit::prepare_flags`]; uses RCX.
    pub(super) fn host_carry(&mut self) {
        if self.reproduces(C) {
            self.reproduce(C);
        } else {
            self.a.load(Size::Q, RCX, at(FLAG_C));
            self.a.alu(0, Size::Q, RCX, Rm::Reg(RCX));
            self.exact = 0;
        }
    }

    /// Makes a host condition equal to a guest condition and returns it. Uses RAX and RCX; may empty the register cache.
    pub(super) fn condition(&mut self, cond: Cond) -> u8 {
        let wanted = asks(cond);
        self.prepare_flags(wanted);
        if self.reproduces(wanted) {
            self.reproduce(wanted);
            return cond as u8;
        }
        self.exact = 0;
        let cc = match Cond::ALL[(cond as usize) & !1] {
            Cond::E => {
                self.a.alu_imm(7, Size::Q, at(FLAG_Z), 0);
                cc::E
            }
            Cond::B => {
                self.a.alu_imm(7, Size::Q, at(FLAG_C), 0);
                cc::S
            }
            Cond::S => {
                self.a.alu_imm(7, Size::Q, at(FLAG_S), 0);
                cc::S
            }
            Cond::P => {
                self.a.alu_imm(7, Size::B, at(FLAG_S), 0);
                10
            }
            Cond::O => {
                self.overflow();
                self.a.test(Size::Q, Rm::Reg(RCX), RCX);
                cc::S
            }
            Cond::L => {
                self.overflow();
                self.a.alu(6, Size::Q, RCX, at(FLAG_S));
                cc::S
            }
            Cond::Be => {
                self.a.load(Size::Q, RCX, at(FLAG_C));
                self.or_zero();
                cc::S
            }
            _ => {
                self.overflow();
                self.a.alu(6, Size::Q, RCX, at(FLAG_S));
                self.or_zero();
                cc::S
            }
        };
        // E, B and the like stand before their opposites.
        cc ^ (cond as u8 & 1)
    }

    /// Bit 63 of RCX = OF of the settled words.
    pub(super) fn overflow(&mut self) {
        self.a.load(Size::Q, RCX, at(FLAG_C));
        self.a.alu(0, Size::Q, RCX, Rm::Reg(RCX));
        self.a.alu(6, Size::Q, RCX, at(FLAG_C));
    }

    /// Bit 63 of RCX |= ZF of the settled words, and the host's SF after it.
    fn or_zero(&mut self) {
        self.a.mov_imm(RAX, 0);
        self.a.alu_imm(7, Size::Q, at(FLAG_Z), 0);
        self.a.setcc(cc::E, Rm::Reg(RAX));
        self.a.shift_imm(4, Size::Q, RAX, 63);
        self.a.alu(1, Size::Q, RCX, Rm::Reg(RAX));
    }
}
