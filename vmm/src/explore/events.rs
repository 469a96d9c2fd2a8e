//! What happened when.

use std::ops::RangeInclusive;

use rrvmm_replay::Position;

use super::{ExploreError, Explorer};
use crate::session::{Event, Info, SessionError, events};

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
        /// Ends the listing early.
        enum Halt {
            Enough,
            Failed(SessionError),
        }
        impl From<rrvmm_replay::JournalError> for Halt {
            fn from(error: rrvmm_replay::JournalError) -> Self {
                Halt::Failed(error.into())
            }
        }
        let mut found = Vec::new();
        let listed = events(&mut self.journal, range, |event| {
            if found.len() == most {
                return Err(Halt::Enough);
            }
            if device.is_none_or(|device| event.device == device) {
                found.push(event);
            }
            Ok(())
        });
        match listed {
            Ok(()) | Err(Halt::Enough) => Ok(found),
            Err(Halt::Failed(error)) => Err(error.into()),
        }
    }

    /// What `rrvmm info` tells.
    #[must_use]
    pub fn info(&self) -> Info {
        Info::of(&self.journal)
    }
}
