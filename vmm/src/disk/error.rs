use std::io;

use rrvmm_replay::JournalError;

/// Why a disk has nothing to give, which ends the run: the machine cannot go on as it was recorded.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The recorded machine did not read this.
    #[error("disk{disk}: the recording has no block {block}; give the image with --disk")]
    Missing {
        /// Number of the disk.
        disk: u32,
        /// Number of the block.
        block: u64,
    },
    /// The image that was given is another one.
    #[error(
        "disk{disk}: block {block} of the image is not what was recorded; give the image that was recorded from"
    )]
    Different {
        /// Number of the disk.
        disk: u32,
        /// Number of the block.
        block: u64,
    },
    /// The image cannot be read where the recording needs it.
    #[error("disk{disk}: the image cannot be read at block {block}")]
    Image {
        /// Number of the disk.
        disk: u32,
        /// Number of the block.
        block: u64,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// The recording cannot be read.
    #[error("disk{disk}: cannot read the recording")]
    Recording {
        /// Number of the disk.
        disk: u32,
        /// What is wrong.
        #[source]
        source: JournalError,
    },
    /// The guest has a disk that nobody gave.
    #[error("disk{disk}: there is no image for it")]
    Absent {
        /// Number of the disk.
        disk: u32,
    },
}
