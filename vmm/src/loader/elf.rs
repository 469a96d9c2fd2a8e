//! ELF images for i386 and x86-64: segments to load, entry point, PVH note.

use super::{LoadError, place::Placement};
use object::elf::{EM_386, EM_X86_64, FileHeader32, FileHeader64, NoteType, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

/// Type of the note `Xen` that holds the 32-bit physical entry point
/// (`XEN_ELFNOTE_PHYS32_ENTRY`, Xen public/elfnote.h).
const PHYS32_ENTRY: NoteType = NoteType(18);

/// One segment to load.
pub(super) struct LoadSegment<'k> {
    /// Physical address.
    pub address: u64,
    /// Bytes from the file.
    pub bytes: &'k [u8],
    /// Bytes in memory, zeroes behind the file's.
    pub size: u64,
    /// Virtual address, to turn a virtual entry point into a physical one.
    virtual_address: u64,
}

/// What a loader needs to know of an ELF image.
pub(super) struct ElfImage<'k> {
    /// Segments in file order.
    pub segments: Vec<LoadSegment<'k>>,
    /// Physical entry point.
    pub entry: u64,
    /// Entry point by the PVH note.
    pub pvh_entry: Option<u64>,
}

pub(super) fn is_elf(kernel: &[u8]) -> bool {
    kernel.starts_with(&object::elf::ELFMAG)
}

impl<'k> ElfImage<'k> {
    pub(super) fn parse(kernel: &'k [u8]) -> Result<Self, LoadError> {
        match FileKind::parse(kernel) {
            Ok(FileKind::Elf32) => Self::parse_class::<FileHeader32<Endianness>>(kernel),
            Ok(FileKind::Elf64) => Self::parse_class::<FileHeader64<Endianness>>(kernel),
            Ok(_) | Err(_) => Err(LoadError::Damaged("its ELF header is not one".into())),
        }
    }

    fn parse_class<H: FileHeader<Endian = Endianness>>(kernel: &'k [u8]) -> Result<Self, LoadError> {
        let damaged = |error: object::Error| LoadError::Damaged(error.to_string().into());
        let header = H::parse(kernel).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        let machine = header.e_machine(endian);
        if machine != EM_386 && machine != EM_X86_64 || endian != Endianness::Little {
            return Err(LoadError::WrongMachine(machine.0));
        }
        let programs = header.program_headers(endian, kernel).map_err(|_| LoadError::Truncated {
            what: "the program header table",
            needed: header
                .e_phoff(endian)
                .into()
                .saturating_add(u64::from(header.e_phnum(endian)) * u64::from(header.e_phentsize(endian))),
            have: kernel.len() as u64,
        })?;
        let mut segments = Vec::new();
        let mut pvh_entry = None;
        for program in programs {
            if program.p_type(endian) == PT_LOAD {
                segments.push(LoadSegment::read(program, endian, kernel)?);
            } else if program.p_type(endian) == PT_NOTE {
                pvh_entry = pvh_entry.or(find_pvh_entry(program, endian, kernel));
            }
        }
        segments.retain(|segment| segment.size != 0);
        if segments.is_empty() {
            return Err(LoadError::Damaged("the ELF image has nothing to load".into()));
        }
        let entry = physical(&segments, header.e_entry(endian).into());
        Ok(Self { segments, entry, pvh_entry })
    }

    /// Writes all segments; returns the address after the highest.
    pub(super) fn write(&self, place: &mut Placement<'_>) -> Result<u64, LoadError> {
        let mut end = 0;
        for segment in &self.segments {
            place.claim("a segment of the kernel", segment.address, segment.size)?;
            place.fill(segment.address, segment.bytes)?;
            end = end.max(segment.address + segment.size);
        }
        Ok(end)
    }
}

impl<'k> LoadSegment<'k> {
    fn read<P: ProgramHeader<Endian = Endianness>>(
        program: &P,
        endian: Endianness,
        kernel: &'k [u8],
    ) -> Result<Self, LoadError> {
        let (offset, file_size): (u64, u64) =
            (program.p_offset(endian).into(), program.p_filesz(endian).into());
        let bytes = program.data(endian, kernel).map_err(|()| LoadError::Truncated {
            what: "a segment",
            needed: offset.saturating_add(file_size),
            have: kernel.len() as u64,
        })?;
        let size: u64 = program.p_memsz(endian).into();
        if size < file_size {
            return Err(LoadError::Damaged("a segment is smaller in memory than in the file".into()));
        }
        Ok(Self {
            address: program.p_paddr(endian).into(),
            bytes,
            size,
            virtual_address: program.p_vaddr(endian).into(),
        })
    }
}

/// `entry` may be virtual, as in kernels that live in the upper half; then it lies in some segment's virtual range.
fn physical(segments: &[LoadSegment<'_>], entry: u64) -> u64 {
    segments
        .iter()
        .find_map(|segment| {
            let offset = entry.checked_sub(segment.virtual_address)?;
            (offset < segment.size).then(|| segment.address.wrapping_add(offset))
        })
        .unwrap_or(entry)
}

fn find_pvh_entry<P: ProgramHeader<Endian = Endianness>>(
    program: &P,
    endian: Endianness,
    kernel: &[u8],
) -> Option<u64> {
    let mut notes = program.notes(endian, kernel).ok()??;
    while let Ok(Some(note)) = notes.next() {
        if note.name() == b"Xen" && note.n_type(endian) == PHYS32_ENTRY {
            let mut entry = [0; 8];
            let length = note.desc().len().min(8);
            entry[..length].copy_from_slice(&note.desc()[..length]);
            return Some(u64::from_le_bytes(entry));
        }
    }
    None
}
