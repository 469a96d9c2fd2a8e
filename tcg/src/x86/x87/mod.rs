//! The x87 FPU: its registers as plain data, and every instruction as a function over them.
//!
//! The front end decodes with [`decode`] (or maps its own decoder's result to an [`X87Op`]), loads a memory operand if
//! [`X87Op::memory`] names one, calls [`X87::execute`] and stores what comes back. A pending unmasked exception is reported
//! before a waiting instruction does anything; whether that becomes #MF or FERR#/IRQ 13 is the caller's business (CR0.NE),
//! and with IGNNE# asserted it calls [`X87::run`] instead.
//!
//! Memory faults: an instruction that stores changes only the status word and the tags, so the caller either proves the
//! destination writable first or takes an [`X87::mark`] and goes back to it with [`X87::rewind`].
//!
//! Where the manuals leave results undefined, or processors differ:
//! * Reserved control word bits read as on the P6: bit 6 set, bits 7 and 13 to 15 clear.
//! * Condition codes that the manual calls undefined after an instruction keep their value.
//! * FFREE clears C1; FCMOVcc leaves it. FCOMI and FUCOMI clear it, as Intel documents (AMD's leave it).
//! * FLD ST(i) of an empty register onto a full stack is an underflow. D9 D8+i with ST(0) empty only pops.
//! * Comparisons deliver their condition codes even when an exception they raise is unmasked; only the pop is then left out.
//! * FLD of a denormal single or double pushes it even when the denormal exception is unmasked.
//! * A store that unmasked overflow or underflow prevents sets neither PE nor C1.
//! * FYL2X and F2XM1 announce an inexact result even when it is exact.
//! * F2XM1 outside -1 to +1 keeps its operand; FYL2XP1 outside its range gives what the formula gives.
//! * FPREM and FPREM1 with an exponent difference D of 64 or more reduce by (D mod 32) + 32 bits.
//! * The opcode register holds the last non-control instruction, as on the P6, whether or not it raised an exception.
//!
//! Source: Intel SDM volume 1, chapter 8, and the instruction pages of volume 2.

mod arctan;
mod arith;
mod bcd;
mod compare;
mod control;
mod decode;
mod execute;
mod exp_log;
mod image;
mod mmx;
mod op;
mod remainder;
mod round;
mod state;
mod transfer;
mod trig;
mod wide;

pub use decode::decode;
pub use execute::{MathFault, Outcome};
pub use image::{EnvLayout, IMAGE_MAX};
pub use op::{Arith, Condition, Constant, Memory, Operand, X87Op};
pub use state::{Mark, X87, sw};
