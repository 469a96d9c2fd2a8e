//! Builds a sequence an instruction at a time, running each in the translator as it comes: the next one then knows what
//! the registers hold.

use crate::effect::{self, Effect};
use crate::generate::{Generator, Plan, World};
use crate::machine::{Bits, CODE, CODE_LEN, DATA, DATA_LEN, Data, End, FLAGS, Random, Registers};
use crate::native::Native;
use crate::translated::Translated;
use iced_x86::{Code, Decoder, DecoderOptions, Encoder, Instruction};
use rrvmm_tcg::{interp::Interp, jit::Jit};

/// INT3: the end of every path.
const END: u8 = 0xcc;
/// Bytes free behind every landing place.
const ROOM: usize = 64;

/// One executed instruction.
#[derive(Clone)]
pub struct Step {
    pub at: u64,
    pub bytes: Vec<u8>,
    pub insn: Instruction,
    /// What it makes of the flags; `None` for an instruction of a loop's later turns.
    pub effect: Effect,
}

/// A finished sequence.
pub struct Sequence {
    pub bits: Bits,
    pub start: Registers,
    pub data: Data,
    pub steps: Vec<Step>,
    /// How it ended in the translator, run a step at a time.
    pub end: End,
    pub after: Registers,
    pub after_data: Data,
    /// Flags with a defined value at the end.
    pub defined: u64,
}

/// The machines and the code area they share.
pub struct Bench {
    pub native: Native,
    /// The interpreter, which the sequences are made with.
    pub ours: Translated<Interp>,
    pub jit: Translated<Jit>,
    used: Vec<bool>,
    written: Vec<(u64, usize)>,
    at: u64,
}

/// Which codes there are to choose from, and how often each ran.
pub struct Codes {
    pub list: Vec<Code>,
    pub executed: Vec<u64>,
}

impl Codes {
    /// One of those that ran least.
    fn pick(&self, random: &mut Random) -> usize {
        let n = self.list.len() as u64;
        let mut best = random.below(n) as usize;
        for _ in 0..2 {
            let other = random.below(n) as usize;
            if self.executed[other] < self.executed[best] {
                best = other;
            }
        }
        best
    }
}

impl World for Bench {
    fn read(&self, at: u64, size: usize) -> u64 {
        self.ours.read(at, size)
    }

    fn landing(&mut self, random: &mut Random, near: bool) -> Option<u64> {
        for _ in 0..8 {
            let place = if near {
                // The setup comes first, which no near branch has.
                self.at.wrapping_add(random.below(240)).wrapping_sub(110)
            } else {
                CODE + random.below((CODE_LEN - 2 * ROOM) as u64)
            };
            let ahead = place.wrapping_sub(self.at) < ROOM as u64;
            if !ahead && self.free(place, ROOM) {
                return Some(place);
            }
        }
        None
    }
}

impl Bench {
    pub fn new() -> Self {
        let mut bench = Self {
            native: Native::new(),
            ours: Translated::new(Interp),
            jit: Translated::new(Jit::new().unwrap()),
            used: vec![false; CODE_LEN],
            written: vec![(CODE, CODE_LEN)],
            at: CODE,
        };
        bench.clear();
        bench
    }

    fn free(&self, at: u64, len: usize) -> bool {
        let from = at.wrapping_sub(CODE) as usize;
        from < CODE_LEN - len && self.used[from..from + len].iter().all(|used| !used)
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.native.write_code(at, bytes);
        self.ours.write_code(at, bytes);
        self.jit.write_code(at, bytes);
    }

    /// Takes the last sequence's code away.
    fn clear(&mut self) {
        for (at, len) in std::mem::take(&mut self.written) {
            self.write(at, &vec![END; len]);
        }
        self.used.fill(false);
    }

    fn emit(&mut self, at: u64, bytes: &[u8]) {
        self.write(at, bytes);
        self.written.push((at, bytes.len()));
        let from = (at - CODE) as usize;
        self.used[from..from + bytes.len()].fill(true);
    }

    /// Makes and runs a sequence of about `length` instructions.
    pub fn sequence(
        &mut self,
        bits: Bits,
        length: usize,
        codes: &mut Codes,
        random: &mut Random,
    ) -> Sequence {
        self.clear();
        self.at = CODE + 512 + random.below(CODE_LEN as u64 - 2048);
        let start = registers(bits, self.at, random);
        let data = data(random);
        self.ours.load(bits, &start, &data);
        let mut s = Sequence {
            bits,
            start: start.clone(),
            data: data.clone(),
            steps: Vec::new(),
            end: End::DONE,
            after: start,
            after_data: data,
            defined: FLAGS,
        };
        let mut tries = 0;
        while s.steps.len() < length && tries < 40 * length && s.end == End::DONE {
            tries += 1;
            if random.once_in(40) {
                self.make_loop(&mut s, codes, random);
                continue;
            }
            let choice = codes.pick(random);
            let last = s.steps.len() + 1 >= length || random.once_in(6);
            if let Some(plan) = self.plan(&s, codes.list[choice], random, last)
                && self.perform(&mut s, &plan, last)
            {
                codes.executed[choice] += 1;
            }
        }
        s.after_data = self.ours.data();
        s
    }

    fn plan(&mut self, s: &Sequence, code: Code, random: &mut Random, may_fault: bool) -> Option<Plan> {
        let generator = Generator {
            bits: s.bits,
            gpr: s.after.gpr,
            flags: s.after.flags,
            pinned: 0,
            plan: Plan::default(),
            may_fault,
            random,
            world: self,
        };
        generator.plan(code)
    }

    /// Encodes a plan at the current place and runs it; `false` when it does not fit here.
    fn perform(&mut self, s: &mut Sequence, plan: &Plan, may_fault: bool) -> bool {
        let Some(code) = encode_all(s.bits, plan, self.at) else { return false };
        let len: usize = code.iter().map(|(_, bytes)| bytes.len()).sum();
        if effect::reads(&plan.main) & !s.defined != 0 {
            return false;
        }
        if !self.free(self.at, len + 2 * ROOM) {
            return self.hop(s);
        }
        // The registers at the instruction decide about its flags, so it is judged when its setup has run.
        let before = (s.after.clone(), s.steps.len(), s.defined, self.at);
        let mut at = self.at;
        for (n, (insn, bytes)) in code.iter().enumerate() {
            let main = n + 1 == code.len();
            let Some(effect) = effect::of(insn, &s.after.gpr) else {
                self.undo(s, before);
                return false;
            };
            self.write(at, bytes);
            let end = self.ours.run(1);
            if end.is_some() && !(main && (may_fault || plan.faults)) {
                self.write(at, &vec![END; bytes.len()]);
                self.undo(s, before);
                return false;
            }
            self.emit(at, bytes);
            // A fault leaves the flags alone; only AMD's processors keep what a repetition has compared so far.
            let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
            let effect = match end {
                None => effect,
                Some(_) if repeated => Effect { defined: 0, undefined: effect.defined },
                Some(_) => Effect { defined: 0, undefined: 0 },
            };
            s.steps.push(Step { at, bytes: bytes.clone(), insn: *insn, effect });
            s.after = self.ours.registers();
            s.defined = (s.defined | effect.defined) & !effect.undefined;
            if let Some(end) = end {
                s.end = end;
                return true;
            }
            at = s.after.rip;
        }
        self.at = s.after.rip;
        true
    }

    /// Takes back what `perform` ran. Setup stays in memory but off the path.
    fn undo(&mut self, s: &mut Sequence, before: (Registers, usize, u64, u64)) {
        let (registers, steps, defined, at) = before;
        if s.steps.len() > steps {
            // Setup may have stored to memory: it stays part of the sequence.
            self.at = s.after.rip;
            self.ours.reload(&s.after);
            return;
        }
        self.ours.reload(&registers);
        (s.after, s.defined, self.at) = (registers, defined, at);
    }

    /// Jumps to a place with more room.
    fn hop(&mut self, s: &mut Sequence) -> bool {
        let mut random = Random(s.after.rip ^ s.steps.len() as u64);
        let Some(to) = self.landing(&mut random, false) else { return false };
        let code = if s.bits == Bits::B64 { Code::Jmp_rel32_64 } else { Code::Jmp_rel32_32 };
        let Ok(insn) = Instruction::with_branch(code, to) else { return false };
        let Some(bytes) = encode(s.bits, &insn, self.at) else { return false };
        if !self.free(self.at, bytes.1.len()) {
            return false;
        }
        self.emit(self.at, &bytes.1);
        assert!(self.ours.run(1).is_none());
        s.after = self.ours.registers();
        s.steps.push(Step {
            at: self.at,
            bytes: bytes.1,
            insn: bytes.0,
            effect: Effect { defined: 0, undefined: 0 },
        });
        self.at = to;
        false
    }

    /// A counted loop around register instructions whose flags are all defined.
    fn make_loop(&mut self, s: &mut Sequence, codes: &mut Codes, random: &mut Random) {
        if !self.free(self.at, 4 * ROOM) {
            self.hop(s);
            return;
        }
        let turns = 1 + random.below(6);
        let set = match s.bits {
            Bits::B64 => Instruction::with2(Code::Mov_r64_imm64, iced_x86::Register::RCX, turns),
            Bits::B32 => Instruction::with2(Code::Mov_r32_imm32, iced_x86::Register::ECX, turns as u32),
        };
        let Ok(main) = set else { return };
        if !self.perform(s, &Plan { main, ..Plan::default() }, false) {
            return;
        }
        let top = self.at;
        let first = s.steps.len();
        for _ in 0..1 + random.below(4) {
            let choice = codes.pick(random);
            let Some(plan) = self.plan(s, codes.list[choice], random, false) else { continue };
            let simple = plan.setup.is_empty()
                && repeatable(&plan.main)
                && effect::reads(&plan.main) & !s.defined == 0;
            if simple && self.perform(s, &plan, false) {
                codes.executed[choice] += 1;
            }
        }
        let code = match (s.bits, random.below(3)) {
            (Bits::B64, 0) if s.defined & 0x40 != 0 => Code::Loopne_rel8_64_RCX,
            (Bits::B64, _) => Code::Loop_rel8_64_RCX,
            (Bits::B32, 0) if s.defined & 0x40 != 0 => Code::Loopne_rel8_32_ECX,
            (Bits::B32, _) => Code::Loop_rel8_32_ECX,
        };
        let Ok(main) = Instruction::with_branch(code, top) else { return };
        let at = self.at;
        if !self.perform(s, &Plan { main, ..Plan::default() }, false) {
            return;
        }
        // The other turns.
        let body = s.steps[first..].to_vec();
        while self.at != at + 2 {
            let Some(step) = body.iter().find(|step| step.at == self.at) else { panic!("left the loop") };
            let step = step.clone();
            let effect = effect::of(&step.insn, &s.after.gpr).expect("repeatable");
            assert!(self.ours.run(1).is_none());
            s.after = self.ours.registers();
            s.defined = (s.defined | effect.defined) & !effect.undefined;
            s.steps.push(Step { effect, ..step });
            self.at = s.after.rip;
        }
    }
}

/// Whether an instruction may run again with any registers: no memory, no fault, no undefined flags, RCX untouched.
fn repeatable(i: &Instruction) -> bool {
    use iced_x86::{FlowControl, InstructionInfoFactory, Mnemonic as M, OpAccess, Register};
    let fine = matches!(
        i.mnemonic(),
        M::Add
            | M::Adc
            | M::Sub
            | M::Sbb
            | M::Cmp
            | M::Inc
            | M::Dec
            | M::Neg
            | M::Not
            | M::Mov
            | M::Movzx
            | M::Movsx
            | M::Movsxd
            | M::Lea
            | M::Xchg
            | M::Xadd
            | M::Bswap
            | M::Popcnt
            | M::Cwd
            | M::Cdq
            | M::Cqo
            | M::Cbw
            | M::Cwde
            | M::Cdqe
    );
    let lea = i.mnemonic() == M::Lea;
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == iced_x86::OpKind::Memory);
    let counter = InstructionInfoFactory::new()
        .info(i)
        .used_registers()
        .iter()
        .any(|u| u.register().full_register() == Register::RCX && u.access() != OpAccess::Read);
    fine && (lea || !memory) && !counter && i.flow_control() == FlowControl::Next
}

/// Encodes at `at`; only what the decoder reads back as the same form counts.
fn encode(bits: Bits, insn: &Instruction, at: u64) -> Option<(Instruction, Vec<u8>)> {
    let mut encoder = Encoder::new(bits.number());
    encoder.encode(insn, at).ok()?;
    let bytes = encoder.take_buffer();
    let back = Decoder::with_ip(bits.number(), &bytes, at, DecoderOptions::NONE).decode();
    (back.code() == insn.code() && back.len() == bytes.len()).then_some((back, bytes))
}

fn encode_all(bits: Bits, plan: &Plan, mut at: u64) -> Option<Vec<(Instruction, Vec<u8>)>> {
    let mut out = Vec::with_capacity(4);
    for insn in plan.setup.iter().chain([&plan.main]) {
        let (insn, bytes) = encode(bits, insn, at)?;
        at += bytes.len() as u64;
        out.push((insn, bytes));
    }
    Some(out)
}

fn registers(bits: Bits, at: u64, random: &mut Random) -> Registers {
    let mut r = Registers { rip: at, flags: random.next() & FLAGS & !2 | 0x202, ..Registers::default() };
    for (n, v) in r.gpr.iter_mut().enumerate() {
        *v = match (bits, n) {
            (Bits::B32, 8..) => 0,
            (Bits::B32, _) => random.value() & 0xffff_ffff,
            _ => random.value(),
        };
    }
    r.gpr[4] = DATA + 0x1000;
    r
}

fn data(random: &mut Random) -> Data {
    let mut data: Data = Box::new([0; DATA_LEN]);
    for chunk in data.chunks_exact_mut(64) {
        let dull = random.once_in(2);
        for word in chunk.chunks_exact_mut(8) {
            let v = if dull { random.below(2) * 0x0101_0101_0101_0101 } else { random.value() };
            word.copy_from_slice(&v.to_le_bytes());
        }
    }
    data
}

impl Bench {
    /// The code byte at `at`.
    pub fn code(&self, at: u64) -> u8 {
        self.ours.read(at, 1) as u8
    }
}
