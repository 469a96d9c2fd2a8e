//! The machine as sessions run it.

use super::{PcMachine, describe};
use crate::session::{FullPorts, Machine};
use rrvmm_devices::{Output, input::Backlog};
use rrvmm_replay::seam::FirstReads;

/// Bytes at a serial port for which the guest has work enough: a few hundred milliseconds at 115200 baud.
const ENOUGH_INPUT: usize = 4096;

/// Bytes of frames at a network card that its driver has no buffers for: more would be lost in the end.
const ENOUGH_FRAMES: usize = 64 << 10;

impl Machine for PcMachine {
    fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        self.drain_outputs(outputs);
    }

    fn full_ports(&self) -> FullPorts {
        let serial = |port: usize| self.board.serial_backlog(port as u8) >= ENOUGH_INPUT;
        let console = |port: usize| self.board.backlog(Backlog::Console(port as u8)) >= ENOUGH_INPUT;
        let nic = |nic: usize| self.board.backlog(Backlog::Nic(nic as u8)) >= ENOUGH_FRAMES;
        FullPorts {
            serial: std::array::from_fn(serial),
            consoles: std::array::from_fn(console),
            nics: std::array::from_fn(nic),
        }
    }

    fn first_reads(&mut self) -> Option<Box<dyn FirstReads>> {
        self.disks.take_first_reads()
    }

    fn describe_cpus(&self) -> String {
        describe(&self.cpu())
    }
}
