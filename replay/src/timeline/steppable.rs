use crate::digest::MachineDigest;
use crate::end::EndReason;
use crate::seam::Admitted;
use crate::time::{Position, Stamp, VirtualTime};

/// Why [`Steppable::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The position asked for is reached.
    Reached,
    /// Every vCPU is halted; only an input or the passing of time can wake one.
    Idle,
    /// The machine has ended its run.
    Ended(EndReason),
}

/// A machine whose state is a function of how far it has run and of what it was given where.
///
/// The state at a position must not depend on the targets of the calls that led there: running to 5 and then to 9 is
/// running to 9. Timers that expire before or at the machine's time have expired by the time a call returns.
pub trait Steppable {
    /// What the machine takes from outside.
    type Input;
    /// Its whole state, as plain data.
    type Snapshot;
    /// What can go wrong with the engine or the host under it; never the guest's doing.
    type Error;

    /// Where the machine is.
    fn now(&self) -> Stamp;

    /// Runs until exactly `target`, or until the machine falls asleep or ends before. Returns at once if it is there.
    ///
    /// # Errors
    /// The engine cannot go on.
    fn run_until(&mut self, target: Position) -> Result<Stop, Self::Error>;

    /// Whether every vCPU is halted and none has been woken.
    fn is_idle(&self) -> bool;

    /// When the next armed timer expires, which may wake the machine; none if none is armed.
    fn next_deadline(&self) -> Option<VirtualTime>;

    /// Lets the sleeping machine's time pass up to `time`, at most the next deadline, and lets a timer due then expire.
    ///
    /// # Errors
    /// The engine cannot go on.
    fn idle_until(&mut self, time: VirtualTime) -> Result<(), Self::Error>;

    /// Gives the machine an input.
    ///
    /// # Errors
    /// The machine cannot take it.
    fn admit(&mut self, input: Admitted<Self::Input>) -> Result<(), Self::Error>;

    /// The machine's state.
    fn save(&self) -> Self::Snapshot;

    /// Puts the machine into a state that [`save`](Self::save) gave.
    fn restore(&mut self, state: &Self::Snapshot);

    /// The digest of the machine's whole state, by parts.
    ///
    /// Taken at the recorded positions in every replay, never left out: a machine may put what its digest does not cover
    /// (stale TLB entries) into a known state here, and for that it takes `&mut self`.
    fn digest(&mut self) -> MachineDigest;
}
