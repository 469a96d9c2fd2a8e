//! Packed decimal: FBLD, FBSTP (SDM volume 1, 4.7).

use super::execute::Outcome;
use super::state::X87;
use super::transfer::from_int;
use crate::softfloat::{F80, Flags, to_int};

/// FBSTP's packed decimal indefinite.
const INDEFINITE: u128 = 0xffff_c000_0000_0000_0000;
/// Largest magnitude 18 digits hold.
const LARGEST: u64 = 999_999_999_999_999_999;

impl X87 {
    pub(super) fn fbld(&mut self, raw: u128) {
        if !self.is_empty(7) {
            return self.stack_overflow();
        }
        self.set_c1(false);
        let mut magnitude = 0u64;
        for digit in (0..18).rev() {
            magnitude = magnitude * 10 + (raw >> (4 * digit)) as u64 % 16;
        }
        let value = from_int(magnitude as i64);
        let sign = (raw >> 64) as u16 & 0x8000;
        self.push(F80 { se: value.se | sign, ..value });
    }

    pub(super) fn fbstp(&mut self) -> Outcome {
        if self.is_empty(0) {
            if !self.stack_underflow() {
                return Outcome::Done;
            }
            return self.stored(INDEFINITE, true);
        }
        let mut env = self.env();
        let value = self.get(0);
        let integer = to_int(value, 64, env.rounding, &mut env);
        let magnitude = integer.unsigned_abs();
        let raw = if magnitude > LARGEST {
            // The rounding that found the value too large is not part of the response.
            env.flags = Flags::IE;
            env.rounded_up = false;
            INDEFINITE
        } else {
            to_packed(magnitude) | u128::from(value.se >> 15) << 79
        };
        if self.commit_store(&env) { self.stored(raw, true) } else { Outcome::Done }
    }
}

fn to_packed(mut magnitude: u64) -> u128 {
    let mut raw = 0;
    for digit in 0..18 {
        raw |= u128::from(magnitude % 10) << (4 * digit);
        magnitude /= 10;
    }
    raw
}
