//! A whole Debian on a disk, made by debootstrap: systemd, a C compiler, Python, the newest kernel, GRUB in the boot sector.

use super::apt::{debian_sources, run};
use super::cache;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of the system. Its root file system has the label `rrvmm`; root logs in without a password.
#[derive(Clone, Debug)]
pub struct Debian {
    /// The disk, raw: a partition table, GRUB, an ext4 partition.
    pub image: PathBuf,
    /// The kernel that is on it.
    pub kernel: PathBuf,
    /// That kernel's initial RAM disk.
    pub initrd: PathBuf,
}

/// What debootstrap is told beside the base system. The kernel comes later, from all of the host's Debian sources: security
/// updates are not in the suite that debootstrap reads.
const PACKAGES: &str = "systemd-sysv,udev,dbus,kmod,gcc,libc6-dev,python3-minimal,wget,iproute2,iputils-ping,\
    initramfs-tools,zstd,e2fsprogs,grub-common,grub-pc-bin";

/// Modules that mount the root file system behind any of our controllers, and the drivers of our network cards.
const INITRD_MODULES: &str = "virtio_pci\nvirtio_blk\nvirtio_net\nahci\nata_piix\nsd_mod\ne1000\next4\n";

/// Label of the root file system.
const LABEL: &str = "rrvmm";
const MIB: u64 = 1 << 20;
/// Of the disk. The file has holes where the file system is empty.
const DISK: u64 = 1536 * MIB;
/// Where the partition begins: the gap before it has GRUB's core image.
pub(super) const PARTITION: u64 = MIB;
const SECTOR: u64 = 512;
/// Bytes of a boot sector before the disk's signature and the partition table.
const BOOT_CODE: usize = 440;

const NETWORK: &str =
    "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n";

/// Nothing that nobody reads here, and no waiting for the host's disk: what a crash would leave is not used.
const DPKG: &str = "force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
";

/// The kernel's command line in [`GRUB`].
pub(super) const GRUB_CMDLINE: &str = "root=LABEL=rrvmm console=ttyS0";
pub(super) const GRUB: &str = "serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry Debian {
    linux /boot/vmlinuz root=LABEL=rrvmm console=ttyS0
    initrd /boot/initrd.img
}
";

/// The system, made when the cache has none: that takes root, and some minutes.
///
/// # Errors
/// It is not cached, and this user is not root, debootstrap is not there, or the archive does not answer.
pub fn debian() -> Result<Debian> {
    // Made differently, it is another one.
    let mut recipe = DefaultHasher::new();
    (PACKAGES, INITRD_MODULES, NETWORK, DPKG, GRUB, DISK).hash(&mut recipe);
    let place = cache::entry(&format!("debian-{:016x}", recipe.finish()), build)?;
    Ok(Debian {
        image: place.join("disk.img"),
        kernel: place.join("vmlinuz"),
        initrd: place.join("initrd.img"),
    })
}

fn build(to: &Path) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "only root can make a Debian system with debootstrap");
    let root = to.join("root");
    bootstrap(&root)?;
    configure(&root)?;
    install_kernel(&root)?;
    let core = grub_core(&root)?;
    remove_caches(&root)?;
    write_image(&root, &core, &to.join("disk.img"))?;
    for name in ["vmlinuz", "initrd.img"] {
        fs::copy(root.join("boot").join(name), to.join(name))?;
    }
    remove_tree(&root)
}

fn bootstrap(root: &Path) -> Result<()> {
    let sources = debian_sources(Path::new("/etc/apt"))?;
    let source = Source::main(&sources).with_context(|| format!("no plain suite among\n{sources}"))?;
    let mut command = host("debootstrap");
    command.args(["--foreign", "--variant=minbase", &format!("--include={PACKAGES}")]);
    command.args(source.key.map(|key| format!("--keyring={key}")));
    run(command.arg(source.suite).arg(root).arg(source.uri))?;
    let settings = root.join("etc/dpkg/dpkg.cfg.d");
    fs::create_dir_all(&settings)?;
    fs::write(settings.join("rrvmm"), DPKG)?;
    inside(root, &["/debootstrap/debootstrap", "--second-stage"])?;
    for key in sources.lines().filter_map(|line| Source::of(line)?.key) {
        let inside = root.join(key.trim_start_matches('/'));
        if !inside.exists() {
            fs::create_dir_all(inside.parent().context("a key lies in a directory")?)?;
            fs::copy(key, inside)?;
        }
    }
    Ok(fs::write(root.join("etc/apt/sources.list"), sources)?)
}

/// Settings, before the kernel's installation makes an initial RAM disk.
fn configure(root: &Path) -> Result<()> {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("etc/hostname", "guest\n")?;
    write("etc/fstab", &format!("LABEL={LABEL} / ext4 defaults 0 0\n"))?;
    write("etc/systemd/network/wired.network", NETWORK)?;
    write("etc/initramfs-tools/conf.d/rrvmm", "MODULES=list\n")?;
    write("etc/initramfs-tools/modules", INITRD_MODULES)?;
    let shadow = fs::read_to_string(root.join("etc/shadow"))?;
    let open = |line: &str| match line.strip_prefix("root:").and_then(|rest| rest.split_once(':')) {
        Some((_, rest)) => format!("root::{rest}\n"),
        None => format!("{line}\n"),
    };
    write("etc/shadow", &shadow.lines().map(open).collect::<String>())?;
    inside(root, &["systemctl", "enable", "systemd-networkd"])?;
    // What would look for news in the archive while a test runs.
    inside(root, &["systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer"])
}

fn install_kernel(root: &Path) -> Result<()> {
    inside(root, &["apt-get", "update", "-q"])?;
    inside(root, &["apt-get", "install", "-q", "-y", "--no-install-recommends", "linux-image-amd64"])?;
    for name in ["vmlinuz", "initrd.img"] {
        let version = newest(&root.join("boot"), &format!("{name}-"))?;
        let link = root.join("boot").join(name);
        let _ = fs::remove_file(&link);
        symlink(version, link)?;
    }
    Ok(())
}

/// The file whose name begins with `prefix`; the highest one, if a kernel has been replaced by another.
fn newest(directory: &Path, prefix: &str) -> Result<String> {
    let names = fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let found = names.filter(|name| name.starts_with(prefix)).max();
    found.with_context(|| format!("nothing in {} begins with {prefix}", directory.display()))
}

/// GRUB for the gap before the partition; its other modules lie where it looks for them.
fn grub_core(root: &Path) -> Result<Vec<u8>> {
    let grub = root.join("boot/grub");
    fs::create_dir_all(&grub)?;
    fs::write(grub.join("grub.cfg"), GRUB)?;
    run(Command::new("cp").arg("-r").arg(root.join("usr/lib/grub/i386-pc")).arg(&grub))?;
    let make = ["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", "/tmp/core.img"];
    inside(root, &[&make[..], &["biosdisk", "part_msdos", "ext2"]].concat())?;
    let core = root.join("tmp/core.img");
    let bytes = fs::read(&core)?;
    fs::remove_file(core)?;
    ensure!(
        bytes.len() as u64 <= PARTITION - SECTOR,
        "GRUB's core image of {} bytes does not fit",
        bytes.len()
    );
    Ok(bytes)
}

fn remove_caches(root: &Path) -> Result<()> {
    inside(root, &["apt-get", "clean"])?;
    remove_tree(&root.join("var/lib/apt/lists"))
}

fn write_image(root: &Path, core: &[u8], image: &Path) -> Result<()> {
    let mut file = File::create(image)?;
    file.set_len(DISK)?;
    let offset = format!("offset={PARTITION}");
    let blocks = format!("{}k", (DISK - PARTITION) >> 10);
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-L", LABEL, "-E", &offset, "-d"]);
    run(make.arg(root).arg(image).arg(blocks))?;
    let boot = fs::read(root.join("usr/lib/grub/i386-pc/boot.img"))?;
    let boot = boot.get(..BOOT_CODE).context("GRUB's boot.img is too short")?;
    file.write_all_at(boot, 0)?;
    file.seek(SeekFrom::Start(BOOT_CODE as u64 + 6))?;
    file.write_all(&partition_table(DISK))?;
    // GRUB's boot sector looks for the core image behind itself.
    Ok(file.write_all_at(core, SECTOR)?)
}

/// One bootable Linux partition to the end of a disk of `disk` bytes, and the boot sector's signature. Addresses of cylinders, heads and sectors are
/// beyond what they can say.
pub(super) fn partition_table(disk: u64) -> [u8; 66] {
    let mut table = [0; 66];
    let sectors = |bytes: u64| ((bytes / SECTOR) as u32).to_le_bytes();
    table[..8].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
    table[8..12].copy_from_slice(&sectors(PARTITION));
    table[12..16].copy_from_slice(&sectors(disk - PARTITION));
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    table
}

/// `program` on the host, with mounts of its own where that can be had: debootstrap mounts what has to be gone when it fails.
fn host(program: &str) -> Command {
    let mut unshare = Command::new("unshare");
    let has_own = unshare.args(["--mount", "true"]).output().is_ok_and(|output| output.status.success());
    let mut command = if has_own { Command::new("unshare") } else { Command::new(program) };
    if has_own {
        command.args(["--mount", "--", program]);
    }
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Runs a command in the system under construction.
fn inside(root: &Path, command: &[&str]) -> Result<()> {
    run(host("chroot").arg(root).args(command)).map(drop)
}

/// Removes a directory, unless something of the host is mounted there.
fn remove_tree(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let prefix = format!("{}/", directory.display());
    if let Some(line) =
        mounts.lines().find(|line| line.split(' ').nth(1).is_some_and(|at| at.starts_with(&prefix)))
    {
        bail!("{} is still mounted", line);
    }
    fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))
}

/// An entry of a `sources.list`.
struct Source<'a> {
    key: Option<&'a str>,
    uri: &'a str,
    suite: &'a str,
}

impl<'a> Source<'a> {
    /// One line, as [`debian_sources`] writes them: `deb [options] URI SUITE COMPONENT...`.
    fn of(line: &'a str) -> Option<Self> {
        let (options, rest) = line.strip_prefix("deb [")?.split_once(']')?;
        let mut words = rest.split_whitespace();
        let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        Some(Self { key, uri: words.next()?, suite: words.next()? })
    }

    /// The suite that others are updates of.
    fn main(lines: &'a str) -> Option<Self> {
        lines.lines().filter_map(Self::of).find(|source| !source.suite.contains(['-', '/']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_without_updates_is_taken() {
        let lines = "deb [] http://m/debian-security bookworm-security main\n\
                     deb [signed-by=/k.gpg] http://m/debian bookworm main\n";
        let source = Source::main(lines).unwrap();
        assert_eq!((source.key, source.uri, source.suite), (Some("/k.gpg"), "http://m/debian", "bookworm"));
    }

    #[test]
    fn the_partition_fills_the_disk() {
        let table = partition_table(DISK);
        let sectors = |at| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|n: usize| table[at + n])));
        assert_eq!((sectors(8) + sectors(12)) * SECTOR, DISK);
    }
}
