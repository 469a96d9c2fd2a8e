//! SSE by the host's SSE: the guest's XMM registers in the host's of the same numbers, its MXCSR in the host's.
//!
//! Inside a block an XMM register is loaded at its first use and written back before anything that may look. MXCSR is
//! loaded by the first instruction that needs it and goes back when machine code is left, see [`super::thunks`]; while it
//! unmasks exceptions, and when memory takes the slow path, the helper does the instruction.

use super::{
    asm::{Asm, Fixup, Rm, cc},
    emit::{ARG, Emit, TARGET},
    encodings::{Encoding, Use, encoding},
    flags::{ALL, C, Pending, Unwritten, Z},
    frame::{LAZY_A, SIMD, Site, XMM},
    memory::Miss,
    regs::{BASE, POOL, S0, S1, Slot, Slots, Source, file},
    x87::unpark,
};
use crate::{
    ir::{Helper, Mem, Reg, Size},
    lazy::Kind,
    x86::{
        Cpu,
        sse::{self, RegClass},
        translate::vector::Operands,
    },
};

/// Which guest XMM registers are in the host's.
#[derive(Clone, Copy, Default)]
pub(super) struct Vectors {
    loaded: u16,
    dirty: u16,
}

fn home(n: u8) -> Rm {
    Rm::Base(BASE, XMM + i32::from(n) * 16)
}

fn each(mask: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |n| mask >> n & 1 != 0)
}

impl Vectors {
    /// Writes back what memory does not have.
    pub fn save(self, a: &mut Asm) {
        for n in each(self.dirty) {
            a.sse(None, &[0x0f, 0x29], false, n, home(n));
        }
    }

    /// Loads again after a call.
    pub fn restore(self, a: &mut Asm) {
        for n in each(self.loaded) {
            a.sse(None, &[0x0f, 0x28], false, n, home(n));
        }
    }

    fn has(self, n: u8) -> bool {
        self.loaded >> n & 1 != 0
    }

    fn set(&mut self, n: u8) {
        self.loaded |= 1 << n;
        self.dirty |= 1 << n;
    }
}

/// A slow path of a vector instruction, written after the block: the helper does it.
pub(super) struct ColdVector {
    /// From the check of MXCSR, and where it goes on.
    check: Option<(Fixup, usize)>,
    misses: Option<(Option<Fixup>, Miss)>,
    /// Ways in with the address in S0.
    early: Vec<Fixup>,
    /// Whether registers wait below the stack to be loaded again.
    parked: bool,
    back: usize,
    slots: Slots,
    before: Vectors,
    after: Vectors,
    helper: Helper<Cpu>,
    operands: u64,
    seg: Option<Reg>,
    site: Site,
    result: Done,
    /// Pending flags that memory lacks there.
    unwritten: Option<Unwritten>,
}

impl ColdVector {
    /// The slow path of an instruction that parks registers, and leaves them as they were.
    pub fn parked(
        (early, misses): (Vec<Fixup>, Option<(Option<Fixup>, Miss)>),
        back: usize,
        (slots, vectors): (Slots, Vectors),
        (helper, operands): (Helper<Cpu>, u64),
        seg: Option<Reg>,
        site: Site,
        unwritten: Option<Unwritten>,
    ) -> Self {
        Self {
            check: None,
            misses,
            early,
            parked: true,
            back,
            slots,
            before: vectors,
            after: vectors,
            helper,
            operands,
            seg,
            site: Site { dst: Reg::SINK.0, ..site },
            result: Done::Nothing,
            unwritten,
        }
    }
}

/// What an instruction leaves besides XMM registers and memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    /// A general register; its value is in S0.
    General(Reg, Size),
    /// The host's flags.
    Flags,
}

fn size_of(class: RegClass) -> Size {
    if class == RegClass::R64 { Size::Q } else { Size::D }
}

fn general(class: RegClass) -> bool {
    !matches!(class, RegClass::None | RegClass::Xmm | RegClass::Mm)
}

impl Emit<'_> {
    /// A vector instruction, natively where the host has it.
    pub(super) fn vector(
        &mut self,
        helper: Helper<Cpu>,
        operands: u64,
        mem: Option<Mem>,
        flags: bool,
        live: bool,
    ) {
        let o = Operands::unpack(operands);
        let row = iced_x86::Code::try_from(usize::from(o.code)).ok().and_then(sse::lookup);
        match (encoding(o.code), row) {
            (Some(e), Some(row)) if self.t.sse => {
                self.native_vector(e, row, o, helper, operands, mem, live);
            }
            (None, None) if self.t.sse && self.x87(helper, operands, mem) => {}
            _ => self.vector_call(helper, operands, mem, flags),
        }
    }

    fn vector_call(&mut self, helper: Helper<Cpu>, operands: u64, mem: Option<Mem>, flags: bool) {
        self.site.dst = Reg::SINK.0;
        self.write_pending();
        match mem {
            Some(mem) => self.address(&Mem { seg: Reg::ZERO, wrap32: false, ..mem }),
            None => self.a.mov_imm(S0, 0),
        }
        self.open = None;
        self.flush(true);
        self.vector_arguments(helper, operands, self.site);
        if flags {
            self.a.call_abs(self.t.call);
            self.after_call();
        } else {
            // What is pending stays so.
            self.a.call_abs(self.t.plain);
            self.after_plain_call();
        }
    }

    /// Arguments of a call for an operand at the address in S0.
    fn vector_arguments(&mut self, helper: Helper<Cpu>, operands: u64, site: Site) {
        self.a.mov(ARG, S0);
        self.a.mov_imm(S0, operands);
        self.a.mov_imm(S1, site.pack());
        self.a.mov_imm(TARGET, helper as usize as u64);
    }

    #[allow(clippy::too_many_arguments, reason = "the op has them")]
    fn native_vector(
        &mut self,
        e: &Encoding,
        row: &sse::SseInsn,
        o: Operands,
        helper: Helper<Cpu>,
        operands: u64,
        mem: Option<Mem>,
        live: bool,
    ) {
        let form = row.form;
        let backwards = matches!(e.operands, Use::Store | Use::Merge | Use::Group(_));
        let (reg, rm) = if backwards { (o.src, o.dst) } else { (o.dst, o.src) };
        let (reg_class, rm_class) = if backwards { (form.src, form.dst) } else { (form.dst, form.src) };
        let wide = reg_class == RegClass::R64 || rm_class == RegClass::R64;
        let rm_general = mem.is_none() && general(rm_class);
        let stores = matches!(e.operands, Use::Store | Use::Merge);

        // Everything that touches caches comes before the first way out.
        if let Some(m) = &mem {
            self.address(m);
        }
        let source = match (rm_general, stores) {
            (true, false) => self.read(Reg(rm & 15)),
            _ => S0,
        };
        self.vector_inputs(e.operands, reg, reg_class, rm, mem.is_none() && rm_class == RegClass::Xmm);
        let (slots, before) = (self.slots, self.vectors);
        let floats = matches!(row.op, sse::Op::Float(_) | sse::Op::Compare(_));
        let check = floats.then(|| {
            self.a.alu_imm(7, Size::B, Rm::Base(BASE, SIMD), 0);
            self.exact = 0;
            let off = self.a.jcc(cc::E);
            (off, self.a.here())
        });
        let misses = mem.map(|m| self.vector_operand(&m, form.bytes, stores, form.aligned));

        let operand = match mem {
            Some(_) => Rm::Base(S0, 0),
            None if rm_general => Rm::Reg(source),
            None => Rm::Reg(rm),
        };
        let field = match e.operands {
            Use::Group(n) => n,
            _ if general(reg_class) => S0,
            _ => reg,
        };
        self.a.sse(e.prefix, e.opcode, wide, field, operand);
        if e.immediate {
            self.a.code.push(o.imm);
        }
        let back = self.a.here();

        let (written, class) = if backwards { (rm, rm_class) } else { (reg, reg_class) };
        let mut result = Done::Nothing;
        match e.operands {
            Use::Test => result = Done::Flags,
            _ if backwards && mem.is_some() => {}
            _ if class == RegClass::Xmm => self.vectors.set(written),
            _ => result = Done::General(Reg(written & 15), size_of(class)),
        }
        if check.is_some() || mem.is_some() {
            let (after, site) = (self.vectors, Site { dst: Reg::SINK.0, ..self.site });
            let seg = mem.map(|m| m.seg);
            let unwritten = self.unwritten_there();
            self.cold_vectors.push(ColdVector {
                check,
                misses,
                early: Vec::new(),
                parked: false,
                back,
                slots,
                before,
                after,
                helper,
                operands,
                seg,
                site,
                result,
                unwritten,
            });
        }
        match result {
            Done::Nothing => {}
            Done::General(r, size) => self.put(size, r, S0),
            Done::Flags => self.flags_of_compare(live),
        }
    }

    /// Loads the XMM registers that the instruction reads.
    fn vector_inputs(&mut self, operands: Use, reg: u8, reg_class: RegClass, rm: u8, rm_is_xmm: bool) {
        let (reads_reg, reads_rm) = match operands {
            Use::Write => (false, true),
            Use::Modify | Use::Blend | Use::Test => (true, true),
            Use::Load => (rm_is_xmm, true),
            Use::Store => (true, false),
            Use::Merge => (true, true),
            Use::Group(_) => (false, true),
        };
        if operands == Use::Blend {
            self.bring_vector(0);
        }
        if reads_reg && reg_class == RegClass::Xmm {
            self.bring_vector(reg);
        }
        if reads_rm && rm_is_xmm {
            self.bring_vector(rm);
        }
    }

    fn bring_vector(&mut self, n: u8) {
        if !self.vectors.has(n) {
            self.a.sse(None, &[0x0f, 0x28], false, n, home(n));
            self.vectors.loaded |= 1 << n;
        }
    }

    /// Writes back the XMM registers. Only moves are emitted.
    pub(super) fn flush_vectors(&mut self) {
        self.vectors.save(&mut self.a);
        self.vectors.dirty = 0;
    }

    pub(super) fn cold_vector(&mut self, c: &ColdVector) {
        if let Some((from, on)) = c.check {
            self.a.bind(from);
            self.a.call_abs(self.t.simd);
            self.any_entry();
            let loaded = self.a.jcc(cc::E);
            self.a.bind_to(loaded, on);
        }
        let straight = self.a.jmp();
        let odd = c.misses.and_then(|(odd, miss)| {
            self.miss(miss);
            odd
        });
        for &way in odd.iter().chain(&c.early) {
            self.a.bind(way);
        }
        if c.parked {
            unpark(&mut self.a);
        }
        self.a.bind(straight);
        c.before.save(&mut self.a);
        for (n, slot) in c.slots.iter().enumerate() {
            if let Some(Slot { reg, dirty: true }) = *slot {
                self.a.store(Size::Q, file(reg), POOL[n]);
            }
        }
        if let Some(u) = c.unwritten {
            u.write(&mut self.a);
        }
        match c.seg {
            None => self.a.mov_imm(S0, 0),
            Some(Reg::ZERO) => {}
            Some(seg) => self.a.alu(5, Size::Q, S0, file(seg)),
        }
        self.vector_arguments(c.helper, c.operands, c.site);
        // Flags that stay pending must not be settled: the block goes on as if they were.
        let flags = c.result == Done::Flags;
        self.a.call_abs(if flags { self.t.call } else { self.t.plain });
        match c.result {
            Done::Nothing => {}
            Done::General(r, _) => self.a.load(Size::Q, S0, file(r)),
            Done::Flags => {
                // POPF at the host's ring 3 leaves IF alone; bit 1 is always set.
                self.a.alu_imm(1, Size::D, Rm::Reg(S0), 0x202);
                self.a.push(S0);
                self.a.popf();
            }
        }
        for (n, slot) in c.slots.iter().enumerate() {
            if let Some(Slot { reg, .. }) = *slot {
                self.a.load(Size::Q, POOL[n], file(reg));
            }
        }
        c.after.restore(&mut self.a);
        self.any_entry();
        let back = self.a.jmp();
        self.a.bind_to(back, c.back);
    }

    /// The guest's flags become the host's, of which OF, AF and SF are clear: after a comparison of vectors.
    fn flags_of_compare(&mut self, live: bool) {
        // The slow path has settled the flags.
        self.word = None;
        self.pending = Pending::Unknown;
        self.unwritten = None;
        self.apart = 0;
        self.exact = ALL;
        if !live {
            return;
        }
        // What pends is a result whose PF is right; CF and ZF stand apart. Only moves: the host's flags stay.
        self.keep_a(Source::Imm(0));
        self.a.setcc(cc::NP, Rm::Base(BASE, LAZY_A));
        self.keep_apart(C | Z);
        self.set_pending_apart(Kind::Logic, Size::Q, C | Z);
        self.exact = ALL;
    }
}
