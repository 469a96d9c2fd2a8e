//! The setup header of a bzImage and the zero page it becomes part of.
//! (Linux Documentation/arch/x86/boot.rst and zero-page.rst; offsets are theirs.)

use super::LoadError;
use rrvmm_devices::pc::MemoryRegion;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Offset of the header in the file and in the zero page.
pub(super) const HEADER_OFFSET: usize = 0x1F1;
/// End of the room for the header in the zero page.
const HEADER_ROOM_END: usize = 0x290;
const BOOT_FLAG: u16 = 0xAA55;
const MAGIC: [u8; 4] = *b"HdrS";
const LOADED_HIGH: u8 = 1 << 0;
const XLF_KERNEL_64: u16 = 1 << 0;

/// The header's fields, named as in boot.rst; a field counts only from the protocol version on that brought it.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SetupHeader {
    pub setup_sects: u8,
    pub root_flags: U16,
    pub syssize: U32,
    pub ram_size: U16,
    pub vid_mode: U16,
    pub root_dev: U16,
    pub boot_flag: U16,
    pub jump: [u8; 2],
    pub header: [u8; 4],
    pub version: U16,
    pub realmode_swtch: U32,
    pub start_sys_seg: U16,
    pub kernel_version: U16,
    pub type_of_loader: u8,
    pub loadflags: u8,
    pub setup_move_size: U16,
    pub code32_start: U32,
    pub ramdisk_image: U32,
    pub ramdisk_size: U32,
    pub bootsect_kludge: U32,
    pub heap_end_ptr: U16,
    pub ext_loader_ver: u8,
    pub ext_loader_type: u8,
    pub cmd_line_ptr: U32,
    pub initrd_addr_max: U32,
    pub kernel_alignment: U32,
    pub relocatable_kernel: u8,
    pub min_alignment: u8,
    pub xloadflags: U16,
    pub cmdline_size: U32,
    pub hardware_subarch: U32,
    pub hardware_subarch_data: U64,
    pub payload_offset: U32,
    pub payload_length: U32,
    pub setup_data: U64,
    pub pref_address: U64,
    pub init_size: U32,
    pub handover_offset: U32,
    pub kernel_info_offset: U32,
}

impl SetupHeader {
    /// The header of `kernel`, if there is one.
    ///
    /// Bytes behind the end that the header itself states (its length is the jump's displacement at 0x201) are code,
    /// and read as zero.
    pub(super) fn read(kernel: &[u8]) -> Option<Self> {
        let end = 0x202 + usize::from(*kernel.get(0x201)?);
        let stated = kernel.get(HEADER_OFFSET..end.min(HEADER_ROOM_END).min(kernel.len()))?;
        let mut bytes = [0; size_of::<Self>()];
        let length = stated.len().min(bytes.len());
        bytes[..length].copy_from_slice(&stated[..length]);
        let header = Self::read_from_bytes(&bytes).ok()?;
        (header.boot_flag.get() == BOOT_FLAG && header.header == MAGIC).then_some(header)
    }

    pub(super) fn check_version(&self) -> Result<(), LoadError> {
        let version = self.version.get();
        if version < 0x202 || self.loadflags & LOADED_HIGH == 0 {
            return Err(LoadError::ProtocolTooOld(version));
        }
        Ok(())
    }

    fn since<T>(&self, version: u16, value: T, before: T) -> T {
        if self.version.get() >= version { value } else { before }
    }

    /// Bytes of the real-mode part in front of the kernel proper.
    pub(super) fn setup_size(&self) -> usize {
        let sectors = if self.setup_sects == 0 { 4 } else { self.setup_sects };
        (usize::from(sectors) + 1) * 512
    }

    /// Bytes of the kernel proper, rounded up to 16; 0 if the header does not say.
    pub(super) fn system_size(&self) -> u64 {
        u64::from(self.since(0x204, self.syssize.get(), 0)) * 16
    }

    pub(super) fn has_64_bit_entry(&self) -> bool {
        self.since(0x20C, self.xloadflags.get() & XLF_KERNEL_64 != 0, false)
    }

    /// Where the kernel likes to be loaded best.
    pub(super) fn load_address(&self) -> u64 {
        let relocatable = self.since(0x205, self.relocatable_kernel != 0, false);
        let preferred = self.since(0x20A, self.pref_address.get(), 0);
        if relocatable && preferred != 0 { preferred } else { u64::from(self.code32_start.get()) }
    }

    /// Bytes the kernel writes to from its load address on before it reads the memory map; 0 if it does not say.
    pub(super) fn init_size(&self) -> u64 {
        u64::from(self.since(0x20A, self.init_size.get(), 0))
    }

    /// Address after the last one an initrd may occupy.
    pub(super) fn initrd_limit(&self) -> u64 {
        u64::from(self.since(0x203, self.initrd_addr_max.get(), 0x37FF_FFFF)) + 1
    }

    /// Bytes of command line the kernel reads, the NUL not counted.
    pub(super) fn cmdline_limit(&self) -> usize {
        self.since(0x206, self.cmdline_size.get() as usize, 255)
    }

    /// Version from which the zero page has a field for the ACPI root pointer; older kernels search for it.
    pub(super) fn takes_rsdp(&self) -> bool {
        self.version.get() >= 0x20E
    }
}

/// The zero page with this header, memory map, amount of RAM below 4 GiB and ACPI root pointer.
pub(super) fn zero_page(header: &SetupHeader, map: &[MemoryRegion], low_ram: u64, rsdp: u64) -> [u8; 4096] {
    const ACPI_RSDP_ADDR: usize = 0x70;
    const ALT_MEM_K: usize = 0x1E0;
    const E820_ENTRIES: usize = 0x1E8;
    const E820_TABLE: usize = 0x2D0;
    const E820_MAX: usize = 128;
    const ENTRY: usize = 20;

    let mut page = [0; 4096];
    // struct screen_info: the display adapter is a VGA in mode 3, 80 by 25 characters of 16 lines.
    for (at, value) in [(0x06, 3), (0x07, 80), (0x0a, 3), (0x0e, 25), (0x0f, 1), (0x10, 16)] {
        page[at] = value;
    }
    page[HEADER_OFFSET..HEADER_OFFSET + size_of::<SetupHeader>()].copy_from_slice(header.as_bytes());
    if header.takes_rsdp() {
        page[ACPI_RSDP_ADDR..ACPI_RSDP_ADDR + 8].copy_from_slice(&rsdp.to_le_bytes());
    }
    let above_one_mib = (low_ram.saturating_sub(1 << 20) >> 10) as u32;
    page[ALT_MEM_K..ALT_MEM_K + 4].copy_from_slice(&above_one_mib.to_le_bytes());
    let rows = map.iter().take(E820_MAX);
    page[E820_ENTRIES] = rows.len() as u8;
    for (entry, slot) in rows.zip(page[E820_TABLE..].chunks_exact_mut(ENTRY)) {
        slot[..8].copy_from_slice(&entry.start.to_le_bytes());
        slot[8..16].copy_from_slice(&entry.len.to_le_bytes());
        slot[16..].copy_from_slice(&entry.kind.e820().to_le_bytes());
    }
    page
}

impl Default for SetupHeader {
    fn default() -> Self {
        Self::new_zeroed()
    }
}
