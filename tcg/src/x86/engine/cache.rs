//! Translated blocks, found by physical address, by recent pc, and by page.

use crate::{
    block::Span,
    itlb::{Itlb, Witness},
    phys::Marks,
    tlb::PAGE,
    x86::{Cpu, mode::Mode, state::seg},
};
use std::collections::BTreeMap;

/// No block.
pub(super) const NONE: u32 = u32::MAX;

/// What a translation depends on besides the bytes and where they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Context {
    mode: u32,
    /// CS's limit and base as far as the mode does not say them.
    limit: u32,
    base: u64,
}

impl Context {
    fn of(cpu: &Cpu, mode: Mode) -> Self {
        let cs = &cpu.sys.segs[seg::CS];
        let limit = if mode.unlimited(seg::CS) { u32::MAX } else { cs.limit };
        let base = if mode.flat(seg::CS) { 0 } else { cs.base };
        Self { mode: mode.0, limit, base }
    }
}

/// The context asked for last at each privilege level, and its number.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known([Option<(Context, u32)>; 4]);

impl Known {
    /// The number of the context that `cpu` is in, if it is known here.
    #[inline]
    pub fn get(&self, cpu: &Cpu, mode: Mode) -> Option<u32> {
        let (last, n) = self.0[usize::from(mode.cpl())]?;
        (last == Context::of(cpu, mode)).then_some(n)
    }
}

/// A constant exit that has been resolved.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// The block it leads to.
    pub id: u32,
    /// What must hold for that block's page; `None` within a page.
    pub witness: Option<Witness>,
}

const UNLINKED: Link = Link { id: NONE, witness: Some(Witness::NEVER) };

/// A block.
pub(super) struct Entry<C> {
    pub span: Span,
    pub mode: Mode,
    pub context: u32,
    phys: u64,
    /// For a block that reaches into a second page: what must hold for that page.
    pub second: Option<Witness>,
    /// Where in [`Cache::texts`] the instructions' lengths are, and their bytes behind them.
    text: u32,
    /// Number of instructions.
    pub insns: u32,
    pub code: C,
    pub links: [Link; 2],
    /// The blocks that machine code goes on with by itself.
    pub connected: [u32; 2],
    pub live: bool,
    /// Exits (block and slot) that may be connected to this block.
    pub incoming: Vec<(u32, u8)>,
    next_in_bucket: u32,
}

impl<C> Entry<C> {
    pub fn new(
        span: Span,
        (mode, context): (Mode, u32),
        phys: u64,
        second: Option<Witness>,
        insns: u32,
        code: C,
    ) -> Self {
        Self {
            span,
            mode,
            context,
            phys,
            second,
            text: 0,
            insns,
            code,
            links: [UNLINKED; 2],
            connected: [NONE; 2],
            live: true,
            incoming: Vec::new(),
            next_in_bucket: NONE,
        }
    }

    /// A link from here to block `id` at `pc`, which was just found.
    pub fn link_to(&self, id: u32, pc: u64, itlb: &Itlb) -> Link {
        Link { id, witness: self.span.slot_to_check(pc).map(|slot| itlb.witness(slot)) }
    }
}

/// A block that was found by pc. Machine code reads this table: see the JIT's lookup.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Recent {
    pub pc: u64,
    /// Address of its machine code, or zero.
    pub code: u64,
    /// What must hold for its page.
    pub witness: Witness,
    pub context: u32,
    pub id: u32,
}

impl Recent {
    /// Entries of the table.
    pub const SLOTS: usize = 32768;
    /// A pc's slot is what this shift of it and itself have different, as far as there are slots.
    pub const HASH_SHIFT: u8 = 13;
}

/// More bytes than any block's code has.
const LONGEST: u64 = 4096;
const BUCKETS: usize = 1 << 18;
const NEVER: Recent = Recent { pc: 0, code: 0, witness: Witness::NEVER, context: 0, id: NONE };

/// All blocks.
pub(super) struct Cache<C> {
    pub blocks: Vec<Entry<C>>,
    /// Linear address of every block, in the order of `blocks`.
    starts: Vec<u64>,
    recent: Vec<Recent>,
    /// First block of each bucket, or [`NONE`].
    buckets: Vec<u32>,
    contexts: BTreeMap<Context, u32>,
    known: Known,
    /// What the blocks were made from: for each the lengths of its instructions, then their bytes.
    texts: Vec<u8>,
    /// Blocks by RAM page, grown as pages get code.
    pages: Vec<Vec<u32>>,
    live: usize,
    /// Blocks discarded whose incoming links are still in the machine code.
    pub dead: Vec<u32>,
    /// Grows whenever all ids become invalid.
    pub epoch: u64,
}

impl<C> Cache<C> {
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            starts: Vec::new(),
            recent: vec![NEVER; Recent::SLOTS],
            buckets: vec![NONE; BUCKETS],
            contexts: BTreeMap::new(),
            known: Known::default(),
            texts: Vec::new(),
            pages: Vec::new(),
            live: 0,
            dead: Vec::new(),
            epoch: 0,
        }
    }

    /// Number of blocks that can be found.
    pub fn live(&self) -> usize {
        self.live
    }

    pub fn clear(&mut self) {
        self.blocks.clear();
        self.starts.clear();
        self.recent.fill(NEVER);
        self.buckets.fill(NONE);
        self.contexts.clear();
        self.known = Known::default();
        self.texts.clear();
        self.pages.clear();
        self.live = 0;
        self.dead.clear();
        self.epoch += 1;
    }

    /// The number that stands for everything `mode` and CS say.
    #[inline]
    pub fn context(&mut self, cpu: &Cpu, mode: Mode) -> u32 {
        if let Some(n) = self.known.get(cpu, mode) {
            return n;
        }
        let context = Context::of(cpu, mode);
        let next = self.contexts.len() as u32;
        let n = *self.contexts.entry(context).or_insert(next);
        self.known.0[usize::from(mode.cpl())] = Some((context, n));
        n
    }

    /// Address of the contexts asked for last.
    pub fn known_contexts(&self) -> usize {
        &raw const self.known as usize
    }

    /// The block at `pc`, if it was found there lately and still is there.
    #[inline]
    pub fn recent(&self, pc: u64, context: u32, itlb: &Itlb) -> Option<u32> {
        let r = &self.recent[recent_slot(pc)];
        (r.pc == pc && r.context == context && itlb.holds(r.witness) && self.second_holds(r.id, itlb))
            .then_some(r.id)
    }

    /// Whether the second page of block `id`, if it reaches into one, is what it was.
    #[inline]
    pub fn second_holds(&self, id: u32, itlb: &Itlb) -> bool {
        self.blocks[id as usize].second.is_none_or(|w| itlb.holds(w))
    }

    /// Block `id` was found at `pc`; its machine code is at `code`, or has none.
    pub fn remember(&mut self, pc: u64, context: u32, witness: Witness, id: u32, code: u64) {
        self.recent[recent_slot(pc)] = Recent { pc, code, witness, context, id };
    }

    /// Address of the table of recent blocks.
    pub fn recent_table(&self) -> usize {
        self.recent.as_ptr() as usize
    }

    /// Tells machine code where block `id` is, if it is the recent one for its pc.
    pub fn offer(&mut self, id: u32, code: u64) {
        let r = &mut self.recent[recent_slot(self.blocks[id as usize].span.pc)];
        if r.id == id {
            r.code = code;
        }
    }

    /// All machine code has gone.
    pub fn withdraw(&mut self) {
        for r in &mut self.recent {
            r.code = 0;
        }
        for b in &mut self.blocks {
            b.connected = [NONE; 2];
            b.incoming.clear();
        }
    }

    pub fn by_phys(&self, phys: u64, pc: u64, context: u32) -> Option<u32> {
        let mut at = self.buckets[bucket(phys, context)];
        while at != NONE {
            let b = &self.blocks[at as usize];
            if b.phys == phys && b.span.pc == pc && b.context == context {
                return Some(at);
            }
            at = b.next_in_bucket;
        }
        None
    }

    /// pc of instruction `n` of block `id`, or of what follows the block.
    pub fn pc_of(&self, id: u32, n: usize) -> u64 {
        let b = &self.blocks[id as usize];
        let lengths = &self.texts[b.text as usize..][..b.insns as usize];
        let offset: u64 = lengths.iter().take(n).map(|&len| u64::from(len)).sum();
        b.span.pc.wrapping_add(offset) & (u64::MAX >> (64 - b.mode.code_bits()))
    }

    /// The bytes that block `id` was made from.
    pub fn text(&self, id: u32) -> &[u8] {
        let b = &self.blocks[id as usize];
        &self.texts[(b.text + b.insns) as usize..][..b.span.len as usize]
    }

    /// Adds a block made from `code`, of instructions as long as `lengths`, which lies in RAM pages `pages`.
    pub fn insert(
        &mut self,
        mut entry: Entry<C>,
        lengths: impl Iterator<Item = u8>,
        code: &[u8],
        pages: [Option<usize>; 2],
    ) -> u32 {
        let id = self.blocks.len() as u32;
        entry.text = self.texts.len() as u32;
        self.texts.extend(lengths);
        self.texts.extend_from_slice(code);
        let slot = &mut self.buckets[bucket(entry.phys, entry.context)];
        entry.next_in_bucket = std::mem::replace(slot, id);
        self.starts.push(entry.span.linear);
        self.blocks.push(entry);
        for page in pages.into_iter().flatten() {
            if self.pages.len() <= page {
                self.pages.resize_with(page + 1, Vec::new);
            }
            self.pages[page].push(id);
        }
        self.live += 1;
        id
    }

    /// The blocks that have the linear address `addr` in them.
    pub fn containing(&self, addr: u64) -> Vec<u32> {
        let within = |id: &usize| {
            let b = &self.blocks[*id];
            b.live && addr.wrapping_sub(b.span.linear) & b.span.wrap < u64::from(b.span.len)
        };
        // Most are told apart by the addresses alone. One that begins near the end of a narrower address space may wrap.
        let near = |start: &u64| addr.wrapping_sub(*start) & 0xffff_ffff < LONGEST;
        let candidates = self.starts.iter().enumerate().filter(|(_, start)| near(start)).map(|(id, _)| id);
        candidates.filter(within).map(|id| id as u32).collect()
    }

    /// Makes block `id` impossible to find or follow.
    pub fn discard(&mut self, id: u32) {
        let b = &mut self.blocks[id as usize];
        if !std::mem::replace(&mut b.live, false) {
            return;
        }
        self.dead.push(id);
        let r = &mut self.recent[recent_slot(b.span.pc)];
        if r.id == id {
            *r = NEVER;
        }
        self.live -= 1;
        let next = b.next_in_bucket;
        let slot = bucket(b.phys, b.context);
        if self.buckets[slot] == id {
            self.buckets[slot] = next;
            return;
        }
        let mut at = self.buckets[slot];
        while at != NONE {
            let before = &mut self.blocks[at as usize];
            at = before.next_in_bucket;
            if at == id {
                before.next_in_bucket = next;
            }
        }
    }

    /// Discards the blocks made from any of the `size` bytes at `offset` of RAM page `page`; a block of two pages counts as if both were
    /// this one. Returns how many.
    pub fn discard_written(&mut self, page: usize, (offset, size): (usize, usize)) -> u64 {
        let Some(mut ids) = self.pages.get_mut(page).map(std::mem::take) else { return 0 };
        let mut discarded = 0;
        ids.retain(|&id| {
            let block = &self.blocks[id as usize];
            let is_written = |(start, len)| len != 0 && start < offset + size && offset < start + len;
            if block.live && block.pieces().into_iter().any(is_written) {
                self.discard(id);
                discarded += 1;
            }
            self.blocks[id as usize].live
        });
        self.pages[page] = ids;
        discarded
    }

    /// Whether there may be blocks in RAM page `page`.
    pub fn has_blocks(&self, page: usize) -> bool {
        self.pages.get(page).is_some_and(|ids| !ids.is_empty())
    }

    /// Which granules of RAM page `page` blocks are made from.
    pub fn marks(&self, page: usize) -> Marks {
        let mut marks = Marks::default();
        for &id in self.pages.get(page).into_iter().flatten() {
            let block = &self.blocks[id as usize];
            for (offset, len) in block.pieces().into_iter().filter(|(_, len)| block.live && *len != 0) {
                marks.add(offset, len);
            }
        }
        marks
    }

    /// Discards every block with code in RAM page `page`. Returns how many.
    pub fn discard_page(&mut self, page: usize) -> u64 {
        let Some(ids) = self.pages.get_mut(page).map(std::mem::take) else { return 0 };
        for &id in &ids {
            self.discard(id);
        }
        ids.len() as u64
    }
}

impl<C> Entry<C> {
    /// Where in a RAM page the block lies, by offset and length: in its first page, and, maybe, at the beginning of its second.
    fn pieces(&self) -> [(usize, usize); 2] {
        let offset = (self.phys % PAGE) as usize;
        let len = self.span.len as usize;
        let first = len.min(PAGE as usize - offset);
        [(offset, first), (0, len - first)]
    }
}

fn recent_slot(pc: u64) -> usize {
    ((pc ^ pc >> Recent::HASH_SHIFT) as usize) % Recent::SLOTS
}

fn bucket(phys: u64, context: u32) -> usize {
    let h = (phys ^ u64::from(context) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (h >> 40) as usize % BUCKETS
}
