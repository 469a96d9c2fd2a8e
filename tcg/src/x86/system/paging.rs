//! Page walks: 2-level, PAE and 4-level, with accessed and dirty bits (SDM volume 3, chapter 4).

use super::PHYSICAL_BITS;
use crate::x86::{
    Cpu, Exception,
    cpu::view,
    state::{System, bits},
};

/// What the translation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Execute,
}

/// A translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Physical address of the byte asked for.
    pub phys: u64,
    /// Size of the page: 4 KiB, 2 MiB, 4 MiB or 1 GiB (4 KiB without paging).
    pub page_size: u64,
    /// G bit with CR4.PGE on.
    pub global: bool,
}

// Bits of a paging-structure entry (SDM volume 3, tables 4-4 to 4-20).
const P: u64 = 1;
const RW: u64 = 1 << 1;
const US: u64 = 1 << 2;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const G: u64 = 1 << 8;
const NX: u64 = 1 << 63;

// Bits of a page fault's error code (SDM volume 3, figure 4-12).
const CODE_P: u16 = 1;
const CODE_W: u16 = 1 << 1;
const CODE_U: u16 = 1 << 2;
const CODE_RSVD: u16 = 1 << 3;
const CODE_I: u16 = 1 << 4;

/// Physical address field of an entry.
const FRAME: u64 = ((1 << PHYSICAL_BITS) - 1) & !0xfff;
/// The part of an address above the offset in a 4 KiB page.
const PAGE_FRAME: u64 = !0xfff;
/// Address bits an entry may not set: in 4-level paging bits 62 to 52 are ignored, in PAE they are reserved.
const BEYOND_LONG: u64 = ((1 << 52) - 1) & !((1 << PHYSICAL_BITS) - 1);
const BEYOND_PAE: u64 = ((1 << 63) - 1) & !((1 << PHYSICAL_BITS) - 1);
/// Bits that must be clear in a present page-directory-pointer entry of PAE paging.
const PDPTE_RESERVED: u64 = BEYOND_PAE | NX | 0x1e6;

/// One access on its way through the tables.
#[derive(Clone, Copy)]
struct Walk {
    view: usize,
    addr: u64,
    access: Access,
}

/// Walks the page tables for `addr` as seen from `view`, checks permissions, sets accessed and dirty bits.
///
/// # Errors
/// #PF with its error code; #GP(0) for a non-canonical address in IA-32e mode.
pub fn walk(cpu: &mut Cpu, view: usize, addr: u64, access: Access) -> Result<Translation, Exception> {
    let s = &cpu.sys;
    if s.cr0 & bits::CR0_PG == 0 {
        return Ok(Translation { phys: addr & 0xffff_ffff, page_size: 4096, global: false });
    }
    let w = Walk { view, addr, access };
    if s.efer & bits::EFER_LMA != 0 {
        if !super::canonical(addr) {
            return Err(Exception::GP0);
        }
        let table = s.cr3 & FRAME;
        return w.wide::<4>(cpu, table, BEYOND_LONG);
    }
    let w = Walk { addr: addr & 0xffff_ffff, ..w };
    if s.cr4 & bits::CR4_PAE == 0 {
        return w.narrow(cpu);
    }
    let pdpte = s.pdpte[(w.addr >> 30) as usize];
    if pdpte & P == 0 {
        return Err(w.fault(s, 0));
    }
    w.wide::<2>(cpu, pdpte & FRAME, BEYOND_PAE)
}

/// Where the tables lead for `addr` now, without permissions, faults or marks; `None` where nothing is mapped. For people.
#[must_use]
pub fn peek(cpu: &Cpu, addr: u64) -> Option<u64> {
    let s = &cpu.sys;
    if s.cr0 & bits::CR0_PG == 0 {
        return Some(addr & 0xffff_ffff);
    }
    let long = s.efer & bits::EFER_LMA != 0;
    if long && !super::canonical(addr) {
        return None;
    }
    let wide = long || s.cr4 & bits::CR4_PAE != 0;
    // Bytes of an entry, bits of an index.
    let (size, step) = if wide { (8, 9) } else { (4, 10) };
    let (mut table, mut shift) = if long {
        (s.cr3 & FRAME, 39)
    } else if wide {
        let pdpte = s.pdpte[(addr >> 30 & 3) as usize];
        (pdpte & P != 0).then_some((pdpte & FRAME, 21))?
    } else {
        (s.cr3 & 0xffff_f000, 22)
    };
    loop {
        let index = addr >> shift & ((1 << step) - 1);
        let entry = cpu.core.phys.read(table + index * size, size as usize)?;
        if entry & P == 0 {
            return None;
        }
        if shift == 12 || entry & PS != 0 && shift <= 30 {
            let offset = addr & ((1 << shift) - 1);
            let frame = if wide { entry & FRAME } else { entry & 0xffff_f000 };
            return Some(frame & !((1 << shift) - 1) | offset);
        }
        table = if wide { entry & FRAME } else { entry & 0xffff_f000 };
        shift -= step;
    }
}

/// What user code can do with a page without a walk that changes the tables or raises a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Physical address of the 4 KiB page.
    pub phys: u64,
    /// Stores too: the dirty bit is set.
    pub writable: bool,
    /// Instruction fetches too.
    pub executable: bool,
}

/// The 4 KiB page of `addr` as user code has it in 4-level paging, if the accessed bits on the way are set.
#[must_use]
pub fn settled(cpu: &Cpu, addr: u64) -> Option<Settled> {
    let (mut table, mut all, mut any) = (cpu.sys.cr3 & FRAME, RW | US | A, 0);
    for level in (0..4).rev() {
        let shift = 12 + 9 * level;
        let e = cpu.core.phys.read(table + (addr >> shift & 511) * 8, 8)?;
        if e & P == 0 || e & BEYOND_LONG != 0 {
            return None;
        }
        (all, any) = (all & e, any | e);
        table = e & FRAME;
        if level == 0 || level < 3 && e & PS != 0 {
            let within = (1 << shift) - 1;
            let phys = (table & !within | addr & within & PAGE_FRAME) & cpu.core.phys.a20_mask;
            let nx = cpu.sys.efer & bits::EFER_NXE != 0 && any & NX != 0;
            let usable = all & (US | A) == US | A;
            return usable.then_some(Settled {
                phys,
                writable: all & RW != 0 && e & D != 0,
                executable: !nx,
            });
        }
    }
    None
}

/// Reads the four page-directory-pointer entries that CR3 value `cr3` points to.
///
/// # Errors
/// #GP(0) when a present one has a reserved bit set.
pub fn load_pdptes(cpu: &Cpu, cr3: u64) -> Result<[u64; 4], Exception> {
    let mut entries = [0; 4];
    for (n, e) in entries.iter_mut().enumerate() {
        *e = cpu.core.phys.read((cr3 & 0xffff_ffe0) + 8 * n as u64, 8).unwrap_or(0);
        if *e & P != 0 && *e & PDPTE_RESERVED != 0 {
            return Err(Exception::GP0);
        }
    }
    Ok(entries)
}

impl Walk {
    /// The last `LEVELS` levels of 8-byte entries, from the table at `table` on.
    #[inline]
    fn wide<const LEVELS: usize>(
        self,
        cpu: &mut Cpu,
        mut table: u64,
        beyond: u64,
    ) -> Result<Translation, Exception> {
        let nxe = cpu.sys.efer & bits::EFER_NXE != 0;
        let reserved = if nxe { beyond } else { beyond | NX };
        let mut entries = [(0, 0); LEVELS];
        let mut level = LEVELS - 1;
        let (mut all, mut any) = (RW | US, 0);
        let page_size = loop {
            let shift = 12 + 9 * level as u32;
            let at = table + (self.addr >> shift & 511) * 8;
            let e = cpu.core.phys.read(at, 8).unwrap_or(0);
            if e & P == 0 {
                return Err(self.fault(&cpu.sys, 0));
            }
            // Levels are numbered from 0, the page table, whose bit 7 is PAT.
            let large = level > 0 && e & PS != 0;
            let low = if !large {
                0
            } else if level < 3 {
                (1 << shift) - 0x2000
            } else {
                PS
            };
            if e & (reserved | low) != 0 {
                return Err(self.fault(&cpu.sys, CODE_P | CODE_RSVD));
            }
            all &= e;
            any |= e;
            entries[level] = (at, e);
            if large || level == 0 {
                break 1u64 << shift;
            }
            table = e & FRAME;
            level -= 1;
        };
        self.check(&cpu.sys, all, nxe && any & NX != 0)?;
        let (at, leaf) = entries[level];
        for &(at, e) in entries[level + 1..].iter().rev() {
            self.mark(cpu, at, e, A, 8);
        }
        self.mark(cpu, at, leaf, self.leaf_marks(), 8);
        let global = leaf & G != 0 && cpu.sys.cr4 & bits::CR4_PGE != 0;
        let phys = leaf & FRAME & !(page_size - 1) | self.addr & (page_size - 1);
        Ok(Translation { phys, page_size, global })
    }

    /// Two levels of 4-byte entries.
    fn narrow(self, cpu: &mut Cpu) -> Result<Translation, Exception> {
        let pde_at = (cpu.sys.cr3 & 0xffff_f000) + (self.addr >> 22) * 4;
        let pde = cpu.core.phys.read(pde_at, 4).unwrap_or(0);
        if pde & P == 0 {
            return Err(self.fault(&cpu.sys, 0));
        }
        let pge = cpu.sys.cr4 & bits::CR4_PGE != 0;
        if pde & PS != 0 && cpu.sys.cr4 & bits::CR4_PSE != 0 {
            if pde & 1 << 21 != 0 {
                return Err(self.fault(&cpu.sys, CODE_P | CODE_RSVD));
            }
            self.check(&cpu.sys, pde, false)?;
            self.mark(cpu, pde_at, pde, self.leaf_marks(), 4);
            // PSE-36: bits 20 to 13 are physical address bits 39 to 32.
            let phys = pde & 0xffc0_0000 | (pde >> 13 & 0xff) << 32 | self.addr & 0x3f_ffff;
            return Ok(Translation { phys, page_size: 1 << 22, global: pge && pde & G != 0 });
        }
        let at = (pde & 0xffff_f000) + (self.addr >> 12 & 1023) * 4;
        let e = cpu.core.phys.read(at, 4).unwrap_or(0);
        if e & P == 0 {
            return Err(self.fault(&cpu.sys, 0));
        }
        self.check(&cpu.sys, pde & e, false)?;
        self.mark(cpu, pde_at, pde, A, 4);
        self.mark(cpu, at, e, self.leaf_marks(), 4);
        let phys = e & 0xffff_f000 | self.addr & 0xfff;
        Ok(Translation { phys, page_size: 4096, global: pge && e & G != 0 })
    }

    fn leaf_marks(self) -> u64 {
        if self.access == Access::Write { A | D } else { A }
    }

    #[inline]
    fn mark(self, cpu: &mut Cpu, at: u64, entry: u64, marks: u64, size: usize) {
        if entry & marks != marks {
            cpu.core.phys.write(at, size, entry | marks);
            cpu.observe_physical(at, size as u64);
            cpu.core.leave |= !cpu.core.phys.stale_code.is_empty();
        }
    }

    /// Access rights (SDM volume 3, 4.6): `rights` is the AND of all entries.
    #[inline]
    fn check(self, s: &System, rights: u64, nx: bool) -> Result<(), Exception> {
        let user_page = rights & US != 0;
        let writable = rights & RW != 0;
        let allowed = if self.view == view::USER {
            user_page
                && match self.access {
                    Access::Read => true,
                    Access::Write => writable,
                    Access::Execute => !nx,
                }
        } else {
            let smap = user_page && self.view == view::SUPERVISOR && s.cr4 & bits::CR4_SMAP != 0;
            match self.access {
                Access::Read => !smap,
                Access::Write => !smap && (writable || s.cr0 & bits::CR0_WP == 0),
                Access::Execute => !(nx || user_page && s.cr4 & bits::CR4_SMEP != 0),
            }
        };
        if allowed { Ok(()) } else { Err(self.fault(s, CODE_P)) }
    }

    #[cold]
    fn fault(self, s: &System, mut code: u16) -> Exception {
        if self.view == view::USER {
            code |= CODE_U;
        }
        match self.access {
            Access::Read => {}
            Access::Write => code |= CODE_W,
            Access::Execute => {
                let nx = s.efer & bits::EFER_NXE != 0 && s.cr4 & bits::CR4_PAE != 0;
                if nx || s.cr4 & bits::CR4_SMEP != 0 {
                    code |= CODE_I;
                }
            }
        }
        Exception::PageFault { addr: self.addr, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{cpu, put};

    /// 4-level tables: 0x1000 -> 0x2000 -> 0x3000 -> 0x4000, page 5 of the last at 0x7000 with `flags`.
    fn long(flags: u64) -> Cpu {
        let mut c = cpu();
        for (at, to) in [(0x1000, 0x2000), (0x2000, 0x3000), (0x3000, 0x4000)] {
            put(&mut c, at, 8, to | P | RW | US);
        }
        put(&mut c, 0x4000 + 5 * 8, 8, 0x7000 | flags);
        c.sys.cr3 = 0x1000;
        c.sys.cr0 |= bits::CR0_PG | bits::CR0_PE | bits::CR0_WP;
        c.sys.cr4 |= bits::CR4_PAE | bits::CR4_PGE;
        c.sys.efer |= bits::EFER_LMA | bits::EFER_LME | bits::EFER_NXE;
        c
    }

    fn code(r: Result<Translation, Exception>) -> u16 {
        match r {
            Err(Exception::PageFault { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn four_levels_translate_and_mark() {
        let mut c = long(P | RW | G);
        let t = walk(&mut c, view::SUPERVISOR, 0x5123, Access::Read).unwrap();
        assert_eq!(t, Translation { phys: 0x7123, page_size: 4096, global: true });
        assert_eq!(c.core.phys.read(0x4028, 8).unwrap() & (A | D), A);
        assert_eq!(c.core.phys.read(0x1000, 8).unwrap() & A, A);
        walk(&mut c, view::SUPERVISOR, 0x5123, Access::Write).unwrap();
        assert_eq!(c.core.phys.read(0x4028, 8).unwrap() & (A | D), A | D);
    }

    #[test]
    fn rights_and_error_codes() {
        let mut c = long(P | US | NX);
        assert_eq!(code(walk(&mut c, view::USER, 0x5000, Access::Write)), CODE_P | CODE_W | CODE_U);
        assert_eq!(code(walk(&mut c, view::SUPERVISOR, 0x5000, Access::Write)), CODE_P | CODE_W);
        assert_eq!(code(walk(&mut c, view::USER, 0x5000, Access::Execute)), CODE_P | CODE_U | CODE_I);
        assert_eq!(code(walk(&mut c, view::USER, 0x6000, Access::Read)), CODE_U);
        c.sys.cr0 &= !bits::CR0_WP;
        assert!(walk(&mut c, view::SUPERVISOR, 0x5000, Access::Write).is_ok());
        c.sys.cr4 |= bits::CR4_SMAP;
        assert_eq!(code(walk(&mut c, view::SUPERVISOR, 0x5000, Access::Read)), CODE_P);
        assert!(walk(&mut c, view::SUPERVISOR_AC, 0x5000, Access::Read).is_ok());
        c.sys.efer &= !bits::EFER_NXE;
        assert_eq!(code(walk(&mut c, view::USER, 0x5000, Access::Read)), CODE_P | CODE_U | CODE_RSVD);
    }

    #[test]
    fn large_pages_of_four_levels() {
        let mut c = long(P);
        put(&mut c, 0x3000 + 8, 8, 0x60_0000 | P | PS);
        let t = walk(&mut c, view::SUPERVISOR, 0x23_4567, Access::Read).unwrap();
        assert_eq!((t.phys, t.page_size), (0x63_4567, 1 << 21));
        put(&mut c, 0x3000 + 8, 8, 0x60_2000 | P | PS);
        assert_eq!(code(walk(&mut c, view::SUPERVISOR, 0x23_4567, Access::Read)), CODE_P | CODE_RSVD);
        put(&mut c, 0x2000 + 8, 8, 0x4000_0000 | P | PS);
        let t = walk(&mut c, view::SUPERVISOR, 0x4123_4567, Access::Read).unwrap();
        assert_eq!((t.phys, t.page_size), (0x4123_4567, 1 << 30));
    }

    #[test]
    fn two_levels_and_pse36() {
        let mut c = cpu();
        c.sys.cr0 |= bits::CR0_PG | bits::CR0_PE;
        c.sys.cr4 |= bits::CR4_PSE;
        c.sys.cr3 = 0x1000;
        put(&mut c, 0x1000, 4, 0x2000 | P | RW);
        put(&mut c, 0x2000 + 4 * 4, 4, 0x9000 | P);
        put(&mut c, 0x1004, 4, 0x40_0000 | 3 << 13 | P | PS);
        let t = walk(&mut c, view::SUPERVISOR, 0x4fff, Access::Write).unwrap();
        assert_eq!(t.phys, 0x9fff);
        let t = walk(&mut c, view::SUPERVISOR, 0x41_2345, Access::Read).unwrap();
        assert_eq!((t.phys, t.page_size), (0x3_0041_2345, 1 << 22));
        put(&mut c, 0x1004, 4, 1 << 21 | P | PS);
        assert_eq!(code(walk(&mut c, view::SUPERVISOR, 0x41_2345, Access::Read)), CODE_P | CODE_RSVD);
    }

    #[test]
    fn pae_uses_the_loaded_pointers() {
        let mut c = cpu();
        put(&mut c, 0x1020, 8, 0x2000 | P);
        put(&mut c, 0x2000, 8, 0x3000 | P | RW | US);
        put(&mut c, 0x3000, 8, 0x1_0000_8000 | P | RW | US);
        c.sys.pdpte = load_pdptes(&c, 0x1020).unwrap();
        c.sys.cr0 |= bits::CR0_PG | bits::CR0_PE;
        c.sys.cr4 |= bits::CR4_PAE;
        put(&mut c, 0x1020, 8, 0);
        let t = walk(&mut c, view::USER, 0x42, Access::Write).unwrap();
        assert_eq!(t.phys, 0x1_0000_8042);
        assert_eq!(code(walk(&mut c, view::USER, 0x4000_0000, Access::Read)), CODE_U);
        put(&mut c, 0x1028, 8, P | RW);
        assert_eq!(load_pdptes(&c, 0x1020), Err(Exception::GP0));
    }
}
