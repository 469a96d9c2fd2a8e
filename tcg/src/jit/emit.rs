//! One block of IR to machine code: order of things, calls, slow paths, exits.

use super::{
    Inner,
    asm::{Asm, Fixup, Rm, cc, host::RCX},
    flags::{Pending, Unwritten},
    frame::{PC, Site, TOKENS},
    memory::Miss,
    regs::{BASE, LEFT, POOL, S0, S1, Slot, Slots, Source, file, pinned},
    sse::{ColdVector, Vectors},
    thunks::{Thunks, search},
    x87::ColdX87,
};
use crate::{
    block::{Block, Exit},
    ir::{Helper, Mem, Op, Reg, Size, Val, flag},
    x86::Cpu,
};

/// Register that carries the second argument of a call.
pub(super) const ARG: u8 = POOL[0];
/// Register that carries what is called.
pub(super) const TARGET: u8 = POOL[1];

/// A slow path, written after the block.
pub(super) struct Cold {
    /// Unless it begins with a TLB miss.
    pub from: Option<Fixup>,
    pub back: usize,
    pub slots: Slots,
    pub vectors: Vectors,
    pub site: Site,
    pub what: Slow,
    /// Pending flags that memory lacks there.
    pub unwritten: Option<Unwritten>,
    /// A temporary that stands for CL: who leaves here for the interpreter finds it in the register file.
    pub count: Option<Reg>,
}

/// What a slow path does.
#[derive(Clone, Copy)]
pub(super) enum Slow {
    /// Loads from the address that the TLB missed, into `dst`.
    Load { thunk: u64, miss: Miss, dst: u8, for_write: bool },
    /// Stores to the address that the TLB missed.
    Store { miss: Miss, value: Source },
    /// Stores to `mem`, whose load took a slow path too.
    StoreBack { mem: Mem, value: Source },
    /// Raises what a jump there raises.
    BadTarget(Source),
    /// Calls a helper that writes no flags and whose result goes nowhere.
    Call { helper: Helper<Cpu>, a: Source },
}

/// Room for the next block: nothing but capacity, once its code has been copied.
#[derive(Default)]
pub(super) struct Spare {
    pub code: Vec<u8>,
    pub cold: Vec<Cold>,
    pub live: Vec<u8>,
}

/// A block being compiled.
pub(super) struct Emit<'a> {
    pub a: Asm,
    pub t: Thunks,
    pub slots: Slots,
    pub used: [u32; POOL.len()],
    pub clock: u32,
    /// Registers of the pool that the current op uses (a bit each).
    pub held: u8,
    /// A temporary that the next op consumes from a scratch register.
    pub passing: Option<(Reg, u8)>,
    /// Whether S1 holds a value of the current op.
    pub s1_busy: bool,
    /// Base, index and segment of the access whose TLB entry S1 may still have.
    pub near: Option<Mem>,
    /// Memory whose host address is in S0 (zero after a slow path), and its width.
    pub open: Option<(Mem, Size)>,
    /// A temporary that stands for CL.
    pub count: Option<Reg>,
    /// Where the guest's flags are.
    pub pending: Pending,
    /// What of them memory does not have yet.
    pub unwritten: Option<Unwritten>,
    /// Flags set apart from the pending operation (bits of [`super::flags`]).
    pub apart: u8,
    /// Which guest flags the host's flags equal right now.
    pub exact: u8,
    /// The word in memory that says what is pending, when known.
    pub word: Option<u32>,
    pub cold: Vec<Cold>,
    /// Which guest XMM registers are in the host's.
    pub vectors: Vectors,
    pub cold_vectors: Vec<ColdVector>,
    pub cold_x87: Vec<ColdX87>,
    pub site: Site,
    /// Ops after the current one that it has dealt with.
    pub skip: usize,
    inner: *const Inner,
    /// Whether an op is left to the interpreter.
    interprets: bool,
    links: [u64; 2],
    /// Where an exit leads that has no link.
    stubs: [u64; 2],
    /// A computed exit's ways to the run loop, written after the block, too.
    computed: Option<[Fixup; 4]>,
    /// What the block depends on besides its bytes.
    context: u32,
    /// Exits' ways to their stubs, written after the block.
    ends: Vec<(usize, u64, Option<Fixup>)>,
    pub block: &'a Block<Cpu>,
}

/// What a slot of the instruction TLB shows.
fn token(slot: u32) -> Rm {
    Rm::Base(BASE, TOKENS + 4 * slot as i32)
}

impl<'a> Emit<'a> {
    pub fn new(
        (a, cold): (Asm, Vec<Cold>),
        t: Thunks,
        block: &'a Block<Cpu>,
        (id, context): (u32, u32),
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
            a,
            t,
            slots: [None; POOL.len()],
            used: [0; POOL.len()],
            clock: 0,
            held: 0,
            passing: None,
            s1_busy: false,
            near: None,
            open: None,
            count: None,
            pending: Pending::Unknown,
            unwritten: None,
            apart: 0,
            exact: 0,
            word: None,
            cold,
            vectors: Vectors::default(),
            cold_vectors: Vec::new(),
            cold_x87: Vec::new(),
            site,
            skip: 0,
            inner,
            interprets: false,
            links,
            stubs: [0; 2],
            computed: None,
            context,
            ends: Vec::new(),
            block,
        }
    }

    /// The whole block; where its exits lead as long as they have no link; whether it lets the interpreter do some of it.
    pub fn block(mut self, mut live: Vec<u8>) -> (Spare, [u64; 2], bool) {
        let insns = i32::from(self.site.insns);
        self.a.alu_imm(5, Size::Q, Rm::Reg(LEFT), insns);
        let cut = self.a.jcc(cc::S);
        let stop = self.guard();
        let moved = self.block.second.map(|w| {
            self.a.alu_imm(7, Size::D, token(w.slot), w.token as i32);
            self.a.jcc(cc::NE)
        });
        self.live_flags(&mut live);
        let total = self.total();
        for (n, insn) in self.block.insns.iter().enumerate() {
            self.site.insn = n as u8;
            self.drop_temps();
            self.open = None;
            let end = self.block.insns.get(n + 1).map_or(self.block.ops.len(), |i| i.op as usize);
            let mut i = insn.op as usize;
            while i < end {
                self.site.rest = (total - i - 1) as u16;
                self.held = 0;
                self.s1_busy = false;
                self.skip = 0;
                self.op(i, end, &live);
                i += 1 + self.skip;
            }
        }
        let mut cold = std::mem::take(&mut self.cold);
        for c in cold.drain(..) {
            self.cold_path(&c);
        }
        for cold in std::mem::take(&mut self.cold_vectors) {
            self.cold_vector(&cold);
        }
        for cold in std::mem::take(&mut self.cold_x87) {
            self.cold_x87(&cold);
        }
        for (slot, pc, moved) in std::mem::take(&mut self.ends) {
            if let Some(moved) = moved {
                self.a.bind(moved);
            }
            self.stubs[slot] = self.a.origin + self.a.here() as u64;
            self.set_pc(pc);
            self.leave(if slot == 0 { Exit::Chain0 } else { Exit::Chain1 });
        }
        if let Some(misses) = self.computed.take() {
            for miss in misses {
                self.a.bind(miss);
            }
            self.a.store(Size::Q, Rm::Base(BASE, PC), S0);
            self.leave(Exit::Lookup);
        }
        self.a.bind(cut);
        if let Some(stop) = stop {
            self.a.bind(stop);
        }
        if let Some(moved) = moved {
            self.a.bind(moved);
        }
        self.a.alu_imm(0, Size::Q, Rm::Reg(LEFT), insns);
        self.set_pc(self.block.pc);
        self.leave(Exit::Cut);
        (Spare { code: self.a.code, cold, live }, self.stubs, self.interprets)
    }

    /// The way out when registers and memory are those with which a run ends here.
    fn guard(&mut self) -> Option<Fixup> {
        let guard = self.block.guard.as_deref()?;
        let mut others = Vec::new();
        for (n, &value) in guard.regs.iter().enumerate() {
            let reg = Reg(n as u8);
            self.a.mov_imm(S0, value);
            self.a.alu(7, Size::Q, S0, pinned(reg).map_or(file(reg), Rm::Reg));
            others.push(self.a.jcc(cc::NE));
        }
        for &(host, value) in &guard.words {
            self.a.mov_imm(S1, host as u64);
            self.a.mov_imm(S0, value);
            self.a.alu(7, Size::Q, S0, Rm::Base(S1, 0));
            others.push(self.a.jcc(cc::NE));
        }
        let stop = self.a.jmp();
        for other in others {
            self.a.bind(other);
        }
        Some(stop)
    }

    /// Ops as the interpreter counts them.
    fn total(&self) -> usize {
        let two = matches!(self.block.ops.last(), Some(Op::CallLeave { .. }));
        self.block.ops.len() + usize::from(two)
    }

    /// For every op, the flags that somebody may look at after it; as [`crate::ir::dead_flags`] sees it.
    fn live_flags(&self, after: &mut Vec<u8>) {
        let ops = &self.block.ops;
        let (mut live, mut end) = (flag::EVERY, ops.len());
        after.clear();
        after.resize(ops.len(), flag::EVERY);
        for insn in self.block.insns.iter().rev() {
            let start = insn.op as usize;
            if ops[start..end].iter().any(Op::may_ask_to_leave) {
                live = flag::EVERY;
            }
            for i in (start..end).rev() {
                after[i] = live;
                live = live & !ops[i].flags_defined() | ops[i].flags_read();
            }
            end = start;
        }
    }

    /// The ops of the current instruction after op `i`; `end` is the first of the next instruction.
    fn op(&mut self, i: usize, end: usize, live: &[u8]) {
        let op = self.block.ops[i];
        let rest = &self.block.ops[i + 1..end];
        let passing = self.passing;
        let live = live[i];
        self.save_pending(&op, live);
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
            | Op::CondMov { .. } => self.compute(&op, rest, live),
            Op::Lea { .. }
            | Op::Load { .. }
            | Op::LoadSigned { .. }
            | Op::LoadForWrite { .. }
            | Op::Store { .. } => {
                self.access(&op, rest);
                true
            }
            Op::Vector { helper, operands, mem, flags, .. } => {
                self.vector(helper, operands, mem, flags, live != 0);
                true
            }
            Op::Quick { quick, helper, dst, a, b } => {
                if !self.quick(quick, helper, dst, a, b) {
                    self.call(helper, dst, a, b, false);
                }
                true
            }
            Op::Call { helper, dst, a, b, flags } => {
                self.call(helper, dst, a, b, flags);
                true
            }
            Op::CallLeave { helper, a, b, next, crossing } => {
                self.set_pc(next);
                self.site.dst = crossing.map_or(0, Site::crossing);
                if let Some(c) = crossing {
                    self.write_pending();
                    self.flush(true);
                    self.forget();
                    self.a.mov_imm(S1, self.result(Exit::Lookup));
                    self.a.call_abs(self.t.crossings[c as usize]);
                }
                self.arguments(helper as usize as u64, a, b);
                // The answer is where to go on, when nothing has to be looked at first.
                self.a.call_abs(self.t.call_leave);
                self.a.mov_imm(S1, self.result(Exit::Lookup));
                self.a.jmp_abs(self.t.lookup);
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
        if self.passing == passing {
            self.passing = None;
        }
    }

    /// Goes on unless `src` has more than a sign in its upper `unused` bits.
    fn check_target(&mut self, unused: u8, src: Reg) {
        let at = self.look(src);
        self.open = None;
        self.a.load(Size::Q, S0, at);
        self.a.shift_imm(4, Size::Q, S0, unused);
        self.a.shift_imm(7, Size::Q, S0, unused);
        self.a.alu(7, Size::Q, S0, at);
        self.exact = 0;
        let from = self.a.jcc(cc::NE);
        let target = self.source(Val::Reg(src));
        self.slow(Some(from), self.slots, self.site, Slow::BadTarget(target));
    }

    // Calls.

    /// Brings the register file up to date, then arguments to where the thunks expect them.
    fn arguments(&mut self, target: u64, a: Val, b: Val) {
        self.write_pending();
        let a = self.source(a);
        self.bring(S0, a);
        let b = self.source(b);
        self.bring(S1, b);
        self.flush(true);
        self.a.mov(ARG, S1);
        self.a.mov_imm(S1, self.site.pack());
        self.a.mov_imm(TARGET, target);
    }

    /// `flags`: the helper may write them.
    fn call(&mut self, helper: Helper<Cpu>, dst: Reg, a: Val, b: Val, flags: bool) {
        self.site.dst = dst.0;
        self.arguments(helper as usize as u64, a, b);
        if flags {
            self.a.call_abs(self.t.call);
            self.after_call();
        } else {
            self.a.call_abs(self.t.plain);
            self.after_plain_call();
        }
    }

    /// The called function may have changed registers.
    pub(super) fn after_plain_call(&mut self) {
        self.forget();
        self.open = None;
        self.exact = 0;
    }

    /// The called function has settled the flags and may have changed registers.
    pub(super) fn after_call(&mut self) {
        self.after_plain_call();
        self.pending = Pending::Words;
        self.unwritten = None;
        self.word = Some(0);
        self.apart = 0;
    }

    /// Lets the interpreter do op `i`.
    fn interpret(&mut self, i: usize) {
        self.interprets = true;
        self.site.dst = Reg::SINK.0;
        let inner = self.inner as usize as u64;
        self.arguments(inner, Val::Imm(i as u64), Val::Imm(0));
        self.a.call_abs(self.t.interpret);
        self.after_call();
    }

    /// A slow path for what `from` jumps to, back to this place.
    pub(super) fn slow(&mut self, from: Option<Fixup>, slots: Slots, site: Site, what: Slow) {
        let (back, vectors, count) = (self.a.here(), self.vectors, self.count);
        let unwritten = self.unwritten_there();
        self.cold.push(Cold { from, back, slots, vectors, site, what, unwritten, count });
    }

    fn cold_path(&mut self, c: &Cold) {
        if let Some(from) = c.from {
            self.a.bind(from);
        }
        // The address first: it may depend on registers of the pool.
        match c.what {
            Slow::Load { miss, .. } | Slow::Store { miss, .. } => self.miss(miss),
            Slow::StoreBack { mem, .. } => {
                self.slots = c.slots;
                self.address(&mem);
            }
            Slow::Call { a, .. } | Slow::BadTarget(a) => self.bring(S0, a),
        }
        for (n, slot) in c.slots.iter().enumerate() {
            if let Some(Slot { reg, dirty: true }) = *slot {
                self.a.store(Size::Q, file(reg), POOL[n]);
            }
        }
        if let Some(u) = c.unwritten {
            u.write(&mut self.a);
        }
        c.vectors.save(&mut self.a);
        if let Some(r) = c.count {
            self.a.store(Size::Q, file(r), RCX);
        }
        let thunk = match c.what {
            Slow::Load { thunk, .. } => thunk,
            Slow::Store { value, .. } | Slow::StoreBack { value, .. } => {
                self.bring(ARG, value);
                self.t.store
            }
            Slow::BadTarget(_) => self.t.bad_target,
            Slow::Call { helper, .. } => {
                self.a.mov_imm(TARGET, helper as usize as u64);
                self.t.plain
            }
        };
        self.a.mov_imm(S1, c.site.pack());
        self.a.call_abs(thunk);
        for (n, slot) in c.slots.iter().enumerate() {
            if let Some(Slot { reg, .. }) = *slot {
                self.a.load(Size::Q, POOL[n], file(reg));
            }
        }
        match c.what {
            Slow::Load { dst, for_write, .. } => {
                self.a.mov(dst, S0);
                if for_write {
                    self.a.mov_imm(S0, 0);
                }
            }
            Slow::Call { .. } | Slow::BadTarget(_) | Slow::Store { .. } | Slow::StoreBack { .. } => {}
        }
        c.vectors.restore(&mut self.a);
        if !matches!(c.what, Slow::Load { dst: S1, .. }) {
            self.any_entry();
        }
        let back = self.a.jmp();
        self.a.bind_to(back, c.back);
    }

    // Exits.

    fn set_pc(&mut self, pc: u64) {
        if let Ok(v) = i32::try_from(pc as i64) {
            self.a.store_imm(Size::Q, Rm::Base(BASE, PC), v);
        } else {
            self.a.mov_imm(S0, pc);
            self.a.store(Size::Q, Rm::Base(BASE, PC), S0);
        }
    }

    fn result(&self, exit: Exit) -> u64 {
        u64::from(self.site.id) << 8 | 0x80 | exit as u64
    }

    fn leave(&mut self, exit: Exit) {
        self.a.mov_imm(S1, self.result(exit));
        self.a.jmp_abs(self.t.exit);
    }

    /// A constant exit: straight to the linked block, in another page while the link holds, else to the run loop.
    fn chain(&mut self, slot: usize, pc: u64) {
        let moved = self.block.span.slot_to_check(pc).map(|page| {
            self.a.load(Size::D, S0, token(page));
            self.a.cmp_abs(S0, self.links[slot]);
            self.a.jcc(cc::NE)
        });
        self.a.jmp_through(self.links[slot] + 8);
        self.ends.push((slot, pc, moved));
    }

    fn jump(&mut self, op: &Op<Cpu>) {
        match *op {
            Op::Jump { pc } => {
                self.write_pending();
                self.flush(false);
                self.chain(0, pc);
            }
            Op::Branch { cond, taken, next } => {
                let cc = self.condition(cond);
                self.write_pending();
                self.flush(false);
                self.two_ways(cc, taken, next);
            }
            Op::BranchZero { size, src, negate, taken, next } => {
                self.write_pending();
                let h = self.in_scratch(S0, src);
                self.flush(false);
                self.a.test(size, Rm::Reg(h), h);
                self.two_ways(if negate { cc::NE } else { cc::E }, taken, next);
            }
            Op::JumpTo { size, src } => {
                self.write_pending();
                let at = self.look(src);
                self.a.movzx(size, S0, at);
                self.flush(false);
                self.computed = Some(search(&mut self.a, Some(self.context)));
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
