//! The search: forwards in great strides to the first that differs, then halving it.

use super::{Inspect, Report};
use rrvmm_replay::seam::Rewind;
use rrvmm_replay::timeline::{DriveError, Seek};
use rrvmm_replay::{Divergence, EndReason, MachineDigest, Position, SeamError, Stamp, Timeline};

use crate::session::SessionError;

/// Strides over the whole run.
const STRIDES: u64 = 16;
/// A stretch shorter than this, in instructions, is run again rather than kept as a checkpoint.
const SHORT: u64 = 1 << 20;

/// Where two runs part.
#[derive(Clone, Debug)]
pub struct Found {
    /// The last position at which both runs arrive alike. What follows it there is the first difference: the instruction,
    /// or an input or interrupt that comes before it.
    pub at: Position,
    /// What there is to see.
    pub report: Report,
}

/// How a run comes to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// There, for the first time.
    At(Stamp),
    /// It ended before.
    Ended(Stamp, EndReason),
    /// Its recording is cut off before.
    Cut(Stamp),
    /// It left its recording before.
    Left(Box<Divergence>),
}

/// Finds where the runs `a` and `b`, both at power-on, part before `end`; `None` when they do not. `progress` hears how far
/// both are known to be alike.
///
/// # Errors
/// A machine or a journal fails.
pub fn find<A, B, S, T>(
    a: &mut Timeline<A, S>,
    b: &mut Timeline<B, T>,
    end: Position,
    progress: impl FnMut(Position),
) -> Result<Option<Found>, SessionError>
where
    A: Inspect,
    B: Inspect,
    A::Error: std::error::Error + Send + Sync + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
    S: Rewind<Input = A::Input>,
    T: Rewind<Input = B::Input>,
{
    find_between(a, b, Position::START, end, progress)
}

/// As [`find`], of what follows `start` alone.
///
/// # Errors
/// As [`find`].
pub fn find_between<A, B, S, T>(
    a: &mut Timeline<A, S>,
    b: &mut Timeline<B, T>,
    start: Position,
    end: Position,
    mut progress: impl FnMut(Position),
) -> Result<Option<Found>, SessionError>
where
    A: Inspect,
    B: Inspect,
    A::Error: std::error::Error + Send + Sync + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
    S: Rewind<Input = A::Input>,
    T: Rewind<Input = B::Input>,
{
    let mut runs = Runs { a, b, start, alike: start };
    if !runs.alike_at(start)? {
        return Ok(Some(runs.report(start)?));
    }
    // One further than the end, so that ends themselves are compared.
    let last = end.count() + 1;
    let stride = (last.saturating_sub(start.count()) / STRIDES).max(1);
    let mut differ = loop {
        let from = runs.alike.count();
        if from >= last {
            return Ok(None);
        }
        let to = Position::from_count((from + stride).min(last));
        if !runs.alike_at(to)? {
            break to;
        }
        runs.keep();
        progress(runs.alike);
    };
    while differ.count() - runs.alike.count() > 1 {
        let middle = Position::from_count(runs.alike.count() + (differ.count() - runs.alike.count()) / 2);
        if runs.alike_at(middle)? {
            if differ.count() - middle.count() > SHORT {
                runs.keep();
            }
        } else {
            differ = middle;
        }
    }
    Ok(Some(runs.report(differ)?))
}

struct Runs<'a, A: Inspect, B: Inspect, S, T> {
    a: &'a mut Timeline<A, S>,
    b: &'a mut Timeline<B, T>,
    /// Where the search begins.
    start: Position,
    /// The last position known to be alike.
    alike: Position,
}

impl<A, B, S, T> Runs<'_, A, B, S, T>
where
    A: Inspect,
    B: Inspect,
    A::Error: std::error::Error + Send + Sync + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
    S: Rewind<Input = A::Input>,
    T: Rewind<Input = B::Input>,
{
    /// Whether both arrive at `position` alike; remembers it if so.
    fn alike_at(&mut self, position: Position) -> Result<bool, SessionError> {
        let arrivals = (arrive(self.a, self.alike, position)?, arrive(self.b, self.alike, position)?);
        let alike = arrivals.0 == arrivals.1 && fingerprint(self.a) == fingerprint(self.b);
        if alike {
            self.alike = position;
        }
        Ok(alike)
    }

    /// Keeps this moment, which is alike, for the probes to come.
    fn keep(&mut self) {
        self.a.checkpoint();
        self.b.checkpoint();
        self.a.forget_before(self.alike);
        self.b.forget_before(self.alike);
    }

    /// What is to be seen at `alike` and at `differ`, its successor (or power-on itself).
    fn report(&mut self, differ: Position) -> Result<Found, SessionError> {
        let at = self.alike;
        arrive(self.a, self.start, at)?;
        arrive(self.b, self.start, at)?;
        let before = super::report::Before::of(self.a.machine());
        let arrivals = (arrive(self.a, at, differ)?, arrive(self.b, at, differ)?);
        let report = Report::of(before, (self.a.machine(), arrivals.0), (self.b.machine(), arrivals.1));
        Ok(Found { at, report })
    }
}

fn fingerprint<M: Inspect, S: Rewind<Input = M::Input>>(run: &Timeline<M, S>) -> MachineDigest {
    run.machine().fingerprint()
}

/// Takes `run` to `to`, by way of `from`, which lies before: after a run has left its recording, only going back mends it.
fn arrive<M, S>(run: &mut Timeline<M, S>, from: Position, to: Position) -> Result<Arrival, SessionError>
where
    M: Inspect,
    M::Error: std::error::Error + Send + Sync + 'static,
    S: Rewind<Input = M::Input>,
{
    for position in [from.min(to), to] {
        let arrival = match run.seek(position) {
            Ok(Seek::Reached(stamp)) => Arrival::At(stamp),
            Ok(Seek::Ended(stamp, reason)) => Arrival::Ended(stamp, reason),
            Ok(Seek::Cut(stamp, _)) => Arrival::Cut(stamp),
            Ok(Seek::Interrupted(_)) => unreachable!("nothing interrupts the search"),
            Err(DriveError::Seam(SeamError::Divergence(divergence))) => Arrival::Left(divergence),
            Err(error) => return Err(error.into()),
        };
        if position == to || !matches!(arrival, Arrival::At(_)) {
            return Ok(arrival);
        }
    }
    unreachable!("the loop ends with `to`")
}
