use std::time::Duration;

/// How long the machine runs between two looks at the host: long enough not to slow it, short enough not to be felt.
const TARGET: Duration = Duration::from_millis(3);

/// Fewest and most instructions in a slice.
const BOUNDS: (u64, u64) = (1 << 12, 1 << 26);

/// The number of instructions that takes about [`TARGET`] of host time.
///
/// It decides only when the host is looked at, never what the machine does.
#[derive(Debug)]
pub(super) struct Slice(u64);

impl Slice {
    pub(super) fn new() -> Self {
        Self(1 << 16)
    }

    pub(super) fn instructions(&self) -> u64 {
        self.0
    }

    /// Learns from a whole slice that took `time`.
    pub(super) fn took(&mut self, time: Duration) {
        if time < TARGET / 2 {
            self.0 = (self.0 * 2).min(BOUNDS.1);
        } else if time > TARGET * 2 {
            self.0 = (self.0 / 2).max(BOUNDS.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_settles_near_the_target() {
        for per_second in [1e6, 60e6, 2e9] {
            let mut slice = Slice::new();
            for _ in 0..40 {
                slice.took(Duration::from_secs_f64(slice.instructions() as f64 / per_second));
            }
            let time = Duration::from_secs_f64(slice.instructions() as f64 / per_second);
            assert!(time <= TARGET * 2 && time >= TARGET / 2, "{time:?} at {per_second}/s");
        }
    }
}
