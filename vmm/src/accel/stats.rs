//! What the translator says of itself for `--stats`. docs/performance.md explains each line.

use rrvmm_tcg::{
    block::{Backend, Exit},
    x86::{Cpu, engine::Engine},
};

/// Name of each [`Exit`], in its order.
const EXITS: [&str; Exit::COUNT] = [
    "exits by first link",
    "exits by second link",
    "exits to look up",
    "exits to leave",
    "exits by fault",
    "exits by device or write",
    "exits at end",
    "exits by count",
];

/// Name and value of each line.
pub(super) fn lines<B: Backend<Cpu>>(engine: &Engine<B>) -> Vec<(&'static str, String)> {
    let (stats, slow) = (&engine.stats, &engine.cpu.core.slow);
    let executed = engine.cpu.core.count;
    let mut out = vec![
        ("blocks translated", stats.blocks.to_string()),
        ("instructions in them", stats.instructions.to_string()),
        ("blocks discarded", stats.discarded.to_string()),
        ("block cache emptied", stats.flushes.to_string()),
        ("time in translation", translation(stats.translating, stats.blocks, stats.instructions)),
    ];
    out.extend(engine.counters().into_iter().map(|(name, value)| (name, value.to_string())));
    out.extend(EXITS.into_iter().zip(stats.exits).map(|(name, n)| (name, n.to_string())));
    out.extend([
        ("block searches", stats.searches.to_string()),
        ("exceptions", stats.exceptions.to_string()),
        ("data slow paths", slow.data.to_string()),
        ("data TLB walks", slow.data_walks.to_string()),
        ("data TLB hits", estimate(executed, stats.accesses, stats.instructions, slow.data)),
        ("fetch look-ups", slow.fetches.to_string()),
        ("fetch TLB walks", slow.fetch_walks.to_string()),
        ("fetch TLB hits", hits(slow.fetches, slow.fetch_walks)),
        ("unknown MSRs", engine.cpu.unknown.msrs.to_string()),
        ("unknown opcodes", engine.cpu.unknown.opcodes.to_string()),
    ]);
    out
}

fn translation(nanoseconds: u64, blocks: u64, instructions: u64) -> String {
    let each = |n: u64| nanoseconds as f64 / 1e3 / n.max(1) as f64;
    format!(
        "{:.3} s, {:.2} us a block, {:.2} us an instruction",
        nanoseconds as f64 / 1e9,
        each(blocks),
        each(instructions)
    )
}

fn hits(of: u64, missed: u64) -> String {
    format!("{:.2} %", 100.0 * (1.0 - missed as f64 / of.max(1) as f64))
}

/// How many data accesses the inline look settled. Machine code does not count accesses: their number is that of the
/// instructions executed times the accesses of an average translated one.
fn estimate(executed: u64, accesses: u64, instructions: u64, slow: u64) -> String {
    let all = executed as f64 * accesses as f64 / instructions.max(1) as f64;
    let share = 100.0 * (1.0 - slow as f64 / all.max(1.0));
    format!("about {:.2} % of about {:.0} million", share.max(0.0), all / 1e6)
}
