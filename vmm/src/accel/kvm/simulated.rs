//! A hypervisor that is none: the interpreter executes user code as KVM would, and a performance counter that it has counts as badly
//! as real ones do. For tests, on any host: hardly a cloud's virtual machine has counters, and many have no KVM.
//!
//! One of the files that may use `unsafe`: guest memory is seen a second time.

use super::{
    KvmError,
    chance::Chance,
    hypervisor::{Exit, Hypervisor, Slot},
    next::at_branch,
    registers::{self, Fpu},
};
use crate::pmu::{Counter, Event, MIN_PERIOD, OverflowSignal, PmuError, Rearming};
use kvm_bindings::{CpuId, Msrs, kvm_regs, kvm_segment, kvm_sregs, kvm_xsave};
use kvm_ioctls::Error;
use rrvmm_tcg::{
    Bus, Width,
    interp::Interp,
    phys::PhysMap,
    x86::{
        Cpu,
        engine::{Engine, Stop},
        state::{Segment, TableRegister},
    },
};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

/// Most instructions until a signal comes for another reason than the counter.
const MOST: u64 = 400_000;

/// The counter's faults, each once in so many times: overflows that interrupt nothing, late ones, runs in which an event is
/// counted twice, and in which very many are.
const LOST: u64 = 30;
const LATE: u64 = 20;
const TWICE: u64 = 50;
const WRONG: u64 = 400;
/// How late overflows are: usually, and then.
const SKIDS: (u64, u64) = (40, 3_000);

/// The hypervisor.
pub(super) struct Simulated {
    slots: Vec<Slot>,
    /// Physical addresses of pages that were written and not taken yet.
    written: BTreeSet<u64>,
    /// Made when all memory is there.
    engine: Option<Engine<Interp>>,
    sregs: kvm_sregs,
    host: Rc<RefCell<Host>>,
}

/// The counter of a [`Simulated`].
pub(super) struct SimulatedCounter(Rc<RefCell<Host>>);

/// What hypervisor and counter share.
struct Host {
    chance: Chance,
    /// What is counted.
    event: Event,
    /// Events as the hardware has counted them.
    hardware: u64,
    /// What it said at the last restart.
    start: u64,
    unretired: u64,
    overflow: Option<u64>,
}

impl Host {
    /// Instructions of user code until the next run ends by a signal, and events until it does by an overflow's.
    fn lengths(&mut self) -> (u64, u64) {
        let other = 1 + self.chance.below(MOST);
        let Some(overflow) = self.overflow else { return (other, u64::MAX) };
        if self.chance.once_in(LOST) {
            self.overflow = None;
            return (other, u64::MAX);
        }
        let most = if self.chance.once_in(LATE) { SKIDS.1 } else { SKIDS.0 };
        (other, (overflow.saturating_sub(self.hardware) + self.chance.below(most)).max(1))
    }

    /// User code has retired so many events of the `until` an overflow's signal.
    fn retire(&mut self, events: u64, until: u64) {
        if events >= until {
            self.overflow = None;
        }
        self.hardware += events + u64::from(self.chance.once_in(TWICE));
        if self.chance.once_in(WRONG) {
            self.hardware += 1_000;
        }
    }
}

impl Simulated {
    /// One without memory, whose counter counts `event`; what is by chance follows from `seed`.
    pub(super) fn new(event: Event, seed: u64) -> (Self, SimulatedCounter) {
        let chance = Chance::new(seed);
        let host = Host { chance, event, hardware: 0, start: 0, unretired: 0, overflow: None };
        let host = Rc::new(RefCell::new(host));
        let hypervisor = Self {
            slots: Vec::new(),
            written: BTreeSet::new(),
            engine: None,
            sregs: kvm_sregs::default(),
            host: Rc::clone(&host),
        };
        (hypervisor, SimulatedCounter(host))
    }

    fn engine(&mut self) -> Result<&mut Engine<Interp>, Error> {
        if self.engine.is_none() {
            let memory = see(&self.slots)?;
            let mut engine = Engine::new(Cpu::new(PhysMap::new(memory, Vec::new())), Interp);
            engine.cpu.core.rings.counted = true;
            engine.cpu.core.rings.stop = u64::MAX;
            engine.take_lately();
            self.engine = Some(engine);
        }
        self.engine.as_mut().ok_or(Error::new(libc::ENOMEM))
    }
}

/// The memory of `slots`.
fn see(slots: &[Slot]) -> Result<GuestMemoryMmap, Error> {
    let no = |_| Error::new(libc::EINVAL);
    let mut regions = Vec::new();
    for slot in slots {
        let flags = libc::MAP_ANONYMOUS | libc::MAP_PRIVATE | libc::MAP_NORESERVE;
        // SAFETY: `Slot` promises that so many bytes stay mapped there; both views are used by one thread, one after the other.
        let region = unsafe {
            MmapRegion::build_raw(
                slot.host as *mut u8,
                slot.len as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
            )
        };
        let region = GuestRegionMmap::new(region.map_err(no)?, GuestAddress(slot.start));
        regions.push(region.ok_or(Error::new(libc::EINVAL))?);
    }
    GuestMemoryMmap::from_regions(regions).map_err(|_| Error::new(libc::EINVAL))
}

/// Runs user code, at most so many instructions. How many it retired.
fn run_instructions(engine: &mut Engine<Interp>, most: u64) -> (u64, Stop) {
    let start = engine.cpu.core.count;
    let stop = engine.run(&mut Nothing, start + most, false);
    let core = &engine.cpu.core;
    let end = if engine.cpu.cpl() == 3 { core.count } else { core.rings.kernel_at };
    (end.saturating_sub(start), stop)
}

/// Runs user code, at most so many instructions, and until it has retired `until` conditional branches. How many it did.
fn run_branches(engine: &mut Engine<Interp>, most: u64, until: u64) -> (u64, Stop) {
    // Decoded once: code that changes within a run is counted wrongly, as by a counter that is wrong.
    let mut known = HashMap::new();
    let (mut branches, end) = (0, engine.cpu.core.count + most);
    loop {
        let (next, pc) = (engine.cpu.core.count + 1, engine.cpu.core.pc);
        let is_branch = *known.entry(pc).or_insert_with(|| at_branch(&engine.cpu));
        let stop = engine.run(&mut Nothing, next, false);
        // Of what leads to the shell nothing has retired.
        if engine.cpu.cpl() == 3 && engine.cpu.core.count == next {
            branches += u64::from(is_branch);
        }
        let goes_on = stop == Stop::Limit && engine.cpu.cpl() == 3;
        if !goes_on || branches >= until || engine.cpu.core.count >= end {
            return (branches, stop);
        }
    }
}

/// In 64-bit mode an unusable segment has a base.
fn segment(from: &kvm_segment) -> Segment {
    Segment { base: from.base, ..registers::of_kvm(from) }
}

impl Hypervisor for Simulated {
    fn add(&mut self, slot: Slot) -> Result<(), Error> {
        if self.engine.is_none() {
            self.slots.push(slot);
        }
        Ok(())
    }

    fn remove(&mut self, _: Slot) -> Result<(), Error> {
        Ok(())
    }

    fn take_written(&mut self, slot: Slot) -> Result<Vec<u64>, Error> {
        let engine = self.engine()?;
        let pages = engine.take_lately();
        let phys = &engine.cpu.core.phys;
        let addresses: Vec<_> = pages.into_iter().map(|page| phys.page_address(page)).collect();
        self.written.extend(addresses);
        let mut bits = vec![0; (slot.len / 4096).div_ceil(64) as usize];
        let mut behind = self.written.split_off(&slot.start);
        self.written.append(&mut behind.split_off(&(slot.start + slot.len)));
        for at in behind.into_iter().map(|addr| (addr - slot.start) / 4096) {
            bits[(at / 64) as usize] |= 1 << (at % 64);
        }
        Ok(bits)
    }

    fn set_cpuid(&mut self, _: &CpuId) -> Result<(), Error> {
        Ok(())
    }

    fn set_msrs(&mut self, msrs: &Msrs) -> Result<usize, Error> {
        let to = &mut self.engine()?.cpu.sys.msrs;
        for (n, msr) in msrs.as_slice().iter().enumerate() {
            *match msr.index {
                0x174 => &mut to.sysenter_cs,
                0xc000_0081 => &mut to.star,
                0xc000_0082 => &mut to.lstar,
                0xc000_0083 => &mut to.cstar,
                0xc000_0084 => &mut to.fmask,
                _ => return Ok(n),
            } = msr.data;
        }
        Ok(msrs.as_slice().len())
    }

    fn sregs(&mut self) -> Result<kvm_sregs, Error> {
        let mut sregs = self.sregs;
        let sys = &self.engine()?.cpu.sys;
        sregs.cr2 = sys.cr2;
        let s = &mut sregs;
        for (n, to) in
            [&mut s.es, &mut s.cs, &mut s.ss, &mut s.ds, &mut s.fs, &mut s.gs].into_iter().enumerate()
        {
            *to = registers::segment(&sys.segs[n]);
        }
        Ok(sregs)
    }

    fn set_sregs(&mut self, sregs: &kvm_sregs) -> Result<(), Error> {
        self.sregs = *sregs;
        let engine = self.engine()?;
        let mut state = engine.cpu.save();
        let s = &mut state.system;
        s.segs = [&sregs.es, &sregs.cs, &sregs.ss, &sregs.ds, &sregs.fs, &sregs.gs].map(segment);
        (s.tr, s.ldtr) = (registers::of_kvm(&sregs.tr), registers::of_kvm(&sregs.ldt));
        s.gdtr = TableRegister { base: sregs.gdt.base, limit: sregs.gdt.limit };
        s.idtr = TableRegister { base: sregs.idt.base, limit: sregs.idt.limit };
        (s.cr0, s.cr3, s.cr4, s.efer) = (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer);
        s.halted = false;
        engine.load(&state);
        Ok(())
    }

    fn regs(&mut self) -> Result<kvm_regs, Error> {
        Ok(registers::to_regs(&self.engine()?.cpu))
    }

    fn set_regs(&mut self, regs: &kvm_regs) -> Result<(), Error> {
        let engine = self.engine()?;
        let mut state = engine.cpu.save();
        state.regs = registers::general(regs);
        (state.rip, state.rflags) = (regs.rip, regs.rflags);
        engine.load(&state);
        Ok(())
    }

    fn xsave(&mut self) -> Result<kvm_xsave, Error> {
        Ok(Fpu::of(&self.engine()?.cpu).to_kvm())
    }

    fn set_xsave(&mut self, xsave: &kvm_xsave) -> Result<(), Error> {
        Fpu::of_kvm(xsave).put(&mut self.engine()?.cpu);
        Ok(())
    }

    fn take_exception(&mut self) -> Result<Option<u8>, Error> {
        Ok(None)
    }

    fn let_in(&mut self, _: OverflowSignal) -> Result<(), KvmError> {
        Ok(())
    }

    fn run(&mut self) -> Exit {
        let host = Rc::clone(&self.host);
        let engine = match self.engine() {
            Ok(engine) => engine,
            Err(error) => return Exit::Failure(error.to_string()),
        };
        // The translator has its own view of memory, and may have written code.
        engine.forget();
        let stop = if engine.cpu.cpl() == 3 {
            let host = &mut *host.borrow_mut();
            let (instructions, until) = host.lengths();
            let (events, stop) = match host.event {
                Event::Instructions => run_instructions(engine, instructions.min(until)),
                Event::ConditionalBranches => run_branches(engine, instructions, until),
            };
            host.retire(events, until);
            stop
        } else {
            let end = engine.cpu.core.count + MOST;
            engine.run(&mut Nothing, end, false)
        };
        match stop {
            Stop::Halt => Exit::Halt,
            Stop::Shutdown => Exit::Failure("a triple fault".to_owned()),
            Stop::Limit | Stop::Attention | Stop::InterruptWindow | Stop::Hit => Exit::Signal,
        }
    }
}

impl Counter for SimulatedCounter {
    fn restart(&mut self) -> Result<(), PmuError> {
        let mut host = self.0.borrow_mut();
        (host.start, host.unretired, host.overflow) = (host.hardware, 0, None);
        Ok(())
    }

    fn count(&mut self) -> Result<u64, PmuError> {
        let host = self.0.borrow();
        Ok(host.hardware - host.start + host.unretired)
    }

    fn arm(&mut self, events: u64) -> Result<(), PmuError> {
        if events < MIN_PERIOD {
            return Err(PmuError::PeriodTooShort(events));
        }
        let mut host = self.0.borrow_mut();
        host.overflow = Some(host.hardware + events);
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), PmuError> {
        self.0.borrow_mut().overflow = None;
        Ok(())
    }

    fn set_rearming(&mut self, _: Rearming) {}

    fn note_unretired(&mut self, events: u64) {
        self.0.borrow_mut().unretired += events;
    }
}

/// User code reaches no device: what it may reach is RAM.
struct Nothing;

impl Bus for Nothing {
    fn port_read(&mut self, _: u64, _: u16, _: Width) -> u32 {
        u32::MAX
    }
    fn port_write(&mut self, _: u64, _: u16, _: Width, _: u32) {}
    fn mmio_read(&mut self, _: u64, _: u64, _: Width) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: u64, _: u64, _: Width, _: u64) {}
    fn attention(&mut self) -> bool {
        false
    }
    fn tsc(&self, _: u64) -> u64 {
        0
    }
    fn apic_base(&self) -> u64 {
        0
    }
    fn set_apic_base(&mut self, _: u64, _: u64) -> bool {
        false
    }
    fn tsc_deadline(&self, _: u64) -> u64 {
        0
    }
    fn set_tsc_deadline(&mut self, _: u64, _: u64) {}
    fn tpr(&self) -> u8 {
        0
    }
    fn set_tpr(&mut self, _: u64, _: u8) {}
}
