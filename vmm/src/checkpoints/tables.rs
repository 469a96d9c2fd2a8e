//! What is in the database, and how a value says that it is whole. docs/recording-format.md describes it for others.

use super::error::Fault;
use redb::TableDefinition;
use rrvmm_replay::{Digest, VirtualTime, codec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::machine::CoreState;

/// `version` ([`VERSION`]), `recording` (its identity), `next` (the next free number), `bytes` (of all values).
pub(super) const HEAD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("head");
/// By position: a [`Record`], sealed.
pub(super) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// By number: where the pages of [`CHUNK`] page numbers in a row are, sealed.
pub(super) const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
/// By number: up to [`BLOCK`] pages, compressed with Zstandard, sealed.
pub(super) const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");

/// Version of all this and of the machine's state in it: both have to be the same to be of use.
pub(super) const VERSION: &str = concat!("2 ", env!("CARGO_PKG_VERSION"));

/// Chunks between the beginning of RAM and that of the first disk, and between two disks.
pub(super) const TABLE: usize = 1 << 40;
/// Most disks.
pub(super) const TABLES: u32 = 1 << 10;

pub(super) use crate::machine::PAGES_IN_CHUNK as CHUNK;
/// Most pages in a block: enough to compress well, few enough to read for one page.
pub(super) const BLOCK: usize = 64;
const BLOCK_BITS: u32 = BLOCK.ilog2();

/// A machine's first arrival at a position.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) time: VirtualTime,
    /// How many events of the recording the machine has had.
    pub(super) events: u64,
    pub(super) core: CoreState,
    /// How many disks there are.
    pub(super) disks: u32,
    /// Numbers of the chunks, by where they are: RAM from 0 on, disk n from (n + 1) times [`TABLE`] on.
    pub(super) chunks: BTreeMap<u64, u64>,
}

/// Where the bytes of a page are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    pub(super) const ZEROS: Place = Place(0);

    /// In block number `block`, from 1 on, at `slot`.
    pub(super) fn new(block: u64, slot: usize) -> Self {
        Self(block << BLOCK_BITS | slot as u64)
    }

    /// Block and slot; none for a page of zeros.
    pub(super) fn get(self) -> Option<(u64, usize)> {
        (self != Self::ZEROS).then_some((self.0 >> BLOCK_BITS, (self.0 as usize) % BLOCK))
    }
}

/// The places of a chunk's pages.
pub(super) type Places = [Place; CHUNK];

pub(super) fn encode_places(places: &Places) -> Vec<u8> {
    places.iter().flat_map(|place| place.0.to_le_bytes()).collect()
}

pub(super) fn decode_places(bytes: &[u8]) -> Result<Places, Fault> {
    let (words, []) = bytes.as_chunks::<8>() else { return Err(Fault::damaged("a table of pages")) };
    let mut places = [Place::ZEROS; CHUNK];
    if words.len() != places.len() {
        return Err(Fault::damaged("a table of pages"));
    }
    for (place, word) in places.iter_mut().zip(words) {
        *place = Place(u64::from_le_bytes(*word));
    }
    Ok(places)
}

/// `bytes` after their hash.
pub(super) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = xxh3_128(bytes).to_le_bytes().to_vec();
    sealed.extend_from_slice(bytes);
    sealed
}

/// The bytes that were sealed.
pub(super) fn unseal(sealed: &[u8]) -> Result<&[u8], Fault> {
    let (hash, bytes) = sealed.split_first_chunk().ok_or_else(|| Fault::damaged("a short value"))?;
    if xxh3_128(bytes).to_le_bytes() != *hash {
        return Err(Fault::damaged("a value has changed"));
    }
    Ok(bytes)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    codec::to_bytes(value).map(|bytes| seal(&bytes)).map_err(Fault::damaged)
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(sealed: &[u8]) -> Result<T, Fault> {
    codec::from_bytes(unseal(sealed)?).map_err(Fault::damaged)
}

pub(super) fn encode_identity(recording: Digest) -> Vec<u8> {
    recording.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let mut places = [Place::ZEROS; CHUNK];
        places[3] = Place::new(1, 0);
        places[200] = Place::new(1 << 40, BLOCK - 1);
        let again = decode_places(&encode_places(&places)).unwrap();
        assert_eq!(again, places);
        assert_eq!((again[0].get(), again[3].get()), (None, Some((1, 0))));
        assert_eq!(again[200].get(), Some((1 << 40, BLOCK - 1)));
        assert!(decode_places(&[0; 8]).is_err() && decode_places(&[0; CHUNK * 8 + 1]).is_err());
    }

    #[test]
    fn a_changed_byte_breaks_the_seal() {
        let sealed = seal(b"pages");
        assert_eq!(unseal(&sealed).unwrap(), b"pages");
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 4;
            assert!(unseal(&bad).is_err());
        }
        assert!(unseal(&sealed[..7]).is_err());
    }
}
