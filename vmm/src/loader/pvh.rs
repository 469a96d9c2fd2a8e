//! The PVH direct boot protocol: an ELF image entered in 32-bit mode with a pointer to `hvm_start_info` in EBX.
//! (Xen docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h.)

use super::elf::ElfImage;
use super::{Boot, EntryState, LoadError, Segment, paging};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{Immutable, IntoBytes};

const MAGIC: u32 = 0x336E_C578;
/// Version of `hvm_start_info` with a memory map.
const VERSION: u32 = 1;
const TSS_SELECTOR: u16 = 0x20;
const TSS_LIMIT: u32 = 0x67;

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct StartInfo {
    magic: U32,
    version: U32,
    flags: U32,
    nr_modules: U32,
    modlist_paddr: U64,
    cmdline_paddr: U64,
    rsdp_paddr: U64,
    memmap_paddr: U64,
    memmap_entries: U32,
    reserved: U32,
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ModuleEntry {
    paddr: U64,
    size: U64,
    cmdline_paddr: U64,
    reserved: U64,
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct MapEntry {
    addr: U64,
    size: U64,
    kind: U32,
    reserved: U32,
}

pub(super) fn load(boot: &mut Boot<'_>, kernel: &[u8]) -> Result<EntryState, LoadError> {
    let image = ElfImage::parse(kernel)?;
    let entry = image.pvh_entry.ok_or(LoadError::NoEntry)?;
    let entry = u32::try_from(entry)
        .map_err(|_| LoadError::Damaged(format!("its PVH entry point {entry:#x} is above 4 GiB").into()))?;
    image.write(&mut boot.place)?;
    let cmdline = boot.place_text("the command line", &boot.source.cmdline)?;
    let modules = write_modules(boot)?;
    let modlist = if modules.is_empty() {
        0
    } else {
        boot.place.write_low("the module list", modules.as_bytes(), 16)?
    };
    let rows: Vec<MapEntry> = boot
        .map
        .iter()
        .map(|row| MapEntry {
            addr: row.start.into(),
            size: row.len.into(),
            kind: row.kind.e820().into(),
            reserved: 0.into(),
        })
        .collect();
    let info = StartInfo {
        magic: MAGIC.into(),
        version: VERSION.into(),
        flags: 0.into(),
        nr_modules: (modules.len() as u32).into(),
        modlist_paddr: modlist.into(),
        cmdline_paddr: cmdline.into(),
        rsdp_paddr: boot.rsdp.into(),
        memmap_paddr: boot.place.write_low("the memory map", rows.as_bytes(), 16)?.into(),
        memmap_entries: (rows.len() as u32).into(),
        reserved: 0.into(),
    };
    let rbx = boot.place.write_low("the start info", info.as_bytes(), 16)?;
    let task = write_task(boot)?;
    let gdt = paging::write_gdt(
        &mut boot.place,
        &[Segment::flat(0x10, Segment::CODE_32), Segment::flat(0x18, Segment::DATA_32), task],
    )?;
    Ok(EntryState { rbx, task: Some(task), ..EntryState::protected(entry, gdt) })
}

/// The protocol wants a 32-bit task state segment loaded.
fn write_task(boot: &mut Boot<'_>) -> Result<Segment, LoadError> {
    let base = boot.place.write_low("the task state segment", &[0; TSS_LIMIT as usize + 1], 16)?;
    Ok(Segment { selector: TSS_SELECTOR, base, limit: TSS_LIMIT, access: Segment::TSS_32 })
}

/// The initrd is the first module, as Linux expects.
fn write_modules(boot: &mut Boot<'_>) -> Result<Vec<ModuleEntry>, LoadError> {
    let source = boot.source;
    let mut entries = Vec::new();
    if let Some(initrd) = &source.initrd {
        entries.push(module_entry(boot.place.write_before("the initrd", initrd, u64::MAX)?, initrd, 0));
    }
    for module in &source.modules {
        let address = boot.place.write_before("a module", &module.bytes, u64::MAX)?;
        let cmdline = boot.place_text("a module's command line", &module.cmdline)?;
        entries.push(module_entry(address, &module.bytes, cmdline));
    }
    Ok(entries)
}

fn module_entry(paddr: u64, bytes: &[u8], cmdline: u64) -> ModuleEntry {
    ModuleEntry {
        paddr: paddr.into(),
        size: (bytes.len() as u64).into(),
        cmdline_paddr: cmdline.into(),
        reserved: 0.into(),
    }
}
