use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Read, Seek};
use std::marker::PhantomData;

use super::{Admitted, Due, Input, Seam, SeamError};
use crate::codec;
use crate::digest::MachineDigest;
use crate::divergence::{Difference, Divergence};
use crate::end::EndReason;
use crate::journal::{Body, Cut, CutReason, Entry, JournalError, JournalReader};
use crate::time::{Position, Stamp};

/// Recorded events shown before and after a divergence.
const CONTEXT: usize = 4;

/// A seam that can go back to an earlier moment of the run.
pub trait Rewind: Seam {
    /// Goes to where the machine has had `events` events.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn rewind(&mut self, events: u64) -> Result<(), SeamError>;
}

/// The boundary of a replay: inputs come out of the journal, and from nowhere else.
pub struct Replayer<I, R> {
    journal: JournalReader<R>,
    /// The next entry; none after the last.
    head: Option<Entry>,
    /// Lines about the last entries, oldest first.
    recent: VecDeque<String>,
    last_equal: Option<Stamp>,
    input: PhantomData<fn() -> I>,
}

impl<I: Input, R: Read + Seek> Replayer<I, R> {
    /// Replays `journal` from its beginning.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn new(mut journal: JournalReader<R>) -> Result<Self, JournalError> {
        journal.rewind(0)?;
        let head = journal.next_entry()?;
        Ok(Self { journal, head, recent: VecDeque::new(), last_equal: None, input: PhantomData })
    }

    /// The recording.
    pub fn journal(&mut self) -> &mut JournalReader<R> {
        &mut self.journal
    }

    /// The last digest that was compared and equal.
    pub fn last_equal(&self) -> Option<Stamp> {
        self.last_equal
    }

    fn advance(&mut self) -> Result<(), JournalError> {
        let next = self.journal.next_entry()?;
        if let Some(done) = std::mem::replace(&mut self.head, next) {
            if self.recent.len() == CONTEXT {
                self.recent.pop_front();
            }
            self.recent.push_back(describe::<I>(&done));
        }
        Ok(())
    }

    fn diverged(&mut self, at: Stamp, difference: Difference) -> SeamError {
        let mut after: Vec<String> = self.head.iter().map(describe::<I>).collect();
        while after.len() < CONTEXT {
            // The journal is left somewhere else, which no longer matters: this replay is over.
            match self.journal.next_entry() {
                Ok(Some(entry)) => after.push(describe::<I>(&entry)),
                Ok(None) | Err(_) => break,
            }
        }
        let before = self.recent.iter().cloned().collect();
        SeamError::Divergence(Box::new(Divergence {
            at,
            last_equal: self.last_equal,
            difference,
            before,
            after,
        }))
    }

    fn cut(&self) -> Cut {
        let summary = self.journal.summary();
        // A recording without a cut has an end, which stays the next event for ever.
        summary.cut.clone().unwrap_or(Cut { offset: 0, reason: CutReason::Unclosed })
    }
}

impl<I: Input, R: Read + Seek> Seam for Replayer<I, R> {
    type Input = I;
    type Offer = Infallible;

    fn offer(_input: I) -> Option<Infallible> {
        None
    }

    fn events(&self) -> u64 {
        self.head.as_ref().map_or(u64::MAX, |entry| entry.number)
    }

    fn next_stop(&self) -> Option<Position> {
        self.head.as_ref().map(|entry| match &entry.body {
            // The guest ends its run in the instruction after this position at the latest; one more is one too many.
            Body::End { reason, .. } if reason.is_the_guests() => {
                Position::from_count(entry.stamp.position.count().saturating_add(1))
            }
            Body::Input { .. } | Body::Landmark(_) | Body::State(_) | Body::Digest(_) | Body::End { .. } => {
                entry.stamp.position
            }
        })
    }

    fn due(&mut self, now: Stamp) -> Result<Due<I>, SeamError> {
        let Some(head) = &self.head else { return Ok(Due::Cut(self.cut())) };
        let expected = head.stamp;
        if expected.position > now.position {
            return Ok(Due::Nothing);
        }
        if expected.position < now.position || expected.time < now.time {
            return Err(self.diverged(now, Difference::Overrun { expected }));
        }
        if expected.time > now.time {
            return Ok(Due::Sleep(expected.time));
        }
        match &head.body {
            Body::Input { source, payload } => {
                if !I::SOURCES.contains(&source.as_str()) {
                    return Err(JournalError::UnknownSource(source.clone()).into());
                }
                let input: I = codec::from_bytes(payload).map_err(JournalError::Codec)?;
                if input.source() != source {
                    return Err(JournalError::UnknownSource(source.clone()).into());
                }
                self.advance()?;
                Ok(Due::Input(Admitted::new(input, now)))
            }
            // For who counts, they say nothing new.
            Body::Landmark(_) | Body::State(_) => {
                self.advance()?;
                self.due(now)
            }
            Body::Digest(_) => Ok(Due::Digest),
            Body::End { reason, .. } if reason.is_the_guests() => Ok(Due::Nothing),
            Body::End { reason, .. } => Ok(Due::End(*reason)),
        }
    }

    fn admit(&mut self, offer: Infallible, _now: Stamp) -> Result<Admitted<I>, SeamError> {
        match offer {}
    }

    fn digest(&mut self, now: Stamp, digest: &MachineDigest) -> Result<(), SeamError> {
        let Some(Entry { body: Body::Digest(expected), stamp, .. }) = &self.head else { return Ok(()) };
        if *stamp != now {
            return Ok(());
        }
        if expected != digest {
            let difference = Difference::State { expected: *expected, actual: *digest };
            return Err(self.diverged(now, difference));
        }
        self.last_equal = Some(now);
        self.advance()?;
        Ok(())
    }

    fn halted_forever(&mut self, now: Stamp) -> Result<(), SeamError> {
        match self.head.as_ref().map(|entry| entry.stamp) {
            Some(expected) => Err(self.diverged(now, Difference::HaltedForever { expected })),
            None => Ok(()),
        }
    }

    fn awake(&mut self, now: Stamp) -> Result<(), SeamError> {
        match self.head.as_ref().map(|entry| entry.stamp) {
            Some(expected) => Err(self.diverged(now, Difference::Awake { expected })),
            None => Ok(()),
        }
    }

    fn end(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError> {
        let (stamp, recorded) = match &self.head {
            // Nothing is known of how a cut recording went on.
            None => return Ok(()),
            Some(Entry { stamp, body: Body::End { reason, digest }, .. }) => (*stamp, (*reason, *digest)),
            Some(_) => return Err(self.diverged(now, Difference::End { expected: None, actual: reason })),
        };
        if stamp != now || recorded.0 != reason {
            let expected = Some((stamp, recorded.0));
            return Err(self.diverged(now, Difference::End { expected, actual: reason }));
        }
        if recorded.1 != *digest {
            let difference = Difference::State { expected: recorded.1, actual: *digest };
            return Err(self.diverged(now, difference));
        }
        // The end stays the next event: a timeline may come here again.
        self.last_equal = Some(now);
        Ok(())
    }

    fn stop(&mut self, _now: Stamp, _reason: EndReason, _digest: &MachineDigest) -> Result<(), SeamError> {
        Ok(())
    }

    fn flush(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SeamError> {
        Ok(())
    }
}

impl<I: Input, R: Read + Seek> Rewind for Replayer<I, R> {
    fn rewind(&mut self, events: u64) -> Result<(), SeamError> {
        self.journal.rewind(events)?;
        self.head = self.journal.next_entry()?;
        self.recent.clear();
        self.last_equal = None;
        Ok(())
    }
}

/// One line about an entry.
fn describe<I: Input>(entry: &Entry) -> String {
    let what = match &entry.body {
        Body::Input { source, payload } => match codec::from_bytes::<I>(payload) {
            Ok(input) => format!("{source} {}", input.summary()),
            Err(_) => format!("{source} (not readable)"),
        },
        Body::Landmark(_) => "landmark".to_owned(),
        Body::State(_) => "a part of the state".to_owned(),
        Body::Digest(digest) => format!("digest {digest}"),
        Body::End { reason, .. } => format!("end: {reason}"),
    };
    format!("{} {what}", entry.stamp)
}
