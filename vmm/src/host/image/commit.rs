//! What the guest has written, written back to the image.

use super::Image;
use super::error::ImageError;
use crate::pages::Pages;
use rrvmm_replay::journal::BLOCK_SIZE;
use std::os::unix::fs::FileExt;

/// Hears how many of how many blocks have been written.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Image {
    /// Writes `written`, blocks by number, to this image, which must be raw and must not have changed since it was opened.
    ///
    /// # Errors
    /// It is not raw, has changed, is in use by somebody else, or cannot be written.
    pub fn commit(&self, written: &Pages, progress: Progress<'_>) -> Result<(), ImageError> {
        let file = self.for_writing()?;
        let failed = |source| ImageError::Write { path: self.path().to_owned(), source };
        let total = written.iter().count() as u64;
        for (done, (block, page)) in written.iter().enumerate() {
            let at = block as u64 * BLOCK_SIZE as u64;
            let bytes = self.len().saturating_sub(at).min(BLOCK_SIZE as u64) as usize;
            file.write_all_at(&page[..bytes], at).map_err(failed)?;
            progress(done as u64 + 1, total);
        }
        file.sync_all().map_err(failed)
    }
}
