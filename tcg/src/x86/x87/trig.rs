//! FSIN, FCOS, FSINCOS, FPTAN.
//!
//! Arguments are reduced modulo the 66-bit Pi that the processors use (SDM volume 1, 8.3.8), exactly. Magnitudes of 2^63 and above
//! set C2 and are left alone.

use super::arith::raise_denormal;
use super::state::{X87, sw};
use super::wide::{Wide, alternating, inverse_factorials, mul_high};
use crate::softfloat::{Class, Env, F80, Flags, Float, Parts, add};

/// Half the 66-bit Pi, in units of 2^-65.
const HALF_PI: u128 = 0x3_243f_6a88_85a3_08d3;

const SINE: [u128; 16] = inverse_factorials(3, 2);
const COSINE: [u128; 17] = inverse_factorials(2, 2);

/// An angle as a multiple of a right angle and a rest of at most half a right angle.
struct Reduced {
    quadrant: u8,
    negative: bool,
    rest: Wide,
}

/// Reduces a finite non-zero |x| below 2^63.
fn reduce(x: &Parts) -> Reduced {
    if x.exp < -2 {
        return Reduced { quadrant: 0, negative: false, rest: Wide::from_parts(x) };
    }
    let angle = u128::from(x.sig) << (x.exp + 2);
    let (quotient, rest) = (angle / HALF_PI, angle % HALF_PI);
    let negative = rest > HALF_PI / 2;
    let (quotient, rest) = if negative { (quotient + 1, HALF_PI - rest) } else { (quotient, rest) };
    Reduced { quadrant: (quotient & 3) as u8, negative, rest: Wide::from_fixed(rest, 65) }
}

impl Reduced {
    /// Magnitudes of sine and cosine of the rest.
    fn sine_cosine(&self) -> (Wide, Wide) {
        let fraction = self.rest.fraction();
        let square = mul_high(fraction, fraction);
        let sine = self.rest.mul(Wide::one_minus(alternating(square, &SINE)));
        let cosine = Wide::one_minus(alternating(square, &COSINE));
        (sine, cosine)
    }

    /// Sine of the whole angle: negative?, magnitude.
    fn sine(&self) -> (bool, Wide) {
        let (sine, cosine) = self.sine_cosine();
        match self.quadrant {
            0 => (self.negative, sine),
            1 => (false, cosine),
            2 => (!self.negative, sine),
            _ => (true, cosine),
        }
    }

    fn cosine(&self) -> (bool, Wide) {
        let (sine, cosine) = self.sine_cosine();
        match self.quadrant {
            0 => (false, cosine),
            1 => (!self.negative, sine),
            2 => (true, cosine),
            _ => (self.negative, sine),
        }
    }

    fn tangent(&self) -> (bool, Wide) {
        if self.quadrant & 1 == 0 && self.rest.exp < -33 {
            // x + x³/3, so that even the smallest x comes out above x.
            let fraction = self.rest.fraction();
            let excess = Wide::from_fixed((mul_high(fraction, fraction) / 3).max(1), 128);
            return (self.negative, self.rest.add_above(self.rest.mul(excess)));
        }
        let (sine, cosine) = self.sine_cosine();
        if self.quadrant & 1 == 0 {
            (self.negative, sine.div(cosine))
        } else {
            (!self.negative, cosine.div(sine))
        }
    }
}

/// What becomes of an argument.
enum Argument {
    /// C2: too large.
    OutOfRange,
    /// A NaN to deliver, or a result that a trap discards.
    Special(F80),
    Zero,
    Finite(Parts),
}

fn classify(x: F80, env: &mut Env) -> Argument {
    let a = x.parts();
    match a.class {
        Class::Zero => Argument::Zero,
        Class::Infinity => {
            env.flags |= Flags::IE;
            Argument::Special(F80::indefinite())
        }
        Class::QuietNan | Class::SignallingNan | Class::Unsupported => Argument::Special(add(x, x, env)),
        Class::Normal if a.exp >= 63 => Argument::OutOfRange,
        Class::Normal | Class::Denormal => {
            if raise_denormal(x, env) {
                Argument::Special(x)
            } else {
                Argument::Finite(a)
            }
        }
    }
}

impl X87 {
    /// Classifies ST(0); none if the instruction ends here because the argument is out of range.
    fn angle(&mut self, env: &mut Env) -> Option<Argument> {
        self.set_c1(false);
        match classify(self.get(0), env) {
            Argument::OutOfRange => {
                self.sw |= sw::C2;
                None
            }
            argument => Some(argument),
        }
    }

    pub(super) fn fsin(&mut self) {
        self.sine_or_cosine(
            |x, env| {
                let (negative, value) = reduce(x).sine();
                value.round(negative ^ x.sign, true, env)
            },
            |x| x,
        );
    }

    pub(super) fn fcos(&mut self) {
        self.sine_or_cosine(
            |x, env| {
                let (negative, value) = reduce(x).cosine();
                value.round(negative, true, env)
            },
            |_| one(),
        );
    }

    fn sine_or_cosine(
        &mut self,
        finite: impl FnOnce(&Parts, &mut Env) -> F80,
        zero: impl FnOnce(F80) -> F80,
    ) {
        self.sw &= !sw::C2;
        if self.is_empty(0) {
            if self.stack_underflow() {
                self.set(0, F80::indefinite());
            }
            return;
        }
        let mut env = self.env();
        let result = match self.angle(&mut env) {
            None | Some(Argument::OutOfRange) => return,
            Some(Argument::Special(result)) => result,
            Some(Argument::Zero) => zero(self.get(0)),
            Some(Argument::Finite(x)) => finite(&x, &mut env),
        };
        if self.commit(&env) {
            self.set(0, result);
        }
    }

    /// ST(0) becomes its sine, then its cosine is pushed.
    pub(super) fn fsincos(&mut self) {
        self.angle_pair(
            |x, env| {
                let reduced = reduce(x);
                let ((sine_negative, sine), (cosine_negative, cosine)) = (reduced.sine(), reduced.cosine());
                let sine = sine.round(sine_negative ^ x.sign, true, env);
                (sine, cosine.round(cosine_negative, true, env))
            },
            |special| special,
        );
    }

    /// ST(0) becomes its tangent, then 1.0 is pushed.
    pub(super) fn fptan(&mut self) {
        self.angle_pair(
            |x, env| {
                let (negative, value) = reduce(x).tangent();
                (value.round(negative ^ x.sign, true, env), one())
            },
            |special| special,
        );
    }

    /// An instruction that replaces ST(0) and pushes; `second` gives what is pushed beside a NaN.
    fn angle_pair(
        &mut self,
        finite: impl FnOnce(&Parts, &mut Env) -> (F80, F80),
        second: impl FnOnce(F80) -> F80,
    ) {
        self.sw &= !sw::C2;
        if self.pair_stack_fault() {
            return;
        }
        let mut env = self.env();
        let (first, pushed) = match self.angle(&mut env) {
            None | Some(Argument::OutOfRange) => return,
            Some(Argument::Special(result)) => (result, second(result)),
            Some(Argument::Zero) => (self.get(0), one()),
            Some(Argument::Finite(x)) => finite(&x, &mut env),
        };
        if self.commit(&env) {
            self.set(0, first);
            self.push(pushed);
        }
    }
}

fn one() -> F80 {
    F80::pack(false, F80::BIAS, 1 << 63)
}
