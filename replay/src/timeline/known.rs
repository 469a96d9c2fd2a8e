//! What is known of the run without running it again: what happened in its stretches, and where certain stops never hit.

use std::collections::BTreeMap;

use super::steppable::Steppable;
use crate::time::Position;

/// Most traces kept.
const TRACES: usize = 4096;
/// A stretch shorter than this, in instructions, is run rather than judged by its trace.
const SHORT: u64 = 1 << 12;
/// For how many different stops empty stretches are kept.
const ASKED: usize = 8;

/// Knowledge about the run of one machine.
pub(super) struct Known<M: Steppable> {
    /// By their first position: stretches that do not overlap.
    traces: BTreeMap<Position, (Position, M::Trace)>,
    /// The stops last asked for at the end.
    empty: Vec<(M::Stops, Spans)>,
}

impl<M: Steppable> Known<M> {
    pub(super) fn new() -> Self {
        Self { traces: BTreeMap::new(), empty: Vec::new() }
    }

    /// Notes what happened from `from` to `to`, unless something is noted of a part of it already.
    pub(super) fn note(&mut self, from: Position, to: Position, trace: M::Trace) {
        let overlaps = |(_, (end, _)): (&Position, &(Position, M::Trace))| *end > from;
        if to.count() - from.count() < SHORT || self.traces.range(..to).next_back().is_some_and(overlaps) {
            return;
        }
        if self.traces.len() >= TRACES
            && let Some(shortest) = self
                .traces
                .iter()
                .min_by_key(|(from, (to, _))| to.count() - from.count())
                .map(|(from, _)| *from)
        {
            self.traces.remove(&shortest);
        }
        self.traces.insert(from, (to, trace));
    }

    /// Notes that `stops` never hit after `from` up to and with `to`.
    pub(super) fn note_empty(&mut self, stops: &M::Stops, from: Position, to: Position) {
        let known = self.empty.iter().position(|(asked, _)| asked == stops);
        let mut entry = known.map_or_else(|| (stops.clone(), Spans::default()), |at| self.empty.remove(at));
        entry.1.add(from.count(), to.count());
        if self.empty.len() == ASKED {
            self.empty.remove(0);
        }
        self.empty.push(entry);
    }

    /// The earliest position from which on up to `to` it is certain that `stops` do not hit; `to` if nothing is.
    pub(super) fn empty_before(&self, machine: &M, stops: &M::Stops, mut to: Position) -> Position {
        let spans = self.empty.iter().find(|(asked, _)| asked == stops).map(|(_, spans)| spans);
        loop {
            let by_search = spans.and_then(|spans| spans.start_of(to.count())).map(Position::from_count);
            let by_trace = self.traces.range(..to).next_back().and_then(|(from, (end, trace))| {
                (*end >= to && !machine.may_hit(trace, stops)).then_some(*from)
            });
            match by_search.into_iter().chain(by_trace).min() {
                Some(from) if from < to => to = from,
                _ => return to,
            }
        }
    }
}

/// A set of stretches, joined where they touch.
#[derive(Default)]
struct Spans(BTreeMap<u64, u64>);

impl Spans {
    fn add(&mut self, mut from: u64, mut to: u64) {
        while let Some((&start, &end)) = self.0.range(..=to).next_back() {
            if end < from {
                break;
            }
            from = from.min(start);
            to = to.max(end);
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    /// Where the stretch begins that has (or ends with) `at` and something before it.
    fn start_of(&self, at: u64) -> Option<u64> {
        self.0.range(..at).next_back().filter(|(_, end)| **end >= at).map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::Spans;

    #[test]
    fn spans_join_where_they_touch() {
        let mut spans = Spans::default();
        for (from, to) in [(10, 20), (30, 40), (50, 60), (20, 25), (24, 31)] {
            spans.add(from, to);
        }
        assert_eq!(spans.0.into_iter().collect::<Vec<_>>(), [(10, 40), (50, 60)]);
    }

    #[test]
    fn a_span_reaches_back_from_its_end() {
        let mut spans = Spans::default();
        spans.add(10, 20);
        assert_eq!([10, 11, 20, 21].map(|at| spans.start_of(at)), [None, Some(10), Some(10), None]);
    }
}
