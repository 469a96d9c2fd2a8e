//! Translated blocks, found by physical address, by recent pc, and by page.

use crate::x86::mode::Mode;

/// A direct exit that has been resolved; good while the TLB's generation is the same.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub generation: u64,
    pub id: u32,
}

const UNLINKED: Link = Link { generation: u64::MAX, id: 0 };

/// A block.
pub(super) struct Entry<C> {
    pc: u64,
    mode: Mode,
    phys: u64,
    /// Physical page of its last byte, when that is another page.
    pub second: Option<u64>,
    offsets: Box<[u32]>,
    len: u32,
    /// Number of instructions.
    pub insns: u32,
    pub code: C,
    pub links: [Link; 2],
    pub live: bool,
    /// Exits (block and slot) that lead here by a link.
    pub incoming: Vec<(u32, u8)>,
    next_in_bucket: Option<u32>,
}

impl<C> Entry<C> {
    pub fn new(
        pc: u64,
        mode: Mode,
        phys: u64,
        second: Option<u64>,
        offsets: Box<[u32]>,
        len: u32,
        code: C,
    ) -> Self {
        Self {
            pc,
            mode,
            phys,
            second,
            insns: offsets.len() as u32,
            offsets,
            len,
            code,
            links: [UNLINKED; 2],
            live: true,
            incoming: Vec::new(),
            next_in_bucket: None,
        }
    }

    /// pc of instruction `n`, or of what follows the block.
    pub fn pc_of(&self, n: usize) -> u64 {
        let offset = self.offsets.get(n).copied().unwrap_or(self.len);
        self.pc.wrapping_add(u64::from(offset)) & (u64::MAX >> (64 - self.mode.code_bits()))
    }
}

/// A block that was found by pc. Machine code reads this table: see the JIT's lookup.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Recent {
    pub pc: u64,
    pub generation: u64,
    /// Address of its machine code, or zero.
    pub code: u64,
    pub mode: Mode,
    pub id: u32,
}

impl Recent {
    /// Entries of the table.
    pub const SLOTS: usize = 8192;
}

const BUCKETS: usize = 1 << 16;
const NEVER: Recent = Recent { pc: 0, generation: u64::MAX, code: 0, mode: Mode(0), id: 0 };

/// All blocks.
pub(super) struct Cache<C> {
    pub blocks: Vec<Entry<C>>,
    recent: Vec<Recent>,
    buckets: Vec<Option<u32>>,
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
            recent: vec![NEVER; Recent::SLOTS],
            buckets: vec![None; BUCKETS],
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
        self.recent.fill(NEVER);
        self.buckets.fill(None);
        self.pages.clear();
        self.live = 0;
        self.dead.clear();
        self.epoch += 1;
    }

    #[inline]
    pub fn recent(&self, pc: u64, mode: Mode, generation: u64) -> Option<u32> {
        let r = &self.recent[recent_slot(pc)];
        (r.pc == pc && r.generation == generation && r.mode == mode && self.blocks[r.id as usize].live)
            .then_some(r.id)
    }

    pub fn remember(&mut self, pc: u64, mode: Mode, generation: u64, id: u32) {
        self.recent[recent_slot(pc)] = Recent { pc, generation, code: 0, mode, id };
    }

    /// Address of the table of recent blocks.
    pub fn recent_table(&self) -> usize {
        self.recent.as_ptr() as usize
    }

    /// Tells machine code where block `id` is, if it is the recent one for its pc.
    pub fn offer(&mut self, id: u32, code: u64) {
        let r = &mut self.recent[recent_slot(self.blocks[id as usize].pc)];
        if r.id == id {
            r.code = code;
        }
    }

    /// Machine code has moved or gone.
    pub fn withdraw(&mut self) {
        for r in &mut self.recent {
            r.code = 0;
        }
    }

    pub fn by_phys(&self, phys: u64, pc: u64, mode: Mode) -> Option<u32> {
        let mut at = self.buckets[bucket(phys, mode)];
        while let Some(id) = at {
            let b = &self.blocks[id as usize];
            if b.phys == phys && b.pc == pc && b.mode == mode {
                return Some(id);
            }
            at = b.next_in_bucket;
        }
        None
    }

    /// Adds a block whose code lies in RAM pages `pages`.
    pub fn insert(&mut self, mut entry: Entry<C>, pages: &[usize]) -> u32 {
        let id = self.blocks.len() as u32;
        let slot = &mut self.buckets[bucket(entry.phys, entry.mode)];
        entry.next_in_bucket = slot.replace(id);
        self.blocks.push(entry);
        for &page in pages {
            if self.pages.len() <= page {
                self.pages.resize_with(page + 1, Vec::new);
            }
            self.pages[page].push(id);
        }
        self.live += 1;
        id
    }

    /// Makes block `id` impossible to find or follow.
    pub fn discard(&mut self, id: u32) {
        let b = &mut self.blocks[id as usize];
        if !std::mem::replace(&mut b.live, false) {
            return;
        }
        self.dead.push(id);
        let r = &mut self.recent[recent_slot(b.pc)];
        if r.id == id {
            r.code = 0;
        }
        self.live -= 1;
        let next = b.next_in_bucket.take();
        let slot = bucket(b.phys, b.mode);
        if self.buckets[slot] == Some(id) {
            self.buckets[slot] = next;
            return;
        }
        let mut at = self.buckets[slot];
        while let Some(i) = at {
            at = self.blocks[i as usize].next_in_bucket;
            if at == Some(id) {
                self.blocks[i as usize].next_in_bucket = next;
                return;
            }
        }
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

fn recent_slot(pc: u64) -> usize {
    ((pc ^ pc >> 13) as usize) % Recent::SLOTS
}

fn bucket(phys: u64, mode: Mode) -> usize {
    let h = (phys ^ u64::from(mode.0) << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (h >> 48) as usize % BUCKETS
}
