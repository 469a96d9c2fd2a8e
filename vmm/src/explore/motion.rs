//! Going through a recording, in both directions.

use std::ops::Range;

use rrvmm_replay::journal::Cut;
use rrvmm_replay::timeline::{Back, Ran, Seek};
use rrvmm_replay::{EndReason, Position};
use rrvmm_tcg::stops::{Hit, Stops};

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

    /// Executes one instruction, and more while the next one lies in `range` (linear addresses).
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn step_out_of(&mut self, range: Range<u64>, stops: &Stops) -> Result<Halt, ExploreError> {
        loop {
            let halt = self.step(1, stops)?;
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

    /// Goes back to the last moment before this one at which something of `stops` is hit, or to the beginning. On a
    /// diversion, only returns to the recording. An interrupted search leaves one where one was.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn run_back(&mut self, stops: &Stops) -> Result<Halt, ExploreError> {
        if self.return_to_recording() {
            return Ok(Halt::Returned);
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
