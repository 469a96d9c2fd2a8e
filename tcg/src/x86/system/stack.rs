//! Memory as event delivery and far transfers use it: descriptor tables, and a stack that may not be the current one.

use crate::{
    Bus,
    ir::Size,
    phys::{read_host, write_host},
    tlb::PAGE_MASK,
    x86::{
        Cpu, Exception,
        cpu::view,
        state::{Segment, gpr, seg},
    },
};

/// Loads through `view`, by the TLB where it answers.
#[inline(always)]
pub(super) fn load(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    view: usize,
    addr: u64,
    size: Size,
) -> Result<u64, Exception> {
    let e = cpu.core.tlb.entry(view, addr);
    let bytes = size.bytes();
    if e.read == addr.wrapping_add(u64::from(bytes) - 1) & PAGE_MASK {
        return Ok(read_host(e.host_at(addr), bytes as usize));
    }
    cpu.load_view(bus, view, addr, size)
}

/// Stores through `view`, by the TLB where it answers.
#[inline(always)]
pub(super) fn store(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    view: usize,
    addr: u64,
    size: Size,
    value: u64,
) -> Result<(), Exception> {
    let e = cpu.core.tlb.entry(view, addr);
    let bytes = size.bytes();
    if e.write == addr.wrapping_add(u64::from(bytes) - 1) & PAGE_MASK {
        write_host(e.host_at(addr), bytes as usize, value);
        return Ok(());
    }
    cpu.store_view(bus, view, addr, size, value)
}

/// Loads from a descriptor table or a task state segment: supervisor, whatever the CPL.
#[inline]
pub(super) fn load_system(cpu: &mut Cpu, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<u64, Exception> {
    load(cpu, bus, view::SUPERVISOR, addr, size)
}

/// Stores to a descriptor table or a task state segment.
#[inline]
pub(super) fn store_system(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    addr: u64,
    size: Size,
    value: u64,
) -> Result<(), Exception> {
    store(cpu, bus, view::SUPERVISOR, addr, size, value)
}

/// A stack in the making: nothing of the CPU changes until [`Stack::commit`].
#[derive(Clone, Copy)]
pub(super) struct Stack {
    segment: Segment,
    /// The whole of RSP.
    pub sp: u64,
    mask: u64,
    view: usize,
    /// Error code of #SS for a limit violation here.
    code: u16,
}

impl Stack {
    /// The stack in use, as the current CPL sees it; `code` goes into #SS.
    #[inline]
    pub fn current(cpu: &Cpu, code: u16) -> Stack {
        let segment = cpu.sys.segs[seg::SS];
        Stack { segment, sp: cpu.reg(gpr::RSP), mask: cpu.stack_mask(), view: cpu.core.mmu, code }
    }

    /// The stack `segment:sp` of privilege `cpl`.
    pub fn legacy(cpu: &Cpu, segment: Segment, sp: u64, cpl: u8, code: u16) -> Stack {
        let mask = if segment.big() { 0xffff_ffff } else { 0xffff };
        Stack { segment, sp, mask, view: cpu.view_for(cpl), code }
    }

    /// A 64-bit stack of privilege `cpl`.
    #[inline]
    pub fn long(cpu: &Cpu, sp: u64, cpl: u8, code: u16) -> Stack {
        Stack { segment: Segment::default(), sp, mask: u64::MAX, view: cpu.view_for(cpl), code }
    }

    #[inline(always)]
    fn address(&self, offset: u64, len: u64) -> Result<u64, Exception> {
        let fault = Err(Exception::StackFault(self.code));
        let last = offset.wrapping_add(len - 1);
        if self.mask == u64::MAX {
            let fine = super::canonical(offset) && super::canonical(last);
            return if fine { Ok(offset) } else { fault };
        }
        let s = &self.segment;
        let fine = if !s.present() {
            false
        } else if s.attr & (Segment::CODE | Segment::DC) == Segment::DC {
            let top = if s.big() { 0xffff_ffff } else { 0xffff };
            offset > u64::from(s.limit) && last <= top
        } else {
            last <= u64::from(s.limit)
        };
        if fine { Ok(s.base.wrapping_add(offset) & 0xffff_ffff) } else { fault }
    }

    /// Pushes the low bytes of `value`.
    #[inline(always)]
    pub fn push(
        &mut self,
        cpu: &mut Cpu,
        bus: &mut dyn Bus,
        size: Size,
        value: u64,
    ) -> Result<(), Exception> {
        let len = u64::from(size.bytes());
        let offset = self.sp.wrapping_sub(len) & self.mask;
        let addr = self.address(offset, len)?;
        store(cpu, bus, self.view, addr, size, value)?;
        self.sp = self.sp & !self.mask | offset;
        Ok(())
    }

    /// Pops, zero-extended.
    #[inline(always)]
    pub fn pop(&mut self, cpu: &mut Cpu, bus: &mut dyn Bus, size: Size) -> Result<u64, Exception> {
        let len = u64::from(size.bytes());
        let addr = self.address(self.sp & self.mask, len)?;
        let value = load(cpu, bus, self.view, addr, size)?;
        self.skip(len);
        Ok(value)
    }

    /// Moves the pointer up, as RET n does.
    #[inline]
    pub fn skip(&mut self, bytes: u64) {
        self.sp = self.sp & !self.mask | self.sp.wrapping_add(bytes) & self.mask;
    }

    /// Reads `bytes` above the pointer without moving it.
    pub fn peek(&self, cpu: &mut Cpu, bus: &mut dyn Bus, above: u64, size: Size) -> Result<u64, Exception> {
        let offset = self.sp.wrapping_add(above) & self.mask;
        let addr = self.address(offset, u64::from(size.bytes()))?;
        load(cpu, bus, self.view, addr, size)
    }

    /// Makes this pointer the CPU's; SS is the caller's.
    #[inline]
    pub fn commit(&self, cpu: &mut Cpu) {
        cpu.set_reg(gpr::RSP, self.sp);
    }
}
