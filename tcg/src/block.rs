//! A translated stretch of guest code, before a back end takes it.

use crate::{
    Bus,
    guest::Guest,
    ir::Op,
    itlb::{Itlb, Witness},
    tlb::PAGE_MASK,
};

/// Where a guest instruction starts.
#[derive(Clone, Copy, Debug)]
pub struct Insn {
    /// Its pc minus the block's.
    pub offset: u32,
    /// Index of its first op.
    pub op: u32,
}

/// Where a block lies in linear memory.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// pc of the first instruction.
    pub pc: u64,
    /// Linear address of that pc.
    pub linear: u64,
    /// Bytes of guest code.
    pub len: u32,
    /// Bits that a linear address keeps.
    pub wrap: u64,
    /// View of the instruction TLB (see [`crate::itlb`]).
    pub view: usize,
}

impl Span {
    /// Linear address of `pc`.
    #[must_use]
    pub fn linear_of(&self, pc: u64) -> u64 {
        self.linear.wrapping_add(pc.wrapping_sub(self.pc)) & self.wrap
    }

    /// First address of the page after the block's first.
    #[must_use]
    pub fn next_page(&self) -> u64 {
        (self.linear | !PAGE_MASK).wrapping_add(1) & self.wrap
    }

    /// Slot of the instruction TLB that must be compared before the block jumps to `pc`; `None` within its pages, whose
    /// slots are known to be filled with what they were.
    #[must_use]
    pub fn slot_to_check(&self, pc: u64) -> Option<u32> {
        let to = self.linear_of(pc);
        let last = self.linear.wrapping_add(u64::from(self.len.max(1)) - 1) & self.wrap;
        let within = [self.linear, last].iter().any(|from| (from ^ to) & PAGE_MASK == 0);
        (!within).then(|| Itlb::slot(self.view, to))
    }
}

/// When a run ends before a block.
#[derive(Clone, Debug)]
pub struct Guard {
    /// With these general registers.
    pub regs: [u64; 16],
    /// With these words of guest memory: host address and value.
    pub words: Vec<(usize, u64)>,
}

/// IR of one block: straight-line code that ends with an op that leaves.
#[derive(Debug)]
pub struct Block<G: Guest> {
    /// pc of the first instruction.
    pub pc: u64,
    /// Bytes of guest code.
    pub len: u32,
    /// Where it lies.
    pub span: Span,
    /// For a block that reaches into a second page: what must hold for that page at every entry.
    pub second: Option<Witness>,
    /// What there must be for a run to end before it. A back end that runs on by itself has to look; the run loop does
    /// wherever a block has ended.
    pub guard: Option<Box<Guard>>,
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
    /// The count does not suffice for a whole block, or its second page is another now; nothing of it was done. pc is set.
    Cut,
}

impl Exit {
    /// How many there are.
    pub const COUNT: usize = Exit::Cut as usize + 1;
}

/// Where and how far a run goes that may follow links (see [`Backend::run_linked`]).
pub struct Linked {
    /// The run loop's number of the first block.
    pub id: u32,
    /// Instructions in it.
    pub insns: u32,
    /// Count that must not be passed.
    pub limit: u64,
    /// What blocks depend on besides their bytes, as the run loop numbers it.
    pub context: u32,
    /// Address of the run loop's table of recent blocks.
    pub recent: usize,
    /// Address of the contexts that the run loop was in last.
    pub contexts: usize,
    /// Whether the run may go on in another context: nothing waits for the end of an instruction that changes it.
    pub moves: bool,
}

/// Turns IR into something that runs. The interpreter is the reference; machine code is the other.
pub trait Backend<G: Guest> {
    /// Compiled form of one block.
    type Code;

    /// Compiles a block.
    fn compile(&mut self, block: Block<G>) -> Self::Code;

    /// Runs the whole block.
    fn run_whole(&self, code: &Self::Code, guest: &mut G, bus: &mut dyn Bus) -> Exit;

    /// Runs ops `from..to` (indices into the compiled form's own numbering, see [`Backend::bounds`]).
    fn run(&self, code: &Self::Code, from: usize, to: usize, guest: &mut G, bus: &mut dyn Bus) -> Exit;

    /// Start of every instruction in the compiled form, and one past the last op.
    fn bounds<'a>(&self, code: &'a Self::Code) -> &'a [u32];

    /// Whether it still has what [`Backend::prepare`] needs of a block; if not, it has to be reminded first.
    fn can_prepare(&self, _code: &Self::Code) -> bool {
        true
    }

    /// As [`Backend::can_prepare`], for [`Backend::run`] and [`Backend::bounds`].
    fn can_run(&self, _code: &Self::Code) -> bool {
        true
    }

    /// Gives it the same block again.
    fn remind(&mut self, _code: &Self::Code, _block: Block<G>) {}

    /// Gets block `id` of `context` ready for [`Backend::run_linked`]. Whether that made every other block's entry invalid.
    fn prepare(&mut self, _id: u32, _context: u32, _code: &Self::Code) -> bool {
        false
    }

    /// Address at which machine code may jump into the block; zero when it may not.
    fn entry(&self, _code: &Self::Code) -> u64 {
        0
    }

    /// Runs the whole block and those it is linked to; `core.moved` says whether the context may be another now. Returns
    /// the last block's number and how it ended. The count is up to date after a plain exit and after [`Exit::Cut`], else
    /// it is that before the last block.
    fn run_linked(
        &mut self,
        at: &Linked,
        code: &Self::Code,
        guest: &mut G,
        bus: &mut dyn Bus,
    ) -> (u32, Exit) {
        let exit = self.run_whole(code, guest, bus);
        if exit <= Exit::Lookup {
            guest.core_mut().count += u64::from(at.insns);
        }
        (at.id, exit)
    }

    /// Lets constant exit `slot` of one block lead straight to another: always within a page, and while the slot of the
    /// instruction TLB for the other's page shows `token` otherwise.
    fn link(&mut self, _from: &Self::Code, _slot: usize, _token: u32, _to: &Self::Code) {}

    /// Takes a link back.
    fn unlink(&mut self, _from: &Self::Code, _slot: usize) {}

    /// Forgets all code.
    fn reset(&mut self) {}

    /// Counters for people: name and value.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
