//! The checkpoints in memory: dense where the user is, thinner with distance, within a budget.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::policy::Policy;
use crate::time::Position;

/// A moment of the run that the machine can be put back to: its first arrival at a position.
pub(super) struct Checkpoint<T> {
    pub(super) state: T,
    /// How many events of the journal the machine has had.
    pub(super) events: u64,
    weight: usize,
}

/// Checkpoints by position.
pub(super) struct Checkpoints<T> {
    kept: BTreeMap<Position, Checkpoint<T>>,
    weigh: fn(&T, Option<&T>) -> usize,
    total: usize,
}

impl<T> Checkpoints<T> {
    /// None yet. `weigh` gives the bytes that a state takes beside the one before it.
    pub(super) fn new(weigh: fn(&T, Option<&T>) -> usize) -> Self {
        Self { kept: BTreeMap::new(), weigh, total: 0 }
    }

    pub(super) fn has(&self, at: Position) -> bool {
        self.kept.contains_key(&at)
    }

    /// The last one at or before `at`.
    pub(super) fn nearest(&self, at: Position) -> Option<(Position, &Checkpoint<T>)> {
        self.kept.range(..=at).next_back().map(|(at, checkpoint)| (*at, checkpoint))
    }

    /// The last one before `at`.
    pub(super) fn before(&self, at: Position) -> Option<Position> {
        self.kept.range(..at).next_back().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, at: Position, state: T, events: u64) {
        if let Some(old) = self.kept.insert(at, Checkpoint { state, events, weight: 0 }) {
            self.total -= old.weight;
        }
        self.reweigh(at);
        if let Some(next) = self.after(at) {
            self.reweigh(next);
        }
    }

    pub(super) fn remove(&mut self, at: Position) {
        let Some(old) = self.kept.remove(&at) else { return };
        self.total -= old.weight;
        if let Some(next) = self.after(at) {
            self.reweigh(next);
        }
    }

    /// Drops those before `at`, but for the nearest one at or before it.
    pub(super) fn forget_before(&mut self, at: Position) {
        while let Some(first) =
            self.kept.keys().next().copied().filter(|_| self.kept.range(..=at).count() > 1)
        {
            self.remove(first);
        }
    }

    /// Drops those that `policy` finds needless with the user at `now`; the first one stays.
    pub(super) fn thin(&mut self, policy: &Policy, now: Position) {
        while let Some((at, gap, allowed)) = self.least_needed(policy, now) {
            if gap > allowed && self.total <= policy.budget {
                return;
            }
            self.remove(at);
        }
    }

    /// The one that would be missed least, the gap that it leaves, and the gap up to which it is needless in any case.
    fn least_needed(&self, policy: &Policy, now: Position) -> Option<(Position, u64, u64)> {
        let positions: Vec<u64> = self.kept.keys().map(|at| at.count()).collect();
        let score = |at: u64, gap: u64| {
            let distance = now.count().abs_diff(at);
            // A gap counts by the distance from which it is seen.
            let scale = (distance / 8).saturating_add(policy.needless_gap(0)).saturating_add(1);
            (gap > policy.needless_gap(distance), (u128::from(gap) << 32) / u128::from(scale))
        };
        let inner = positions.windows(3).map(|w| (w[1], w[2] - w[0]));
        // The last one leaves the way from its neighbour to the present; or to whatever comes after it, as far again.
        let last = positions.windows(2).last().map(|w| {
            let reach = (w[1] - w[0]).saturating_mul(2);
            (w[1], now.count().checked_sub(w[1]).map_or(reach, |_| now.count() - w[0]))
        });
        let worst = inner.chain(last).min_by_key(|&(at, gap)| score(at, gap))?;
        let allowed = policy.needless_gap(now.count().abs_diff(worst.0));
        Some((Position::from_count(worst.0), worst.1, allowed))
    }

    /// How many there are and the bytes that they take.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.kept.len(), self.total)
    }

    /// Where they are, ascending.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.kept.keys().copied()
    }

    fn after(&self, at: Position) -> Option<Position> {
        self.kept.range((Excluded(at), Unbounded)).next().map(|(at, _)| *at)
    }

    fn reweigh(&mut self, at: Position) {
        let Some(this) = self.kept.get(&at) else { return };
        let beside = self.kept.range(..at).next_back().map(|(_, checkpoint)| &checkpoint.state);
        let weight = (self.weigh)(&this.state, beside);
        if let Some(this) = self.kept.get_mut(&at) {
            self.total = self.total - this.weight + weight;
            this.weight = weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(budget: usize) -> Policy {
        Policy { budget, stride: 1 << 20, trail: 1 << 16, near: vec![1 << 4, 1 << 8], worth_loading: 0 }
    }

    fn filled(policy: &Policy, count: u64, step: u64) -> Checkpoints<u64> {
        let mut kept = Checkpoints::new(|_, _| 10);
        for at in (0..count).map(|n| Position::from_count(n * step)) {
            kept.insert(at, at.count(), 0);
            kept.thin(policy, at);
        }
        kept
    }

    #[test]
    fn their_number_grows_like_the_logarithm_of_the_run() {
        let endless = Policy { stride: 1 << 62, ..policy(usize::MAX) };
        for (count, step) in [(1u64 << 10, 64), (1 << 13, 64), (1 << 13, 4096)] {
            let kept = filled(&endless, count, step);
            let bound = 18 * (count * step).ilog2() as usize;
            assert!(kept.size().0 <= bound, "{} of {count}", kept.size().0);
            assert_eq!(kept.positions().next(), Some(Position::START));
        }
    }

    #[test]
    fn no_gap_is_wider_than_its_distance_allows() {
        let policy = policy(usize::MAX);
        let step = 64;
        let kept = filled(&policy, 1 << 12, step);
        let now = ((1 << 12) - 1) * step;
        let positions: Vec<u64> = kept.positions().map(Position::count).collect();
        for pair in positions.windows(2) {
            let allowed = policy.needless_gap(now - pair[0]).max(step);
            assert!(pair[1] - pair[0] <= allowed, "{pair:?}");
        }
    }

    #[test]
    fn the_budget_holds_and_the_first_stays() {
        for budget in [0, 10, 55, 300] {
            let kept = filled(&policy(budget), 500, 1 << 18);
            let (count, bytes) = kept.size();
            assert!(bytes <= budget.max(10) && count == (budget / 10).max(1), "{count} {bytes}");
            assert!(kept.has(Position::START));
        }
    }

    #[test]
    fn going_back_leaves_those_ahead() {
        let policy = policy(usize::MAX);
        let mut kept = Checkpoints::new(|_, _| 10);
        for n in 0..40 {
            kept.insert(Position::from_count(n << 20), n, 0);
        }
        for now in [30, 3, 39, 1] {
            kept.thin(&policy, Position::from_count(now << 20));
            assert_eq!(kept.size().0, 40);
        }
    }

    #[test]
    fn weights_follow_the_neighbours() {
        // Each takes the difference to the one before.
        let mut kept = Checkpoints::new(|&a: &usize, b: Option<&usize>| a - b.copied().unwrap_or(0));
        for at in [10usize, 30, 20] {
            kept.insert(Position::from_count(at as u64), at, 0);
            assert_eq!(kept.size().1, *kept.kept.values().map(|c| &c.state).max().unwrap());
        }
        kept.remove(Position::from_count(20));
        assert_eq!(kept.size(), (2, 30));
        kept.forget_before(Position::from_count(29));
        assert_eq!(kept.size(), (2, 30));
        kept.forget_before(Position::from_count(30));
        assert_eq!(kept.size(), (1, 30));
    }
}
