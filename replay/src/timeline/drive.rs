use super::steppable::{Steppable, Stop};
use crate::end::EndReason;
use crate::journal::Cut;
use crate::seam::{Due, Seam, SeamError};
use crate::time::{Position, VirtualTime};

/// Why a machine cannot be driven further.
#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    /// The journal, or a divergence from it.
    #[error(transparent)]
    Seam(#[from] SeamError),
    /// The machine.
    #[error("the machine cannot go on")]
    Machine(#[source] E),
}

/// Where [`step`] has come to.
#[derive(Debug)]
pub enum Step<H> {
    /// The seam has had the digest that was due. There is more to do.
    Digested {
        /// Whether the machine had just come to its position: no input and no sleep there went before.
        at_arrival: bool,
    },
    /// The limit, as the machine first comes to it or where it already was; or where a machine that does not count pauses.
    Reached,
    /// The machine sleeps. The caller waits if it likes, then calls [`jump`] with this moment (or an earlier one, before
    /// it admits an input there).
    Idle {
        /// The moment at which the machine is next looked at; none if neither a timer nor a recording has one.
        until: Option<VirtualTime>,
    },
    /// The run has ended, and the seam knows.
    Ended(EndReason),
    /// The recording is cut off here.
    Cut(Cut),
    /// Something that the machine was told to stop at ([`Steppable::set_stops`]); before, or at, the limit.
    Hit(H),
}

/// Does everything that is due, then runs the machine up to `limit`, with digests and recorded inputs on the way.
///
/// Recording, replaying and seeking all move a machine through this one function, so they cannot disagree on the order
/// of things at one moment: what is due first, then sleep, then instructions.
///
/// # Errors
/// The machine fails, the journal fails, or the run is not the recorded one.
pub fn step<M, S>(
    machine: &mut M,
    seam: &mut S,
    limit: Position,
) -> Result<Step<M::Hit>, DriveError<M::Error>>
where
    M: Steppable,
    S: Seam<Input = M::Input>,
{
    // Where an earlier call left the machine, it may have gone on from its arrival.
    step_on(machine, seam, limit, false)
}

/// As [`step`], told whether the machine has just come to where it is: no input and no sleep there has gone before.
///
/// # Errors
/// As [`step`].
pub fn step_on<M, S>(
    machine: &mut M,
    seam: &mut S,
    limit: Position,
    mut at_arrival: bool,
) -> Result<Step<M::Hit>, DriveError<M::Error>>
where
    M: Steppable,
    S: Seam<Input = M::Input>,
{
    loop {
        let now = machine.now();
        if now.position >= limit {
            return Ok(Step::Reached);
        }
        match seam.due(now)? {
            Due::Input(input) => {
                machine.admit(input).map_err(DriveError::Machine)?;
                at_arrival = false;
                continue;
            }
            Due::Digest => {
                place(machine, seam)?;
                seam.digest(now, &machine.digest())?;
                return Ok(Step::Digested { at_arrival });
            }
            Due::End(reason) => {
                place(machine, seam)?;
                seam.end(now, reason, &machine.digest())?;
                return Ok(Step::Ended(reason));
            }
            Due::Cut(cut) => return Ok(Step::Cut(cut)),
            Due::Sleep(time) => {
                if !machine.is_idle() {
                    seam.awake(now)?;
                }
                // A timer that expires at the same moment goes first, as it did when the input was recorded.
                let until = machine.next_deadline().map_or(time, |deadline| deadline.min(time));
                return Ok(Step::Idle { until: Some(until) });
            }
            Due::Nothing => {}
        }
        if machine.is_idle() {
            return Ok(Step::Idle { until: machine.next_deadline() });
        }
        let target = seam.next_stop().map_or(limit, |stop| stop.min(limit));
        let stop = machine.run_until(target).map_err(DriveError::Machine)?;
        at_arrival |= machine.now().position > now.position;
        match stop {
            // What is due where the machine now is comes before its sleep.
            Stop::Reached | Stop::Idle => {}
            Stop::Paused => return Ok(Step::Reached),
            Stop::Hit(hit) => return Ok(Step::Hit(hit)),
            Stop::Ended(reason) => {
                place(machine, seam)?;
                seam.end(machine.now(), reason, &machine.digest())?;
                return Ok(Step::Ended(reason));
            }
        }
    }
}

/// Tells the seam where the machine is, if it has to be told.
///
/// # Errors
/// The journal cannot be written.
pub fn place<M, S>(machine: &mut M, seam: &mut S) -> Result<(), SeamError>
where
    M: Steppable,
    S: Seam<Input = M::Input>,
{
    match machine.landmark() {
        Some(place) => seam.landmark(machine.now(), place),
        None => Ok(()),
    }
}

/// Lets a sleeping machine's time pass up to `until`, as [`Step::Idle`] gave it.
///
/// # Errors
/// As [`step`]; without a moment to wait for, the recording must end here, else the run is not the recorded one.
pub fn jump<M, S>(
    machine: &mut M,
    seam: &mut S,
    until: Option<VirtualTime>,
) -> Result<(), DriveError<M::Error>>
where
    M: Steppable,
    S: Seam<Input = M::Input>,
{
    match until {
        Some(time) => machine.idle_until(time).map_err(DriveError::Machine),
        None => Ok(seam.halted_forever(machine.now())?),
    }
}
