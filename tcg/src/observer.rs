//! What an observer waits for, as the CPU looks at it: [`Stops`] prepared for the slow paths, and what was hit.
//!
//! No part of the machine's state: whatever is asked for here, the guest's run is the same to the bit.

use crate::{
    stops::{Hit, Place, Space, Stops, Watch},
    tlb::{PAGE, PAGE_MASK},
};

/// The observer.
#[derive(Debug, Default)]
pub struct Observer {
    /// Ascending.
    breakpoints: Vec<u64>,
    place: Option<Place>,
    watches: Vec<Watch>,
    /// The first access of the instruction under way that was watched, and the position at which it is complete.
    hit: Option<(u64, Hit)>,
    /// Position and linear pc of the instruction that the observer has seen; its breakpoint does not count again.
    seen: Option<(u64, u64)>,
    /// The position that the CPU has begun to leave: what it does there belongs to the next.
    begun: Option<u64>,
    /// Whether an event is delivered where the CPU has just arrived.
    arriving: bool,
    /// Whether events are stopped at.
    events: bool,
    /// The position at which one was delivered that the observer has not seen.
    event: Option<u64>,
}

/// What [`Observer::set`] changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// Breakpoints that were not there before.
    pub breakpoints: Vec<u64>,
    /// Whether other memory is watched now.
    pub watches: bool,
}

impl Observer {
    /// Takes over what to stop at.
    pub fn set(&mut self, stops: &Stops) -> Changed {
        let new: Vec<u64> = stops.breakpoints.iter().copied().collect();
        let mut added: Vec<u64> = new.iter().copied().filter(|&addr| !self.has_breakpoint(addr)).collect();
        if self.place != stops.place {
            // Code made for the old one is of no use, and that of the new one has yet to be made.
            added.extend([&self.place, &stops.place].into_iter().flatten().map(|place| place.addr));
            self.place.clone_from(&stops.place);
        }
        let watches = self.watches != stops.watchpoints;
        self.breakpoints = new;
        (self.events, self.event) = (stops.events, None);
        if watches {
            self.watches.clone_from(&stops.watchpoints);
            self.hit = None;
        }
        Changed { breakpoints: added, watches }
    }

    /// Whether the instruction at linear address `addr` has a breakpoint.
    #[inline]
    #[must_use]
    pub fn has_breakpoint(&self, addr: u64) -> bool {
        !self.breakpoints.is_empty() && self.breakpoints.binary_search(&addr).is_ok()
    }

    /// Whether runs may have to end before the instruction at linear address `addr`: it must begin a block.
    #[inline]
    #[must_use]
    pub fn divides(&self, addr: u64) -> bool {
        self.has_breakpoint(addr) || self.place.as_ref().is_some_and(|place| place.addr == addr)
    }

    /// The registers with which runs end before the instruction at linear address `addr`.
    #[inline]
    #[must_use]
    pub fn place(&self, addr: u64) -> Option<&[u64; 16]> {
        self.place.as_ref().filter(|place| place.addr == addr).map(|place| &*place.regs)
    }

    /// Whether the CPU, at position `at` before the instruction at `addr`, stands at a breakpoint that has not been seen.
    #[inline]
    #[must_use]
    pub fn stops_at(&self, at: u64, addr: u64, regs: &[u64]) -> bool {
        self.is_stop(addr, regs) && self.seen != Some((at, addr))
    }

    /// Whether runs end before the instruction at linear address `addr`, seen or not, with these general registers.
    #[inline]
    #[must_use]
    pub fn is_stop(&self, addr: u64, regs: &[u64]) -> bool {
        self.has_breakpoint(addr) || self.place(addr).is_some_and(|place| *regs == place[..])
    }

    /// The words of memory that a stop at linear address `addr` depends on.
    #[must_use]
    pub fn words(&self, addr: u64) -> &[(u64, u64)] {
        match &self.place {
            Some(place) if place.addr == addr && !self.has_breakpoint(addr) => &place.words,
            _ => &[],
        }
    }

    /// Whether there is any breakpoint, or a place.
    #[inline(always)]
    #[must_use]
    pub fn has_breakpoints(&self) -> bool {
        !self.breakpoints.is_empty() || self.place.is_some()
    }

    /// Whether any memory is watched.
    #[inline(always)]
    #[must_use]
    pub fn watches(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Whether loads from the linear page `page`, which is the physical page `phys`, have to be looked at.
    #[inline]
    #[must_use]
    pub fn watches_loads(&self, page: u64, phys: u64) -> bool {
        self.watches.iter().any(|w| w.on.reads() && has_bytes_in(w, page, phys))
    }

    /// As [`Observer::watches_loads`], for loads or stores.
    #[inline]
    #[must_use]
    pub fn watches_any(&self, page: u64, phys: u64) -> bool {
        self.watches.iter().any(|w| has_bytes_in(w, page, phys))
    }

    /// Notes an access to `len` bytes at linear address `linear`, if it has one, and physical address `phys`, by the
    /// instruction at position `now`. Whether it is the first to be watched there: the instruction must then be the last of
    /// the run. (The next run ends there by itself.)
    #[cold]
    pub fn note(&mut self, now: u64, linear: Option<u64>, phys: u64, len: u64, write: bool) -> bool {
        self.note_by(None, now, linear, phys, len, write)
    }

    /// As [`Observer::note`], for an access of device number `device` at position `now`.
    #[cold]
    pub fn note_device(&mut self, device: u16, now: u64, phys: u64, len: u64, write: bool) {
        self.note_by(Some(device), now, None, phys, len, write);
    }

    fn note_by(
        &mut self,
        device: Option<u16>,
        now: u64,
        linear: Option<u64>,
        phys: u64,
        len: u64,
        write: bool,
    ) -> bool {
        let found = self.watches.iter().enumerate().find_map(|(watch, w)| {
            let addr = if w.space == Space::Linear { linear? } else { phys };
            let counts = if write { w.on.writes() } else { w.on.reads() };
            (counts && overlap(w, addr, len)).then_some(Hit::Watch { watch, addr, len, write, device })
        });
        let Some(hit) = found else { return false };
        let done = if self.arriving { now } else { now + 1 };
        let first = self.hit.is_none();
        match self.hit {
            // Writes go before reads.
            Some((_, Hit::Watch { write: false, .. })) if write => self.hit = Some((done, hit)),
            Some(_) => {}
            None => self.hit = Some((done, hit)),
        }
        first
    }

    /// The position that the CPU must not pass before the observer is told.
    #[inline(always)]
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.hit.map_or(u64::MAX, |(done, _)| done)
    }

    /// The watched access, once the instruction is complete, at position `now`.
    pub fn take_access(&mut self, now: u64) -> Option<Hit> {
        if self.hit.is_some_and(|(done, _)| done <= now) { self.hit.take().map(|(_, hit)| hit) } else { None }
    }

    /// Forgets a watched access: the CPU is somewhere else now.
    pub fn forget_access(&mut self) {
        self.hit = None;
    }

    /// The observer has seen the CPU at position `at`, before the instruction at `addr`: what happens from here on belongs to
    /// the next position, and its breakpoint, when `breakpoint`, does not count again.
    pub fn see(&mut self, at: u64, addr: u64, breakpoint: bool) {
        self.begun = Some(at);
        self.seen = breakpoint.then_some((at, addr));
        self.event = None;
    }

    /// The instruction at position `at` has begun and raised an exception, unless what is raised is a trap of the one before,
    /// which is an event where the CPU arrives.
    #[inline(always)]
    pub fn begin(&mut self, at: u64) {
        if !self.arriving {
            self.begun = Some(at);
        }
    }

    /// An event is delivered at position `at`, between instructions.
    pub fn deliver(&mut self, at: u64) {
        self.arriving = self.begun != Some(at);
    }

    /// The end of [`Observer::deliver`] or of what [`Observer::begin`] says: an event has been delivered at position `at`.
    #[inline(always)]
    pub fn delivered(&mut self, at: u64) {
        if self.events && !self.arriving {
            self.event = Some(at);
        }
        self.arriving = false;
    }

    /// The end of [`Observer::deliver`] for what no handler follows.
    #[inline(always)]
    pub fn passed(&mut self) {
        self.arriving = false;
    }

    /// Whether an event has been delivered at position `at` that is stopped at and has not been seen.
    #[inline(always)]
    #[must_use]
    pub fn is_at_event(&self, at: u64) -> bool {
        self.event == Some(at)
    }
}

/// Whether any of `w`'s bytes is in the linear page `page` or the physical page `phys`.
fn has_bytes_in(w: &Watch, page: u64, phys: u64) -> bool {
    let start = if w.space == Space::Linear { page } else { phys };
    overlap(w, start & PAGE_MASK, PAGE)
}

/// Whether the `len` bytes at `addr` have any of `w`'s.
fn overlap(w: &Watch, addr: u64, len: u64) -> bool {
    addr.wrapping_sub(w.addr) < w.len || w.addr.wrapping_sub(addr) < len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stops::Access;

    fn watching(on: Access) -> Observer {
        let mut o = Observer::default();
        let watch = |space, addr| Watch { space, addr, len: 4, on };
        let watchpoints = vec![watch(Space::Linear, 0x1ffe), watch(Space::Physical, 0x8000)];
        o.set(&Stops { watchpoints, ..Stops::default() });
        o
    }

    #[test]
    fn pages_with_any_watched_byte_are_watched() {
        let o = watching(Access::Write);
        assert!(o.watches_any(0x1000, 0) && o.watches_any(0x2000, 0) && !o.watches_any(0x3000, 0));
        assert!(o.watches_any(0x7000, 0x8000) && !o.watches_any(0x7000, 0x9000));
        assert!(!o.watches_loads(0x1000, 0x8000) && watching(Access::Read).watches_loads(0x1000, 0));
    }

    #[test]
    fn the_first_write_of_an_instruction_counts_and_only_when_it_is_complete() {
        let mut o = watching(Access::Any);
        assert!(!o.note(5, Some(0x2002), 0x7000, 4, true));
        assert!(o.note(5, Some(0x1ff7), 0x7000, 8, false));
        assert!(!o.note(5, Some(0x9000), 0x8003, 1, true));
        assert!(!o.note(5, Some(0x2000), 0, 1, true));
        assert_eq!((o.limit(), o.take_access(5)), (6, None));
        assert_eq!(
            o.take_access(6),
            Some(Hit::Watch { watch: 1, addr: 0x8003, len: 1, write: true, device: None })
        );
        assert_eq!(o.limit(), u64::MAX);
    }

    #[test]
    fn an_event_belongs_to_the_position_at_which_the_cpu_arrives() {
        let mut o = watching(Access::Any);
        o.deliver(7);
        o.note(7, None, 0x8000, 8, true);
        o.delivered(7);
        assert!(o.take_access(7).is_some());
        // Seen there before, it is on its way to the next.
        o.see(7, 0x1000, true);
        o.deliver(7);
        o.note(7, None, 0x8000, 8, true);
        o.delivered(7);
        assert!(o.take_access(7).is_none() && o.take_access(8).is_some());
    }

    #[test]
    fn an_event_is_stopped_at_once_and_not_where_the_cpu_arrives() {
        let mut o = Observer::default();
        o.set(&Stops { events: true, ..Stops::default() });
        o.deliver(7);
        o.delivered(7);
        assert!(!o.is_at_event(7));
        o.see(7, 0x1000, true);
        o.begin(7);
        o.delivered(7);
        assert!(o.is_at_event(7) && !o.is_at_event(8));
        o.see(7, 0x2000, true);
        assert!(!o.is_at_event(7));
        o.set(&Stops::default());
        o.begin(7);
        o.delivered(7);
        assert!(!o.is_at_event(7));
    }

    #[test]
    fn a_place_is_one_only_with_its_registers() {
        let mut o = Observer::default();
        let place = Place { addr: 7, regs: Box::new([1; 16]), words: vec![(8, 9)] };
        let stops = Stops { place: Some(place), ..Stops::default() };
        assert!(o.words(7).is_empty());
        assert_eq!(o.set(&stops).breakpoints, [7]);
        assert!(o.divides(7) && !o.has_breakpoint(7) && o.stops_at(1, 7, &[1; 16]));
        assert!(!o.stops_at(1, 7, &[2; 16]) && !o.stops_at(1, 8, &[1; 16]));
        assert_eq!((o.words(7), o.words(8)), (&[(8, 9)][..], &[][..]));
        assert_eq!(o.set(&Stops::default()).breakpoints, [7]);
        assert!(!o.divides(7));
    }

    #[test]
    fn a_breakpoint_that_was_seen_does_not_count_again_until_the_cpu_moves() {
        let mut o = Observer::default();
        let stops = Stops { breakpoints: [9, 3].into(), ..Stops::default() };
        assert_eq!(o.set(&stops), Changed { breakpoints: vec![3, 9], watches: false });
        assert!(o.set(&stops).breakpoints.is_empty());
        assert!(o.stops_at(1, 3, &[]) && !o.stops_at(1, 4, &[]));
        o.see(1, 3, true);
        assert!(!o.stops_at(1, 3, &[]) && o.stops_at(1, 9, &[]) && o.stops_at(2, 3, &[]));
    }
}
