//! Modules of Debian's kernels, for initrds.

use super::apt::Apt;
use super::{Kernel, cache, kernel_version};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

/// Modules for virtio devices, each after those it needs.
pub const VIRTIO_MODULES: &[&str] = &[
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
];

/// Modules for keyboards and pointers that programs read, virtio's too.
const INPUT_MODULES: &[&str] = &["evdev", "virtio_input"];

/// Modules for disks and discs behind IDE and AHCI, each after those it needs.
pub const DISK_MODULES: &[&str] = &[
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
];

/// Modules for network cards other than virtio's, each after those it needs.
pub const NIC_MODULES: &[&str] = &["e1000", "8390", "ne2k-pci"];

/// Modules for a PS/2 mouse and a frame buffer, each after those it needs.
const SCREEN_MODULES: &[&str] =
    &["psmouse", "drm", "drm_kms_helper", "ttm", "drm_ttm_helper", "drm_vram_helper", "bochs"];

/// Modules of a kernel, in the order in which they can be loaded: name and bytes of each.
///
/// # Errors
/// They are not cached and the archive cannot be asked, or there is no such module.
pub fn modules(flavour: Kernel, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let version = kernel_version(flavour)?;
    // The cloud kernel is for machines without the rest.
    let all = match flavour {
        Kernel::CloudAmd64 => [VIRTIO_MODULES, INPUT_MODULES].concat(),
        _ => [VIRTIO_MODULES, INPUT_MODULES, DISK_MODULES, NIC_MODULES, SCREEN_MODULES].concat(),
    };
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        bail!("there is no module {unknown} in the list for {flavour:?}");
    }
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
