//! The guests by name: Debian's kernels, busybox, SeaBIOS and memtest86+.

use super::apt::Apt;
use super::cache;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A Debian architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 32-bit x86.
    I386,
}

impl Arch {
    /// Debian's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::I386 => "i386",
        }
    }
}

/// A Debian kernel, by flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `linux-image-cloud-amd64`: 64-bit, for virtual machines.
    CloudAmd64,
    /// `linux-image-amd64`: 64-bit, for every PC.
    Amd64,
    /// `linux-image-rt-amd64`: 64-bit with the real-time preemption model.
    RtAmd64,
    /// `linux-image-686`: 32-bit with 2-level paging.
    I686,
    /// `linux-image-686-pae`: 32-bit with PAE paging and NX.
    I686Pae,
}

impl Kernel {
    /// All of them, in the order of the boot matrix.
    pub const ALL: [Kernel; 5] =
        [Kernel::CloudAmd64, Kernel::Amd64, Kernel::RtAmd64, Kernel::I686, Kernel::I686Pae];

    /// The flavour, as Debian writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kernel::CloudAmd64 => "cloud-amd64",
            Kernel::Amd64 => "amd64",
            Kernel::RtAmd64 => "rt-amd64",
            Kernel::I686 => "686",
            Kernel::I686Pae => "686-pae",
        }
    }

    /// The architecture its package and its user space have.
    #[must_use]
    pub fn arch(self) -> Arch {
        match self {
            Kernel::CloudAmd64 | Kernel::Amd64 | Kernel::RtAmd64 => Arch::Amd64,
            Kernel::I686 | Kernel::I686Pae => Arch::I386,
        }
    }
}

/// Width of a memtest86+ image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemtestBits {
    /// `memtest86+ia32.bin`.
    Ia32,
    /// `memtest86+x64.bin`.
    X64,
}

/// The newest bzImage of that flavour in the configured archive.
///
/// # Errors
/// It is not cached and the archive cannot be asked.
pub fn kernel(kernel: Kernel) -> Result<PathBuf> {
    let entry = cache::entry(&format!("kernel-{}", kernel.name()), |directory| {
        let apt = Apt::open(kernel.arch())?;
        let package = apt.first_dependency(&format!("linux-image-{}", kernel.name()))?;
        apt.unpack(&package, "./boot/vmlinuz-*", directory)?;
        keep(&only_file(&directory.join("boot"))?, directory, "vmlinuz")?;
        fs::write(directory.join("version"), package.trim_start_matches("linux-image-"))?;
        Ok(())
    })?;
    Ok(entry.join("vmlinuz"))
}

/// The release of a fetched kernel as `uname -r` prints it.
///
/// # Errors
/// As for [`kernel`].
pub fn kernel_version(flavour: Kernel) -> Result<String> {
    let image = kernel(flavour)?;
    Ok(fs::read_to_string(image.with_file_name("version"))?)
}

/// The statically linked busybox.
///
/// # Errors
/// It is not cached and the archive cannot be asked.
pub fn busybox(arch: Arch) -> Result<PathBuf> {
    fetch(&format!("busybox-{}", arch.name()), arch, "busybox-static", "./bin/busybox", "busybox")
}

/// SeaBIOS, the 256 KiB image for QEMU's PC.
///
/// # Errors
/// It is not cached and the archive cannot be asked.
pub fn seabios() -> Result<PathBuf> {
    fetch("seabios", Arch::Amd64, "seabios", "./usr/share/seabios/bios-256k.bin", "bios-256k.bin")
}

/// The video BIOS of SeaBIOS for QEMU's standard VGA.
///
/// # Errors
/// It is not cached and the archive cannot be asked.
pub fn vga_bios() -> Result<PathBuf> {
    let path = "./usr/share/seabios/vgabios-stdvga.bin";
    fetch("vgabios", Arch::Amd64, "seabios", path, "vgabios-stdvga.bin")
}

/// GRUB's rescue disc.
///
/// # Errors
/// It is not cached and the archive cannot be asked.
pub fn grub_disc() -> Result<PathBuf> {
    let name = "grub-rescue-cdrom.iso";
    fetch(name, Arch::Amd64, "grub-rescue-pc", &format!("./usr/lib/grub-rescue/{name}"), name)
}

/// memtest86+ as a kernel image (it follows the Linux boot protocol).
///
/// # Errors
/// It is not cached and the archive cannot be asked.
pub fn memtest(bits: MemtestBits) -> Result<PathBuf> {
    let name = match bits {
        MemtestBits::Ia32 => "memtest86+ia32.bin",
        MemtestBits::X64 => "memtest86+x64.bin",
    };
    fetch(name, Arch::Amd64, "memtest86+", &format!("./boot/{name}"), name)
}

/// One file of one package, cached under `entry`.
fn fetch(entry: &str, arch: Arch, package: &str, path: &str, file: &str) -> Result<PathBuf> {
    let place = cache::entry(entry, |directory| {
        Apt::open(arch)?.unpack(package, path, directory)?;
        keep(&directory.join(path), directory, file)
    })?;
    Ok(place.join(file))
}

/// Moves `file` to the top of the entry's `directory` and removes what else was unpacked.
fn keep(file: &Path, directory: &Path, name: &str) -> Result<()> {
    let kept = directory.join(name);
    fs::rename(file, &kept).with_context(|| format!("moving {} to {}", file.display(), kept.display()))?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn only_file(directory: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(directory)?;
    Ok(files.next().with_context(|| format!("{} is empty", directory.display()))??.path())
}
