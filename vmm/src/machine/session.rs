//! The machine as sessions run it.

use super::{MachineError, PcMachine, clock::Measure, describe};
use crate::session::{FullPorts, Machine};
use rrvmm_devices::{Input, Output, input::Backlog};
use rrvmm_replay::seam::FirstReads;
use std::time::Duration;

/// Bytes at a serial port for which the guest has work enough: a few hundred milliseconds at 115200 baud.
const ENOUGH_INPUT: usize = 4096;

/// Bytes of frames at a network card that its driver has no buffers for: more would be lost in the end.
const ENOUGH_FRAMES: usize = 64 << 10;

/// Most nanoseconds that a machine is told at once to have passed: two and a half of Linux's usual ticks.
const MOST_AT_ONCE: u64 = 10_000_000;

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

    fn time_passed(&mut self, busy: Duration) -> Option<Input> {
        if self.clock.measure() != Measure::Accesses {
            return None;
        }
        let now = self.time();
        let told = std::mem::replace(&mut self.told, now);
        // What accesses have brought it forward by need not come from the clock again; and a host that stood still has not
        // let the guest's time stand for long.
        let ns = (busy.as_nanos() as u64).min(MOST_AT_ONCE).saturating_sub(now.since(told));
        self.told = now.after(ns);
        (ns > 0).then_some(Input::Time { ns })
    }

    fn state_parts(&mut self) -> Result<Vec<Vec<u8>>, MachineError> {
        if self.marks { self.parts_since() } else { Ok(Vec::new()) }
    }

    fn describe_cpus(&self) -> String {
        describe(&self.cpu())
    }
}
