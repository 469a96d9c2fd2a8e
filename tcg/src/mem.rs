//! Guest loads and stores: the inline TLB hit, everything else in [`Guest`]'s slow paths.

use crate::{
    Bus,
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
        return Ok(read_host(addr.wrapping_add(e.addend) as usize, SIZE));
    }
    g.load_slow(bus, addr, size_of_bytes(SIZE))
}

/// Loads `SIZE` bytes that will be written back to the same place.
///
/// # Errors
/// The guest's fault, as for a write.
#[inline(always)]
pub fn load_for_write<G: Guest, const SIZE: usize>(
    g: &mut G,
    bus: &mut dyn Bus,
    addr: u64,
) -> Result<u64, G::Fault> {
    let core = g.core();
    let e = core.tlb.entry(core.mmu, addr);
    if e.write == addr.wrapping_add(SIZE as u64 - 1) & PAGE_MASK {
        return Ok(read_host(addr.wrapping_add(e.addend) as usize, SIZE));
    }
    g.load_for_write_slow(bus, addr, size_of_bytes(SIZE))
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
        write_host(addr.wrapping_add(e.addend) as usize, SIZE, value);
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
