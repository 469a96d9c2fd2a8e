//! A translated stretch of guest code, before a back end takes it.

use crate::{Bus, guest::Guest, ir::Op};

/// Where a guest instruction starts.
#[derive(Clone, Copy, Debug)]
pub struct Insn {
    /// Its pc minus the block's.
    pub offset: u32,
    /// Index of its first op.
    pub op: u32,
}

/// IR of one block: straight-line code that ends with an op that leaves.
#[derive(Debug)]
pub struct Block<G: Guest> {
    /// pc of the first instruction.
    pub pc: u64,
    /// Bytes of guest code.
    pub len: u32,
    /// The operations.
    pub ops: Vec<Op<G>>,
    /// The instructions, at least one.
    pub insns: Vec<Insn>,
}

/// How a run of ops ended; the first three are the plain ends of a whole block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// A jump whose target is constant; first of two exits. pc is set.
    Chain0,
    /// Second constant exit. pc is set.
    Chain1,
    /// A jump to a computed address. pc is set.
    Lookup,
    /// An instruction that may have changed anything (mode, mapping, interrupts). pc is set.
    Leave,
    /// The instruction `core.insn` raised a fault; it is in the guest.
    Fault,
    /// The instruction `core.insn` must be the last; `core.rest` ops of the run have not been executed.
    Attention,
    /// Ran out of ops: a cut block.
    End,
}

/// Turns IR into something that runs. The interpreter is the reference; machine code is the other.
pub trait Backend<G: Guest> {
    /// Compiled form of one block.
    type Code;

    /// Compiles a block.
    fn compile(&mut self, block: &Block<G>) -> Self::Code;

    /// Runs the whole block.
    fn run_whole(&self, code: &Self::Code, guest: &mut G, bus: &mut dyn Bus) -> Exit;

    /// Runs ops `from..to` (indices into the compiled form's own numbering, see [`Backend::bounds`]).
    fn run(&self, code: &Self::Code, from: usize, to: usize, guest: &mut G, bus: &mut dyn Bus) -> Exit;

    /// Start of every instruction in the compiled form, and one past the last op.
    fn bounds<'a>(&self, code: &'a Self::Code) -> &'a [u32];
}
