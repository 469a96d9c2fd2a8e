//! IEEE 754 arithmetic in integers, for single, double and the x87's double extended format.
//!
//! No operation here touches the host's floating-point unit, so results, exception flags and NaN payloads are the same
//! on every host. Each operation unpacks its operands, computes an exact (or exact-with-sticky) 128-bit significand and
//! hands it to the one rounding routine in `round`. [`Env`] carries everything MXCSR or the x87 control word would:
//! rounding direction, exception masks, flush modes, precision control and the NaN rule.
//!
//! A pre-computation exception (invalid, divide-by-zero, denormal) that is **unmasked** ends the operation before any
//! post-computation flag is set; the value returned then is meaningless and the caller must not store it. [`Env::trapped`]
//! tells.
//!
//! Sources: Intel SDM volume 1, chapters 4.8 (formats), 4.9 (exceptions), 8.5 (x87), 11.5 (SSE).

mod add;
mod compare;
mod convert;
mod div;
mod env;
mod format;
mod integer;
mod mul;
mod nan;
mod round;
mod sqrt;

pub use add::{add, sub};
pub use compare::{Relation, compare};
pub use convert::{convert, extend, narrow};
pub use div::div;
pub use env::{Env, Flags, NanRule, Precision, Rounding};
pub use format::{Class, F32, F64, F80, Float, Parts};
pub use integer::{from_i32, from_i64, round_to_integral, to_int};
pub use mul::mul;
pub use round::round_pack;
pub use sqrt::sqrt;
