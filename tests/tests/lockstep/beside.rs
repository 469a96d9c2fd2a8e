//! Code that is written next to: data in its page and its very cache line, and code that rewrites itself there.

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

const ROUNDS: u64 = 100;
/// mov ecx, 100; then a loop: add dword [counter], 1; dec ecx; jnz; at last mov eax, [counter]; hlt. The counter is behind that.
const COUNTS: &[u8] = &[
    0xb9, 100, 0, 0, 0, 0x83, 0x05, 11, 0, 0, 0, 1, 0xff, 0xc9, 0x75, 0xf5, 0x8b, 0x05, 1, 0, 0, 0, 0xf4, 0,
    0, 0, 0,
];
/// The same, and in the loop: mov eax, 0; add ebx, eax; inc dword [the first's operand].
const REWRITES: &[u8] = &[
    0xb9, 100, 0, 0, 0, 0x83, 0x05, 24, 0, 0, 0, 1, 0xb8, 0, 0, 0, 0, 0x01, 0xc3, 0xff, 0x05, 0xf4, 0xff,
    0xff, 0xff, 0xff, 0xc9, 0x75, 0xe8, 0x8b, 0x05, 1, 0, 0, 0, 0xf4, 0, 0, 0, 0,
];

/// Runs `code` from an empty cache: the state at its end, and how many blocks were made.
fn run<B: Backend<Cpu>>(backend: B, code: &[u8]) -> (State, u64) {
    let mut side = Side::new(backend);
    let blank = side.engine.cpu.save();
    side.load(&Program {
        kind: Kind::Kernel64,
        choice: 0,
        data_seed: 1,
        items: vec![Item { at: 0, bytes: code.to_vec() }],
        entries: vec![0],
        jumps: vec![0],
    });
    let mut state = State { count: 0, rip: CODE, rflags: 2, ..blank };
    state.system = Kind::Kernel64.system(0);
    (state.regs[3], state.regs[4]) = (0, STACK);
    side.engine.load(&state);
    let before = side.engine.stats.blocks;
    assert_eq!(side.run(10_000, false), Stop::Halt);
    (side.engine.cpu.save(), side.engine.stats.blocks - before)
}

#[test]
fn data_beside_code_costs_no_translations() {
    let (by_interp, in_interp) = run(Interp, COUNTS);
    let (by_jit, in_jit) = run(Jit::new().unwrap(), COUNTS);
    assert_eq!(by_jit, by_interp);
    assert_eq!(by_jit.regs[0], ROUNDS);
    assert!(in_interp < 10 && in_jit < 10, "{in_interp} and {in_jit} blocks");
}

#[test]
fn code_that_rewrites_itself_beside_data_is_as_it_was_written() {
    let (by_interp, _) = run(Interp, REWRITES);
    let (by_jit, blocks) = run(Jit::new().unwrap(), REWRITES);
    assert_eq!(by_jit, by_interp);
    assert_eq!((by_jit.regs[0], by_jit.regs[3]), (ROUNDS, (0..ROUNDS).sum()));
    assert!(blocks >= ROUNDS, "{blocks} blocks");
}
