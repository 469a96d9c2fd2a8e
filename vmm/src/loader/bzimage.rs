//! bzImage: the 64-bit boot protocol where the kernel has it, the 32-bit one otherwise.
//! (Linux Documentation/arch/x86/boot.rst.)

use super::setup_header::{SetupHeader, zero_page};
use super::{Boot, EntryState, LoadError, Segment, paging, video};
use rrvmm_devices::pc::FRAME_BUFFER_BASE;

/// Loader type "undefined", as boot.rst wants from loaders without a number of their own.
const UNDEFINED_LOADER: u8 = 0xFF;
/// The 64-bit entry point is this far behind the load address.
const ENTRY_64: u64 = 0x200;

pub(super) fn is_bzimage(kernel: &[u8]) -> bool {
    SetupHeader::read(kernel).is_some()
}

pub(super) fn load(boot: &mut Boot<'_>, kernel: &[u8]) -> Result<EntryState, LoadError> {
    let Some(mut header) = SetupHeader::read(kernel) else {
        return Err(LoadError::Damaged("no setup header".into()));
    };
    header.check_version()?;
    if !boot.source.modules.is_empty() {
        return Err(LoadError::ModulesForBzImage);
    }
    let cmdline = &boot.source.cmdline;
    if cmdline.len() > header.cmdline_limit() {
        return Err(LoadError::CmdlineTooLong { have: cmdline.len(), limit: header.cmdline_limit() });
    }
    let system = system_part(kernel, &header)?;
    let load_address = header.load_address();
    let size = header.init_size().max(system.len() as u64);
    boot.place.claim("the kernel with its working space", load_address, size)?;
    boot.place.fill(load_address, system)?;
    let Ok(load_32) = u32::try_from(load_address) else {
        return Err(LoadError::Damaged(format!("it wants to be loaded at {load_address:#x}").into()));
    };

    header.type_of_loader = UNDEFINED_LOADER;
    header.code32_start = load_32.into();
    header.cmd_line_ptr = (boot.place_text("the command line", cmdline)? as u32).into();
    if let Some(initrd) = &boot.source.initrd {
        let address = boot.place.write_before("the initrd", initrd, header.initrd_limit())?;
        header.ramdisk_image = (address as u32).into();
        header.ramdisk_size = (initrd.len() as u32).into();
    }
    let low_ram = boot.place.memory().low_ram().end;
    if let Some(mode) = &boot.mode {
        header.vid_mode = mode.number.into();
    }
    let mut page = zero_page(&header, &boot.map, low_ram, boot.rsdp);
    if let Some(mode) = &boot.mode {
        video::describe(&mut page, mode, FRAME_BUFFER_BASE);
    }
    let rsi = boot.place.write_low("the zero page", &page, 0x1000)?;
    let state = if header.has_64_bit_entry() {
        let cr3 = paging::write_identity_map(&mut boot.place)?;
        let gdt = gdt(boot, Segment::CODE_64)?;
        EntryState::long(load_address + ENTRY_64, cr3, gdt)
    } else {
        EntryState::protected(load_32, gdt(boot, Segment::CODE_32)?)
    };
    Ok(EntryState { rsi, ..state })
}

fn gdt(boot: &mut Boot<'_>, code: u16) -> Result<super::DescriptorTable, LoadError> {
    paging::write_gdt(&mut boot.place, &[Segment::flat(0x10, code), Segment::flat(0x18, Segment::DATA_32)])
}

/// The part of the file that is loaded. The stated size is rounded up to 16, so a file may end up to 15 bytes early;
/// behind it may be a signature.
fn system_part<'k>(kernel: &'k [u8], header: &SetupHeader) -> Result<&'k [u8], LoadError> {
    let have = kernel.len() as u64;
    let truncated = |what, needed| LoadError::Truncated { what, needed, have };
    let setup = header.setup_size();
    let rest = kernel
        .get(setup..)
        .filter(|rest| !rest.is_empty())
        .ok_or_else(|| truncated("the real-mode part (setup_sects)", setup as u64 + 1))?;
    let size = header.system_size();
    if rest.len() as u64 + 15 < size {
        return Err(truncated("the protected-mode part (syssize)", setup as u64 + size));
    }
    if size == 0 {
        return Ok(rest);
    }
    Ok(&rest[..rest.len().min(size as usize)])
}
