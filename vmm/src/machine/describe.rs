//! The CPU's registers for people.

use rrvmm_tcg::x86::{State, state::Segment};
use std::fmt::Write;

const GPRS: [&str; 16] = [
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14",
    "R15",
];
const SEGS: [&str; 6] = ["ES", "CS", "SS", "DS", "FS", "GS"];

/// Several lines: general, control, segment and table registers.
#[must_use]
pub fn describe(s: &State) -> String {
    let mut out = String::new();
    let sys = &s.system;
    for (n, (name, value)) in GPRS.iter().zip(s.regs).enumerate() {
        let _ = write!(out, "{name:<3} {value:016x}{}", if n % 4 == 3 { "\n" } else { "  " });
    }
    let _ = writeln!(out, "RIP {:016x}  RFLAGS {:08x}  CPL {}", s.rip, s.rflags, sys.cpl());
    let _ = writeln!(
        out,
        "CR0 {:08x}  CR2 {:016x}  CR3 {:016x}  CR4 {:08x}  EFER {:04x}",
        sys.cr0, sys.cr2, sys.cr3, sys.cr4, sys.efer
    );
    for (name, segment) in SEGS.iter().zip(&sys.segs) {
        describe_segment(&mut out, name, segment);
    }
    describe_segment(&mut out, "LDTR", &sys.ldtr);
    describe_segment(&mut out, "TR", &sys.tr);
    let _ = writeln!(
        out,
        "GDT {:016x} {:04x}  IDT {:016x} {:04x}",
        sys.gdtr.base, sys.gdtr.limit, sys.idtr.base, sys.idtr.limit
    );
    out
}

fn describe_segment(out: &mut String, name: &str, s: &Segment) {
    let _ = writeln!(
        out,
        "{name:<4} {:04x}  base {:016x}  limit {:08x}  attr {:04x}",
        s.selector, s.base, s.limit, s.attr
    );
}
