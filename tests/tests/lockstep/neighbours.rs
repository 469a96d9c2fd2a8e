//! Accesses that machine code expects in the page of the one before, and that are somewhere else altogether: no empty entry of
//! the TLB may answer them.

use crate::{
    kind::{CODE, Kind, STACK},
    program::{Item, Program},
    side::Side,
};
use rrvmm_tcg::{
    block::Backend,
    interp::Interp,
    jit::Jit,
    x86::{Cpu, State, engine::Stop},
};

/// A page of a device, whose accesses all leave machine code.
const SLOW: u64 = 0x2_8000;
/// The page that half of the TLB lies between and page 0.
const OPPOSITE: u64 = 0x80_0000;

fn run<B: Backend<Cpu>>(side: &mut Side<B>, code: &[u8], rbx: u64, rcx: u64) -> (Stop, State) {
    let blank = side.engine.cpu.save();
    let program = Program {
        kind: Kind::Kernel64,
        choice: 0,
        data_seed: 1,
        items: vec![Item { at: 0, bytes: [code, &[0xf4]].concat() }],
        entries: vec![0],
        jumps: vec![0],
    };
    side.load(&program);
    let mut state = State { count: 0, rip: CODE, rflags: 2, ..blank };
    state.system = Kind::Kernel64.system(0);
    (state.regs[3], state.regs[1], state.regs[4]) = (rbx, rcx, STACK);
    // The second time it is machine code, and all that is translated the first time is there.
    for _ in 0..2 {
        side.engine.load(&state);
        side.run(3, false);
    }
    side.engine.load(&state);
    (side.run(3, false), side.engine.cpu.save())
}

fn both(code: &[u8], rbx: u64, rcx: u64) {
    let by_interp = run(&mut Side::new(Interp), code, rbx, rcx);
    let by_jit = run(&mut Side::new(Jit::new().unwrap()), code, rbx, rcx);
    assert_eq!(by_jit, by_interp, "{code:x?}");
    // A handler's HLT, or what it is before: the second access always faults.
    assert!(by_interp.1.count <= 2, "{by_interp:x?}");
}

#[test]
fn an_entry_of_another_page_answers_nothing() {
    let disp = |d: u64| (d as u32).to_le_bytes();
    let code = |a: &[u8], d: u64, b: &[u8], e: u64| [a, &disp(d), b, &disp(e)].concat();
    // mov eax, [rbx + d]; mov eax, [rbx + e], then mov [rbx + e], eax.
    for second in [[0x8b, 0x83], [0x89, 0x83]] {
        both(&code(&[0x8b, 0x83], SLOW, &second, OPPOSITE), 0, 0);
    }
    let far = 1 << 62 | OPPOSITE;
    // The first in 32 bits, the second in 64.
    let low = 0x1000;
    both(&code(&[0x67, 0x8b, 0x83], SLOW - low, &[0x8b, 0x83], OPPOSITE - low), 1 << 62 | low, 0);
    // rbx + rcx, then rbx + 8 * rcx.
    let rcx = (far - SLOW) / 7;
    let rest = far - SLOW - 7 * rcx;
    both(&code(&[0x8b, 0x84, 0x0b], 0, &[0x8b, 0x84, 0xcb], rest), SLOW.wrapping_sub(rcx), rcx);
    // Absolute addresses of 64 bits.
    let absolute = |at: u64| [&[0x48, 0xa1][..], &at.to_le_bytes()].concat();
    both(&[absolute(SLOW), absolute(far)].concat(), 0, 0);
}
