//! Which flags an instruction defines, and which it leaves undefined (SDM volume 2, "Flags Affected").

use iced_x86::{Instruction, Mnemonic, OpKind, Register, RflagsBits};

const CF: u64 = 1;
const PF: u64 = 4;
const AF: u64 = 0x10;
const ZF: u64 = 0x40;
const SF: u64 = 0x80;
const OF: u64 = 0x800;
const ALL: u64 = CF | PF | AF | ZF | SF | OF;

/// What happens to the flags, or that the whole result is undefined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Have a defined new value.
    pub defined: u64,
    /// Have any value.
    pub undefined: u64,
}

const NONE: Effect = Effect { defined: 0, undefined: 0 };

fn effect(defined: u64, undefined: u64) -> Effect {
    Effect { defined, undefined }
}

/// The effect of `i` with these registers before it. `None` when its result itself is undefined.
pub fn of(i: &Instruction, gpr: &[u64; 16]) -> Option<Effect> {
    use Mnemonic as M;
    let bits = 8 * size(i, 0) as u64;
    let count = |operand: u32| {
        let raw = match i.op_kind(operand) {
            OpKind::Register => gpr[1],
            _ => i.immediate(operand),
        };
        raw & if bits == 64 { 63 } else { 31 }
    };
    Some(match i.mnemonic() {
        M::Add | M::Adc | M::Sub | M::Sbb | M::Cmp | M::Neg | M::Xadd | M::Cmpxchg | M::Popcnt => {
            effect(ALL, 0)
        }
        M::Inc | M::Dec => effect(ALL & !CF, 0),
        M::And | M::Or | M::Xor | M::Test => effect(ALL & !AF, AF),
        M::Shl | M::Sal | M::Shr | M::Sar => match count(1) {
            0 => NONE,
            n => {
                let of = if n == 1 { 0 } else { OF };
                let lost = matches!(i.mnemonic(), M::Shl | M::Sal | M::Shr) && n >= bits;
                let cf = if lost { CF } else { 0 };
                effect(ALL & !(AF | of | cf), AF | of | cf)
            }
        },
        M::Rol | M::Ror => rotate(count(1), count(1)),
        M::Rcl | M::Rcr => rotate(count(1), count(1) % (bits + 1)),
        M::Shld | M::Shrd => match count(2) {
            0 => NONE,
            n if n > bits => return None,
            n => {
                let of = if n == 1 { 0 } else { OF };
                effect(ALL & !(AF | of), AF | of)
            }
        },
        M::Mul | M::Imul => effect(CF | OF, SF | ZF | AF | PF),
        M::Div | M::Idiv => effect(0, ALL),
        M::Bt | M::Bts | M::Btr | M::Btc => effect(CF, OF | SF | AF | PF),
        M::Bsf | M::Bsr => effect(ZF, CF | OF | SF | AF | PF),
        M::Cmpxchg8b | M::Cmpxchg16b => effect(ZF, 0),
        M::Clc | M::Stc | M::Cmc => effect(CF, 0),
        M::Sahf => effect(ALL & !OF, 0),
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq | M::Scasb | M::Scasw | M::Scasd | M::Scasq => {
            let wide =
                matches!(i.op0_kind(), OpKind::MemorySegRSI) || matches!(i.op1_kind(), OpKind::MemoryESRDI);
            let n = if wide { gpr[1] } else { gpr[1] & 0xffff_ffff };
            let repeated = i.has_rep_prefix() || i.has_repne_prefix();
            if repeated && n == 0 { NONE } else { effect(ALL, 0) }
        }
        M::Aaa | M::Aas => effect(CF | AF, OF | SF | ZF | PF),
        M::Aam | M::Aad => effect(SF | ZF | PF, OF | AF | CF),
        M::Daa | M::Das => effect(ALL & !OF, OF),
        _ => NONE,
    })
}

/// `n` is the masked count, `turns` what is left of it for RCL and RCR.
fn rotate(n: u64, turns: u64) -> Effect {
    match (n, turns) {
        (0, _) => NONE,
        (1, _) => effect(CF | OF, 0),
        // A whole turn through CF: it is as it was.
        (_, 0) => effect(0, OF),
        _ => effect(CF, OF),
    }
}

/// Bytes of operand `n`.
pub fn size(i: &Instruction, n: u32) -> usize {
    match i.op_kind(n) {
        OpKind::Register => i.op_register(n).size(),
        _ => i.memory_size().size(),
    }
}

/// The flags that `i` reads.
pub fn reads(i: &Instruction) -> u64 {
    let r = i.rflags_read();
    [
        (RflagsBits::CF, CF),
        (RflagsBits::PF, PF),
        (RflagsBits::AF, AF),
        (RflagsBits::ZF, ZF),
        (RflagsBits::SF, SF),
        (RflagsBits::OF, OF),
    ]
    .iter()
    .filter(|(bit, _)| r & bit != 0)
    .fold(0, |a, (_, flag)| a | flag)
}

/// The value of register `r`.
pub fn value(r: Register, gpr: &[u64; 16]) -> u64 {
    let full = gpr[r.full_register().number()];
    match r {
        Register::AH | Register::CH | Register::DH | Register::BH => full >> 8 & 0xff,
        _ => full & u64::MAX >> (64 - 8 * r.size() as u32),
    }
}
