//! Reading an image in order. Devices that move data to scattered memory ask for it page by page, so what lies behind is read
//! along.

use crate::host::image::Image;
use std::io;

/// Bytes that are read at once.
const SPAN: usize = 64 << 10;

/// What was read last of one image, and what lies behind it.
#[derive(Default)]
pub(super) struct InOrder {
    /// Where in the image `bytes` are.
    start: u64,
    bytes: Vec<u8>,
    /// Where the last read ended.
    next: u64,
}

impl InOrder {
    /// As [`Image::read`].
    pub(super) fn read(&mut self, image: &Image, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let goes_on = offset == self.next;
        self.next = offset.saturating_add(bytes.len() as u64);
        if self.get(offset, bytes.len()).is_none() && goes_on && bytes.len() < SPAN {
            self.fill(image, offset);
        }
        match self.get(offset, bytes.len()) {
            Some(known) => bytes.copy_from_slice(known),
            None => image.read(offset, bytes)?,
        }
        Ok(())
    }

    fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..)?.get(..len)
    }

    /// Who asks for less finds out what of it cannot be read.
    fn fill(&mut self, image: &Image, offset: u64) {
        self.start = offset;
        self.bytes.resize(SPAN, 0);
        if image.read(offset, &mut self.bytes).is_err() {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEN: usize = 3 * SPAN + 1024;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever was read before, the image's bytes come, zeros behind its end, and what lies on goes on being right.
        #[test]
        fn it_is_as_the_image(
            reads in prop::collection::vec((0..LEN + 9000, prop_oneof![1..9000usize, SPAN - 5..SPAN + 5], 1..20usize), 1..12)
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.img");
            let contents: Vec<u8> = (0..LEN).map(|at| (at / 7 % 251) as u8).collect();
            std::fs::write(&path, &contents).unwrap();
            let (image, mut in_order) = (Image::open(&path, None).unwrap(), InOrder::default());
            for (from, len, times) in reads {
                for at in (0..times).map(|n| from + n * len) {
                    let mut bytes = vec![1; len];
                    in_order.read(&image, at as u64, &mut bytes).unwrap();
                    let expected = (at..at + len).map(|at| contents.get(at).copied().unwrap_or(0));
                    prop_assert!(bytes.iter().copied().eq(expected), "{len} bytes at {at}");
                }
            }
        }
    }
}
