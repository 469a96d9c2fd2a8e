use std::fmt;
use std::io::{Read, Seek};
use std::ops::RangeInclusive;

use rrvmm_devices::Input;
use rrvmm_replay::journal::Body;
use rrvmm_replay::{JournalError, JournalReader, Position, VirtualTime, codec};
use serde::Serialize;

use super::SessionError;

/// A recorded input. Programs read the JSON: fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Guest instructions completed when it arrived.
    pub position: u64,
    /// Guest time when it arrived, in nanoseconds since power-on.
    pub virtual_ns: u64,
    /// Where it came from: `serial0`, `keyboard`…
    pub device: String,
    /// What it was, for people.
    pub summary: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = VirtualTime::from_ns(self.virtual_ns).to_string();
        write!(f, "{:>14}  {time:>18}  {:<9} {}", self.position, self.device, self.summary)
    }
}

/// Hands the inputs of a recording that arrived in `range` to `each`, in order.
///
/// Returns the cut, in words, if the recording is cut off.
///
/// # Errors
/// The file is not a recording, cannot be read, or has an input that this rrvmm does not know; or `each` fails.
pub fn events<R: Read + Seek, E: From<SessionError>>(
    source: R,
    range: RangeInclusive<Position>,
    mut each: impl FnMut(Event) -> Result<(), E>,
) -> Result<Option<String>, E> {
    let mut journal = JournalReader::open(source).map_err(SessionError::from)?;
    while let Some(entry) = journal.next_entry().map_err(SessionError::from)? {
        let Body::Input { source, payload } = entry.body else { continue };
        if entry.stamp.position > *range.end() {
            break;
        }
        if range.contains(&entry.stamp.position) {
            let input: Input =
                codec::from_bytes(&payload).map_err(|error| SessionError::from(JournalError::from(error)))?;
            each(Event {
                position: entry.stamp.position.count(),
                virtual_ns: entry.stamp.time.ns(),
                device: source,
                summary: input.summary(),
            })?;
        }
    }
    Ok(journal.summary().cut.as_ref().map(ToString::to_string))
}
