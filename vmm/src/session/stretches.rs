//! A recording verified in stretches between its checkpoints, several at a time.

use std::io::{Read, Seek};

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rrvmm_devices::Input;
use rrvmm_replay::timeline::{Policy, Seek as Sought, Shelf};
use rrvmm_replay::{EndReason, Position, Replayer, Steppable, Timeline};

use super::outcome::{Finish, Outcome};
use super::{Machine, Recording, SessionError};
use crate::checkpoints::DiskShelf;
use crate::diverge::{Found, Inspect, find_between};
use crate::machine::Snapshot;

/// A part of a run: from the arrival at one checkpoint to behind the digest at the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins: a checkpoint, or power-on.
    pub from: Position,
    /// Where it ends; none for the last one, which goes on to the end of the run.
    pub to: Option<Position>,
}

/// The stretches of a run that is looked at up to `until`, by the positions of its checkpoints.
#[must_use]
pub fn stretches(checkpoints: &[Position], until: Option<Position>) -> Vec<Stretch> {
    let inner = checkpoints.iter().copied().filter(|at| until.is_none_or(|until| *at < until));
    let from: Vec<Position> = std::iter::once(Position::START).chain(inner).collect();
    let to = from.iter().skip(1).map(|at| Some(*at)).chain([until]);
    from.iter().zip(to).map(|(from, to)| Stretch { from: *from, to }).collect()
}

/// The first stretch that is not as recorded.
#[derive(Debug)]
pub struct BadStretch {
    /// Which.
    pub stretch: Stretch,
    /// What is wrong.
    pub error: SessionError,
}

/// Replays all `stretches`, `jobs` at a time, each on a machine that `open` makes at power-on with the recording. Gives how
/// the last one ends.
///
/// # Panics
/// There are no stretches.
///
/// # Errors
/// The first stretch whose digests differ, or which cannot be replayed. Stretches after it may not have been looked at.
pub fn verify_stretches<M, R, O>(
    stretches: &[Stretch],
    jobs: usize,
    shelf: &DiskShelf,
    open: O,
) -> Result<Outcome, BadStretch>
where
    M: Machine<Snapshot = Snapshot>,
    M::Error: std::error::Error + Send + Sync + 'static,
    R: Read + Seek,
    O: Fn() -> Result<(M, Recording<R>), SessionError> + Sync,
{
    let next = AtomicUsize::new(0);
    let bad: Mutex<Option<(usize, SessionError)>> = Mutex::new(None);
    let last: Mutex<Option<Outcome>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, stretches.len().max(1)) {
            scope.spawn(|| {
                let mut run = None;
                // They are begun in order, so what comes before a bad one has been begun.
                while let Some((number, stretch, is_last)) = task(stretches, &next)
                    && locked(&bad).is_none()
                {
                    match verify_one(stretch, is_last, &mut run, &mut shelf.read_only(), &open) {
                        Ok(outcome) if is_last => *locked(&last) = Some(outcome),
                        Ok(_) => {}
                        Err(error) => {
                            let mut bad = locked(&bad);
                            if bad.as_ref().is_none_or(|(first, _)| number < *first) {
                                *bad = Some((number, error));
                            }
                        }
                    }
                }
            });
        }
    });
    if let Some((number, error)) = locked(&bad).take() {
        return Err(BadStretch { stretch: stretches[number], error });
    }
    let outcome = locked(&last).take();
    Ok(outcome.expect("the last stretch has been verified"))
}

/// The next stretch that nobody has begun: its number, and whether it is the last.
fn task(stretches: &[Stretch], next: &AtomicUsize) -> Option<(usize, Stretch, bool)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    stretches.get(number).map(|stretch| (number, *stretch, number + 1 == stretches.len()))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Run<M, R> = Timeline<M, Replayer<Input, R>>;

/// Finds the instruction after which the runs that `one` and `other` open (on two engines, say) part in a bad stretch, which
/// was found to be bad at `at`; none if both do the same there.
///
/// # Errors
/// A machine or a journal fails.
pub fn find_in_stretch<A, B, R>(
    bad: Stretch,
    at: Position,
    shelf: &DiskShelf,
    one: Result<(A, Recording<R>), SessionError>,
    other: Result<(B, Recording<R>), SessionError>,
) -> Result<Option<Found>, SessionError>
where
    A: Inspect<Input = Input, Snapshot = Snapshot>,
    B: Inspect<Input = Input, Snapshot = Snapshot>,
    A::Error: std::error::Error + Send + Sync + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
    R: Read + Seek,
{
    let (mut one, mut other) = (at_start(bad, shelf, one?)?, at_start(bad, shelf, other?)?);
    find_between(&mut one, &mut other, bad.from, at, |_| {})
}

/// A run that can go to the beginning of a stretch at once if there is a checkpoint.
fn at_start<M, R>(
    stretch: Stretch,
    shelf: &DiskShelf,
    (machine, recording): (M, Recording<R>),
) -> Result<Run<M, R>, SessionError>
where
    M: Steppable<Input = Input, Snapshot = Snapshot>,
    R: Read + Seek,
{
    let mut run = Timeline::with_policy(machine, recording.into_seam(), Policy::by_hand());
    if stretch.from > Position::START
        && let Some((state, events)) = shelf.read_only().load(stretch.from)
    {
        run.adopt(stretch.from, state, events)?;
    }
    Ok(run)
}

/// Runs one stretch; `run` is the timeline of this thread, once there is one.
fn verify_one<M, R, O>(
    stretch: Stretch,
    is_last: bool,
    run: &mut Option<Run<M, R>>,
    shelf: &mut dyn Shelf<Snapshot>,
    open: &O,
) -> Result<Outcome, SessionError>
where
    M: Machine<Snapshot = Snapshot>,
    M::Error: std::error::Error + Send + Sync + 'static,
    R: Read + Seek,
    O: Fn() -> Result<(M, Recording<R>), SessionError>,
{
    let run = match run {
        Some(run) => run,
        None => {
            let (machine, recording) = open()?;
            run.insert(Timeline::with_policy(machine, recording.into_seam(), Policy::by_hand()))
        }
    };
    if stretch.from > Position::START
        && let Some((state, events)) = shelf.load(stretch.from)
        && !run.adopt(stretch.from, state, events)?
    {
        shelf.refuse(stretch.from);
    }
    // From the checkpoint, or without it from an earlier one.
    run.seek(stretch.from)?;
    run.forget_before(stretch.from);
    let to = stretch.to.map_or(u64::MAX, Position::count);
    // The digest at the next checkpoint belongs to this stretch: it is compared on the way out.
    let to = if is_last { to } else { to.saturating_add(1) };
    let finish = match run.seek(Position::from_count(to))? {
        Sought::Reached(_) => Finish::Stopped(EndReason::Until),
        Sought::Ended(_, reason) => Finish::Ended(reason),
        Sought::Cut(_, cut) => Finish::Cut(cut),
        Sought::Interrupted(_) => unreachable!("nobody interrupts"),
    };
    let (at, machine) = (run.now(), run.machine_mut());
    machine.take_outputs(&mut Vec::new());
    Ok(Outcome { finish, at, digest: machine.digest(), cpus: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_the_run() {
        let at = |n| Position::from_count(n);
        let all = stretches(&[at(10), at(20)], None);
        assert_eq!(all.iter().map(|s| s.from.count()).collect::<Vec<_>>(), [0, 10, 20]);
        assert_eq!(all.iter().map(|s| s.to).collect::<Vec<_>>(), [Some(at(10)), Some(at(20)), None]);
        let some = stretches(&[at(10), at(20)], Some(at(15)));
        assert_eq!(some.last(), Some(&Stretch { from: at(10), to: Some(at(15)) }));
        assert_eq!(stretches(&[], None), [Stretch { from: at(0), to: None }]);
    }
}
