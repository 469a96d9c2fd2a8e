//! Moving a machine through a run: forwards step by step, and to any position from the nearest checkpoint.

mod checkpoints;
mod drive;
mod known;
mod policy;
mod reverse;
mod shelf;
mod steppable;
mod travel;

use crate::end::EndReason;
use crate::journal::Cut;
use crate::seam::{Rewind, SeamError};
use crate::time::{Position, Stamp};

use checkpoints::Checkpoints;
use known::Known;
use travel::{Lay, Way};

pub use drive::{DriveError, Step, jump, place, step, step_on};
pub use policy::Policy;
pub use reverse::{Back, Found};
pub use shelf::Shelf;
pub use steppable::{Steppable, Stop};

/// Where [`Timeline::seek`] has come to.
#[derive(Debug)]
pub enum Seek {
    /// The position asked for, as the machine first comes to it: before the inputs that arrive there and before any sleep.
    Reached(Stamp),
    /// The run ends before it.
    Ended(Stamp, EndReason),
    /// The recording is cut off before it.
    Cut(Stamp, Cut),
    /// Interrupted on the way ([`Timeline::interrupt_by`]).
    Interrupted(Stamp),
}

/// Where [`Timeline::run`] has come to.
#[derive(Debug)]
pub enum Ran<H> {
    /// Something that was to be stopped at.
    Hit(Stamp, H),
    /// The limit, as the machine first comes to it, or where it already was.
    Reached(Stamp),
    /// The end of the run.
    Ended(Stamp, EndReason),
    /// The end of what is recorded.
    Cut(Stamp, Cut),
    /// Interrupted on the way ([`Timeline::interrupt_by`]).
    Interrupted(Stamp),
}

/// How the machine stands at its position, since more than one thing can happen there.
#[derive(Clone, Debug, PartialEq)]
enum Standing<H> {
    /// It has just come there.
    Arrival,
    /// At this hit, which is of the instruction there.
    At(H),
    /// After everything that happens there before an instruction completes.
    Past,
    /// Nobody knows: something failed.
    Lost,
}

/// A recorded run that can be moved through in both directions.
///
/// The machine is at one moment of it. Moving forwards runs the machine; moving backwards restores the nearest
/// checkpoint before the target and runs from there.
pub struct Timeline<M: Steppable, S> {
    machine: M,
    seam: S,
    policy: Policy,
    checkpoints: Checkpoints<M::Snapshot>,
    shelf: Option<Box<dyn Shelf<M::Snapshot>>>,
    known: Known<M>,
    /// The hits around the last one that was found looking back.
    seen: Option<reverse::Seen<M>>,
    standing: Standing<M::Hit>,
    /// Whether the machine's state is that of its first arrival at its position.
    at_arrival: bool,
    /// Where the user is or is going: there checkpoints are dense.
    focus: Position,
    /// Where the stretch begins that the machine's trace is of.
    traced_from: Option<Position>,
    /// What the machine was last told to stop at.
    stops: M::Stops,
    /// Whether one of them has just hit behind an instruction, so that the next one is still to be looked at.
    owing: bool,
    interrupt: Option<Box<dyn FnMut(Position) -> bool>>,
}

/// A moment of the timeline, whatever has happened at its position.
struct Mark<M: Steppable> {
    state: M::Snapshot,
    events: u64,
    standing: Standing<M::Hit>,
    at_arrival: bool,
}

impl<M, S> Timeline<M, S>
where
    M: Steppable,
    S: Rewind<Input = M::Input>,
{
    /// A timeline of the run that begins with `machine` as it is now, at power-on, and takes its inputs from `seam`.
    pub fn new(machine: M, seam: S) -> Self {
        Self::with_policy(machine, seam, Policy::default())
    }

    /// As [`new`](Self::new), with checkpoints as `policy` has them.
    pub fn with_policy(machine: M, seam: S, policy: Policy) -> Self {
        let here = machine.now().position;
        let mut timeline = Self {
            machine,
            seam,
            policy,
            checkpoints: Checkpoints::new(M::weight),
            shelf: None,
            known: Known::new(),
            seen: None,
            standing: Standing::Arrival,
            at_arrival: true,
            focus: here,
            traced_from: Some(here),
            stops: M::Stops::default(),
            owing: false,
            interrupt: None,
        };
        timeline.checkpoint();
        timeline
    }

    /// Uses, and fills, the checkpoints of `shelf` besides its own.
    pub fn use_shelf(&mut self, shelf: Box<dyn Shelf<M::Snapshot>>) {
        self.shelf = Some(shelf);
    }

    /// Asks `ask` every few million instructions of a movement, with the position there; it is interrupted when the answer
    /// is yes.
    pub fn interrupt_by(&mut self, ask: Box<dyn FnMut(Position) -> bool>) {
        self.interrupt = Some(ask);
    }

    /// The machine, where it is now.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, to take from it what is no part of its state (its outputs), or to look at it in ways that need `&mut`.
    /// Whoever changes its state puts back what [`Steppable::save`] gave before, or tells [`lose`](Self::lose).
    pub fn machine_mut(&mut self) -> &mut M {
        // Nobody knows what its trace is of after that.
        self.traced_from = None;
        &mut self.machine
    }

    /// The boundary, to ask it for what does not move it.
    pub fn seam(&self) -> &S {
        &self.seam
    }

    /// The machine and the boundary, to go on from here without the timeline.
    pub fn into_parts(self) -> (M, S) {
        (self.machine, self.seam)
    }

    /// Says that the machine is no longer where the timeline left it: the next movement starts from a checkpoint.
    pub fn lose(&mut self) {
        self.standing = Standing::Lost;
        self.at_arrival = false;
    }

    /// Where the machine is now.
    pub fn now(&self) -> Stamp {
        self.machine.now()
    }

    /// Whether the machine has just come to its position: no input that arrives there and no sleep has gone by.
    pub fn is_at_arrival(&self) -> bool {
        self.at_arrival
    }

    /// The hit before whose instruction the machine stands, if that is how it came here.
    pub fn is_at_hit(&self) -> Option<&M::Hit> {
        match &self.standing {
            Standing::At(hit) => Some(hit),
            Standing::Arrival | Standing::Past | Standing::Lost => None,
        }
    }

    /// How many checkpoints there are in memory and how many bytes they take.
    pub fn checkpoints(&self) -> (usize, usize) {
        self.checkpoints.size()
    }

    /// Where the checkpoints in memory are, ascending.
    pub fn checkpoint_positions(&self) -> impl Iterator<Item = Position> {
        self.checkpoints.positions()
    }

    /// Keeps the machine's state, so that later seeks to here or a little further are quick.
    ///
    /// Where the machine has gone on from its first arrival at this position (into a sleep, past an input), nothing is
    /// kept: a checkpoint stands for the arrival.
    pub fn checkpoint(&mut self) {
        let here = self.machine.now().position;
        if !self.at_arrival {
            return;
        }
        let trace = self.machine.trace();
        if let Some(from) = self.traced_from.replace(here) {
            self.known.note(from, here, trace);
        }
        if !self.checkpoints.has(here) {
            let state = self.machine.save();
            self.checkpoints.insert(here, state, self.seam.events());
        }
        if self.policy.is_automatic() {
            self.checkpoints.thin(&self.policy, self.focus);
        }
    }

    /// Takes a checkpoint from elsewhere, of the machine's first arrival at `at` after `events` events, and goes there. Whether
    /// it is one of this run: the recording must have its digest there.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn adopt(&mut self, at: Position, state: M::Snapshot, events: u64) -> Result<bool, SeamError> {
        let fits = self.try_start(at, &state, events)?;
        if fits {
            self.checkpoints.insert(at, state, events);
        }
        Ok(fits)
    }

    /// Forgets the checkpoints before `position`, but for the nearest one at or before it.
    pub fn forget_before(&mut self, position: Position) {
        self.checkpoints.forget_before(position);
    }

    /// Goes to `target`, or to the end of the run if that comes first.
    ///
    /// # Errors
    /// The machine fails, the journal cannot be read, or the run is not the recorded one.
    pub fn seek(&mut self, target: Position) -> Result<Seek, DriveError<M::Error>> {
        self.seek_near(target, target)
    }

    /// Goes to `target` with `focus`, a little further, in mind.
    fn seek_near(&mut self, target: Position, focus: Position) -> Result<Seek, DriveError<M::Error>> {
        self.focus = focus;
        self.start_for(target)?;
        self.set_stops(&M::Stops::default());
        let way = self.travel(target, Lay::Stride { near: true })?;
        let now = self.machine.now();
        Ok(match way {
            Way::Reached => Seek::Reached(now),
            Way::Ended(reason) => Seek::Ended(now, reason),
            Way::Cut(cut) => Seek::Cut(now, cut),
            Way::Interrupted => Seek::Interrupted(now),
            Way::Hit(hit) => unreachable!("nobody asked for {hit:?}"),
        })
    }

    /// Runs on from here until one of `stops` hits, at most up to `limit`. What would hit here is passed.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub fn run(&mut self, limit: Position, stops: &M::Stops) -> Result<Ran<M::Hit>, DriveError<M::Error>> {
        if self.standing == Standing::Lost {
            self.start_for(self.machine.now().position)?;
        }
        self.focus = self.machine.now().position;
        if !self.owing || self.stops != *stops {
            self.set_stops(stops);
        }
        let way = self.travel(limit, Lay::Trail)?;
        let now = self.machine.now();
        Ok(match way {
            Way::Hit(hit) => {
                self.stand_at(&hit);
                Ran::Hit(now, hit)
            }
            Way::Reached => Ran::Reached(now),
            Way::Ended(reason) => Ran::Ended(now, reason),
            Way::Cut(cut) => Ran::Cut(now, cut),
            Way::Interrupted => Ran::Interrupted(now),
        })
    }

    /// Goes back by `count` instructions, at most to power-on.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub fn step_back(&mut self, count: u64) -> Result<Seek, DriveError<M::Error>> {
        let target = self.machine.now().position.count().saturating_sub(count);
        self.seek(Position::from_count(target))
    }

    /// Does `look`, which may move the timeline, and comes back to this very moment.
    ///
    /// # Errors
    /// The journal cannot be read: the timeline is then somewhere else.
    pub fn excursion<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> Result<T, SeamError> {
        let mark = self.mark();
        let seen = look(self);
        self.go_to_mark(mark)?;
        Ok(seen)
    }

    /// Running forwards, the machine has come to `hit`.
    fn stand_at(&mut self, hit: &M::Hit) {
        self.standing = if M::is_behind(hit) { Standing::Arrival } else { Standing::At(hit.clone()) };
    }

    fn mark(&mut self) -> Mark<M> {
        Mark {
            state: self.machine.save(),
            events: self.seam.events(),
            standing: self.standing.clone(),
            at_arrival: self.at_arrival,
        }
    }

    fn go_to_mark(&mut self, mark: Mark<M>) -> Result<(), SeamError> {
        self.lose();
        self.owing = false;
        self.seam.rewind(mark.events)?;
        self.machine.restore(&mark.state);
        // What happened before the mark at its position is not in the trace.
        self.traced_from = None;
        (self.standing, self.at_arrival) = (mark.standing, mark.at_arrival);
        Ok(())
    }

    fn without_interrupts<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let ask = self.interrupt.take();
        let done = run(self);
        self.interrupt = ask;
        done
    }
}
