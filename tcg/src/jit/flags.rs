//! Guest flags: pending as operands, in the host's flags, or settled in their words.

use super::{
    asm::{Asm, Rm, cc},
    emit::Emit,
    frame::{FLAG_C, FLAG_S, FLAG_Z, LAZY_A, LAZY_B, LAZY_CARRY, LAZY_CF, LAZY_OF, LAZY_WORD, LAZY_ZF},
    regs::{BASE, S0, S1, Source, file, pinned},
    sse::Vectors,
};
use crate::{
    ir::{Cond, Op, Reg, Shift, Size, Unary, Val},
    lazy::{CF_APART, Kind, OF_APART, PLAIN, ZF_APART},
    x86::Cpu,
};

pub(super) use crate::ir::flag::{C, EVERY, O, P, S, Z};

/// All five that conditions ask for.
pub(super) const ALL: u8 = O | C | Z | S | P;

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
        | Kind::Sum
        | Kind::Difference
        | Kind::Adc
        | Kind::Sbb
        | Kind::Logic
        | Kind::Inc
        | Kind::Dec
        | Kind::Test
        | Kind::Popcnt => ALL,
        Kind::Shl | Kind::Shr | Kind::Sar => match count {
            1 => ALL,
            n if u32::from(n) < size.bits() => C | Z | S | P,
            _ => Z | S | P,
        },
        Kind::Imul | Kind::Mul => O | C,
    }
}

/// The bits of the word that say so of these flags.
fn bits_apart(flags: u8) -> u32 {
    let apart = [(C, CF_APART), (O, OF_APART), (Z, ZF_APART)];
    apart.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, bit)| bit).sum()
}

/// Where an operand of the pending operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// In memory already, or of no use.
    Kept,
    /// In a guest register.
    Reg(Reg),
    /// A constant.
    Imm(u64),
}

/// A pending operation that memory does not have yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unwritten {
    word: u32,
    a: Operand,
    b: Operand,
}

impl Unwritten {
    /// The guest registers that it is in.
    fn regs(&self) -> impl Iterator<Item = Reg> {
        let of = |operand| match operand {
            Operand::Reg(r) => Some(r),
            Operand::Kept | Operand::Imm(_) => None,
        };
        [of(self.a), of(self.b)].into_iter().flatten()
    }

    /// Writes it on a slow path, where the register file has what is not pinned. Uses S1.
    pub fn write(&self, a: &mut Asm) {
        for (disp, operand) in [(LAZY_B, self.b), (LAZY_A, self.a)] {
            match operand {
                Operand::Kept => continue,
                Operand::Reg(r) => match pinned(r) {
                    Some(h) => {
                        a.store(Size::Q, at(disp), h);
                        continue;
                    }
                    None => a.load(Size::Q, S1, file(r)),
                },
                Operand::Imm(v) if i32::try_from(v as i64).is_ok() => {
                    a.store_imm(Size::Q, at(disp), v as i32);
                    continue;
                }
                Operand::Imm(v) => a.mov_imm(S1, v),
            }
            a.store(Size::Q, at(disp), S1);
        }
        a.store_imm(Size::D, at(LAZY_WORD), self.word as i32);
    }
}

fn at(disp: i32) -> Rm {
    Rm::Base(BASE, disp)
}

impl Emit<'_> {
    /// Stores an operand of the pending operation. Emits only moves.
    fn keep(&mut self, disp: i32, v: Source) {
        match v {
            Source::Host(h) => self.a.store(Size::Q, at(disp), h),
            Source::Imm(v) if i32::try_from(v as i64).is_ok() => {
                self.a.store_imm(Size::Q, at(disp), v as i32);
            }
            Source::Imm(_) | Source::File(_) => {
                let scratch = self.scratch();
                self.bring(scratch, v);
                self.a.store(Size::Q, at(disp), scratch);
            }
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
        self.a.setcc(cc::B, at(LAZY_CARRY));
    }

    /// The flags are now those of this operation. Its operands are kept already or as given; they, and what it is, are
    /// written when something may look. Emits nothing.
    pub(super) fn set_pending(&mut self, kind: Kind, size: Size, count: u8, a: Operand, b: Operand) {
        self.unwritten = Some(Unwritten { word: kind.word(size), a, b });
        self.pending = Pending::Known { kind, size, count };
        self.apart = 0;
    }

    /// Brings memory up to date with the flags. Emits no instruction that changes the host's flags; uses S0 or S1.
    pub(super) fn write_pending(&mut self) {
        let Some(u) = self.unwritten.take() else { return };
        self.held = 0;
        for (disp, operand) in [(LAZY_B, u.b), (LAZY_A, u.a)] {
            match operand {
                Operand::Kept => {}
                Operand::Reg(r) => {
                    let source = self.source(Val::Reg(r));
                    self.keep(disp, source);
                }
                Operand::Imm(v) => self.keep(disp, Source::Imm(v)),
            }
        }
        if self.word != Some(u.word) {
            self.a.store_imm(Size::D, at(LAZY_WORD), u.word as i32);
            self.word = Some(u.word);
        }
        self.held = 0;
    }

    /// A scratch register that nothing of the current op is in.
    fn scratch(&mut self) -> u8 {
        if self.s1_busy || self.passing.is_some() {
            self.open = None;
            S0
        } else {
            S1
        }
    }

    /// Before op `op`, after which somebody may look at the flags `live`: writes what it would make unwritable.
    pub(super) fn save_pending(&mut self, op: &Op<Cpu>, live: u8) {
        let defined = op.flags_defined();
        let through = live & !defined;
        match op {
            Op::Shift { op: Shift::Rcl | Shift::Rcr, .. } => self.write_pending(),
            // Those set their flags apart from what pends, or may leave it.
            Op::Bit { .. } | Op::BitScan { .. } | Op::Shift { .. } if through != 0 => self.write_pending(),
            Op::Bit { .. } | Op::BitScan { .. } | Op::Shift { .. } => self.unwritten = None,
            // The carry is kept with the new operation.
            Op::Unary { op: Unary::Inc | Unary::Dec, .. } if live & defined != 0 => {}
            _ if through != 0 && self.unwritten.is_some_and(|u| u.regs().any(|r| op.writes(r))) => {
                self.write_pending();
            }
            _ => {}
        }
    }

    /// What a slow path from here has to write. The way around it does not, so what memory has is unknown from now on.
    pub(super) fn unwritten_there(&mut self) -> Option<Unwritten> {
        if self.unwritten.is_some() {
            self.word = None;
        }
        self.unwritten
    }

    /// The flags are now those of this operation, whose operands are kept, but for those that are set apart. Emits moves.
    pub(super) fn set_pending_apart(&mut self, kind: Kind, size: Size, flags: u8) {
        let word = kind.word(size) | bits_apart(flags);
        if self.word != Some(word) {
            self.a.store_imm(Size::D, at(LAZY_WORD), word as i32);
            self.word = Some(word);
        }
        self.unwritten = None;
        self.pending = Pending::Known { kind, size, count: 0 };
        self.apart = flags;
        self.exact = 0;
    }

    /// The flags are those of this operation, whose operands are kept, on a path that may be jumped over.
    pub(super) fn maybe_pending(&mut self, kind: Kind, size: Size) {
        debug_assert!(self.unwritten.is_none());
        self.a.store_imm(Size::D, at(LAZY_WORD), kind.word(size) as i32);
        self.word = None;
        self.pending = Pending::Unknown;
        self.apart = 0;
    }

    /// From now on these flags are those of [`Emit::keep_apart`], whatever pends. Changes the host's flags.
    pub(super) fn set_apart(&mut self, flags: u8) {
        debug_assert!(self.unwritten.is_none());
        let bits = bits_apart(flags);
        match self.word {
            Some(word) if word & bits == bits => {}
            Some(word) => {
                self.a.store_imm(Size::D, at(LAZY_WORD), (word | bits) as i32);
                self.word = Some(word | bits);
            }
            None => {
                self.a.alu_imm(
                    1,
                    Size::B,
                    at(LAZY_WORD + PLAIN.trailing_zeros() as i32 / 8),
                    (bits >> 8) as i32,
                );
            }
        }
        self.apart |= flags;
        self.exact = 0;
    }

    /// Stores flags that are set apart from the host's. Changes no flags.
    pub(super) fn keep_apart(&mut self, flags: u8) {
        for (flag, cc, disp) in [(C, cc::B, LAZY_CF), (O, cc::O, LAZY_OF), (Z, cc::E, LAZY_ZF)] {
            if flags & flag != 0 {
                self.a.setcc(cc, at(disp));
            }
        }
    }

    /// Whether the pending operation, done again, gives the host these flags.
    fn reproduces(&self, wanted: u8) -> bool {
        if self.apart & wanted != 0 {
            return false;
        }
        match self.pending {
            Pending::Known { kind, size, count } => match kind {
                Kind::Add
                | Kind::Sub
                | Kind::Sum
                | Kind::Difference
                | Kind::Adc
                | Kind::Sbb
                | Kind::Logic
                | Kind::Test
                | Kind::Inc
                | Kind::Dec => true,
                Kind::Shl | Kind::Shr | Kind::Sar => exact_after(kind, size, count) & wanted == wanted,
                Kind::Settled | Kind::Imul | Kind::Mul | Kind::Popcnt => false,
            },
            Pending::Unknown | Pending::Words => false,
        }
    }

    /// Redoes the pending operation for its flags; uses S0. Only after [`Emit::reproduces`].
    fn reproduce(&mut self) {
        self.write_pending();
        let Pending::Known { kind, size, count } = self.pending else { return };
        self.open = None;
        redo(&mut self.a, kind, size, count);
        self.exact = exact_after(kind, size, count) & !self.apart;
    }

    /// Makes all of the host's flags the guest's, wherever they are. Uses S0 and S1.
    fn recover(&mut self) {
        self.recover_by(self.t.flags);
        self.exact = ALL;
    }

    fn recover_by(&mut self, thunk: u64) {
        self.write_pending();
        self.open = None;
        // It may call Rust, which keeps no XMM register.
        self.flush_vectors();
        self.vectors = Vectors::default();
        self.a.call_abs(thunk);
    }

    /// Makes the host's CF the guest's. May use S0 and S1.
    pub(super) fn host_carry(&mut self) {
        if self.exact & C != 0 {
            return;
        }
        if self.apart & C != 0 {
            self.a.bit_imm(4, Size::D, at(LAZY_CF), 0);
        } else if self.pending == Pending::Words {
            self.a.bit_imm(4, Size::Q, at(FLAG_C), 63);
        } else if self.reproduces(C) {
            return self.reproduce();
        } else {
            self.recover_by(self.t.carry);
        }
        self.exact = C;
    }

    /// Makes a host condition equal to a guest condition and returns it. May use S0 and S1.
    pub(super) fn condition(&mut self, cond: Cond) -> u8 {
        let wanted = cond.flags();
        let number = cond as u8;
        if self.exact & wanted == wanted {
            return number;
        }
        let apart = match wanted {
            C => Some(LAZY_CF),
            O => Some(LAZY_OF),
            Z => Some(LAZY_ZF),
            _ => None,
        };
        if let (Some(disp), true) = (apart, self.apart & wanted != 0) {
            self.a.alu_imm(7, Size::B, at(disp), 0);
            self.exact = 0;
            // The condition holds when the byte is not zero; its opposite has an odd number.
            return cc::NE ^ (number & 1);
        }
        if self.reproduces(wanted) {
            self.reproduce();
            return number;
        }
        if self.pending == Pending::Words && self.apart & wanted == 0 {
            let settled = match wanted {
                C => Some((FLAG_C, cc::S)),
                Z => Some((FLAG_Z, cc::E)),
                S => Some((FLAG_S, cc::S)),
                _ => None,
            };
            if let Some((disp, cc)) = settled {
                self.a.alu_imm(7, Size::Q, at(disp), 0);
                self.exact = 0;
                return cc ^ (number & 1);
            }
        }
        self.recover();
        number
    }
}

/// Does an operation again, for its flags, from the kept operands. Uses S0. Not for products and bit counts.
pub(super) fn redo(a: &mut Asm, kind: Kind, size: Size, count: u8) {
    a.load(Size::Q, S0, at(LAZY_A));
    match kind {
        Kind::Add => a.alu(0, size, S0, at(LAZY_B)),
        Kind::Sub => a.alu(7, size, S0, at(LAZY_B)),
        Kind::Sum => {
            a.alu(5, size, S0, at(LAZY_B));
            a.alu(0, size, S0, at(LAZY_B));
        }
        Kind::Difference => {
            a.alu(0, size, S0, at(LAZY_B));
            a.alu(5, size, S0, at(LAZY_B));
        }
        Kind::Logic => a.test(size, Rm::Reg(S0), S0),
        Kind::Test => a.test(size, at(LAZY_B), S0),
        Kind::Adc | Kind::Sbb | Kind::Inc | Kind::Dec => {
            match kind {
                Kind::Inc => a.lea(Size::Q, S0, Rm::Base(S0, -1)),
                Kind::Dec => a.lea(Size::Q, S0, Rm::Base(S0, 1)),
                _ => {}
            }
            a.bit_imm(4, Size::D, at(LAZY_CARRY), 0);
            match kind {
                Kind::Adc => a.alu(2, size, S0, at(LAZY_B)),
                Kind::Sbb => a.alu(3, size, S0, at(LAZY_B)),
                Kind::Inc => a.step(0, size, Rm::Reg(S0)),
                _ => a.step(1, size, Rm::Reg(S0)),
            }
        }
        Kind::Shl => a.shift_imm(4, size, S0, count),
        Kind::Shr => a.shift_imm(5, size, S0, count),
        Kind::Sar => a.shift_imm(7, size, S0, count),
        Kind::Settled | Kind::Imul | Kind::Mul | Kind::Popcnt => {}
    }
}
