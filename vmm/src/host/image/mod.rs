//! Disk images: raw files, block devices, and qcow2. Only read while a guest runs; a raw one may be written afterwards.

mod commit;
mod error;
mod lock;

use imago::FormatAccess;
use imago::qcow2::Qcow2;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use commit::Progress;
pub use error::ImageError;
use lock::lock_for_reading;

/// Bytes of a sector: sizes of disks are multiples of it.
pub const SECTOR: u64 = 512;
/// Sizes of disks are below this: 48-bit sector numbers reach no further (ATA8-ACS).
const SIZE_LIMIT: u64 = SECTOR << 48;
/// How a qcow2 image begins.
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";
/// Byte of its header at which the method of encryption stands.
const CRYPT_METHOD: u64 = 32;

/// How an image is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As the disk is.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        })
    }
}

/// An image, open for reading, in which nobody else may write.
pub struct Image {
    path: PathBuf,
    format: Format,
    len: u64,
    file: File,
    /// Length and time of the last change of the file when it was opened.
    opened: (u64, i64, i64),
    contents: Contents,
}

enum Contents {
    Raw,
    Qcow2(Box<FormatAccess<imago::file::File>>),
}

impl Image {
    /// Opens the image at `path`, of this format or of the one it looks like.
    ///
    /// # Errors
    /// It is missing, locked, short, damaged, or needs another file.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Open { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if !lock_for_reading(&file).map_err(failed)? {
            return Err(ImageError::Locked { path: path.to_owned() });
        }
        if bytes == 0 {
            return Err(ImageError::Empty { path: path.to_owned() });
        }
        let format = match format {
            Some(format) => format,
            None if begins_like_qcow2(&file) => Format::Qcow2,
            None => Format::Raw,
        };
        let (contents, len) = match format {
            Format::Raw => (Contents::Raw, bytes),
            Format::Qcow2 => {
                let access = open_qcow2(path, &file)?;
                let len = access.size();
                (Contents::Qcow2(Box::new(access)), len)
            }
        };
        if len == 0 {
            return Err(ImageError::Empty { path: path.to_owned() });
        }
        if len >= SIZE_LIMIT {
            return Err(ImageError::Huge { path: path.to_owned(), bytes: len });
        }
        if !len.is_multiple_of(SECTOR) {
            return Err(ImageError::Short { path: path.to_owned(), bytes: len });
        }
        let opened = (bytes, metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { path: path.to_owned(), format, len, file, opened, contents })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is laid out.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes on the disk; a multiple of [`SECTOR`].
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no image is empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When its file was changed last, in seconds since 1970-01-01 00:00:00 UTC.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.opened.1
    }

    /// Fills `bytes` from byte `offset` on; what lies behind the end is zero.
    ///
    /// # Errors
    /// The host cannot read it, or it is damaged there.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let (there, beyond) = bytes.split_at_mut(there);
        beyond.fill(0);
        if there.is_empty() {
            return Ok(());
        }
        match &self.contents {
            Contents::Raw => self.file.read_exact_at(there, offset),
            Contents::Qcow2(access) => guarded(|| access.read(&mut *there, offset)),
        }
    }

    /// The raw image opened to be written as well, unless it is no longer what it was.
    pub(super) fn for_writing(&self) -> Result<File, ImageError> {
        if self.format != Format::Raw {
            return Err(ImageError::NotRaw { path: self.path.clone() });
        }
        let failed = |source| ImageError::Write { path: self.path.clone(), source };
        let file = File::options().read(true).write(true).open(&self.path).map_err(failed)?;
        let (now, own) = (file.metadata().map_err(failed)?, self.file.metadata().map_err(failed)?);
        let stamp = (self.opened.0, now.mtime(), now.mtime_nsec());
        let is_same = (now.dev(), now.ino()) == (own.dev(), own.ino()) && stamp == self.opened;
        if !is_same || (now.is_file() && now.len() != self.opened.0) {
            return Err(ImageError::Changed { path: self.path.clone() });
        }
        if !lock::lock_for_writing(&file, &self.file).map_err(failed)? {
            return Err(ImageError::Locked { path: self.path.clone() });
        }
        Ok(file)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

fn begins_like_qcow2(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == QCOW2_MAGIC
}

/// Nothing that the image names is opened: it may come from anywhere.
fn open_qcow2(path: &Path, file: &File) -> Result<FormatAccess<imago::file::File>, ImageError> {
    let damaged = |source| ImageError::Damaged { path: path.to_owned(), source };
    let dependent = |needs: &str| ImageError::Dependent { path: path.to_owned(), needs: needs.to_owned() };
    // A file description of its own: where one reads, the other must not care.
    let own = File::open(path).map_err(damaged)?;
    let same = |a: &File, b: &File| Ok::<_, io::Error>(a.metadata()?.ino() == b.metadata()?.ino());
    if !same(&own, file).map_err(damaged)? {
        return Err(ImageError::Changed { path: path.to_owned() });
    }
    let opened = guarded(|| {
        let storage = imago::file::File::try_from(own)?;
        Qcow2::<imago::file::File>::open_image(storage, false)
    });
    let mut qcow2 = opened.map_err(damaged)?;
    // The header's crypt_method (docs/interop/qcow2.txt of QEMU): the reader takes it for none.
    let mut method = [0; 4];
    file.read_exact_at(&mut method, CRYPT_METHOD).map_err(damaged)?;
    if method != [0; 4] {
        return Err(ImageError::Encrypted { path: path.to_owned() });
    }
    if let Some(backing) = qcow2.implicit_backing_file() {
        return Err(dependent(backing));
    }
    if qcow2.requires_external_data_file() {
        let name = qcow2.implicit_external_data_file().map_or("a data file", |name| name);
        return Err(dependent(name));
    }
    guarded(|| qcow2.open_implicit_dependencies_gated(imago::DenyImplicitOpenGate::default()))
        .map_err(damaged)?;
    Ok(FormatAccess::new(qcow2))
}

/// What reads an image that came from anywhere may hold something to be impossible that is not.
fn guarded<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(io::Error::other("its reader gave up")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::{Page, Pages};
    use imago::{
        FormatCreateBuilder as _, FormatDriverBuilder as _, PermissiveImplicitOpenGate, Storage as _,
    };
    use std::fs;
    use std::os::fd::AsFd as _;

    const SIZE: usize = 1 << 20;

    fn contents() -> Vec<u8> {
        (0..SIZE).map(|n| if n / 65536 % 3 == 1 { 0 } else { (n / 512) as u8 ^ n as u8 }).collect()
    }

    fn raw(directory: &Path, bytes: &[u8]) -> PathBuf {
        let path = directory.join("raw.img");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn qcow2(directory: &Path, backing: Option<&str>) -> PathBuf {
        let path = directory.join("q.qcow2");
        fs::write(&path, []).unwrap();
        let options = || imago::storage::StorageOpenOptions::new().write(true).filename(&path);
        let storage = imago::file::File::open(options()).unwrap();
        let mut builder = Qcow2::<imago::file::File>::create_builder(storage).size(SIZE as u64);
        if let Some(backing) = backing {
            builder = builder.backing(backing.to_owned(), "raw".to_owned());
        }
        builder.create().unwrap();
        if backing.is_none() {
            let opened = Qcow2::<imago::file::File>::builder_path(&path).write(true);
            let access = FormatAccess::new(opened.open(PermissiveImplicitOpenGate::default()).unwrap());
            for (n, piece) in contents().chunks(65536).enumerate().filter(|(n, _)| n % 3 != 1) {
                access.write(piece, n as u64 * 65536).unwrap();
            }
            access.flush().unwrap();
        }
        path
    }

    #[test]
    fn raw_and_qcow2_read_alike() {
        let directory = tempfile::tempdir().unwrap();
        for (path, format) in [
            (raw(directory.path(), &contents()), Format::Raw),
            (qcow2(directory.path(), None), Format::Qcow2),
        ] {
            let image = Image::open(&path, None).unwrap();
            assert_eq!((image.format(), image.len()), (format, SIZE as u64));
            let mut bytes = vec![1; SIZE + 4096];
            image.read(0, &mut bytes).unwrap();
            assert!(bytes[..SIZE] == contents() && bytes[SIZE..].iter().all(|byte| *byte == 0), "{format}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("short"), [0; 1000]).unwrap();
        fs::write(at("empty"), []).unwrap();
        fs::write(at("damaged"), b"QFI\xfb and nothing that makes sense, padded to a sector").unwrap();
        for (name, expected) in [
            ("missing", "cannot read the disk image"),
            ("short", "truncate -s %512"),
            ("empty", "is empty"),
            ("damaged", "damaged qcow2"),
            (".", "cannot read the disk image"),
        ] {
            let error = Image::open(&at(name), None).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(name), "{error}");
        }
        let error = Image::open(&qcow2(directory.path(), Some("base.img")), None).unwrap_err();
        assert!(error.to_string().contains("needs another file, base.img"), "{error}");
        // Given a format, nobody guesses.
        let image = Image::open(&qcow2(directory.path(), None), Some(Format::Raw)).unwrap();
        assert_eq!(image.format(), Format::Raw);
    }

    #[test]
    fn a_writer_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = raw(directory.path(), &contents());
        let writer = File::options().read(true).write(true).open(&path).unwrap();
        let lock = libc::flock {
            l_type: libc::F_RDLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 101,
            l_len: 1,
            l_pid: 0,
        };
        nix::fcntl::fcntl(writer.as_fd(), nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        assert!(matches!(Image::open(&path, None), Err(ImageError::Locked { .. })));
        drop(writer);
        let (one, two) = (Image::open(&path, None).unwrap(), Image::open(&path, None).unwrap());
        let mut written = Pages::default();
        written.put(3, Some(Page::new(&[9; 4096])));
        assert!(matches!(one.commit(&written, &mut |_, _| ()), Err(ImageError::Locked { .. })));
        drop(two);
    }

    #[test]
    fn a_commit_writes_what_was_written_unless_the_image_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = raw(directory.path(), &contents()[..SIZE - 512]);
        let mut written = Pages::default();
        written.put(3, Some(Page::new(&[9; 4096])));
        written.put(255, Some(Page::new(&[8; 4096])));
        let image = Image::open(&path, None).unwrap();
        let mut steps = Vec::new();
        image.commit(&written, &mut |done, total| steps.push((done, total))).unwrap();
        assert_eq!(steps, [(1, 2), (2, 2)]);
        drop(image);
        let now = fs::read(&path).unwrap();
        assert_eq!((now.len(), now[3 * 4096], now[SIZE - 513]), (SIZE - 512, 9, 8));
        let image = Image::open(&path, None).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, &now).unwrap();
        assert!(matches!(image.commit(&written, &mut |_, _| ()), Err(ImageError::Changed { .. })));
        let image = Image::open(&qcow2(directory.path(), None), None).unwrap();
        assert!(matches!(image.commit(&written, &mut |_, _| ()), Err(ImageError::NotRaw { .. })));
    }

    /// A changed byte anywhere in an image's tables gives an error or other bytes, never more than that.
    #[test]
    fn hostile_qcow2_images_do_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let good = fs::read(qcow2(directory.path(), None)).unwrap();
        let path = directory.path().join("bad.qcow2");
        let mut opened = 0;
        let mut state = 1u64;
        for n in 0..600 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut bad = good.clone();
            // The header first, then all over the tables.
            let at = if n < 300 { 4 + n / 3 } else { (state >> 33) as usize % good.len().min(5 * 65536) };
            bad[at] ^= (state >> 20) as u8 | 1;
            fs::write(&path, &bad).unwrap();
            if let Ok(image) = Image::open(&path, None) {
                opened += 1;
                let mut bytes = vec![0; 65536];
                for piece in 0..image.len().div_ceil(65536).min(32) {
                    let _ = image.read(piece * 65536, &mut bytes);
                }
            }
        }
        assert!(opened > 200, "{opened}");
    }
}
