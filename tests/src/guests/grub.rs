//! A small disk from which GRUB boots a kernel of ours.

use super::apt::run;
use super::debian::{GRUB, GRUB_CMDLINE, PARTITION, debian, partition_table};
use anyhow::Result;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;

/// Bytes of the disk: the kernel's, its initrd's and GRUB's with room to spare.
const DISK: u64 = 64 << 20;
/// Where a boot sector's partition table begins, behind its code and the disk's signature.
const PARTITION_TABLE: u64 = 446;

/// Writes the disk to `image`: the boot sector and the GRUB of [`debian`], and a file system with what it boots.
///
/// # Errors
/// There is no Debian system, or the file system cannot be made.
pub fn grub_disk(image: &Path, kernel: &Path, initrd: &Path, cmdline: &str) -> Result<()> {
    let debian = debian()?;
    let root = tempfile::tempdir()?;
    let boot = root.path().join("boot");
    fs::create_dir(&boot)?;
    let dump = format!("rdump /boot/grub {}", boot.display());
    run(Command::new("debugfs").args(["-R", &dump]).arg(inside(&debian.image)))?;
    fs::write(boot.join("grub/grub.cfg"), GRUB.replace(GRUB_CMDLINE, cmdline))?;
    fs::copy(kernel, boot.join("vmlinuz"))?;
    fs::copy(initrd, boot.join("initrd.img"))?;
    let mut file = File::create(image)?;
    file.set_len(DISK)?;
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-E", &format!("offset={PARTITION}"), "-d"]);
    run(make.arg(root.path()).arg(image).arg(format!("{}k", (DISK - PARTITION) >> 10)))?;
    let mut begin = vec![0; PARTITION as usize];
    File::open(&debian.image)?.read_exact(&mut begin)?;
    file.write_all(&begin)?;
    file.seek(SeekFrom::Start(PARTITION_TABLE))?;
    Ok(file.write_all(&partition_table(DISK))?)
}

/// The file system in an image, as the tools of e2fsprogs take it.
fn inside(image: &Path) -> String {
    format!("{}?offset={PARTITION}", image.display())
}
