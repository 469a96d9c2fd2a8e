//! The page tables user code runs under: a copy of what the guest's own tables have settled, page by page.
//!
//! An entry is only there where the guest's is, with its accessed bit set, and lets writes through where its dirty bit is
//! set. So no access changes the guest's tables behind the translator's back, neither early nor late, whatever the host's
//! CPU does speculatively. KVM may keep what it has read of these tables. It never keeps that something is absent, so
//! additions need no word to it; anything else begins new tables, in pages that it has not seen.
//!
//! No page is both written and executed here, and no instruction is which tells what it runs on ([`super::telltale`]): a
//! page that has one is executed in a patched copy.

use super::KvmError;
use super::shell::{PATCHES, TABLES};
use super::telltale::{self, Verdict};
use rrvmm_tcg::{phys::PhysMap, x86::Cpu, x86::system::paging};
use std::collections::{BTreeMap, BTreeSet};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Accessed and dirty: the CPU has nothing to mark.
const MARKED: u64 = 3 << 5;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME: u64 = 0xff_ffff_f000;

/// A page that user code reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapped {
    ram: usize,
    /// Physical address of what is there: the page, or a copy of it.
    to: u64,
    writable: bool,
    executable: bool,
}

/// The tables.
pub(super) struct Tables {
    /// Of the entry for the surroundings, the same in all.
    surroundings: u64,
    /// Physical address of the root; none before the first.
    root: Option<u64>,
    /// Pages of tables used up.
    used: u64,
    mapped: BTreeMap<u64, Mapped>,
    /// How pages of RAM are executed, as long as they are marked as code.
    codes: BTreeMap<usize, Code>,
    /// Physical addresses of the patched copies of pages of RAM.
    copies: BTreeMap<usize, u64>,
    /// [`PhysMap::code_changes`] when everything that is mapped was last found right.
    held: u64,
}

/// How a page of RAM is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// As it is.
    AsIs,
    /// In the copy at this physical address.
    Copy(u64),
    /// Not here.
    Never,
}

impl Mapped {
    /// How it is executed, which it is.
    fn code(&self, phys: &PhysMap) -> Code {
        if self.to == phys.page_address(self.ram) { Code::AsIs } else { Code::Copy(self.to) }
    }

    /// Whether it only adds rights to `old`: KVM may have kept what it had read.
    fn extends(&self, old: &Self) -> bool {
        self.to == old.to && self.writable >= old.writable && self.executable >= old.executable
    }
}

/// It cannot be mapped in these tables: there is no room, or they say otherwise.
pub(super) struct Full;

impl Tables {
    /// No tables yet. `surroundings` is the root's last entry.
    pub(super) fn new(surroundings: u64) -> Self {
        Self {
            surroundings,
            root: None,
            used: 0,
            mapped: BTreeMap::new(),
            codes: BTreeMap::new(),
            copies: BTreeMap::new(),
            held: 0,
        }
    }

    /// Physical address of the root.
    pub(super) fn root(&self) -> Option<u64> {
        self.root
    }

    /// Whether `page` (of linear addresses) is mapped.
    pub(super) fn has(&self, page: u64) -> bool {
        self.mapped.contains_key(&(page & !0xfff))
    }

    /// Whether everything that is mapped may still be so: nothing is written that holds code, nothing executed that was
    /// written since it was looked at, or is executed in another way now.
    pub(super) fn hold(&mut self, phys: &PhysMap) -> bool {
        if self.held == phys.code_changes {
            return true;
        }
        let all = self.mapped.values().all(|m| match (m.writable, m.executable) {
            (true, _) => !phys.has_code(m.ram),
            (false, true) => phys.is_intact(m.ram) && self.codes.get(&m.ram) == Some(&m.code(phys)),
            (false, false) => true,
        });
        if all {
            self.held = phys.code_changes;
        }
        all
    }

    /// The linear pages that are mapped, ascending.
    pub(super) fn pages(&self) -> Vec<u64> {
        self.mapped.keys().copied().collect()
    }

    /// Physical addresses of the pages that user code may write.
    pub(super) fn writable(&self, phys: &PhysMap) -> BTreeSet<u64> {
        self.mapped.values().filter(|m| m.writable).map(|m| phys.page_address(m.ram)).collect()
    }

    /// Whether new tables would not fit any more.
    pub(super) fn is_full(&self) -> bool {
        self.used + self.mapped.len() as u64 + 8 > TABLES.len / 4096
    }

    /// Forgets that pages were used up: KVM has forgotten them, too.
    pub(super) fn start_over(&mut self) {
        (self.used, self.root) = (0, None);
        self.mapped.clear();
    }

    /// New tables with nothing in them.
    pub(super) fn renew(&mut self, memory: &GuestMemoryMmap) -> Result<(), Full> {
        self.mapped.clear();
        let root = self.table(memory)?;
        put(memory, root + 511 * 8, self.surroundings);
        self.root = Some(root);
        Ok(())
    }

    /// Whether the page that the next instruction lies in may be executed, as far as is known without a walk.
    pub(super) fn may_run(&mut self, memory: &GuestMemoryMmap, cpu: &mut Cpu) -> bool {
        let Some(settled) = paging::settled(cpu, cpu.core.pc) else { return true };
        let ram = cpu.core.phys.page_for_read(settled.phys).and_then(|page| page.ram);
        ram.is_none_or(|ram| self.code(memory, cpu, ram) != Code::Never)
    }

    /// How the page of RAM is executed. It is marked as code, so that a write to it is noticed.
    fn code(&mut self, memory: &GuestMemoryMmap, cpu: &mut Cpu, ram: usize) -> Code {
        let phys = &mut cpu.core.phys;
        if let Some(&code) = self.codes.get(&ram)
            && phys.is_intact(ram)
        {
            return code;
        }
        let code = match telltale::judge(phys.page_bytes(ram)) {
            Verdict::Clean => Code::AsIs,
            Verdict::Patch(at) => {
                let copy = self.copy(ram);
                if let Some(to) = copy {
                    let mut bytes = *phys.page_bytes(ram);
                    at.into_iter().for_each(|at| bytes[at] = telltale::UNDEFINED);
                    let _ = memory.write_slice(&bytes, GuestAddress(to));
                }
                copy.map_or(Code::Never, Code::Copy)
            }
            Verdict::Keep => Code::Never,
        };
        cpu.core.tlb.protect_page(phys.page_address(ram));
        phys.mark_intact(ram);
        self.codes.insert(ram, code);
        code
    }

    /// Where the copy of a page of RAM goes, if there is room.
    fn copy(&mut self, ram: usize) -> Option<u64> {
        let next = PATCHES.start + self.copies.len() as u64 * 4096;
        let known = self.copies.get(&ram).copied();
        let at = known.or((next < PATCHES.start + PATCHES.len).then_some(next))?;
        self.copies.insert(ram, at);
        Some(at)
    }

    fn table(&mut self, memory: &GuestMemoryMmap) -> Result<u64, Full> {
        let at = TABLES.start + self.used * 4096;
        if self.used >= TABLES.len / 4096 {
            return Err(Full);
        }
        self.used += 1;
        // The memory is there, so this cannot fail.
        let _ = memory.write_slice(&[0; 4096], GuestAddress(at));
        Ok(at)
    }

    /// Lets user code reach the page of linear address `addr` as far as the guest's tables have it settled. Whether it
    /// reaches more than before. A page that writes go through to counts as written.
    pub(super) fn map(&mut self, memory: &GuestMemoryMmap, cpu: &mut Cpu, addr: u64) -> Result<bool, Full> {
        let page = addr & !0xfff;
        let Some(root) = self.root else { return Ok(false) };
        if page >> 47 != 0 {
            return Ok(false);
        }
        let Some(settled) = paging::settled(cpu, page) else { return Ok(false) };
        let phys = &mut cpu.core.phys;
        let Some(ram) = phys.page_for_read(settled.phys).and_then(|p| p.ram) else { return Ok(false) };
        let same = phys.page_for_write(settled.phys).and_then(|p| p.ram) == Some(ram);
        let code = if settled.executable { self.code(memory, cpu, ram) } else { Code::Never };
        let phys = &mut cpu.core.phys;
        // Writes to translated code go the slow way, which discards it.
        let writable = settled.writable && same && !settled.executable && !phys.has_code(ram);
        let to = if let Code::Copy(copy) = code { copy } else { phys.page_address(ram) };
        let new = Mapped { ram, to, writable, executable: code != Code::Never };
        if to >> 40 != 0 || self.mapped.get(&page) == Some(&new) {
            return Ok(false);
        }
        if self.mapped.get(&page).is_some_and(|old| !new.extends(old)) {
            return Err(Full);
        }
        if writable {
            phys.mark_dirty(ram);
        }
        let mut table = root;
        for shift in [39, 30, 21] {
            let at = table + (page >> shift & 511) * 8;
            let entry = get(memory, at);
            table = if entry & PRESENT != 0 {
                entry & FRAME
            } else {
                let next = self.table(memory)?;
                put(memory, at, next | PRESENT | WRITABLE | USER | MARKED);
                next
            };
        }
        let rights = if new.writable { WRITABLE } else { 0 } | if new.executable { 0 } else { NO_EXECUTE };
        put(memory, table + (page >> 12 & 511) * 8, to | rights | PRESENT | USER | MARKED);
        self.mapped.insert(page, new);
        Ok(true)
    }
}

/// Reads an entry of tables that are there.
fn get(memory: &GuestMemoryMmap, at: u64) -> u64 {
    memory.read_obj(GuestAddress(at)).unwrap_or(0)
}

/// Writes an entry of tables that are there.
pub(super) fn put(memory: &GuestMemoryMmap, at: u64, entry: u64) {
    let _ = memory.write_obj(entry, GuestAddress(at));
}

impl From<Full> for KvmError {
    fn from(Full: Full) -> Self {
        KvmError::Exit("more pages of tables than there are".to_owned())
    }
}
