//! Reads the files a machine is started with.

use super::args::MachineArgs;
use anyhow::{Context, ensure};
use rrvmm::loader::{BootSource, Module};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Name of the display adapter's video BIOS, as Debian's package seabios has it.
const VGA_BIOS: &str = "vgabios-stdvga.bin";
/// Most bytes of one.
const MOST_VGA_BIOS: usize = 1 << 20;

/// Reads every file that `args` names.
pub(super) fn read(args: &MachineArgs) -> anyhow::Result<BootSource> {
    let file = |what, path: &Path| read_file(what, path, args.memory);
    let optional = |what, path: &Option<_>| path.as_deref().map(|path| file(what, path)).transpose();
    let modules = args.modules.iter().map(|module| {
        let bytes = file("module", &module.path)?;
        let name = || module.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        anyhow::Ok(Module { bytes, cmdline: module.cmdline.clone().unwrap_or_else(name) })
    });
    Ok(BootSource {
        kernel: optional("kernel", &args.kernel)?,
        initrd: optional("initrd", &args.initrd)?,
        cmdline: args.cmdline.clone(),
        bios: optional("firmware image", &args.bios)?,
        vga_bios: vga_bios(args)?,
        modules: modules.collect::<anyhow::Result<_>>()?,
    })
}

/// The video BIOS: the one asked for, or the one that lies beside the firmware.
fn vga_bios(args: &MachineArgs) -> anyhow::Result<Option<Vec<u8>>> {
    let path = match (&args.vga_bios, &args.bios) {
        (Some(path), Some(_)) => path.clone(),
        (Some(_), None) => anyhow::bail!("--vga-bios is for firmware to start: give --bios too"),
        (None, Some(bios)) => bios.with_file_name(VGA_BIOS),
        (None, None) => return Ok(None),
    };
    if args.vga_bios.is_none() && !path.is_file() {
        return Ok(None);
    }
    let bytes = read_file("video BIOS", &path, args.memory)?;
    ensure!(
        bytes.len() <= MOST_VGA_BIOS && bytes.starts_with(&[0x55, 0xaa]),
        "{} is no video BIOS: it is larger than 1 MiB or does not begin with 55 AA",
        path.display()
    );
    Ok(Some(bytes))
}

/// Reads a file, but never more than fits into the guest anyway.
fn read_file(what: &str, path: &Path, memory: u64) -> anyhow::Result<Vec<u8>> {
    let failed =
        || format!("cannot read the {what} {}; give a file that exists and can be read", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .with_context(failed)?
        .take(memory.saturating_add(1))
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    ensure!(
        bytes.len() as u64 <= memory,
        "the {what} {} is larger than the guest's memory; give more with --memory",
        path.display()
    );
    Ok(bytes)
}
