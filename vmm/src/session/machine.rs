use std::time::Duration;

use rrvmm_devices::{Input, Output};
use rrvmm_replay::Steppable;
use rrvmm_replay::seam::FirstReads;

/// Most ports of virtio consoles that the host can serve.
pub const MOST_CONSOLE_PORTS: usize = 5;

/// Most network cards that the host can serve.
pub const MOST_NICS: usize = 4;

/// What has enough input waiting, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullPorts {
    /// Serial ports.
    pub serial: [bool; 2],
    /// Ports of virtio consoles.
    pub consoles: [bool; MOST_CONSOLE_PORTS],
    /// Network cards.
    pub nics: [bool; MOST_NICS],
}

/// A machine that a session can run: it can be stepped, and it says what its guest sends out.
pub trait Machine: Steppable<Input = Input> {
    /// Moves what the machine has sent out since the last call to the end of `outputs`. No part of the state.
    fn take_outputs(&mut self, outputs: &mut Vec<Output>);

    /// Which ports have input waiting that the guest has yet to read, so much that more should stay outside.
    fn full_ports(&self) -> FullPorts;

    /// What a recording of the run has to keep of its disks, if there are any: once.
    fn first_reads(&mut self) -> Option<Box<dyn FirstReads>>;

    /// What the machine has to be told of host time that has passed since it was told last, `busy` of it with a running
    /// guest: of a machine whose time its instructions do not give.
    fn time_passed(&mut self, busy: Duration) -> Option<Input> {
        let _ = busy;
        None
    }

    /// What of the state has changed since the last call, or power-on, in parts as [`Seam::state`](rrvmm_replay::Seam::state)
    /// takes them: of a machine that has [landmarks](Steppable::landmark), at a digest.
    ///
    /// # Errors
    /// It cannot be encoded.
    fn state_parts(&mut self) -> Result<Vec<Vec<u8>>, Self::Error> {
        Ok(Vec::new())
    }

    /// The vCPUs' registers, for people: what a triple fault leaves to look at. Several lines.
    fn describe_cpus(&self) -> String;
}
