//! Data transfer: FLD, FST, FILD, FIST, FISTTP, constants, FXCH, FCMOVcc.

use super::arith::memory_operand;
use super::execute::Outcome;
use super::op::{Condition, Constant, Operand};
use super::state::X87;
use crate::softfloat::{Class, Env, F32, F64, F80, Flags, Float, Rounding, from_i64, narrow, to_int};

/// `value` (at most 64 bits) as an extended real, exactly.
#[inline]
pub(super) fn from_int(value: i64) -> F80 {
    from_i64(value, &mut Env::default())
}

/// The extended real in the low ten bytes of `raw`.
#[inline]
pub(super) fn f80_from_raw(raw: u128) -> F80 {
    F80 { sig: raw as u64, se: (raw >> 64) as u16 }
}

#[inline]
fn f80_to_raw(value: F80) -> u128 {
    u128::from(value.se) << 64 | u128::from(value.sig)
}

/// What an invalid store puts into memory: the real or integer indefinite.
fn indefinite(to: Operand) -> u128 {
    match to {
        Operand::St(_) | Operand::M80fp => f80_to_raw(F80::indefinite()),
        Operand::M32fp => F32::indefinite().0.into(),
        Operand::M64fp => F64::indefinite().0.into(),
        Operand::M16int => 1 << 15,
        Operand::M32int => 1 << 31,
        Operand::M64int => 1 << 63,
    }
}

/// A single or double as an extended real; signalling NaNs become quiet.
fn load_real(from: Operand, raw: u128, env: &mut Env) -> F80 {
    let (value, denormal) = memory_operand(from, raw);
    if denormal {
        env.flags |= Flags::DE;
    }
    if value.parts().class != Class::SignallingNan {
        return value;
    }
    env.flags |= Flags::IE;
    F80 { sig: value.sig | 1 << 62, ..value }
}

impl X87 {
    pub(super) fn fld(&mut self, from: Operand, raw: u128) {
        if let Operand::St(i) = from
            && self.is_empty(i)
        {
            if self.stack_underflow() {
                self.push(F80::indefinite());
            }
            return;
        }
        if !self.is_empty(7) {
            return self.stack_overflow();
        }
        let mut env = self.env();
        let value = match from {
            Operand::St(i) => self.get(i),
            Operand::M80fp => f80_from_raw(raw),
            Operand::M32fp | Operand::M64fp => load_real(from, raw, &mut env),
            Operand::M16int => from_int((raw as i16).into()),
            Operand::M32int => from_int((raw as i32).into()),
            Operand::M64int => from_int(raw as i64),
        };
        self.commit(&env);
        // An unmasked denormal exception does not keep a single or double from being loaded.
        if !env.unmasked().intersects(Flags::IE) {
            self.push(value);
        }
    }

    pub(super) fn fld_constant(&mut self, constant: Constant) {
        if !self.is_empty(7) {
            return self.stack_overflow();
        }
        self.set_c1(false);
        let rounding = self.env().rounding;
        let down = matches!(rounding, Rounding::Down | Rounding::Zero);
        // The low digits are those of the correctly rounded value; the second is for the other side.
        let value = |nearest: u64, exp: u16, adjust: u64| F80 { sig: nearest.wrapping_add(adjust), se: exp };
        let minus_if_down = if down { u64::MAX } else { 0 };
        let plus_if_up = u64::from(rounding == Rounding::Up);
        self.push(match constant {
            Constant::One => value(1 << 63, 0x3fff, 0),
            Constant::Log2Of10 => value(0xd49a_784b_cd1b_8afe, 0x4000, plus_if_up),
            Constant::Log2OfE => value(0xb8aa_3b29_5c17_f0bc, 0x3fff, minus_if_down),
            Constant::Pi => value(0xc90f_daa2_2168_c235, 0x4000, minus_if_down),
            Constant::Log10Of2 => value(0x9a20_9a84_fbcf_f799, 0x3ffd, minus_if_down),
            Constant::LnOf2 => value(0xb172_17f7_d1cf_79ac, 0x3ffe, minus_if_down),
            Constant::Zero => value(0, 0, 0),
        });
    }

    pub(super) fn fst_register(&mut self, i: u8, pop: bool) {
        let value = if !self.is_empty(0) {
            self.set_c1(false);
            self.get(0)
        } else if self.stack_underflow() {
            F80::indefinite()
        } else {
            return;
        };
        self.set(i, value);
        if pop {
            self.pop();
        }
    }

    /// D9 D8+i, which differs from FSTP ST(i) when ST(0) is empty: no fault, nothing is written.
    pub(super) fn fstp_unchecked(&mut self, i: u8) {
        self.set_c1(false);
        if !self.is_empty(0) {
            self.set(i, self.get(0));
        }
        self.pop();
    }

    pub(super) fn fst_memory(&mut self, to: Operand, pop: bool) -> Outcome {
        let rounding = self.env().rounding;
        self.store(to, pop, rounding)
    }

    pub(super) fn fisttp(&mut self, to: Operand) -> Outcome {
        self.store(to, true, Rounding::Zero)
    }

    fn store(&mut self, to: Operand, pop: bool, rounding: Rounding) -> Outcome {
        if self.is_empty(0) {
            if !self.stack_underflow() {
                return Outcome::Done;
            }
            return self.stored(indefinite(to), pop);
        }
        let mut env = self.env();
        let value = self.get(0);
        let raw = match to {
            Operand::St(_) | Operand::M80fp => f80_to_raw(value),
            Operand::M32fp => narrow::<_, F32>(value, &mut env).0.into(),
            Operand::M64fp => narrow::<_, F64>(value, &mut env).0.into(),
            Operand::M16int => to_int(value, 16, rounding, &mut env) as u16 as u128,
            Operand::M32int => to_int(value, 32, rounding, &mut env) as u32 as u128,
            Operand::M64int => to_int(value, 64, rounding, &mut env) as u64 as u128,
        };
        if self.commit_store(&env) { self.stored(raw, pop) } else { Outcome::Done }
    }

    pub(super) fn stored(&mut self, raw: u128, pop: bool) -> Outcome {
        if pop {
            self.pop();
        }
        Outcome::Store(raw)
    }

    pub(super) fn fxch(&mut self, i: u8) {
        if self.is_empty(0) || self.is_empty(i) {
            if !self.stack_underflow() {
                return;
            }
            for i in [0, i] {
                if self.is_empty(i) {
                    self.set(i, F80::indefinite());
                }
            }
        } else {
            self.set_c1(false);
        }
        let (a, b) = (self.get(0), self.get(i));
        self.set(0, b);
        self.set(i, a);
    }

    pub(super) fn fcmov(&mut self, condition: Condition, i: u8, eflags: u64) {
        let (cf, pf, zf) = (eflags & 1 != 0, eflags & 4 != 0, eflags & 0x40 != 0);
        let holds = match condition {
            Condition::Below => cf,
            Condition::Equal => zf,
            Condition::BelowEqual => cf || zf,
            Condition::Unordered => pf,
            Condition::NotBelow => !cf,
            Condition::NotEqual => !zf,
            Condition::NotBelowEqual => !cf && !zf,
            Condition::NotUnordered => !pf,
        };
        if self.is_empty(0) || self.is_empty(i) {
            if self.stack_underflow() {
                self.set(0, F80::indefinite());
            }
            return;
        }
        if holds {
            self.set(0, self.get(i));
        }
    }
}
