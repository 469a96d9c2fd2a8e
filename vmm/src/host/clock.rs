//! The host's clocks: the time of day at power-on, and how long a session may or should take.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// Seconds since 1970-01-01 00:00:00 UTC, for the guest's real-time clock at power-on.
#[must_use]
pub fn wall_clock() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

/// Seconds and microseconds since 1970-01-01 00:00:00 UTC, for people who read logs.
#[must_use]
pub fn wall_clock_precise() -> (i64, u32) {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_micros()),
        Err(_) => (wall_clock(), 0),
    }
}

/// Host time since some moment; never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// One that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since it was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Nanoseconds on the host since the first call: for measuring, by parts that must not read a clock themselves.
#[must_use]
pub fn nanoseconds() -> u64 {
    static FIRST: OnceLock<Stopwatch> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Stopwatch::start).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Processor time of the calling thread: what something costs, however busy the host is with other things.
#[must_use]
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// What the guest's idle time costs on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As long as the guest believes: for people at the console.
    Host,
    /// Nothing: for machines.
    Free,
}

/// What the user wants of [`Pace`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaceChoice {
    /// [`Pace::Host`] if standard input is a terminal.
    #[default]
    Auto,
    /// [`Pace::Host`].
    Host,
    /// [`Pace::Free`].
    Free,
}

impl PaceChoice {
    /// The pace this choice means here.
    #[must_use]
    pub fn resolve(self) -> Pace {
        match self {
            Self::Host => Pace::Host,
            Self::Free => Pace::Free,
            Self::Auto if std::io::stdin().is_terminal() => Pace::Host,
            Self::Auto => Pace::Free,
        }
    }
}

/// An instant on the host after which a session ends, if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// The deadline `timeout` from now; none without a timeout, or if it is beyond what the clock can say.
    #[must_use]
    pub fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// What is left of `wanted` until the deadline; `None` if both are unlimited.
    #[must_use]
    pub fn limit(&self, wanted: Option<Duration>) -> Option<Duration> {
        let left = self.0.map(|at| at.saturating_duration_since(Instant::now()));
        match (wanted, left) {
            (Some(wanted), Some(left)) => Some(wanted.min(left)),
            (wanted, left) => wanted.or(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_shortens_what_is_longer() {
        let none = Deadline::after(None);
        assert!(!none.passed());
        assert_eq!(none.limit(Some(Duration::from_secs(5))), Some(Duration::from_secs(5)));
        assert_eq!(none.limit(None), None);
        let now = Deadline::after(Some(Duration::ZERO));
        assert!(now.passed());
        assert_eq!(now.limit(None), Some(Duration::ZERO));
        let far = Deadline::after(Some(Duration::MAX));
        assert_eq!(far.limit(None), None);
    }
}
