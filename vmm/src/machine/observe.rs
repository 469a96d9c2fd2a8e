//! The machine as someone who looks into it sees and changes it.

use super::PcMachine;
use crate::memory::PAGE_SIZE;
use rrvmm_tcg::{
    stops::Space,
    x86::{State, translate::linear_pc_of},
};

impl PcMachine {
    /// Linear address of the next instruction.
    #[must_use]
    pub fn linear_pc(&self) -> u64 {
        let state = self.accel.save();
        linear_pc_of(&state.system, state.rip)
    }

    /// The local APIC's task priority, which is CR8 in its upper four bits.
    #[must_use]
    pub fn task_priority(&self) -> u8 {
        self.board.tpr()
    }

    /// The physical address at which the guest's page tables have linear address `addr`; `None` where nothing is mapped.
    #[must_use]
    pub fn translate(&self, addr: u64) -> Option<u64> {
        self.accel.translate(addr)
    }

    /// Reads RAM from `addr` on as the guest would see it there, without any effect on the guest. Gives the number of bytes
    /// up to the first that is not mapped or not RAM.
    #[must_use]
    pub fn read(&self, space: Space, addr: u64, bytes: &mut [u8]) -> usize {
        match space {
            Space::Linear => self.accel.peek_range(addr, bytes),
            Space::Physical => self.accel.read_physical(addr, bytes),
        }
    }

    /// Overwrites RAM from `addr` on, as [`PcMachine::read`] finds it; the page tables' permissions do not matter. Gives
    /// the number of bytes up to the first that is not mapped or not RAM.
    ///
    /// The machine is no longer where its recording has it.
    pub fn write(&mut self, space: Space, addr: u64, bytes: &[u8]) -> usize {
        match space {
            Space::Linear => self.accel.poke(addr, bytes),
            Space::Physical => self.accel.write_physical(addr, bytes),
        }
    }

    /// Takes over a CPU state. Its count of instructions stays.
    ///
    /// The machine is no longer where its recording has it.
    pub fn set_cpu(&mut self, state: &State) {
        let count = self.accel.position().count();
        self.accel.load(&State { count, ..state.clone() });
    }

    /// Number of the RAM page that holds the byte at physical address `addr`.
    pub(super) fn ram_page(&self, addr: u64) -> Option<usize> {
        let frame = addr & !(PAGE_SIZE as u64 - 1);
        let (mut low, mut high) = (0, self.accel.pages());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.accel.page_address(middle).cmp(&frame) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}
