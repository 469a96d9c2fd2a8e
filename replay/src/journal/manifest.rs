use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What a recording is of: everything besides the inputs that the machine's state depends on.
///
/// Written as JSON into the metadata record [`METADATA_NAME`](super::METADATA_NAME). Fields are only ever added, with a
/// default for recordings that lack them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the rrvmm that recorded, for people.
    pub recorder: String,
    /// Engine that recorded: `interp`, `jit`, `kvm`.
    pub engine: String,
    /// Name of the guest-visible CPU model, for example `rrvmm-x86-v1`.
    pub cpu_model: String,
    /// Name of the board, for example `pc`.
    pub machine: String,
    /// The board's configuration, in the terms of the program that assembles it.
    pub config: serde_json::Value,
    /// The files the machine was started with; filled in by the writer.
    #[serde(default)]
    pub attachments: Vec<AttachmentInfo>,
}

/// One file the machine was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentInfo {
    /// Name in the recording: `kernel`, `initrd`, `firmware`…
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// Hash of its bytes.
    pub digest: Digest,
}
