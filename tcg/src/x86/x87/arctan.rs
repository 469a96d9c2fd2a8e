//! FPATAN: the angle of the point (ST(0), ST(1)).

use super::arith::raise_denormal;
use super::state::X87;
use super::wide::{Wide, alternating, inverse_odd, mul_high};
use crate::softfloat::{Class, Env, F80, Float, Parts, add};

const COEFFICIENTS: [u128; 22] = inverse_odd();

/// Arc tangents of 0, 1/4, 1/2, 3/4 and 1.
const QUARTERS: [Wide; 5] = [
    Wide::ZERO,
    Wide { exp: -3, sig: 0xfadb_afc9_6406_eb15_6dc7_9ef5_f7a2_17e6 },
    Wide { exp: -2, sig: 0xed63_382b_0dda_7b45_6fe4_45ec_bc3a_8d03 },
    Wide { exp: -1, sig: 0xa4bc_7d19_34f7_0924_19a8_7f2a_457d_ac9f },
    Wide { exp: Wide::PI.exp - 2, sig: Wide::PI.sig },
];

fn halved(x: Wide, times: i32) -> Wide {
    Wide { exp: x.exp - times, sig: x.sig }
}

/// Arc tangent of |y / x|, which is at most 1, by the nearest quarter j/4: atan(j/4) + atan((4y - jx) / (4x + jy)).
fn first_octant(y: &Parts, x: &Parts) -> Wide {
    let distance = x.exp - y.exp;
    if distance >= 5 {
        return series(Wide::from_parts(y).div(Wide::from_parts(x)));
    }
    let (y, x) = (u128::from(y.sig), u128::from(x.sig) << distance);
    let j = (8 * y + x) / (2 * x);
    let denominator = Wide::from_fixed(4 * x + j * y, 0);
    let base = QUARTERS[j as usize];
    if 4 * y >= j * x {
        let rest = Wide::from_fixed(4 * y - j * x, 0);
        base.add(series(rest.div(denominator)))
    } else {
        let rest = Wide::from_fixed(j * x - 4 * y, 0);
        base.sub(series(rest.div(denominator)))
    }
}

/// Arc tangent of u, at most 1/8.
fn series(u: Wide) -> Wide {
    if u.sig == 0 {
        return u;
    }
    let fraction = u.fraction();
    u.mul(Wide::one_minus(alternating(mul_high(fraction, fraction), &COEFFICIENTS)))
}

/// The angle's magnitude, from 0 to Pi, for operands that are not NaNs.
fn angle(y: &Parts, x: &Parts) -> Wide {
    let (pi, half_pi) = (Wide::PI, halved(Wide::PI, 1));
    let acute = match (y.class, x.class) {
        (Class::Infinity, Class::Infinity) => halved(pi, 2),
        (Class::Infinity, _) => half_pi,
        (_, Class::Infinity) | (Class::Zero, _) => Wide::ZERO,
        (_, Class::Zero) => half_pi,
        _ if (y.exp, y.sig) <= (x.exp, x.sig) => first_octant(y, x),
        _ => half_pi.sub(first_octant(x, y)),
    };
    if x.sign { pi.sub(acute) } else { acute }
}

fn arctan(y: F80, x: F80, env: &mut Env) -> F80 {
    let (a, b) = (y.parts(), x.parts());
    if a.is_nan() || b.is_nan() {
        return add(y, x, env);
    }
    if raise_denormal(y, env) | raise_denormal(x, env) {
        return x;
    }
    angle(&a, &b).round(a.sign, true, env)
}

impl X87 {
    pub(super) fn fpatan(&mut self) {
        self.binary_pop(arctan);
    }
}
