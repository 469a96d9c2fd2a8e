//! When a checkpoint is worth what it costs.

use crate::host::thread_time;
use rrvmm_replay::Stamp;
use std::time::Duration;

/// Of how many parts of the machine's processor time checkpoints may take one.
const PARTS: u32 = 20;
/// What the first one is taken to cost: it holds all of RAM.
const FIRST: Duration = Duration::from_millis(300);
/// Fewer instructions between two are run again in a moment.
const NEAR: u64 = 1 << 25;

/// The price so far, in processor time: on a busy host everything takes longer alike.
pub(super) struct Pace {
    every: Duration,
    /// Processor time of the machine's thread at the beginning.
    began: Duration,
    /// What the machine's thread has spent on taking states.
    taking: Duration,
    count: u32,
    /// When the last one was allowed.
    allowed: Duration,
}

impl Pace {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, began: thread_time(), taking: Duration::ZERO, count: 0, allowed: Duration::ZERO }
    }

    /// Whether one at `at` is due after the one at `before`, with `writing` spent on writing others. If so, it is taken now.
    pub(super) fn allow(&mut self, before: Stamp, at: Stamp, writing: Duration) -> bool {
        let distance = Duration::from_nanos(at.time.since(before.time));
        let instructions = at.position.count().saturating_sub(before.position.count());
        self.allowed = self.elapsed();
        if self.every.is_zero() {
            return true;
        }
        distance >= self.every && instructions >= NEAR && self.affords(self.allowed, writing)
    }

    fn elapsed(&self) -> Duration {
        thread_time().saturating_sub(self.began)
    }

    fn affords(&self, elapsed: Duration, writing: Duration) -> bool {
        let spent = self.taking + writing;
        // The first one costs far more than those that follow; later the next one costs what the average one has.
        let next = match self.count {
            0 => FIRST,
            1 => spent / 4,
            count => spent / count,
        };
        (spent + next) * PARTS <= elapsed
    }

    /// The state that was allowed has been taken.
    pub(super) fn took(&mut self) {
        self.add(self.elapsed().saturating_sub(self.allowed));
    }

    fn add(&mut self, time: Duration) {
        self.taking += time;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_twentieth_is_spent() {
        let mut pace = Pace::new(Duration::from_secs(1));
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        assert!(!pace.affords(ms(5900), Duration::ZERO) && pace.affords(s(6), Duration::ZERO));
        pace.add(ms(30));
        assert!(!pace.affords(s(3), ms(120)) && !pace.affords(ms(3700), ms(120)));
        assert!(pace.affords(ms(3800), ms(120)));
        pace.add(ms(50));
        assert!(!pace.affords(ms(5900), ms(120)) && pace.affords(s(6), ms(120)));
    }
}
