//! Questions about the past.

use std::fmt;
use std::ops::RangeInclusive;

use rrvmm_devices::PcConfig;
use rrvmm_devices::dma::Master;
use rrvmm_replay::Position;
use rrvmm_replay::timeline::{Back, DriveError, Found, Seek};
use rrvmm_tcg::stops::{Access, Hit, Space, Stops, Watch};

use serde::Serialize;

use super::{ExploreError, Explorer};
use crate::diverge::Inspect as _;
use crate::machine::MachineError;
use crate::memory::PAGE_SIZE;

/// A write that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the writing instruction is the next one.
    pub at: Position,
    /// That instruction: address, disassembly, bytes. If a device wrote, the one at whose end it did.
    pub instruction: String,
    /// The device that wrote, between two instructions: what it is, and where.
    pub device: Option<String>,
    /// First byte written: a physical address if the range was mapped where the question was asked.
    pub addr: u64,
    /// Bytes written.
    pub len: u64,
}

/// A moment at which an instruction was executed, or accessed memory. Programs read the JSON: fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Occurrence {
    /// Where the instruction is the next one.
    #[serde(rename = "position", serialize_with = "count")]
    pub at: Position,
    /// The instruction: address, disassembly, bytes.
    pub instruction: String,
    /// The device that accessed instead, when that instruction had completed: what it is, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it accessed, if that was the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Accessed>,
}

/// An access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Accessed {
    /// First byte: a physical address if the question was resolved to one.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// Whether it was a store.
    pub write: bool,
}

fn count<S: serde::Serializer>(at: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.count())
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>14}  ", self.at.count())?;
        if let Some(Accessed { addr, len, write }) = self.access {
            let what = if write { "store" } else { "load " };
            write!(f, "{what} {len} at {addr:#x}  ")?;
        }
        if let Some(device) = &self.device {
            write!(f, "by {device} after  ")?;
        }
        f.write_str(&self.instruction)
    }
}

impl From<Written> for Occurrence {
    fn from(written: Written) -> Self {
        let access = Some(Accessed { addr: written.addr, len: written.len, write: true });
        Self { at: written.at, instruction: written.instruction, device: written.device, access }
    }
}

impl Explorer {
    /// The last write before here to the `len` bytes from `addr` on, without going there for good: none if nothing since
    /// power-on wrote there, or the search was interrupted. Ends a diversion.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn last_write(&mut self, space: Space, addr: u64, len: u64) -> Result<Option<Written>, ExploreError> {
        self.return_to_recording();
        let stops = Stops { watchpoints: self.watches(space, addr, len, Access::Write), ..Stops::default() };
        let pc = self.setup.pc.clone();
        let found = self.timeline.excursion(|timeline| {
            let back = timeline.reverse_continue(&stops, Position::START)?;
            Ok(match back {
                Back::Hit(at, Hit::Watch { addr, len, device, .. }) => {
                    let instruction = timeline.machine().inner().instruction();
                    let device = name(&pc, device);
                    Some(Written { at: at.position, instruction, device, addr, len })
                }
                Back::Hit(_, Hit::Breakpoint { .. } | Hit::Event { .. })
                | Back::Start(_)
                | Back::Interrupted(_) => None,
            })
        })?;
        found.map_err(|error: DriveError<MachineError>| error.into())
    }

    /// The first load after here from the `len` bytes from `addr` on, as [`Explorer::last_write`] looks for stores.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn first_read(
        &mut self,
        space: Space,
        addr: u64,
        len: u64,
    ) -> Result<Option<Occurrence>, ExploreError> {
        self.return_to_recording();
        let stops = Stops { watchpoints: self.watches(space, addr, len, Access::Read), ..Stops::default() };
        let (here, end) = (self.position(), self.summary.last.position);
        let found = self.timeline.hits(here, end, &stops, 1)?;
        Ok(self.see(&found.unwrap_or_default())?.pop())
    }

    /// Every moment of `range` at which the instruction at linear address `addr` is executed, or, if `watch` says what
    /// counts, at which the `len` bytes from `addr` on are accessed; in order, at most `most`. None if interrupted. A linear
    /// address is what it is at each moment. Ends a diversion.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn hits(
        &mut self,
        range: RangeInclusive<Position>,
        (space, addr, len): (Space, u64, u64),
        watch: Option<Access>,
        most: usize,
    ) -> Result<Option<Vec<Occurrence>>, ExploreError> {
        self.return_to_recording();
        let stops = match watch {
            None => Stops { breakpoints: [addr].into(), ..Stops::default() },
            Some(on) => Stops { watchpoints: vec![Watch { space, addr, len, on }], ..Stops::default() },
        };
        // The timeline looks for hits after one arrival up to another. A store is found behind its instruction.
        let (from, to) = (range.start().count(), range.end().count());
        let (from, to) = match watch {
            None => (from.saturating_sub(1), to),
            Some(_) => (from, to.saturating_add(1)),
        };
        let to = Position::from_count(to).min(self.summary.last.position);
        let Some(mut found) = self.timeline.hits(Position::from_count(from), to, &stops, most)? else {
            return Ok(None);
        };
        // Nothing goes before the first instruction, so nobody comes to it.
        if watch.is_none()
            && *range.start() == Position::START
            && let Some(first) = self.first_instruction(addr)?
        {
            found.insert(0, first);
            found.truncate(most);
        }
        self.see(&found).map(Some)
    }

    /// The breakpoint at linear address `addr`, if that is where the run begins.
    fn first_instruction(&mut self, addr: u64) -> Result<Option<Found<Hit>>, ExploreError> {
        let looked = self.timeline.excursion(|timeline| {
            timeline.seek(Position::START)?;
            let begins = timeline.machine().inner().linear_pc() == addr;
            Ok(begins.then(|| Found { at: timeline.now(), hit: Hit::Breakpoint { addr } }))
        })?;
        looked.map_err(|error: DriveError<MachineError>| error.into())
    }

    /// Looks at the instructions that hit.
    fn see(&mut self, found: &[Found<Hit>]) -> Result<Vec<Occurrence>, ExploreError> {
        let pc = self.setup.pc.clone();
        let seen = self.timeline.excursion(|timeline| {
            let mut all = Vec::with_capacity(found.len());
            for Found { at, hit } in found {
                let (at, device, access) = match *hit {
                    Hit::Breakpoint { .. } | Hit::Event { .. } => (at.position, None, None),
                    Hit::Watch { addr, len, write, device, .. } => {
                        let before = Position::from_count(at.position.count().saturating_sub(1));
                        (before, name(&pc, device), Some(Accessed { addr, len, write }))
                    }
                };
                if let Seek::Interrupted(_) = timeline.seek(at)? {
                    break;
                }
                let instruction = timeline.machine().inner().instruction();
                all.push(Occurrence { at, instruction, device, access });
            }
            Ok(all)
        })?;
        seen.map_err(|error: DriveError<MachineError>| error.into())
    }

    /// Watches of accesses to a range. A linear one is resolved as the page tables have it here, since another process may have
    /// something else at the same addresses; what is not mapped here is watched by its linear address.
    fn watches(&self, space: Space, addr: u64, len: u64, on: Access) -> Vec<Watch> {
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
            watches.push(Watch { space, addr, len: here, on });
            done += here;
        }
        watches
    }
}

fn name(pc: &PcConfig, device: Option<u16>) -> Option<String> {
    device.map(|number| pc.master_name(Master(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::sample::explorer_of_the_demo;
    use std::collections::BTreeMap;

    const FROM: u64 = 1_000_000;
    const TO: u64 = 1_003_000;

    fn at(count: u64) -> Position {
        Position::from_count(count)
    }

    /// The linear address of the next instruction at every position from `FROM` to `TO`.
    fn trace(explorer: &mut Explorer) -> Vec<(Position, u64)> {
        (FROM..=TO)
            .map(|count| {
                explorer.go_to(at(count)).unwrap();
                (at(count), explorer.machine().linear_pc())
            })
            .collect()
    }

    #[test]
    fn executions_are_those_of_a_run_step_by_step() {
        let mut explorer = explorer_of_the_demo();
        let trace = trace(&mut explorer);
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, pc) in &trace {
            *counts.entry(*pc).or_default() += 1;
        }
        let (often, _) = counts.iter().max_by_key(|(_, count)| **count).unwrap();
        explorer.go_to(at(77)).unwrap();
        for pc in [*often, trace[0].1, trace[trace.len() - 1].1] {
            let hits =
                explorer.hits(at(FROM)..=at(TO), (Space::Linear, pc, 1), None, 10_000).unwrap().unwrap();
            let found: Vec<Position> = hits.iter().map(|hit| hit.at).collect();
            let expected: Vec<Position> =
                trace.iter().filter(|(_, other)| *other == pc).map(|(at, _)| *at).collect();
            assert_eq!(found, expected, "{pc:#x}");
            assert!(hits.iter().all(|hit| hit.instruction.contains(&format!(":{pc:x}: "))));
        }
        assert_eq!(explorer.position(), at(77));
    }

    #[test]
    fn the_first_instruction_is_one_too() {
        let mut explorer = explorer_of_the_demo();
        let first = explorer.machine().linear_pc();
        explorer.go_to(at(3)).unwrap();
        let hits = |explorer: &mut Explorer, from| {
            explorer.hits(at(from)..=at(1000), (Space::Linear, first, 1), None, 10).unwrap().unwrap()
        };
        assert_eq!(hits(&mut explorer, 0)[0].at, at(0));
        assert!(hits(&mut explorer, 1).iter().all(|hit| hit.at > at(0)));
        assert_eq!(explorer.position(), at(3));
    }

    #[test]
    fn a_load_is_found_whatever_is_known_of_what_was_read() {
        let mut explorer = explorer_of_the_demo();
        let all = (Space::Physical, 0, explorer.setup().pc.memory_bytes);
        let loads =
            explorer.hits(at(FROM)..=at(FROM + 3_000_000), all, Some(Access::Read), 20).unwrap().unwrap();
        let load = loads.last().unwrap().clone();
        let Accessed { addr, len, .. } = load.access.unwrap();
        for known in [false, true] {
            if known {
                explorer.go_to(at(u64::MAX)).unwrap();
            }
            explorer.go_to(load.at).unwrap();
            assert_eq!(explorer.first_read(Space::Physical, addr, len).unwrap().unwrap().at, load.at);
            explorer.go_to(at(load.at.count() + 1)).unwrap();
            let stops = Stops {
                watchpoints: vec![Watch { space: Space::Physical, addr, len, on: Access::Read }],
                ..Stops::default()
            };
            assert!(matches!(explorer.run_back(&stops).unwrap(), crate::explore::Halt::Hit(_)));
            assert_eq!(explorer.position(), load.at);
        }
    }

    #[test]
    fn the_last_store_is_the_last_of_all() {
        let mut explorer = explorer_of_the_demo();
        explorer.go_to(at(TO)).unwrap();
        let all = (Space::Physical, 0, explorer.setup().pc.memory_bytes);
        let last = explorer.last_write(all.0, all.1, all.2).unwrap().map(Occurrence::from).unwrap();
        let range = at(last.at.count() - 5_000)..=at(TO - 1);
        let stores = explorer.hits(range.clone(), all, Some(Access::Write), 10_000).unwrap().unwrap();
        assert_eq!(stores.last().map(|store| store.at), Some(last.at));
        // One store more is found when the search begins exactly at it.
        let from = stores[stores.len() / 2].at;
        let rest = explorer.hits(from..=*range.end(), all, Some(Access::Write), 10_000).unwrap().unwrap();
        assert_eq!(rest, stores[stores.len() / 2..]);
        assert_eq!(explorer.position(), at(TO));
    }
}
