use std::io::{Read, Seek};

use rrvmm_replay::journal::{AttachmentInfo, BlockTotals, Manifest, Summary};
use rrvmm_replay::{Digest, EndReason, JournalReader};
use serde::Serialize;

/// What a recording is, without running it. Programs read the JSON: fields are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// What the machine was built from, see [`MachineConfig`](super::MachineConfig).
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
    /// Last digest of the whole machine, all parts in one; none if the recording is cut off before the first.
    pub digest: Option<Digest>,
    /// Where that digest was taken, in guest instructions.
    pub digest_position: Option<u64>,
    /// Why the run ended, if its end was recorded.
    pub end: Option<EndReason>,
    /// Whether the recording has its end.
    pub complete: bool,
    /// Where and why the recording is cut off, if it is.
    pub cut: Option<String>,
    /// By number of the disk (see [`MachineConfig::disks`](super::MachineConfig::disks)): what the recording has of it.
    pub disks: Vec<BlockTotals>,
}

impl Info {
    /// What `journal` is.
    #[must_use]
    pub fn of<R: Read + Seek>(journal: &JournalReader<R>) -> Self {
        let manifest = journal.manifest();
        let disks = manifest.config["disks"].as_array().map_or(0, Vec::len) as u32;
        let disks = (0..disks).map(|disk| journal.block_totals(disk)).collect();
        Self { disks, ..Self::new(journal.version(), manifest, journal.summary()) }
    }

    /// What a recording of format `version` with this manifest and summary, and nothing of disks, is.
    #[must_use]
    pub fn new(version: u32, manifest: &Manifest, summary: &Summary) -> Self {
        let manifest = manifest.clone();
        Self {
            version,
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
            digest_position: summary.digest.map(|(stamp, _)| stamp.position.count()),
            end: summary.end,
            complete: summary.is_complete(),
            cut: summary.cut.as_ref().map(ToString::to_string),
            disks: Vec::new(),
        }
    }
}
