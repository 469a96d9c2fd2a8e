//! Makes instructions whose memory operands hit the data pages, whatever the registers hold: the base register is set
//! to fit just before.

use crate::effect::{self, value};
use crate::machine::{Bits, DATA, DATA_LEN, Random, WRITABLE};
use iced_x86::{Code, Instruction, MemorySize, Mnemonic, OpCodeOperandKind as K, OpKind, Register};

const PAGE: u64 = 4096;

/// An instruction and what must run right before it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Moves that set registers and memory up.
    pub setup: Vec<Instruction>,
    /// The instruction.
    pub main: Instruction,
    /// Whether it is expected to fault.
    pub faults: bool,
}

/// What a generator may look at.
pub trait World {
    /// A memory value.
    fn read(&self, at: u64, size: usize) -> u64;
    /// A free place in the code area to jump to; with `near`, within a short jump of the current place.
    fn landing(&mut self, random: &mut Random, near: bool) -> Option<u64>;
}

/// Makes one instruction.
pub struct Generator<'a, W: World> {
    pub random: &'a mut Random,
    pub world: &'a mut W,
    pub bits: Bits,
    /// Registers as they are after the setup so far.
    pub gpr: [u64; 16],
    /// Flags before.
    pub flags: u64,
    /// Registers whose value is relied upon.
    pub pinned: u16,
    pub plan: Plan,
    /// Whether operands that fault are allowed.
    pub may_fault: bool,
}

/// Number of a register in encoding order.
fn number(r: Register) -> usize {
    r.full_register().number()
}

fn gpr(bits: u32, n: u64) -> Register {
    let n = n as u32;
    match bits {
        8 => [
            Register::AL,
            Register::CL,
            Register::DL,
            Register::BL,
            Register::SPL,
            Register::BPL,
            Register::SIL,
            Register::DIL,
            Register::R8L,
            Register::R9L,
            Register::R10L,
            Register::R11L,
            Register::R12L,
            Register::R13L,
            Register::R14L,
            Register::R15L,
            Register::AH,
            Register::CH,
            Register::DH,
            Register::BH,
        ][n as usize],
        16 => Register::AX + n,
        32 => Register::EAX + n,
        _ => Register::RAX + n,
    }
}

fn width_mask(bytes: usize) -> u64 {
    u64::MAX >> (64 - 8 * bytes as u32)
}

impl<W: World> Generator<'_, W> {
    fn register(&mut self, bits: u32) -> Register {
        let n = match (bits, self.bits) {
            (8, Bits::B64) => self.random.below(20),
            (8, Bits::B32) => self.random.of(&[0, 1, 2, 3, 16, 17, 18, 19]),
            (_, Bits::B64) => self.random.below(16),
            (_, Bits::B32) => self.random.below(8),
        };
        gpr(bits, n)
    }

    /// Sets register `r` to `value` before the instruction, unless another operand relies on it.
    fn need(&mut self, r: Register, value: u64) -> Option<()> {
        let n = number(r);
        let value = if self.bits == Bits::B32 { value & 0xffff_ffff } else { value };
        if self.pinned >> n & 1 != 0 {
            return (self.gpr[n] == value).then_some(());
        }
        self.pinned |= 1 << n;
        self.gpr[n] = value;
        let insn = if self.bits == Bits::B32 {
            Instruction::with2(Code::Mov_r32_imm32, gpr(32, n as u64), value as u32)
        } else {
            Instruction::with2(Code::Mov_r64_imm64, gpr(64, n as u64), value)
        };
        self.plan.setup.push(insn.ok()?);
        Some(())
    }

    /// The value of `r`, which no setup may change any more.
    fn rely(&mut self, r: Register) -> u64 {
        self.pinned |= 1 << number(r);
        value(r, &self.gpr)
    }

    /// Where a computed branch goes: a landing place, rarely nowhere.
    fn destination(&mut self) -> Option<u64> {
        // Where two faults compete, AMD's processors prefer the stack's.
        if self.may_fault && !self.plan.faults && self.bits == Bits::B64 && self.random.once_in(40) {
            self.plan.faults = true;
            return Some(self.random.of(&[0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63]));
        }
        self.world.landing(self.random, false)
    }

    /// Stores a pointer-sized constant at `at`.
    fn store(&mut self, at: u64, v: u64) -> Option<()> {
        let mut i = Instruction::default();
        match self.bits {
            Bits::B64 => {
                i.set_code(Code::Mov_rm64_imm32);
                i.set_op1_kind(OpKind::Immediate32to64);
                i.set_memory_displ_size(8);
            }
            Bits::B32 => {
                i.set_code(Code::Mov_rm32_imm32);
                i.set_op1_kind(OpKind::Immediate32);
                i.set_memory_displ_size(4);
            }
        }
        i.set_immediate32(v as u32);
        i.set_op0_kind(OpKind::Memory);
        i.set_memory_displacement64(at);
        self.plan.setup.push(i);
        Some(())
    }

    /// An address for an access of `len` bytes.
    fn target(&mut self, len: u64, write: bool, align: u64) -> u64 {
        let r = &mut *self.random;
        // One operand at most: of two that fault the manual does not say which goes first.
        if self.may_fault && !self.plan.faults && r.once_in(40) {
            self.plan.faults = true;
            let edge = match r.below(if self.bits == Bits::B64 { 4 } else { 3 }) {
                0 => DATA.wrapping_sub(r.below(len) + 1),
                1 => DATA + DATA_LEN as u64 - r.below(len),
                2 if write => DATA + WRITABLE as u64 - r.below(len) + r.below(64),
                2 => DATA + DATA_LEN as u64 + r.below(64),
                // Not canonical.
                _ => 0x8000_0000_0000 + r.below(1 << 20),
            };
            return edge & !(align - 1);
        }
        let room = if write { WRITABLE } else { DATA_LEN } as u64 - len;
        let at = match r.below(4) {
            // Around a page boundary.
            0 => PAGE * (1 + r.below(room / PAGE)) - r.below(len + 1),
            _ => r.below(room + 1),
        };
        DATA + (at.min(room) & !(align - 1))
    }

    /// Makes operand `op` the memory at an address for `len` bytes; the address used is returned.
    /// `moved` is added by the instruction to the address it computes.
    fn memory(&mut self, op: u32, len: u64, write: bool, align: u64, moved: u64) -> Option<u64> {
        let target = self.target(len.max(1), write, align);
        self.memory_at(op, target, moved)
    }

    fn memory_at(&mut self, op: u32, target: u64, moved: u64) -> Option<u64> {
        let r = &mut *self.random;
        let narrow = self.bits == Bits::B64 && target < 1 << 32 && r.once_in(6);
        let address_bits = if self.bits == Bits::B32 || narrow { 32 } else { 64 };
        let mask = if address_bits == 32 { 0xffff_ffff } else { u64::MAX };
        let full = if address_bits == 32 { 4 } else { 8 };
        let shape = r.below(16);
        let i = &mut self.plan.main;
        i.set_op_kind(op, OpKind::Memory);
        if r.once_in(16) {
            i.set_segment_prefix(r.of(&[Register::CS, Register::SS, Register::DS, Register::ES]));
            if self.bits == Bits::B32 {
                // A code segment cannot be written.
                i.set_segment_prefix(r.of(&[Register::SS, Register::DS, Register::ES]));
            }
        }
        if shape == 0 && moved == 0 && target < 1 << 31 {
            i.set_memory_displ_size(full);
            i.set_memory_displacement64(target);
            return Some(target);
        }
        if shape == 1 && moved == 0 && target < 1 << 31 && self.bits == Bits::B64 {
            i.set_memory_base(if address_bits == 32 { Register::EIP } else { Register::RIP });
            i.set_memory_displ_size(full);
            i.set_memory_displacement64(target);
            return Some(target);
        }
        let (displacement, displ_size) = match r.below(4) {
            0 => (0, 0),
            1 => (r.next() as i8 as i64 as u64, 1),
            _ => (r.next() as i32 as i64 as u64, full),
        };
        let registers = if self.bits == Bits::B32 { 8 } else { 16 };
        let index = if r.below(2) == 0 {
            Register::None
        } else {
            match r.below(registers) {
                4 => Register::None,
                n => gpr(address_bits, n),
            }
        };
        let scale = r.below(4) as u32;
        if shape == 2 && index != Register::None && moved == 0 {
            // No base: a small index, and a displacement that fits.
            let small = r.below(0x1000);
            let garbage = if address_bits == 32 && self.bits == Bits::B64 { r.next() << 32 } else { 0 };
            self.need(index, small | garbage)?;
            let i = &mut self.plan.main;
            i.set_memory_index(index);
            i.set_memory_index_scale(1 << scale);
            i.set_memory_displ_size(full);
            i.set_memory_displacement64(target.wrapping_sub(small << scale));
            return i32::try_from(target.wrapping_sub(small << scale) as i64).ok().map(|_| target);
        }
        let base = gpr(address_bits, r.below(registers));
        let garbage = if address_bits == 32 && self.bits == Bits::B64 { self.random.next() << 32 } else { 0 };
        let mut left = target.wrapping_sub(moved).wrapping_sub(displacement);
        if index == base {
            if scale == 0 {
                if left & 1 != 0 {
                    return None;
                }
                left >>= 1;
            } else {
                left = left.wrapping_mul(inverse(1 + (1 << scale)));
            }
        } else if index != Register::None {
            left = left.wrapping_sub(self.rely(index) << scale);
        }
        self.need(base, left & mask | garbage)?;
        let i = &mut self.plan.main;
        i.set_memory_base(base);
        if index != Register::None {
            i.set_memory_index(index);
            i.set_memory_index_scale(1 << scale);
        }
        i.set_memory_displ_size(displ_size);
        i.set_memory_displacement64(displacement & mask);
        Some(target)
    }

    /// Points the stack into the data with room on both sides.
    fn stack(&mut self, read: u64, written: u64) -> Option<u64> {
        let r = &mut *self.random;
        let mut at = DATA + 0x400 + r.below(0x1800 - 0x400);
        if !r.once_in(4) {
            at &= !7;
        }
        if self.may_fault && self.random.once_in(60) {
            self.plan.faults = true;
            let r = &mut *self.random;
            at = if written > 0 {
                DATA + r.below(written)
            } else {
                DATA + DATA_LEN as u64 - r.below(read.max(1))
            };
        }
        self.need(Register::RSP, at)?;
        Some(at)
    }

    /// A plan for `code`; `None` when the operands drawn do not go together.
    pub fn plan(mut self, code: Code) -> Option<Plan> {
        let info = code.op_code();
        let mnemonic = code.mnemonic();
        self.plan.main.set_code(code);
        // Stack instructions need their stack before operands rely on registers.
        let probe = probe(code);
        let delta = probe.stack_pointer_increment();
        let mut top = 0;
        if probe.is_stack_instruction() && !matches!(mnemonic, Mnemonic::Leave | Mnemonic::Enter) {
            let (read, written) =
                if delta > 0 { (delta as u64, 0) } else { (0, delta.unsigned_abs().into()) };
            top = self.stack(read, written)?;
        }
        match mnemonic {
            Mnemonic::Enter => {
                self.stack(0, 8)?;
                let frame = DATA + 0x400 + self.random.below(0x1000);
                self.need(Register::RBP, frame)?;
            }
            Mnemonic::Leave => {
                let frame = self.target(8, false, 1);
                self.need(Register::RBP, frame)?;
            }
            Mnemonic::Pusha | Mnemonic::Pushad => {
                self.stack(0, 32)?;
            }
            Mnemonic::Popa | Mnemonic::Popad => {
                self.stack(32, 0)?;
            }
            Mnemonic::Ret => {
                let landing = self.world.landing(self.random, false)?;
                if !self.plan.faults {
                    self.store(top, landing)?;
                }
            }
            Mnemonic::Div | Mnemonic::Idiv if !self.random.once_in(3) => {
                let small = self.random.below(4).wrapping_sub(1);
                self.need(Register::RDX, small)?;
                if self.random.once_in(2) {
                    let small = self.random.below(0x400);
                    self.need(Register::RAX, small)?;
                }
            }
            _ => {}
        }
        for op in 0..info.op_count() {
            self.operand(code, op, info.op_kind(op), delta)?;
        }
        self.prefixes(code);
        if matches!(mnemonic, Mnemonic::Cmpxchg | Mnemonic::Cmpxchg8b | Mnemonic::Cmpxchg16b)
            && self.random.once_in(2)
        {
            self.make_equal();
        }
        Some(self.plan)
    }

    fn operand(&mut self, code: Code, op: u32, kind: K, delta: i32) -> Option<()> {
        if self.plan.main.op_kind(op) == OpKind::Register && self.plan.main.op_register(op) != Register::None
        {
            // Chosen with the memory operand.
            return Some(());
        }
        let bits = match kind {
            K::r8_or_mem | K::r8_reg | K::r8_opcode => 8,
            K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => 16,
            K::r32_or_mem | K::r32_or_mem_mpx | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => 32,
            _ => 64,
        };
        match kind {
            K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem if self.random.below(5) < 2 => {
                return self.rm_memory(code, op, delta);
            }
            K::mem | K::mem_offs => return self.rm_memory(code, op, delta),
            K::r8_or_mem | K::r8_reg | K::r8_opcode => {}
            K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => {}
            K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => {}
            K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode => {}
            _ => return self.implied(code, op, kind),
        }
        let register = self.register(bits);
        self.plan.main.set_op_kind(op, OpKind::Register);
        self.plan.main.set_op_register(op, register);
        if matches!(code.mnemonic(), Mnemonic::Jmp | Mnemonic::Call) {
            let landing = self.destination()?;
            self.need(register, landing)?;
        }
        Some(())
    }

    /// Memory where a register could be as well.
    fn rm_memory(&mut self, code: Code, op: u32, delta: i32) -> Option<()> {
        let mnemonic = code.mnemonic();
        let size = code.memory_size_of(op);
        let write = op == 0
            && !matches!(mnemonic, Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Bt | Mnemonic::Push)
            && !matches!(mnemonic, Mnemonic::Mul | Mnemonic::Imul | Mnemonic::Div | Mnemonic::Idiv)
            && !matches!(mnemonic, Mnemonic::Nop);
        if code.op_code().op_kind(op) == K::mem_offs {
            let target = self.target(size, write, 1);
            if target >= 1 << 32 && self.bits == Bits::B32 {
                return None;
            }
            let narrow = self.bits == Bits::B32 || (target < 1 << 32 && self.random.once_in(4));
            let i = &mut self.plan.main;
            i.set_op_kind(op, OpKind::Memory);
            i.set_memory_displ_size(if narrow { 4 } else { 8 });
            i.set_memory_displacement64(target);
            return Some(());
        }
        let align = if mnemonic == Mnemonic::Cmpxchg16b && !self.may_fault { 16 } else { 1 };
        let align = if mnemonic == Mnemonic::Cmpxchg16b && !self.random.once_in(8) { 16 } else { align };
        if align == 1 && mnemonic == Mnemonic::Cmpxchg16b {
            self.plan.faults = true;
        }
        match mnemonic {
            // The offset of a register's bit number moves the address; it comes as operand 1.
            Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc
                if code.op_code().op_kind(1) != K::imm8 =>
            {
                let bits = 8 * size as u32;
                let index = self.register(bits);
                self.plan.main.set_op1_kind(OpKind::Register);
                self.plan.main.set_op1_register(index);
                let v = self.rely(index);
                let k = 64 - bits;
                let signed = ((v << k) as i64) >> k;
                let moved = (signed >> bits.trailing_zeros()).wrapping_mul(i64::from(bits / 8)) as u64;
                self.memory(op, size, write, 1, moved)?;
            }
            Mnemonic::Jmp | Mnemonic::Call => {
                // Where two faults compete, AMD's processors prefer the stack's.
                let stack_faults = self.plan.faults;
                let at = self.memory(op, size, false, 1, 0)?;
                let writable = at.wrapping_sub(DATA) <= WRITABLE as u64 - size;
                if writable {
                    let landing = self.world.landing(self.random, false)?;
                    self.store(at, landing)?;
                } else if stack_faults || !self.plan.faults {
                    return None;
                }
            }
            Mnemonic::Pop => {
                let i = &self.plan;
                let stacked = i.setup.len();
                self.memory(op, size, write, 1, 0)?;
                // A base of RSP sees the incremented value.
                if number_is_rsp(self.plan.main.memory_base()) && self.plan.setup.len() == stacked {
                    let d = self.plan.main.memory_displacement64().wrapping_sub(delta as u64);
                    self.plan.main.set_memory_displacement64(d);
                }
            }
            // Not accessed: any address will do.
            Mnemonic::Lea | Mnemonic::Nop => {
                let target = self.random.value() >> self.random.of(&[0, 0, 32, 33]);
                let target = if self.bits == Bits::B32 { target & 0xffff_ffff } else { target };
                self.memory_at(op, target, 0)?;
            }
            _ => {
                self.memory(op, size, write, align, 0)?;
            }
        }
        Some(())
    }

    /// Everything that leaves no choice of register.
    fn implied(&mut self, code: Code, op: u32, kind: K) -> Option<()> {
        let r = &mut *self.random;
        let i = &mut self.plan.main;
        let fixed = |i: &mut Instruction, r: Register| {
            i.set_op_kind(op, OpKind::Register);
            i.set_op_register(op, r);
        };
        match kind {
            K::al => fixed(i, Register::AL),
            K::cl => fixed(i, Register::CL),
            K::ax => fixed(i, Register::AX),
            K::dx => fixed(i, Register::DX),
            K::eax => fixed(i, Register::EAX),
            K::rax => fixed(i, Register::RAX),
            K::es => fixed(i, Register::ES),
            K::cs => fixed(i, Register::CS),
            K::ss => fixed(i, Register::SS),
            K::ds => fixed(i, Register::DS),
            K::fs => fixed(i, Register::FS),
            K::gs => fixed(i, Register::GS),
            K::imm8 => {
                let second = op == 1 && code.mnemonic() == Mnemonic::Enter;
                if second {
                    i.set_op_kind(op, OpKind::Immediate8_2nd);
                    i.set_immediate8_2nd(if r.once_in(2) { r.below(3) } else { r.next() } as u8);
                } else {
                    i.set_op_kind(op, OpKind::Immediate8);
                    i.set_immediate8(if r.once_in(2) { r.below(70) } else { r.next() } as u8);
                }
            }
            K::imm8_const_1 => {
                i.set_op_kind(op, OpKind::Immediate8);
                i.set_immediate8(1);
            }
            K::imm8sex16 => {
                i.set_op_kind(op, OpKind::Immediate8to16);
                i.set_immediate8to16(r.value() as i8 as i16);
            }
            K::imm8sex32 => {
                i.set_op_kind(op, OpKind::Immediate8to32);
                i.set_immediate8to32(r.value() as i8 as i32);
            }
            K::imm8sex64 => {
                i.set_op_kind(op, OpKind::Immediate8to64);
                i.set_immediate8to64(r.value() as i8 as i64);
            }
            K::imm16 => {
                i.set_op_kind(op, OpKind::Immediate16);
                let small = matches!(code.mnemonic(), Mnemonic::Enter | Mnemonic::Ret);
                i.set_immediate16(if small { r.below(0x80) } else { r.value() } as u16);
            }
            K::imm32 => {
                i.set_op_kind(op, OpKind::Immediate32);
                i.set_immediate32(r.value() as u32);
            }
            K::imm32sex64 => {
                i.set_op_kind(op, OpKind::Immediate32to64);
                i.set_immediate32to64(r.value() as i32 as i64);
            }
            K::imm64 => {
                i.set_op_kind(op, OpKind::Immediate64);
                i.set_immediate64(r.value());
            }
            K::br64_1 | K::br64_4 => {
                i.set_op_kind(op, OpKind::NearBranch64);
                let landing = self.world.landing(self.random, kind == K::br64_1)?;
                self.plan.main.set_near_branch64(landing);
            }
            K::br32_1 | K::br32_4 => {
                i.set_op_kind(op, OpKind::NearBranch32);
                let landing = self.world.landing(self.random, kind == K::br32_1)?;
                self.plan.main.set_near_branch32(landing as u32);
            }
            K::seg_rBX_al => {
                let narrow = self.bits == Bits::B32 || r.once_in(4);
                i.set_op_kind(op, OpKind::Memory);
                i.set_memory_base(if narrow { Register::EBX } else { Register::RBX });
                i.set_memory_index(Register::AL);
                let target = self.target(1, false, 1);
                if narrow && target >= 1 << 32 {
                    return None;
                }
                let al = self.rely(Register::AL);
                let garbage = if narrow && self.bits == Bits::B64 { self.random.next() << 32 } else { 0 };
                let mask = if narrow { 0xffff_ffff } else { u64::MAX };
                self.need(Register::RBX, target.wrapping_sub(al) & mask | garbage)?;
            }
            K::seg_rSI | K::es_rDI => self.string(code, op, kind)?,
            _ => return None,
        }
        Some(())
    }

    /// String operands: both are made at the first.
    fn string(&mut self, code: Code, op: u32, kind: K) -> Option<()> {
        let source = kind == K::seg_rSI;
        let info = code.op_code();
        let other = (0..op).any(|n| matches!(info.op_kind(n), K::seg_rSI | K::es_rDI));
        let r = &mut *self.random;
        let narrow = if other {
            (0..op)
                .map(|n| self.plan.main.op_kind(n))
                .any(|k| matches!(k, OpKind::MemorySegESI | OpKind::MemoryESEDI))
        } else {
            self.bits == Bits::B32 || r.once_in(4)
        };
        self.plan.main.set_op_kind(
            op,
            match (source, narrow) {
                (true, false) => OpKind::MemorySegRSI,
                (true, true) => OpKind::MemorySegESI,
                (false, false) => OpKind::MemoryESRDI,
                (false, true) => OpKind::MemoryESEDI,
            },
        );
        let garbage = |r: &mut Random| if narrow { r.next() << 32 } else { 0 };
        if !other {
            // 0: once, 1: REP or REPE, 2: REPNE.
            let compares = matches!(
                code.mnemonic(),
                Mnemonic::Cmpsb
                    | Mnemonic::Cmpsw
                    | Mnemonic::Cmpsd
                    | Mnemonic::Cmpsq
                    | Mnemonic::Scasb
                    | Mnemonic::Scasw
                    | Mnemonic::Scasd
                    | Mnemonic::Scasq
            );
            let rep = r.below(if compares { 3 } else { 2 });
            if rep > 0 {
                let n = if r.once_in(8) { 0 } else { r.below(40) };
                let high = garbage(r);
                // An empty repetition with a 32-bit count need not leave the upper half alone.
                let high = if n == 0 { 0 } else { high };
                self.need(Register::RCX, n | high)?;
            }
            let i = &mut self.plan.main;
            i.set_has_rep_prefix(rep == 1);
            i.set_has_repne_prefix(rep == 2);
        }
        let i = &self.plan.main;
        let repeated = i.has_rep_prefix() || i.has_repne_prefix();
        let n = if repeated { self.gpr[1] & 0xffff_ffff } else { 1 };
        let size = code.memory_size_of(op);
        let write = !source
            && matches!(
                code.mnemonic(),
                Mnemonic::Movsb
                    | Mnemonic::Movsw
                    | Mnemonic::Movsd
                    | Mnemonic::Movsq
                    | Mnemonic::Stosb
                    | Mnemonic::Stosw
                    | Mnemonic::Stosd
                    | Mnemonic::Stosq
            );
        let mut at = self.target(n.max(1) * size, write, 1);
        if at >= 1 << 32 && narrow {
            return None;
        }
        if self.flags & 0x400 != 0 {
            at = at.wrapping_add(n.max(1).wrapping_sub(1).wrapping_mul(size));
        }
        // Overlapping strings are where a bulk copy goes wrong.
        if other && !self.plan.faults && self.random.once_in(2) {
            let near = self.gpr[6] & 0xffff_ffff;
            let shift = self.random.below(24).wrapping_sub(12);
            let room = n.max(1) * size + 16;
            let limit = if write { WRITABLE } else { DATA_LEN } as u64;
            if near >= DATA + room && near + room < DATA + limit {
                at = near.wrapping_add(shift);
            }
        }
        let high = garbage(self.random);
        self.need(if source { Register::RSI } else { Register::RDI }, at | high)
    }

    fn prefixes(&mut self, code: Code) {
        let i = &mut self.plan.main;
        if code.op_code().can_use_lock_prefix() && i.op0_kind() == OpKind::Memory && self.random.once_in(4) {
            i.set_has_lock_prefix(true);
        }
    }

    /// Gives the accumulator the value the destination has, half of the time.
    fn make_equal(&mut self) {
        let i = self.plan.main;
        let n = effect::size(&i, 0);
        let (low, high) = match i.op0_kind() {
            OpKind::Register => (value(i.op0_register(), &self.gpr), 0),
            _ => {
                let Some(at) = i.virtual_address(0, 0, |r, _, _| {
                    Some(match r {
                        Register::CS | Register::DS | Register::ES | Register::SS => 0,
                        r => value(r, &self.gpr),
                    })
                }) else {
                    return;
                };
                let half = if matches!(i.memory_size(), MemorySize::UInt128 | MemorySize::UInt64) && n > 8
                    || i.mnemonic() == Mnemonic::Cmpxchg8b
                {
                    n / 2
                } else {
                    n
                };
                (self.world.read(at, half), self.world.read(at + half as u64, half))
            }
        };
        let bytes = match i.mnemonic() {
            Mnemonic::Cmpxchg => n,
            _ => n / 2,
        };
        let keep = !width_mask(bytes) & self.random.next();
        if self.need(Register::RAX, low | keep).is_some() && i.mnemonic() != Mnemonic::Cmpxchg {
            let _ = self.need(Register::RDX, high | keep);
        }
    }
}

fn number_is_rsp(r: Register) -> bool {
    matches!(r, Register::RSP | Register::ESP)
}

/// Inverse of an odd number modulo 2^64.
fn inverse(odd: u64) -> u64 {
    (0..6).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))))
}

/// An instruction with only its code, for properties that depend on nothing else.
fn probe(code: Code) -> Instruction {
    let mut i = Instruction::default();
    i.set_code(code);
    i
}

trait MemorySizeOf {
    fn memory_size_of(self, op: u32) -> u64;
}

impl MemorySizeOf for Code {
    /// Bytes of memory operand `op`.
    fn memory_size_of(self, op: u32) -> u64 {
        let mut i = probe(self);
        i.set_op_kind(op, OpKind::Memory);
        i.memory_size().size().max(1) as u64
    }
}
