//! How many events before a place the counter is to stop.

use super::histogram::{Histogram, Skids};

/// The margin before anything is known.
const UNKNOWN: u64 = 1000;
/// Room above the bucket that decided.
const ROOM: u64 = 8;
/// Overflows after which the margin is chosen again.
const EVERY: u64 = 64;
/// What runs on for longer was not late but lost.
const LOST: u64 = 1 << 20;

/// Chooses margins by what they cost: a step for each event that the guest was stopped too early, a restored checkpoint and what
/// it takes to come back for every time that it was stopped too late.
///
/// On hardware with a short tail that is the tail's end. Where the tail is very long and thin (AMD's reaches some 61,000 branches, one
/// in a hundred above 400), it is less than the tail: a rare retry is cheaper than thousands of steps each time. A retry takes a
/// greater margin than what has just failed, so a place is always reached in the end.
#[derive(Clone, Debug)]
pub struct Margins {
    skids: Histogram,
    retry_cost: u64,
    chosen: u64,
    /// For the retry that is under way; 0 if none is.
    raised: u64,
    lost: u64,
    overshot: u64,
}

impl Margins {
    /// Margins for a counter whose measured skids are these. `retry_cost` is what a retry takes, in single steps that take as
    /// long.
    pub fn new(skids: Histogram, retry_cost: u64) -> Self {
        let mut margins = Self { skids, retry_cost, chosen: UNKNOWN, raised: 0, lost: 0, overshot: 0 };
        margins.choose();
        margins
    }

    /// Events before the place at which to stop now.
    pub fn margin(&self) -> u64 {
        self.chosen.max(self.raised)
    }

    /// Skids seen so far.
    pub fn skids(&self) -> Skids {
        self.skids.summary()
    }

    /// Overflows that never interrupted, as far as could be told.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Times that the guest ran past a place.
    pub fn overshot(&self) -> u64 {
        self.overshot
    }

    /// The guest was stopped `skid` events after an overflow.
    pub(super) fn note_skid(&mut self, skid: u64) {
        if skid > LOST {
            self.lost += 1;
            return;
        }
        self.skids.add(skid);
        if self.skids.total().is_multiple_of(EVERY) {
            self.choose();
        }
    }

    /// The guest ran past the place, `skid` events after the overflow.
    pub(super) fn note_overshoot(&mut self, skid: u64) {
        self.overshot += 1;
        if skid <= LOST {
            self.raised = (self.margin() * 2).max(skid + skid / 4 + ROOM).min(LOST);
        }
    }

    /// The guest is at the place.
    pub(super) fn note_landing(&mut self) {
        self.raised = 0;
    }

    fn choose(&mut self) {
        let total = self.skids.total();
        let cost = |(margin, late): (u64, u64)| margin + (self.retry_cost * late).div_ceil(total.max(1));
        if let Some((margin, _)) = self.skids.tail().min_by_key(|&bucket| cost(bucket)) {
            self.chosen = margin + ROOM;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn margins(values: &[(u64, u64)], retry_cost: u64) -> Margins {
        let mut skids = Histogram::default();
        values.iter().for_each(|&(value, times)| (0..times).for_each(|_| skids.add(value)));
        Margins::new(skids, retry_cost)
    }

    #[test]
    fn a_short_tail_is_covered_and_a_long_one_is_not() {
        assert!((100..130).contains(&margins(&[(20, 990), (100, 10)], 20_000).margin()));
        assert!((384..430).contains(&margins(&[(100, 900), (384, 97), (61_000, 3)], 20_000).margin()));
        assert!(margins(&[(100, 900), (384, 97), (61_000, 3)], 1 << 40).margin() > 61_000);
    }

    #[test]
    fn a_retry_covers_what_failed_and_only_it() {
        let mut margins = margins(&[(20, 1000)], 20_000);
        let before = margins.margin();
        margins.note_skid(61_000);
        margins.note_overshoot(61_000);
        assert!(margins.margin() > 61_000);
        margins.note_landing();
        assert_eq!(margins.margin(), before);
    }

    #[test]
    fn a_lost_overflow_says_nothing_of_skids() {
        let mut margins = margins(&[(20, 1000)], 20_000);
        margins.note_skid(LOST + 1);
        margins.note_overshoot(LOST + 1);
        assert_eq!((margins.skids().most, margins.lost(), margins.overshot()), (20, 1, 1));
        assert!(margins.margin() < 100);
    }
}
