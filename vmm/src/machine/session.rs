//! The machine as sessions run it.

use super::{PcMachine, describe};
use crate::session::{FullPorts, Machine};
use rrvmm_devices::Output;
use rrvmm_replay::seam::FirstReads;

/// Bytes at a serial port for which the guest has work enough: a few hundred milliseconds at 115200 baud.
const ENOUGH_INPUT: usize = 4096;

impl Machine for PcMachine {
    fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        self.drain_outputs(outputs);
    }

    fn full_ports(&self) -> FullPorts {
        let is_full = |port| self.board.serial_backlog(port) >= ENOUGH_INPUT;
        [is_full(0), is_full(1)]
    }

    fn first_reads(&mut self) -> Option<Box<dyn FirstReads>> {
        self.disks.take_first_reads()
    }

    fn describe_cpus(&self) -> String {
        describe(&self.cpu())
    }
}
