//! Guests by Debian package name, cached outside the repository, and the initrds the tests boot them with.
//!
//! No version is ever pinned: the newest package of the configured archive is used. A cached one serves for a week,
//! then the archive is asked again; where the archive does not answer, the cached one serves on, with a notice.

mod apt;
mod cache;
mod debian;
mod grub;
pub mod initrd;
mod modules;
mod packages;
mod python;
pub mod workload;

pub use cache::{directory as cache_directory, entry as cache_entry};
pub use debian::{Debian, debian};
pub use grub::grub_disk;
pub use initrd::cached as cached_initrd;
pub use modules::{DISK_MODULES, NIC_MODULES, VIRTIO_MODULES, modules};
pub use packages::{
    Arch, Kernel, MemtestBits, busybox, grub_disc, kernel, kernel_version, memtest, seabios, vga_bios,
};
pub use python::python_packages;
