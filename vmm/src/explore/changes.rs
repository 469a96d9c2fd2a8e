//! Stopping at stores only where they change something, as gdb's watchpoints do: memory that is written again and again
//! with what it holds already would otherwise cost a stop each time.

use rrvmm_replay::Position;
use rrvmm_replay::timeline::{Back, DriveError, Ran, Seek};
use rrvmm_tcg::stops::{Access, Hit, Stops, Watch};

use super::motion::Halt;
use super::{ExploreError, Explorer, RecordedTimeline};
use crate::machine::{MachineError, PcMachine};

/// Bytes of a watchpoint that are compared; a debugger's own are far shorter.
const MOST_WATCHED: u64 = 1 << 16;
/// Stores without effect that are passed one by one on the way back, before whole stretches are looked through.
const PATIENCE: usize = 8;
/// The first stretch, in instructions, the factor to the next and the longest one.
const STRETCHES: (u64, u64, u64) = (1 << 16, 4, 1 << 26);

/// The last change before a moment.
enum Change {
    /// The machine stood here, behind the store that made it, and the store was to this watchpoint.
    Behind(Position, usize),
    /// None since power-on.
    None,
    Interrupted,
}

impl Explorer {
    /// As [`Explorer::run`] without a limit, but passes stores that leave everything watched as it was. Only if all
    /// watchpoints are for stores: who watches loads wants every access.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn run_to_change(&mut self, stops: &Stops) -> Result<Halt, ExploreError> {
        let before = watched(self.machine(), stops);
        loop {
            let halt = self.run(None, stops)?;
            if !self.is_without_effect(&halt, stops, &before) {
                return Ok(halt);
            }
            if self.is_interrupted() {
                return Ok(Halt::Interrupted);
            }
        }
    }

    /// As [`Explorer::run_back`], but passes stores as [`Explorer::run_to_change`] does.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn run_back_to_change(&mut self, stops: &Stops) -> Result<Halt, ExploreError> {
        let before = watched(self.machine(), stops);
        for _ in 0..PATIENCE {
            let halt = self.run_back(stops)?;
            if !self.is_without_effect(&halt, stops, &before) {
                return Ok(halt);
            }
            if self.is_interrupted() {
                return Ok(Halt::Interrupted);
            }
        }
        let watches = Stops { watchpoints: stops.watchpoints.clone(), ..Stops::default() };
        let change = self.timeline.excursion(|timeline| last_change(timeline, &watches))??;
        let floor = match change {
            Change::Behind(at, _) => at,
            Change::None => Position::START,
            Change::Interrupted => return Ok(Halt::Interrupted),
        };
        let breakpoints = Stops { breakpoints: stops.breakpoints.clone(), ..Stops::default() };
        match self.timeline.reverse_continue(&breakpoints, floor)? {
            Back::Hit(_, hit) => return Ok(Halt::Hit(hit)),
            Back::Interrupted(_) => return Ok(Halt::Interrupted),
            Back::Start(_) => {}
        }
        let Change::Behind(at, watch) = change else { return Ok(Halt::Start) };
        let Watch { addr, len, .. } = watches.watchpoints[watch];
        Ok(match self.go_to(Position::from_count(at.count().saturating_sub(1)))? {
            Halt::Reached => Halt::Hit(Hit::Watch { watch, addr, len, write: true, device: None }),
            other => other,
        })
    }

    /// Whether `halt` is at a store, and everything watched is as it was `before`.
    fn is_without_effect(&self, halt: &Halt, stops: &Stops, before: &[Vec<u8>]) -> bool {
        matches!(halt, Halt::Hit(Hit::Watch { .. }))
            && stops.watchpoints.iter().all(|watch| watch.on == Access::Write)
            && watched(self.machine(), stops) == before
    }
}

/// The bytes under every watchpoint.
fn watched(machine: &PcMachine, stops: &Stops) -> Vec<Vec<u8>> {
    let read = |watch: &Watch| {
        let mut bytes = vec![0; watch.len.min(MOST_WATCHED) as usize];
        let have = machine.read(watch.space, watch.addr, &mut bytes);
        bytes.truncate(have);
        bytes
    };
    stops.watchpoints.iter().map(read).collect()
}

/// The last store before here that changed what is watched. Leaves the timeline anywhere.
fn last_change(timeline: &mut RecordedTimeline, watches: &Stops) -> Result<Change, DriveError<MachineError>> {
    let (mut stretch, factor, longest) = STRETCHES;
    let mut to = timeline.now().position;
    while to > Position::START {
        let from = Position::from_count(to.count().saturating_sub(stretch));
        match last_change_in(timeline, watches, from, to)? {
            Change::None => {}
            found @ (Change::Behind(..) | Change::Interrupted) => return Ok(found),
        }
        to = from;
        stretch = (stretch * factor).min(longest);
    }
    Ok(Change::None)
}

/// The last such store of the instructions between two positions.
fn last_change_in(
    timeline: &mut RecordedTimeline,
    watches: &Stops,
    from: Position,
    to: Position,
) -> Result<Change, DriveError<MachineError>> {
    let Seek::Reached(_) = timeline.seek(from)? else { return Ok(Change::Interrupted) };
    let mut values = watched(timeline.machine().inner(), watches);
    let mut last = Change::None;
    loop {
        match timeline.run(to, watches)? {
            Ran::Hit(at, _) => {
                let now = watched(timeline.machine().inner(), watches);
                if let Some(watch) = now.iter().zip(&values).position(|(now, before)| now != before) {
                    last = Change::Behind(at.position, watch);
                    values = now;
                }
            }
            Ran::Interrupted(_) => return Ok(Change::Interrupted),
            Ran::Reached(_) | Ran::Ended(..) | Ran::Cut(..) => return Ok(last),
        }
    }
}
