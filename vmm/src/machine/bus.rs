//! The board as the CPU's bus: instruction counts become virtual times.

use super::clock::{Clock, Measure};
use rrvmm_devices::{Pc, Width as BoardWidth};
use rrvmm_replay::VirtualTime;
use rrvmm_tcg::{Bus, Width};

/// Borrowed for one run of the CPU.
pub(super) struct BoardBus<'a> {
    pub board: &'a mut Pc,
    pub clock: &'a mut Clock,
}

impl BoardBus<'_> {
    fn time(&self, at: u64) -> VirtualTime {
        self.clock.at(at)
    }

    /// The time of an access to a device, which may be what makes time go on.
    fn access(&mut self, at: u64) -> VirtualTime {
        self.clock.access();
        self.clock.at(at)
    }
}

fn width(w: Width) -> BoardWidth {
    match w {
        Width::B1 => BoardWidth::B1,
        Width::B2 => BoardWidth::B2,
        Width::B4 => BoardWidth::B4,
        Width::B8 => BoardWidth::B8,
    }
}

impl Bus for BoardBus<'_> {
    fn port_read(&mut self, at: u64, port: u16, w: Width) -> u32 {
        let now = self.access(at);
        self.board.port_read(now, port, width(w))
    }

    fn port_write(&mut self, at: u64, port: u16, w: Width, value: u32) {
        let now = self.access(at);
        self.board.port_write(now, port, width(w), value);
    }

    fn mmio_read(&mut self, at: u64, addr: u64, w: Width) -> u64 {
        let now = self.access(at);
        self.board.mmio_read(now, addr, width(w))
    }

    fn mmio_write(&mut self, at: u64, addr: u64, w: Width, value: u64) {
        let now = self.access(at);
        self.board.mmio_write(now, addr, width(w), value);
    }

    fn attention(&mut self) -> bool {
        // Where accesses are the measure, only they can reach a deadline.
        let is_due = || self.board.next_deadline().is_some_and(|deadline| deadline <= self.clock.at(0));
        self.clock.measure() == Measure::Accesses && is_due() || self.board.attention()
    }

    fn tsc(&self, at: u64) -> u64 {
        self.time(at).ns()
    }

    fn apic_base(&self) -> u64 {
        self.board.apic_base()
    }

    fn set_apic_base(&mut self, at: u64, value: u64) -> bool {
        self.board.set_apic_base(self.time(at), value).is_ok()
    }

    fn tsc_deadline(&self, at: u64) -> u64 {
        self.board.tsc_deadline(self.time(at))
    }

    fn set_tsc_deadline(&mut self, at: u64, value: u64) {
        self.board.set_tsc_deadline(self.time(at), value);
    }

    fn tpr(&self) -> u8 {
        self.board.tpr()
    }

    fn set_tpr(&mut self, at: u64, value: u8) {
        self.board.set_tpr(self.time(at), value);
    }
}
