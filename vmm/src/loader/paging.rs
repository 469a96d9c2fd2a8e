//! The descriptor table and page tables a kernel is entered with.

use super::{DescriptorTable, LoadError, Segment, place::Placement};

const PRESENT_WRITABLE: u64 = 0b11;
const LARGE_PAGE: u64 = 1 << 7;

/// Writes a table with null descriptors at 0 and 8 and `segments` from 0x10 on.
pub(super) fn write_gdt(
    place: &mut Placement<'_>,
    segments: &[Segment],
) -> Result<DescriptorTable, LoadError> {
    let descriptors: Vec<u8> = [0, 0]
        .into_iter()
        .chain(segments.iter().map(Segment::descriptor))
        .flat_map(u64::to_le_bytes)
        .collect();
    let base = place.write_low("the descriptor table", &descriptors, 8)?;
    Ok(DescriptorTable { base, limit: (descriptors.len() - 1) as u16 })
}

/// Writes 4-level page tables that map the first 4 GiB to themselves with 2 MiB pages; returns the value for CR3.
pub(super) fn write_identity_map(place: &mut Placement<'_>) -> Result<u64, LoadError> {
    const DIRECTORIES: u64 = 4;
    let base = place.write_low("the page tables", &vec![0; 0x1000 * (2 + DIRECTORIES as usize)], 0x1000)?;
    let pointers = base + 0x1000;
    let directory = |n: u64| base + 0x2000 + n * 0x1000;
    place.fill(base, &(pointers | PRESENT_WRITABLE).to_le_bytes())?;
    let table: Vec<u8> =
        (0..DIRECTORIES).flat_map(|n| (directory(n) | PRESENT_WRITABLE).to_le_bytes()).collect();
    place.fill(pointers, &table)?;
    let pages: Vec<u8> = (0..DIRECTORIES * 512)
        .flat_map(|n| (n << 21 | PRESENT_WRITABLE | LARGE_PAGE).to_le_bytes())
        .collect();
    place.fill(directory(0), &pages)?;
    Ok(base)
}
