//! The run loop: finds or makes the block at pc, runs it, deals with how it ended. Counts are exact at every stop.

mod backend;
mod cache;
mod observe;

#[cfg(all(target_arch = "x86_64", unix))]
pub(crate) use cache::{Known, Recent};

use super::{
    Cpu, Exception,
    mode::Mode,
    state::{Shadow, bits},
    system::{debug, interrupt},
    translate::{self, linear_pc},
};
use crate::{
    Bus,
    block::{Backend, Exit, Guard, Linked},
    core::Crossing,
    itlb::Itlb,
    phys::StaleCode,
    tlb::PAGE_MASK,
};
use cache::{Cache, Entry};
pub use observe::Translations;

/// Why [`Engine::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The count asked for is reached.
    Limit,
    /// The interrupt line is up and the CPU would take an interrupt now.
    InterruptWindow,
    /// A device asks to be looked at before the next instruction.
    Attention,
    /// HLT: nothing happens until an interrupt.
    Halt,
    /// Triple fault.
    Shutdown,
    /// The observer waits for what is here: [`Engine::breakpoint`], [`Engine::take_access`]. It may be no other stop's place.
    Hit,
}

/// What the engine did, for `--stats`. Not part of the machine's state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Blocks translated.
    pub blocks: u64,
    /// Guest instructions in them.
    pub instructions: u64,
    /// Blocks thrown away because their code was written or the cache was full.
    pub discarded: u64,
    /// Exceptions delivered.
    pub exceptions: u64,
    /// Times a block was searched by its physical address.
    pub searches: u64,
    /// Memory operations in the blocks translated.
    pub accesses: u64,
    /// Times the whole block cache was emptied.
    pub flushes: u64,
    /// Nanoseconds spent making blocks, if a clock was given.
    pub translating: u64,
    /// Returns from translated code to the run loop, by [`Exit`] in its order.
    pub exits: [u64; Exit::COUNT],
}

/// Blocks kept before the cache starts over.
const MAX_BLOCKS: usize = 150_000;
/// Writes to code of one page, one after the other, after which all of it goes.
const MANY_REWRITES: u32 = 32;
/// Exceptions in a row without a completed instruction before the caller gets a chance to look.
const MAX_STUCK: u32 = 10_000;

/// An x86 CPU and its translated code.
pub struct Engine<B: Backend<Cpu>> {
    /// The CPU.
    pub cpu: Cpu,
    /// Counters.
    pub stats: Stats,
    backend: B,
    cache: Cache<B::Code>,
    scratch: translate::Scratch,
    /// Nanoseconds since some moment; only for [`Stats::translating`].
    clock: Option<fn() -> u64>,
    /// Whether the TLB was filled under alignment checks: then ring 3's accesses all take the slow path.
    aligned: bool,
    /// Where a run began that need not come to its limit exactly.
    roughly: Option<u64>,
    /// Whether it has come as near as whole blocks do.
    is_near: bool,
    /// The RAM page whose code was written last, and how often since another one's was.
    rewritten: (usize, u32),
}

impl<B: Backend<Cpu>> Engine<B> {
    /// An engine with nothing translated.
    pub fn new(cpu: Cpu, backend: B) -> Self {
        Self {
            cpu,
            stats: Stats::default(),
            backend,
            cache: Cache::new(),
            scratch: translate::Scratch::default(),
            clock: None,
            aligned: false,
            roughly: None,
            is_near: false,
            rewritten: (0, 0),
        }
    }

    /// The back end's counters: name and value.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.backend.counters()
    }

    /// Measures the time that making blocks takes, from now on, by a clock that counts nanoseconds.
    pub fn measure(&mut self, clock: fn() -> u64) {
        self.clock = Some(clock);
    }

    /// Now, if anybody measures.
    fn now(&self) -> u64 {
        self.clock.map_or(0, |clock| clock())
    }

    /// Forgets all translated code and translations: after memory or CPU state was replaced from outside.
    pub fn forget(&mut self) {
        self.discard_all();
        self.cpu.core.flush_all();
    }

    /// Forgets all translated code, but no translation of an address: nothing that a guest could notice.
    fn discard_all(&mut self) {
        self.stats.discarded += self.cache.live() as u64;
        self.stats.flushes += 1;
        self.cache.clear();
        self.cpu.core.crossings = [Crossing::NONE; 2];
        self.backend.reset();
        for page in 0..self.cpu.core.phys.pages() {
            self.cpu.core.phys.clear_code(page);
        }
        self.cpu.core.phys.stale_code.clear();
        self.cpu.core.itlb.renumber();
    }

    /// Runs until `limit` instructions have completed since power-on, or something needs the caller.
    /// `interrupt` is the level of the interrupt line.
    pub fn run(&mut self, bus: &mut dyn Bus, limit: u64, interrupt: bool) -> Stop {
        // Machine code counts what is left with a sign.
        let stop = self.run_until(bus, limit.min(i64::MAX as u64), interrupt);
        // What the observer waits for was the end of an instruction that may have been one for other reasons too.
        if self.cpu.core.observer.limit() <= self.cpu.core.count { Stop::Hit } else { stop }
    }

    /// As [`Engine::run`], but ends before the block that would pass `limit`: no instruction is translated by itself for the
    /// sake of that.
    pub fn run_roughly(&mut self, bus: &mut dyn Bus, limit: u64, interrupt: bool) -> Stop {
        self.roughly = Some(self.cpu.core.count);
        let stop = self.run(bus, limit, interrupt);
        self.roughly = None;
        stop
    }

    fn run_until(&mut self, bus: &mut dyn Bus, limit: u64, interrupt: bool) -> Stop {
        let (mut stuck, mut last) = (0, self.cpu.core.count);
        // Memory may have been written from outside since the last run.
        self.drop_stale();
        loop {
            let limit = limit.min(self.cpu.core.observer.limit());
            if let Some(stop) = self.pause(limit, interrupt) {
                return stop;
            }
            if self.breakpoint().is_some() {
                return Stop::Hit;
            }
            let mode = self.cpu.mode();
            if mode.has(Mode::ALIGN) != self.aligned {
                self.aligned = !self.aligned;
                self.cpu.core.tlb.flush_all();
            }
            // A shadow ends with the next instruction, and until then nothing looks but for an interrupt that waits already.
            let shadow = interrupt && self.cpu.sys.shadow != Shadow::None;
            // A stop that was seen is passed alone: the block there would end the run.
            let passes = self.at_breakpoint();
            let alone = mode.has(Mode::STEP) || shadow || passes || self.cpu.sys.eflags & bits::RF != 0;
            let outcome = if alone {
                self.step(bus, mode)
            } else {
                self.cpu.sys.shadow = Shadow::None;
                self.stretch(bus, mode, limit, !interrupt && !self.aligned && !self.cpu.core.rings.counted)
            };
            if let Err(fault) = outcome {
                self.stats.exceptions += 1;
                self.cpu.core.observer.begin(self.cpu.core.count);
                let at = linear_pc(&self.cpu, self.cpu.core.pc);
                self.cpu.core.itlb.note_fault(at);
                interrupt::raise(&mut self.cpu, bus, fault);
                self.cpu.core.observer.delivered(self.cpu.core.count);
            }
            self.drop_stale();
            let attention = std::mem::take(&mut self.cpu.core.leave) | bus.attention();
            stuck = if self.cpu.core.count == last { stuck + 1 } else { 0 };
            last = self.cpu.core.count;
            let is_near = std::mem::take(&mut self.is_near);
            if attention || stuck > MAX_STUCK {
                return Stop::Attention;
            }
            if is_near {
                return Stop::Limit;
            }
        }
    }

    /// Whether the CPU would take a maskable interrupt before its next instruction.
    #[must_use]
    pub fn interruptible(&self) -> bool {
        self.cpu.sys.eflags & bits::IF != 0 && self.cpu.sys.shadow == Shadow::None
    }

    fn pause(&self, limit: u64, interrupt: bool) -> Option<Stop> {
        if self.cpu.sys.shutdown {
            Some(Stop::Shutdown)
        } else if interrupt && self.interruptible() {
            Some(Stop::InterruptWindow)
        } else if self.cpu.sys.halted {
            Some(Stop::Halt)
        } else {
            (self.cpu.core.count >= limit).then_some(Stop::Limit)
        }
    }

    /// One instruction with everything that is checked between instructions.
    fn step(&mut self, bus: &mut dyn Bus, mode: Mode) -> Result<(), Exception> {
        let cpu = &mut self.cpu;
        let resume = cpu.sys.eflags & bits::RF != 0;
        if !resume && let Some(dr6) = debug::instruction_breakpoint(cpu, linear_pc(cpu, cpu.core.pc)) {
            return Err(Exception::Debug { dr6 });
        }
        let traced = cpu.sys.eflags & bits::TF != 0;
        cpu.sys.eflags &= !bits::RF;
        cpu.sys.shadow = Shadow::None;
        let result = self.find_alone(mode).and_then(|id| self.enter(bus, id).map(drop));
        match result {
            Ok(()) => match debug::end_of_instruction(&mut self.cpu, traced) {
                Some(trap) => {
                    self.cpu.core.observer.deliver(self.cpu.core.count);
                    Err(trap)
                }
                None => Ok(()),
            },
            Err(fault) => {
                // An instruction that faults has met no breakpoint yet.
                self.cpu.sys.pending_debug = 0;
                Err(fault)
            }
        }
    }

    /// Blocks one after the other for as long as only jumps connect them.
    fn stretch(
        &mut self,
        bus: &mut dyn Bus,
        mut mode: Mode,
        limit: u64,
        moves: bool,
    ) -> Result<(), Exception> {
        let mut id = self.find(mode)?;
        loop {
            // A walk for the fetch may have written what holds code or is watched.
            if self.cpu.core.leave {
                return Ok(());
            }
            if self.cpu.core.count + u64::from(self.cache.blocks[id as usize].insns) > limit {
                // A run that has begun here must come on.
                if self.roughly.is_some_and(|start| self.cpu.core.count > start) {
                    self.is_near = true;
                    return Ok(());
                }
                return self.one_by_one(bus, mode, limit);
            }
            let (last, exit) = self.enter_linked(bus, id, mode, limit, moves)?;
            if std::mem::take(&mut self.cpu.core.moved) {
                mode = self.cpu.mode();
            }
            if self.cpu.core.count >= limit || self.cpu.core.leave || self.at_breakpoint() {
                return Ok(());
            }
            id = match exit {
                Exit::Chain0 | Exit::Chain1 => self.follow(last, usize::from(exit == Exit::Chain1), mode)?,
                // If the count does not suffice, the check above deals with it.
                Exit::Lookup | Exit::Cut => self.find(mode)?,
                Exit::Leave | Exit::Fault | Exit::Attention | Exit::End => return Ok(()),
            };
        }
    }

    /// As [`Engine::stretch`] in blocks of one instruction: a longer one computes no flags that it overwrites itself, so it
    /// cannot be left in its middle.
    fn one_by_one(&mut self, bus: &mut dyn Bus, mode: Mode, limit: u64) -> Result<(), Exception> {
        loop {
            let id = self.find_alone(mode)?;
            if self.cpu.core.leave {
                return Ok(());
            }
            let exit = self.enter(bus, id)?;
            let jumped = matches!(exit, Exit::Chain0 | Exit::Chain1 | Exit::Lookup);
            if self.cpu.core.count >= limit || self.cpu.core.leave || !jumped || self.at_breakpoint() {
                return Ok(());
            }
        }
    }

    /// Runs block `id` and what it is linked to, at most to `limit`, and accounts for it. Returns the last block.
    #[inline]
    fn enter_linked(
        &mut self,
        bus: &mut dyn Bus,
        id: u32,
        mode: Mode,
        limit: u64,
        moves: bool,
    ) -> Result<(u32, Exit), Exception> {
        self.ready(id);
        let recent = self.cache.recent_table();
        let context = self.cache.context(&self.cpu, mode);
        let entry = &self.cache.blocks[id as usize];
        let contexts = self.cache.known_contexts();
        let at = Linked { id, insns: entry.insns, limit, context, recent, contexts, moves };
        let (last, exit) = self.backend.run_linked(&at, &entry.code, &mut self.cpu, bus);
        self.stats.exits[exit as usize] += 1;
        if exit <= Exit::Lookup || exit == Exit::Cut {
            self.cpu.core.insn = 0;
            return Ok((last, exit));
        }
        self.account(bus, last, exit).map(|exit| (last, exit))
    }

    /// Gets block `id` ready to be run with what it is linked to.
    #[inline]
    fn ready(&mut self, id: u32) {
        if self.backend.entry(&self.cache.blocks[id as usize].code) == 0 {
            self.make_ready(id);
        }
    }

    fn make_ready(&mut self, id: u32) {
        let begun = self.now();
        if !self.backend.can_prepare(&self.cache.blocks[id as usize].code) {
            self.remind(id);
        }
        let block = &self.cache.blocks[id as usize];
        if self.backend.prepare(id, block.context, &block.code) {
            self.cache.withdraw();
        }
        let code = self.backend.entry(&self.cache.blocks[id as usize].code);
        if code != 0 {
            self.cache.offer(id, code);
        }
        self.stats.translating += self.now() - begun;
    }

    /// Gives the back end block `id` again, from the bytes it was made from: those in memory may be others now.
    #[cold]
    fn remind(&mut self, id: u32) {
        let entry = &self.cache.blocks[id as usize];
        let made = translate::Made {
            mode: entry.mode,
            span: entry.span,
            second: entry.second,
            insns: entry.insns as usize,
            code: self.cache.text(id),
        };
        let mut block = translate::again(&made, &mut self.scratch);
        block.guard = self.guard(entry.mode, entry.span.linear);
        self.backend.remind(&entry.code, block);
    }

    /// What there must be for a run to end before a block at linear address `addr`.
    fn guard(&self, mode: Mode, addr: u64) -> Option<Box<Guard>> {
        if mode.has(Mode::STEP | Mode::ALONE) {
            return None;
        }
        let core = &self.cpu.core;
        let regs = *core.observer.place(addr)?;
        let words = core.observer.words(addr).iter();
        let words = words.filter_map(|&(at, value)| Some((core.phys.host_address(at)?, value))).collect();
        Some(Box::new(Guard { regs, words }))
    }

    /// Runs block `id` alone and accounts for it.
    #[inline]
    fn enter(&mut self, bus: &mut dyn Bus, id: u32) -> Result<Exit, Exception> {
        let cpu = &mut self.cpu;
        let entry = &self.cache.blocks[id as usize];
        let exit = self.backend.run_whole(&entry.code, cpu, bus);
        if exit <= Exit::Lookup {
            cpu.core.insn = 0;
            cpu.core.count += u64::from(entry.insns);
            return Ok(exit);
        }
        self.account(bus, id, exit)
    }

    /// Accounts for a run of block `id` that ended with `exit`, which is no jump.
    fn account(&mut self, bus: &mut dyn Bus, id: u32, mut exit: Exit) -> Result<Exit, Exception> {
        if exit == Exit::Attention && !self.backend.can_run(&self.cache.blocks[id as usize].code) {
            self.remind(id);
        }
        let cpu = &mut self.cpu;
        let entry = &self.cache.blocks[id as usize];
        let n = entry.insns as usize;
        let mut done = n;
        if exit == Exit::Attention {
            // The rest of the instruction runs; the request to leave stays.
            done = cpu.core.insn as usize + 1;
            let end = self.backend.bounds(&entry.code)[done] as usize;
            let mut from = self.backend.bounds(&entry.code)[n] as usize - cpu.core.rest;
            while exit == Exit::Attention {
                cpu.core.leave = false;
                exit = self.backend.run(&entry.code, from, end, cpu, bus);
                from = end - cpu.core.rest;
            }
            cpu.core.leave = true;
        }
        let insn = std::mem::take(&mut cpu.core.insn) as usize;
        match exit {
            Exit::Fault => {
                cpu.core.count += insn as u64;
                cpu.core.pc = self.cache.pc_of(id, insn);
                let fault = cpu.fault.take().unwrap_or(Exception::DoubleFault);
                return Err(match fault {
                    Exception::NonCanonical { addr } => translate::non_canonical(cpu, addr),
                    other => other,
                });
            }
            Exit::End => {
                cpu.core.count += done as u64;
                cpu.core.pc = self.cache.pc_of(id, done);
            }
            Exit::Leave => {
                let unfinished = std::mem::take(&mut cpu.core.unfinished);
                cpu.core.count += done as u64 - u64::from(unfinished);
            }
            Exit::Chain0 | Exit::Chain1 | Exit::Lookup | Exit::Attention | Exit::Cut => {
                cpu.core.count += done as u64;
            }
        }
        Ok(exit)
    }

    /// The block at pc that exit `slot` of block `id` leads to.
    #[inline]
    fn follow(&mut self, id: u32, slot: usize, mode: Mode) -> Result<u32, Exception> {
        let link = self.cache.blocks[id as usize].links[slot];
        let itlb = &self.cpu.core.itlb;
        if link.witness.is_none_or(|w| itlb.holds(w))
            && self.cache.blocks[link.id as usize].live
            && self.cache.second_holds(link.id, itlb)
        {
            self.connect(id, slot, link);
            return Ok(link.id);
        }
        let epoch = self.cache.epoch;
        let next = self.find(mode)?;
        // `find` may have emptied the cache; `id` then means another block.
        if self.cache.epoch == epoch {
            self.ready(next);
            let from = &mut self.cache.blocks[id as usize];
            let link = from.link_to(next, self.cpu.core.pc, &self.cpu.core.itlb);
            from.links[slot] = link;
            self.connect(id, slot, link);
        }
        Ok(next)
    }

    /// Lets machine code follow a link by itself, if both ends have some.
    #[inline]
    fn connect(&mut self, id: u32, slot: usize, link: cache::Link) {
        let (from, to) = (&self.cache.blocks[id as usize], &self.cache.blocks[link.id as usize]);
        if from.connected[slot] == link.id
            || self.backend.entry(&from.code) == 0
            || self.backend.entry(&to.code) == 0
        {
            return;
        }
        self.backend.link(&from.code, slot, link.witness.map_or(0, |w| w.token), &to.code);
        self.cache.blocks[id as usize].connected[slot] = link.id;
        self.cache.blocks[link.id as usize].incoming.push((id, slot as u8));
    }

    /// Takes back the links to blocks that were discarded.
    fn disconnect(&mut self) {
        while let Some(dead) = self.cache.dead.pop() {
            for (id, slot) in std::mem::take(&mut self.cache.blocks[dead as usize].incoming) {
                let from = &mut self.cache.blocks[id as usize];
                if from.connected[usize::from(slot)] == dead {
                    from.connected[usize::from(slot)] = cache::NONE;
                    self.backend.unlink(&from.code, usize::from(slot));
                }
            }
        }
    }

    /// The block at pc.
    #[inline]
    fn find(&mut self, mode: Mode) -> Result<u32, Exception> {
        let pc = self.cpu.core.pc;
        let context = self.cache.context(&self.cpu, mode);
        match self.cache.recent(pc, context, &self.cpu.core.itlb) {
            Some(id) => Ok(id),
            None => self.search(pc, mode),
        }
    }

    /// The block of the one instruction at pc.
    fn find_alone(&mut self, mode: Mode) -> Result<u32, Exception> {
        self.find(Mode(mode.0 | Mode::ALONE))
    }

    #[cold]
    fn search(&mut self, pc: u64, mode: Mode) -> Result<u32, Exception> {
        self.stats.searches += 1;
        if self.cache.blocks.len() >= MAX_BLOCKS || self.cpu.core.itlb.crowded() {
            self.discard_all();
        }
        if !mode.has(Mode::CODE64) && pc > u64::from(self.cpu.sys.segs[super::state::seg::CS].limit) {
            return Err(Exception::GP0);
        }
        let phys = self.cpu.translate_fetch(linear_pc(&self.cpu, pc))?;
        let context = self.cache.context(&self.cpu, mode);
        if let Some(id) = self.cache.by_phys(phys, pc, context) {
            if self.second_page_is_same(id)? {
                self.remember(pc, context, id);
                return Ok(id);
            }
            self.cache.discard(id);
            self.disconnect();
        }
        self.translate(pc, mode)
    }

    /// Whether the second page of block `id`, if it reaches into one, is the one it was translated from.
    fn second_page_is_same(&mut self, id: u32) -> Result<bool, Exception> {
        let block = &self.cache.blocks[id as usize];
        if block.second.is_some() {
            self.cpu.translate_fetch(block.span.next_page())?;
        }
        Ok(self.cache.second_holds(id, &self.cpu.core.itlb))
    }

    /// Lets block `id` be found by pc; not one that starts at a breakpoint, before which every run has to end.
    fn remember(&mut self, pc: u64, context: u32, id: u32) {
        let linear = linear_pc(&self.cpu, pc);
        if self.cpu.core.observer.has_breakpoint(linear) {
            return;
        }
        let slot = Itlb::slot(self.cpu.fetch_view(), linear);
        let witness = self.cpu.core.itlb.witness(slot);
        let code = self.backend.entry(&self.cache.blocks[id as usize].code);
        self.cache.remember(pc, context, witness, id, code);
    }

    fn translate(&mut self, pc: u64, mode: Mode) -> Result<u32, Exception> {
        let most = if mode.has(Mode::STEP | Mode::ALONE) { 1 } else { translate::MAX_BLOCK };
        let begun = self.now();
        let mut t = translate::translate(&mut self.cpu, pc, mode, most, &mut self.scratch)?;
        t.block.guard = self.guard(mode, t.block.span.linear);
        self.stats.blocks += 1;
        self.stats.instructions += t.block.insns.len() as u64;
        self.stats.accesses += t.block.ops.iter().filter(|op| op.is_access()).count() as u64;
        let pages = self.mark_code(&t);
        let context = self.cache.context(&self.cpu, mode);
        let (span, second) = (t.block.span, t.block.second);
        let insns = t.block.insns.len() as u32;
        let code = self.backend.compile(t.block);
        let entry = Entry::new(span, (mode, context), t.phys, second, insns, code);
        let (lengths, text) = self.scratch.text(span.len);
        let id = self.cache.insert(entry, lengths, text, pages);
        self.remember(pc, context, id);
        self.stats.translating += self.now() - begun;
        Ok(id)
    }

    /// Arranges that writes to the block's code are seen. Returns its RAM pages.
    fn mark_code(&mut self, t: &translate::Translated) -> [Option<usize>; 2] {
        let core = &mut self.cpu.core;
        let offset = (t.phys & !PAGE_MASK) as usize;
        let first = (t.block.len as usize).min(4096 - offset);
        let second = t.second.map(|second| (second, 0, t.block.len as usize - first));
        [Some((t.phys, offset, first)), second].map(|piece| {
            let (phys, offset, len) = piece?;
            let page = core.phys.page_for_read(phys)?.ram?;
            if !core.phys.has_code(page) {
                core.tlb.protect_page(phys & PAGE_MASK);
            }
            core.phys.mark_code(page, offset, len);
            Some(page)
        })
    }

    /// Throws away the blocks whose code was written. Others of the same page stay, since there are programs that keep what they write
    /// next to their code; but not when the page seems to become another one.
    fn drop_stale(&mut self) {
        let phys = &mut self.cpu.core.phys;
        while let Some(StaleCode { page, offset, size }) = phys.stale_code.pop() {
            let is_all = phys.is_all_code(page);
            let written = (offset.into(), size.into());
            let discarded = if is_all { 0 } else { self.cache.discard_written(page, written) };
            self.stats.discarded += discarded;
            if !is_all && discarded == 0 && self.cache.has_blocks(page) {
                continue;
            }
            let times = if self.rewritten.0 == page { self.rewritten.1 + 1 } else { 1 };
            if is_all || times >= MANY_REWRITES {
                self.rewritten = (page, 0);
                self.stats.discarded += self.cache.discard_page(page);
                phys.clear_code(page);
            } else {
                self.rewritten = (page, times);
                phys.set_code(page, self.cache.marks(page));
            }
        }
        self.disconnect();
    }
}
