//! What an observer needs: stops that the guest does not notice, and translations that outlive a change of state.

use super::Engine;
use crate::{
    block::Backend,
    itlb,
    stops::{Hit, Stops},
    tlb,
    x86::{Cpu, State, translate::linear_pc},
};

/// The contents of both TLBs, which a guest can tell (see [`crate::tlb`]): what [`State`] leaves out of a CPU's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translations {
    data: tlb::Contents,
    fetch: itlb::Contents,
    aligned: bool,
}

impl Translations {
    /// Bytes of host memory behind it.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.data.weight() + self.fetch.weight()
    }
}

impl<B: Backend<Cpu>> Engine<B> {
    /// Says where runs stop from now on, instead of what was said before. The instruction at which the CPU is now counts as
    /// seen. Translated code goes only where a new breakpoint lies in it.
    pub fn set_stops(&mut self, stops: &Stops) {
        let changed = self.cpu.core.observer.set(stops);
        for addr in changed.breakpoints {
            for id in self.cache.containing(addr) {
                self.stats.discarded += 1;
                self.cache.discard(id);
            }
        }
        self.disconnect();
        if changed.watches {
            self.cpu.review_watches();
        }
        self.see(true);
    }

    /// The observer has seen the CPU where it is now: what happens from here on is after that, and, when `breakpoint`, the
    /// next run does not stop for the breakpoint here.
    pub fn see(&mut self, breakpoint: bool) {
        let core = &self.cpu.core;
        let (count, addr) = (core.count, linear_pc(&self.cpu, core.pc));
        self.cpu.core.observer.see(count, addr, breakpoint);
    }

    /// The breakpoint before which the CPU stands, or else the event that has just been delivered, unless the observer has
    /// seen it there.
    #[inline]
    #[must_use]
    pub fn breakpoint(&self) -> Option<Hit> {
        let core = &self.cpu.core;
        let is_at_event = core.observer.is_at_event(core.count);
        if !core.observer.has_breakpoints() && !is_at_event {
            return None;
        }
        let addr = linear_pc(&self.cpu, core.pc);
        let holds = |&(at, value): &(u64, u64)| core.phys.read(at, 8) == Some(value);
        if core.observer.stops_at(core.count, addr, &core.regs[..16])
            && core.observer.words(addr).iter().all(holds)
        {
            return Some(Hit::Breakpoint { addr });
        }
        is_at_event.then_some(Hit::Event { addr })
    }

    /// Whether the next instruction has a breakpoint, seen or not.
    #[inline(always)]
    pub(super) fn at_breakpoint(&self) -> bool {
        let core = &self.cpu.core;
        core.observer.has_breakpoints()
            && core.observer.is_stop(linear_pc(&self.cpu, core.pc), &core.regs[..16])
    }

    /// The watched access of the instruction that has just completed, once.
    pub fn take_access(&mut self) -> Option<Hit> {
        self.cpu.core.observer.take_access(self.cpu.core.count)
    }

    /// Takes over a CPU state; memory is the caller's. Both TLBs are empty then, translated code stays.
    pub fn load(&mut self, state: &State) {
        self.cpu.load(state);
        self.cpu.core.leave = false;
        self.cpu.core.observer.forget_access();
        self.see(true);
    }

    /// What both TLBs hold.
    #[must_use]
    pub fn translations(&self) -> Translations {
        let core = &self.cpu.core;
        Translations { data: core.tlb.contents(), fetch: core.itlb.contents(), aligned: self.aligned }
    }

    /// Fills both TLBs with what they held when the CPU, its memory and the physical map were as they are now.
    pub fn set_translations(&mut self, translations: &Translations) {
        self.aligned = translations.aligned;
        self.cpu.set_data_translations(&translations.data);
        self.cpu.core.itlb.set_contents(&translations.fetch);
    }

    /// RAM pages written since the last call, in any order (see [`crate::phys::PhysMap::take_lately`]).
    pub fn take_lately(&mut self) -> Vec<usize> {
        self.cpu.core.tlb.close_writes();
        self.cpu.core.phys.take_lately()
    }

    /// RAM pages written since the last call, ascending. No translation is dropped, and nothing is taken from
    /// [`crate::phys::PhysMap::take_dirty`].
    pub fn take_written(&mut self) -> Vec<usize> {
        self.cpu.core.tlb.close_writes();
        self.cpu.core.phys.take_written()
    }
}
