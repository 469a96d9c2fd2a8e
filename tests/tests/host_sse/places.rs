//! Every encoding with its memory operand where it is misaligned, crosses pages, cannot be read or written, or is a
//! device: both engines must raise the same and change the same.

use crate::{
    encode::variants,
    engines::{ABSENT, Both, CODE, DATA, DATA_PAGES, DEVICE, Guest, READ_ONLY},
    operands::Random,
};
use rrvmm_tcg::{
    block::Backend,
    x86::{Cpu, sse},
};

#[test]
fn engines_agree_on_every_operand_place() {
    let mut both = Both::new();
    let (mut runs, mut faults) = (0u64, 0u64);
    for row in sse::all().iter().filter(|row| row.form.bytes > 0) {
        let half = u64::from(row.form.bytes / 2);
        let places = [
            DATA + 0x800,
            DATA + 0x801,
            DATA + 0x1000 - half,
            READ_ONLY + 0x10,
            READ_ONLY - half,
            ABSENT + 0x10,
            ABSENT - half,
            DEVICE + 0x20,
            DEVICE - half,
            1 << 47,
            (1 << 47) - half,
        ];
        for variant in variants(row).iter().filter(|variant| variant.in_memory()) {
            both.interp.load(variant);
            both.jit.load(variant);
            for (n, &place) in places.iter().enumerate() {
                // Cold, then with what the TLB has now; then with exceptions unmasked.
                for (turn, mxcsr) in [0x1f80, 0x1fbf, 0].into_iter().enumerate() {
                    let seed = u64::from(row.code as u16) << 16 | (n * 4 + turn) as u64;
                    let ours = one(&mut both.interp, seed, place, mxcsr, turn == 0);
                    let theirs = one(&mut both.jit, seed, place, mxcsr, turn == 0);
                    let what = format!("{:?} at {place:#x}, MXCSR {mxcsr:#x}", row.code);
                    assert_eq!(ours, theirs, "{what}");
                    assert_eq!(both.interp.after(), both.jit.after(), "{what}");
                    for page in (0..DATA_PAGES).map(|n| DATA + n * 4096) {
                        assert!(both.interp.page(page) == both.jit.page(page), "{what}: page {page:#x}");
                    }
                    runs += 1;
                    faults += u64::from(ours.is_some());
                }
            }
        }
    }
    println!("host_sse: {runs} operands in places, {faults} faulting");
    assert!(runs > 5000 && faults > runs / 4);
}

fn one<B: Backend<Cpu>>(guest: &mut Guest<B>, seed: u64, place: u64, mxcsr: u32, cold: bool) -> Option<u8> {
    let mut random = Random(seed);
    let machine = random.machine(true);
    for page in 0..DATA_PAGES {
        for at in [0, 0x7e0, 0xfe0] {
            guest.write(DATA + page * 4096 + at, &machine.memory[..32]);
        }
    }
    let cpu = guest.cpu();
    if cold {
        cpu.core.tlb.flush_all();
    }
    cpu.xmm[..3].copy_from_slice(&machine.xmm);
    for n in [0, 1, 2, 8, 9] {
        cpu.set_reg(n, random.next());
    }
    for n in [7, 10] {
        cpu.set_reg(n, place);
    }
    cpu.set_rflags(u64::from(machine.flags) | 2);
    cpu.mxcsr = mxcsr;
    cpu.x87.init();
    guest.run(CODE, 1 << 40)
}
