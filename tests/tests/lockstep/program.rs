//! Makes programs: blocks of random instructions that jump, call and return among each other.

use crate::codes::Codes;
use crate::kind::{CODE_LEN, HIGH, JUMPS, JUMPS_LEN, Kind};
use crate::operands::fill;
use iced_x86::{Code, Encoder, Instruction, Mnemonic as M, OpKind, Register as R};
use rrvmm_tests::run::Luck;

/// Bytes of code that a block may have.
const SLOT: u64 = 640;
/// Blocks that end with a return.
const FUNCTIONS: usize = 6;

/// One instruction in the code.
#[derive(Clone, Debug)]
pub struct Item {
    /// Offset in the code.
    pub at: u64,
    /// Its encoding.
    pub bytes: Vec<u8>,
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    pub kind: Kind,
    /// Sixteen random bits for [`Kind::system`].
    pub choice: u64,
    pub data_seed: u64,
    pub items: Vec<Item>,
    /// Offsets of blocks to start in.
    pub entries: Vec<u64>,
    /// Offsets that the jump table leads to.
    pub jumps: Vec<u64>,
}

impl Program {
    /// A program of `kind`.
    pub fn new(kind: Kind, codes: &Codes, luck: &mut Luck) -> Self {
        let slots = CODE_LEN / SLOT;
        let blocks = (4 + FUNCTIONS as u64 + luck.below(30)).min(slots);
        let skew = luck.below(CODE_LEN - blocks * SLOT);
        let starts: Vec<u64> = (0..blocks).map(|n| skew + n * SLOT + luck.below(32)).collect();
        let (functions, entries) = starts.split_at(FUNCTIONS);
        let mut program = Program {
            kind,
            choice: luck.bits(),
            data_seed: luck.bits(),
            items: Vec::new(),
            entries: entries.to_vec(),
            jumps: (0..JUMPS_LEN).map(|_| luck.of(&starts)).collect(),
        };
        for (n, &start) in starts.iter().enumerate() {
            let end = starts.get(n + 1).copied().unwrap_or(CODE_LEN);
            // Some blocks are over before they are full.
            let end = if luck.once_in(2) { end } else { start + 130 + luck.below(end - start - 130) };
            // A function calls only those behind it, so that calls end.
            let callees = functions.get(n + 1..).unwrap_or(&[]);
            let callees = if n < FUNCTIONS { callees } else { functions };
            let mut w = Writer {
                program: &mut program,
                codes,
                luck,
                at: start,
                end: end.saturating_sub(96).max(start),
                reserved: 0,
                callees,
            };
            w.block(n < FUNCTIONS);
        }
        program
    }

    /// A pointer into the data, mostly where every access is fine.
    pub fn pointer(&self, luck: &mut Luck) -> u64 {
        let page = match luck.below(24) {
            0 => 4,
            1 => 5,
            2 => 6,
            3 => 7,
            4 | 5 => 8,
            6 => 9,
            7 => 10,
            8 => 15,
            _ => luck.of(&[0, 1, 2, 3, 12, 13]),
        };
        let offset = match luck.below(8) {
            0 => 4096 - luck.below(20),
            1 | 2 => luck.below(4096),
            _ => luck.below(4096) & !7,
        };
        let at = self.kind.pointer((page * 4096 + offset).min(0xfff0));
        if self.kind.bits() == 64 && luck.once_in(6) { at + HIGH } else { at }
    }
}

/// Writes one block.
pub struct Writer<'a> {
    pub program: &'a mut Program,
    pub codes: &'a Codes,
    pub luck: &'a mut Luck,
    at: u64,
    end: u64,
    /// Registers that a loop around needs, by number.
    pub reserved: u16,
    callees: &'a [u64],
}

impl Writer<'_> {
    /// Default code size.
    pub fn bits(&self) -> u32 {
        self.program.kind.bits()
    }

    fn room(&self) -> bool {
        self.at < self.end
    }

    /// Appends an instruction if it can be encoded.
    fn emit(&mut self, insn: &Instruction) -> bool {
        let mut encoder = Encoder::new(self.bits());
        if encoder.encode(insn, self.program.kind.pc(self.at)).is_err() {
            return false;
        }
        let bytes = encoder.take_buffer();
        let at = self.at;
        self.at += bytes.len() as u64;
        self.program.items.push(Item { at, bytes });
        true
    }

    fn emit_if<E>(&mut self, insn: Result<Instruction, E>) -> bool {
        insn.is_ok_and(|i| self.emit(&i))
    }

    /// A jump or call to offset `to` of the code.
    fn branch(&mut self, code: Code, to: u64) -> bool {
        let to = self.program.kind.pc(to);
        self.emit_if(Instruction::with_branch(code, to))
    }

    fn by_bits<T>(&self, values: [T; 3]) -> T {
        let [b16, b32, b64] = values;
        match self.bits() {
            16 => b16,
            32 => b32,
            _ => b64,
        }
    }

    /// Loads a constant into a register of the code's own width.
    pub fn constant(&mut self, register: usize, value: u64) -> bool {
        let insn = match self.bits() {
            16 => Instruction::with2(Code::Mov_r16_imm16, R::AX + register as u32, u32::from(value as u16)),
            32 => Instruction::with2(Code::Mov_r32_imm32, R::EAX + register as u32, value as u32),
            _ if value >> 32 == 0 => {
                Instruction::with2(Code::Mov_r32_imm32, R::EAX + register as u32, value as u32)
            }
            _ => Instruction::with2(Code::Mov_r64_imm64, R::RAX + register as u32, value),
        };
        self.emit_if(insn)
    }

    fn block(&mut self, function: bool) {
        for register in self.pointers() {
            if self.luck.once_in(2) {
                self.refresh(register);
            }
        }
        while self.room() {
            self.construct(0);
        }
        self.leave(function);
    }

    /// Registers that hold pointers as a rule.
    pub fn pointers(&self) -> Vec<usize> {
        if self.bits() == 64 { vec![3, 5, 6, 7, 13, 14] } else { vec![3, 5, 6, 7] }
    }

    fn refresh(&mut self, register: usize) {
        if self.reserved >> register & 1 == 0 {
            let value = self.program.pointer(self.luck);
            self.constant(register, value);
        }
    }

    /// Something: an instruction, or several that belong together.
    fn construct(&mut self, depth: u32) {
        match self.luck.below(64) {
            0 | 1 if depth < 2 => self.counted_loop(depth),
            2..=4 if depth < 3 => self.skip(depth),
            5 => self.call(),
            6 => self.string(),
            7 => self.patch(),
            8 | 9 => {
                let register = self.luck.of(&self.pointers());
                self.refresh(register);
            }
            10 if depth == 0 => self.side_exit(),
            11 => self.exchange_stack(),
            12..=19 => self.random(Codes::any),
            20..=24 => self.random(Codes::vector),
            25..=27 => self.random(Codes::x87),
            28 if self.luck.once_in(4) => self.random(Codes::rest),
            29 if self.luck.once_in(3) && self.bits() != 64 => self.segment(),
            _ => self.random(Codes::hot),
        }
    }

    /// A random instruction out of a list.
    fn random(&mut self, choose: impl Fn(&Codes, &mut Luck) -> Code) {
        for _ in 0..8 {
            let code = choose(self.codes, self.luck);
            if let Some(insn) = fill(self, code)
                && self.emit(&insn)
            {
                return;
            }
        }
    }

    /// Makes an index small before it is used, mostly.
    pub fn tame(&mut self, register: usize) {
        if self.reserved >> register & 1 != 0 || self.pointers().contains(&register) || register == 4 {
            return;
        }
        let value = self.luck.below(0x400) & !3;
        match self.luck.below(8) {
            0 => {}
            1..=3 => {
                self.constant(register, value);
            }
            _ => {
                let insn = match self.bits() {
                    16 => Instruction::with2(Code::And_rm16_imm16, R::AX + register as u32, 0x3f8u32),
                    _ => Instruction::with2(Code::And_rm32_imm32, R::EAX + register as u32, 0x3f8u32),
                };
                self.emit_if(insn);
            }
        }
    }

    fn body(&mut self, depth: u32) {
        for _ in 0..1 + self.luck.below(8) {
            if self.room() {
                self.construct(depth + 1);
            }
        }
    }

    /// A loop whose counter nothing in it touches, as a rule.
    fn counted_loop(&mut self, depth: u32) {
        let by_cx = self.luck.once_in(2) && self.reserved & 2 == 0;
        let choices: &[usize] = if self.bits() == 64 { &[2, 8, 9, 15] } else { &[2, 0] };
        let counter = if by_cx { 1 } else { self.luck.of(choices) };
        if self.reserved >> counter & 1 != 0 {
            return;
        }
        let turns = match self.luck.below(4) {
            0 => 1 + self.luck.below(3),
            3 => 60 + self.luck.below(200),
            _ => 1 + self.luck.below(30),
        };
        self.constant(counter, turns);
        self.reserved |= 1 << counter;
        let top = self.at;
        self.body(depth);
        self.reserved &= !(1 << counter);
        if by_cx {
            let code = self.by_bits([Code::Loop_rel8_16_CX, Code::Loop_rel8_32_ECX, Code::Loop_rel8_64_RCX]);
            if self.branch(code, top) {
                return;
            }
        }
        let register = self.by_bits([R::AX, R::EAX, R::EAX]) + counter as u32;
        let step = self.by_bits([Code::Dec_rm16, Code::Dec_rm32, Code::Dec_rm32]);
        if self.luck.once_in(2) {
            self.emit_if(Instruction::with1(step, register));
        } else {
            let step = self.by_bits([Code::Sub_rm16_imm8, Code::Sub_rm32_imm8, Code::Sub_rm32_imm8]);
            self.emit_if(Instruction::with2(step, register, 1));
        }
        let short = self.by_bits([Code::Jne_rel8_16, Code::Jne_rel8_32, Code::Jne_rel8_64]);
        let near = self.by_bits([Code::Jne_rel16, Code::Jne_rel32_32, Code::Jne_rel32_64]);
        let _ = self.branch(short, top) || self.branch(near, top);
    }

    /// A conditional jump over some instructions.
    fn skip(&mut self, depth: u32) {
        if self.luck.once_in(2) {
            self.random(Codes::compare);
        }
        let (place, at) = (self.program.items.len(), self.at);
        let code = self.codes.jcc(self.luck);
        if !self.branch(code, at + 8) {
            return;
        }
        self.body(depth);
        let mut encoder = Encoder::new(self.bits());
        let (from, to) = (self.program.kind.pc(at), self.program.kind.pc(self.at));
        if let Ok(insn) = Instruction::with_branch(code, to)
            && encoder.encode(&insn, from).is_ok()
        {
            self.program.items[place].bytes = encoder.take_buffer();
        }
    }

    fn call(&mut self) {
        if self.callees.is_empty() {
            return;
        }
        let to = self.luck.of(self.callees);
        if self.luck.once_in(4) {
            let register = self.luck.of(&[0, 2]);
            if self.reserved >> register & 1 != 0 {
                return;
            }
            self.constant(register, self.program.kind.pc(to));
            let r = self.by_bits([R::AX, R::EAX, R::RAX]) + register as u32;
            let code = self.by_bits([Code::Call_rm16, Code::Call_rm32, Code::Call_rm64]);
            self.emit_if(Instruction::with1(code, r));
        } else {
            let code = self.by_bits([Code::Call_rel16, Code::Call_rel32_32, Code::Call_rel32_64]);
            self.branch(code, to);
        }
    }

    /// A string instruction with pointers and a count that fit it.
    fn string(&mut self) {
        for register in [6, 7] {
            if self.luck.once_in(2) {
                self.refresh(register);
            }
        }
        if self.reserved & 2 != 0 {
            return;
        }
        let n = if self.luck.once_in(8) { self.luck.below(1500) } else { self.luck.below(40) };
        self.constant(1, n);
        if self.luck.once_in(4) {
            let mut i = Instruction::default();
            i.set_code(if self.luck.once_in(3) { Code::Std } else { Code::Cld });
            self.emit(&i);
        }
        self.random(Codes::string);
    }

    /// Changes the immediate of an instruction, mostly one that comes soon.
    fn patch(&mut self) {
        let wide = self.program.kind.flat();
        let before = self.program.items.len();
        let mut store = Instruction::default();
        store.set_code(Code::Mov_rm8_imm8);
        store.set_op0_kind(OpKind::Memory);
        store.set_op1_kind(OpKind::Immediate8);
        store.set_immediate8(self.luck.bits() as u8);
        store.set_memory_displ_size(self.by_bits([2, 4, 8]));
        if !wide {
            store.set_segment_prefix(R::FS);
        }
        let (at, filler) = (self.at, self.luck.below(4));
        store.set_memory_displacement64(self.program.kind.pc(at));
        if !self.emit(&store) {
            return;
        }
        for _ in 0..filler {
            self.random(Codes::hot);
        }
        // Its immediate is the last byte.
        let register = self.luck.of(&[R::AL, R::DL, R::AH, R::DH]);
        if self.emit_if(Instruction::with2(Code::Mov_r8_imm8, register, 7)) {
            store.set_memory_displacement64(self.program.kind.pc(self.at - 1));
            let mut encoder = Encoder::new(self.bits());
            if encoder.encode(&store, self.program.kind.pc(at)).is_ok() {
                let bytes = encoder.take_buffer();
                if bytes.len() == self.program.items[before].bytes.len() {
                    self.program.items[before].bytes = bytes;
                }
            }
        }
    }

    /// Leaves the block from its middle.
    fn side_exit(&mut self) {
        let code = self.codes.jcc(self.luck);
        let to = self.luck.of(&self.program.entries);
        self.branch(code, to);
    }

    /// Something goes over the stack into another register or into the flags.
    fn exchange_stack(&mut self) {
        let (push, pop, base) = self.by_bits([
            (Code::Push_r16, Code::Pop_r16, R::AX),
            (Code::Push_r32, Code::Pop_r32, R::EAX),
            (Code::Push_r64, Code::Pop_r64, R::RAX),
        ]);
        let flags = self.by_bits([
            (Code::Pushfw, Code::Popfw),
            (Code::Pushfd, Code::Popfd),
            (Code::Pushfq, Code::Popfq),
        ]);
        let from = self.luck.below(8) as u32;
        if self.luck.once_in(3) {
            let mut i = Instruction::default();
            i.set_code(flags.0);
            self.emit(&i);
        } else {
            self.emit_if(Instruction::with1(push, base + from));
        }
        for _ in 0..self.luck.below(3) {
            self.random(Codes::hot);
        }
        let to = self.luck.below(3);
        if self.luck.once_in(5) {
            let mut i = Instruction::default();
            i.set_code(flags.1);
            self.emit(&i);
        } else if self.reserved >> to & 1 == 0 {
            self.emit_if(Instruction::with1(pop, base + to as u32));
        }
    }

    /// Loads a segment register with a selector that exists.
    fn segment(&mut self) {
        let selector = self.luck.of(&[0x23u64, 0x2b, 0x33, 0x3b, 0x10, 0]);
        let selector =
            if self.program.kind == Kind::Real { 0x1000 + 0x100 * self.luck.below(16) } else { selector };
        if self.reserved & 1 != 0 {
            return;
        }
        self.constant(0, selector);
        let register = self.luck.of(&[R::DS, R::ES, R::FS, R::GS, R::DS, R::SS]);
        self.emit_if(Instruction::with2(Code::Mov_Sreg_r32m16, register, R::EAX));
    }

    /// How the block ends.
    fn leave(&mut self, function: bool) {
        if function {
            let plain = self.by_bits([Code::Retnw, Code::Retnd, Code::Retnq]);
            let mut i = Instruction::default();
            i.set_code(plain);
            self.emit(&i);
            return;
        }
        let to = self.luck.of(&self.program.entries);
        match self.luck.below(6) {
            0 if self.reserved & 2 == 0 => {
                // Through the table.
                let mask: u64 = JUMPS_LEN - 1;
                let table = self.program.kind.pointer(JUMPS);
                let (and, index) = self.by_bits([
                    (Code::And_rm16_imm8, R::BX),
                    (Code::And_rm32_imm8, R::ECX),
                    (Code::And_rm32_imm8, R::ECX),
                ]);
                self.emit_if(Instruction::with2(and, index, mask as u32));
                let mut i = Instruction::default();
                i.set_code(self.by_bits([Code::Jmp_rm16, Code::Jmp_rm32, Code::Jmp_rm64]));
                i.set_op0_kind(OpKind::Memory);
                if self.bits() == 16 {
                    self.emit_if(Instruction::with2(Code::Add_rm16_r16, R::BX, R::BX));
                    i.set_memory_base(R::BX);
                } else {
                    i.set_memory_index(self.by_bits([R::CX, R::ECX, R::RCX]));
                    i.set_memory_index_scale(self.bits() / 8);
                }
                i.set_memory_displacement64(table);
                i.set_memory_displ_size(self.by_bits([2, 4, 8]));
                self.emit(&i);
            }
            1 => {
                self.constant(0, self.program.kind.pc(to));
                let r = self.by_bits([R::AX, R::EAX, R::RAX]);
                let code = self.by_bits([Code::Jmp_rm16, Code::Jmp_rm32, Code::Jmp_rm64]);
                self.emit_if(Instruction::with1(code, r));
            }
            2 => {
                let code = self.codes.jcc(self.luck);
                let other = self.luck.of(&self.program.entries);
                self.branch(code, other);
            }
            _ => {}
        }
        let code = self.by_bits([Code::Jmp_rel16, Code::Jmp_rel32_32, Code::Jmp_rel32_64]);
        self.branch(code, to);
    }
}

/// Whether instructions of this kind write their first operand, so that it had better not be a pointer.
pub fn writes_first(mnemonic: M) -> bool {
    !matches!(
        mnemonic,
        M::Cmp | M::Test | M::Push | M::Bt | M::Div | M::Idiv | M::Mul | M::Nop | M::Jmp | M::Call
    )
}
