//! A set of a disk's blocks.

use std::collections::BTreeMap;

/// Blocks in a word.
const WORD: u64 = u64::BITS as u64;

/// Blocks by number, a bit each.
#[derive(Debug, Default)]
pub(super) struct BlockSet(BTreeMap<u64, u64>);

impl BlockSet {
    /// Adds `block`; true if it is new.
    pub(super) fn add(&mut self, block: u64) -> bool {
        let (word, bit) = (self.0.entry(block / WORD).or_default(), 1 << (block % WORD));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// The blocks, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(n, word)| {
            (0..WORD).filter(move |bit| word >> bit & 1 != 0).map(move |bit| n * WORD + bit)
        })
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_new_once() {
        let mut set = BlockSet::default();
        let blocks = [0, 63, 64, 1 << 40];
        assert!(blocks.into_iter().all(|block| set.add(block)));
        assert!(!blocks.into_iter().any(|block| set.add(block)));
        assert!(set.iter().eq(blocks));
        set.clear();
        assert!(set.iter().next().is_none() && set.add(63));
    }
}
