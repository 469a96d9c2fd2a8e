//! What is there: registers, memory, the next instruction.

use rrvmm_devices::vga::Frame;
use rrvmm_replay::MachineDigest;
use rrvmm_tcg::stops::Space;
use rrvmm_tcg::x86::State;

use super::Explorer;
use crate::diverge::Inspect;

impl Explorer {
    /// The CPU's state.
    #[must_use]
    pub fn cpu(&self) -> State {
        self.machine().cpu()
    }

    /// The local APIC's task priority; CR8 is its upper four bits.
    #[must_use]
    pub fn task_priority(&self) -> u8 {
        self.machine().task_priority()
    }

    /// The lights of the keyboard, see [`rrvmm_devices::Pc::keyboard_leds`].
    #[must_use]
    pub fn keyboard_leds(&self) -> u8 {
        self.machine().keyboard_leds()
    }

    /// What the screen shows.
    #[must_use]
    pub fn frame(&self) -> Frame {
        self.machine().frame()
    }

    /// The next instruction: address, disassembly, bytes.
    #[must_use]
    pub fn instruction(&self) -> String {
        self.machine().instruction()
    }

    /// Names and values of everything in the CPU that has a name.
    #[must_use]
    pub fn registers(&self) -> Vec<(String, String)> {
        Inspect::registers(self.machine())
    }

    /// The digest of the whole state, without any effect on it.
    #[must_use]
    pub fn fingerprint(&self) -> MachineDigest {
        self.machine().fingerprint()
    }

    /// Reads RAM from `addr` on; see [`PcMachine::read`](crate::machine::PcMachine::read).
    #[must_use]
    pub fn read(&self, space: Space, addr: u64, bytes: &mut [u8]) -> usize {
        self.machine().read(space, addr, bytes)
    }

    /// Overwrites RAM from `addr` on, on a diversion; see [`PcMachine::write`](crate::machine::PcMachine::write). Where
    /// nothing can be written, none begins.
    pub fn write(&mut self, space: Space, addr: u64, bytes: &[u8]) -> usize {
        if bytes.is_empty() || self.machine().read(space, addr, &mut [0]) == 0 {
            return 0;
        }
        self.diverge();
        self.machine_mut().write(space, addr, bytes)
    }

    /// Takes over a CPU state, on a diversion; none begins if nothing changes.
    pub fn set_cpu(&mut self, state: &State) {
        if *state != self.cpu() {
            self.diverge();
            self.machine_mut().set_cpu(state);
        }
    }
}
