//! Memory as the board's bus masters reach it: through the accelerator, so that written code goes, pages count as written,
//! and whoever watches is told.

use super::PcMachine;
use crate::accel::Accelerator;
use rrvmm_devices::dma::{Master, Masters, Memory};
use rrvmm_replay::VirtualTime;

struct Ram<'a> {
    accel: &'a mut dyn Accelerator,
    master: Master,
}

impl Memory for Ram<'_> {
    fn begin(&mut self, master: Master) {
        self.master = master;
    }

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        fits(addr, bytes) && self.accel.dma_read(self.master.0, addr, bytes) == bytes.len()
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        fits(addr, bytes) && self.accel.dma_write(self.master.0, addr, bytes) == bytes.len()
    }
}

/// Whether the bytes from `addr` on end before the address space does.
fn fits(addr: u64, bytes: &[u8]) -> bool {
    addr.checked_add(bytes.len() as u64).is_some()
}

impl PcMachine {
    /// Lets devices do the work that is due at `now`, between two instructions.
    pub(super) fn serve_masters(&mut self, now: VirtualTime) {
        let mut masters = Masters {
            memory: &mut Ram { accel: &mut *self.accel, master: Master::default() },
            disks: &mut self.disks,
        };
        self.board.serve(now, &mut masters);
    }
}
