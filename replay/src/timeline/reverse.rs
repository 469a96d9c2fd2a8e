//! Looking back: the last of many hits before a moment.
//!
//! A search covers the moments after the arrival at one position up to and with the arrival at another, as
//! [`Steppable::run_until`] looks for hits, so that stretches put end to end cover every moment once.

use super::drive::DriveError;
use super::steppable::Steppable;
use super::travel::{Lay, Way};
use super::{Standing, Timeline};
use crate::seam::Rewind;
use crate::time::{Position, Stamp};

/// Hits in a row after which a search for the last one leaves the stops out up to the middle of what is left.
const MANY: usize = 64;
/// A stretch shorter than this, in instructions, is searched whole however many hits it has.
const SHORT: u64 = 1 << 12;

/// Where [`Timeline::reverse_continue`] has come to.
#[derive(Debug)]
pub enum Back<H> {
    /// The last hit before: the machine stands before the instruction that hits.
    Hit(Stamp, H),
    /// Nothing hits between there, the floor, and where it began.
    Start(Stamp),
    /// Interrupted ([`Timeline::interrupt_by`]): the machine is where it was.
    Interrupted(Stamp),
}

/// A hit and where it is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<H> {
    /// Where the machine stands at the hit when it runs forwards.
    pub at: Stamp,
    /// What hits.
    pub hit: H,
}

/// All hits of a stretch, as a search for the last one has seen them: those before it are the next ones to be asked for.
pub(super) struct Seen<M: Steppable> {
    stops: M::Stops,
    /// After the arrival here…
    from: Position,
    /// …up to and with the arrival here…
    to: Position,
    /// …before the instruction here.
    now: Position,
    hits: Vec<Found<M::Hit>>,
}

/// What a search gives; none if it was interrupted.
type Searched<T, E> = Result<Option<T>, DriveError<E>>;

enum Next<H> {
    Hit(Found<H>),
    Nothing,
    Interrupted,
}

impl<M, S> Timeline<M, S>
where
    M: Steppable,
    S: Rewind<Input = M::Input>,
{
    /// Goes back to the last hit of `stops` before now, not before `floor`; to `floor` if there is none.
    ///
    /// At a breakpoint the machine stands as it does when it runs forwards to it. At a watchpoint it stands before the
    /// instruction that accesses, one position before the one where it stops forwards. Called again and again this gives
    /// the hits of the run in reverse; equal hits at one position count as one.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub fn reverse_continue(
        &mut self,
        stops: &M::Stops,
        floor: Position,
    ) -> Result<Back<M::Hit>, DriveError<M::Error>> {
        if self.standing == Standing::Lost {
            self.start_for(self.now().position)?;
        }
        let mark = self.mark();
        let start = self.now().position;
        match self.last_before(stops, floor, start)? {
            None => {
                self.go_to_mark(mark)?;
                Ok(Back::Interrupted(self.now()))
            }
            Some(None) => {
                self.without_interrupts(|timeline| timeline.seek(floor.min(start)))?;
                Ok(Back::Start(self.now()))
            }
            Some(Some(found)) => {
                self.without_interrupts(|timeline| timeline.go_before(stops, &found))?;
                Ok(Back::Hit(self.now(), found.hit))
            }
        }
    }

    /// The hits of `stops` after the arrival at `from` up to and with the arrival at `to`, in order, at most `most` of
    /// them; none if interrupted. The machine is where it was.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub fn hits(
        &mut self,
        from: Position,
        to: Position,
        stops: &M::Stops,
        most: usize,
    ) -> Searched<Vec<Found<M::Hit>>, M::Error> {
        let mark = self.mark();
        let all = self.hits_from_here_on(from, to, stops, most)?;
        self.go_to_mark(mark)?;
        Ok(all)
    }

    /// Whether it is known without running that none of `stops` hits after the arrival at `from` up to and with that at `to`.
    pub fn is_known_empty(&self, from: Position, to: Position, stops: &M::Stops) -> bool {
        self.known.empty_before(&self.machine, stops, to) <= from
    }

    /// Notes what somebody else found out: none of `stops` hits after the arrival at `from` up to and with that at `to`.
    pub fn learn_empty(&mut self, from: Position, to: Position, stops: &M::Stops) {
        self.known.note_empty(stops, from, to);
    }

    /// The last hit before this moment, not before `floor`.
    fn last_before(
        &mut self,
        stops: &M::Stops,
        floor: Position,
        now: Position,
    ) -> Searched<Option<Found<M::Hit>>, M::Error> {
        let until = match &self.standing {
            Standing::Arrival | Standing::Lost => None,
            Standing::At(hit) => Some(Some(hit.clone())),
            Standing::Past => Some(None),
        };
        if let Some(until) = until.filter(|_| floor <= now) {
            let found = self.last_here(stops, now, until)?;
            if !matches!(found, Some(None)) {
                return Ok(found);
            }
        }
        // The hit before the instruction at the floor itself is found only on the way there.
        let bottom = before(floor);
        let mut to = now;
        loop {
            to = self.known.empty_before(&self.machine, stops, to);
            if to <= bottom {
                return Ok(Some(None));
            }
            if let Some(seen) = self.seen_before(stops, to, now) {
                if let Some(found) = seen.hits.iter().rfind(|found| stop_of::<M>(found) < now) {
                    return Ok(Some(Some(found.clone()).filter(|found| stop_of::<M>(found) >= floor)));
                }
                to = seen.from;
                continue;
            }
            if self.is_interrupted() {
                return Ok(None);
            }
            let from = self.checkpoints.before(to).unwrap_or(bottom).max(bottom);
            let mut at_end = false;
            let Some(found) = self.last_in(stops, from, to, now, &mut at_end)? else { return Ok(None) };
            if found.is_some() {
                return Ok(Some(found.filter(|found| stop_of::<M>(found) >= floor)));
            }
            self.known.note_empty(stops, from, if at_end { before(now).max(from) } else { to });
            to = from;
        }
    }

    /// What has been seen of `stops` in a stretch that ends at `to` or later, of what is before the instruction at `now`.
    fn seen_before(&self, stops: &M::Stops, to: Position, now: Position) -> Option<&Seen<M>> {
        let seen = self.seen.as_ref().filter(|seen| seen.stops == *stops);
        seen.filter(|seen| seen.from < to && to <= seen.to && now <= seen.now)
    }

    /// Of what hits at the instruction at `at`, the last before `until`, or before the instruction completes.
    fn last_here(
        &mut self,
        stops: &M::Stops,
        at: Position,
        until: Option<M::Hit>,
    ) -> Searched<Option<Found<M::Hit>>, M::Error> {
        let Some(all) = self.hits_from_here_on(before(at), after(at), stops, usize::MAX)? else {
            return Ok(None);
        };
        let mut here = all.into_iter().filter(|found| stop_of::<M>(found) == at).collect::<Vec<_>>();
        let end = match until {
            // Without the hit that one came by, these are not the hits that came before it.
            Some(hit) => here.iter().position(|found| found.hit == hit).unwrap_or(0),
            None => here.iter().position(|found| M::is_behind(&found.hit)).unwrap_or(here.len()),
        };
        here.truncate(end);
        Ok(Some(here.pop()))
    }

    /// The last hit after the arrival at `from`, up to and with the arrival at `to`, before the instruction at `now`;
    /// `at_end` becomes true if one there was passed over.
    fn last_in(
        &mut self,
        stops: &M::Stops,
        from: Position,
        to: Position,
        now: Position,
        at_end: &mut bool,
    ) -> Searched<Option<Found<M::Hit>>, M::Error> {
        let Some(()) = self.begin(from, stops)? else { return Ok(None) };
        let mut hits: Vec<Found<M::Hit>> = Vec::new();
        let mut left_out = None;
        loop {
            let found = match self.next_hit(to)? {
                Next::Interrupted => return Ok(None),
                Next::Nothing => break,
                Next::Hit(found) => found,
            };
            let here = found.at.position;
            if stop_of::<M>(&found) >= now {
                *at_end = true;
                continue;
            }
            hits.push(found);
            let left = to.count().saturating_sub(here.count());
            if hits.len() >= MANY && left > SHORT {
                let middle = Position::from_count(here.count() + left / 2);
                let Some(()) = self.skip_to(middle, stops)? else { return Ok(None) };
                left_out = Some((hits.pop(), here, middle));
                hits.clear();
            }
        }
        match (hits.last().cloned(), left_out) {
            (Some(last), left_out) => {
                let from = left_out.map_or(from, |(_, _, middle)| middle);
                self.seen = Some(Seen { stops: stops.clone(), from, to, now, hits });
                Ok(Some(Some(last)))
            }
            (None, None) => Ok(Some(None)),
            (None, Some((earlier, here, middle))) => {
                let later = self.last_in(stops, before(here), middle, now, at_end)?;
                Ok(later.map(|later| later.or(earlier)))
            }
        }
    }

    fn hits_from_here_on(
        &mut self,
        from: Position,
        to: Position,
        stops: &M::Stops,
        most: usize,
    ) -> Searched<Vec<Found<M::Hit>>, M::Error> {
        let mut all = Vec::new();
        let Some(()) = self.begin(from, stops)? else { return Ok(None) };
        while all.len() < most {
            match self.next_hit(to)? {
                Next::Hit(found) => all.push(found),
                Next::Nothing => break,
                Next::Interrupted => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// Goes to `from`, ready to look for hits after it.
    fn begin(&mut self, from: Position, stops: &M::Stops) -> Searched<(), M::Error> {
        self.start_for(from)?;
        self.skip_to(from, stops)
    }

    /// Runs on to `to` whatever hits on the way, then looks for hits after it.
    fn skip_to(&mut self, to: Position, stops: &M::Stops) -> Searched<(), M::Error> {
        self.set_stops(&M::Stops::default());
        let way = self.travel(to, Lay::Stride { near: false })?;
        self.set_stops(stops);
        Ok(match way {
            Way::Interrupted => None,
            // Nothing hits after the end of the run.
            Way::Reached | Way::Ended(_) | Way::Cut(_) | Way::Hit(_) => Some(()),
        })
    }

    fn next_hit(&mut self, to: Position) -> Result<Next<M::Hit>, DriveError<M::Error>> {
        Ok(match self.travel(to, Lay::Stride { near: false })? {
            Way::Hit(hit) => Next::Hit(Found { at: self.now(), hit }),
            Way::Reached | Way::Ended(_) | Way::Cut(_) => Next::Nothing,
            Way::Interrupted => Next::Interrupted,
        })
    }

    /// Goes to where the machine stands at `found` when one looks back.
    fn go_before(&mut self, stops: &M::Stops, found: &Found<M::Hit>) -> Result<(), DriveError<M::Error>> {
        let at = stop_of::<M>(found);
        if M::is_behind(&found.hit) {
            self.seek(at)?;
        } else {
            self.seek_near(before(at), at)?;
            self.set_stops(stops);
            // Up to the arrival first: a hit there is the arrival.
            for limit in [at, after(at)] {
                while let Way::Hit(hit) = self.travel(limit, Lay::Nothing)? {
                    if self.now().position == at && hit == found.hit {
                        self.at_arrival = limit == at;
                        self.standing = Standing::At(hit);
                        return Ok(());
                    }
                }
            }
            // It hit before and does not now. The place is right all the same.
            self.seek(at)?;
        }
        self.standing = Standing::At(found.hit.clone());
        Ok(())
    }
}

/// Where the machine stands before the instruction that `found` is about.
fn stop_of<M: Steppable>(found: &Found<M::Hit>) -> Position {
    if M::is_behind(&found.hit) { before(found.at.position) } else { found.at.position }
}

fn before(position: Position) -> Position {
    Position::from_count(position.count().saturating_sub(1))
}

fn after(position: Position) -> Position {
    Position::from_count(position.count().saturating_add(1))
}
