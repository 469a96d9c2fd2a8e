use std::io::Write;
use std::marker::PhantomData;

use serde::Serialize;

use super::{Admitted, Due, Input, Seam, SeamError};
use crate::codec;
use crate::digest::MachineDigest;
use crate::end::EndReason;
use crate::journal::{
    Body, CHANNEL_DIGEST, CHANNEL_END, CHANNEL_LANDMARK, CHANNEL_STATE, EndPayload, Entry, JournalError,
    JournalWriter, Reads, Scribe,
};
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

/// Where a recording gets from what the machine has read of its disks for the first time.
pub trait FirstReads {
    /// Whether so much was read that it should not wait for an event.
    fn is_much(&self) -> bool;

    /// Hands over what was read since the last call, in any order, and forgets it.
    ///
    /// # Errors
    /// `each` fails, or what is to be handed over cannot be read again.
    fn drain(&mut self, each: &mut dyn FnMut(Reads) -> Result<(), JournalError>) -> Result<(), JournalError>;
}

/// The boundary of a recording: an input is admitted once the journal has taken it.
pub struct Recorder<I, J> {
    journal: J,
    schedule: DigestSchedule,
    next_digest: Position,
    events: u64,
    flush_after_digest: bool,
    /// Moment of the last event: what the disks had is none.
    last: Stamp,
    disks: Option<Box<dyn FirstReads>>,
    /// The last landmark: one does for all events of a place.
    place: Vec<u8>,
    input: PhantomData<fn(I)>,
}

/// Instructions since the last event from which on a flush asks for a digest: a cut recording lacks no more than these.
const WORTH_A_DIGEST: u64 = 1 << 22;

impl<I: Input, J: Scribe> Recorder<I, J> {
    /// Records into `journal`, which must have the channels of `I` ([`JournalWriter::create`] makes them).
    pub fn new(journal: J, schedule: DigestSchedule) -> Self {
        Self {
            journal,
            schedule,
            next_digest: schedule.after(Position::START),
            events: 0,
            flush_after_digest: false,
            last: Stamp::START,
            disks: None,
            place: Vec::new(),
            input: PhantomData,
        }
    }

    /// Embeds what the machine reads of its disks, before each event that may follow from it.
    pub fn embed(&mut self, disks: Box<dyn FirstReads>) {
        self.disks = Some(disks);
    }

    /// Writes what was read of the disks up to `now`.
    fn embed_reads(&mut self, now: Stamp) -> Result<(), JournalError> {
        let Some(disks) = &mut self.disks else { return Ok(()) };
        let (journal, events) = (&mut self.journal, &mut self.events);
        disks.drain(&mut |reads| {
            *events += reads.runs();
            journal.reads(now, reads)
        })
    }

    fn take_state(&mut self, at: Stamp, part: &[u8]) -> Result<(), JournalError> {
        self.journal.event(CHANNEL_STATE, at, |out: &mut Vec<u8>| {
            out.extend_from_slice(part);
            Ok(())
        })
    }

    fn write<P: Serialize>(
        &mut self,
        source: &'static str,
        at: Stamp,
        payload: &P,
    ) -> Result<(), JournalError> {
        self.journal.event(source, at, |out: &mut Vec<u8>| codec::write_to(payload, out))
    }

    /// Takes over an event of another recording of this run, which went before where this one goes on. An end is none.
    ///
    /// # Errors
    /// The event is not readable, or the writer failed.
    pub fn take_over(&mut self, event: &Entry) -> Result<(), JournalError> {
        self.embed_reads(self.last)?;
        match &event.body {
            Body::Input { payload, .. } => {
                let input: I = codec::from_bytes(payload)?;
                self.write(input.source(), event.stamp, &input)?;
            }
            Body::Digest(digest) => self.write(CHANNEL_DIGEST, event.stamp, digest)?,
            Body::Landmark(place) => self.write(CHANNEL_LANDMARK, event.stamp, place)?,
            Body::State(part) => self.take_state(event.stamp, part)?,
            Body::End { .. } => return Ok(()),
        }
        self.last = event.stamp;
        self.events += 1;
        Ok(())
    }
}

impl<I: Input, W: Write> Recorder<I, JournalWriter<W>> {
    /// Closes the file and returns the writer, for example to sync it.
    ///
    /// # Errors
    /// The writer failed; what was flushed before is still readable.
    pub fn finish(self) -> Result<W, JournalError> {
        self.journal.finish()
    }
}

impl<I: Input, J: Scribe> Seam for Recorder<I, J> {
    type Input = I;
    type Offer = I;

    fn offer(input: I) -> Option<I> {
        Some(input)
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn next_stop(&self) -> Option<Position> {
        Some(self.next_digest)
    }

    fn due(&mut self, now: Stamp) -> Result<Due<I>, SeamError> {
        if self.disks.as_ref().is_some_and(|disks| disks.is_much()) {
            self.embed_reads(now)?;
        }
        Ok(if now.position >= self.next_digest { Due::Digest } else { Due::Nothing })
    }

    fn landmark(&mut self, now: Stamp, place: Vec<u8>) -> Result<(), SeamError> {
        if self.place != place {
            self.embed_reads(now)?;
            self.write(CHANNEL_LANDMARK, now, &place)?;
            self.place = place;
            self.events += 1;
        }
        Ok(())
    }

    fn state(&mut self, now: Stamp, part: Vec<u8>) -> Result<(), SeamError> {
        self.take_state(now, &part)?;
        self.events += 1;
        Ok(())
    }

    fn admit(&mut self, offer: I, now: Stamp) -> Result<Admitted<I>, SeamError> {
        self.embed_reads(now)?;
        self.write(offer.source(), now, &offer)?;
        self.last = now;
        self.events += 1;
        Ok(Admitted::new(offer, now))
    }

    fn digest(&mut self, now: Stamp, digest: &MachineDigest) -> Result<(), SeamError> {
        self.embed_reads(now)?;
        self.write(CHANNEL_DIGEST, now, digest)?;
        self.last = now;
        self.events += 1;
        self.next_digest = self.schedule.after(now.position);
        if std::mem::take(&mut self.flush_after_digest) {
            self.journal.flush()?;
        }
        Ok(())
    }

    fn halted_forever(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn awake(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn end(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError> {
        self.embed_reads(now)?;
        self.write(CHANNEL_END, now, &EndPayload { reason, digest: *digest })?;
        Ok(())
    }

    fn stop(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError> {
        self.end(now, reason, digest)
    }

    fn flush(&mut self, now: Stamp) -> Result<(), SeamError> {
        // A replay goes no further than the last event, so without one the flush would save nothing of what ran since.
        let unsaved = now.position.count().saturating_sub(self.last.position.count());
        self.embed_reads(now)?;
        if unsaved >= WORTH_A_DIGEST {
            self.next_digest = now.position;
            self.flush_after_digest = true;
        } else {
            self.journal.flush()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SeamError> {
        Ok(self.journal.sync()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Nothing;

    impl Input for Nothing {
        const SOURCES: &'static [&'static str] = &["nothing"];

        fn source(&self) -> &'static str {
            "nothing"
        }
    }

    #[test]
    fn a_flush_saves_a_long_run_without_events() {
        let mut file = Vec::new();
        let journal = JournalWriter::create::<Nothing>(&mut file, crate::Manifest::default(), &[]).unwrap();
        let mut seam: Recorder<Nothing, _> = Recorder::new(journal, DigestSchedule::NEVER);
        let at = |count| Stamp::new(Position::from_count(count), crate::VirtualTime::from_ns(count));
        seam.flush(at(WORTH_A_DIGEST - 1)).unwrap();
        assert!(matches!(seam.due(at(WORTH_A_DIGEST - 1)), Ok(Due::Nothing)));
        seam.flush(at(WORTH_A_DIGEST)).unwrap();
        assert!(matches!(seam.due(at(WORTH_A_DIGEST)), Ok(Due::Digest)));
        seam.digest(at(WORTH_A_DIGEST), &MachineDigest::default()).unwrap();
        assert!(matches!(seam.due(at(WORTH_A_DIGEST)), Ok(Due::Nothing)));
        std::mem::forget(seam); // killed
        let journal = crate::JournalReader::open(std::io::Cursor::new(file)).unwrap();
        assert_eq!(journal.summary().last, at(WORTH_A_DIGEST));
    }

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
