//! Every MMX and SSE row of `rrvmm_tcg::x86::sse` against the host CPU itself: random and boundary operands, register and
//! memory forms, rounding directions, FTZ, DAZ, exception masks. All registers, memory bytes, MXCSR bits and status
//! flags must agree, and so must the exception raised.
//!
//! The list of rows drives the test: a row that cannot be run here fails it.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encode;
mod engines;
mod operands;
mod places;
mod sequences;
mod stub;

use encode::{Place, Variant, variants};
use engines::Both;
use iced_x86::{Code, CpuidFeature, EncodingKind, Mnemonic};
use operands::Random;
use rrvmm_tcg::x86::sse::{self, Inputs, Mxcsr, Op, RegClass, STATUS_FLAGS, SseFault, SseInsn, Target};
use stub::{MEMORY, Machine, Signal, Stub};

/// Cases for each form of a row, unless the environment variable `HOST_SSE_CASES` gives another number.
const CASES: u32 = 3000;
/// Of so many cases, one also runs in the engines.
const ENGINES_SHARE: u32 = 8;
const SEED: u64 = 0x5EED_0551;

/// The instructions whose result the architecture only bounds.
const APPROXIMATE: [Mnemonic; 4] = [Mnemonic::Rcpps, Mnemonic::Rcpss, Mnemonic::Rsqrtps, Mnemonic::Rsqrtss];

/// Encodings of these extensions that work on no SSE or MMX value: the front end has them.
const ELSEWHERE: [Mnemonic; 9] = [
    Mnemonic::Fisttp,
    Mnemonic::Prefetchnta,
    Mnemonic::Prefetcht0,
    Mnemonic::Prefetcht1,
    Mnemonic::Prefetcht2,
    Mnemonic::Lfence,
    Mnemonic::Mfence,
    Mnemonic::Sfence,
    Mnemonic::Pause,
];

#[test]
fn the_table_has_every_instruction_of_the_model() {
    use CpuidFeature::{MMX, SSE, SSE2, SSE3, SSE4_1, SSE4_2, SSSE3};
    let ours = [MMX, SSE, SSE2, SSE3, SSSE3, SSE4_1, SSE4_2];
    let mut listed = 0;
    for code in Code::values().filter(|code| code.encoding() == EncodingKind::Legacy) {
        let wanted = code.cpuid_features().iter().any(|feature| ours.contains(feature))
            && !ELSEWHERE.contains(&code.mnemonic());
        assert_eq!(sse::lookup(code).is_some(), wanted, "{code:?}");
        listed += usize::from(wanted);
    }
    assert_eq!(listed, sse::all().len());
}

#[test]
fn the_host_agrees() {
    let wanted = std::env::var("HOST_SSE_CASES").map_or(CASES, |number| number.parse().unwrap());
    let mut stub = Stub::new();
    let mut engines = Both::new();
    let mut random = Random(SEED);
    let (mut cases, mut faults, mut raised, mut failures) = (0, 0, [0; 6], Vec::new());
    for row in sse::all() {
        let variants = variants(row);
        assert!(!variants.is_empty(), "{:?}: no operands to run it with", row.code);
        for variant in &variants {
            stub.load(variant);
            engines.interp.load(variant);
            engines.jit.load(variant);
            for n in 0..wanted {
                let engines = (n % ENGINES_SHARE == 0).then_some(&mut engines);
                match run_case(&mut stub, engines, row, variant, &mut random) {
                    Ok(outcome) => {
                        faults += u64::from(outcome.signal != Signal::None);
                        for (bit, count) in raised.iter_mut().enumerate() {
                            *count += outcome.new_flags >> bit & 1;
                        }
                    }
                    Err(message) => {
                        failures.push(message);
                        break;
                    }
                }
                cases += 1;
            }
        }
    }
    println!(
        "host_sse: {} rows, {cases} cases, {faults} faulting, IE DE ZE OE UE PE {raised:?}",
        sse::all().len()
    );
    assert!(failures.is_empty(), "{} rows differ from the host:\n{}", failures.len(), failures.join("\n"));
    assert!(raised.iter().all(|&count| count > 1000), "some exception hardly occurs: {raised:?}");
}

/// What the host did in a case.
struct Outcome {
    signal: Signal,
    /// MXCSR flags that were clear before.
    new_flags: u32,
}

/// Runs one case on both; what the host did, or what differs.
fn run_case(
    stub: &mut Stub,
    engines: Option<&mut Both>,
    row: &SseInsn,
    variant: &Variant,
    random: &mut Random,
) -> Result<Outcome, String> {
    let imm = random.next() as u8;
    let mut before = random.machine(matches!(row.op, Op::Float(_) | Op::Compare(_)));
    let offset = if row.form.aligned { 0 } else { random.below(17) as usize };
    if matches!(row.op, Op::LoadMxcsr) {
        // Bit 17 is a feature of the host that the guest's CPU does not have.
        let reserved = if random.below(4) == 0 { 0xFFFD_0000 } else { 0 };
        let bits = random.next() as u32 & (0xFFFF | reserved);
        before.memory[MEMORY / 2 + offset..][..4].copy_from_slice(&bits.to_le_bytes());
    }
    let mut host = before.clone();
    let signal = stub.run(&mut host, imm, offset);
    let (ours, our_signal) = predict(row, variant, &before, imm, offset);
    if let Some(engines) = engines.filter(|_| !uses_mmx(row)) {
        check_engines(engines, variant, &before, imm, offset, &(ours.clone(), our_signal))
            .map_err(|message| format!("{:?} imm {imm:#04x} {message}\n  before {before:x?}", row.code))?;
    }
    let agree = our_signal == signal
        && (ours == host || APPROXIMATE.contains(&row.code.mnemonic()) && close(&ours, &host));
    if agree {
        let new_flags = if matches!(row.op, Op::LoadMxcsr) { 0 } else { host.mxcsr & !before.mxcsr };
        return Ok(Outcome { signal, new_flags });
    }
    Err(format!(
        "{:?} ({}) imm {imm:#04x}\n  before {before:x?}\n  host   {host:x?} {signal:?}\n  ours   {ours:x?} {our_signal:?}",
        row.code,
        if variant.in_memory() { "memory" } else { "register" },
    ))
}

/// MMX registers are the x87's: these stay with the semantics.
fn uses_mmx(row: &SseInsn) -> bool {
    row.uses_mmx(false) || row.uses_mmx(true)
}

/// Runs the case in both engines.
fn check_engines(
    engines: &mut Both,
    variant: &Variant,
    before: &Machine,
    imm: u8,
    offset: usize,
    expected: &(Machine, Signal),
) -> Result<(), String> {
    let run = |name: &str, ran: (Machine, Signal)| {
        if ran == *expected {
            return Ok(());
        }
        Err(format!(
            "in {name}\n  got    {:x?} {:?}\n  wanted {:x?} {:?}",
            ran.0, ran.1, expected.0, expected.1
        ))
    };
    let mut machine = before.clone();
    let signal = engines.interp.case(&mut machine, variant, imm, offset);
    run("interp", (machine, signal))?;
    let mut machine = before.clone();
    let signal = engines.jit.case(&mut machine, variant, imm, offset);
    run("jit", (machine, signal))?;
    if engines.interp.after() != engines.jit.after() {
        return Err("the engines differ in what the host does not show".into());
    }
    Ok(())
}

/// What the machine must look like afterwards.
fn predict(row: &SseInsn, variant: &Variant, before: &Machine, imm: u8, offset: usize) -> (Machine, Signal) {
    let bytes = u32::from(row.form.bytes);
    let value = |place: Place| match place {
        Place::None => 0,
        Place::Xmm(n) => before.xmm[n],
        Place::Mm(n) => before.mm[n].into(),
        Place::Gpr(n, bits) => u128::from(before.gpr[n]) & (!0 >> (128 - bits)),
        Place::Memory => before.mem_at(offset) & (!0 >> (128 - bytes * 8)),
    };
    let inputs = Inputs {
        dst: if variant.dst == Place::Memory { 0 } else { value(variant.dst) },
        src: value(variant.src),
        imm,
        src_in_memory: variant.src == Place::Memory,
        xmm0: before.xmm[0],
        rax: before.rax,
        rdx: before.rdx,
    };
    let mut after = before.clone();
    let mut mxcsr = Mxcsr::from_bits_truncate(before.mxcsr);
    let outputs = row.execute(&inputs, &mut mxcsr);
    after.mxcsr = mxcsr.bits();
    let outputs = match outputs {
        Ok(outputs) => outputs,
        Err(SseFault::Simd(_)) => return (after, Signal::Fpe),
        Err(SseFault::Mxcsr(_)) => return (after, Signal::Segv),
    };
    if let Some(status) = outputs.status {
        after.flags = after.flags & !STATUS_FLAGS | status;
    }
    let at = MEMORY / 2 + offset;
    match (outputs.target, variant.dst) {
        (Target::Operand0, Place::Xmm(n)) => after.xmm[n] = outputs.value,
        (Target::Operand0, Place::Mm(n)) => after.mm[n] = outputs.value as u64,
        (Target::Operand0, Place::Gpr(n, bits)) => {
            after.gpr[n] = (outputs.value & (!0 >> (128 - bits))) as u64;
        }
        (Target::Operand0, Place::Memory) => {
            after.memory[at..][..bytes as usize]
                .copy_from_slice(&outputs.value.to_le_bytes()[..bytes as usize]);
        }
        (Target::Operand0, Place::None) | (Target::Nothing, _) => {}
        (Target::Rcx, _) => after.rcx = outputs.value as u64,
        (Target::Xmm0, _) => after.xmm[0] = outputs.value,
        (Target::Bytes(mask), _) => {
            for (byte, value) in outputs.value.to_le_bytes().into_iter().enumerate() {
                if mask >> byte & 1 != 0 {
                    after.memory[at + byte] = value;
                }
            }
        }
    }
    (after, Signal::None)
}

/// Whether all but XMM1 agree and its elements are as near as two approximations may be, specials being equal.
fn close(ours: &Machine, host: &Machine) -> bool {
    let mut same = ours.clone();
    same.xmm[1] = host.xmm[1];
    let near = |lane: u32| {
        let bits = |machine: &Machine| (machine.xmm[1] >> (32 * lane)) as u32;
        let (ours, host) = (bits(ours), bits(host));
        let (a, b) = (f64::from(f32::from_bits(ours)), f64::from(f32::from_bits(host)));
        // Whether a result this small is flushed may differ (SDM volume 2, RCPPS).
        let tiny = |x: f64| x.abs() < f64::from(f32::MIN_POSITIVE) * 1.001;
        ours == host || (a - b).abs() <= 1.5 / 4096.0 * a.abs() || tiny(a) && tiny(b)
    };
    same == *host && (0..4).all(near)
}

#[test]
fn misaligned_memory_faults_where_the_table_says() {
    let mut stub = Stub::new();
    let mut random = Random(SEED);
    let mut tried = 0;
    for row in sse::all().iter().filter(|row| row.form.bytes == 16) {
        for variant in variants(row).iter().filter(|variant| variant.in_memory()) {
            stub.load(variant);
            let mut machine = random.machine(true);
            machine.mxcsr = 0x1F80;
            let signal = stub.run(&mut machine, 0, 1);
            assert_eq!(signal == Signal::Segv, row.form.aligned, "{:?}", row.code);
            tried += 1;
        }
    }
    println!("host_sse: {tried} misaligned operands tried");
    assert!(tried > 100);
}

#[test]
fn mmx_state_changes_where_the_table_says() {
    let mut stub = Stub::new();
    let mut random = Random(SEED);
    for row in sse::all() {
        for variant in variants(row) {
            stub.load(&variant);
            let mut machine = random.machine(true);
            machine.mxcsr = 0x1F80;
            let emms = matches!(row.op, Op::Emms);
            let tags = stub.x87_tags_after(&mut machine, emms);
            if row.code == Code::Cvtpi2ps_xmm_mmm64 && variant.in_memory() {
                // Intel's manual has the transition, AMD's processors do not make it; the guest's CPU is Intel's.
                continue;
            }
            let mmx = row.uses_mmx(variant.src == Place::Memory);
            // FNSTENV derives valid, zero or special from the contents; 3 is empty.
            let empty = (0..8).filter(|register| tags >> (2 * register) & 3 == 3).count();
            let expected = if mmx && !emms { 0 } else { 8 };
            assert_eq!(empty, expected, "empty x87 registers after {:?}, {variant:?}", row.code);
        }
    }
}

#[test]
fn the_host_writes_the_same_fxsave_image() {
    let mut random = Random(SEED);
    for _ in 0..100 {
        let machine = random.machine(false);
        let image = stub::fxsave(&machine);
        let mut xmm = [0; 3];
        sse::load_xmm(&image, &mut xmm);
        assert_eq!(xmm, machine.xmm);
        assert_eq!(sse::load_mxcsr(&image).unwrap().bits(), machine.mxcsr);

        let mut ours = image;
        ours[24..28].fill(0);
        ours[160..208].fill(0);
        sse::save_xmm(&mut ours, &machine.xmm);
        sse::save_mxcsr(&mut ours, Mxcsr::from_bits_truncate(machine.mxcsr));
        // The mask names what the processor has; the guest's has no bit 17.
        ours[28..32].copy_from_slice(&image[28..32]);
        assert_eq!(ours, image);
    }
}

#[test]
fn forms_agree_with_the_decoder() {
    for row in sse::all() {
        let size = row.code.op_code().memory_size().size();
        let implicit = matches!(row.op, Op::MaskedStore);
        assert!(implicit || size == usize::from(row.form.bytes), "{:?}: {size} bytes of memory", row.code);
        for variant in variants(row) {
            for (place, class) in [(variant.dst, row.form.dst), (variant.src, row.form.src)] {
                let agrees = match place {
                    Place::Memory => row.form.bytes > 0,
                    Place::None => class == RegClass::None,
                    Place::Mm(_) => class == RegClass::Mm,
                    Place::Xmm(_) => class == RegClass::Xmm,
                    Place::Gpr(_, 8) => class == RegClass::R8,
                    Place::Gpr(_, 16) => class == RegClass::R16,
                    Place::Gpr(_, 32) => class == RegClass::R32,
                    Place::Gpr(..) => class == RegClass::R64,
                };
                assert!(agrees, "{:?}: {place:?} is not {class:?}", row.code);
            }
        }
    }
}
