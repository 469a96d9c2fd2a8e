//! FRNDINT, FSCALE, FXTRACT.

use super::arith::raise_denormal;
use super::state::X87;
use crate::softfloat::{
    Class, Env, F80, Flags, Float, Parts, Rounding, add, round_pack, round_to_integral, to_int,
};

/// `x` times 2 to the power `n` truncated.
fn scale(x: F80, n: F80, env: &mut Env) -> F80 {
    let (a, b) = (x.parts(), n.parts());
    if a.is_nan() || b.is_nan() {
        // Addition picks the NaN.
        return add(x, n, env);
    }
    let invalid = match (a.class, b.class) {
        (Class::Infinity, Class::Infinity) => b.sign,
        (Class::Zero, Class::Infinity) => !b.sign,
        _ => false,
    };
    if invalid {
        env.flags |= Flags::IE;
        return F80::indefinite();
    }
    let trap = raise_denormal(x, env) | raise_denormal(n, env);
    match (a.class, b.class) {
        _ if trap => F80::indefinite(),
        (Class::Infinity | Class::Zero, _) => x,
        (_, Class::Infinity) if b.sign => F80::zero(a.sign),
        (_, Class::Infinity) => F80::infinity(a.sign),
        _ => scale_finite(&a, n, env),
    }
}

fn scale_finite(a: &Parts, n: F80, env: &mut Env) -> F80 {
    // Any power beyond this over- or underflows whatever it scales.
    const FAR: i64 = 1 << 16;
    let mut quiet = Env::default();
    let power = to_int(n, 64, Rounding::Zero, &mut quiet);
    let power = match quiet.flags.intersects(Flags::IE) {
        true if n.sign() => -FAR,
        true => FAR,
        false => power.clamp(-FAR, FAR),
    };
    round_pack(a.sign, a.exp + power as i32, u128::from(a.sig) << 64, 64, env)
}

impl X87 {
    pub(super) fn frndint(&mut self) {
        self.unary(|x, env| {
            if raise_denormal(x, env) {
                return x;
            }
            round_to_integral(x, env.rounding, false, env)
        });
    }

    pub(super) fn fscale(&mut self) {
        if self.is_empty(0) || self.is_empty(1) {
            if self.stack_underflow() {
                self.set(0, F80::indefinite());
            }
            return;
        }
        let mut env = self.env();
        let result = scale(self.get(0), self.get(1), &mut env);
        if self.commit(&env) {
            self.set(0, result);
        }
    }

    /// ST(0) becomes its exponent, then its significand is pushed.
    pub(super) fn fxtract(&mut self) {
        if self.pair_stack_fault() {
            return;
        }
        let mut env = self.env();
        let (exponent, significand) = extract(self.get(0), &mut env);
        if self.commit(&env) {
            self.set(0, exponent);
            self.push(significand);
        }
    }
}

fn extract(x: F80, env: &mut Env) -> (F80, F80) {
    let a = x.parts();
    match a.class {
        Class::Zero => {
            env.flags |= Flags::ZE;
            (F80::infinity(true), x)
        }
        Class::Infinity => (F80::infinity(false), x),
        Class::Normal | Class::Denormal => {
            raise_denormal(x, env);
            (super::transfer::from_int(a.exp.into()), F80::pack(a.sign, F80::BIAS, a.sig))
        }
        Class::QuietNan | Class::SignallingNan | Class::Unsupported => {
            let nan = add(x, x, env);
            (nan, nan)
        }
    }
}
