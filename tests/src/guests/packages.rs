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

/// Modules of a kernel, in the order in which they can be loaded: name and bytes of each.
///
/// # Errors
/// They are not cached and the archive cannot be asked, or there is no such module.
pub fn modules(flavour: Kernel, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let version = kernel_version(flavour)?;
    // The cloud kernel is for machines without these.
    let more = if flavour == Kernel::CloudAmd64 { &[][..] } else { PC_MODULES };
    let all = [MODULES, more].concat();
    let entry = cache::entry(&format!("modules-{version}-{}", all.len()), |directory| {
        let patterns: Vec<String> = all.iter().map(|name| format!("./lib/modules/*/{name}.ko")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let apt = Apt::open(flavour.arch())?;
        apt.unpack_all(&format!("linux-image-{version}"), &patterns, directory)?;
        flatten(&directory.join("lib"), directory)?;
        fs::remove_dir_all(directory.join("lib"))?;
        Ok(())
    })?;
    let read = |name: &&str| {
        let file = entry.join(format!("{name}.ko"));
        let bytes = fs::read(&file).with_context(|| format!("reading the module {}", file.display()))?;
        Ok(((*name).to_owned(), bytes))
    };
    all.iter().filter(|name| names.contains(name)).map(read).collect()
}

/// Modules that every kernel has, each after those it needs.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio-rng",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
    "evdev",
    "virtio_input",
];

/// As [`MODULES`], for disks behind IDE and AHCI, a PS/2 mouse and a frame buffer.
const PC_MODULES: &[&str] = &[
    "scsi_common",
    "scsi_mod",
    "libata",
    "ata_piix",
    "libahci",
    "ahci",
    "crct10dif_common",
    "crc-t10dif",
    "crc64",
    "crc64-rocksoft",
    "t10-pi",
    "sd_mod",
    "cdrom",
    "sr_mod",
    "psmouse",
    "drm",
    "drm_kms_helper",
    "ttm",
    "drm_ttm_helper",
    "drm_vram_helper",
    "bochs",
];

/// Moves every file below `from` to `to`.
fn flatten(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.is_dir() {
            flatten(&path, to)?;
        } else if let Some(name) = path.file_name() {
            fs::rename(&path, to.join(name))?;
        }
    }
    Ok(())
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
