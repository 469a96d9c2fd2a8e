//! How the machine gets from one place of the run to another, and what it leaves on the way.

use super::drive::{DriveError, Step, jump, step_on};
use super::steppable::{Steppable, Stop};
use super::{Standing, Timeline};
use crate::end::EndReason;
use crate::journal::Cut;
use crate::seam::{Due, Rewind, SeamError};
use crate::time::Position;

/// Most instructions between two questions whether to interrupt.
const SLICE: u64 = 1 << 22;

/// Where a movement has come to.
#[derive(Debug)]
pub(super) enum Way<H> {
    Reached,
    Hit(H),
    Ended(EndReason),
    Cut(Cut),
    Interrupted,
}

/// Which checkpoints a movement leaves.
#[derive(Clone, Copy)]
pub(super) enum Lay {
    /// At the policy's stride, and, if `near`, before the target.
    Stride { near: bool },
    /// Often, as for a movement whose end is not known.
    Trail,
    /// None.
    Nothing,
}

impl<M, S> Timeline<M, S>
where
    M: Steppable,
    S: Rewind<Input = M::Input>,
{
    pub(super) fn set_stops(&mut self, stops: &M::Stops) {
        // Told again even if they are the same: what would hit here is then passed.
        self.machine.set_stops(stops);
        self.stops.clone_from(stops);
        self.owing = false;
    }

    /// Restores the nearest checkpoint at or before `target`, unless running on from here is nearer.
    pub(super) fn start_for(&mut self, target: Position) -> Result<(), SeamError> {
        let here = self.machine.now().position;
        let lost = self.standing == Standing::Lost;
        let is_ahead = !lost && (here < target || (here == target && self.at_arrival));
        let kept = self.checkpoints.nearest(target).map(|(at, _)| at);
        let from = if is_ahead { kept.max(Some(here)) } else { kept };
        if self.start_from_shelf(target, from)? {
            return Ok(());
        }
        if is_ahead && from == Some(here) {
            // The place is what counts from now on, not how one looked at it.
            if self.at_arrival {
                self.standing = Standing::Arrival;
            }
            return Ok(());
        }
        self.restore(target)
    }

    /// Restores the nearest checkpoint at or before `target`; there is always the one of power-on.
    fn restore(&mut self, target: Position) -> Result<(), SeamError> {
        self.standing = Standing::Lost;
        self.at_arrival = false;
        let Some((at, checkpoint)) = self.checkpoints.nearest(target) else { return Ok(()) };
        self.seam.rewind(checkpoint.events)?;
        self.machine.restore(&checkpoint.state);
        self.arrived(at);
        Ok(())
    }

    /// The machine has been put to its first arrival at `at`.
    fn arrived(&mut self, at: Position) {
        self.owing = false;
        self.traced_from = Some(at);
        self.standing = Standing::Arrival;
        self.at_arrival = true;
    }

    /// Starts from the shelf if that saves running far from `from`. Whether it did.
    fn start_from_shelf(&mut self, target: Position, from: Option<Position>) -> Result<bool, SeamError> {
        loop {
            let Some(shelf) = &mut self.shelf else { return Ok(false) };
            let Some(at) = shelf.nearest(target) else { return Ok(false) };
            let saved = at.count().saturating_sub(from.map_or(0, Position::count));
            if saved < self.policy.worth_loading {
                return Ok(false);
            }
            let Some((state, events)) = shelf.load(at) else { continue };
            if self.try_start(at, &state, events)? {
                self.checkpoints.insert(at, state, events);
                return Ok(true);
            }
            if let Some(shelf) = &mut self.shelf {
                shelf.refuse(at);
            }
        }
    }

    /// Puts the machine into a state of doubtful origin. Whether the recording has the digest of that state there.
    pub(super) fn try_start(
        &mut self,
        at: Position,
        state: &M::Snapshot,
        events: u64,
    ) -> Result<bool, SeamError> {
        self.standing = Standing::Lost;
        self.at_arrival = false;
        self.seam.rewind(events)?;
        self.machine.restore(state);
        let now = self.machine.now();
        if now.position != at || !matches!(self.seam.due(now), Ok(Due::Digest)) {
            return Ok(false);
        }
        let digest = self.machine.digest();
        if self.seam.digest(now, &digest).is_err() {
            return Ok(false);
        }
        self.seam.rewind(events)?;
        self.arrived(at);
        Ok(true)
    }

    /// Runs on from here to `limit`, or to whatever comes first.
    pub(super) fn travel(&mut self, limit: Position, lay: Lay) -> Result<Way<M::Hit>, DriveError<M::Error>> {
        if let Some(hit) = self.owed()? {
            return Ok(Way::Hit(hit));
        }
        loop {
            let here = self.machine.now().position;
            if here >= limit {
                return Ok(Way::Reached);
            }
            let mark = self.next_mark(here, limit, lay);
            let slice = Position::from_count(here.count().saturating_add(SLICE));
            match self.advance(mark.unwrap_or(limit).min(limit).min(slice))? {
                Way::Reached => {}
                way => return Ok(way),
            }
            let now = self.machine.now().position;
            if Some(now) == mark {
                if matches!(lay, Lay::Trail) {
                    self.focus = now;
                }
                self.checkpoint();
            }
            if now < limit && self.is_interrupted() {
                return Ok(Way::Interrupted);
            }
        }
    }

    /// What hits before the next instruction, if the machine has just stopped behind one.
    fn owed(&mut self) -> Result<Option<M::Hit>, DriveError<M::Error>> {
        if !std::mem::take(&mut self.owing) {
            return Ok(None);
        }
        let here = self.machine.now().position;
        Ok(match self.machine.run_until(here).map_err(DriveError::Machine)? {
            Stop::Hit(hit) => Some(hit),
            Stop::Reached | Stop::Idle | Stop::Paused | Stop::Ended(_) => None,
        })
    }

    /// Asks whether to stop.
    pub(super) fn is_interrupted(&mut self) -> bool {
        let now = self.machine.now().position;
        self.interrupt.as_mut().is_some_and(|ask| ask(now))
    }

    /// The next place after `here` and before `limit` for a checkpoint.
    fn next_mark(&self, here: Position, limit: Position, lay: Lay) -> Option<Position> {
        let (here, limit) = (here.count(), limit.count());
        let multiple = |of: u64| (here / of.max(1) + 1).checked_mul(of.max(1));
        let (even, near) = match lay {
            Lay::Stride { near } => (multiple(self.policy.stride), near),
            Lay::Trail => (multiple(self.policy.trail.min(self.policy.stride)), false),
            Lay::Nothing => (None, false),
        };
        let near = near.then(|| {
            self.policy.near.iter().map(|before| limit.saturating_sub(*before)).filter(|at| *at > here).min()
        });
        even.into_iter().chain(near.flatten()).filter(|at| *at < limit).min().map(Position::from_count)
    }

    /// Runs on to `limit`, with sleeps, or to whatever comes first.
    fn advance(&mut self, limit: Position) -> Result<Way<M::Hit>, DriveError<M::Error>> {
        self.standing = Standing::Lost;
        let mut at_arrival = std::mem::take(&mut self.at_arrival);
        loop {
            let at_arrival = std::mem::take(&mut at_arrival);
            let way = match step_on(&mut self.machine, &mut self.seam, limit, at_arrival)? {
                Step::Reached => {
                    self.standing = Standing::Arrival;
                    self.at_arrival = true;
                    return Ok(Way::Reached);
                }
                Step::Digested { at_arrival } => {
                    if at_arrival {
                        self.offer_to_shelf();
                    }
                    continue;
                }
                Step::Idle { until } => {
                    jump(&mut self.machine, &mut self.seam, until)?;
                    continue;
                }
                Step::Hit(hit) => {
                    self.owing = M::is_behind(&hit);
                    Way::Hit(hit)
                }
                Step::Ended(reason) => Way::Ended(reason),
                Step::Cut(cut) => Way::Cut(cut),
            };
            self.standing = Standing::Past;
            return Ok(way);
        }
    }

    /// The machine has just come to a digest, and been digested.
    fn offer_to_shelf(&mut self) {
        let now = self.machine.now();
        // The digest was the last event; without a next one its number is not known.
        let events = self.seam.events();
        if let Some(shelf) = &mut self.shelf
            && events != u64::MAX
            && shelf.wants(now)
        {
            shelf.put(now, self.machine.save(), events.saturating_sub(1));
        }
    }
}
