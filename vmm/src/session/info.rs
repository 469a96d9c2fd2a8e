use std::fmt;
use std::io::{Read, Seek};

use rrvmm_replay::journal::AttachmentInfo;
use rrvmm_replay::{Digest, EndReason, JournalReader, VirtualTime};
use serde::Serialize;

use super::SessionError;

/// What a recording is, without running it. Programs read the JSON: fields are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// Version of the recording's format.
    pub version: u32,
    /// Version of the rrvmm that recorded.
    pub recorder: String,
    /// Engine that recorded.
    pub engine: String,
    /// Name of the guest-visible CPU model.
    pub cpu_model: String,
    /// Name of the board.
    pub machine: String,
    /// The board's configuration.
    pub config: serde_json::Value,
    /// The files in the recording.
    pub attachments: Vec<AttachmentInfo>,
    /// Guest instructions up to the last event.
    pub instructions: u64,
    /// Guest time at the last event, in nanoseconds since power-on.
    pub virtual_ns: u64,
    /// Recorded inputs.
    pub events: u64,
    /// Digests to verify a replay with.
    pub digests: u64,
    /// Last digest of the whole machine, all parts in one; none if the recording was cut off before the first.
    pub digest: Option<Digest>,
    /// Whether the recording has its end.
    pub complete: bool,
    /// Why the run ended, if its end was recorded.
    pub end: Option<EndReason>,
    /// Where and why the recording is cut off, if it is.
    pub cut: Option<String>,
}

/// Reads what a recording is.
///
/// # Errors
/// It is not one, or nothing of it can be replayed.
pub fn info<R: Read + Seek>(source: R) -> Result<Info, SessionError> {
    let journal = JournalReader::open(source)?;
    let (manifest, summary) = (journal.manifest().clone(), journal.summary());
    Ok(Info {
        version: journal.version(),
        recorder: manifest.recorder,
        engine: manifest.engine,
        cpu_model: manifest.cpu_model,
        machine: manifest.machine,
        config: manifest.config,
        attachments: manifest.attachments,
        instructions: summary.last.position.count(),
        virtual_ns: summary.last.time.ns(),
        events: summary.inputs,
        digests: summary.digests,
        digest: summary.digest.map(|(_, digest)| digest.combined()),
        complete: summary.is_complete(),
        end: summary.end,
        cut: summary.cut.as_ref().map(ToString::to_string),
    })
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format:       {}, by rrvmm {}", self.version, self.recorder)?;
        writeln!(f, "machine:      {}, CPU {}, engine {}", self.machine, self.cpu_model, self.engine)?;
        for file in &self.attachments {
            writeln!(f, "file:         {}, {} bytes, {}", file.name, file.length, file.digest)?;
        }
        writeln!(f, "instructions: {}", self.instructions)?;
        writeln!(f, "guest time:   {}", VirtualTime::from_ns(self.virtual_ns))?;
        writeln!(f, "inputs:       {}", self.events)?;
        match self.digest {
            Some(digest) => writeln!(f, "digest:       {digest}, the last of {}", self.digests)?,
            None => writeln!(f, "digest:       none")?,
        }
        match (&self.end, &self.cut) {
            (Some(end), _) => write!(f, "end:          {end}"),
            (None, Some(cut)) => write!(f, "end:          not recorded; {cut}"),
            (None, None) => write!(f, "end:          not recorded"),
        }
    }
}
