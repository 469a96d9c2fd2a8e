//! The machine as sessions run it.

use super::{PcMachine, describe};
use crate::session::Machine;
use rrvmm_devices::Output;

impl Machine for PcMachine {
    fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        self.drain_outputs(outputs);
    }

    fn describe_cpus(&self) -> String {
        describe(&self.cpu())
    }
}
