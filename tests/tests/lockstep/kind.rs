//! The modes that programs run in, and where things are in memory.

use rrvmm_tcg::{
    phys::{Backing, Window},
    x86::state::{Segment, System, TableRegister, bits, seg},
};

/// Bytes of RAM.
pub const RAM: u64 = 0x30000;
/// Physical address of the code.
pub const CODE: u64 = 0x10000;
/// Bytes of code.
pub const CODE_LEN: u64 = 0x8000;
const CODE_END: u64 = CODE + CODE_LEN;
/// Physical address of the data: sixteen pages of many sorts (see [`pages`]), the stack among them.
pub const DATA: u64 = 0x20000;
/// Offset in the data of addresses to jump to.
pub const JUMPS: u64 = 0xc000;
/// Entries there.
pub const JUMPS_LEN: u64 = 16;
/// Offset in the data where the stack starts.
pub const STACK: u64 = 0xe800;
/// Where 64-bit programs see everything once more.
pub const HIGH: u64 = 0xffff_ff80_0000_0000;
/// Sixteen bytes a vector, each a HLT.
pub const HANDLERS: u64 = 0x9000;
/// Vectors with a handler.
const VECTORS: u64 = 64;
/// The vector of the interrupt that ends a stretch.
pub const INTERRUPT: u8 = 0x30;

const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const PT: u64 = 0x4000;
const GDT: u64 = 0x6000;
const TSS: u64 = 0x6100;
const IDT: u64 = 0x8000;
const KERNEL_STACK: u64 = 0xf000;
/// A physical page without RAM.
const DEVICE: u64 = 0xa0000;

const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;
const GLOBAL: u64 = 0x100;
const NX: u64 = 1 << 63;

/// What a program runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit mode, ring 3.
    User64,
    /// 64-bit mode, ring 0.
    Kernel64,
    /// Compatibility mode, ring 3, flat segments.
    Flat32,
    /// Compatibility mode, ring 3, segments with bases and limits.
    Based32,
    /// Compatibility mode, ring 3, 16-bit segments.
    User16,
    /// Protected mode without paging, ring 0, 32-bit segments with bases and limits.
    Protected32,
    /// Protected mode without paging, ring 0, 16-bit segments.
    Protected16,
    /// Real mode.
    Real,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::User64,
        Kind::Kernel64,
        Kind::Flat32,
        Kind::Based32,
        Kind::User16,
        Kind::Protected32,
        Kind::Protected16,
        Kind::Real,
    ];

    /// Default code size.
    pub fn bits(self) -> u32 {
        match self {
            Kind::User64 | Kind::Kernel64 => 64,
            Kind::Flat32 | Kind::Based32 | Kind::Protected32 => 32,
            Kind::User16 | Kind::Protected16 | Kind::Real => 16,
        }
    }

    /// Whether segment bases are zero, so that pointers are physical addresses.
    pub fn flat(self) -> bool {
        matches!(self, Kind::User64 | Kind::Kernel64 | Kind::Flat32)
    }

    /// Whether it runs in ring 3.
    pub fn user(self) -> bool {
        matches!(self, Kind::User64 | Kind::Flat32 | Kind::Based32 | Kind::User16)
    }

    /// Whether long mode is active.
    pub fn long(self) -> bool {
        !matches!(self, Kind::Protected32 | Kind::Protected16 | Kind::Real)
    }

    /// The instruction pointer for offset `at` of the code.
    pub fn pc(self, at: u64) -> u64 {
        if self.flat() { CODE + at } else { at }
    }

    /// The pointer to offset `at` of the data.
    pub fn pointer(self, at: u64) -> u64 {
        if self.flat() { DATA + at } else { at }
    }

    /// Device pages in kinds without paging.
    pub fn windows(self) -> Vec<Window> {
        let window = |page: u64| Window {
            start: DATA + page * 4096,
            end: DATA + (page + 1) * 4096,
            read: Backing::Device,
            write: Backing::Device,
        };
        if self.long() { Vec::new() } else { vec![window(8)] }
    }

    /// The system registers that programs of this kind start with. `choice` is sixteen random bits.
    pub fn system(self, choice: u64) -> System {
        let mut s = System::reset();
        s.gdtr = TableRegister { base: GDT, limit: 0x7f };
        s.tr = Segment { selector: 0x40, base: TSS, limit: 0x67, attr: 0x8b };
        s.cr0 = bits::CR0_ET | bits::CR0_NE;
        s.cr4 = bits::CR4_OSFXSR | bits::CR4_OSXMMEXCPT;
        if self == Kind::Real {
            s.idtr = TableRegister { base: 0, limit: 0x3ff };
        } else {
            s.cr0 |= bits::CR0_PE | if choice & 1 == 0 { bits::CR0_AM } else { 0 };
            s.idtr = TableRegister { base: IDT, limit: (VECTORS * 16 - 1) as u16 };
        }
        if self.long() {
            s.cr0 |= bits::CR0_PG | if choice & 6 == 0 { 0 } else { bits::CR0_WP };
            s.cr3 = PML4;
            s.cr4 |= bits::CR4_PAE | bits::CR4_PGE;
            s.cr4 |= if choice & 8 == 0 { bits::CR4_SMAP } else { 0 };
            s.efer = bits::EFER_LME | bits::EFER_LMA | bits::EFER_NXE | bits::EFER_SCE;
        }
        s.segs = self.segments();
        s
    }

    fn segments(self) -> [Segment; 6] {
        if self == Kind::Real {
            return [DATA, CODE, DATA, DATA, CODE, DATA + 0x1000].map(|at| Segment::real((at >> 4) as u16));
        }
        let dpl = if self.user() { 3 << 5 } else { 0 };
        let data = Segment::P | Segment::S | Segment::RW | Segment::ACCESSED | dpl;
        let big = match self.bits() {
            64 => Segment::L,
            32 => Segment::DB,
            _ => 0,
        };
        let stack_big = if self.bits() == 16 { 0 } else { Segment::DB };
        let of = |base: u64, attr: u16| {
            let (limit, g) = if self.flat() { (u32::MAX, Segment::G) } else { (0xffff, 0) };
            let base = if self.flat() { 0 } else { base };
            Segment { selector: if self.user() { 0x2b } else { 0x10 }, base, limit, attr: attr | g }
        };
        let mut segs = [of(DATA, data | stack_big); 6];
        segs[seg::CS] = of(CODE, data | Segment::CODE | big);
        segs[seg::CS].selector = if self.user() { 0x1b } else { 0x08 };
        segs[seg::FS] = Segment { base: CODE, ..segs[seg::FS] };
        segs[seg::GS] = Segment { base: DATA + 0x1000, ..segs[seg::GS] };
        if self.bits() == 64 {
            segs[seg::GS].base = HIGH + DATA;
        }
        segs
    }

    /// Everything below the code: tables and handlers, as (address, eight bytes).
    pub fn tables(self) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        for vector in 0..VECTORS {
            let handler = HANDLERS + vector * 16;
            out.push((handler, 0xf4));
            let gate = |kind: u64| handler & 0xffff | 8 << 16 | kind << 32 | (handler >> 16) << 48;
            // INT3, INTO and INT n are the program's to call.
            let dpl = if vector < 3 { 0 } else { 0x6000 };
            if self.long() {
                out.push((IDT + vector * 16, gate(0x8e01 | dpl)));
                out.push((IDT + vector * 16 + 8, 0));
            } else if self != Kind::Real {
                out.push((IDT + vector * 8, gate(0x8e00 | dpl)));
            }
        }
        if self == Kind::Real {
            for vector in (0..VECTORS).step_by(2) {
                let far = |v: u64| ((HANDLERS >> 4) << 16) | (v * 16);
                out.push((vector * 4, far(vector) | far(vector + 1) << 32));
            }
            return out;
        }
        let code = if self.long() { 0x00af_9b00_0000_ffff } else { 0x00cf_9b00_0000_ffff };
        // Without paging nothing but a limit ends a REP with a count of thousands of millions.
        let data = if self.long() { 0x00cf_9300_0000_ffff } else { 0x0040_9302_0000_ffff };
        let user = data | 0x6000 << 32;
        let descriptors: [u64; 7] = [
            code,
            data,
            // Ring 3: flat code and data, data with base and limit, the same read-only.
            0x00cf_fb00_0000_ffff,
            user,
            user,
            0x0040_f302_0000_7fff,
            0x0040_f102_0000_7fff,
        ];
        out.extend(descriptors.iter().zip(1u64..).map(|(&d, n)| (GDT + n * 8, d)));
        out.push((TSS, 0));
        out.push((TSS + 4, KERNEL_STACK));
        // The first interrupt stack: ring 0's own may be anywhere.
        out.push((TSS + 0x24, KERNEL_STACK));
        if self.long() {
            out.extend(pages(self));
        }
        out
    }
}

/// Page tables: identity for the first 192 KiB, and the sorts of data pages.
fn pages(kind: Kind) -> Vec<(u64, u64)> {
    let all = PRESENT | WRITE | USER;
    let mut out = vec![(PML4, PDPT | all), (PML4 + 511 * 8, PDPT | all), (PDPT, PD | all), (PD, PT | all)];
    let owner = if kind.user() { USER } else { 0 };
    for page in 0..RAM >> 12 {
        let at = page << 12;
        let (phys, bits) = match at {
            0..CODE => (at, WRITE),
            CODE..CODE_END => (at, WRITE | owner),
            CODE_END..DATA => continue,
            _ => match (at - DATA) >> 12 {
                1 => (at, WRITE | USER | GLOBAL),
                4 => (at, owner),
                5 | 11 => continue,
                6 => (at, WRITE | (USER ^ owner)),
                7 => (at, WRITE | owner | NX),
                8 => (DEVICE, WRITE | owner),
                9 => (CODE, WRITE | owner),
                10 => (DATA, WRITE | owner),
                _ => (at, WRITE | owner),
            },
        };
        out.push((PT + page * 8, phys | bits | PRESENT));
    }
    out
}
