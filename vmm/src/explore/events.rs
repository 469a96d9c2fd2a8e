//! What happened when.

use std::ops::RangeInclusive;

use rrvmm_replay::Position;

use super::{ExploreError, Explorer};
use crate::session::{Event, Info, some_events};

impl Explorer {
    /// The recorded events in `range`, at most `most`, in order.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub fn events(
        &mut self,
        range: RangeInclusive<Position>,
        most: usize,
    ) -> Result<Vec<Event>, ExploreError> {
        self.events_of(range, None, most)
    }

    /// As [`Explorer::events`], only those of `device` if given.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub fn events_of(
        &mut self,
        range: RangeInclusive<Position>,
        device: Option<&str>,
        most: usize,
    ) -> Result<Vec<Event>, ExploreError> {
        Ok(some_events(&mut self.journal, range, device, most)?)
    }

    /// What `rrvmm info` tells.
    #[must_use]
    pub fn info(&self) -> Info {
        Info::of(&self.journal)
    }
}
