//! Random descriptors, stacks and registers against every helper: a fault must change nothing, success must keep the
//! invariants the rest of the translator relies on.

use super::{testing::*, *};
use crate::{
    ir::{Helper, Reg},
    x86::state::{bits, seg},
};

/// xorshift64*: the same numbers on every host.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
    fn selector(&mut self) -> u64 {
        self.below(13) * 8 + self.below(4) + if self.below(8) == 0 { 4 } else { 0 }
    }
    /// Small numbers, selectors, flags and the odd wild value.
    fn word(&mut self) -> u64 {
        match self.below(8) {
            0 => self.next(),
            1 => self.below(1 << 17),
            2 => self.next() & 0x3f_7fd7,
            3 => 0xffff_8000_0000_0000 | self.below(1 << 20),
            _ => self.selector(),
        }
    }
    fn attr(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next() & 0xf0ff,
            _ => self.one_of(&[0xc09b, 0xc093, 0xc0fb, 0xc0f3, 0xa09b, 0xa0fb, 0x009b, 0x40f3, 0xc09f]),
        }
    }
}

const HELPERS: &[(&str, Helper<Cpu>)] = &[
    ("mov_to_cr", control::mov_to_cr),
    ("lmsw", control::lmsw),
    ("xsetbv", control::xsetbv),
    ("pushf", eflags::pushf),
    ("popf", eflags::popf),
    ("sti", eflags::sti),
    ("stac", eflags::stac),
    ("lgdt", tables::lgdt),
    ("sgdt", tables::sgdt),
    ("mov_to_sreg", segment::mov_to_sreg),
    ("pop_sreg", segment::pop_sreg),
    ("swapgs", segment::swapgs),
    ("lar", segment::lar),
    ("verw", segment::verw),
    ("lldt", segment::lldt),
    ("ltr", segment::ltr),
    ("jmp", far::jmp),
    ("call", far::call),
    ("ret", far::ret),
    ("iret", iret::iret),
    ("int_n", interrupt::int_n),
    ("int1", interrupt::int1),
    ("syscall", syscall::syscall),
    ("sysret", syscall::sysret),
    ("sysenter", syscall::sysenter),
    ("sysexit", syscall::sysexit),
    ("rdmsr", msr::rdmsr),
    ("wrmsr", msr::wrmsr),
    ("cpuid", cpuid::cpuid),
    ("mov_to_dr", debug::mov_to_dr),
    ("port_in", port::port_in),
];

fn world(r: &mut Random) -> Cpu {
    let mut c = r.one_of::<fn() -> Cpu>(&[cpu, protected, protected, long, long])();
    let real = c.sys.cr0 & bits::CR0_PE == 0;
    for slot in 1..10 {
        if r.below(3) == 0 {
            let raw = match r.below(3) {
                0 => gate(r.selector() as u16, r.word(), 0x80 | r.next() & 0x7f, r.below(8)),
                _ => descriptor(r.below(0x10000), r.word(), r.attr()),
            };
            put(&mut c, GDT + 8 * slot, 8, raw);
        }
    }
    for n in 0..0x100 {
        let kind = r.one_of(&[0x8e, 0xee, 0x8f, 0xef, 0x86, 0xe5, 0x0e, 0x8c]);
        let raw =
            gate(r.one_of(&[sel::CODE0, sel::CODE64, sel::CODE3, sel::TSS2]), r.word(), kind, r.below(3));
        put(&mut c, IDT + 8 * n, 8, raw);
    }
    for n in 0..0x40 {
        let value = r.word();
        put(&mut c, TSS + 4 * n, 4, value);
    }
    if !real && r.below(2) == 0 {
        let user = if c.sys.code64() { sel::USER64 } else { sel::CODE3 };
        to_user(&mut c, user);
    }
    if r.below(4) == 0 {
        let ds = segment::v86_segment(r.next() as u16);
        c.set_segment(seg::DS, ds);
    }
    let legacy = c.sys.efer & bits::EFER_LMA == 0;
    c.set_rflags(r.next() & !(bits::VM | bits::TF | if legacy { 0 } else { bits::NT }));
    if !real && legacy && r.below(4) == 0 {
        c.sys.eflags |= bits::VM;
        interrupt::enter_v86(&mut c, [0, 0x100, 0x200, 0x300, 0x400, 0x500]);
    }
    c.sys.cr4 |= r.next() & 0x30_0003;
    for n in 0..16 {
        let value = r.word();
        c.set_reg(n, if legacy { value & 0xffff_ffff } else { value });
    }
    c.set_reg(gpr::RCX, r.one_of(&[0x10, 0x1b, 0x1a0, 0x6e0, 0xc000_0080, 0xc000_0101, 0x40_0000]));
    c.set_reg(gpr::RSP, 0x7000 + r.below(0x40));
    for n in 0..0x60 {
        let value = r.word();
        put(&mut c, 0x7000 + 2 * n, 2, value);
    }
    c.core.flush_all();
    c.update_view();
    c
}

fn check_invariants(c: &Cpu, what: &str) {
    for n in 0..6 {
        assert_eq!(c.core.regs[Reg::SEG.0 as usize + n], c.sys.segs[n].base, "{what}: base of segment {n}");
    }
    assert_eq!(c.core.mmu, c.view_for(c.cpl()), "{what}: view");
    let cs = c.sys.segs[seg::CS];
    if segment::protected(c) && cs.attr & crate::x86::state::Segment::DC == 0 {
        assert_eq!((cs.selector & 3) as u8, c.cpl(), "{what}: CPL");
    }
    assert_eq!(c.sys.eflags & crate::flags::ARITH, 0, "{what}: arithmetic flags in eflags");
    assert_eq!(c.sys.eflags & 2, 2, "{what}: bit 1");
}

#[test]
fn faults_change_nothing_and_successes_keep_the_invariants() {
    let mut r = Random(0x1234_5678_9abc_def1);
    let (mut fine, mut faults) = (0, 0);
    for _ in 0..10_000 {
        let mut c = world(&mut r);
        let (name, helper) = r.one_of(HELPERS);
        let bytes = r.one_of(&[2, 4, 8]);
        let (a, b) = match name {
            "jmp" | "call" => (r.selector() | bytes << 16, r.word()),
            "popf" | "pushf" | "iret" | "sysret" | "sysexit" | "ret" => (bytes, r.below(16)),
            "lgdt" | "sgdt" => (0x7000 + r.below(64), bytes),
            "mov_to_sreg" => (r.below(7), r.word()),
            "pop_sreg" => (r.below(7), bytes),
            "mov_to_cr" | "mov_to_dr" => (r.below(9), r.next() & 0x8031_07ff),
            "int_n" => (r.below(256), 0),
            _ => (r.word(), r.word()),
        };
        if matches!(name, "jmp" | "call") && !segment::protected(&c) && bytes == 8 {
            continue;
        }
        let before = c.save();
        match helper(&mut c, &mut TestBus::default(), a, b) {
            Ok(_) => {
                fine += 1;
                check_invariants(&c, name);
            }
            Err(e) => {
                faults += 1;
                assert_eq!(c.save(), before, "{name}: {e:?}");
                check_invariants(&c, name);
                interrupt::raise(&mut c, &mut TestBus::default(), e);
                check_invariants(&c, "raise");
            }
        }
    }
    assert!(fine > 1_500 && faults > 1_500, "{fine} successes, {faults} faults");
}
