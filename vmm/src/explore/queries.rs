//! Questions about the past.

use rrvmm_replay::Position;
use rrvmm_replay::timeline::{Back, DriveError};
use rrvmm_tcg::stops::{Access, Hit, Space, Stops, Watch};

use super::{ExploreError, Explorer};
use crate::diverge::Inspect as _;
use crate::machine::MachineError;
use crate::memory::PAGE_SIZE;

/// A write that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the writing instruction is the next one.
    pub at: Position,
    /// That instruction: address, disassembly, bytes.
    pub instruction: String,
    /// First byte written: a physical address if the range was mapped where the question was asked.
    pub addr: u64,
    /// Bytes written.
    pub len: u64,
}

impl Explorer {
    /// The last write before here to the `len` bytes from `addr` on, without going there for good: none if nothing since
    /// power-on wrote there, or the search was interrupted. Ends a diversion.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn last_write(&mut self, space: Space, addr: u64, len: u64) -> Result<Option<Written>, ExploreError> {
        self.return_to_recording();
        let stops = Stops { watchpoints: self.watches(space, addr, len), ..Stops::default() };
        let found = self.timeline.excursion(|timeline| {
            let back = timeline.reverse_continue(&stops, Position::START)?;
            Ok(match back {
                Back::Hit(at, Hit::Watch { addr, len, .. }) => {
                    let instruction = timeline.machine().inner().instruction();
                    Some(Written { at: at.position, instruction, addr, len })
                }
                Back::Hit(_, Hit::Breakpoint { .. }) | Back::Start(_) | Back::Interrupted(_) => None,
            })
        })?;
        found.map_err(|error: DriveError<MachineError>| error.into())
    }

    /// Watches of writes to a range. A linear one is resolved as the page tables have it here, since another process may have
    /// something else at the same addresses; what is not mapped here is watched by its linear address.
    fn watches(&self, space: Space, addr: u64, len: u64) -> Vec<Watch> {
        let mut watches: Vec<Watch> = Vec::new();
        let mut done = 0;
        while done < len {
            let at = addr.wrapping_add(done);
            let here = (PAGE_SIZE as u64 - at % PAGE_SIZE as u64).min(len - done);
            let (space, addr) = match space {
                Space::Physical => (Space::Physical, at),
                Space::Linear => match self.machine().translate(at) {
                    Some(physical) => (Space::Physical, physical),
                    None => (Space::Linear, at),
                },
            };
            watches.push(Watch { space, addr, len: here, on: Access::Write });
            done += here;
        }
        watches
    }
}
