use std::fmt;

use crate::digest::MachineDigest;
use crate::end::EndReason;
use crate::seam::Admitted;
use crate::time::{Position, Stamp, VirtualTime};

/// Why [`Steppable::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<H> {
    /// The position asked for is reached.
    Reached,
    /// Every vCPU is halted; only an input or the passing of time can wake one.
    Idle,
    /// The machine cannot count how far it comes, and has come far enough for now. Only of machines with
    /// [landmarks](Steppable::landmark).
    Paused,
    /// The machine has ended its run.
    Ended(EndReason),
    /// Something that [`Steppable::set_stops`] asked for, there or at the position asked for.
    Hit(H),
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
    /// Where an observer wants it to stop; the default is nowhere. No part of the state.
    type Stops: Clone + Default + PartialEq;
    /// What was hit of them.
    type Hit: Clone + PartialEq + fmt::Debug;
    /// What happened in a stretch of the run, in short: what [`may_hit`](Self::may_hit) judges by.
    type Trace: Clone;

    /// Where the machine is.
    fn now(&self) -> Stamp;

    /// The place where the machine is, in its own encoding, if positions are not counted in its run: then [`now`](Self::now)
    /// only orders what happens.
    fn landmark(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Runs until exactly `target`, or until the machine falls asleep, ends or hits something before.
    ///
    /// What is to be stopped at is looked for at every moment after the one the call begins at, up to and with the one it
    /// ends at. So a hit at `target` is [`Stop::Hit`], not [`Stop::Reached`], and a call that begins where a call, a
    /// [`restore`](Self::restore) or a [`set_stops`](Self::set_stops) left the machine passes what would hit there; unless
    /// an input or a timer has since put another instruction in its place, which counts. After a hit
    /// [behind](Self::is_behind) an instruction the next one is still to be looked at. Thus a run cut into calls hits
    /// the same as one call, and a second call goes on past a hit.
    ///
    /// # Errors
    /// The engine cannot go on.
    fn run_until(&mut self, target: Position) -> Result<Stop<Self::Hit>, Self::Error>;

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

    /// The machine's state. The machine may tidy up its book-keeping, for which it takes `&mut self`; its state stays.
    fn save(&mut self) -> Self::Snapshot;

    /// Puts the machine into a state that [`save`](Self::save) gave.
    fn restore(&mut self, state: &Self::Snapshot);

    /// The digest of the machine's whole state, by parts.
    ///
    /// Taken at the recorded positions in every replay, never left out: a machine may put what its digest does not cover
    /// (stale TLB entries) into a known state here, and for that it takes `&mut self`.
    fn digest(&mut self) -> MachineDigest;

    /// Says where to stop from now on, instead of what was said before. The guest's run does not change by it.
    fn set_stops(&mut self, stops: &Self::Stops);

    /// Whether `hit` is found after what makes it (a watched access: the machine stands behind the instruction) rather than
    /// before (a breakpoint).
    fn is_behind(hit: &Self::Hit) -> bool;

    /// What happened since the last call, or since the last [`restore`](Self::restore). A hit at the instruction that comes
    /// next counts as having happened.
    fn trace(&mut self) -> Self::Trace;

    /// Whether a stretch with this trace may have hit any of `stops`. Only `false` is certain.
    fn may_hit(&self, trace: &Self::Trace, stops: &Self::Stops) -> bool;

    /// Bytes of host memory that `state` takes and `beside` does not already take.
    fn weight(state: &Self::Snapshot, beside: Option<&Self::Snapshot>) -> usize;
}
