//! When user code goes to KVM, and for how long. No result depends on it.

use super::chance::Chance;
use crate::pmu::Event;
use std::env;
use std::time::Duration;

/// The variable by which tests have it otherwise: words `moves=SEED` (random moments), `exit=N` and `lost=N` (KVM fails so
/// in stretch number N), `simulated=SEED` and `simulated-branches=SEED` (no KVM, but a simulated one with a counter of
/// instructions, or of conditional branches), with commas between.
const TESTS: &str = "RRVMM_TEST_KVM";

/// Host time after which a stretch of user code is interrupted, for devices and for the host to be looked at.
const STRETCH: Duration = Duration::from_millis(4);
/// A stretch that was not worth the way to KVM and back.
const SHORT: Duration = Duration::from_micros(150);
/// Fewest and most instructions of user code in one piece that the translator runs before KVM does.
const TRIALS: (u64, u64) = (2_000, 256_000);
/// Instructions from a place in the kernel on before user mode is looked for.
const KERNEL: u64 = 32_000;

/// When user code goes to KVM.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Instructions of user code in one piece that the translator runs before KVM does.
    pub(super) trial: u64,
    /// How long the stretch may take that is next.
    pub(super) stretch: Duration,
    /// Where moments are random.
    moves: Option<Chance>,
    exit: Option<u64>,
    lost: Option<u64>,
    /// What the counter of a hypervisor that is simulated counts, and its seed.
    pub(super) simulated: Option<(Event, u64)>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { trial: TRIALS.0, stretch: STRETCH, moves: None, exit: None, lost: None, simulated: None }
    }
}

/// A failure that a test has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// KVM leaves user code in a way that is not known.
    Exit,
    /// KVM does not say what user code has come to.
    Lost,
}

impl Policy {
    /// The usual one, unless a test says otherwise.
    pub(super) fn of_process() -> Self {
        Self::of(&env::var(TESTS).unwrap_or_default())
    }

    fn of(words: &str) -> Self {
        let mut policy = Self::default();
        for (name, value) in words.split(',').filter_map(|word| word.split_once('=')) {
            let number = value.parse().ok();
            match name {
                "moves" => policy.moves = number.map(Chance::new),
                "exit" => policy.exit = number,
                "lost" => policy.lost = number,
                "simulated" => policy.simulated = number.map(|seed| (Event::Instructions, seed)),
                "simulated-branches" => {
                    policy.simulated = number.map(|seed| (Event::ConditionalBranches, seed));
                }
                _ => {}
            }
        }
        policy.move_on();
        policy
    }

    /// Instructions that the translator runs in one piece, from user mode on or from the kernel.
    pub(super) fn piece(&self, user: bool) -> u64 {
        if user || self.moves.is_some() { self.trial } else { self.trial.max(KERNEL) }
    }

    /// A stretch took `time`.
    pub(super) fn took(&mut self, time: Duration) {
        if time < SHORT { self.wait_longer() } else { self.paid() }
    }

    /// A stretch was worth the way.
    pub(super) fn paid(&mut self) {
        self.trial = (self.trial / 2).max(TRIALS.0);
        self.move_on();
    }

    /// Going to KVM did not pay, or could not be: the translator runs more of user code before that is tried again.
    pub(super) fn wait_longer(&mut self) {
        self.trial = (self.trial * 2).min(TRIALS.1);
        self.move_on();
    }

    /// The failure that is due in stretch number `n`.
    pub(super) fn failure(&self, n: u64) -> Option<Failure> {
        if self.lost == Some(n) {
            Some(Failure::Lost)
        } else {
            (self.exit == Some(n)).then_some(Failure::Exit)
        }
    }

    fn move_on(&mut self) {
        let Some(chance) = &mut self.moves else { return };
        let mut below = |bound| chance.below(bound);
        self.trial = match below(3) {
            0 => 1 + below(30),
            1 => 1 + below(3_000),
            _ => 1 + below(100_000),
        };
        self.stretch = Duration::from_nanos(match below(3) {
            0 => 1_000 + below(30_000),
            1 => 1_000 + below(300_000),
            _ => 1_000 + below(4_000_000),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_one_tries_later_what_does_not_pay() {
        let mut policy = Policy::of("");
        policy.took(Duration::from_micros(10));
        assert_eq!((policy.trial, policy.stretch), (2 * TRIALS.0, STRETCH));
        (0..20).for_each(|_| policy.wait_longer());
        assert_eq!(policy.trial, TRIALS.1);
        (0..20).for_each(|_| policy.took(SHORT));
        assert_eq!(policy.trial, TRIALS.0);
        assert_eq!(policy.failure(0), None);
    }

    #[test]
    fn tests_have_it_at_random_and_failing() {
        let mut policy = Policy::of("moves=7,exit=3,lost=5");
        let mut moments = Vec::new();
        for _ in 0..50 {
            policy.took(SHORT);
            moments.push((policy.trial, policy.stretch));
        }
        moments.sort_unstable();
        moments.dedup();
        assert!(moments.len() > 40);
        assert_eq!([3, 4, 5].map(|n| policy.failure(n)), [Some(Failure::Exit), None, Some(Failure::Lost)]);
    }
}
