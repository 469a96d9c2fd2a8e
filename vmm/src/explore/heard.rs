//! Which stretches of a run have been heard.

use std::collections::BTreeMap;

use rrvmm_replay::Stamp;

/// Stretches of a run, which one may come to in any order: a checkpoint leads far ahead at once.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// End of each stretch by its beginning. What is sent out at the end belongs to a stretch, what is sent out at the
    /// beginning does not. No two touch.
    stretches: BTreeMap<Stamp, Stamp>,
}

impl Heard {
    /// Up to where it has been heard from `at` on; none if it has not.
    pub(super) fn until(&self, at: Stamp) -> Option<Stamp> {
        let (_, &end) = self.stretches.range(..=at).next_back()?;
        (at < end).then_some(end)
    }

    /// The next moment from which, or up to which, it has been heard.
    pub(super) fn next_border(&self, at: Stamp) -> Option<Stamp> {
        self.until(at).or_else(|| Some(*self.stretches.range(at..).next()?.0))
    }

    /// Notes the stretch from `from` to `to`.
    pub(super) fn add(&mut self, mut from: Stamp, mut to: Stamp) {
        if from >= to {
            return;
        }
        while let Some((&start, &end)) = self.stretches.range(..=to).next_back()
            && end >= from
        {
            (from, to) = (from.min(start), to.max(end));
            self.stretches.remove(&start);
        }
        self.stretches.insert(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_replay::{Position, VirtualTime};

    fn at(count: u64) -> Stamp {
        Stamp::new(Position::from_count(count), VirtualTime::from_ns(count))
    }

    #[test]
    fn stretches_grow_together() {
        let mut heard = Heard::default();
        for (from, to) in [(10, 20), (40, 50), (20, 30), (60, 60)] {
            heard.add(at(from), at(to));
        }
        let until = |count| heard.until(at(count)).map(|end| end.position.count());
        assert_eq!(
            [5, 10, 25, 30, 40, 49, 50, 60].map(until),
            [None, Some(30), Some(30), None, Some(50), Some(50), None, None]
        );
        let border = |count| heard.next_border(at(count)).map(|end| end.position.count());
        assert_eq!([0, 10, 30, 45, 50].map(border), [Some(10), Some(30), Some(40), Some(50), None]);
        heard.add(at(5), at(45));
        assert_eq!(heard.stretches.len(), 1);
        assert_eq!(heard.until(at(5)), Some(at(50)));
    }
}
