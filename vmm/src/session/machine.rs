use rrvmm_devices::{Input, Output};
use rrvmm_replay::Steppable;
use rrvmm_replay::seam::FirstReads;

/// By number of the serial port: whether it has enough input waiting.
pub type FullPorts = [bool; 2];

/// A machine that a session can run: it can be stepped, and it says what its guest sends out.
pub trait Machine: Steppable<Input = Input> {
    /// Moves what the machine has sent out since the last call to the end of `outputs`. No part of the state.
    fn take_outputs(&mut self, outputs: &mut Vec<Output>);

    /// Which serial ports have input waiting that the guest has yet to read, so much that more should stay outside.
    fn full_ports(&self) -> FullPorts;

    /// What a recording of the run has to keep of its disks, if there are any: once.
    fn first_reads(&mut self) -> Option<Box<dyn FirstReads>>;

    /// The vCPUs' registers, for people: what a triple fault leaves to look at. Several lines.
    fn describe_cpus(&self) -> String;
}
