//! Guest-physical memory as the CPU sees it: RAM, firmware windows, and everything else (devices).
//!
//! One of the files that may use `unsafe`: host addresses of RAM are resolved once, here.

use crate::tlb::PAGE;
use std::collections::BTreeSet;
use std::ops::Range;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// What one direction of a window leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// The RAM at the same address.
    Ram,
    /// The RAM from this address on.
    Alias(u64),
    /// Firmware bytes, from this offset of the image on.
    Rom(usize),
    /// A device (or nothing).
    Device,
}

/// A range that differs from plain RAM, in whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Where reads and fetches go.
    pub read: Backing,
    /// Where writes go.
    pub write: Backing,
}

#[derive(Clone, Copy)]
struct Region {
    start: u64,
    len: u64,
    host: usize,
    first_page: usize,
}

/// The physical address space.
pub struct PhysMap {
    /// What keeps the host addresses in `regions` mapped.
    #[allow(dead_code, reason = "held, not read")]
    memory: GuestMemoryMmap,
    rom: Box<[Granule]>,
    regions: Vec<Region>,
    windows: Vec<Window>,
    /// RAM that no window touches, longest piece first: the answer to nearly every question.
    plain: Vec<Region>,
    /// ANDed to every physical address (A20 gate).
    pub a20_mask: u64,
    /// Per RAM page: which 64-byte granules hold translated code.
    code: Vec<u64>,
    /// Per RAM page: written since the last [`PhysMap::take_dirty`], and since the last [`PhysMap::take_written`]. All of
    /// them at first.
    marks: Vec<u8>,
    /// The pages marked as [`WRITTEN`], in any order.
    written: Vec<usize>,
    /// The pages marked as [`LATELY`], in any order.
    lately: Vec<usize>,
    /// Where code was written, or what shares a granule with it: blocks made from these bytes must go.
    pub stale_code: Vec<StaleCode>,
    /// How often written pages were taken: from then on, writes count anew.
    pub takes: u64,
    /// How often a page began or ceased to hold translated code.
    pub code_changes: u64,
    /// RAM pages that somebody has looked at as code, and that nothing was written to since.
    intact: BTreeSet<usize>,
}

/// Which granules of a page hold translated code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u64);

impl Marks {
    /// Marks `size` bytes from `offset` on.
    pub fn add(&mut self, offset: usize, size: usize) {
        self.0 |= granules(offset, size);
    }
}

/// Bytes of a RAM page that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleCode {
    /// The page.
    pub page: usize,
    /// The first byte.
    pub offset: u16,
    /// Number of bytes.
    pub size: u16,
}

/// Written since the last [`PhysMap::take_dirty`].
const DIRTY: u8 = 1;
/// Written since the last [`PhysMap::take_written`].
const WRITTEN: u8 = 2;

/// Written since the last [`PhysMap::take_lately`].
const LATELY: u8 = 4;

const ALL: u8 = DIRTY | WRITTEN | LATELY;
/// Bytes in a granule of [`PhysMap::code`].
const GRANULE: usize = 64;

/// Sixteen bytes of firmware, aligned so that machine code's vector operands are where the guest's are.
#[repr(C, align(16))]
struct Granule([u8; 16]);

impl Granule {
    fn new(bytes: &[u8]) -> Self {
        let mut all = [0; 16];
        all[..bytes.len()].copy_from_slice(bytes);
        Self(all)
    }
}

/// Where a physical page is in host memory.
#[derive(Clone, Copy, Debug)]
pub struct HostPage {
    /// Host address of the page.
    pub host: usize,
    /// RAM page number, when it is RAM.
    pub ram: Option<usize>,
}

impl PhysMap {
    /// Maps `memory` with no windows; `rom` is the firmware image that [`Backing::Rom`] refers to (may be empty).
    #[must_use]
    pub fn new(memory: GuestMemoryMmap, rom: Vec<u8>) -> Self {
        let mut regions = Vec::new();
        let mut first_page = 0;
        for r in memory.iter() {
            let start = r.start_addr();
            let host = memory.get_host_address(start).map_or(0, |p| p as usize);
            regions.push(Region { start: start.raw_value(), len: r.len(), host, first_page });
            first_page += (r.len() / PAGE) as usize;
        }
        Self {
            memory,
            rom: rom.chunks(16).map(Granule::new).collect(),
            plain: plain_pieces(&regions, &[]),
            regions,
            windows: Vec::new(),
            a20_mask: u64::MAX,
            code: vec![0; first_page],
            marks: vec![ALL; first_page],
            written: (0..first_page).collect(),
            lately: Vec::new(),
            stale_code: Vec::new(),
            takes: 0,
            code_changes: 0,
            intact: BTreeSet::new(),
        }
    }

    /// Says that all RAM is zero but for the pages that `written` touches (physical addresses): those alone count as
    /// written for the first [`PhysMap::take_dirty`] and [`PhysMap::take_written`].
    pub fn zero_but(&mut self, written: &[Range<u64>]) {
        self.marks.fill(0);
        self.written.clear();
        let mut pages = Vec::new();
        for r in &self.regions {
            for w in written {
                let (start, end) = (w.start.max(r.start), w.end.min(r.start + r.len));
                if start < end {
                    let page = |at: u64| r.first_page + ((at - r.start) / PAGE) as usize;
                    pages.extend(page(start)..=page(end - 1));
                }
            }
        }
        for page in pages {
            self.mark_dirty(page);
        }
    }

    /// First address, bytes and host address of each piece of RAM.
    pub fn ram(&self) -> impl Iterator<Item = (u64, u64, usize)> {
        self.regions.iter().map(|r| (r.start, r.len, r.host))
    }

    /// Number of RAM pages; page numbers run through all RAM regions in address order.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.code.len()
    }

    /// Replaces the windows. The caller flushes TLB and blocks.
    pub fn set_windows(&mut self, windows: Vec<Window>) {
        self.plain = plain_pieces(&self.regions, &windows);
        self.windows = windows;
    }

    /// The page of `addr` for reading (or fetching); `None` when a device answers.
    #[inline]
    #[must_use]
    pub fn page_for_read(&self, addr: u64) -> Option<HostPage> {
        self.page(addr, false)
    }

    /// The page of `addr` for writing; `None` when a device answers.
    #[inline]
    #[must_use]
    pub fn page_for_write(&self, addr: u64) -> Option<HostPage> {
        self.page(addr, true)
    }

    #[inline]
    fn page(&self, addr: u64, write: bool) -> Option<HostPage> {
        let addr = addr & !(PAGE - 1);
        for r in &self.plain {
            let into = addr.wrapping_sub(r.start);
            if into < r.len {
                let ram = Some(r.first_page + (into / PAGE) as usize);
                return Some(HostPage { host: r.host + into as usize, ram });
            }
        }
        self.windowed_page(addr, write)
    }

    #[cold]
    fn windowed_page(&self, addr: u64, write: bool) -> Option<HostPage> {
        let backing = self
            .windows
            .iter()
            .find(|w| w.start <= addr && addr < w.end)
            .map_or((Backing::Ram, 0), |w| (if write { w.write } else { w.read }, addr - w.start));
        match backing {
            (Backing::Device, _) => None,
            (Backing::Rom(offset), into) => {
                let at = offset + into as usize;
                let page = self.rom.get(at / 16..(at + PAGE as usize) / 16)?;
                (!write).then_some(HostPage { host: page.as_ptr() as usize + at % 16, ram: None })
            }
            (Backing::Ram, _) => self.ram_page(addr),
            (Backing::Alias(start), into) => self.ram_page(start + into),
        }
    }

    fn ram_page(&self, addr: u64) -> Option<HostPage> {
        let r = self.regions.iter().find(|r| addr.wrapping_sub(r.start) < r.len)?;
        let into = addr - r.start;
        Some(HostPage { host: r.host + into as usize, ram: Some(r.first_page + (into / PAGE) as usize) })
    }

    /// Physical address of RAM page `page`.
    #[must_use]
    pub fn page_address(&self, page: usize) -> u64 {
        let r = self.regions.iter().rev().find(|r| r.first_page <= page);
        r.map_or(0, |r| r.start + (page - r.first_page) as u64 * PAGE)
    }

    /// The bytes of RAM page `page`, copied.
    ///
    /// # Panics
    /// When there is no such page.
    #[must_use]
    pub fn page_bytes(&self, page: usize) -> &[u8; PAGE as usize] {
        assert!(page < self.pages());
        let addr = self.page_address(page);
        let r = self.regions.iter().rev().find(|r| r.start <= addr).expect("page numbers lie in a region");
        // SAFETY: the page lies in the region, which `memory` keeps mapped as long as `self`; nothing else runs on it.
        unsafe { &*((r.host + (addr - r.start) as usize) as *const [u8; PAGE as usize]) }
    }

    /// Overwrites RAM page `page`, whatever window lies over it. Code and marks follow as far as bytes differ.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn set_page(&mut self, page: usize, bytes: &[u8; PAGE as usize]) {
        if self.page_bytes(page) == bytes {
            return;
        }
        let host = std::ptr::from_ref(self.page_bytes(page)) as usize;
        for (n, new) in bytes.as_chunks::<GRANULE>().0.iter().enumerate() {
            let offset = n * GRANULE;
            if self.page_bytes(page)[offset..offset + GRANULE] != *new {
                self.note_write(page, offset, GRANULE);
                copy_host(host + offset, new.as_ptr() as usize, GRANULE);
            }
        }
    }

    /// Overwrites `bytes.len()` bytes of RAM page `page` from `offset` on; code and marks follow.
    ///
    /// # Panics
    /// When there is no such page, or the bytes go beyond its end.
    pub fn set_bytes(&mut self, page: usize, offset: usize, bytes: &[u8]) {
        let mut whole = *self.page_bytes(page);
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.set_page(page, &whole);
    }

    /// Reads `size` bytes (1, 2, 4, 8; not crossing a page) from RAM or ROM; `None` for a device.
    #[inline]
    #[must_use]
    pub fn read(&self, addr: u64, size: usize) -> Option<u64> {
        let addr = addr & self.a20_mask;
        let page = self.page_for_read(addr)?;
        let offset = (addr % PAGE) as usize;
        debug_assert!(offset + size <= PAGE as usize);
        Some(read_host(page.host + offset, size))
    }

    /// Appends `len` bytes at `addr` (not crossing a page) to `out`; device space reads as 0xFF.
    pub fn copy_out(&self, addr: u64, len: usize, out: &mut Vec<u8>) {
        let addr = addr & self.a20_mask;
        let start = out.len();
        out.resize(start + len, 0xff);
        if let Some(page) = self.page_for_read(addr) {
            copy_host(out[start..].as_mut_ptr() as usize, page.host + (addr % PAGE) as usize, len);
        }
    }

    /// Fills `bytes` from physical address `addr` on, not crossing a page. Returns how many bytes there are: all, or none
    /// where a device is.
    pub fn copy_to(&self, addr: u64, bytes: &mut [u8]) -> usize {
        let offset = (addr % PAGE) as usize;
        debug_assert!(offset + bytes.len() <= PAGE as usize);
        let Some(page) = self.page_for_read(addr) else { return 0 };
        copy_host(bytes.as_mut_ptr() as usize, page.host + offset, bytes.len());
        bytes.len()
    }

    /// Writes `size` bytes (1, 2, 4, 8; not crossing a page) to RAM; `false` for a device.
    #[inline]
    pub fn write(&mut self, addr: u64, size: usize, value: u64) -> bool {
        self.write_ram(addr & self.a20_mask, size, value)
    }

    fn write_ram(&mut self, addr: u64, size: usize, value: u64) -> bool {
        let Some(page) = self.page_for_write(addr) else { return false };
        let offset = (addr % PAGE) as usize;
        debug_assert!(offset + size <= PAGE as usize);
        if let Some(ram) = page.ram {
            self.note_write(ram, offset, size);
        }
        write_host(page.host + offset, size, value);
        true
    }

    /// Writes `bytes` to RAM at physical address `addr`, not crossing a page; they count as written if they are the same,
    /// too. False where there is no RAM.
    pub fn store(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let offset = (addr % PAGE) as usize;
        debug_assert!(offset + bytes.len() <= PAGE as usize);
        let Some(HostPage { host, ram: Some(ram) }) = self.page_for_write(addr) else { return false };
        self.note_write(ram, offset, bytes.len());
        copy_host(host + offset, bytes.as_ptr() as usize, bytes.len());
        true
    }

    /// Records that bytes of RAM page `page` change: dirty, and stale when they were translated.
    pub fn note_write(&mut self, page: usize, offset: usize, size: usize) {
        self.mark_dirty(page);
        if self.code[page] & granules(offset, size) != 0 {
            self.stale_code.push(StaleCode { page, offset: offset as u16, size: size as u16 });
        }
    }

    /// The host's address of what the CPU reads at physical address `addr`, as long as no window changes.
    #[must_use]
    pub fn host_address(&self, addr: u64) -> Option<usize> {
        let addr = addr & self.a20_mask;
        self.page_for_read(addr).map(|page| page.host + (addr % PAGE) as usize)
    }

    /// Whether any code was translated from RAM page `page`.
    #[must_use]
    pub fn has_code(&self, page: usize) -> bool {
        self.code[page] != 0
    }

    /// Marks bytes of RAM page `page` as translated.
    pub fn mark_code(&mut self, page: usize, offset: usize, size: usize) {
        self.code_changes += u64::from(self.code[page] == 0);
        self.code[page] |= granules(offset, size);
    }

    /// Marks RAM page `page` as code, whatever is translated of it: a write anywhere in it is noticed.
    pub fn mark_intact(&mut self, page: usize) {
        self.mark_code(page, 0, PAGE as usize);
        self.intact.insert(page);
    }

    /// Whether nothing was written to RAM page `page` since [`PhysMap::mark_intact`].
    #[must_use]
    pub fn is_intact(&self, page: usize) -> bool {
        self.intact.contains(&page)
    }

    /// Whether all of RAM page `page` is marked, maybe by somebody who wants to hear of any write to it.
    #[must_use]
    pub fn is_all_code(&self, page: usize) -> bool {
        self.code[page] == u64::MAX
    }

    /// Forgets that RAM page `page` holds code.
    pub fn clear_code(&mut self, page: usize) {
        self.intact.remove(&page);
        self.set_code(page, Marks::default());
    }

    /// Replaces what is known of code in RAM page `page`.
    pub fn set_code(&mut self, page: usize, marks: Marks) {
        self.code_changes += u64::from((self.code[page] == 0) != (marks.0 == 0));
        self.code[page] = marks.0;
    }

    /// Marks RAM page `page` as written.
    #[inline]
    pub fn mark_dirty(&mut self, page: usize) {
        if self.marks[page] != ALL {
            self.mark_anew(page);
        }
    }

    #[cold]
    fn mark_anew(&mut self, page: usize) {
        if self.marks[page] & WRITTEN == 0 {
            self.written.push(page);
        }
        if self.marks[page] & LATELY == 0 {
            self.lately.push(page);
        }
        self.marks[page] = ALL;
    }

    /// Pages written since the last call, in order. The caller flushes the TLB, so that the next
    /// write to any page is seen again.
    pub fn take_dirty(&mut self) -> Vec<usize> {
        self.takes += 1;
        let mut pages = Vec::new();
        for (page, marks) in self.marks.iter_mut().enumerate() {
            if *marks & DIRTY != 0 {
                *marks &= !DIRTY;
                pages.push(page);
            }
        }
        pages
    }

    /// RAM pages written since the last call, in any order; at the first call those since it. Takes nothing from the others
    /// and does not count as a taking. The caller takes away the permission to write them unnoticed.
    pub fn take_lately(&mut self) -> Vec<usize> {
        if self.marks.first().is_some_and(|marks| marks & LATELY != 0) && self.lately.is_empty() {
            self.marks.iter_mut().for_each(|marks| *marks &= !LATELY);
        }
        let pages = std::mem::take(&mut self.lately);
        for &page in &pages {
            self.marks[page] &= !LATELY;
        }
        pages
    }

    /// As [`PhysMap::take_dirty`], for somebody else: neither call takes anything from the other. The caller takes away the
    /// TLB's fast writes.
    pub fn take_written(&mut self) -> Vec<usize> {
        self.takes += 1;
        let mut pages = std::mem::take(&mut self.written);
        pages.sort_unstable();
        for &page in &pages {
            self.marks[page] &= !WRITTEN;
        }
        pages
    }
}

/// The parts of `regions` outside every window, longest first.
fn plain_pieces(regions: &[Region], windows: &[Window]) -> Vec<Region> {
    let mut pieces = regions.to_vec();
    for w in windows {
        let mut rest = Vec::new();
        for r in pieces {
            let end = r.start + r.len;
            let mut keep = |start: u64, end: u64| {
                if start < end {
                    let into = start - r.start;
                    let first_page = r.first_page + (into / PAGE) as usize;
                    rest.push(Region { start, len: end - start, host: r.host + into as usize, first_page });
                }
            };
            keep(r.start, end.min(w.start));
            keep(r.start.max(w.end), end);
        }
        pieces = rest;
    }
    pieces.sort_by_key(|r| std::cmp::Reverse(r.len));
    pieces
}

fn granules(offset: usize, size: usize) -> u64 {
    let first = offset / GRANULE;
    let last = ((offset + size.max(1) - 1) / GRANULE).min(63);
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}

/// Reads 1, 2, 4 or 8 bytes at a host address obtained from a [`HostPage`] of a live [`PhysMap`].
#[inline(always)]
pub(crate) fn read_host(host: usize, size: usize) -> u64 {
    // SAFETY: callers stay within a page that the PhysMap resolved; any alignment is allowed.
    unsafe {
        match size {
            1 => u64::from((host as *const u8).read_unaligned()),
            2 => u64::from((host as *const u16).read_unaligned()),
            4 => u64::from((host as *const u32).read_unaligned()),
            _ => (host as *const u64).read_unaligned(),
        }
    }
}

/// Writes 1, 2, 4 or 8 bytes at a host address obtained from a writable [`HostPage`] of a live [`PhysMap`].
#[inline(always)]
pub(crate) fn write_host(host: usize, size: usize, value: u64) {
    // SAFETY: as in read_host, and the page was resolved for writing.
    unsafe {
        match size {
            1 => (host as *mut u8).write_unaligned(value as u8),
            2 => (host as *mut u16).write_unaligned(value as u16),
            4 => (host as *mut u32).write_unaligned(value as u32),
            _ => (host as *mut u64).write_unaligned(value),
        }
    }
}

/// Copies between host addresses obtained from [`HostPage`]s of a live [`PhysMap`]; front to back.
#[inline]
pub(crate) fn copy_host(to: usize, from: usize, len: usize) {
    // SAFETY: callers stay within pages that the PhysMap resolved, `to` writable; `ptr::copy` allows overlap.
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, len) }
}

/// Stores `n` times `value` from a host address on that was obtained from a writable [`HostPage`] of a live [`PhysMap`].
#[inline]
pub(crate) fn fill_host<T: Copy>(to: usize, value: T, n: usize) {
    let to = to as *mut T;
    for i in 0..n {
        // SAFETY: callers stay within a page that the PhysMap resolved for writing; any alignment is allowed.
        unsafe { to.add(i).write_unaligned(value) };
    }
}
