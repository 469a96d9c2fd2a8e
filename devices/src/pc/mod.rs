//! The `pc` board: an i440FX-class PC with APICs, HPET and ACPI.

mod config;

pub use config::*;

use crate::bus::Width;
use crate::input::Input;
use crate::output::Output;
use rrvmm_replay::{Admitted, VirtualTime};
use serde::{Deserialize, Serialize};

/// A state that does not belong to this board.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state does not fit this board: {0}")]
pub struct LoadError(pub String);

/// A value the register does not take; the processor raises a general protection fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("value {0:#x} is not valid for this model specific register")]
pub struct InvalidMsr(pub u64);

/// The board's whole state. Take it after [`Pc::advance`] to the same instant, so that equal machines have equal states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcState {
    apic_base: u64,
    tsc_deadline: u64,
    tpr: u8,
    a20: bool,
}

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
    outputs: Vec<Output>,
    attention: bool,
}

impl Pc {
    /// A board that has just been switched on.
    #[must_use]
    pub fn new(config: &PcConfig) -> Pc {
        let _ = config;
        let state = PcState { apic_base: LAPIC_BASE | 0x900, tsc_deadline: 0, tpr: 0, a20: true };
        Pc { state, outputs: Vec::new(), attention: true }
    }

    /// The reset line is pulsed: every chip returns to its reset state; the clock and its CMOS memory go on.
    pub fn reset(&mut self, now: VirtualTime) {
        let _ = now;
        self.attention = true;
    }

    /// The guest reads an I/O port. Unclaimed bytes read as ones.
    pub fn port_read(&mut self, now: VirtualTime, port: u16, width: Width) -> u32 {
        let _ = (now, port);
        width.ones() as u32
    }

    /// The guest writes an I/O port.
    pub fn port_write(&mut self, now: VirtualTime, port: u16, width: Width, value: u32) {
        let _ = (now, width);
        match port {
            0x3f8 => self.outputs.push(Output::Serial { port: 0, byte: value as u8 }),
            0xe9 | 0x402 => self.outputs.push(Output::DebugConsole(value as u8)),
            0xf4 => {
                self.outputs.push(Output::DebugExit { value });
                self.attention = true;
            }
            _ => {}
        }
    }

    /// The guest reads physical memory that is neither RAM nor ROM.
    pub fn mmio_read(&mut self, now: VirtualTime, address: u64, width: Width) -> u64 {
        let _ = (now, address);
        width.ones()
    }

    /// The guest writes physical memory that is neither RAM nor ROM.
    pub fn mmio_write(&mut self, now: VirtualTime, address: u64, width: Width, value: u64) {
        let _ = (now, address, width, value);
    }

    /// The earliest instant at which the guest could notice something without an access of its own.
    ///
    /// `None` when nothing is due, or everything that is due is masked. Stopping earlier does no harm.
    #[must_use]
    pub fn next_deadline(&self) -> Option<VirtualTime> {
        None
    }

    /// Lets everything happen that is due at or before `now`. How often it is called makes no difference to the guest.
    pub fn advance(&mut self, now: VirtualTime) {
        let _ = now;
    }

    /// Something arrives from outside.
    pub fn admit(&mut self, now: VirtualTime, input: Admitted<Input>) {
        let _ = (now, input);
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
        false
    }

    /// CPU 0 accepts the interrupt; returns its vector, or `None` when there is none any more.
    pub fn acknowledge_interrupt(&mut self, now: VirtualTime) -> Option<u8> {
        let _ = now;
        None
    }

    /// True once for each NMI.
    pub fn take_nmi(&mut self) -> bool {
        false
    }

    /// Whether address line 20 passes; without it, bit 20 of every physical address is zero.
    #[must_use]
    pub fn a20_enabled(&self) -> bool {
        self.state.a20
    }

    /// What 0xC0000-0xFFFFF shows, in ascending order. Has a meaning only where there is firmware.
    #[must_use]
    pub fn pam(&self) -> [PamSegment; 13] {
        [PamSegment { start: 0, len: 0, read_ram: true, write_ram: true }; 13]
    }

    /// IA32_APIC_BASE.
    #[must_use]
    pub fn apic_base(&self) -> u64 {
        self.state.apic_base
    }

    /// Writes IA32_APIC_BASE.
    ///
    /// # Errors
    /// When reserved bits are set.
    pub fn set_apic_base(&mut self, now: VirtualTime, value: u64) -> Result<(), InvalidMsr> {
        let _ = now;
        self.state.apic_base = value;
        Ok(())
    }

    /// IA32_TSC_DEADLINE, in nanoseconds of virtual time: a processor whose TSC has an offset converts.
    #[must_use]
    pub fn tsc_deadline(&self, now: VirtualTime) -> u64 {
        let _ = now;
        self.state.tsc_deadline
    }

    /// Writes IA32_TSC_DEADLINE, in nanoseconds of virtual time.
    pub fn set_tsc_deadline(&mut self, now: VirtualTime, value: u64) {
        let _ = now;
        self.state.tsc_deadline = value;
    }

    /// The local APIC's task priority register; CR8 is its upper four bits.
    #[must_use]
    pub fn tpr(&self) -> u8 {
        self.state.tpr
    }

    /// Writes the task priority register; for CR8, shift left by four first.
    pub fn set_tpr(&mut self, now: VirtualTime, value: u8) {
        let _ = now;
        self.state.tpr = value;
    }

    /// Accesses that no device claimed, since power-on.
    #[must_use]
    pub fn unclaimed(&self) -> Unclaimed {
        Unclaimed::default()
    }

    /// The whole state.
    #[must_use]
    pub fn save(&self) -> PcState {
        self.state.clone()
    }

    /// Returns to a saved state. Untaken outputs are dropped, and attention is raised.
    ///
    /// # Errors
    /// When the state is not one that such a board can have; the board is unchanged then.
    pub fn load(&mut self, state: &PcState) -> Result<(), LoadError> {
        self.state = state.clone();
        self.outputs.clear();
        self.attention = true;
        Ok(())
    }
}
