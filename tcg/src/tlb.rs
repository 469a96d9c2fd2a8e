//! The software TLB: direct-mapped, one array per privilege view, tags for read, write and execute kept apart.

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Everything but the offset in a page.
pub const PAGE_MASK: u64 = !(PAGE - 1);
/// Entries per view.
pub const ENTRIES: usize = 1024;
/// Number of views (supervisor, user, supervisor with user pages allowed).
pub const VIEWS: usize = 3;

const INVALID: u64 = u64::MAX;

/// One cached translation. A tag equals the page's linear address when that access needs no slow path.
///
/// Its size is a power of two so that machine code finds it with a shift.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Entry {
    /// Tag for reads.
    pub read: u64,
    /// Tag for writes (absent while the page is clean, holds code or is watched).
    pub write: u64,
    /// Tag for instruction fetch.
    pub exec: u64,
    /// Host address minus linear address, wrapping.
    pub addend: u64,
    /// Physical address of the page.
    pub phys: u64,
    /// Global translation: survives a CR3 load.
    pub global: bool,
    listed: bool,
}

impl Entry {
    /// No translation; fill in what is allowed.
    pub const EMPTY: Entry = Entry {
        read: INVALID,
        write: INVALID,
        exec: INVALID,
        addend: 0,
        phys: 0,
        global: false,
        listed: false,
    };

    fn clear(&mut self) {
        *self = Entry { listed: self.listed, ..Entry::EMPTY };
    }
}

/// All views, and the list of filled entries that a flush has to visit.
pub struct Tlb {
    views: Vec<[Entry; ENTRIES]>,
    filled: Vec<(u8, u16)>,
    large: Option<(u64, u64)>,
    /// Grows at every change that may remap code: caches of translated addresses compare it.
    pub generation: u64,
}

impl Default for Tlb {
    fn default() -> Self {
        Self::new()
    }
}

impl Tlb {
    /// An empty TLB.
    #[must_use]
    pub fn new() -> Self {
        Self { views: vec![[Entry::EMPTY; ENTRIES]; VIEWS], filled: Vec::new(), large: None, generation: 0 }
    }

    /// The slot that would hold `addr`.
    #[inline(always)]
    #[must_use]
    pub fn entry(&self, view: usize, addr: u64) -> &Entry {
        &self.views[view % VIEWS][(addr >> 12) as usize % ENTRIES]
    }

    /// Address of the first entry of the first view; the views follow each other and never move.
    #[must_use]
    pub fn base(&self) -> usize {
        self.views.as_ptr() as usize
    }

    /// Stores a translation of the page of `addr`; `page_size` is the size of the guest's page (4 KiB or more).
    pub fn fill(&mut self, view: usize, addr: u64, page_size: u64, mut entry: Entry) {
        let index = (addr >> 12) as usize % ENTRIES;
        let slot = &mut self.views[view % VIEWS][index];
        if !slot.listed {
            self.filled.push((view as u8, index as u16));
        }
        entry.listed = true;
        *slot = entry;
        if page_size > PAGE {
            self.cover_large(addr, page_size);
        }
    }

    /// Keeps one aligned region that covers every large page seen, so that INVLPG inside it drops all its pieces.
    fn cover_large(&mut self, addr: u64, page_size: u64) {
        let mut mask = !(page_size - 1);
        if let Some((base, old)) = self.large {
            mask &= old;
            while (base ^ addr) & mask != 0 {
                mask <<= 1;
            }
        }
        self.large = Some((addr & mask, mask));
    }

    /// Forgets every translation.
    pub fn flush_all(&mut self) {
        for (view, index) in self.filled.drain(..) {
            self.views[view as usize][index as usize] = Entry::EMPTY;
        }
        self.large = None;
        self.generation += 1;
    }

    /// Forgets every translation that is not global.
    pub fn flush_local(&mut self) {
        let views = &mut self.views;
        self.filled.retain(|&(view, index)| {
            let slot = &mut views[view as usize][index as usize];
            if !slot.global {
                *slot = Entry::EMPTY;
            }
            slot.global
        });
        self.generation += 1;
    }

    /// Forgets the page of `addr`, global or not.
    pub fn flush_page(&mut self, addr: u64) {
        if self.large.is_some_and(|(base, mask)| addr & mask == base) {
            return self.flush_all();
        }
        for view in &mut self.views {
            view[(addr >> 12) as usize % ENTRIES].clear();
        }
        self.generation += 1;
    }

    /// Takes away fast writes to the physical page at `phys`.
    pub fn protect_page(&mut self, phys: u64) {
        for &(view, index) in &self.filled {
            let slot = &mut self.views[view as usize][index as usize];
            if slot.phys == phys & PAGE_MASK {
                slot.write = INVALID;
            }
        }
    }
}
