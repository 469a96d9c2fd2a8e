//! Every x87 opcode in `rrvmm_tcg::x86::x87` against the host's own x87: random register files (all classes of numbers, empty
//! registers, any TOP), control words (all roundings and precisions, masked and unmasked exceptions), status words and memory
//! operands. Control word, status word, tags, registers, memory and EFLAGS must agree bit for bit; the transcendental
//! instructions' results to one unit in the last place.
#![cfg(target_arch = "x86_64")]

use std::arch::asm;

use rrvmm_tcg::softfloat::F80;
use rrvmm_tcg::x86::x87::{EnvLayout, IMAGE_MAX, Memory, Operand, Outcome, X87, X87Op, decode};

const LAYOUT: EnvLayout = EnvLayout { wide: true, real: false };

/// splitmix64: seeded, so a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Bits, random or with long runs of equal ones, so that carries and ties are common.
    fn bits(&mut self) -> u64 {
        let run = 1u64 << self.below(64);
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => run,
            3 => run.wrapping_neg(),
            4 => run.wrapping_sub(1),
            5 => (1 << 39 | 1 << 10 | 1) << self.below(3) ^ self.next() << 41,
            _ => self.next(),
        }
    }

    /// An extended real of any class; exponents within a few of `near` half of the time.
    fn f80(&mut self, near: u64) -> F80 {
        let sign = (self.next() as u16 & 1) << 15;
        let sig = self.bits();
        let finite = sig | 1 << 63;
        let (exp, sig) = match self.below(40) {
            0 => (0, 0),
            1 | 2 => (0, sig >> 1 >> self.below(63)),
            3 => (0, finite),
            4 => (0x7fff, 1 << 63),
            5 => (0x7fff, finite | 1 << 62),
            6 => (0x7fff, finite & !(1 << 62) | self.below(2)),
            7 => (0x7fff, sig >> 1),
            8 => (self.below(0x7fff), sig >> 1),
            9 | 10 => (1 + self.below(70), finite),
            11 | 12 => (0x7ffe - self.below(70), finite),
            13 => (self.below(0x7fff), finite),
            // Around the ranges of the narrower formats and of integers.
            14 => (16383 - 1090 + self.below(80), finite),
            15 => (16383 - 160 + self.below(50), finite),
            16 => (16383 + 1020 + self.below(6), finite),
            17 => (16383 + 124 + self.below(6), finite),
            18..=21 => (16383 - 3 + self.below(72), finite),
            _ => ((near + self.below(7)).saturating_sub(3), finite),
        };
        F80 { sig, se: sign | exp as u16 }
    }

    fn near(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(70),
            1 => 0x7ffe - self.below(70),
            2 => 16383 - 70 + self.below(140),
            _ => 16383,
        }
    }

    fn f64(&mut self) -> u64 {
        let exp = match self.below(5) {
            0 => 0,
            1 => 0x7ff,
            2 => self.below(0x800),
            _ => 1023 - 33 + self.below(66),
        };
        self.next() << 63 | exp << 52 | self.bits() >> 12
    }

    fn f32(&mut self) -> u64 {
        let exp = match self.below(5) {
            0 => 0,
            1 => 0xff,
            2 => self.below(0x100),
            _ => 127 - 33 + self.below(66),
        };
        (self.next() & 1) << 31 | exp << 23 | self.bits() >> 41
    }

    /// A memory operand that suits `op`.
    fn memory(&mut self, op: X87Op, near: u64) -> u128 {
        match op {
            X87Op::Fld(m) | X87Op::ToSt0(_, m) | X87Op::Fcom { with: m, .. } => match m {
                Operand::M32fp => self.f32().into(),
                Operand::M64fp => self.f64().into(),
                Operand::M80fp => u128::from_le_bytes(widen(self.f80(near).to_bytes())),
                Operand::M16int | Operand::M32int | Operand::M64int | Operand::St(_) => self.bits().into(),
            },
            X87Op::Fbld => {
                let digits = (0..18).fold(0, |n: u128, _| n << 4 | u128::from(self.below(10)));
                let digits = digits >> (4 * self.below(19));
                digits | u128::from(self.below(256)) << 72
            }
            X87Op::Fldcw => self.control_word().into(),
            _ => u128::from(self.next()) << 64 | u128::from(self.next()),
        }
    }

    fn control_word(&mut self) -> u16 {
        let masks = if self.below(5) < 3 { 0x3f } else { self.next() as u16 & 0x3f };
        0x40 | masks | (self.next() as u16 & 3) << 10 | self.pick(&[0, 2, 3, 3, 3]) << 8
    }

    /// A state without pending exceptions.
    fn state(&mut self, near: u64) -> X87 {
        let cw = self.control_word();
        let top = self.below(8) as u16;
        let conditions = self.next() as u16 & 0x4700;
        let flags = if self.below(2) == 0 { 0 } else { self.next() as u16 & cw & 0x3f };
        let stack_fault = if self.below(8) == 0 { 0x40 } else { 0 };
        // ST(7) is what a push writes.
        let tag = match self.below(8) {
            0 => 0xff,
            1 => self.next() as u8,
            _ => !(1u8 << ((top + 7) & 7)),
        };
        let mut x87 = X87 { cw, sw: top << 11 | conditions | flags | stack_fault, tag, ..X87::reset() };
        for st in &mut x87.st {
            *st = self.f80(near);
        }
        if self.below(8) == 0 {
            x87.st[usize::from((top + 1) & 7)] = x87.st[usize::from(top)];
        }
        x87
    }
}

fn widen(bytes: [u8; 10]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..10].copy_from_slice(&bytes);
    wide
}

/// What surrounds one instruction on the host: the FSAVE image it starts from and leaves, memory at RDI, AX, EFLAGS.
#[repr(C, align(16))]
#[derive(Clone)]
struct Frame {
    image: [u8; IMAGE_MAX],
    memory: [u8; 128],
    eflags: u64,
    rax: u64,
}

type Native = fn(&mut Frame);

/// Loads the state, runs the instruction `OP MODRM` (ModRM with a memory operand means `[rdi]`), stores the state.
fn native<const OP: u8, const MODRM: u8>(frame: &mut Frame) {
    let (image, memory) = (frame.image.as_mut_ptr(), frame.memory.as_mut_ptr());
    // SAFETY: reads and writes `frame` only; FNSAVE leaves the x87 unit initialised, as compiled code expects it.
    unsafe {
        asm!(
            "frstor [rsi]", "push {f}", "popfq", ".byte {op}, {modrm}", "pushfq", "pop {f}", "fnsave [rsi]",
            op = const OP, modrm = const MODRM, f = inout(reg) frame.eflags, inout("rax") frame.rax,
            in("rsi") image, in("rdi") memory,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
}

macro_rules! natives {
    ($($op:literal)*) => { [$(natives!(@row $op)),*] };
    (@row $op:literal) => { natives!(@list $op,
        0x07 0x0f 0x17 0x1f 0x27 0x2f 0x37 0x3f
        0xc0 0xc1 0xc2 0xc3 0xc4 0xc5 0xc6 0xc7 0xc8 0xc9 0xca 0xcb 0xcc 0xcd 0xce 0xcf
        0xd0 0xd1 0xd2 0xd3 0xd4 0xd5 0xd6 0xd7 0xd8 0xd9 0xda 0xdb 0xdc 0xdd 0xde 0xdf
        0xe0 0xe1 0xe2 0xe3 0xe4 0xe5 0xe6 0xe7 0xe8 0xe9 0xea 0xeb 0xec 0xed 0xee 0xef
        0xf0 0xf1 0xf2 0xf3 0xf4 0xf5 0xf6 0xf7 0xf8 0xf9 0xfa 0xfb 0xfc 0xfd 0xfe 0xff) };
    (@list $op:literal, $($modrm:literal)*) => { [$(($op, $modrm, native::<$op, $modrm> as Native)),*] };
}

/// Every opcode with a function that runs it.
static NATIVE: [[(u8, u8, Native); 72]; 8] = natives!(0xd8 0xd9 0xda 0xdb 0xdc 0xdd 0xde 0xdf);

/// Carries out `op` on our side, memory and flags included.
fn ours(op: X87Op, frame: &mut Frame) {
    let mut x87 = X87::default();
    x87.restore(&frame.image, LAYOUT);
    let raw = match op {
        X87Op::Fcmov(..) => frame.eflags.into(),
        _ => u128::from_le_bytes(frame.memory[..16].try_into().expect("sized")),
    };
    let outcome = x87.execute(op, raw).expect("nothing is pending");
    match (outcome, op) {
        (Outcome::Done, _) => {}
        (Outcome::Store(value), _) => {
            let Some(Memory::Store(bytes)) = op.memory() else { panic!("{op:?} stores") };
            frame.memory[..bytes.into()].copy_from_slice(&value.to_le_bytes()[..bytes.into()]);
        }
        (Outcome::Ax(ax), _) => frame.rax = frame.rax & !0xffff | u64::from(ax),
        (Outcome::Eflags(flags), _) => frame.eflags = frame.eflags & !0x8d5 | u64::from(flags),
        (Outcome::Image, X87Op::Fnstenv) => {
            frame.memory[..28].copy_from_slice(&x87.env_image(LAYOUT)[..28]);
            x87.mask_all();
        }
        (Outcome::Image, X87Op::Fnsave) => {
            frame.memory[..108].copy_from_slice(&x87.state_image(LAYOUT));
            x87.init();
        }
        (Outcome::Image, op) => {
            let mut image = [0; IMAGE_MAX];
            image.copy_from_slice(&frame.memory[..IMAGE_MAX]);
            match op {
                X87Op::Fldenv => x87.load_env(&image, LAYOUT),
                X87Op::Frstor => x87.restore(&image, LAYOUT),
                _ => unreachable!(),
            }
        }
    }
    frame.image = x87.state_image(LAYOUT);
}

/// Blanks what the comparison leaves out: the instruction and data pointers, which the harness does not set, and C1 after
/// FCOMI and FUCOMI (Intel's manual has it cleared; AMD's processors leave it alone).
fn comparable(op: X87Op, mut frame: Frame) -> Frame {
    frame.image[12..28].fill(0);
    if matches!(op, X87Op::Fcomi { .. } | X87Op::Fucomi { .. }) {
        frame.image[5] &= !2;
    }
    frame
}

fn register(frame: &Frame, i: usize) -> F80 {
    F80::from_bytes(frame.image[28 + 10 * i..38 + 10 * i].try_into().expect("sized"))
}

fn word(frame: &Frame, at: usize) -> u16 {
    u16::from_le_bytes([frame.image[at], frame.image[at + 1]])
}

fn show(frame: &Frame) -> String {
    let st: Vec<_> =
        (0..8).map(|i| register(frame, i)).map(|r| format!("{:04x}:{:016x}", r.se, r.sig)).collect();
    format!(
        "cw={:04x} sw={:04x} tw={:04x} fl={:x} ax={:x} m={:02x?}\n      {}",
        word(frame, 0),
        word(frame, 4),
        word(frame, 8),
        frame.eflags & 0x8d5,
        frame.rax as u16,
        &frame.memory[..10],
        st.join(" ")
    )
}

fn transcendental(op: X87Op) -> bool {
    use X87Op::{F2xm1, Fcos, Fpatan, Fptan, Fsin, Fsincos, Fyl2x, Fyl2xp1};
    matches!(op, F2xm1 | Fcos | Fpatan | Fptan | Fsin | Fsincos | Fyl2x | Fyl2xp1)
}

fn random_frame(random: &mut Random, op: X87Op) -> Frame {
    let near = random.near();
    let mut memory = [0u8; 128];
    memory[..16].copy_from_slice(&random.memory(op, near).to_le_bytes());
    if matches!(op, X87Op::Fldenv | X87Op::Frstor) {
        let mut image = random.state(near).state_image(LAYOUT);
        // Any status and tags, pending exceptions included.
        image[4..6].copy_from_slice(&(random.next() as u16).to_le_bytes());
        image[8..10].copy_from_slice(&(random.next() as u16).to_le_bytes());
        memory[..IMAGE_MAX].copy_from_slice(&image);
    }
    // Bit 1 always, IF as user code has it.
    let eflags = 0x202 | random.next() & 0x8d5;
    Frame { image: random.state(near).state_image(LAYOUT), memory, eflags, rax: 0 }
}

/// Whether this host's answer decides. Where the manuals leave a case undefined, ours was taken from an AMD processor, so other hosts
/// are not asked.
fn decided(op: X87Op, frame: &Frame, amd: bool) -> bool {
    let exponent = |i| i32::from(register(frame, i).se & 0x7fff);
    amd || match op {
        // Both a stack underflow and a stack overflow.
        X87Op::Fld(Operand::St(_)) => word(frame, 8) & 0x5555 & word(frame, 8) >> 1 == 0,
        X87Op::Ffree { .. } | X87Op::FstpUnchecked(_) | X87Op::Fcmov(..) => false,
        // The size of a partial step.
        X87Op::Fprem | X87Op::Fprem1 => exponent(0) - exponent(1) < 64,
        _ => true,
    }
}

fn host_is_amd() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    let amd = [leaf.ebx, leaf.edx, leaf.ecx] == [*b"Auth", *b"enti", *b"cAMD"].map(u32::from_le_bytes);
    if !amd {
        println!(
            "not an AMD host: vendor-specific cases of FLD, FFREE, FFREEP, FCMOVcc, FPREM and D9 D8+i are SKIPPED"
        );
    }
    amd
}

#[test]
fn every_opcode_equals_the_hosts() {
    let amd = host_is_amd();
    const CASES: u32 = 3_000;
    const SHOWN: u32 = 4;
    let mut random = Random(87);
    let mut failing = 0;
    for &(opcode, modrm, native) in NATIVE.iter().flatten() {
        let Some(op) = decode(opcode, modrm) else { continue };
        if transcendental(op) {
            continue;
        }
        let mut wrong = 0;
        for _ in 0..CASES {
            let before = random_frame(&mut random, op);
            if !decided(op, &before, amd) {
                continue;
            }
            let (mut host, mut our) = (before.clone(), before.clone());
            native(&mut host);
            ours(op, &mut our);
            let (host, our) = (comparable(op, host), comparable(op, our));
            if host.image == our.image
                && host.memory == our.memory
                && host.eflags == our.eflags
                && host.rax == our.rax
            {
                continue;
            }
            wrong += 1;
            if wrong <= SHOWN {
                println!(
                    "{opcode:02x} {modrm:02x} {op:?}\n  was {}\n host {}\n ours {}",
                    show(&before),
                    show(&host),
                    show(&our)
                );
            }
        }
        if wrong != 0 {
            failing += 1;
            println!("{opcode:02x} {modrm:02x} {op:?}: {wrong} of {CASES} differ\n");
        }
    }
    assert_eq!(failing, 0, "opcodes that differ from the host");
}

/// Distance of two reals in units of the last place; none if they are not comparable so.
fn ulps(a: F80, b: F80) -> Option<u64> {
    if a == b {
        return Some(0);
    }
    let order = |x: F80| u128::from(x.se & 0x7fff) << 63 | u128::from(x.sig & !(1 << 63));
    let special = |x: F80| x.se & 0x7fff == 0x7fff || (x.se & 0x7fff != 0 && x.sig >> 63 == 0);
    if special(a) || special(b) || a.sign() != b.sign() {
        return None;
    }
    u64::try_from(order(a).abs_diff(order(b))).ok()
}

/// Whether the manual leaves the result for these operands undefined.
fn undefined(op: X87Op, frame: &Frame) -> bool {
    let st0 = register(frame, 0);
    let exp = st0.se & 0x7fff;
    match op {
        // Defined from -1 to +1.
        X87Op::F2xm1 => {
            exp >= 0x3fff && exp != 0x7fff && !(exp == 0x3fff && st0.sig << 1 == 0) && st0.sig >> 63 != 0
        }
        // Defined while |x| <= 1 - sqrt(2)/2 = 0.29289...
        X87Op::Fyl2xp1 => {
            st0.sig >> 63 != 0 && (exp, st0.sig) > (0x3ffd, 0x95f6_1998_0c43_36f7) && exp != 0x7fff
        }
        _ => false,
    }
}

#[test]
fn transcendentals_are_within_one_unit_of_the_hosts() {
    const CASES: u32 = 60_000;
    const SHOWN: u32 = 4;
    let mut random = Random(88);
    let mut failing = 0;
    for &(opcode, modrm, native) in NATIVE.iter().flatten() {
        let Some(op) = decode(opcode, modrm).filter(|&op| transcendental(op)) else { continue };
        let (mut wrong, mut compared, mut exact, mut worst) = (0, 0u32, 0u32, 0);
        for _ in 0..CASES {
            let before = random_frame(&mut random, op);
            if undefined(op, &before) {
                continue;
            }
            let (mut host, mut our) = (before.clone(), before.clone());
            native(&mut host);
            ours(op, &mut our);
            let distance = (0..2)
                .map(|i| ulps(register(&host, i), register(&our, i)))
                .max_by_key(|d| d.unwrap_or(u64::MAX));
            let distance = distance.unwrap().unwrap_or(u64::MAX);
            compared += 1;
            exact += u32::from(distance == 0);
            let agree = |mut frame: Frame| {
                frame = comparable(op, frame);
                // C1 tells the rounding direction of a last bit that may differ.
                frame.image[5] &= !2;
                frame.image[28..48].fill(0);
                (frame.image, frame.memory)
            };
            if distance <= 1 && agree(host.clone()) == agree(our.clone()) {
                worst = worst.max(distance);
                continue;
            }
            wrong += 1;
            if wrong <= SHOWN {
                println!("{op:?}\n  was {}\n host {}\n ours {}", show(&before), show(&host), show(&our));
            }
        }
        println!("{op:?}: {compared} compared, {exact} equal, at most {worst} ulp apart, {wrong} differ");
        failing += u32::from(wrong != 0);
    }
    assert_eq!(failing, 0, "instructions that differ from the host");
}
