//! The software TLB for data: direct-mapped, one array per privilege view, tags for reads and writes kept apart.
//!
//! Which translations it holds is visible to the guest (a page walk sets accessed bits, a stale entry lasts), so it
//! depends on the guest's accesses and flushes alone: never on what was translated or where a run was cut.

use crate::itlb::LargePages;

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Everything but the offset in a page.
pub const PAGE_MASK: u64 = !(PAGE - 1);
/// Entries per view.
pub const ENTRIES: usize = 4096;
/// Number of views (supervisor, user, supervisor with user pages allowed).
pub const VIEWS: usize = 3;

/// A tag that no address in slot `index` has, nor one in the slot after it: that of a page which belongs half the table
/// away. So the distance of an address from it is never that of a byte in a page. And it is that of a page which is not
/// canonical and far from all that are: an access that asks the entry of another slot first does not find it either.
const fn invalid(index: usize) -> u64 {
    1 << 62 | ((index ^ (ENTRIES / 2)) as u64) << 12
}

/// The slot of `addr`.
#[inline(always)]
const fn slot(addr: u64) -> usize {
    (addr >> 12) as usize % ENTRIES
}

// Below the page's physical address, in bits that are free.
const GLOBAL: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const LISTED_LOCAL: u64 = 1 << 2;
const LISTED_GLOBAL: u64 = 1 << 3;
const LISTED: u64 = LISTED_LOCAL | LISTED_GLOBAL;
const SIZE_SHIFT: u32 = 4;
const SIZE: u64 = 63 << SIZE_SHIFT;
/// The host address is the linear page instead: no access may go fast.
const SLOW: u64 = 1 << 10;
/// The page is in [`Tlb::writes`] since writes to it were closed last.
const NOTED: u64 = 1 << 11;

/// In the host address of a slow entry: nobody has used it since [`Tlb::take_accesses`].
const CLOSED: u64 = 1;

/// A linear page that no CPU has: it is not canonical, and its last byte is not the address space's.
const NO_PAGE: u64 = 1 << 62;

/// Linear pages written that are noted before nothing is known of them any more.
const MOST_WRITES: usize = 1 << 16;
/// The same of pages accessed in any way.
const MOST_ACCESSES: usize = 1 << 16;

/// One cached translation. A tag equals the page's linear address when that access needs no slow path.
///
/// Its size is a power of two so that machine code finds it with a shift.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct Entry {
    /// Tag for reads.
    pub read: u64,
    /// Tag for writes (absent while the page is clean, holds code or is watched).
    pub write: u64,
    /// Host address of the page.
    pub host: u64,
    /// Physical address of the page, and flags in the low bits.
    place: u64,
}

impl Entry {
    /// No translation, for slot `index`.
    const fn empty(index: usize) -> Entry {
        let tag = invalid(index);
        Entry { read: tag, write: tag, host: 0, place: 0 }
    }

    /// Reads of the linear page `page` go to host address `host`, physical page `phys`. The guest's page has `page_size`
    /// bytes (a power of two, 4 KiB or more); `writable` when a walk for a write led here.
    #[must_use]
    pub fn new(page: u64, host: u64, phys: u64, page_size: u64, global: bool, writable: bool) -> Self {
        let flags = if global { GLOBAL } else { 0 } | if writable { WRITABLE } else { 0 };
        let size = u64::from(page_size.trailing_zeros()) << SIZE_SHIFT;
        let place = phys & PAGE_MASK | flags | size;
        Self { read: page, write: invalid(slot(page)), host, place }
    }

    /// As [`Entry::new`], of a page that is no memory: every access is the slow path's, but needs no walk.
    #[must_use]
    pub fn slow(page: u64, phys: u64, page_size: u64, global: bool, writable: bool) -> Self {
        let entry = Self::new(page, page, phys, page_size, global, writable);
        Self { read: invalid(slot(page)), place: entry.place | SLOW, ..entry }
    }

    /// Whether it translates the linear page `page`.
    #[inline(always)]
    #[must_use]
    pub fn is_of(&self, page: u64) -> bool {
        self.page() == page
    }

    /// The linear page; nonsense in an entry without a translation.
    #[inline(always)]
    fn page(&self) -> u64 {
        if self.place & SLOW != 0 { self.host & PAGE_MASK } else { self.read }
    }

    /// Whether nobody has used it since [`Tlb::take_accesses`]; every access to its page is slow until
    /// [`Tlb::open_reads`].
    #[inline(always)]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.place & SLOW != 0 && self.host & CLOSED != 0
    }

    /// Makes every access to `page`, which it translates, slow until somebody uses it.
    fn close(&mut self, page: u64) {
        self.point(page, None);
        self.host |= CLOSED;
    }

    /// Host address of `addr`, which lies in this page.
    #[inline(always)]
    #[must_use]
    pub fn host_at(&self, addr: u64) -> usize {
        (self.host + (addr & !PAGE_MASK)) as usize
    }

    /// Physical address of the page.
    #[inline(always)]
    #[must_use]
    pub fn phys(&self) -> u64 {
        self.place & PAGE_MASK
    }

    /// Whether writes were translated too; their tag may be absent all the same.
    #[inline(always)]
    #[must_use]
    pub fn writable(&self) -> bool {
        self.place & WRITABLE != 0
    }

    /// Whether it came from the same page of the guest, of whatever size, as `addr`.
    fn covers(&self, addr: u64) -> bool {
        self.place & SIZE != 0 && (self.page() ^ addr) >> ((self.place & SIZE) >> SIZE_SHIFT) == 0
    }

    /// Lets reads of `page`, which it translates, go fast if there is a host address for that. Writes do not.
    fn point(&mut self, page: u64, host: Option<u64>) {
        let nowhere = invalid(slot(page));
        (self.read, self.host) = host.map_or((nowhere, page), |host| (page, host));
        self.write = nowhere;
        self.place = self.place & !SLOW | if host.is_none() { SLOW } else { 0 };
    }

    fn clear(&mut self, index: usize) {
        *self = Entry { place: self.place & LISTED, ..Entry::empty(index) };
    }
}

/// The translations of a [`Tlb`], without its way to host memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Linear page, physical page with what else is known of it, view.
    pages: Box<[(u64, u64, u8)]>,
    large: LargePages,
}

impl Contents {
    /// Bytes of host memory behind it.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of_val(&*self.pages)
    }
}

/// All views, and lists of the entries that a flush has to visit.
pub struct Tlb {
    views: Vec<[Entry; ENTRIES]>,
    /// Every entry that is not global, and maybe others: those marked so.
    local: Vec<(u8, u16)>,
    /// Every entry that is global, and maybe others: those marked so.
    global: Vec<(u8, u16)>,
    large: LargePages,
    /// Linear pages of which a write was translated since the last [`Tlb::take_writes`], some more than once.
    writes: Vec<u64>,
    /// There were too many.
    overflowed: bool,
    accesses: Accesses,
}

/// Which pages were accessed since [`Tlb::take_accesses`].
#[derive(Default)]
struct Accesses {
    /// Whether anybody wants to know: not before the first call.
    noted: bool,
    /// Linear and physical page, some more than once.
    pages: Vec<(u64, u64)>,
    /// There were too many.
    overflowed: bool,
}

impl Accesses {
    fn note(&mut self, page: u64, phys: u64) {
        if self.overflowed {
            return;
        }
        if self.pages.len() >= MOST_ACCESSES {
            self.pages.sort_unstable();
            self.pages.dedup();
            self.overflowed = self.pages.len() > MOST_ACCESSES / 2;
        }
        self.pages.push((page, phys));
    }
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
        let views = vec![std::array::from_fn(Entry::empty); VIEWS];
        Self {
            views,
            local: Vec::new(),
            global: Vec::new(),
            large: LargePages::default(),
            writes: Vec::new(),
            overflowed: false,
            accesses: Accesses::default(),
        }
    }

    /// The slot that would hold `addr`.
    #[inline(always)]
    #[must_use]
    pub fn entry(&self, view: usize, addr: u64) -> &Entry {
        &self.views[view % VIEWS][slot(addr)]
    }

    /// Address of the first entry of the first view; the views follow each other and never move.
    #[must_use]
    pub fn base(&self) -> usize {
        self.views.as_ptr() as usize
    }

    /// Stores a translation of the page of `addr`.
    pub fn fill(&mut self, view: usize, addr: u64, mut entry: Entry) {
        let (view, index) = (view % VIEWS, slot(addr));
        let slot = &mut self.views[view][index];
        let (list, mark) = if entry.place & GLOBAL == 0 {
            (&mut self.local, LISTED_LOCAL)
        } else {
            (&mut self.global, LISTED_GLOBAL)
        };
        if slot.place & mark == 0 {
            list.push((view as u8, index as u16));
        }
        entry.place |= slot.place & LISTED | mark;
        *slot = entry;
        self.large.add(addr, 1 << ((entry.place & SIZE) >> SIZE_SHIFT));
    }

    /// Gives the writable entry of `addr` its tag for writes.
    pub fn open_writes(&mut self, view: usize, addr: u64) {
        let slot = &mut self.views[view % VIEWS][slot(addr)];
        debug_assert!(slot.writable() && slot.is_of(addr & PAGE_MASK));
        slot.write = addr & PAGE_MASK;
    }

    /// Takes every fast write away; [`Tlb::open_writes`] gives them back one by one.
    pub fn close_writes(&mut self) {
        for &(view, index) in self.local.iter().chain(&self.global) {
            let slot = &mut self.views[view as usize][index as usize];
            slot.write = invalid(index as usize);
            slot.place &= !NOTED;
        }
    }

    /// Notes that a write to `addr` was translated, through the entry for it if that is filled.
    #[inline]
    pub fn note_write(&mut self, view: usize, addr: u64) {
        let slot = &mut self.views[view % VIEWS][slot(addr)];
        if slot.place & NOTED == 0 {
            if slot.is_of(addr & PAGE_MASK) {
                slot.place |= NOTED;
            }
            self.note_page(addr & PAGE_MASK);
        }
    }

    #[cold]
    fn note_page(&mut self, page: u64) {
        if self.overflowed {
            return;
        }
        if self.writes.len() >= MOST_WRITES {
            self.writes.sort_unstable();
            self.writes.dedup();
            // Half of the room, or else this would be done again soon.
            self.overflowed = self.writes.len() > MOST_WRITES / 2;
        }
        self.writes.push(page);
    }

    /// Linear pages of which a write was translated since the last call, ascending; none when there were too many. The caller
    /// has just closed writes, so that the next one to any page is seen again.
    pub fn take_writes(&mut self) -> Option<Vec<u64>> {
        let mut pages = std::mem::take(&mut self.writes);
        if std::mem::take(&mut self.overflowed) {
            return None;
        }
        pages.sort_unstable();
        pages.dedup();
        Some(pages)
    }

    /// Notes that an access to the linear page `page` was translated, to the physical page `phys`.
    #[inline]
    pub fn note_access(&mut self, page: u64, phys: u64) {
        if self.accesses.noted {
            self.accesses.note(page, phys);
        }
    }

    /// Notes that a device has accessed `len` bytes of physical memory at `addr`, which is no access to any linear page.
    pub fn note_physical(&mut self, addr: u64, len: u64) {
        if !self.accesses.noted || len == 0 {
            return;
        }
        let last = addr.saturating_add(len - 1) & PAGE_MASK;
        for page in (addr & PAGE_MASK..=last).step_by(PAGE as usize) {
            self.accesses.note(NO_PAGE, page);
        }
    }

    /// Lets reads go fast through the closed entry of `addr` if there is a host address for that, and notes the access.
    #[cold]
    pub fn open_reads(&mut self, view: usize, addr: u64, host: Option<u64>) {
        let slot = &mut self.views[view % VIEWS][slot(addr)];
        debug_assert!(slot.is_closed() && slot.is_of(addr & PAGE_MASK));
        slot.point(addr & PAGE_MASK, host);
        let phys = slot.phys();
        self.note_access(addr & PAGE_MASK, phys);
    }

    /// Linear and physical pages to which an access was translated since the last call; none when there were too many, or at
    /// the first call. Every entry is closed then, so that the next access to any page is seen again; none is forgotten.
    pub fn take_accesses(&mut self) -> Option<Vec<(u64, u64)>> {
        for &(view, index) in self.local.iter().chain(&self.global) {
            let slot = &mut self.views[view as usize][index as usize];
            if slot.place & SIZE != 0 {
                slot.close(slot.page());
            }
        }
        let were_noted = std::mem::replace(&mut self.accesses.noted, true);
        let mut pages = std::mem::take(&mut self.accesses.pages);
        if std::mem::take(&mut self.accesses.overflowed) || !were_noted {
            return None;
        }
        pages.sort_unstable();
        pages.dedup();
        Some(pages)
    }

    /// Asks again for every translation where its reads may go fast: by linear and physical page, for a host address or not.
    pub fn review(&mut self, mut host: impl FnMut(u64, u64) -> Option<u64>) {
        for &(view, index) in self.local.iter().chain(&self.global) {
            let slot = &mut self.views[view as usize][index as usize];
            if slot.place & SIZE != 0 && !slot.is_closed() {
                slot.point(slot.page(), host(slot.page(), slot.phys()));
            }
        }
    }

    /// Every translation, as far as a guest can tell what they are.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let local = self.local.iter().map(|&(view, index)| (view, index, true));
        // What is in both lists counts once.
        let global = self.global.iter().map(|&(view, index)| (view, index, false));
        let pages = local.chain(global).filter_map(|(view, index, from_local)| {
            let slot = &self.views[view as usize][index as usize];
            let counts = slot.place & SIZE != 0 && (from_local || slot.place & LISTED_LOCAL == 0);
            counts.then(|| (slot.page(), slot.place & !(LISTED | SLOW | NOTED), view))
        });
        Contents { pages: pages.collect(), large: self.large }
    }

    /// Has these translations and no others, all closed.
    pub fn set_contents(&mut self, contents: &Contents) {
        self.flush_all();
        for &(page, place, view) in &contents.pages {
            let mut entry = Entry { place, ..Entry::empty(slot(page)) };
            entry.close(page);
            self.fill(view.into(), page, entry);
        }
        self.large = contents.large;
    }

    /// Forgets every translation.
    pub fn flush_all(&mut self) {
        for (view, index) in self.local.drain(..).chain(self.global.drain(..)) {
            self.views[view as usize][index as usize] = Entry::empty(index as usize);
        }
        self.large = LargePages::default();
    }

    /// Forgets every translation that is not global.
    pub fn flush_local(&mut self) {
        for (view, index) in self.local.drain(..) {
            let slot = &mut self.views[view as usize][index as usize];
            slot.place &= !LISTED_LOCAL;
            if slot.place & GLOBAL == 0 {
                slot.clear(index as usize);
            }
        }
    }

    /// Forgets the page of `addr`, global or not; all of it when it is a large one.
    pub fn flush_page(&mut self, addr: u64) {
        if self.large.may_hold(addr) {
            for &(view, index) in self.local.iter().chain(&self.global) {
                let slot = &mut self.views[view as usize][index as usize];
                if slot.covers(addr) {
                    slot.clear(index as usize);
                }
            }
            return;
        }
        for view in &mut self.views {
            view[slot(addr)].clear(slot(addr));
        }
    }

    /// Takes away fast writes to the physical page at `phys`.
    pub fn protect_page(&mut self, phys: u64) {
        for &(view, index) in self.local.iter().chain(&self.global) {
            let slot = &mut self.views[view as usize][index as usize];
            if slot.phys() == phys & PAGE_MASK {
                slot.write = invalid(index as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(t: &mut Tlb, page: u64, size: u64, global: bool) {
        t.fill(0, page, Entry::new(page, 0x7000_0000, 0x5000, size, global, true));
    }

    fn has(t: &Tlb, page: u64) -> bool {
        t.entry(0, page).read == page
    }

    #[test]
    fn a_cr3_load_spares_global_entries() {
        let mut t = Tlb::new();
        put(&mut t, 0x1000, PAGE, false);
        put(&mut t, 0x2000, PAGE, true);
        // The slot of 0x3000 turns global, that of 0x4000 local.
        put(&mut t, 0x3000, PAGE, false);
        put(&mut t, 0x3000, PAGE, true);
        put(&mut t, 0x4000, PAGE, true);
        put(&mut t, 0x4000, PAGE, false);
        t.flush_local();
        assert_eq!([0x1000, 0x2000, 0x3000, 0x4000].map(|p| has(&t, p)), [false, true, true, false]);
        put(&mut t, 0x3000, PAGE, false);
        t.flush_local();
        assert!(!has(&t, 0x3000) && has(&t, 0x2000));
        put(&mut t, 0x3000, PAGE, false);
        t.flush_all();
        assert!(!has(&t, 0x2000) && !has(&t, 0x3000));
        assert_eq!(t.entry(0, 0x3000).place, 0);
    }

    #[test]
    fn invlpg_drops_all_pieces_of_its_large_page_alone() {
        let mut t = Tlb::new();
        for page in [0x20_0000, 0x2f_f000, 0x40_0000] {
            put(&mut t, page, 1 << 21, true);
        }
        put(&mut t, 0x1000, PAGE, true);
        t.flush_page(0x21_2345);
        let left = [0x20_0000, 0x2f_f000, 0x40_0000, 0x1000].map(|p| has(&t, p));
        assert_eq!(left, [false, false, true, true]);
        t.flush_page(0x1fff);
        assert!(!has(&t, 0x1000));
    }

    #[test]
    fn a_slow_page_is_known_but_not_tagged() {
        let mut t = Tlb::new();
        t.fill(0, 0xb_8000, Entry::slow(0xb_8000, 0xb_8000, PAGE, true, true));
        let e = *t.entry(0, 0xb_8123);
        assert!(e.is_of(0xb_8000) && !e.is_of(0xb_9000));
        assert_eq!([e.read, e.write], [invalid(0xb8); 2]);
        assert_eq!((e.phys(), e.writable()), (0xb_8000, true));
        t.flush_page(0xb_8000);
        assert!(!t.entry(0, 0xb_8000).is_of(0xb_8000));
    }

    #[test]
    fn contents_are_what_was_filled_in_and_nothing_flushed() {
        let mut t = Tlb::new();
        put(&mut t, 0x1000, PAGE, false);
        put(&mut t, 0x1000, PAGE, true);
        put(&mut t, 0x2000, PAGE, false);
        put(&mut t, 0x20_0000, 1 << 21, false);
        t.fill(2, 0xb_8000, Entry::slow(0xb_8000, 0xb_8000, PAGE, true, true));
        t.flush_page(0x2000);
        t.open_writes(0, 0x1000);
        let before = t.contents();
        assert_eq!(before.pages.len(), 3);
        t.flush_all();
        put(&mut t, 0x9000, PAGE, true);
        t.set_contents(&before);
        assert!(!has(&t, 0x9000) && !has(&t, 0x2000) && t.entry(0, 0x1000).is_closed());
        t.open_reads(0, 0x1000, Some(0x1000 | 1 << 40));
        let e = *t.entry(0, 0x1000);
        assert!(e.read == 0x1000 && e.write == invalid(1) && e.writable() && e.host == 0x1000 | 1 << 40);
        assert!(t.entry(2, 0xb_8000).is_of(0xb_8000) && t.entry(2, 0xb_8000).read == invalid(0xb8));
        let mut again = t.contents().pages.to_vec();
        let mut first = before.pages.to_vec();
        again.sort_unstable();
        first.sort_unstable();
        assert_eq!((again, t.large), (first, before.large));
        t.flush_local();
        assert!(has(&t, 0x1000) && !has(&t, 0x20_0000));
    }

    #[test]
    fn a_watched_page_is_slow_and_fast_again() {
        let mut t = Tlb::new();
        put(&mut t, 0x1000, PAGE, false);
        t.open_writes(0, 0x1000);
        t.review(|_, _| None);
        let e = *t.entry(0, 0x1000);
        assert!(e.is_of(0x1000) && e.writable() && [e.read, e.write] == [invalid(1); 2]);
        t.review(|page, phys| Some(page + phys));
        let e = *t.entry(0, 0x1000);
        assert!(e.read == 0x1000 && e.host == 0x6000 && e.write == invalid(1));
    }

    #[test]
    fn an_access_is_seen_once_in_every_stretch() {
        let mut t = Tlb::new();
        let access = |t: &mut Tlb, page: u64| {
            if t.entry(0, page).is_closed() {
                t.open_reads(0, page, Some(0x7000_0000));
            } else if !t.entry(0, page).is_of(page) {
                put(t, page, PAGE, false);
                t.note_access(page, 0x5000);
            }
        };
        access(&mut t, 0x1000);
        assert_eq!(t.take_accesses(), None);
        let before = t.contents();
        for page in [0x1000, 0x2000, 0x1000] {
            access(&mut t, page);
        }
        assert_eq!(t.take_accesses(), Some(vec![(0x1000, 0x5000), (0x2000, 0x5000)]));
        assert_eq!(t.entry(0, 0x1000).read, invalid(1));
        // A look at where reads may go fast is no use of it.
        t.review(|_, _| Some(0x7000_0000));
        assert!(t.entry(0, 0x1000).is_closed());
        access(&mut t, 0x2000);
        assert!(has(&t, 0x2000) && !t.entry(0, 0x2000).is_closed());
        assert_eq!(t.take_accesses(), Some(vec![(0x2000, 0x5000)]));
        t.set_contents(&before);
        access(&mut t, 0x1000);
        assert_eq!(t.take_accesses(), Some(vec![(0x1000, 0x5000)]));
        assert_eq!(t.contents(), before);
        assert_eq!(t.take_accesses(), Some(vec![]));
    }

    #[test]
    fn code_takes_only_the_tag_for_writes() {
        let mut t = Tlb::new();
        put(&mut t, 0x1000, PAGE, false);
        t.open_writes(0, 0x1000);
        assert_eq!(t.entry(0, 0x1000).write, 0x1000);
        t.protect_page(0x5123);
        let e = t.entry(0, 0x1000);
        assert!(e.write == invalid(1) && e.read == 0x1000 && e.writable() && e.phys() == 0x5000);
    }
}
