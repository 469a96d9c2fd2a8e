//! Going through a recording, in both directions.

use std::ops::Range;

use rrvmm_replay::journal::Cut;
use rrvmm_replay::timeline::{Back, Ran, Seek};
use rrvmm_replay::{EndReason, Position};
use rrvmm_tcg::stops::{Hit, Stops};
use rrvmm_tcg::x86::State;

use super::{ExploreError, Explorer};

/// Why a motion has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It has come to where it was to go.
    Reached,
    /// Something that was to be stopped at.
    Hit(Hit),
    /// The beginning of the recording.
    Start,
    /// The end of the run: of the recorded one, or of a diversion.
    Ended(EndReason),
    /// The recording is cut off here.
    Cut(Cut),
    /// Someone interrupted it.
    Interrupted,
    /// There was a diversion: it is over, and this is where it began. Nothing else has been done.
    Returned,
}

impl Explorer {
    /// Goes to `target`, or to the end of the recording if that comes first. Ends a diversion.
    ///
    /// # Errors
    /// The recording cannot be read, the machine fails, or the run is not the recorded one.
    pub fn go_to(&mut self, target: Position) -> Result<Halt, ExploreError> {
        self.return_to_recording();
        self.seek(target)
    }

    /// Executes `count` instructions, unless something of `stops` comes first.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn step(&mut self, count: u64, stops: &Stops) -> Result<Halt, ExploreError> {
        let target = Position::from_count(self.position().count().saturating_add(count));
        self.run(Some(target), stops)
    }

    /// Executes one instruction, unless something of `stops` comes first. If an exception or interrupt comes instead of it,
    /// that is the step: it ends before the first instruction of the handler, at the same position.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn step_once(&mut self, stops: &Stops) -> Result<Halt, ExploreError> {
        let halt = self.step(1, &Stops { events: true, ..stops.clone() })?;
        Ok(if matches!(halt, Halt::Hit(Hit::Event { .. })) { Halt::Reached } else { halt })
    }

    /// As [`Explorer::step_once`], and more while the next one lies in `range` (linear addresses).
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn step_out_of(&mut self, range: Range<u64>, stops: &Stops) -> Result<Halt, ExploreError> {
        loop {
            let halt = self.step_once(stops)?;
            if halt != Halt::Reached || !range.contains(&self.machine().linear_pc()) {
                return Ok(halt);
            }
            if self.is_interrupted() {
                return Ok(Halt::Interrupted);
            }
        }
    }

    /// Runs until something of `stops` comes, to `until` if given, or to the end of the run.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn run(&mut self, until: Option<Position>, stops: &Stops) -> Result<Halt, ExploreError> {
        let limit = until.unwrap_or(Position::from_count(u64::MAX));
        if self.diversion.is_some() {
            return self.run_diversion(limit, stops);
        }
        Ok(match self.timeline.run(limit, stops)? {
            Ran::Hit(_, hit) => Halt::Hit(hit),
            Ran::Reached(_) => Halt::Reached,
            Ran::Ended(_, reason) => Halt::Ended(reason),
            Ran::Cut(_, cut) => Halt::Cut(cut),
            Ran::Interrupted(_) => Halt::Interrupted,
        })
    }

    /// Goes back `count` instructions, or to the beginning. On a diversion, only returns to the recording.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn step_back(&mut self, count: u64) -> Result<Halt, ExploreError> {
        if self.return_to_recording() {
            return Ok(Halt::Returned);
        }
        let here = self.position().count();
        let mut count = count;
        if count > 0 && !self.timeline.is_at_arrival() {
            // What has happened since the arrival here (a fault, an interrupt) is one step if the CPU shows it.
            let now = self.cpu();
            let halt = self.seek(Position::from_count(here))?;
            if halt == Halt::Interrupted {
                return Ok(halt);
            }
            count -= u64::from(now != self.cpu());
        }
        let halt = self.seek(Position::from_count(here.saturating_sub(count)))?;
        Ok(if here < count && halt == Halt::Reached { Halt::Start } else { halt })
    }

    /// Takes the last [`Explorer::step_once`] back. On a diversion, only returns to the recording.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn step_back_once(&mut self) -> Result<Halt, ExploreError> {
        if self.return_to_recording() {
            return Ok(Halt::Returned);
        }
        let here = self.position();
        if !self.timeline.is_at_arrival() {
            let now = self.cpu();
            let halt = self.seek(here)?;
            if halt == Halt::Interrupted {
                return Ok(halt);
            }
            if now != self.cpu() {
                // Whatever else has happened since the arrival is one step together with it.
                let events = self.events_here(Some(&now))?.unwrap_or(1);
                return self.go_to_event(here, events - 1);
            }
        }
        if here == Position::START {
            return Ok(Halt::Start);
        }
        let before = Position::from_count(here.count() - 1);
        let halt = self.seek(before)?;
        if halt != Halt::Reached {
            return Ok(halt);
        }
        let events = self.events_here(None)?.unwrap_or(0);
        self.go_to_event(before, events)
    }

    /// How many events are delivered from this arrival on until the CPU is as `until` says; none if it never is. Without
    /// `until`, before the instruction here completes.
    fn events_here(&mut self, until: Option<&State>) -> Result<Option<u64>, ExploreError> {
        let here = self.position();
        let mut count = 0;
        while until.is_none_or(|until| *until != self.cpu()) {
            if !self.go_on_to_event(here)? {
                return Ok(until.is_none().then_some(count));
            }
            count += 1;
        }
        Ok(Some(count))
    }

    /// Runs on to the next event at `here`; whether there was one.
    fn go_on_to_event(&mut self, here: Position) -> Result<bool, ExploreError> {
        let limit = Position::from_count(here.count().saturating_add(1));
        let ran = self.timeline.run(limit, &Stops { events: true, ..Stops::default() })?;
        Ok(matches!(ran, Ran::Hit(at, Hit::Event { .. }) if at.position == here))
    }

    /// Goes to where `count` events have been delivered since the arrival at `at`.
    fn go_to_event(&mut self, at: Position, count: u64) -> Result<Halt, ExploreError> {
        let halt = self.seek(at)?;
        for _ in 0..count {
            self.go_on_to_event(at)?;
        }
        Ok(halt)
    }

    /// Goes back to the last moment before this one at which something of `stops` is hit, or to the beginning. On a
    /// diversion, only returns to the recording. An interrupted search leaves one where one was.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn run_back(&mut self, stops: &Stops) -> Result<Halt, ExploreError> {
        if self.return_to_recording() {
            return Ok(Halt::Returned);
        }
        // From the first instruction of a handler, what was hit on the way to it comes first.
        while let Some(Hit::Event { .. }) = self.timeline.is_at_hit() {
            let here = self.position();
            let near = Stops { events: true, ..stops.clone() };
            match self.timeline.reverse_continue(&near, here)? {
                Back::Hit(_, Hit::Event { .. }) | Back::Start(_) => {}
                Back::Hit(_, hit) => return Ok(Halt::Hit(hit)),
                Back::Interrupted(_) => return Ok(Halt::Interrupted),
            }
        }
        Ok(match self.timeline.reverse_continue(stops, Position::START)? {
            Back::Hit(_, hit) => Halt::Hit(hit),
            Back::Start(_) => Halt::Start,
            Back::Interrupted(_) => Halt::Interrupted,
        })
    }

    fn seek(&mut self, target: Position) -> Result<Halt, ExploreError> {
        Ok(match self.timeline.seek(target)? {
            Seek::Reached(_) => Halt::Reached,
            Seek::Ended(_, reason) => Halt::Ended(reason),
            Seek::Cut(_, cut) => Halt::Cut(cut),
            Seek::Interrupted(_) => Halt::Interrupted,
        })
    }
}
