//! Memory as an instruction's semantics see it: linear addresses, a privilege, faults.

use super::{
    cpu::{Cpu, view},
    exception::Exception,
    state::{bits, seg},
    system::paging::{self, Access},
};
use crate::{
    Bus, Width,
    core::Core,
    guest::Guest,
    ir::Size,
    itlb::Itlb,
    mem,
    observer::Observer,
    phys::PhysMap,
    tlb::{self, Entry, PAGE, PAGE_MASK},
};

impl Guest for Cpu {
    type Fault = Exception;

    #[inline(always)]
    fn core(&self) -> &Core {
        &self.core
    }
    #[inline(always)]
    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }
    #[cold]
    fn load_slow(&mut self, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<u64, Exception> {
        self.core.slow.data += 1;
        self.check_alignment(addr, size)?;
        let v = self.load_view(bus, self.core.mmu, addr, size)?;
        self.note_data_access(addr, size, false);
        Ok(v)
    }
    #[cold]
    fn load_for_write_slow(&mut self, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<u64, Exception> {
        self.core.slow.data += 1;
        self.check_alignment(addr, size)?;
        let view = self.core.mmu;
        let last = addr.wrapping_add(u64::from(size.bytes()) - 1);
        self.translate(view, addr, Access::Write)?;
        if (addr ^ last) & PAGE_MASK != 0 {
            self.translate(view, last & PAGE_MASK, Access::Write)?;
        }
        self.load_view(bus, view, addr, size)
    }
    #[cold]
    fn store_slow(&mut self, bus: &mut dyn Bus, addr: u64, size: Size, value: u64) -> Result<(), Exception> {
        self.core.slow.data += 1;
        self.check_alignment(addr, size)?;
        self.store_view(bus, self.core.mmu, addr, size, value)?;
        self.note_data_access(addr, size, true);
        Ok(())
    }
    fn bad_target(&self, _: u64) -> Exception {
        Exception::GP0
    }
    fn set_fault(&mut self, fault: Exception) {
        self.fault = Some(fault);
    }
}

impl Cpu {
    /// Loads at the current privilege.
    ///
    /// # Errors
    /// #PF, #GP(0) for a non-canonical address, #AC.
    #[inline]
    pub fn load_linear(&mut self, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<u64, Exception> {
        match size {
            Size::B => mem::load::<_, 1>(self, bus, addr),
            Size::W => mem::load::<_, 2>(self, bus, addr),
            Size::D => mem::load::<_, 4>(self, bus, addr),
            Size::Q => mem::load::<_, 8>(self, bus, addr),
        }
    }

    /// Stores at the current privilege.
    ///
    /// # Errors
    /// As [`Cpu::load_linear`]; memory is then unchanged.
    #[inline]
    pub fn store_linear(
        &mut self,
        bus: &mut dyn Bus,
        addr: u64,
        size: Size,
        v: u64,
    ) -> Result<(), Exception> {
        match size {
            Size::B => mem::store::<_, 1>(self, bus, addr, v),
            Size::W => mem::store::<_, 2>(self, bus, addr, v),
            Size::D => mem::store::<_, 4>(self, bus, addr, v),
            Size::Q => mem::store::<_, 8>(self, bus, addr, v),
        }
    }

    /// Checks that `len` bytes at `addr` can be written at the current privilege, so that stores there cannot fault.
    ///
    /// # Errors
    /// What a store would raise.
    pub fn probe_write(&mut self, addr: u64, len: u64) -> Result<(), Exception> {
        let view = self.core.mmu;
        let mut page = addr & PAGE_MASK;
        self.translate(view, addr, Access::Write)?;
        while (page ^ addr.wrapping_add(len - 1)) & PAGE_MASK != 0 {
            page = page.wrapping_add(PAGE);
            self.translate(view, page, Access::Write)?;
        }
        Ok(())
    }

    /// Loads through TLB view `view` (see [`view`]); the privileged structures (GDT, TSS, IDT) use `view::SUPERVISOR`.
    ///
    /// # Errors
    /// #PF; #GP(0) (or #SS(0) from the caller's point of view) for a non-canonical address.
    pub fn load_view(
        &mut self,
        bus: &mut dyn Bus,
        view: usize,
        addr: u64,
        size: Size,
    ) -> Result<u64, Exception> {
        let bytes = u64::from(size.bytes());
        let offset = addr & !PAGE_MASK;
        if offset + bytes <= PAGE {
            let phys = self.translate(view, addr, Access::Read)?;
            self.observe(addr, phys, bytes, false);
            return Ok(self.load_phys(bus, phys, size));
        }
        let first = self.translate(view, addr, Access::Read)?;
        let second = self.translate(view, (addr | !PAGE_MASK).wrapping_add(1), Access::Read)?;
        let split = PAGE - offset;
        self.observe(addr, first, split, false);
        self.observe(addr.wrapping_add(split), second, bytes - split, false);
        let mut v = 0;
        for i in 0..bytes {
            let p = if i < split { first + i } else { second + i - split };
            v |= self.load_phys(bus, p, Size::B) << (8 * i);
        }
        Ok(v)
    }

    /// Stores through TLB view `view`.
    ///
    /// # Errors
    /// As [`Cpu::load_view`]; memory is then unchanged.
    pub fn store_view(
        &mut self,
        bus: &mut dyn Bus,
        view: usize,
        addr: u64,
        size: Size,
        value: u64,
    ) -> Result<(), Exception> {
        let bytes = u64::from(size.bytes());
        let offset = addr & !PAGE_MASK;
        if offset + bytes <= PAGE {
            let phys = self.translate(view, addr, Access::Write)?;
            self.observe(addr, phys, bytes, true);
            self.store_phys(bus, phys, size, value);
            return Ok(());
        }
        let first = self.translate(view, addr, Access::Write)?;
        let second = self.translate(view, (addr | !PAGE_MASK).wrapping_add(1), Access::Write)?;
        let split = PAGE - offset;
        self.observe(addr, first, split, true);
        self.observe(addr.wrapping_add(split), second, bytes - split, true);
        for i in 0..bytes {
            let p = if i < split { first + i } else { second + i - split };
            self.store_phys(bus, p, Size::B, value >> (8 * i));
        }
        Ok(())
    }

    /// The view instruction fetches use: one of [`view::SUPERVISOR`] and [`view::USER`].
    #[must_use]
    pub fn fetch_view(&self) -> usize {
        if self.cpl() == 3 { view::USER } else { view::SUPERVISOR }
    }

    /// Translates linear address `addr` for an instruction fetch at the current privilege, filling the instruction TLB.
    /// Returns the physical address.
    ///
    /// # Errors
    /// #PF, or [`Exception::NonCanonical`].
    pub fn translate_fetch(&mut self, addr: u64) -> Result<u64, Exception> {
        let view = self.fetch_view();
        let slot = Itlb::slot(view, addr);
        self.core.slow.fetches += 1;
        if let Some(phys) = self.core.itlb.get(slot, addr) {
            return Ok(phys);
        }
        if self.sys.code64() && (addr as i64) << 16 >> 16 != addr as i64 {
            return Err(Exception::NonCanonical { addr });
        }
        self.core.slow.fetch_walks += 1;
        let t = paging::walk(self, view, addr, Access::Execute)?;
        let phys = t.phys & self.core.phys.a20_mask;
        self.note_walk(view, addr);
        self.core.itlb.fill(slot, addr, phys, t.page_size, t.global);
        Ok(phys)
    }

    /// Translates a data address for `access` in `view`, filling the TLB when RAM is behind it. Returns the physical address.
    ///
    /// # Errors
    /// #PF, or [`Exception::NonCanonical`].
    pub fn translate(&mut self, view: usize, addr: u64, access: Access) -> Result<u64, Exception> {
        debug_assert!(access != Access::Execute);
        let e = self.core.tlb.entry(view, addr);
        if e.is_of(addr & PAGE_MASK) && (access == Access::Read || e.writable()) {
            let phys = e.phys() | addr & !PAGE_MASK;
            if e.is_closed() {
                self.open_reads(view, addr, phys);
            }
            let e = self.core.tlb.entry(view, addr);
            if access == Access::Write && e.write != addr & PAGE_MASK {
                self.core.tlb.note_write(view, addr);
                self.open_writes(view, addr);
            }
            return Ok(phys);
        }
        if self.sys.code64() && (addr as i64) << 16 >> 16 != addr as i64 {
            return Err(Exception::NonCanonical { addr });
        }
        self.core.slow.data_walks += 1;
        let t = paging::walk(self, view, addr, access)?;
        let phys = t.phys & self.core.phys.a20_mask;
        self.note_walk(view, addr);
        self.core.tlb.note_access(addr & PAGE_MASK, phys & PAGE_MASK);
        self.fill(view, addr, phys, access == Access::Write, &t);
        if access == Access::Write {
            self.core.tlb.note_write(view, addr);
        }
        Ok(phys)
    }

    fn note_walk(&mut self, view: usize, addr: u64) {
        if self.core.rings.counted && view == view::USER {
            self.core.walked.note(addr);
        }
    }

    fn fill(&mut self, view: usize, addr: u64, phys: u64, writable: bool, t: &paging::Translation) {
        let page = addr & PAGE_MASK;
        if self.watches_page(page) {
            return;
        }
        let entry = match fast_reads(&self.core.phys, &self.core.observer, page, phys) {
            Some(host) => Entry::new(page, host, phys, t.page_size, t.global, writable),
            None => Entry::slow(page, phys, t.page_size, t.global, writable),
        };
        self.core.tlb.fill(view, addr, entry);
        if writable {
            self.open_writes(view, addr);
        }
    }

    /// Lets reads of a translated page go fast that nobody has used for a while, unless an observer watches it.
    #[cold]
    fn open_reads(&mut self, view: usize, addr: u64, phys: u64) {
        let Core { phys: map, observer, tlb, .. } = &mut self.core;
        tlb.open_reads(view, addr, fast_reads(map, observer, addr & PAGE_MASK, phys));
    }

    /// Lets writes to a translated page go fast, unless somebody has to see them: its reads lead elsewhere, it holds code, or
    /// an observer watches it.
    fn open_writes(&mut self, view: usize, addr: u64) {
        let phys = self.core.tlb.entry(view, addr).phys();
        if self.core.observer.watches_any(addr, phys) {
            return;
        }
        let (read, write) = (self.core.phys.page_for_read(phys), self.core.phys.page_for_write(phys));
        if let (Some(r), Some(w)) = (read, write)
            && r.host == w.host
            && let Some(page) = w.ram.filter(|&p| !self.core.phys.has_code(p))
        {
            self.core.phys.mark_dirty(page);
            self.core.tlb.open_writes(view, addr);
        }
    }

    /// Gives every translation the fast ways that it may have now that other memory is watched, and only those. What is
    /// translated stays as it is.
    pub fn review_watches(&mut self) {
        let Core { phys, observer, tlb, .. } = &mut self.core;
        tlb.review(|page, at| fast_reads(phys, observer, page, at));
    }

    /// Puts saved translations into the data TLB.
    pub(super) fn set_data_translations(&mut self, contents: &tlb::Contents) {
        self.core.tlb.set_contents(contents);
    }

    /// Shows an access to the observer: `len` bytes of one page at linear address `addr`.
    #[inline(always)]
    pub(super) fn observe(&mut self, addr: u64, phys: u64, len: u64, write: bool) {
        if self.core.observer.watches() {
            self.note_observed(Some(addr), phys, len, write);
        }
    }

    /// As [`Cpu::observe`], of an access that has no linear address: a walk's.
    #[inline(always)]
    pub(super) fn observe_physical(&mut self, phys: u64, len: u64) {
        if self.core.observer.watches() {
            self.note_observed(None, phys & self.core.phys.a20_mask, len, true);
        }
    }

    #[cold]
    fn note_observed(&mut self, linear: Option<u64>, phys: u64, len: u64, write: bool) {
        // The instruction is then the last of the run.
        self.core.leave |= self.core.observer.note(self.core.now(), linear, phys, len, write);
    }

    /// Reads physical memory or a device; within one page.
    pub fn load_phys(&mut self, bus: &mut dyn Bus, phys: u64, size: Size) -> u64 {
        let bytes = size.bytes() as usize;
        if let Some(v) = self.core.phys.read(phys, bytes) {
            return v;
        }
        let at = self.core.now();
        let v = bus_pieces(phys, bytes)
            .fold(0, |v, (addr, shift, width)| v | bus.mmio_read(at, addr, width) << shift);
        self.core.leave |= bus.attention();
        v
    }

    /// Writes physical memory or a device; within one page.
    pub fn store_phys(&mut self, bus: &mut dyn Bus, phys: u64, size: Size, value: u64) {
        let bytes = size.bytes() as usize;
        if self.core.phys.write(phys, bytes, value) {
            self.core.leave |= !self.core.phys.stale_code.is_empty();
            return;
        }
        let at = self.core.now();
        for (addr, shift, width) in bus_pieces(phys, bytes) {
            bus.mmio_write(at, addr, width, value >> shift & (u64::MAX >> (64 - 8 * width.bytes())));
        }
        self.core.leave |= bus.attention();
    }

    /// Whether data accesses may have to be looked at one by one: breakpoints, alignment.
    pub(super) fn watches_accesses(&self) -> bool {
        self.sys.dr7 & 0xff != 0 || self.checks_alignment()
    }

    fn checks_alignment(&self) -> bool {
        self.sys.eflags & bits::AC != 0 && self.sys.cr0 & bits::CR0_AM != 0 && self.cpl() == 3
    }

    fn check_alignment(&self, addr: u64, size: Size) -> Result<(), Exception> {
        if self.checks_alignment() && addr & (u64::from(size.bytes()) - 1) != 0 {
            return Err(Exception::AlignmentCheck);
        }
        Ok(())
    }

    /// Whether accesses to the page at `page` must take the slow path: a data breakpoint (DR7) may lie in it, or ring 3
    /// has alignment checks on.
    fn watches_page(&self, page: u64) -> bool {
        self.checks_alignment()
            || self.sys.dr7 & 0xff != 0
                && (0..4).any(|n| {
                    self.sys.dr7 >> (2 * n) & 3 != 0 && (self.sys.dr[n as usize] ^ page) & PAGE_MASK == 0
                })
    }

    /// Notes the data breakpoints an access hits; they trap at the end of the instruction (SDM volume 3, 17.3.1.2).
    fn note_data_access(&mut self, addr: u64, size: Size, write: bool) {
        if self.sys.dr7 & 0xff == 0 {
            return;
        }
        for n in 0..4 {
            let enabled = self.sys.dr7 >> (2 * n) & 3 != 0;
            let kind = self.sys.dr7 >> (16 + 4 * n) & 3;
            let len = [1, 2, 8, 4][(self.sys.dr7 >> (18 + 4 * n) & 3) as usize];
            let start = self.sys.dr[n] & !(len - 1);
            let overlap = addr < start + len && start < addr.wrapping_add(u64::from(size.bytes()));
            if enabled && overlap && (kind == 3 || kind == 1 && write) {
                self.sys.pending_debug |= 1 << n;
            }
        }
    }

    /// Pushes `value` in the current stack width (`size` bytes) at the current privilege; RSP moves only on success.
    ///
    /// # Errors
    /// #SS(0) by the stack's limit or a non-canonical address, #PF.
    pub fn push(&mut self, bus: &mut dyn Bus, size: Size, value: u64) -> Result<(), Exception> {
        let mask = self.stack_mask();
        let rsp = self.reg(super::state::gpr::RSP);
        let new = rsp.wrapping_sub(u64::from(size.bytes())) & mask;
        let addr = self.linear(seg::SS, new, u64::from(size.bytes()), true)?;
        self.store_linear(bus, addr, size, value)?;
        self.set_reg(super::state::gpr::RSP, rsp & !mask | new);
        Ok(())
    }

    /// All-ones in the bits of RSP that stack accesses use.
    #[must_use]
    pub fn stack_mask(&self) -> u64 {
        if self.sys.code64() {
            u64::MAX
        } else if self.sys.segs[seg::SS].big() {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// Checks `len` bytes at `offset` in segment `n` and returns the linear address (SDM volume 3, 5.3 and 5.4).
    ///
    /// # Errors
    /// #SS(0) for SS, else #GP(0): limit, type, null selector, not canonical.
    #[inline]
    pub fn linear(&self, n: usize, offset: u64, len: u64, write: bool) -> Result<u64, Exception> {
        // 64-bit code, no base, and far from where addresses stop being canonical.
        if n < seg::FS && offset.wrapping_add(1 << 46) >> 47 == 0 && self.sys.code64() {
            return Ok(offset);
        }
        self.linear_checked(n, offset, len, write)
    }

    fn linear_checked(&self, n: usize, offset: u64, len: u64, write: bool) -> Result<u64, Exception> {
        let s = &self.sys.segs[n];
        let bad = if n == seg::SS { Exception::SS0 } else { Exception::GP0 };
        if self.sys.code64() {
            let base = if n >= seg::FS { s.base } else { 0 };
            let addr = base.wrapping_add(offset);
            let last = addr.wrapping_add(len - 1);
            let canonical = |a: u64| (a as i64) << 16 >> 16 == a as i64;
            return if canonical(addr) && canonical(last) { Ok(addr) } else { Err(bad) };
        }
        let offset = offset & 0xffff_ffff;
        let last = offset + (len - 1);
        let protected = self.sys.cr0 & bits::CR0_PE != 0 && self.sys.eflags & bits::VM == 0;
        if protected {
            use super::state::Segment as S;
            let code = s.attr & S::CODE != 0;
            let allowed = if write { !code && s.attr & S::RW != 0 } else { !code || s.attr & S::RW != 0 };
            if !s.present() || !allowed {
                return Err(bad);
            }
            if !code && s.attr & S::DC != 0 {
                let top = if s.big() { 0xffff_ffff } else { 0xffff };
                if offset <= u64::from(s.limit) || last > top {
                    return Err(bad);
                }
                return Ok(s.base.wrapping_add(offset) & 0xffff_ffff);
            }
        }
        if last > u64::from(s.limit) {
            return Err(bad);
        }
        Ok(s.base.wrapping_add(offset) & 0xffff_ffff)
    }

    /// The supervisor view for implicit accesses to descriptor tables and task state.
    pub const SYSTEM_VIEW: usize = view::SUPERVISOR;
}

/// The host address at which reads of linear page `page`, which is the physical page `phys`, may go fast.
#[inline]
fn fast_reads(map: &PhysMap, observer: &Observer, page: u64, phys: u64) -> Option<u64> {
    map.page_for_read(phys).filter(|_| !observer.watches_loads(page, phys)).map(|p| p.host as u64)
}

/// Splits a device access into pieces the bus can take: within aligned eight-byte words, power-of-two sizes, aligned.
fn bus_pieces(phys: u64, bytes: usize) -> impl Iterator<Item = (u64, u32, Width)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= bytes {
            return None;
        }
        let addr = phys + done as u64;
        let mut len = (bytes - done).next_power_of_two();
        if len > bytes - done {
            len /= 2;
        }
        while !addr.is_multiple_of(len as u64) {
            len /= 2;
        }
        let piece = (addr, 8 * done as u32, Width::of(len).unwrap_or(Width::B1));
        done += len;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::cpu;

    #[test]
    fn a_page_without_code_gets_its_fast_writes_back() {
        let mut c = cpu();
        let fast = |c: &Cpu| c.core.tlb.entry(0, 0x5000).write == 0x5000;
        let phys = c.translate(0, 0x5008, Access::Write).unwrap();
        assert!(phys == 0x5008 && fast(&c));
        let page = c.core.phys.page_for_write(phys).and_then(|p| p.ram).unwrap();
        c.core.phys.mark_code(page, 0, 4);
        c.core.tlb.protect_page(phys);
        c.translate(0, 0x5008, Access::Write).unwrap();
        assert!(!fast(&c));
        c.core.phys.clear_code(page);
        c.translate(0, 0x5008, Access::Write).unwrap();
        assert!(fast(&c));
    }
}
