//! The recording: one MCAP file that holds everything needed to repeat a run. docs/recording-format.md describes it.
//!
//! The writer appends and never seeks, so what it has flushed stays readable whatever happens next. The reader trusts
//! nothing: lengths are checked against the file before anything is allocated, chunks against their CRC before anything
//! in them is believed, and the events against each other (no gap in their numbers, no step back in time).

mod attachment;
mod blocks;
mod chunk;
mod entry;
mod error;
mod frame;
mod manifest;
mod reader;
mod scan;
mod scribe;
mod writer;

pub use attachment::Attachment;
pub use blocks::{
    BLOCK_SIZE, BLOCKS_LIMIT, Blob, Block, BlockRun, BlockTotals, Blocks, CHANNEL_DISK, Contents, Decoded,
    Decoder, EMPTY_LIMIT,
};
pub(crate) use entry::EndPayload;
pub use entry::{Body, Entry};
pub use error::JournalError;
pub use manifest::{AttachmentInfo, Manifest};
pub use reader::JournalReader;
pub use scan::{Cut, CutReason, Summary};
pub use scribe::{EachRun, Encode, Fetch, Reads, Scribe, write_message};
pub use writer::JournalWriter;

/// The version this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// MCAP profile of a recording.
pub const PROFILE: &str = "rrvmm";

/// Name of the metadata record that holds the manifest.
pub const METADATA_NAME: &str = "rrvmm";

/// Key of the format version in that record.
pub const METADATA_VERSION: &str = "version";

/// Key of the manifest's JSON in that record.
pub const METADATA_MANIFEST: &str = "manifest";

/// Message encoding of every channel.
pub const MESSAGE_ENCODING: &str = "bincode2";

/// Channel of the manifest's hash: the first message of a recording.
pub const CHANNEL_MANIFEST: &str = "manifest";

/// Channel of the digests.
pub const CHANNEL_DIGEST: &str = "digest";

/// Channel of the end: the last message of a recording that was closed.
pub const CHANNEL_END: &str = "end";

/// Channel of the landmarks, in a recording whose positions were not counted.
pub const CHANNEL_LANDMARK: &str = "landmark";

/// Channel of the machine's states, in such a recording.
pub const CHANNEL_STATE: &str = "machine";

/// Size at which a chunk is closed, in bytes before compression.
pub const CHUNK_SIZE: u64 = 64 << 10;

/// Largest chunk the reader takes, in bytes, compressed or not.
pub const CHUNK_LIMIT: usize = 16 << 20;

/// Largest manifest record, in bytes.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// Most chunks the reader indexes.
pub const CHUNK_COUNT_LIMIT: usize = 4 << 20;
