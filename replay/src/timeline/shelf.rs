use crate::time::{Position, Stamp};

/// Checkpoints that outlive a timeline, a cache on disk say. Losing any of them loses nothing but time.
///
/// Each is of the machine's first arrival at a position at which the recording has a digest.
pub trait Shelf<T> {
    /// Where the last one at or before `at` is.
    fn nearest(&self, at: Position) -> Option<Position>;

    /// The one at exactly `at`, with the number of events the machine has had there; none when it is unusable, and then it
    /// is no longer offered.
    fn load(&mut self, at: Position) -> Option<(T, u64)>;

    /// Told that the one at `at` does not fit the recording: it is not offered again.
    fn refuse(&mut self, at: Position);

    /// Whether one of the moment `at` would be taken; if so, it comes now.
    fn wants(&mut self, at: Stamp) -> bool;

    /// Takes the one that it wanted.
    fn put(&mut self, at: Stamp, state: T, events: u64);
}
