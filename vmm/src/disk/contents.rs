//! What is on one disk: its base, and over it what the guest has written.

use super::base::{Base, BaseFault};
use super::error::DiskError;
use super::sums::Sums;
use crate::pages::Pages;
use rrvmm_devices::dma::DiskFault;
use rrvmm_replay::Digest;
use rrvmm_replay::journal::BLOCK_SIZE;

/// A disk's contents.
pub(super) struct Contents {
    base: Box<dyn Base>,
    len: u64,
    read_only: bool,
    /// The blocks that the guest has written.
    overlay: Pages,
    sums: Sums,
}

/// Why an access comes to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// The guest is told.
    Guest(DiskFault),
    /// The run ends.
    Fatal(DiskError),
}

impl From<BaseFault> for Failed {
    fn from(fault: BaseFault) -> Self {
        match fault {
            BaseFault::Unreadable => Failed::Guest(DiskFault::Unreadable),
            BaseFault::Fatal(error) => Failed::Fatal(error),
        }
    }
}

impl Contents {
    pub(super) fn new(base: Box<dyn Base>, len: u64, read_only: bool) -> Self {
        Self { base, len, read_only, overlay: Pages::default(), sums: Sums::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// What the guest has written.
    pub(super) fn overlay(&self) -> &Pages {
        &self.overlay
    }

    pub(super) fn set_overlay(&mut self, overlay: &Pages) {
        self.sums.note_change(&self.overlay, overlay);
        self.overlay.clone_from(overlay);
    }

    /// Digest of what the guest has written: the sum over blocks of a hash of number and contents.
    pub(super) fn digest(&self) -> Digest {
        self.sums.digest(&self.overlay)
    }

    /// Makes later digests quick, which look only at what has been written since.
    pub(super) fn sum_up(&mut self) {
        self.sums.settle(&self.overlay);
    }

    pub(super) fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), Failed> {
        self.check(offset, bytes.len())?;
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (block, within) = place(at);
            let n = if let Some(page) = self.overlay.page(block) {
                let n = rest.len().min(BLOCK_SIZE - within);
                rest[..n].copy_from_slice(&page[within..within + n]);
                n
            } else if within == 0 && rest.len() >= BLOCK_SIZE {
                let whole = rest.len() / BLOCK_SIZE;
                let run = (1..whole).take_while(|n| self.overlay.page(block + n).is_none()).count() + 1;
                self.base.read(block as u64, &mut rest[..run * BLOCK_SIZE])?;
                run * BLOCK_SIZE
            } else {
                let n = rest.len().min(BLOCK_SIZE - within);
                let whole = self.base_block(block)?;
                rest[..n].copy_from_slice(&whole[within..within + n]);
                n
            };
            at += n as u64;
            rest = &mut rest[n..];
        }
        Ok(())
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failed> {
        self.check(offset, bytes.len())?;
        if self.read_only {
            return Err(Failed::Guest(DiskFault::ReadOnly));
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (block, within) = place(at);
            let n = rest.len().min(BLOCK_SIZE - within);
            let (new, behind) = rest.split_at(n);
            if let Ok(whole) = new.try_into() {
                self.overlay.write(block, whole);
            } else if let Some(page) = self.overlay.page_mut(block) {
                page[within..within + n].copy_from_slice(new);
            } else {
                let mut page = self.base_block(block)?;
                page[within..within + n].copy_from_slice(new);
                self.overlay.write(block, &page);
            }
            self.sums.note(block, &self.overlay);
            at += n as u64;
            rest = behind;
        }
        Ok(())
    }

    fn base_block(&mut self, block: usize) -> Result<[u8; BLOCK_SIZE], Failed> {
        let mut bytes = [0; BLOCK_SIZE];
        self.base.read(block as u64, &mut bytes)?;
        Ok(bytes)
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), Failed> {
        let end = offset.checked_add(len as u64);
        if end.is_some_and(|end| end <= self.len) {
            return Ok(());
        }
        Err(Failed::Guest(DiskFault::OutOfRange))
    }
}

/// The block that byte `offset` is in, and where in it. Sizes of disks leave no room for more than `usize` has.
fn place(offset: u64) -> (usize, usize) {
    ((offset / BLOCK_SIZE as u64) as usize, (offset % BLOCK_SIZE as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every byte of a block is its number.
    struct Numbers;

    impl Base for Numbers {
        fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), BaseFault> {
            for (block, bytes) in (first..).zip(bytes.chunks_mut(BLOCK_SIZE)) {
                bytes.fill(block as u8);
            }
            Ok(())
        }
    }

    const LEN: usize = 9 * BLOCK_SIZE - 512;

    fn disk() -> (Contents, Vec<u8>) {
        let plain = (0..LEN).map(|at| (at / BLOCK_SIZE) as u8).collect();
        (Contents::new(Box::new(Numbers), LEN as u64, false), plain)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A disk is as a plain array of bytes, and its digest does not depend on how often one asks for it.
        #[test]
        fn it_is_as_an_array(accesses in prop::collection::vec((0..LEN + 600, 0..3 * BLOCK_SIZE, any::<Option<u8>>()), 1..30)) {
            let ((mut disk, mut plain), (mut other, _)) = (disk(), disk());
            for (at, len, value) in accesses {
                let fits = at + len <= LEN;
                match value {
                    Some(value) => {
                        let bytes = vec![value; len];
                        prop_assert_eq!(disk.write(at as u64, &bytes).is_ok(), fits);
                        prop_assert_eq!(other.write(at as u64, &bytes).is_ok(), fits);
                        if fits {
                            plain[at..at + len].copy_from_slice(&bytes);
                        }
                        disk.sum_up();
                    }
                    None => {
                        let mut bytes = vec![0; len];
                        prop_assert_eq!(disk.read(at as u64, &mut bytes).is_ok(), fits);
                        if fits {
                            prop_assert_eq!(&bytes, &plain[at..at + len]);
                        }
                    }
                }
            }
            prop_assert_eq!(disk.digest(), other.digest());
        }
    }

    #[test]
    fn going_back_brings_contents_and_digest_back() {
        let (mut disk, _) = disk();
        disk.write(5, b"first").unwrap();
        let (then, digest) = (disk.overlay().clone(), disk.digest());
        disk.write(5000, b"second").unwrap();
        disk.write(6, b"x").unwrap();
        assert_ne!(disk.digest(), digest);
        disk.set_overlay(&then);
        assert_eq!(disk.digest(), digest);
        let mut bytes = [0; 6];
        disk.read(4, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0first");
    }

    #[test]
    fn a_disk_that_is_read_only_stays_as_it_is() {
        let mut disk = Contents::new(Box::new(Numbers), 4096, true);
        assert!(matches!(disk.write(0, b"x"), Err(Failed::Guest(DiskFault::ReadOnly))));
        assert!(matches!(disk.write(5000, b"x"), Err(Failed::Guest(DiskFault::OutOfRange))));
    }
}
