use std::fmt;
use std::io::{Read, Seek};
use std::ops::RangeInclusive;

use rrvmm_devices::Input;
use rrvmm_replay::journal::{Body, Entry};
use rrvmm_replay::{Digest, EndReason, JournalError, JournalReader, Position, VirtualTime, codec};
use serde::Serialize;

/// A recorded event. Programs read the JSON: fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number in the recording, from 0.
    pub number: u64,
    /// Guest instructions completed when it happened.
    pub position: u64,
    /// Guest time when it happened, in nanoseconds since power-on.
    pub virtual_ns: u64,
    /// Where it came from: `serial0`, `keyboard`…, or what it is: `digest`, `end`.
    pub device: String,
    /// What it was, for people.
    pub summary: String,
    /// What it was, for programs.
    pub detail: Detail,
}

/// What an event was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// An input arrived.
    Input(Input),
    /// The machine had this digest, all parts in one.
    Digest(Digest),
    /// A place in a run that was not counted.
    Landmark,
    /// A part of the machine's state.
    State,
    /// The run ended.
    End {
        /// Why.
        reason: EndReason,
        /// Digest of the machine there, all parts in one.
        digest: Digest,
    },
}

impl TryFrom<Entry> for Event {
    type Error = JournalError;

    fn try_from(entry: Entry) -> Result<Self, JournalError> {
        let (device, summary, detail) = match entry.body {
            Body::Input { source, payload } => {
                let input: Input = codec::from_bytes(&payload)?;
                (source, input.summary(), Detail::Input(input))
            }
            Body::Digest(digest) => {
                ("digest".to_owned(), digest.combined().to_string(), Detail::Digest(digest.combined()))
            }
            Body::Landmark(_) => ("landmark".to_owned(), "a place in the run".to_owned(), Detail::Landmark),
            Body::State(_) => ("machine".to_owned(), "a part of its state".to_owned(), Detail::State),
            Body::End { reason, digest } => {
                ("end".to_owned(), reason.to_string(), Detail::End { reason, digest: digest.combined() })
            }
        };
        let (position, virtual_ns) = (entry.stamp.position.count(), entry.stamp.time.ns());
        Ok(Self { number: entry.number, position, virtual_ns, device, summary, detail })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = VirtualTime::from_ns(self.virtual_ns).to_string();
        write!(f, "{:>14}  {time:>18}  {:<10}{}", self.position, self.device, self.summary)
    }
}

/// Hands the events of a recording in `range` to `each`, in order.
///
/// # Errors
/// The file cannot be read, or has an input that this rrvmm does not know; or `each` fails.
pub fn events<R: Read + Seek, E: From<JournalError>>(
    journal: &mut JournalReader<R>,
    range: RangeInclusive<Position>,
    mut each: impl FnMut(Event) -> Result<(), E>,
) -> Result<(), E> {
    journal.rewind(0)?;
    while let Some(entry) = journal.next_entry()? {
        if entry.stamp.position > *range.end() {
            break;
        }
        if range.contains(&entry.stamp.position) {
            each(Event::try_from(entry)?)?;
        }
    }
    Ok(())
}

/// The events of a recording in `range`, only those of `device` if given, in order, at most `most`.
///
/// # Errors
/// As [`events`].
pub fn some_events<R: Read + Seek>(
    journal: &mut JournalReader<R>,
    range: RangeInclusive<Position>,
    device: Option<&str>,
    most: usize,
) -> Result<Vec<Event>, JournalError> {
    /// Ends the listing early.
    enum Halt {
        Enough,
        Failed(JournalError),
    }
    impl From<JournalError> for Halt {
        fn from(error: JournalError) -> Self {
            Halt::Failed(error)
        }
    }
    let mut found = Vec::new();
    let listed = events(journal, range, |event| {
        if found.len() == most {
            return Err(Halt::Enough);
        }
        if device.is_none_or(|device| event.device == device) {
            found.push(event);
        }
        Ok(())
    });
    match listed {
        Ok(()) | Err(Halt::Enough) => Ok(found),
        Err(Halt::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_replay::{Input as _, MachineDigest, Stamp};

    fn entry(body: Body) -> Entry {
        let stamp = Stamp::new(Position::from_count(1500), VirtualTime::from_ns(1_000_001_500));
        Entry { number: 4, stamp, body }
    }

    #[test]
    fn an_input_is_decoded() {
        let input = Input::Serial { port: 0, bytes: b"ls\n".to_vec() };
        let body =
            Body::Input { source: input.source().to_owned(), payload: codec::to_bytes(&input).unwrap() };
        let event = Event::try_from(entry(body)).unwrap();
        assert!(event.to_string().starts_with("          1500       1.000001500 s  serial0   "), "{event}");
        let value = serde_json::to_value(event).unwrap();
        assert_eq!((&value["position"], &value["device"]), (&1500.into(), &"serial0".into()));
        assert_eq!(value["detail"]["input"]["Serial"]["bytes"], serde_json::json!([108, 115, 10]));
    }

    #[test]
    fn damaged_payloads_are_errors() {
        assert!(
            Event::try_from(entry(Body::Input { source: "serial0".into(), payload: vec![0xFF; 3] })).is_err()
        );
    }

    #[test]
    fn the_end_says_why() {
        let body = Body::End { reason: EndReason::PowerOff, digest: MachineDigest::default() };
        let event = Event::try_from(entry(body)).unwrap();
        assert!(event.to_string().ends_with("end       the guest powered off"));
        assert_eq!(serde_json::to_value(event).unwrap()["detail"]["end"]["reason"], "power-off");
    }
}
