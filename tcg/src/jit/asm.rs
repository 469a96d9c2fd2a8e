//! A small x86-64 encoder: the instructions the JIT emits and no others (SDM volume 2, chapter 2 and the opcode maps).

use crate::ir::Size;

/// Host registers by encoding.
pub(super) mod host {
    pub const RAX: u8 = 0;
    pub const RCX: u8 = 1;
    pub const RDX: u8 = 2;
    pub const RBX: u8 = 3;
    pub const RSP: u8 = 4;
    pub const RBP: u8 = 5;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
    pub const R8: u8 = 8;
    pub const R9: u8 = 9;
    pub const R10: u8 = 10;
    pub const R11: u8 = 11;
    pub const R12: u8 = 12;
    pub const R13: u8 = 13;
    pub const R14: u8 = 14;
    pub const R15: u8 = 15;
}

/// Condition codes, by encoding.
pub(super) mod cc {
    pub const O: u8 = 0;
    pub const B: u8 = 2;
    pub const E: u8 = 4;
    pub const NE: u8 = 5;
    pub const AE: u8 = 3;
    pub const BE: u8 = 6;
    pub const A: u8 = 7;
    pub const S: u8 = 8;
    pub const NP: u8 = 11;
}

/// The second operand of an instruction with a ModRM byte.
#[derive(Clone, Copy)]
pub(super) enum Rm {
    /// A register.
    Reg(u8),
    /// `[base + disp]`.
    Base(u8, i32),
    /// `[base + index << scale + disp]`.
    Index(u8, u8, u8, i32),
    /// `[index << scale + disp32]`.
    NoBase(u8, u8, i32),
}

/// Where a 32-bit displacement is to be filled in: offset of its four bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixup(usize);

/// An instruction's bytes before its immediate.
#[derive(Default)]
struct Encoded {
    bytes: u128,
    /// Bits.
    len: u32,
}

impl Encoded {
    fn byte(&mut self, b: u8) {
        self.bytes |= u128::from(b) << self.len;
        self.len += 8;
    }

    fn dword(&mut self, v: i32) {
        self.bytes |= u128::from(v as u32) << self.len;
        self.len += 32;
    }

    fn modrm(&mut self, reg: u8, rm: Rm) {
        let disp_mod = |d: i32, base: u8| {
            if d == 0 && base & 7 != 5 {
                0u8
            } else if i8::try_from(d).is_ok() {
                1
            } else {
                2
            }
        };
        let (mode, disp) = match rm {
            Rm::Reg(r) => return self.byte(0xc0 | reg << 3 | r & 7),
            Rm::Base(b, d) => {
                let m = disp_mod(d, b);
                self.byte(m << 6 | reg << 3 | b & 7);
                if b & 7 == 4 {
                    self.byte(0x24);
                }
                (m, d)
            }
            Rm::Index(b, i, s, d) => {
                let m = disp_mod(d, b);
                self.byte(m << 6 | reg << 3 | 4);
                self.byte(s << 6 | (i & 7) << 3 | b & 7);
                (m, d)
            }
            Rm::NoBase(i, s, d) => {
                self.byte(reg << 3 | 4);
                self.byte(s << 6 | (i & 7) << 3 | 5);
                (2, d)
            }
        };
        match mode {
            0 => {}
            1 => self.byte(disp as u8),
            _ => self.dword(disp),
        }
    }
}

/// Machine code being written, for the address it will run at.
pub(super) struct Asm {
    pub code: Vec<u8>,
    /// Address of the first byte when run.
    pub origin: u64,
    /// A register to watch, and whether no instruction has named it as an operand since this was set.
    pub watched: (u8, bool),
}

impl Asm {
    pub fn new(origin: u64) -> Self {
        Self { code: Vec::new(), origin, watched: (u8::MAX, false) }
    }

    pub fn here(&self) -> usize {
        self.code.len()
    }

    fn byte(&mut self, b: u8) {
        self.code.push(b);
    }

    fn dword(&mut self, v: i32) {
        self.code.extend_from_slice(&v.to_le_bytes());
    }

    fn name(&mut self, reg: u8) {
        self.watched.1 &= reg != self.watched.0;
    }

    /// Prefixes, opcode and operands. `bytes` says which operands are byte registers (bit 0: reg, bit 1: rm).
    fn encode(&mut self, size: Size, prefix: Option<u8>, opcode: &[u8], reg: u8, rm: Rm, bytes: u8) {
        self.name(reg);
        if let Rm::Reg(r) = rm {
            self.name(r);
        }
        let mut e = Encoded::default();
        if size == Size::W {
            e.byte(0x66);
        }
        if let Some(p) = prefix {
            e.byte(p);
        }
        let (b, x) = match rm {
            Rm::Reg(r) => (r, 0),
            Rm::Base(b, _) => (b, 0),
            Rm::Index(b, i, ..) => (b, i),
            Rm::NoBase(i, ..) => (0, i),
        };
        let rex = u8::from(size == Size::Q) << 3 | reg >> 3 << 2 | x >> 3 << 1 | b >> 3;
        let high = |r: u8| (4..8).contains(&r);
        let forced = bytes & 1 != 0 && high(reg) || bytes & 2 != 0 && matches!(rm, Rm::Reg(r) if high(r));
        if rex != 0 || forced {
            e.byte(0x40 | rex);
        }
        for &o in opcode {
            e.byte(o);
        }
        e.modrm(reg & 7, rm);
        self.append(e);
    }

    /// Appends in one piece of constant size, which is a store.
    fn append(&mut self, e: Encoded) {
        let len = self.code.len() + e.len as usize / 8;
        self.code.extend_from_slice(&e.bytes.to_le_bytes());
        self.code.truncate(len);
    }

    fn sized(size: Size, opcode: u8) -> u8 {
        if size == Size::B { opcode - 1 } else { opcode }
    }

    /// rm = reg.
    pub fn store(&mut self, size: Size, rm: Rm, reg: u8) {
        self.encode(size, None, &[Self::sized(size, 0x89)], reg, rm, if size == Size::B { 3 } else { 0 });
    }

    /// reg = rm, partial as the width says.
    pub fn load(&mut self, size: Size, reg: u8, rm: Rm) {
        self.encode(size, None, &[Self::sized(size, 0x8b)], reg, rm, if size == Size::B { 3 } else { 0 });
    }

    /// reg = all 64 bits of another.
    pub fn mov(&mut self, to: u8, from: u8) {
        if to != from {
            self.load(Size::Q, to, Rm::Reg(from));
        }
    }

    /// reg = constant; flags stay.
    pub fn mov_imm(&mut self, reg: u8, v: u64) {
        self.name(reg);
        if u32::try_from(v).is_ok() {
            if reg >= 8 {
                self.byte(0x41);
            }
            self.byte(0xb8 | reg & 7);
            self.dword(v as u32 as i32);
        } else if let Ok(d) = i32::try_from(v as i64) {
            self.encode(Size::Q, None, &[0xc7], 0, Rm::Reg(reg), 0);
            self.dword(d);
        } else {
            self.byte(0x48 | reg >> 3);
            self.byte(0xb8 | reg & 7);
            self.code.extend_from_slice(&v.to_le_bytes());
        }
    }

    /// rm = constant, sign-extended from 32 bits.
    pub fn store_imm(&mut self, size: Size, rm: Rm, v: i32) {
        self.encode(size, None, &[Self::sized(size, 0xc7)], 0, rm, if size == Size::B { 2 } else { 0 });
        self.immediate(size, v);
    }

    fn immediate(&mut self, size: Size, v: i32) {
        match size {
            Size::B => self.byte(v as u8),
            Size::W => self.code.extend_from_slice(&(v as u16).to_le_bytes()),
            Size::D | Size::Q => self.dword(v),
        }
    }

    /// reg = reg OP rm.
    pub fn alu(&mut self, op: u8, size: Size, reg: u8, rm: Rm) {
        let opcode = op << 3 | 2 | u8::from(size != Size::B);
        self.encode(size, None, &[opcode], reg, rm, if size == Size::B { 3 } else { 0 });
    }

    /// rm = rm OP reg.
    pub fn alu_to(&mut self, op: u8, size: Size, rm: Rm, reg: u8) {
        let opcode = op << 3 | u8::from(size != Size::B);
        self.encode(size, None, &[opcode], reg, rm, if size == Size::B { 3 } else { 0 });
    }

    /// TEST rm, constant.
    pub fn test_imm(&mut self, size: Size, rm: Rm, v: i32) {
        self.encode(size, None, &[Self::sized(size, 0xf7)], 0, rm, if size == Size::B { 2 } else { 0 });
        self.immediate(size, v);
    }

    /// rm = rm OP constant.
    pub fn alu_imm(&mut self, op: u8, size: Size, rm: Rm, v: i32) {
        let bytes = if size == Size::B { 2 } else { 0 };
        if size == Size::B {
            self.encode(size, None, &[0x80], op, rm, bytes);
            self.byte(v as u8);
        } else if i8::try_from(v).is_ok() {
            self.encode(size, None, &[0x83], op, rm, bytes);
            self.byte(v as u8);
        } else {
            self.encode(size, None, &[0x81], op, rm, bytes);
            self.immediate(size, v);
        }
    }

    /// TEST rm, reg.
    pub fn test(&mut self, size: Size, rm: Rm, reg: u8) {
        self.encode(size, None, &[Self::sized(size, 0x85)], reg, rm, if size == Size::B { 3 } else { 0 });
    }

    /// to = from rotated right by `n`, 32 bits; flags stay. BMI2 (SDM volume 2, RORX).
    pub fn rorx(&mut self, to: u8, from: u8, n: u8) {
        self.name(to);
        self.name(from);
        let inverted = |r: u8, bit: u8| (!(r >> 3) & 1) << bit;
        self.code.extend_from_slice(&[
            0xc4,
            inverted(to, 7) | 1 << 6 | inverted(from, 5) | 3,
            0x7b,
            0xf0,
            0xc0 | (to & 7) << 3 | from & 7,
            n,
        ]);
    }

    /// Exchanges two registers.
    pub fn xchg(&mut self, a: u8, b: u8) {
        self.encode(Size::Q, None, &[0x87], a, Rm::Reg(b), 0);
    }

    /// The one-operand group F6/F7: NOT 2, NEG 3, MUL 4, IMUL 5, DIV 6, IDIV 7.
    pub fn unary(&mut self, op: u8, size: Size, rm: Rm) {
        self.encode(size, None, &[Self::sized(size, 0xf7)], op, rm, if size == Size::B { 2 } else { 0 });
    }

    /// INC (0) or DEC (1).
    pub fn step(&mut self, op: u8, size: Size, rm: Rm) {
        self.encode(size, None, &[Self::sized(size, 0xff)], op, rm, if size == Size::B { 2 } else { 0 });
    }

    /// Shift by a constant: ROL 0, ROR 1, SHL 4, SHR 5, SAR 7.
    pub fn shift_imm(&mut self, op: u8, size: Size, reg: u8, n: u8) {
        let bytes = if size == Size::B { 2 } else { 0 };
        self.encode(size, None, &[Self::sized(size, 0xc1)], op, Rm::Reg(reg), bytes);
        self.byte(n);
    }

    /// Shift by CL.
    pub fn shift_cl(&mut self, op: u8, size: Size, reg: u8) {
        let bytes = if size == Size::B { 2 } else { 0 };
        self.encode(size, None, &[Self::sized(size, 0xd3)], op, Rm::Reg(reg), bytes);
    }

    /// SHLD or SHRD by CL.
    pub fn shift_double_cl(&mut self, left: bool, size: Size, reg: u8, from: u8) {
        self.encode(size, None, &[0x0f, if left { 0xa5 } else { 0xad }], from, Rm::Reg(reg), 0);
    }

    /// SHLD or SHRD by a constant.
    pub fn shift_double_imm(&mut self, left: bool, size: Size, reg: u8, from: u8, n: u8) {
        self.encode(size, None, &[0x0f, if left { 0xa4 } else { 0xac }], from, Rm::Reg(reg), 0);
        self.byte(n);
    }

    /// reg = zero-extended rm of width `from`.
    pub fn movzx(&mut self, from: Size, reg: u8, rm: Rm) {
        match from {
            Size::B => self.encode(Size::D, None, &[0x0f, 0xb6], reg, rm, 2),
            Size::W => self.encode(Size::D, None, &[0x0f, 0xb7], reg, rm, 0),
            Size::D | Size::Q => self.load(from, reg, rm),
        }
    }

    /// reg = sign-extended rm of width `from`, cut to `to`.
    pub fn movsx(&mut self, from: Size, to: Size, reg: u8, rm: Rm) {
        match from {
            Size::B => self.encode(to, None, &[0x0f, 0xbe], reg, rm, 2),
            Size::W => self.encode(to, None, &[0x0f, 0xbf], reg, rm, 0),
            Size::D if to == Size::Q => self.encode(Size::Q, None, &[0x63], reg, rm, 0),
            Size::D | Size::Q => self.load(to, reg, rm),
        }
    }

    /// reg = address of `rm`.
    pub fn lea(&mut self, size: Size, reg: u8, rm: Rm) {
        self.encode(size, None, &[0x8d], reg, rm, 0);
    }

    /// reg = bswap reg.
    pub fn bswap(&mut self, size: Size, reg: u8) {
        let rex = u8::from(size == Size::Q) << 3 | reg >> 3;
        if rex != 0 {
            self.byte(0x40 | rex);
        }
        self.code.extend_from_slice(&[0x0f, 0xc8 | reg & 7]);
    }

    /// reg = reg * rm, the low half.
    pub fn imul(&mut self, size: Size, reg: u8, rm: Rm) {
        self.encode(size, None, &[0x0f, 0xaf], reg, rm, 0);
    }

    /// reg = rm * constant, the low half.
    pub fn imul_imm(&mut self, size: Size, reg: u8, rm: Rm, v: i32) {
        self.encode(size, None, &[0x69], reg, rm, 0);
        self.immediate(size, v);
    }

    /// reg = number of set bits of rm.
    pub fn popcnt(&mut self, size: Size, reg: u8, rm: Rm) {
        self.encode(size, Some(0xf3), &[0x0f, 0xb8], reg, rm, 0);
    }

    /// BT 4, BTS 5, BTR 6, BTC 7 with a constant index.
    pub fn bit_imm(&mut self, op: u8, size: Size, rm: Rm, n: u8) {
        self.encode(size, None, &[0x0f, 0xba], op, rm, 0);
        self.byte(n);
    }

    /// BT 4, BTS 5, BTR 6, BTC 7 with the index in a register.
    pub fn bit_reg(&mut self, op: u8, size: Size, reg: u8, index: u8) {
        self.encode(size, None, &[0x0f, 0x83 | op << 3], index, Rm::Reg(reg), 0);
    }

    /// BSF or BSR.
    pub fn bit_scan(&mut self, reverse: bool, size: Size, reg: u8, rm: Rm) {
        self.encode(size, None, &[0x0f, if reverse { 0xbd } else { 0xbc }], reg, rm, 0);
    }

    /// rm (8 bits) = condition.
    pub fn setcc(&mut self, cc: u8, rm: Rm) {
        self.encode(Size::B, None, &[0x0f, 0x90 | cc], 0, rm, 2);
    }

    /// if condition then reg = rm.
    pub fn cmov(&mut self, cc: u8, size: Size, reg: u8, rm: Rm) {
        self.encode(size, None, &[0x0f, 0x40 | cc], reg, rm, 0);
    }

    /// A legacy SSE instruction: prefix, opcode, REX.W when `wide`.
    pub fn sse(&mut self, prefix: Option<u8>, opcode: &[u8], wide: bool, reg: u8, rm: Rm) {
        self.encode(if wide { Size::Q } else { Size::D }, prefix, opcode, reg, rm, 0);
    }

    /// LDMXCSR.
    pub fn ldmxcsr(&mut self, rm: Rm) {
        self.encode(Size::D, None, &[0x0f, 0xae], 2, rm, 0);
    }

    /// STMXCSR.
    pub fn stmxcsr(&mut self, rm: Rm) {
        self.encode(Size::D, None, &[0x0f, 0xae], 3, rm, 0);
    }

    pub fn push(&mut self, reg: u8) {
        if reg >= 8 {
            self.byte(0x41);
        }
        self.byte(0x50 | reg & 7);
    }

    pub fn pop(&mut self, reg: u8) {
        self.name(reg);
        if reg >= 8 {
            self.byte(0x41);
        }
        self.byte(0x58 | reg & 7);
    }

    pub fn ret(&mut self) {
        self.byte(0xc3);
    }

    pub fn jmp_reg(&mut self, rm: Rm) {
        self.encode(Size::D, None, &[0xff], 4, rm, 0);
    }

    pub fn call_reg(&mut self, reg: u8) {
        self.encode(Size::D, None, &[0xff], 2, Rm::Reg(reg), 0);
    }

    /// Conditional jump to a place to be bound.
    pub fn jcc(&mut self, cc: u8) -> Fixup {
        self.code.extend_from_slice(&[0x0f, 0x80 | cc]);
        self.hole()
    }

    /// Jump to a place to be bound.
    pub fn jmp(&mut self) -> Fixup {
        self.byte(0xe9);
        self.hole()
    }

    fn hole(&mut self) -> Fixup {
        self.dword(0);
        Fixup(self.here() - 4)
    }

    /// Makes `f` lead here.
    pub fn bind(&mut self, f: Fixup) {
        let to = self.here();
        self.bind_to(f, to);
    }

    /// Makes `f` lead to offset `to`.
    pub fn bind_to(&mut self, f: Fixup, to: usize) {
        let d = (to as i64 - (f.0 as i64 + 4)) as i32;
        self.code[f.0..f.0 + 4].copy_from_slice(&d.to_le_bytes());
    }

    /// Jump to an absolute address in the same buffer.
    pub fn jmp_abs(&mut self, to: u64) {
        self.byte(0xe9);
        self.relative(to);
    }

    /// Call of an absolute address in the same buffer.
    pub fn call_abs(&mut self, to: u64) {
        self.watched.1 = false;
        self.byte(0xe8);
        self.relative(to);
    }

    fn relative(&mut self, to: u64) {
        let next = self.origin.wrapping_add(self.here() as u64 + 4);
        self.dword(to.wrapping_sub(next) as i32);
    }

    /// CMP reg, [address in the same buffer].
    pub fn cmp_abs(&mut self, reg: u8, address: u64) {
        self.byte(0x48 | reg >> 3 << 2);
        self.byte(0x3b);
        self.byte(5 | (reg & 7) << 3);
        self.relative(address);
    }

    /// reg = address in the same buffer.
    pub fn lea_abs(&mut self, reg: u8, address: u64) {
        self.byte(0x48 | reg >> 3 << 2);
        self.code.extend_from_slice(&[0x8d, 5 | (reg & 7) << 3]);
        self.relative(address);
    }

    /// Flags to the stack.
    pub fn pushf(&mut self) {
        self.byte(0x9c);
    }

    /// Flags from the stack.
    pub fn popf(&mut self) {
        self.byte(0x9d);
    }

    /// Jump through [address in the same buffer].
    pub fn jmp_through(&mut self, address: u64) {
        self.code.extend_from_slice(&[0xff, 0x25]);
        self.relative(address);
    }
}
