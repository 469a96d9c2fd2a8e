use std::io::Write;
use std::marker::PhantomData;

use super::{Admitted, Due, Input, Seam, SeamError};
use crate::digest::MachineDigest;
use crate::end::EndReason;
use crate::journal::{JournalError, JournalWriter};
use crate::time::{Position, Stamp};

/// Where a recording takes digests: often at first, so that short recordings have some, then at an even distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSchedule {
    /// Position of the first digest, in instructions; each next one is at twice the position…
    pub first: u64,
    /// …until they are this many instructions apart.
    pub distance: u64,
}

impl DigestSchedule {
    /// No digest but the one at the end.
    pub const NEVER: DigestSchedule = DigestSchedule { first: u64::MAX, distance: u64::MAX };

    fn after(self, position: Position) -> Position {
        let done = position.count();
        if done < self.first {
            return Position::from_count(self.first);
        }
        let mut next = self.first.max(1);
        while next <= done && next < self.distance {
            next = next.saturating_mul(2);
        }
        if next <= done {
            let distance = self.distance.max(1);
            next = next.saturating_add(((done - next) / distance + 1).saturating_mul(distance));
        }
        Position::from_count(next)
    }
}

impl Default for DigestSchedule {
    /// From 2^20 instructions on, at most 2^26 apart: about a second of the interpreter.
    fn default() -> Self {
        Self { first: 1 << 20, distance: 1 << 26 }
    }
}

/// The boundary of a recording: an input is admitted once the journal has taken it.
pub struct Recorder<I, W: Write> {
    journal: JournalWriter<W>,
    schedule: DigestSchedule,
    next_digest: Position,
    input: PhantomData<fn(I)>,
}

impl<I: Input, W: Write> Recorder<I, W> {
    /// Records into `journal`, which must have the channels of `I` ([`JournalWriter::create`] makes them).
    pub fn new(journal: JournalWriter<W>, schedule: DigestSchedule) -> Self {
        Self { journal, schedule, next_digest: schedule.after(Position::START), input: PhantomData }
    }

    /// Closes the file and returns the writer, for example to sync it.
    ///
    /// # Errors
    /// The writer failed; what was flushed before is still readable.
    pub fn finish(self) -> Result<W, JournalError> {
        self.journal.finish()
    }
}

impl<I: Input, W: Write> Seam for Recorder<I, W> {
    type Input = I;
    type Offer = I;

    fn next_stop(&self) -> Option<Position> {
        Some(self.next_digest)
    }

    fn due(&mut self, now: Stamp) -> Result<Due<I>, SeamError> {
        Ok(if now.position >= self.next_digest { Due::Digest } else { Due::Nothing })
    }

    fn admit(&mut self, offer: I, now: Stamp) -> Result<Admitted<I>, SeamError> {
        self.journal.input(now, &offer)?;
        Ok(Admitted::new(offer, now))
    }

    fn digest(&mut self, now: Stamp, digest: &MachineDigest) -> Result<(), SeamError> {
        self.journal.digest(now, digest)?;
        self.next_digest = self.schedule.after(now.position);
        Ok(())
    }

    fn halted_forever(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn awake(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn end(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError> {
        self.journal.end(now, reason, digest)?;
        Ok(())
    }

    fn stop(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError> {
        self.end(now, reason, digest)
    }

    fn flush(&mut self) -> Result<(), SeamError> {
        self.journal.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_double_and_then_keep_their_distance() {
        let schedule = DigestSchedule { first: 10, distance: 40 };
        let mut at = Position::START;
        let mut seen = Vec::new();
        for _ in 0..6 {
            at = schedule.after(at);
            seen.push(at.count());
        }
        assert_eq!(seen, [10, 20, 40, 80, 120, 160]);
        assert_eq!(schedule.after(Position::from_count(90)).count(), 120);
        assert_eq!(DigestSchedule::NEVER.after(Position::START).count(), u64::MAX);
    }
}
