//! The digest of what a guest has written to a disk, kept up as it writes.
//!
//! The contents that were summed up are remembered by their hashes. Sharing them with the overlay instead would have the next
//! write to each block copy it.

use super::block_set::BlockSet;
use crate::pages::Pages;
use rrvmm_replay::Digest;
use std::collections::BTreeMap;

/// The sum over written blocks of a hash of number and contents.
#[derive(Default)]
pub(super) struct Sums {
    sum: u128,
    /// What each block adds to it.
    hashes: BTreeMap<usize, u128>,
    /// Blocks whose contents may be others by now.
    stale: BlockSet,
    /// Somebody asks for digests from time to time: a block is hashed when it is written, while the processor has it at hand.
    is_asked: bool,
}

impl Sums {
    /// Says that `block` was written, and that `overlay` has what.
    pub(super) fn note(&mut self, block: usize, overlay: &Pages) {
        if self.is_asked {
            self.take(block, hash(overlay, block));
        } else {
            self.stale.add(block as u64);
        }
    }

    /// Says that the overlay was `before` and is `after`.
    pub(super) fn note_change(&mut self, before: &Pages, after: &Pages) {
        before.differing(after).for_each(|block| _ = self.stale.add(block as u64));
    }

    /// The digest of `overlay`.
    pub(super) fn digest(&self, overlay: &Pages) -> Digest {
        let sum = self.changes(overlay).fold(self.sum, |sum, (block, hash)| self.replace(sum, block, hash));
        Digest::from_u128(sum)
    }

    /// Makes later digests quick, which look only at what is written from now on.
    pub(super) fn settle(&mut self, overlay: &Pages) {
        let changes: Vec<_> = self.changes(overlay).collect();
        changes.into_iter().for_each(|(block, hash)| self.take(block, hash));
        self.stale.clear();
        self.is_asked = true;
    }

    /// Takes what `block` adds now.
    fn take(&mut self, block: usize, hash: u128) {
        self.sum = self.replace(self.sum, block, hash);
        match hash {
            0 => self.hashes.remove(&block),
            _ => self.hashes.insert(block, hash),
        };
    }

    /// The blocks that may have changed, and what each adds now: nothing if it is not in the overlay.
    fn changes(&self, overlay: &Pages) -> impl Iterator<Item = (usize, u128)> {
        // They were numbers of pages before they were noted.
        self.stale.iter().map(|number| number as usize).map(|block| (block, hash(overlay, block)))
    }

    fn replace(&self, sum: u128, block: usize, hash: u128) -> u128 {
        let before = self.hashes.get(&block).copied().unwrap_or(0);
        sum.wrapping_sub(before).wrapping_add(hash)
    }
}

/// What `block` adds: nothing if it is not in the overlay.
fn hash(overlay: &Pages, block: usize) -> u128 {
    let of = |page: &[u8]| xxhash_rust::xxh3::xxh3_128_with_seed(page, block as u64);
    overlay.page(block).map_or(0, |page| of(&page[..]))
}
