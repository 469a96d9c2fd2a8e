//! The TLB for instruction fetches. Each of its slots shows a token that stands for one pair of linear and physical page.
//!
//! Links between blocks, and the table of recent blocks, remember tokens: as long as a slot shows the token, what was
//! found by it is still there, whatever was flushed and filled again in between.
//!
//! Which slots are filled is visible to the guest, as fetching through an empty one walks the page tables. The rule is
//! the same in every back end: **while a page's code runs, its slot is filled.** Only a transfer to another page may fill
//! a slot (an instruction that straddles two pages is a block of its own, and transfers to both), the slot of an adjacent
//! page is another one, and whatever flushes ends its block. So a transfer within a page needs no check, and looking for
//! the page's translation again, where a run happens to be cut, never walks.
//!
//! It also knows which pages have run. A slot may be covered: it is filled, but shows nothing, so that the next transfer to
//! its page asks, is noted, and uncovers it without a walk.

use crate::tlb::{PAGE, PAGE_MASK};
use std::collections::BTreeSet;

/// Slots per view.
pub const SLOTS: usize = 1024;
/// Number of views (supervisor, user).
pub const VIEWS: usize = 2;
/// A token that no slot ever shows.
pub const NEVER: u32 = u32::MAX;

/// Pairs that have tokens before it is better to start over.
const MOST_PAIRS: usize = 1 << 17;

/// A slot and the token it showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Witness {
    /// Index in [`Itlb::tokens`].
    pub slot: u32,
    /// What it showed.
    pub token: u32,
}

impl Witness {
    /// Holds never.
    pub const NEVER: Witness = Witness { slot: 0, token: NEVER };
}

/// What a filled slot translates.
#[derive(Clone, Copy)]
struct Place {
    page: u64,
    phys: u64,
    /// log2 of the guest's page size.
    size: u8,
    global: bool,
    /// In [`Itlb::local`].
    listed: bool,
    /// Filled, though it shows no token.
    covered: bool,
}

const NOWHERE: Place = Place { page: 0, phys: 0, size: 12, global: false, listed: false, covered: false };

/// What a slot translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filled {
    slot: u16,
    page: u64,
    phys: u64,
    size: u8,
    global: bool,
}

/// The translations of an [`Itlb`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Every filled slot, ascending.
    pages: Box<[Filled]>,
    large: LargePages,
}

impl Contents {
    /// Bytes of host memory behind it.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of_val(&*self.pages)
    }
}

/// The instruction TLB: direct-mapped, one view after the other.
pub struct Itlb {
    /// What each slot shows; 0 when it is empty. Machine code reads this.
    tokens: [u32; SLOTS * VIEWS],
    places: Vec<Place>,
    /// Every filled slot that is not global, and maybe others.
    local: Vec<u16>,
    large: LargePages,
    pairs: Pairs,
    /// Whether any slot may be covered.
    covers: bool,
    /// Linear pages that have run since the last [`Itlb::take_executed`], each pair with a token once.
    executed: Vec<u64>,
    /// Linear pages of instructions that have faulted since then: where the fetch itself did, no pair says so.
    faulted: BTreeSet<u64>,
    /// The tokens of those pairs, one bit each.
    noted: Vec<u64>,
}

impl Default for Itlb {
    fn default() -> Self {
        Self::new()
    }
}

impl Itlb {
    /// An empty TLB.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tokens: [0; SLOTS * VIEWS],
            places: vec![NOWHERE; SLOTS * VIEWS],
            local: Vec::new(),
            large: LargePages::default(),
            pairs: Pairs::default(),
            covers: false,
            executed: Vec::new(),
            faulted: BTreeSet::new(),
            noted: Vec::new(),
        }
    }

    /// Bytes from the start of this value to the token of slot 0; tokens are 32 bits wide.
    pub const TOKENS: usize = std::mem::offset_of!(Itlb, tokens);

    /// The slot for linear address `addr` in `view`.
    #[inline(always)]
    #[must_use]
    pub const fn slot(view: usize, addr: u64) -> u32 {
        ((view % VIEWS) * SLOTS + (addr >> 12) as usize % SLOTS) as u32
    }

    /// Physical address of `addr`, when `slot`, which is the one for it, holds its page.
    #[inline]
    #[must_use]
    pub fn get(&mut self, slot: u32, addr: u64) -> Option<u64> {
        let place = &self.places[slot as usize];
        if place.page != addr & PAGE_MASK || self.tokens[slot as usize] == 0 && !place.covered {
            return None;
        }
        let phys = place.phys;
        if place.covered {
            self.show(slot);
        }
        Some(phys | addr & !PAGE_MASK)
    }

    /// Lets a filled slot show its token; its page runs.
    fn show(&mut self, slot: u32) {
        let place = &mut self.places[slot as usize];
        place.covered = false;
        let token = self.pairs.token(place.page, place.phys);
        self.tokens[slot as usize] = token;
        let (word, bit) = (token as usize / 64, 1 << (token % 64));
        if self.noted.len() <= word {
            self.noted.resize(word + 1, 0);
        }
        if self.noted[word] & bit == 0 {
            self.noted[word] |= bit;
            self.executed.push(place.page);
        }
    }

    /// Says that the instruction at linear address `addr` has faulted.
    pub fn note_fault(&mut self, addr: u64) {
        self.faulted.insert(addr & PAGE_MASK);
    }

    /// Linear pages of which an instruction was looked for since the last call, ascending. What a guest sees does not change.
    pub fn take_executed(&mut self) -> Vec<u64> {
        self.noted.fill(0);
        self.covers = true;
        for (place, token) in self.places.iter_mut().zip(&mut self.tokens) {
            place.covered |= *token != 0;
            *token = 0;
        }
        let mut pages = std::mem::take(&mut self.executed);
        pages.extend(std::mem::take(&mut self.faulted));
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// Every translation.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let filled = self.places.iter().zip(&self.tokens).enumerate();
        let pages =
            filled.filter(|(_, (place, token))| **token != 0 || place.covered).map(|(slot, (p, _))| Filled {
                slot: slot as u16,
                page: p.page,
                phys: p.phys,
                size: p.size,
                global: p.global,
            });
        Contents { pages: pages.collect(), large: self.large }
    }

    /// Has these translations and no others, all of them covered: no page has run.
    pub fn set_contents(&mut self, contents: &Contents) {
        self.flush_all();
        self.covers = true;
        for &Filled { slot, page, phys, size, global } in &contents.pages {
            if !global {
                self.local.push(slot);
            }
            self.places[usize::from(slot)] =
                Place { page, phys, size, global, listed: !global, covered: true };
        }
        self.large = contents.large;
    }

    /// What `slot` shows now.
    #[must_use]
    pub fn witness(&self, slot: u32) -> Witness {
        Witness { slot, token: self.tokens[slot as usize] }
    }

    /// Whether the slot still (or again) shows what it did.
    #[inline(always)]
    #[must_use]
    pub fn holds(&self, w: Witness) -> bool {
        self.tokens[w.slot as usize % (SLOTS * VIEWS)] == w.token
    }

    /// Stores the translation of the page of `addr`, which has `page_size` bytes in the guest, to `phys`.
    pub fn fill(&mut self, slot: u32, addr: u64, phys: u64, page_size: u64, global: bool) {
        let place = &mut self.places[slot as usize];
        let listed = place.listed || !global;
        if listed && !place.listed {
            self.local.push(slot as u16);
        }
        let (page, phys, size) = (addr & PAGE_MASK, phys & PAGE_MASK, page_size.trailing_zeros() as u8);
        *place = Place { page, phys, size, global, listed, covered: true };
        self.show(slot);
        self.large.add(addr, page_size);
    }

    /// Forgets every translation.
    pub fn flush_all(&mut self) {
        self.tokens.fill(0);
        for slot in self.local.drain(..) {
            self.places[slot as usize].listed = false;
        }
        if std::mem::take(&mut self.covers) {
            for place in &mut self.places {
                place.covered = false;
            }
        }
        self.large = LargePages::default();
    }

    /// Forgets every translation that is not global.
    pub fn flush_local(&mut self) {
        for slot in self.local.drain(..) {
            let place = &mut self.places[slot as usize];
            place.listed = false;
            if !place.global {
                place.covered = false;
                self.tokens[slot as usize] = 0;
            }
        }
    }

    /// Forgets the page of `addr`, global or not; all of it when it is a large one.
    pub fn flush_page(&mut self, addr: u64) {
        if self.large.may_hold(addr) {
            for (place, token) in self.places.iter_mut().zip(&mut self.tokens) {
                if (place.page ^ addr) >> place.size == 0 {
                    place.covered = false;
                    *token = 0;
                }
            }
            return;
        }
        for view in 0..VIEWS {
            let slot = Self::slot(view, addr) as usize;
            self.places[slot].covered = false;
            self.tokens[slot] = 0;
        }
    }

    /// Whether so many pairs have tokens that [`Itlb::renumber`] is due.
    #[must_use]
    pub fn crowded(&self) -> bool {
        self.pairs.len >= MOST_PAIRS
    }

    /// Gives out tokens anew. What is translated stays, but no witness is of any use any more.
    pub fn renumber(&mut self) {
        self.pairs = Pairs::default();
        self.noted.clear();
        self.executed.sort_unstable();
        self.executed.dedup();
        for slot in 0..self.tokens.len() {
            if self.tokens[slot] != 0 {
                self.show(slot as u32);
            }
        }
    }
}

/// One aligned region around every large page seen: INVLPG outside it concerns one slot only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LargePages(Option<(u64, u64)>);

impl LargePages {
    /// Takes in the page of `addr`, if it is a large one.
    #[inline]
    pub fn add(&mut self, addr: u64, page_size: u64) {
        if page_size <= PAGE || self.may_hold(addr) {
            return;
        }
        let mut mask = !(page_size - 1);
        if let Some((base, old)) = self.0 {
            mask &= old;
            while (base ^ addr) & mask != 0 {
                mask <<= 1;
            }
        }
        self.0 = Some((addr & mask, mask));
    }

    /// Whether `addr` may lie in one.
    #[inline]
    pub fn may_hold(&self, addr: u64) -> bool {
        self.0.is_some_and(|(base, mask)| addr & mask == base)
    }
}

/// Tokens by pair: open addressing, linear probing, never more than half full.
#[derive(Default)]
struct Pairs {
    /// (linear page, physical page, token); token 0 is a free place.
    table: Vec<(u64, u64, u32)>,
    len: usize,
}

impl Pairs {
    /// The token of a pair, the same for as long as the table lives.
    fn token(&mut self, page: u64, phys: u64) -> u32 {
        if 2 * self.len >= self.table.len() {
            self.grow();
        }
        let at = self.place(page, phys);
        if self.table[at].2 == 0 {
            self.len += 1;
            self.table[at] = (page, phys, self.len as u32);
        }
        self.table[at].2
    }

    /// Where the pair is or would go.
    fn place(&self, page: u64, phys: u64) -> usize {
        let mask = self.table.len() - 1;
        let mixed = (page ^ phys.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut at = (mixed >> 32) as usize & mask;
        while self.table[at].2 != 0 && (self.table[at].0, self.table[at].1) != (page, phys) {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let size = (2 * self.table.len()).max(1024);
        let old = std::mem::replace(&mut self.table, vec![(0, 0, 0); size]);
        for pair in old.into_iter().filter(|p| p.2 != 0) {
            let at = self.place(pair.0, pair.1);
            self.table[at] = pair;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(t: &mut Itlb, addr: u64, phys: u64, size: u64, global: bool) -> Witness {
        let slot = Itlb::slot(0, addr);
        t.fill(slot, addr, phys, size, global);
        t.witness(slot)
    }

    #[test]
    fn pages_that_ran_are_noted_once_and_nothing_is_forgotten() {
        let mut t = Itlb::new();
        let w = fill(&mut t, 0x5000, 0x9000, PAGE, false);
        let other = fill(&mut t, 0x4000, 0x8000, PAGE, true);
        t.flush_page(0x5000);
        fill(&mut t, 0x5000, 0x9000, PAGE, false);
        let before = t.contents();
        assert_eq!(t.take_executed(), [0x4000, 0x5000]);
        assert!(!t.holds(w) && t.contents() == before);
        assert_eq!(t.get(w.slot, 0x5123), Some(0x9123));
        assert!(t.holds(w) && !t.holds(other));
        assert_eq!(t.take_executed(), [0x5000]);
        assert!(t.take_executed().is_empty());
        t.note_fault(0x7ffe);
        assert_eq!(t.take_executed(), [0x7000]);
        assert!(t.take_executed().is_empty());
        // A covered slot is flushed like any other.
        t.flush_local();
        assert!(t.get(w.slot, 0x5000).is_none() && t.get(other.slot, 0x4000).is_some());
        t.flush_all();
        t.set_contents(&before);
        assert!(!t.holds(w) && t.get(w.slot, 0x5000).is_some() && t.holds(w));
        t.flush_local();
        assert!(t.get(w.slot, 0x5000).is_none());
    }

    #[test]
    fn a_pair_keeps_its_token_over_flushes() {
        let mut t = Itlb::new();
        let w = fill(&mut t, 0x1234, 0x9000, PAGE, false);
        assert_eq!(t.get(w.slot, 0x1abc), Some(0x9abc));
        assert!(t.holds(w));
        t.flush_local();
        assert!(!t.holds(w) && t.get(w.slot, 0x1000).is_none());
        // Another physical page, then the first again.
        assert_ne!(fill(&mut t, 0x1000, 0xa000, PAGE, false), w);
        assert!(!t.holds(w));
        assert_eq!(fill(&mut t, 0x1000, 0x9000, PAGE, true), w);
        assert!(t.holds(w));
        // Another linear page in the same slot.
        let other = fill(&mut t, 0x1000 + SLOTS as u64 * PAGE, 0x9000, PAGE, false);
        assert!(other.slot == w.slot && !t.holds(w) && t.get(w.slot, 0x1000).is_none());
    }

    #[test]
    fn global_slots_survive_a_cr3_load_only() {
        let mut t = Itlb::new();
        let global = fill(&mut t, 0x1000, 0x9000, PAGE, true);
        let turned = fill(&mut t, 0x2000, 0x9000, PAGE, false);
        fill(&mut t, 0x2000, 0x9000, PAGE, true);
        t.flush_local();
        assert!(t.holds(global) && t.holds(turned));
        fill(&mut t, 0x2000, 0x9000, PAGE, false);
        t.flush_local();
        assert!(t.holds(global) && !t.holds(turned));
        t.flush_page(0x1fff);
        assert!(!t.holds(global));
    }

    #[test]
    fn invlpg_drops_all_pieces_of_its_large_page_alone() {
        let mut t = Itlb::new();
        let pieces = [0x20_0000, 0x2f_f000, 0x40_0000].map(|a| fill(&mut t, a, a, 1 << 21, true));
        let small = fill(&mut t, 0x1000, 0x1000, PAGE, true);
        t.flush_page(0x21_2345);
        assert_eq!(pieces.map(|w| t.holds(w)), [false, false, true]);
        assert!(t.holds(small));
        t.flush_all();
        assert!(!t.holds(small) && !t.holds(pieces[2]));
    }

    #[test]
    fn renumbering_keeps_translations() {
        let mut t = Itlb::new();
        for n in 0..MOST_PAIRS as u64 - 1 {
            fill(&mut t, 0x1000, n << 12, PAGE, false);
        }
        assert!(!t.crowded());
        let w = fill(&mut t, 0x5000, 0x1_0000_0000, PAGE, false);
        assert!(t.crowded());
        t.renumber();
        assert!(!t.crowded() && !t.holds(w));
        assert_eq!(t.get(w.slot, 0x5008), Some(0x1_0000_0008));
        assert_eq!(t.get(Itlb::slot(0, 0x6000), 0x6000), None);
    }
}
