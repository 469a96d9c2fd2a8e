//! Puts a boot source into guest memory and says in which state the CPU starts it.
//!
//! A source is bytes, not paths: in a replay they come out of the recording. Nothing here reads the host.
//!
//! | source | recognised by | entry |
//! |---|---|---|
//! | bzImage | `HdrS` at 0x202 | 64-bit boot protocol if the kernel has it, else 32-bit ([`bzimage`]) |
//! | Multiboot | Multiboot 1 header in the first 8 KiB | 32-bit ([`multiboot`]) |
//! | ELF with a PVH note | note `Xen`, type 18 | 32-bit ([`pvh`]) |
//! | firmware | `--bios` | reset vector |

mod bios_data;
mod bzimage;
mod elf;
mod entry;
mod error;
mod firmware;
mod multiboot;
mod paging;
mod place;
mod pvh;
mod setup_header;
mod video;

pub use entry::{DescriptorTable, EntryMode, EntryState, Segment};
pub use error::LoadError;
pub use firmware::{FIRMWARE_SHADOW, firmware_window};
pub use video::video_mode;

use crate::memory::GuestMemory;
use place::Placement;
use rrvmm_devices::acpi::AcpiTables;
use rrvmm_devices::pc::{MemoryRegion, VideoMode, memory_map};
use rrvmm_devices::{PcConfig, acpi};

/// What the machine starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootSource {
    /// Kernel image (bzImage, Multiboot or PVH ELF).
    pub kernel: Option<Vec<u8>>,
    /// Initial ramdisk for a Linux kernel.
    pub initrd: Option<Vec<u8>>,
    /// Kernel command line; empty if none.
    pub cmdline: String,
    /// Raw firmware image instead of a kernel.
    pub bios: Option<Vec<u8>>,
    /// The display adapter's video BIOS, for the firmware to find.
    pub vga_bios: Option<Vec<u8>>,
    /// Multiboot or PVH modules, in order.
    pub modules: Vec<Module>,
}

/// One module of a Multiboot or PVH kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its contents.
    pub bytes: Vec<u8>,
    /// The text that goes with it.
    pub cmdline: String,
}

/// Writes `source` into zeroed `memory`; a kernel also finds the ACPI tables and the memory map of the board `config`.
///
/// A firmware image is only checked: it belongs at [`firmware_window`], not into RAM.
///
/// # Errors
/// [`LoadError`] if the source is not bootable, is damaged, or does not fit; `memory` is then of no use.
pub fn load(memory: &GuestMemory, source: &BootSource, config: &PcConfig) -> Result<EntryState, LoadError> {
    match (&source.bios, &source.kernel) {
        (None, None) => Err(LoadError::Nothing),
        (Some(_), Some(_)) => Err(LoadError::BiosAndKernel),
        (Some(image), None) => firmware::check(source, image),
        (None, Some(kernel)) => load_kernel(memory, source, kernel, config),
    }
}

fn load_kernel(
    memory: &GuestMemory,
    source: &BootSource,
    kernel: &[u8],
    config: &PcConfig,
) -> Result<EntryState, LoadError> {
    if source.initrd.as_ref().is_some_and(Vec::is_empty) {
        return Err(LoadError::EmptyInitrd);
    }
    if source.cmdline.contains('\0') || source.modules.iter().any(|module| module.cmdline.contains('\0')) {
        return Err(LoadError::NulInCmdline);
    }
    let mut place = Placement::new(memory);
    bios_data::write(&mut place)?;
    let AcpiTables { rsdp, blobs } = acpi::tables(config);
    for (address, bytes) in &blobs {
        place.write_at("the ACPI tables", *address, bytes)?;
    }
    let mut boot = Boot { place, source, map: memory_map(config), rsdp, mode: config.display.mode };
    if bzimage::is_bzimage(kernel) {
        bzimage::load(&mut boot, kernel)
    } else if let Some(header) = multiboot::find_header(kernel) {
        multiboot::load(&mut boot, kernel, &header)
    } else if elf::is_elf(kernel) {
        pvh::load(&mut boot, kernel)
    } else {
        Err(LoadError::NotAKernel(error::describe(kernel)))
    }
}

/// What every kernel loader works with.
struct Boot<'a> {
    place: Placement<'a>,
    source: &'a BootSource,
    map: Vec<MemoryRegion>,
    rsdp: u64,
    mode: Option<VideoMode>,
}

impl Boot<'_> {
    /// Writes `text` with its terminating NUL into low memory and returns its address.
    fn place_text(&mut self, name: &'static str, text: &str) -> Result<u64, LoadError> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.place.write_low(name, &bytes, 16)
    }
}

#[cfg(test)]
mod tests;
