//! Reads the files a machine is started with.

use super::args::MachineArgs;
use anyhow::{Context, ensure};
use rrvmm::loader::{BootSource, Module};
use std::fs::File;
use std::io::Read;
use std::path::Path;

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
        modules: modules.collect::<anyhow::Result<_>>()?,
    })
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
