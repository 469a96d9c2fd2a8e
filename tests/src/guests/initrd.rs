//! Initrds: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).

use super::{Arch, busybox, cache, workload};
use anyhow::{Context as _, Result};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

/// File type bits of `st_mode` (POSIX `sys/stat.h`).
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// A cpio archive under construction. Times and owners are zero, so equal contents give equal bytes.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a regular file with the given permission bits.
    pub fn file(&mut self, path: &str, permissions: u32, data: &[u8]) {
        self.entry(path, REGULAR | permissions, (0, 0), data);
    }

    /// Adds a character device node.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.entries += 1;
        let length = u32::try_from(data.len()).expect("a test file is under 4 GiB");
        let name = u32::try_from(path.len() + 1).expect("a path is short");
        let links = 1;
        let mut header = String::from("070701");
        for field in [self.entries, mode, 0, 0, links, 0, length, 0, 0, device.0, device.1, name, 0] {
            header += &format!("{field:08X}");
        }
        self.bytes.extend(header.bytes());
        self.bytes.extend(path.bytes().chain([0]));
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// An initrd with the static busybox of `arch` and `init`, a shell script that runs after [`PROLOGUE`].
///
/// # Errors
/// busybox cannot be had.
pub fn with_init(arch: Arch, init: &str) -> Result<Vec<u8>> {
    with_modules(arch, &[], init)
}

/// As [`with_init`], with kernel modules that are loaded in their order before `init` runs.
///
/// # Errors
/// busybox cannot be had.
pub fn with_modules(arch: Arch, modules: &[(String, Vec<u8>)], init: &str) -> Result<Vec<u8>> {
    let busybox = busybox(arch)?;
    let program = fs::read(&busybox).with_context(|| format!("reading {}", busybox.display()))?;
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "tmp", "modules"] {
        archive.directory(directory);
    }
    archive.character_device("dev/console", 5, 1);
    archive.file("bin/busybox", 0o755, &program);
    let mut loading = String::new();
    for (name, bytes) in modules {
        archive.file(&format!("modules/{name}.ko"), 0o644, bytes);
        loading += &format!("insmod /modules/{name}.ko || echo @no-module {name}\n");
    }
    archive.file("init", 0o755, format!("{PROLOGUE}{loading}{init}").as_bytes());
    Ok(archive.finish())
}

/// The initrd of a script of [`workload`], by name (`boot-amd64`, `work-i386`, ...), as a file in the cache.
///
/// # Errors
/// There is no such script, busybox cannot be had, or the cache cannot be written.
pub fn cached(name: &str) -> Result<PathBuf> {
    let (script, arch) = workload::by_name(name).with_context(|| format!("no workload named {name}"))?;
    let bytes = with_init(arch, script)?;
    let _lock = cache::lock()?;
    let place = cache::directory().join(format!("initrd-{name}.cpio"));
    if fs::read(&place).ok().as_ref() != Some(&bytes) {
        let mut file = tempfile::NamedTempFile::new_in(cache::directory())?;
        file.write_all(&bytes)?;
        file.persist(&place)?;
    }
    Ok(place)
}

/// What every init of the tests begins with: mounts, applets, no kernel messages below "emergency" on the console.
pub const PROLOGUE: &str = "#!/bin/busybox sh
export PATH=/bin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox --install -s /bin
dmesg -n 1
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_header_of_the_format_and_is_padded_to_four_bytes() {
        let mut archive = Archive::default();
        archive.file("a", 0o644, b"hello");
        let bytes = archive.finish();
        let mut want = String::from("070701");
        for field in ["00000001", "000081A4", "00000000", "00000000", "00000001", "00000000", "00000005"] {
            want += field;
        }
        assert_eq!(&bytes[..want.len()], want.as_bytes());
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..120], b"hello\0\0\0");
        assert_eq!(&bytes[120..126], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
