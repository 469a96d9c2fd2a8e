//! Guest loads and stores: the inline TLB hit, everything else in [`Guest`]'s slow paths.

use crate::{
    Bus,
    core::Core,
    guest::Guest,
    ir::Size,
    phys::{read_host, write_host},
    tlb::PAGE_MASK,
};

/// Loads `SIZE` bytes, zero-extended.
///
/// # Errors
/// The guest's fault.
#[inline(always)]
pub fn load<G: Guest, const SIZE: usize>(g: &mut G, bus: &mut dyn Bus, addr: u64) -> Result<u64, G::Fault> {
    let core = g.core();
    let e = core.tlb.entry(core.mmu, addr);
    if e.read == addr.wrapping_add(SIZE as u64 - 1) & PAGE_MASK {
        return Ok(read_host(e.host_at(addr), SIZE));
    }
    g.load_slow(bus, addr, size_of_bytes(SIZE))
}

/// Stores the low `SIZE` bytes of `value`.
///
/// # Errors
/// The guest's fault; memory is then unchanged.
#[inline(always)]
pub fn store<G: Guest, const SIZE: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    addr: u64,
    value: u64,
) -> Result<(), G::Fault> {
    let core = g.core();
    let e = core.tlb.entry(core.mmu, addr);
    if e.write == addr.wrapping_add(SIZE as u64 - 1) & PAGE_MASK {
        write_host(e.host_at(addr), SIZE, value);
        return Ok(());
    }
    g.store_slow(bus, addr, size_of_bytes(SIZE), value)
}

const fn size_of_bytes(bytes: usize) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::W,
        4 => Size::D,
        _ => Size::Q,
    }
}

/// Bytes from `addr` to the end of its page.
#[must_use]
pub fn left_in_page(addr: u64) -> u64 {
    crate::tlb::PAGE - (addr & !PAGE_MASK)
}

/// Copies `len` bytes, inside one page at either end, when the TLB knows both pages and the ranges do not overlap forwards.
pub fn copy(core: &mut Core, to: u64, from: u64, len: usize) -> bool {
    let (d, s) = (core.tlb.entry(core.mmu, to), core.tlb.entry(core.mmu, from));
    if d.write != to & PAGE_MASK || s.read != from & PAGE_MASK {
        return false;
    }
    let (to, from) = (d.host_at(to), s.host_at(from));
    if to > from && to < from + len {
        return false;
    }
    crate::phys::copy_host(to, from, len);
    true
}

/// Stores `n` elements of `value` from `to` on, inside one page, when the TLB knows the page.
pub fn fill(core: &mut Core, to: u64, size: Size, value: u64, n: usize) -> bool {
    let e = core.tlb.entry(core.mmu, to);
    if e.write != to & PAGE_MASK {
        return false;
    }
    let host = e.host_at(to);
    match size {
        Size::B => crate::phys::fill_host(host, value as u8, n),
        Size::W => crate::phys::fill_host(host, value as u16, n),
        Size::D => crate::phys::fill_host(host, value as u32, n),
        Size::Q => crate::phys::fill_host(host, value, n),
    }
    true
}
