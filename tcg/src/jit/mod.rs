//! Machine code for x86-64 hosts from the same IR that the interpreter runs.
//!
//! Blocks jump to each other directly while the translations they were found with hold, and find computed targets in the
//! run loop's table of recent blocks. Everything else is left to the run loop, which counts and delivers exactly as it
//! does for the interpreter: a recording made by one is replayed by the other.
//!
//! One of the files that may use `unsafe`.

mod alu;
mod asm;
mod bits;
mod buffer;
mod crossing;
mod emit;
mod encodings;
mod flags;
mod frame;
mod memory;
mod moves;
mod products;
mod regs;
mod shift;
mod shims;
mod sse;
mod thunks;
mod x87;

use crate::{
    Bus,
    block::{Backend, Block, Exit, Linked},
    interp, itlb,
    x86::Cpu,
};
use asm::Asm;
use buffer::Buffer;
use emit::{Emit, Spare};
use frame::{Frame, TO_BASE};
use std::{
    cell::{Cell, OnceCell},
    io,
};
use thunks::Thunks;

/// What Rust expects of the host: round to nearest, all exceptions masked.
const HOST_MXCSR: u32 = 0x1f80;

/// Bytes of machine code kept: those of every block that the run loop keeps.
const ROOM: usize = 160 << 20;

/// Number of a link record that does not exist.
const NO_LINK: u32 = u32::MAX;

/// Where a block's machine code is, and what it is compiled from until it is.
pub(crate) struct Inner {
    block: Cell<Option<Box<Block<Cpu>>>>,
    /// For runs that stop inside the block, and for ops without machine code.
    interp: OnceCell<Box<interp::Code<Cpu>>>,
    entry: Cell<u64>,
    epoch: Cell<u64>,
    links: Cell<[u32; 2]>,
    /// Where exits without a link lead.
    stubs: Cell<[u64; 2]>,
}

impl Inner {
    fn has_block(&self) -> bool {
        let block = self.block.take();
        let has = block.is_some();
        self.block.set(block);
        has
    }

    /// The interpreter's form of the block. The caller has asked [`Backend::can_run`].
    fn interp(&self) -> &interp::Code<Cpu> {
        self.interp.get_or_init(|| {
            let block = self.block.take().expect("who forgot the block is reminded of it first");
            Box::new(interp::Code::compile(&block))
        })
    }
}

/// A compiled block.
pub struct Code(Box<Inner>);

/// The JIT.
pub struct Jit {
    buffer: Buffer,
    thunks: Thunks,
    /// Bytes of code before the first block.
    shared: usize,
    /// Grows whenever all machine code becomes invalid.
    epoch: u64,
    /// Blocks compiled to machine code.
    compiled: u64,
    /// Times that the buffer was full.
    full: u64,
    spare: Spare,
}

impl Jit {
    /// A JIT without any code.
    ///
    /// # Errors
    /// When the host gives no memory for code.
    pub fn new() -> io::Result<Self> {
        Self::with_room(ROOM)
    }

    /// A JIT that forgets all its code whenever that has grown to `bytes`; more than any one block takes.
    ///
    /// # Errors
    /// When the host gives no memory for code.
    pub fn with_room(bytes: usize) -> io::Result<Self> {
        let mut buffer = Buffer::new(bytes)?;
        let mut a = Asm::new(buffer.next());
        let thunks = Thunks::emit(&mut a);
        buffer.push(&a.code);
        let shared = buffer.used();
        Ok(Self { buffer, thunks, shared, epoch: 1, compiled: 0, full: 0, spare: Spare::default() })
    }

    /// Blocks compiled, and bytes of machine code now in use.
    #[must_use]
    pub fn size(&self) -> (u64, usize) {
        (self.compiled, self.buffer.used())
    }

    /// Compiles to [`Jit::spare`]; gives the addresses of the exits' stubs.
    fn emit(&mut self, id: u32, context: u32, block: &Block<Cpu>, inner: &Inner) -> [u64; 2] {
        let numbers = [self.buffer.link(), self.buffer.link()];
        inner.links.set(numbers);
        let links = numbers.map(|n| self.buffer.link_address(n));
        let mut a = Asm::new(self.buffer.next());
        let Spare { code, cold, live } = std::mem::take(&mut self.spare);
        a.code = code;
        a.code.clear();
        let emit = Emit::new((a, cold), self.thunks, block, (id, context), inner, links);
        let (spare, stubs, interprets) = emit.block(live);
        self.spare = spare;
        if interprets {
            inner.interp.get_or_init(|| Box::new(interp::Code::compile(block)));
        }
        stubs
    }

    fn enter(&self, entry: u64, at: &Linked, guest: &mut Cpu, bus: &mut dyn Bus) -> u64 {
        let left = at.limit - guest.core.count;
        let tlb = guest.core.tlb.base() as u64;
        guest.core.recent = at.recent as u64;
        let cpu: *mut Cpu = guest;
        // SAFETY: only the lifetime of the trait object goes; the frame does not outlive this call.
        let bus = unsafe { std::mem::transmute::<*mut (dyn Bus + '_), *mut (dyn Bus + 'static)>(bus) };
        let mut frame = Frame {
            cpu,
            limit: at.limit,
            tlb,
            context: u64::from(at.context),
            contexts: at.contexts as *const _,
            moves: at.moves,
            mxcsr: HOST_MXCSR,
            bus,
        };
        // SAFETY: the thunk has this signature, and the buffer keeps it mapped and executable.
        let thunk: extern "sysv64" fn(*mut Frame, u64, u64, u64) -> u64 =
            unsafe { std::mem::transmute(self.thunks.enter as usize) };
        let result = thunk(&raw mut frame, entry, left, cpu as u64 + TO_BASE as u64);
        // SAFETY: `cpu` came from the exclusive reference that this function still holds.
        let core = unsafe { &mut (*cpu).core };
        core.lazy.settle(&mut core.flags);
        result
    }
}

fn exit_of(code: u64) -> Exit {
    match code & 0x7f {
        0 => Exit::Chain0,
        1 => Exit::Chain1,
        2 => Exit::Lookup,
        3 => Exit::Leave,
        4 => Exit::Fault,
        5 => Exit::Attention,
        6 => Exit::End,
        _ => Exit::Cut,
    }
}

impl Backend<Cpu> for Jit {
    type Code = Code;

    fn compile(&mut self, block: Block<Cpu>) -> Code {
        Code(Box::new(Inner {
            block: Cell::new(Some(Box::new(block))),
            interp: OnceCell::new(),
            entry: Cell::new(0),
            epoch: Cell::new(0),
            links: Cell::new([NO_LINK; 2]),
            stubs: Cell::new([0; 2]),
        }))
    }

    fn run_whole(&self, code: &Code, guest: &mut Cpu, bus: &mut dyn Bus) -> Exit {
        code.0.interp().run_whole(guest, bus)
    }

    fn run(&self, code: &Code, from: usize, to: usize, guest: &mut Cpu, bus: &mut dyn Bus) -> Exit {
        code.0.interp().run(from, to, guest, bus)
    }

    fn bounds<'a>(&self, code: &'a Code) -> &'a [u32] {
        code.0.interp().bounds()
    }

    fn can_prepare(&self, code: &Code) -> bool {
        code.0.has_block()
    }

    fn can_run(&self, code: &Code) -> bool {
        code.0.interp.get().is_some() || code.0.has_block()
    }

    fn remind(&mut self, code: &Code, block: Block<Cpu>) {
        code.0.block.set(Some(Box::new(block)));
    }

    fn prepare(&mut self, id: u32, context: u32, code: &Code) -> bool {
        if code.0.epoch.get() == self.epoch {
            return false;
        }
        let Some(block) = code.0.block.take() else { return false };
        let mut flushed = false;
        let mut stubs = self.emit(id, context, &block, &code.0);
        if !self.buffer.fits(self.spare.code.len()) {
            self.reset();
            self.full += 1;
            flushed = true;
            stubs = self.emit(id, context, &block, &code.0);
        }
        code.0.entry.set(self.buffer.next());
        code.0.epoch.set(self.epoch);
        code.0.stubs.set(stubs);
        self.buffer.push(&self.spare.code);
        for slot in 0..2 {
            self.unlink(code, slot);
        }
        self.compiled += 1;
        flushed
    }

    fn entry(&self, code: &Code) -> u64 {
        if code.0.epoch.get() == self.epoch { code.0.entry.get() } else { 0 }
    }

    fn run_linked(&mut self, at: &Linked, code: &Code, guest: &mut Cpu, bus: &mut dyn Bus) -> (u32, Exit) {
        let result = self.enter(code.0.entry.get(), at, guest, bus);
        ((result >> 8) as u32, exit_of(result))
    }

    fn link(&mut self, from: &Code, slot: usize, token: u32, to: &Code) {
        if from.0.epoch.get() == self.epoch && to.0.epoch.get() == self.epoch {
            self.buffer.set_link(from.0.links.get()[slot], token, to.0.entry.get());
        }
    }

    fn unlink(&mut self, from: &Code, slot: usize) {
        if from.0.epoch.get() == self.epoch {
            self.buffer.set_link(from.0.links.get()[slot], itlb::NEVER, from.0.stubs.get()[slot]);
        }
    }

    fn reset(&mut self) {
        self.buffer.reset(self.shared);
        self.epoch += 1;
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("blocks compiled", self.compiled),
            ("bytes of machine code", self.buffer.used() as u64),
            ("code buffer full", self.full),
        ]
    }
}
