//! Time inside a recording: a count of instructions, and the nanoseconds a guest believes in.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of guest instructions completed since power-on.
///
/// An opaque, ordered value: only an engine's stop produces one, and nothing below the accelerator does arithmetic on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(u64);

impl Position {
    /// Power-on: no instruction has completed.
    pub const START: Position = Position(0);

    /// The position after `count` completed instructions.
    #[must_use]
    pub const fn from_count(count: u64) -> Self {
        Self(count)
    }

    /// Instructions completed since power-on.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Nanoseconds of guest time since power-on. Computed from [`Position`] and idle jumps, never from the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualTime(u64);

impl VirtualTime {
    /// Power-on.
    pub const ZERO: VirtualTime = VirtualTime(0);

    /// The instant `ns` nanoseconds after power-on.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since power-on.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// The instant `ns` nanoseconds later; stays at the last representable instant instead of wrapping.
    #[must_use]
    pub const fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: VirtualTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A moment of a run: where, and what the guest's clocks say there.
///
/// While the machine runs, the position alone fixes the time. While it sleeps the position stands still and the time
/// goes on, so an input that arrives in a sleep needs both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Instructions completed.
    pub position: Position,
    /// Guest time.
    pub time: VirtualTime,
}

impl Stamp {
    /// Power-on.
    pub const START: Stamp = Stamp { position: Position::START, time: VirtualTime::ZERO };

    /// The moment at `position` and `time`.
    #[must_use]
    pub const fn new(position: Position, time: VirtualTime) -> Self {
        Self { position, time }
    }

    /// Whether `later` can come after `self` in one run: neither component goes back.
    #[must_use]
    pub fn precedes(self, later: Stamp) -> bool {
        self.position <= later.position && self.time <= later.time
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {} ({})", self.position, self.time)
    }
}
