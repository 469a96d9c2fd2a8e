//! Which registers gdb sees, in which order and width.

use std::sync::OnceLock;

use rrvmm_tcg::x86::state::{bits, seg};

use crate::explore::Explorer;
use crate::loader::BootSource;

/// A description of the target: 64-bit or 32-bit registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `i386:x86-64`.
    Long,
    /// `i386`: for 32- and 16-bit code.
    Legacy,
}

/// A register that gdb sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    /// A general register, by its number in the instruction encoding.
    General(usize),
    Pc,
    Flags,
    /// A selector, by number of the segment register.
    Selector(usize),
    /// ST(i).
    Stack(u8),
    ControlWord,
    StatusWord,
    TagWord,
    InstructionSelector,
    InstructionOffset,
    OperandSelector,
    OperandOffset,
    Opcode,
    Xmm(usize),
    Mxcsr,
    /// A segment base, by number of the segment register.
    Base(usize),
    KernelGsBase,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
    Efer,
}

/// gdb's name for a group of registers that belong together; it knows the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    Core,
    Sse,
    Segments,
    System,
}

impl Feature {
    pub(super) const ALL: [Feature; 4] = [Feature::Core, Feature::Sse, Feature::Segments, Feature::System];

    pub(super) fn name(self) -> &'static str {
        match self {
            Feature::Core => "org.gnu.gdb.i386.core",
            Feature::Sse => "org.gnu.gdb.i386.sse",
            Feature::Segments => "org.gnu.gdb.i386.segments",
            Feature::System => "org.rrvmm.i386.system",
        }
    }
}

/// One register of a layout.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub name: String,
    pub register: Register,
    pub feature: Feature,
    /// Width in bytes.
    pub bytes: usize,
    /// Type in the description.
    pub kind: &'static str,
}

impl Layout {
    /// The layout that suits the guest where `explorer` is.
    pub(super) fn of(explorer: &Explorer) -> Self {
        let in_long_mode = explorer.cpu().system.efer & bits::EFER_LMA != 0;
        if in_long_mode || is_64_bit_elf(&explorer.setup().source) { Layout::Long } else { Layout::Legacy }
    }

    /// gdb's name of the architecture.
    pub(super) fn architecture(self) -> &'static str {
        match self {
            Layout::Long => "i386:x86-64",
            Layout::Legacy => "i386",
        }
    }

    /// The registers, by gdb's numbers.
    pub(super) fn rows(self) -> &'static [Row] {
        static LONG: OnceLock<Vec<Row>> = OnceLock::new();
        static LEGACY: OnceLock<Vec<Row>> = OnceLock::new();
        match self {
            Layout::Long => LONG.get_or_init(|| rows(self)),
            Layout::Legacy => LEGACY.get_or_init(|| rows(self)),
        }
    }
}

/// A kernel that starts in 32-bit mode and is linked for 64-bit mode.
fn is_64_bit_elf(source: &BootSource) -> bool {
    let kernel = source.kernel.as_deref().unwrap_or_default();
    kernel.starts_with(b"\x7fELF\x02")
}

/// General registers in gdb's order, by their numbers in the encoding.
const LONG_GENERAL: [(&str, usize); 16] = [
    ("rax", 0),
    ("rbx", 3),
    ("rcx", 1),
    ("rdx", 2),
    ("rsi", 6),
    ("rdi", 7),
    ("rbp", 5),
    ("rsp", 4),
    ("r8", 8),
    ("r9", 9),
    ("r10", 10),
    ("r11", 11),
    ("r12", 12),
    ("r13", 13),
    ("r14", 14),
    ("r15", 15),
];
const LEGACY_GENERAL: [(&str, usize); 8] =
    [("eax", 0), ("ecx", 1), ("edx", 2), ("ebx", 3), ("esp", 4), ("ebp", 5), ("esi", 6), ("edi", 7)];
const SELECTORS: [(&str, usize); 6] =
    [("cs", seg::CS), ("ss", seg::SS), ("ds", seg::DS), ("es", seg::ES), ("fs", seg::FS), ("gs", seg::GS)];
const X87: [(&str, Register); 8] = [
    ("fctrl", Register::ControlWord),
    ("fstat", Register::StatusWord),
    ("ftag", Register::TagWord),
    ("fiseg", Register::InstructionSelector),
    ("fioff", Register::InstructionOffset),
    ("foseg", Register::OperandSelector),
    ("fooff", Register::OperandOffset),
    ("fop", Register::Opcode),
];
const CONTROL: [(&str, Register, &str); 6] = [
    ("cr0", Register::Cr0, "cr0_bits"),
    ("cr2", Register::Cr2, ""),
    ("cr3", Register::Cr3, ""),
    ("cr4", Register::Cr4, "cr4_bits"),
    ("cr8", Register::Cr8, ""),
    ("efer", Register::Efer, "efer_bits"),
];

fn rows(layout: Layout) -> Vec<Row> {
    let is_long = layout == Layout::Long;
    let (word, int) = if is_long { (8, "int64") } else { (4, "int32") };
    let general: &[_] = if is_long { &LONG_GENERAL } else { &LEGACY_GENERAL };
    let mut rows = Vec::new();
    let mut add = |name: &str, register, feature, bytes, kind| {
        rows.push(Row { name: name.to_owned(), register, feature, bytes, kind });
    };
    for &(name, number) in general {
        // The stack and frame pointers.
        let kind = if number == 4 || number == 5 { "data_ptr" } else { int };
        add(name, Register::General(number), Feature::Core, word, kind);
    }
    add(if is_long { "rip" } else { "eip" }, Register::Pc, Feature::Core, word, "code_ptr");
    add("eflags", Register::Flags, Feature::Core, 4, "i386_eflags");
    for (name, number) in SELECTORS {
        add(name, Register::Selector(number), Feature::Core, 4, "int32");
    }
    for i in 0..8 {
        add(&format!("st{i}"), Register::Stack(i), Feature::Core, 10, "i387_ext");
    }
    for (name, register) in X87 {
        add(name, register, Feature::Core, 4, "int");
    }
    for i in 0..general.len() {
        add(&format!("xmm{i}"), Register::Xmm(i), Feature::Sse, 16, "vec128");
    }
    add("mxcsr", Register::Mxcsr, Feature::Sse, 4, "i386_mxcsr");
    // gdb knows the segments feature in 64-bit descriptions only.
    let bases = if is_long { Feature::Segments } else { Feature::System };
    add("fs_base", Register::Base(seg::FS), bases, word, int);
    add("gs_base", Register::Base(seg::GS), bases, word, int);
    add("k_gs_base", Register::KernelGsBase, Feature::System, word, int);
    for (name, register, kind) in CONTROL {
        add(name, register, Feature::System, word, if kind.is_empty() { int } else { kind });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_come_in_one_piece_and_in_order() {
        for layout in [Layout::Long, Layout::Legacy] {
            let order: Vec<usize> = layout
                .rows()
                .iter()
                .map(|row| Feature::ALL.iter().position(|f| *f == row.feature).unwrap())
                .collect();
            assert!(order.is_sorted(), "{layout:?}");
        }
    }

    #[test]
    fn general_registers_are_all_there() {
        for (layout, count) in [(Layout::Long, 16), (Layout::Legacy, 8)] {
            let mut numbers: Vec<usize> = layout
                .rows()
                .iter()
                .filter_map(|row| match row.register {
                    Register::General(number) => Some(number),
                    _ => None,
                })
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>());
        }
    }
}
