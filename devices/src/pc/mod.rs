//! The `pc` board: an i440FX-class PC with APICs, HPET and ACPI.

mod config;
#[cfg(test)]
mod conformance;

mod display;
pub(crate) mod interrupts;
mod masters;
mod memory;
mod ports;
mod state;
#[cfg(test)]
mod tests;

pub use config::*;
pub use display::VideoWindows;
pub use state::PcState;

use crate::dma::Masters;
use crate::fw_cfg::FwCfgItems;
use crate::input::{Backlog, Input, Pointer};
use crate::output::Output;
use crate::vga::{self, Frame, VideoMemory};
use rrvmm_replay::{Admitted, VirtualTime};
use serde::{Deserialize, Serialize};

/// A state that does not belong to this board.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state is of a board built otherwise: {saved:?}, this one is {own:?}")]
pub struct LoadError {
    /// How the board was built whose state it is.
    pub saved: PcConfig,
    /// How this board is built.
    pub own: PcConfig,
}

/// A value the register does not take; the processor raises a general protection fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value {0:#x} is not valid for this model specific register")]
pub struct InvalidMsr(pub u64);

/// One stretch of 0xC0000-0xFFFFF and whether accesses go to RAM or to the firmware ROM (i440FX datasheet, PAM registers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PamSegment {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// Reads go to RAM; otherwise to the ROM.
    pub read_ram: bool,
    /// Writes go to RAM; otherwise they are lost.
    pub write_ram: bool,
}

/// Accesses that no device claimed; they read as all ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// Port accesses.
    pub ports: u64,
    /// Memory accesses.
    pub memory: u64,
}

/// The board. All of its methods are deterministic functions of its state and their arguments.
///
/// `now` never goes backwards from call to call, except through [`Pc::load`].
#[derive(Clone, Debug)]
pub struct Pc {
    state: PcState,
    fw_cfg_items: FwCfgItems,
    outputs: Vec<Output>,
    attention: bool,
    // What follows is computed from the state, and kept because the engine asks often.
    deadline: Option<VirtualTime>,
    interrupt: bool,
    nmi: bool,
}

impl Pc {
    /// A board that has just been switched on.
    #[must_use]
    pub fn new(config: &PcConfig) -> Pc {
        let mut pc = Pc {
            state: PcState::new(config),
            fw_cfg_items: FwCfgItems::new(config),
            outputs: Vec::new(),
            attention: true,
            deadline: None,
            interrupt: false,
            nmi: false,
        };
        pc.settle();
        pc
    }

    /// The reset line is pulsed: every chip returns to its reset state; the clock and its CMOS memory go on.
    pub fn reset(&mut self, now: VirtualTime) {
        self.catch_up(now);
        self.state.reset(now);
        self.drive_lines();
        self.settle();
        self.attention = true;
    }

    /// The earliest instant at which the guest could notice something without an access of its own.
    ///
    /// `None` when nothing is due, or everything that is due is masked. Stopping earlier does no harm.
    #[must_use]
    pub fn next_deadline(&self) -> Option<VirtualTime> {
        self.deadline
    }

    /// Lets everything happen that is due at or before `now`. Being called more often makes no difference to the guest,
    /// as long as no [`Pc::next_deadline`] is missed.
    pub fn advance(&mut self, now: VirtualTime) {
        self.catch_up(now);
        self.settle();
    }

    /// Lets devices that are bus masters do the work that is due: after [`Pc::advance`], between two instructions.
    pub fn serve(&mut self, now: VirtualTime, masters: &mut Masters<'_>) {
        if self.state.vga.wants_clear() {
            self.clear_screen(masters.memory);
        }
        // Work that is due is the earliest deadline, so this costs nothing as long as there is none.
        if self.deadline.is_none_or(|deadline| deadline > now)
            || self.state.service_at().is_none_or(|at| at > now)
        {
            return;
        }
        self.state.serve(now, masters, &mut self.outputs);
        self.after_pci_access();
    }

    /// Something arrives from outside.
    pub fn admit(&mut self, now: VirtualTime, input: Admitted<Input>) {
        self.accept(now, input.into_input());
    }

    fn accept(&mut self, now: VirtualTime, input: Input) {
        self.catch_up(now);
        match input {
            Input::Serial { port, ref bytes } => {
                if let Some(uart) = self.state.uarts.get_mut(usize::from(port)) {
                    uart.receive(now, bytes);
                }
            }
            Input::Key { key, down } => {
                if !self.state.receive(now, &input) {
                    self.state.keyboard.press(key, down);
                }
            }
            Input::WallClock { unix_seconds } => self.state.rtc.set_time(now, unix_seconds),
            Input::PowerButton => self.state.pm.press_power_button(),
            // The machine has told by its clock.
            Input::Time { .. } | Input::State { .. } | Input::Flags { .. } => {}
            Input::Pointer(pointer) => {
                if !self.state.receive(now, &input) {
                    self.point(pointer);
                }
            }
            Input::Frame { .. } | Input::Console { .. } => {
                self.state.receive(now, &input);
            }
        }
        self.drive_lines();
        self.settle();
    }

    /// A mouse only knows how far it goes: from place to place on the screen, in pixels.
    fn point(&mut self, pointer: Pointer) {
        let mouse = self.state.keyboard.mouse();
        match pointer {
            Pointer::Move { dx, dy } => mouse.go(i32::from(dx), i32::from(dy)),
            Pointer::Place { x, y } => {
                let (width, height) = self.state.vga.size();
                let pixel = |at: u16, size: u32| ((u32::from(at.min(0x7fff)) * size) >> 15) as i32;
                let (x, y) = (pixel(x, width), pixel(y, height));
                let (from_x, from_y) = self.state.pointer.replace((x, y)).unwrap_or((x, y));
                mouse.go(x.saturating_sub(from_x), y.saturating_sub(from_y));
            }
            Pointer::Button { button, down } => mouse.press(button, down),
            Pointer::Wheel { notches } => mouse.turn_wheel(i32::from(notches)),
        }
        self.state.keyboard.next_output();
    }

    /// Bytes a serial port's peer has still to send; for throttling a source that produces without end.
    #[must_use]
    pub fn serial_backlog(&self, port: u8) -> usize {
        self.state.uarts.get(usize::from(port)).map_or(0, |uart| uart.backlog())
    }

    /// Bytes that have arrived for a network card or console port and that the guest has yet to take; for throttling.
    #[must_use]
    pub fn backlog(&self, of: Backlog) -> usize {
        self.state.backlog(of)
    }

    /// What the machine said since this was last called. Not part of the state.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Whether there is anything for [`Pc::take_outputs`].
    #[must_use]
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// True once if, since it was last asked, something changed for which the engine must stop after the current instruction:
    /// the interrupt or NMI line, an earlier deadline, A20, PAM, or an output that is not a console byte.
    pub fn attention(&mut self) -> bool {
        std::mem::take(&mut self.attention)
    }

    /// Whether CPU 0's INTR line is active.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        self.interrupt
    }

    /// CPU 0 accepts the interrupt; returns its vector, or `None` when there is none any more.
    ///
    /// The line and the next deadline may be others afterwards.
    pub fn acknowledge_interrupt(&mut self, now: VirtualTime) -> Option<u8> {
        self.catch_up(now);
        self.settle_interrupts();
        let vector = match self.state.lapic.acknowledge() {
            Some(vector) => Some(vector),
            None if self.interrupt => Some(self.state.pic.acknowledge()),
            None => None,
        };
        self.settle();
        vector
    }

    /// True once for each NMI.
    pub fn take_nmi(&mut self) -> bool {
        self.nmi = false;
        self.state.lapic.take_nmi()
    }

    /// Whether address line 20 passes; without it, bit 20 of every physical address is zero.
    #[must_use]
    pub fn a20_enabled(&self) -> bool {
        self.state.a20
    }

    /// What 0xC0000-0xFFFFF shows, in ascending order. Without firmware it is all RAM.
    #[must_use]
    pub fn pam(&self) -> [PamSegment; 13] {
        self.state.pci.host_bridge().pam()
    }

    /// IA32_APIC_BASE.
    #[must_use]
    pub fn apic_base(&self) -> u64 {
        self.state.lapic.base()
    }

    /// Writes IA32_APIC_BASE.
    ///
    /// # Errors
    /// When reserved bits are set.
    pub fn set_apic_base(&mut self, now: VirtualTime, value: u64) -> Result<(), InvalidMsr> {
        self.catch_up(now);
        let taken = self.state.lapic.set_base(value);
        self.settle();
        if taken { Ok(()) } else { Err(InvalidMsr(value)) }
    }

    /// IA32_TSC_DEADLINE, in nanoseconds of virtual time: a processor whose TSC has an offset converts.
    #[must_use]
    pub fn tsc_deadline(&self, now: VirtualTime) -> u64 {
        match self.state.lapic.tsc_deadline() {
            // Expired, only nobody has looked yet.
            deadline if deadline <= now.ns() => 0,
            deadline => deadline,
        }
    }

    /// Writes IA32_TSC_DEADLINE, in nanoseconds of virtual time.
    pub fn set_tsc_deadline(&mut self, now: VirtualTime, value: u64) {
        self.state.lapic.set_tsc_deadline(now, value);
        self.settle();
    }

    /// The local APIC's task priority register; CR8 is its upper four bits.
    #[must_use]
    pub fn tpr(&self) -> u8 {
        self.state.lapic.tpr()
    }

    /// Writes the task priority register; for CR8, shift left by four first.
    pub fn set_tpr(&mut self, now: VirtualTime, value: u8) {
        self.state.lapic.advance(now);
        self.state.lapic.set_tpr(value);
        self.settle_interrupts();
    }

    /// What the screen shows; `memory` is the linear frame buffer.
    #[must_use]
    pub fn frame(&self, memory: &(impl VideoMemory + ?Sized)) -> Frame {
        vga::frame(&self.state.vga, memory)
    }

    /// The lights of the PS/2 keyboard: 1 for Scroll Lock, 2 for Num Lock, 4 for Caps Lock.
    #[must_use]
    pub fn keyboard_leds(&self) -> u8 {
        self.state.keyboard.leds()
    }

    /// Accesses that no device claimed, since power-on.
    #[must_use]
    pub fn unclaimed(&self) -> Unclaimed {
        self.state.unclaimed
    }

    /// The whole state.
    #[must_use]
    pub fn save(&self) -> PcState {
        self.state.clone()
    }

    /// The whole state, to look at.
    #[must_use]
    pub fn state(&self) -> &PcState {
        &self.state
    }

    /// Returns to a saved state. Untaken outputs are dropped, and attention is raised.
    ///
    /// # Errors
    /// When the state is that of a board built otherwise; this one is unchanged then.
    pub fn load(&mut self, state: &PcState) -> Result<(), LoadError> {
        if state.config != self.state.config {
            return Err(LoadError { saved: state.config.clone(), own: self.state.config.clone() });
        }
        self.state.clone_from(state);
        self.outputs.clear();
        self.deadline = None;
        self.settle();
        self.attention = true;
        Ok(())
    }

    /// An output for which the engine has to stop.
    fn say(&mut self, output: Output) {
        self.outputs.push(output);
        self.attention = true;
    }
}
