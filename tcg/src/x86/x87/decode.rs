//! The opcode map D8 to DF (SDM volume 2, tables ), with the aliases every Intel processor executes though the
//! manual leaves them blank.

use super::op::{Arith, Condition, Constant, Operand, X87Op};
use Operand::{M16int, M32fp, M32int, M64fp, M64int, M80fp, St};
use X87Op::{Fcmov, Fcom, Fcomi, Fld, FldConstant, Fst, Fucom, Fucomi, Fxch, ToSt0, ToSti};

/// The instruction with first byte `opcode` (D8 to DF) and this ModRM byte; none where the map is empty (#UD).
#[must_use]
pub const fn decode(opcode: u8, modrm: u8) -> Option<X87Op> {
    if modrm < 0xc0 { memory(opcode, modrm >> 3 & 7) } else { register(opcode, modrm >> 3 & 7, modrm & 7) }
}

/// The arithmetic operation in the reg field of D8, DA, DC, DE with a memory operand, and of D8 with a register.
const fn arith(reg: u8) -> Arith {
    match reg {
        0 => Arith::Add,
        1 => Arith::Mul,
        4 => Arith::Sub,
        5 => Arith::Subr,
        6 => Arith::Div,
        _ => Arith::Divr,
    }
}

const fn memory_arith(reg: u8, m: Operand) -> X87Op {
    match reg {
        2 => Fcom { with: m, pop: 0 },
        3 => Fcom { with: m, pop: 1 },
        _ => ToSt0(arith(reg), m),
    }
}

const fn memory(opcode: u8, reg: u8) -> Option<X87Op> {
    Some(match (opcode, reg) {
        (0xd8, _) => memory_arith(reg, M32fp),
        (0xd9, 0) => Fld(M32fp),
        (0xd9, 2) => Fst { to: M32fp, pop: false },
        (0xd9, 3) => Fst { to: M32fp, pop: true },
        (0xd9, 4) => X87Op::Fldenv,
        (0xd9, 5) => X87Op::Fldcw,
        (0xd9, 6) => X87Op::Fnstenv,
        (0xd9, 7) => X87Op::Fnstcw,
        (0xda, _) => memory_arith(reg, M32int),
        (0xdb, 0) => Fld(M32int),
        (0xdb, 1) => X87Op::Fisttp(M32int),
        (0xdb, 2) => Fst { to: M32int, pop: false },
        (0xdb, 3) => Fst { to: M32int, pop: true },
        (0xdb, 5) => Fld(M80fp),
        (0xdb, 7) => Fst { to: M80fp, pop: true },
        (0xdc, _) => memory_arith(reg, M64fp),
        (0xdd, 0) => Fld(M64fp),
        (0xdd, 1) => X87Op::Fisttp(M64int),
        (0xdd, 2) => Fst { to: M64fp, pop: false },
        (0xdd, 3) => Fst { to: M64fp, pop: true },
        (0xdd, 4) => X87Op::Frstor,
        (0xdd, 6) => X87Op::Fnsave,
        (0xdd, 7) => X87Op::Fnstsw,
        (0xde, _) => memory_arith(reg, M16int),
        (0xdf, 0) => Fld(M16int),
        (0xdf, 1) => X87Op::Fisttp(M16int),
        (0xdf, 2) => Fst { to: M16int, pop: false },
        (0xdf, 3) => Fst { to: M16int, pop: true },
        (0xdf, 4) => X87Op::Fbld,
        (0xdf, 5) => Fld(M64int),
        (0xdf, 6) => X87Op::Fbstp,
        (0xdf, 7) => Fst { to: M64int, pop: true },
        _ => return None,
    })
}

const fn register(opcode: u8, reg: u8, i: u8) -> Option<X87Op> {
    Some(match (opcode, reg) {
        (0xd8, 2) => Fcom { with: St(i), pop: 0 },
        (0xd8, 3) => Fcom { with: St(i), pop: 1 },
        (0xd8, _) => ToSt0(arith(reg), St(i)),
        (0xd9, 0) => Fld(St(i)),
        (0xd9, 1) => Fxch(i),
        (0xd9, 2) if i == 0 => X87Op::Fnop,
        (0xd9, 3) => X87Op::FstpUnchecked(i),
        (0xd9, 4..=7) => return d9(reg, i),
        (0xda, 0) => Fcmov(Condition::Below, i),
        (0xda, 1) => Fcmov(Condition::Equal, i),
        (0xda, 2) => Fcmov(Condition::BelowEqual, i),
        (0xda, 3) => Fcmov(Condition::Unordered, i),
        (0xda, 5) if i == 1 => Fucom { i: 1, pop: 2 },
        (0xdb, 0) => Fcmov(Condition::NotBelow, i),
        (0xdb, 1) => Fcmov(Condition::NotEqual, i),
        (0xdb, 2) => Fcmov(Condition::NotBelowEqual, i),
        (0xdb, 3) => Fcmov(Condition::NotUnordered, i),
        (0xdb, 4) => match i {
            0 | 1 | 4 => X87Op::Fnneni,
            2 => X87Op::Fnclex,
            3 => X87Op::Fninit,
            _ => return None,
        },
        (0xdb, 5) => Fucomi { i, pop: false },
        (0xdb, 6) => Fcomi { i, pop: false },
        // With ST(i) as destination, the reg field of subtraction and division has its lowest bit the other way round.
        (0xdc | 0xde, 0 | 1) => ToSti { op: arith(reg), i, pop: opcode == 0xde },
        (0xdc | 0xde, 4..=7) => ToSti { op: arith(reg ^ 1), i, pop: opcode == 0xde },
        (0xdc, 2) => Fcom { with: St(i), pop: 0 },
        (0xdc, 3) | (0xde, 2) => Fcom { with: St(i), pop: 1 },
        (0xde, 3) if i == 1 => Fcom { with: St(1), pop: 2 },
        (0xdd, 0) => X87Op::Ffree { i, pop: false },
        (0xdd | 0xdf, 1) => Fxch(i),
        (0xdd, 2) => Fst { to: St(i), pop: false },
        (0xdd, 3) | (0xdf, 2 | 3) => Fst { to: St(i), pop: true },
        (0xdd, 4) => Fucom { i, pop: 0 },
        (0xdd, 5) => Fucom { i, pop: 1 },
        (0xdf, 0) => X87Op::Ffree { i, pop: true },
        (0xdf, 4) if i == 0 => X87Op::FnstswAx,
        (0xdf, 5) => Fucomi { i, pop: true },
        (0xdf, 6) => Fcomi { i, pop: true },
        _ => return None,
    })
}

/// D9 E0 to D9 FF: one instruction per ModRM byte.
const fn d9(reg: u8, i: u8) -> Option<X87Op> {
    Some(match reg << 4 | i {
        0x40 => X87Op::Fchs,
        0x41 => X87Op::Fabs,
        0x44 => X87Op::Ftst,
        0x45 => X87Op::Fxam,
        0x50 => FldConstant(Constant::One),
        0x51 => FldConstant(Constant::Log2Of10),
        0x52 => FldConstant(Constant::Log2OfE),
        0x53 => FldConstant(Constant::Pi),
        0x54 => FldConstant(Constant::Log10Of2),
        0x55 => FldConstant(Constant::LnOf2),
        0x56 => FldConstant(Constant::Zero),
        0x60 => X87Op::F2xm1,
        0x61 => X87Op::Fyl2x,
        0x62 => X87Op::Fptan,
        0x63 => X87Op::Fpatan,
        0x64 => X87Op::Fxtract,
        0x65 => X87Op::Fprem1,
        0x66 => X87Op::Fdecstp,
        0x67 => X87Op::Fincstp,
        0x70 => X87Op::Fprem,
        0x71 => X87Op::Fyl2xp1,
        0x72 => X87Op::Fsqrt,
        0x73 => X87Op::Fsincos,
        0x74 => X87Op::Frndint,
        0x75 => X87Op::Fscale,
        0x76 => X87Op::Fsin,
        0x77 => X87Op::Fcos,
        _ => return None,
    })
}
