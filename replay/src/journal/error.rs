use std::io;

use super::FORMAT_VERSION;
use crate::codec::CodecError;

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be written, for example because the disk is full. What was flushed before stays readable.
    #[error("cannot write the recording")]
    Write(#[source] io::Error),
    /// The file cannot be read.
    #[error("cannot read the recording")]
    Read(#[source] io::Error),
    /// The file is not an MCAP container.
    #[error("not an rrvmm recording: the file does not begin like one; rrvmm record makes them")]
    NotARecording,
    /// An MCAP container of something else.
    #[error("not an rrvmm recording: an MCAP file with the profile {profile:?}")]
    OtherProfile {
        /// The profile it names.
        profile: String,
    },
    /// A recording by a later rrvmm.
    #[error(
        "the recording has format version {found}; this rrvmm reads versions up to {FORMAT_VERSION}; use a newer one"
    )]
    FutureVersion {
        /// Its version.
        found: u32,
    },
    /// The file is too short to replay anything.
    #[error("the recording ends at byte {offset}, before its first event: nothing to replay; record again")]
    Empty {
        /// Length of the file's usable part, in bytes.
        offset: u64,
    },
    /// The file's beginning is damaged, so that nothing can be replayed, or it has changed since it was opened.
    #[error("the recording is damaged at byte {offset}: {what}; use another copy of it or record again")]
    Damaged {
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The manifest is not what this version writes.
    #[error(
        "the recording's manifest cannot be understood; use another copy of the recording or a newer rrvmm"
    )]
    Manifest(#[source] serde_json::Error),
    /// A file that the manifest lists is missing, cut or altered.
    #[error(
        "the recording's copy of {name:?} is damaged: {what}; use another copy of the recording or record again"
    )]
    Attachment {
        /// Its name in the recording.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// An event from a source that this machine does not have.
    #[error("the recording has events of {0:?}, which this rrvmm does not know; use a newer one")]
    UnknownSource(String),
    /// A value that cannot be encoded, or the bytes of an event that are not one.
    #[error("cannot translate an event of the recording")]
    Codec(#[from] CodecError),
    /// An event earlier than the one before it.
    #[error("events are recorded in order: {now} does not follow {last}")]
    Order {
        /// The event before.
        last: crate::time::Stamp,
        /// The event refused.
        now: crate::time::Stamp,
    },
    /// An event after the end.
    #[error("the recording is already ended")]
    Ended,
    /// What a machine has read of a disk is not to be had again.
    #[error(
        "disk{disk}: block {block} of the image cannot be read again as it was read before; nothing may change an image while it is used"
    )]
    Changed {
        /// Number of the disk.
        disk: u32,
        /// Number of the block.
        block: u64,
        /// What the host said, if it is that.
        #[source]
        source: Option<io::Error>,
    },
    /// The container could not be written for another reason than the file.
    #[error("cannot write the recording's container")]
    Container(#[source] Box<mcap::McapError>),
}

impl JournalError {
    pub(super) fn write(error: mcap::McapError) -> Self {
        match error {
            mcap::McapError::Io(source) => JournalError::Write(source),
            mcap::McapError::AttemptedWriteAfterFailure => {
                JournalError::Write(io::Error::other("an earlier write failed"))
            }
            other => JournalError::Container(Box::new(other)),
        }
    }
}
