//! One block of IR to machine code: the frame of a block, the register cache, exits, calls.
//!
//! Guest registers live in the register file; inside a block host registers cache them, and whatever may leave the
//! block finds the file up to date. Host flags are used where an op follows the one that set them.

use super::{
    Inner,
    asm::{Asm, Fixup, Rm, cc, host::*},
    flags::Pending,
    frame::{BIAS, PC, Site, TOKENS},
    sse::{ColdVector, Vectors},
    thunks::{BASE, LEFT, Thunks},
    x87::ColdX87,
};
use crate::{
    block::{Block, Exit},
    ir::{Op, Reg, Size, Val},
    x86::Cpu,
};

/// Host registers that cache guest registers; those that calls keep come first.
pub(super) const POOL: [u8; 9] = [R12, R14, R15, RSI, RDI, R8, R9, R10, R11];
/// How many of them calls keep.
pub(super) const KEPT: usize = 3;

/// What a host register holds.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub reg: Reg,
    pub dirty: bool,
}

/// The cache at one place in the code.
pub(super) type Slots = [Option<Slot>; POOL.len()];

/// A slow path, written after the block.
pub(super) struct Cold {
    pub from: Fixup,
    pub back: usize,
    pub slots: Slots,
    pub vectors: Vectors,
    pub thunk: u64,
    pub site: Site,
    /// Where the loaded value goes.
    pub dst: Option<u8>,
    /// What is stored.
    pub value: Option<Source>,
}

/// A value ready for an instruction.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Host(u8),
    Imm(u64),
}

/// A block being compiled.
pub(super) struct Emit<'a> {
    pub a: Asm,
    pub t: Thunks,
    pub slots: Slots,
    used: [u32; POOL.len()],
    clock: u32,
    pinned: u16,
    /// Where the guest's flags are.
    pub pending: Pending,
    /// Which guest flags the host's flags equal right now (bits of [`super::flags`]).
    pub exact: u8,
    /// The word in memory that says what is pending, when known.
    pub word: Option<u32>,
    pub cold: Vec<Cold>,
    /// Which guest XMM registers are in the host's.
    pub vectors: Vectors,
    pub cold_vectors: Vec<ColdVector>,
    pub cold_x87: Vec<ColdX87>,
    /// Whether the host has every instruction of [`super::encodings`].
    pub native_sse: bool,
    pub site: Site,
    inner: *const Inner,
    links: [u64; 2],
    /// Where an exit leads that has no link.
    stubs: [u64; 2],
    block: &'a Block<Cpu>,
}

/// Register-file operand.
pub(super) fn file(r: Reg) -> Rm {
    Rm::Base(BASE, i32::from(r.0) * 8 - BIAS)
}

/// What a slot of the instruction TLB shows.
fn token(slot: u32) -> Rm {
    Rm::Base(BASE, TOKENS + 4 * slot as i32)
}

impl<'a> Emit<'a> {
    pub fn new(
        origin: u64,
        t: Thunks,
        block: &'a Block<Cpu>,
        id: u32,
        inner: *const Inner,
        links: [u64; 2],
    ) -> Self {
        let site = Site {
            id,
            insn: 0,
            insns: block.insns.len() as u8,
            dst: Reg::SINK.0,
            size: 0,
            extend: 0,
            rest: 0,
        };
        Self {
            a: Asm::new(origin),
            t,
            slots: [None; POOL.len()],
            used: [0; POOL.len()],
            clock: 0,
            pinned: 0,
            pending: Pending::Unknown,
            exact: 0,
            word: None,
            cold: Vec::new(),
            vectors: Vectors::default(),
            cold_vectors: Vec::new(),
            cold_x87: Vec::new(),
            native_sse: std::arch::is_x86_feature_detected!("sse4.2"),
            site,
            inner,
            links,
            stubs: [0; 2],
            block,
        }
    }

    /// The whole block, and where its exits lead that have no link.
    pub fn block(mut self) -> (Vec<u8>, [u64; 2]) {
        let insns = i32::from(self.site.insns);
        self.a.alu_imm(5, Size::Q, Rm::Reg(LEFT), insns);
        let cut = self.a.jcc(cc::S);
        let moved = self.block.second.map(|w| {
            self.a.alu_imm(7, Size::D, token(w.slot), w.token as i32);
            self.a.jcc(cc::NE)
        });
        let live = self.live_flags();
        let total = self.total();
        for (n, insn) in self.block.insns.iter().enumerate() {
            self.site.insn = n as u8;
            self.drop_temps();
            let end = self.block.insns.get(n + 1).map_or(self.block.ops.len(), |i| i.op as usize);
            let first = insn.op as usize;
            for (i, &live) in live[..end].iter().enumerate().skip(first) {
                self.site.rest = (total - i - 1) as u16;
                self.pinned = 0;
                self.op(i, live);
            }
        }
        for cold in std::mem::take(&mut self.cold) {
            self.cold_path(&cold);
        }
        for cold in std::mem::take(&mut self.cold_vectors) {
            self.cold_vector(&cold);
        }
        for cold in std::mem::take(&mut self.cold_x87) {
            self.cold_x87(&cold);
        }
        self.a.bind(cut);
        if let Some(moved) = moved {
            self.a.bind(moved);
        }
        self.a.alu_imm(0, Size::Q, Rm::Reg(LEFT), insns);
        self.set_pc(self.block.pc);
        self.leave(Exit::Cut);
        (self.a.code, self.stubs)
    }

    /// Ops as the interpreter counts them.
    fn total(&self) -> usize {
        let two = matches!(self.block.ops.last(), Some(Op::CallLeave { .. }));
        self.block.ops.len() + usize::from(two)
    }

    /// For every op, whether somebody may look at the flags after it; as [`crate::ir::dead_flags`] sees it.
    fn live_flags(&self) -> Vec<bool> {
        let ops = &self.block.ops;
        let (mut live, mut end) = (true, ops.len());
        let mut after = vec![true; ops.len()];
        for insn in self.block.insns.iter().rev() {
            let start = insn.op as usize;
            live |= ops[start..end].iter().any(Op::may_ask_to_leave);
            for i in (start..end).rev() {
                after[i] = live;
                live = live && !ops[i].defines_flags() || ops[i].needs_flags();
            }
            end = start;
        }
        after
    }

    fn op(&mut self, i: usize, live: bool) {
        let op = self.block.ops[i];
        let native = match op {
            Op::Mov { .. }
            | Op::Extend { .. }
            | Op::High8 { .. }
            | Op::SetHigh8 { .. }
            | Op::Bswap { .. }
            | Op::Alu { .. }
            | Op::Unary { .. }
            | Op::Shift { .. }
            | Op::ShiftDouble { .. }
            | Op::Imul { .. }
            | Op::MulWide { .. }
            | Op::Bit { .. }
            | Op::BitScan { .. }
            | Op::Popcnt { .. }
            | Op::SetCond { .. }
            | Op::CondMov { .. } => self.compute(&op, live),
            Op::Lea { .. }
            | Op::Load { .. }
            | Op::LoadSigned { .. }
            | Op::LoadForWrite { .. }
            | Op::Store { .. } => {
                self.access(&op);
                true
            }
            Op::Vector { helper, operands, mem, flags, .. } => {
                self.vector(helper, operands, mem, flags, live);
                true
            }
            Op::Call { helper, dst, a, b } => {
                self.site.dst = dst.0;
                self.call(self.t.call, helper as usize as u64, a, b);
                self.after_call();
                true
            }
            Op::CallLeave { helper, a, b, next } => {
                self.arguments(helper as usize as u64, a, b);
                self.set_pc(next);
                self.a.call_abs(self.t.call_leave);
                true
            }
            Op::CheckTarget { bits, src } => {
                self.check_target(64 - bits, src);
                true
            }
            Op::Jump { .. } | Op::Branch { .. } | Op::BranchZero { .. } | Op::JumpTo { .. } => {
                self.jump(&op);
                true
            }
        };
        if !native {
            self.interpret(i);
        }
    }

    /// Goes on unless `src` has more than a sign in its upper `unused` bits.
    fn check_target(&mut self, unused: u8, src: Reg) {
        let h = self.read(src);
        self.a.mov(RAX, h);
        self.a.mov(RCX, h);
        self.a.shift_imm(4, Size::Q, RCX, unused);
        self.a.shift_imm(7, Size::Q, RCX, unused);
        self.a.alu(7, Size::Q, RCX, Rm::Reg(RAX));
        self.exact = 0;
        let from = self.a.jcc(cc::NE);
        let (back, slots, vectors) = (self.a.here(), self.slots, self.vectors);
        let (site, thunk) = (self.site, self.t.bad_target);
        self.cold.push(Cold { from, back, slots, vectors, thunk, site, dst: None, value: None });
    }

    // Registers.

    fn host_of(&self, r: Reg) -> Option<usize> {
        self.slots.iter().position(|s| s.is_some_and(|s| s.reg == r))
    }

    fn touch(&mut self, n: usize) -> u8 {
        self.clock += 1;
        self.used[n] = self.clock;
        self.pinned |= 1 << n;
        POOL[n]
    }

    /// A free cache register, its content saved. Only moves are emitted.
    fn room(&mut self) -> usize {
        let free = (0..POOL.len()).find(|&n| self.slots[n].is_none() && self.pinned & 1 << n == 0);
        let n = free.unwrap_or_else(|| {
            (0..POOL.len())
                .filter(|&n| self.pinned & 1 << n == 0)
                .min_by_key(|&n| self.used[n])
                .expect("an op uses fewer registers than there are")
        });
        if let Some(Slot { reg, dirty: true }) = self.slots[n] {
            self.a.store(Size::Q, file(reg), POOL[n]);
        }
        self.slots[n] = None;
        n
    }

    /// A host register that holds guest register `r`.
    pub fn read(&mut self, r: Reg) -> u8 {
        if let Some(n) = self.host_of(r) {
            return self.touch(n);
        }
        let n = self.room();
        self.a.load(Size::Q, POOL[n], file(r));
        self.slots[n] = Some(Slot { reg: r, dirty: false });
        self.touch(n)
    }

    /// A host register for all 64 new bits of `r`.
    pub fn write(&mut self, r: Reg) -> u8 {
        let n = self.host_of(r).unwrap_or_else(|| self.room());
        self.slots[n] = Some(Slot { reg: r, dirty: true });
        self.touch(n)
    }

    /// A host register that holds `r` and may be changed.
    pub fn update(&mut self, r: Reg) -> u8 {
        let host = self.read(r);
        let n = self.host_of(r).expect("just read");
        self.slots[n] = Some(Slot { reg: r, dirty: true });
        host
    }

    /// A host register that will hold `r` once [`Emit::fill`] says so; until then what it caches stays valid.
    pub fn reserve(&mut self, r: Reg) -> u8 {
        let n = self.host_of(r).unwrap_or_else(|| self.room());
        self.touch(n)
    }

    /// The reserved `host` now holds `r`.
    pub fn fill(&mut self, r: Reg, host: u8) {
        let n = POOL.iter().position(|&h| h == host).expect("reserved registers are of the pool");
        self.slots[n] = Some(Slot { reg: r, dirty: true });
    }

    /// Writes the low part of a scratch register to `dst`, by the partial-register rule.
    pub fn put(&mut self, size: Size, dst: Reg, from: u8) {
        if dst == Reg::SINK {
            return;
        }
        match size {
            Size::B | Size::W => {
                let h = self.update(dst);
                self.a.store(size, Rm::Reg(h), from);
            }
            Size::D | Size::Q => {
                let h = self.write(dst);
                self.a.load(size, h, Rm::Reg(from));
            }
        }
    }

    pub fn source(&mut self, v: Val) -> Source {
        match v {
            Val::Reg(r) => Source::Host(self.read(r)),
            Val::Imm(i) => Source::Imm(i),
        }
    }

    /// Brings a value into a scratch register.
    pub fn bring(&mut self, to: u8, v: Val) {
        match self.source(v) {
            Source::Host(h) => self.a.mov(to, h),
            Source::Imm(i) => self.a.mov_imm(to, i),
        }
    }

    /// Makes the register file current, temporaries included when `temps`.
    pub fn flush(&mut self, temps: bool) {
        self.flush_vectors();
        for (slot, host) in self.slots.iter_mut().zip(POOL) {
            if let Some(Slot { reg, dirty: true }) = *slot
                && (temps || reg < Reg::TEMP)
            {
                self.a.store(Size::Q, file(reg), host);
                *slot = Some(Slot { reg, dirty: false });
            }
        }
    }

    fn drop_temps(&mut self) {
        for slot in &mut self.slots {
            if slot.is_some_and(|s| s.reg >= Reg::TEMP) {
                *slot = None;
            }
        }
    }

    /// After something that may have changed any register.
    pub fn forget(&mut self) {
        self.slots = [None; POOL.len()];
        self.vectors = Vectors::default();
        self.pinned = 0;
    }

    // Calls.

    /// Flushes, then arguments: a, b, site, `last`.
    fn arguments(&mut self, last: u64, a: Val, b: Val) {
        self.bring(RDX, b);
        self.flush(true);
        match a {
            Val::Reg(r) => match self.host_of(r) {
                Some(n) => self.a.mov(RSI, POOL[n]),
                None => self.a.load(Size::Q, RSI, file(r)),
            },
            Val::Imm(i) => self.a.mov_imm(RSI, i),
        }
        self.a.mov_imm(RCX, self.site.pack());
        self.a.mov_imm(R9, last);
    }

    pub(super) fn call(&mut self, thunk: u64, last: u64, a: Val, b: Val) {
        self.arguments(last, a, b);
        self.a.call_abs(thunk);
    }

    /// The called function has settled the flags and may have changed registers.
    pub(super) fn after_call(&mut self) {
        self.forget();
        self.pending = Pending::Words;
        self.word = Some(0);
        self.exact = 0;
    }

    /// Lets the interpreter do op `i`.
    fn interpret(&mut self, i: usize) {
        self.site.dst = Reg::SINK.0;
        let inner = self.inner as usize as u64;
        self.call(self.t.interpret, inner, Val::Imm(i as u64), Val::Imm(0));
        self.after_call();
    }

    /// Settles the flags into their words.
    pub fn settle(&mut self) {
        if self.pending == Pending::Words {
            return;
        }
        self.flush(true);
        let settled = (self.pending == Pending::Unknown).then(|| {
            self.a.alu_imm(7, Size::D, Rm::Base(BASE, super::frame::LAZY_WORD), 0);
            self.a.jcc(cc::E)
        });
        self.a.call_abs(self.t.settle);
        if let Some(f) = settled {
            self.a.bind(f);
        }
        self.after_call();
    }

    fn cold_path(&mut self, c: &Cold) {
        self.a.bind(c.from);
        for (n, slot) in c.slots.iter().enumerate() {
            if let Some(Slot { reg, dirty: true }) = *slot {
                self.a.store(Size::Q, file(reg), POOL[n]);
            }
        }
        c.vectors.save(&mut self.a);
        match c.value {
            Some(Source::Host(h)) => self.a.mov(RDX, h),
            Some(Source::Imm(i)) => self.a.mov_imm(RDX, i),
            None => {}
        }
        self.a.mov(RSI, RAX);
        self.a.mov_imm(RCX, c.site.pack());
        self.a.call_abs(c.thunk);
        for (n, slot) in c.slots.iter().enumerate().skip(KEPT) {
            if let Some(Slot { reg, .. }) = *slot {
                self.a.load(Size::Q, POOL[n], file(reg));
            }
        }
        if let Some(h) = c.dst {
            self.a.mov(h, RAX);
        }
        c.vectors.restore(&mut self.a);
        let back = self.a.jmp();
        self.a.bind_to(back, c.back);
    }

    // Exits.

    fn set_pc(&mut self, pc: u64) {
        if let Ok(v) = i32::try_from(pc as i64) {
            self.a.store_imm(Size::Q, Rm::Base(BASE, PC), v);
        } else {
            self.a.mov_imm(RAX, pc);
            self.a.store(Size::Q, Rm::Base(BASE, PC), RAX);
        }
    }

    fn result(&self, exit: Exit) -> u64 {
        u64::from(self.site.id) << 8 | 0x80 | exit as u64
    }

    fn leave(&mut self, exit: Exit) {
        self.a.mov_imm(RAX, self.result(exit));
        self.a.jmp_abs(self.t.exit);
    }

    /// A constant exit: straight to the linked block, in another page while the link holds, else to the run loop.
    fn chain(&mut self, slot: usize, pc: u64) {
        let moved = self.block.span.slot_to_check(pc).map(|page| {
            self.a.load(Size::D, RAX, token(page));
            self.a.cmp_abs(RAX, self.links[slot]);
            self.a.jcc(cc::NE)
        });
        self.a.jmp_through(self.links[slot] + 8);
        if let Some(moved) = moved {
            self.a.bind(moved);
        }
        self.stubs[slot] = self.a.origin + self.a.here() as u64;
        self.set_pc(pc);
        self.leave(if slot == 0 { Exit::Chain0 } else { Exit::Chain1 });
    }

    fn jump(&mut self, op: &Op<Cpu>) {
        match *op {
            Op::Jump { pc } => {
                self.flush(false);
                self.chain(0, pc);
            }
            Op::Branch { cond, taken, next } => {
                let cc = self.condition(cond);
                self.flush(false);
                self.two_ways(cc, taken, next);
            }
            Op::BranchZero { size, src, negate, taken, next } => {
                let h = self.read(src);
                self.flush(false);
                self.a.test(size, Rm::Reg(h), h);
                self.two_ways(if negate { cc::NE } else { cc::E }, taken, next);
            }
            Op::JumpTo { size, src } => {
                let h = self.read(src);
                self.a.movzx(size, RAX, Rm::Reg(h));
                self.flush(false);
                self.a.store(Size::Q, Rm::Base(BASE, PC), RAX);
                self.a.mov_imm(RDX, self.result(Exit::Lookup));
                self.a.jmp_abs(self.t.lookup);
            }
            _ => {}
        }
    }

    fn two_ways(&mut self, cc: u8, taken: u64, next: u64) {
        let jump = self.a.jcc(cc);
        self.chain(1, next);
        self.a.bind(jump);
        self.chain(0, taken);
    }
}
