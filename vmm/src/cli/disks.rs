//! `--disk` and `--cdrom`: images, what a recording says of them, and the devices that the guest finds them behind.

use anyhow::{Context, ensure};
use rrvmm::disk::{DiskInfo, Disks};
use rrvmm::host::image::{Format, Image, SECTOR};
use rrvmm::tell;
use rrvmm_devices::ahci::PORTS;
use rrvmm_devices::ata::{AtaDrive, Media};
use rrvmm_devices::ide::Drives;
use rrvmm_devices::pc::{DeviceConfig, DiskConfig, VirtioConfig};
use std::path::PathBuf;
use std::sync::Arc;

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    Virtio,
    Ide,
    Ahci,
}

/// A `--disk` or `--cdrom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiskArg {
    path: PathBuf,
    format: Option<Format>,
    interface: Interface,
    cdrom: bool,
    read_only: bool,
    commit: bool,
}

const OPTIONS: &str =
    "format=raw, format=qcow2, if=virtio, if=ide, if=ahci, media=disk, media=cdrom, ro, commit";

/// FILE and options after commas; a comma of the file's name is doubled.
pub(super) fn disk(text: &str) -> Result<DiskArg, String> {
    let mut parts = split(text).into_iter();
    let path = PathBuf::from(parts.next().unwrap_or_default());
    if path.as_os_str().is_empty() {
        return Err("write FILE, or FILE and options after commas".to_owned());
    }
    let (mut format, mut interface, mut cdrom, mut read_only, mut commit) = (None, None, false, false, false);
    for option in parts {
        match option.as_str() {
            "format=raw" => format = Some(Format::Raw),
            "format=qcow2" => format = Some(Format::Qcow2),
            "if=virtio" => interface = Some(Interface::Virtio),
            "if=ide" => interface = Some(Interface::Ide),
            "if=ahci" => interface = Some(Interface::Ahci),
            "media=disk" => cdrom = false,
            "media=cdrom" => cdrom = true,
            "ro" => read_only = true,
            "commit" => commit = true,
            other => {
                return Err(format!(
                    "{other:?} is no option of a disk; there are {OPTIONS}; double a comma of the name"
                ));
            }
        }
    }
    if commit && (read_only || cdrom) {
        return Err("what cannot be written cannot be committed".to_owned());
    }
    if cdrom && interface == Some(Interface::Virtio) {
        return Err("a CD-ROM drive is behind if=ide or if=ahci".to_owned());
    }
    let usual = if cdrom { Interface::Ide } else { Interface::Virtio };
    let interface = interface.unwrap_or(usual);
    Ok(DiskArg { path, format, interface, cdrom, read_only: read_only || cdrom, commit })
}

/// A disc: its image, and options as for [`disk`].
pub(super) fn cdrom(text: &str) -> Result<DiskArg, String> {
    disk(&format!("{text},media=cdrom"))
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("there is always one");
        match c {
            ',' if chars.next_if_eq(&',').is_some() => last.push(','),
            ',' => parts.push(String::new()),
            c => last.push(c),
        }
    }
    parts
}

/// The disks of a machine that is to run.
#[derive(Default)]
pub(super) struct OpenDisks {
    args: Vec<DiskArg>,
    images: Vec<Arc<Image>>,
    /// What a recording says of them.
    pub infos: Vec<DiskInfo>,
}

impl OpenDisks {
    /// Opens the images.
    pub(super) fn open(args: &[DiskArg], embed: bool) -> anyhow::Result<Self> {
        let mut disks = Self { args: args.to_vec(), ..Self::default() };
        for arg in args {
            let image = Arc::new(Image::open(&arg.path, arg.format)?);
            ensure!(
                !arg.commit || image.format() == Format::Raw,
                "{} is not raw: commit writes raw images only; convert it with: qemu-img convert -O raw",
                arg.path.display()
            );
            disks.infos.push(DiskInfo::new(&image, arg.read_only, embed));
            disks.images.push(image);
        }
        Ok(disks)
    }

    /// The devices that they are behind.
    pub(super) fn devices(&self) -> anyhow::Result<Vec<DeviceConfig>> {
        let (mut devices, mut ide, mut ahci) = (Vec::new(), Vec::new(), Vec::new());
        for (disk, (arg, info)) in self.args.iter().zip(&self.infos).enumerate() {
            let media = if arg.cdrom { Media::Disc } else { Media::Disk };
            let drive = AtaDrive { disk, media, sectors: info.bytes / SECTOR, serial: false };
            match arg.interface {
                Interface::Virtio => {
                    let disk = u8::try_from(disk).context("there can be no more than 256 disks")?;
                    let (bytes, read_only) = (info.bytes, info.read_only);
                    let config = DiskConfig { disk, bytes, read_only, serial: format!("disk{disk}") };
                    devices.push(DeviceConfig::Virtio(VirtioConfig::Block(config)));
                }
                Interface::Ide => ide.push((arg.cdrom, drive)),
                Interface::Ahci => ahci.push(AtaDrive { serial: true, ..drive }),
            }
        }
        if !ide.is_empty() {
            devices.push(DeviceConfig::Ide(ide_drives(&ide)?));
        }
        devices.extend(ahci.chunks(PORTS).map(|drives| DeviceConfig::Ahci(drives.to_vec())));
        Ok(devices)
    }

    /// Their contents. What a run reads of them is kept for a recording if `recorded`.
    pub(super) fn contents(&self, recorded: bool) -> Disks {
        Disks::of_images(&self.infos, &self.images, recorded)
    }

    /// Writes back what the guest has written, where that was asked for.
    pub(super) fn commit(&self, contents: &Disks) -> anyhow::Result<()> {
        for (n, (arg, image)) in self.args.iter().zip(&self.images).enumerate() {
            let Some(written) = contents.written(n).filter(|_| arg.commit) else { continue };
            let mut said = 0;
            image.commit(written, &mut |done, total| {
                let tenth = done * 10 / total;
                if tenth > said && total > 4096 {
                    tell!("rrvmm: {} of {total} blocks written to {}", done, arg.path.display());
                }
                said = tenth;
            })?;
            tell!("rrvmm: {} blocks written to {}", written.iter().count(), arg.path.display());
        }
        Ok(())
    }
}

/// Where drives go: hard disks on the first channel, CD-ROM drives on the second, the rest wherever there is room.
fn ide_drives(wanted: &[(bool, AtaDrive)]) -> anyhow::Result<Drives> {
    let mut drives = [None; 4];
    for (cdrom, drive) in wanted {
        let places = if *cdrom { [2, 3, 1, 0] } else { [0, 1, 3, 2] };
        let free = places.into_iter().find(|place| drives[*place].is_none());
        let place =
            free.context("there is room for four drives behind if=ide; use if=ahci or if=virtio for more")?;
        drives[place] = Some(*drive);
    }
    Ok(drives)
}

/// The images of `args`, opened for a recording that does not have everything itself.
pub(super) fn images(args: &[DiskArg]) -> anyhow::Result<Vec<Arc<Image>>> {
    args.iter().map(|arg| Ok(Arc::new(Image::open(&arg.path, arg.format)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_understood() {
        let plain = disk("a,,b.img").unwrap();
        assert_eq!((plain.path, plain.interface), ("a,b.img".into(), Interface::Virtio));
        let all = disk("x,format=qcow2,if=ahci,ro").unwrap();
        assert_eq!((all.format, all.interface, all.read_only), (Some(Format::Qcow2), Interface::Ahci, true));
        let disc = cdrom("x.iso").unwrap();
        assert_eq!((disc.cdrom, disc.read_only, disc.interface), (true, true, Interface::Ide));
        for bad in ["", ",ro", "x,if=scsi", "x,ro,commit", "x,media=cdrom,if=virtio"] {
            assert!(disk(bad).is_err(), "{bad}");
        }
    }
}
