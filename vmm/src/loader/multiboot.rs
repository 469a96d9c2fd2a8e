//! Multiboot 1: a 32-bit image, ELF or described by addresses in its header, with modules.
//! (Multiboot Specification version 0.6.96.)

use super::bios_data::EBDA;
use super::elf::{ElfImage, is_elf};
use super::{Boot, EntryState, LoadError, Segment, paging};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

const HEADER_MAGIC: u32 = 0x1BAD_B002;
/// What EAX holds at the entry.
const LOADER_MAGIC: u64 = 0x2BAD_B002;
/// The header lies in this many first bytes of the file.
const SEARCH: usize = 8192;
/// Header flag: the address fields are valid.
const HAS_ADDRESSES: u32 = 1 << 16;
/// Header flags that must be understood, less the known ones (page-aligned modules, memory sizes, video mode).
const UNKNOWN_DEMANDS: u32 = 0xFFF8;
const LOADER_NAME: &str = "rrvmm";

/// Flags of [`Info`] for the fields that are filled in.
mod valid {
    pub(super) const MEMORY: u32 = 1 << 0;
    pub(super) const CMDLINE: u32 = 1 << 2;
    pub(super) const MODULES: u32 = 1 << 3;
    pub(super) const MAP: u32 = 1 << 6;
    pub(super) const LOADER_NAME: u32 = 1 << 9;
}

#[derive(Clone, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    flags: U32,
    checksum: U32,
    header_addr: U32,
    load_addr: U32,
    load_end_addr: U32,
    bss_end_addr: U32,
    entry_addr: U32,
}

/// A Multiboot header and where in the file it was found.
pub(super) struct Header {
    raw: RawHeader,
    offset: usize,
}

#[derive(FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Info {
    flags: U32,
    mem_lower: U32,
    mem_upper: U32,
    boot_device: U32,
    cmdline: U32,
    mods_count: U32,
    mods_addr: U32,
    syms: [U32; 4],
    mmap_length: U32,
    mmap_addr: U32,
    drives_length: U32,
    drives_addr: U32,
    config_table: U32,
    boot_loader_name: U32,
    apm_table: U32,
    video: [u8; 44],
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ModuleEntry {
    start: U32,
    end: U32,
    string: U32,
    reserved: U32,
}

/// Finds a header with a valid checksum, on a 4-byte boundary.
pub(super) fn find_header(kernel: &[u8]) -> Option<Header> {
    let searched = &kernel[..kernel.len().min(SEARCH)];
    (0..searched.len().saturating_sub(11)).step_by(4).find_map(|offset| {
        // The address fields may be missing, and then may lie behind the end of the file.
        let mut bytes = [0; size_of::<RawHeader>()];
        let rest = &kernel[offset..];
        let length = rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&rest[..length]);
        let raw = RawHeader::read_from_bytes(&bytes).ok()?;
        let sum = raw.magic.get().wrapping_add(raw.flags.get()).wrapping_add(raw.checksum.get());
        (raw.magic.get() == HEADER_MAGIC && sum == 0).then_some(Header { raw, offset })
    })
}

pub(super) fn load(boot: &mut Boot<'_>, kernel: &[u8], header: &Header) -> Result<EntryState, LoadError> {
    let flags = header.raw.flags.get();
    if flags & UNKNOWN_DEMANDS != 0 {
        return Err(LoadError::MultibootFlags(flags));
    }
    let source = boot.source;
    if source.initrd.is_some() {
        return Err(LoadError::InitrdForMultiboot);
    }
    let (entry, end) = if flags & HAS_ADDRESSES != 0 {
        load_by_addresses(boot, kernel, header)?
    } else if is_elf(kernel) {
        let image = ElfImage::parse(kernel)?;
        (image.entry, image.write(&mut boot.place)?)
    } else {
        return Err(LoadError::Damaged(
            "its Multiboot header has no addresses, and it is no ELF image".into(),
        ));
    };
    let entry = u32::try_from(entry)
        .map_err(|_| LoadError::Damaged(format!("its entry point {entry:#x} is above 4 GiB").into()))?;
    let rbx = write_info(boot, end)?;
    let gdt = paging::write_gdt(
        &mut boot.place,
        &[Segment::flat(0x10, Segment::CODE_32), Segment::flat(0x18, Segment::DATA_32)],
    )?;
    Ok(EntryState { rax: LOADER_MAGIC, rbx, ..EntryState::protected(entry, gdt) })
}

/// Loads by the header's address fields; returns the entry point and the address after the last byte.
fn load_by_addresses(boot: &mut Boot<'_>, kernel: &[u8], header: &Header) -> Result<(u64, u64), LoadError> {
    let raw = &header.raw;
    let damaged = |what| LoadError::Damaged(format!("its Multiboot {what}").into());
    let load = raw.load_addr.get();
    let before_header = raw
        .header_addr
        .get()
        .checked_sub(load)
        .ok_or_else(|| damaged("header lies before its load address"))?;
    let start = header
        .offset
        .checked_sub(before_header as usize)
        .ok_or_else(|| damaged("load address lies before the start of the file"))?;
    let end = if raw.load_end_addr.get() == 0 {
        kernel.len()
    } else {
        let size = raw.load_end_addr.get().checked_sub(load);
        start + size.ok_or_else(|| damaged("end lies before its load address"))? as usize
    };
    let bytes = kernel.get(start..end).ok_or(LoadError::Truncated {
        what: "the part between the Multiboot load addresses",
        needed: end as u64,
        have: kernel.len() as u64,
    })?;
    let bss_end = u64::from(raw.bss_end_addr.get());
    let loaded_end = u64::from(load) + bytes.len() as u64;
    let image_end = bss_end.max(loaded_end);
    boot.place.claim("the kernel", load.into(), image_end - u64::from(load))?;
    boot.place.fill(load.into(), bytes)?;
    Ok((raw.entry_addr.get().into(), image_end))
}

/// Writes modules, texts, memory map and the information structure; returns the structure's address.
fn write_info(boot: &mut Boot<'_>, kernel_end: u64) -> Result<u64, LoadError> {
    let modules = write_modules(boot, kernel_end)?;
    let rows: Vec<u8> = boot
        .map
        .iter()
        .flat_map(|row| {
            // A row starts with its own length, which does not count itself.
            let mut bytes = 20u32.to_le_bytes().to_vec();
            bytes.extend(row.start.to_le_bytes());
            bytes.extend(row.len.to_le_bytes());
            bytes.extend(row.kind.e820().to_le_bytes());
            bytes
        })
        .collect();
    let low_ram = boot.place.memory().low_ram().end;
    let info = Info {
        flags: (valid::MEMORY | valid::CMDLINE | valid::MODULES | valid::MAP | valid::LOADER_NAME).into(),
        mem_lower: ((EBDA >> 10) as u32).into(),
        mem_upper: ((low_ram.saturating_sub(1 << 20) >> 10) as u32).into(),
        cmdline: (boot.place_text("the command line", &boot.source.cmdline)? as u32).into(),
        mods_count: (modules.len() as u32).into(),
        mods_addr: (boot.place.write_low("the module list", modules.as_bytes(), 16)? as u32).into(),
        mmap_length: (rows.len() as u32).into(),
        mmap_addr: (boot.place.write_low("the memory map", &rows, 16)? as u32).into(),
        boot_loader_name: (boot.place_text("the loader's name", LOADER_NAME)? as u32).into(),
        ..Info::new_zeroed()
    };
    boot.place.write_low("the Multiboot information", info.as_bytes(), 16)
}

fn write_modules(boot: &mut Boot<'_>, kernel_end: u64) -> Result<Vec<ModuleEntry>, LoadError> {
    let source = boot.source;
    let mut entries = Vec::new();
    let mut next = kernel_end;
    for (index, module) in source.modules.iter().enumerate() {
        let start = boot.place.write_after(format!("module {}", index + 1), &module.bytes, next)?;
        let end = start + module.bytes.len() as u64;
        let string = boot.place_text("a module's command line", &module.cmdline)?;
        entries.push(ModuleEntry {
            start: (start as u32).into(),
            end: (end as u32).into(),
            string: (string as u32).into(),
            reserved: 0.into(),
        });
        next = end;
    }
    Ok(entries)
}
