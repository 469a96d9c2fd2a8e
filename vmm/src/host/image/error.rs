use std::io;
use std::path::PathBuf;

/// Why a disk image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be opened or read.
    #[error("cannot read the disk image {}; give a file that exists and can be read", .path.display())]
    Open {
        /// The image.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// Somebody else may change it.
    #[error("the disk image {} is open for writing in another program; end that program, or give a copy", .path.display())]
    Locked {
        /// The image.
        path: PathBuf,
    },
    /// There is nothing in it.
    #[error("the disk image {} is empty; give it a size, for example with: truncate -s 1G {0}", .path.display())]
    Empty {
        /// The image.
        path: PathBuf,
    },
    /// Its end is missing, or it is no image.
    #[error(
        "the disk image {} has {bytes} bytes, which is no whole number of 512-byte sectors: was it cut off? fill it up with: truncate -s %512 {0}",
        .path.display()
    )]
    Short {
        /// The image.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// No disk is that large.
    #[error("the disk image {} says it has {bytes} bytes, more than any disk; is it damaged?", .path.display())]
    Huge {
        /// The image.
        path: PathBuf,
        /// The size it says it has.
        bytes: u64,
    },
    /// A qcow2 image that cannot be understood.
    #[error("the disk image {} is a damaged qcow2 image; try: qemu-img check {0}", .path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// A qcow2 image whose blocks are encrypted.
    #[error(
        "the disk image {} is encrypted, which rrvmm cannot read; make a plain one of it with: qemu-img convert -O raw, with --object secret and --image-opts as QEMU documents",
        .path.display()
    )]
    Encrypted {
        /// The image.
        path: PathBuf,
    },
    /// A qcow2 image that is nothing by itself.
    #[error(
        "the disk image {} needs another file, {needs}, which rrvmm does not open; make one image of them with: qemu-img convert -O qcow2 {0} NEW",
        .path.display()
    )]
    Dependent {
        /// The image.
        path: PathBuf,
        /// The file it names.
        needs: String,
    },
    /// Only raw images are written back.
    #[error("the disk image {} is not raw: commit writes raw images only; convert it with: qemu-img convert -O raw {0} NEW", .path.display())]
    NotRaw {
        /// The image.
        path: PathBuf,
    },
    /// It is not what was recorded.
    #[error("the disk image {} has changed since it was opened: nothing was written to it", .path.display())]
    Changed {
        /// The image.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write to the disk image {}; what the guest wrote is in the recording", .path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: io::Error,
    },
}
