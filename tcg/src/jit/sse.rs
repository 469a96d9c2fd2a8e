//! SSE by the host's SSE: the guest's XMM registers in the host's of the same numbers, its MXCSR in the host's.
//!
//! Inside a block an XMM register is loaded at its first use and written back before anything that may look. MXCSR is
//! loaded by the first instruction that needs it and goes back when machine code is left, see [`super::thunks`]; while it
//! unmasks exceptions, and when memory takes the slow path, the helper does the instruction.

use super::{
    asm::{Asm, Fixup, Rm, cc, host::*},
    emit::{Emit, POOL, Slot, Slots, file},
    encodings::{Encoding, Use, encoding},
    frame::{LAZY_WORD, SIMD, Site, XMM},
    thunks::BASE,
};
use crate::{
    ir::{Helper, Mem, Reg, Size},
    x86::{
        Cpu,
        sse::{self, RegClass},
        state::gpr,
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
    misses: Vec<Fixup>,
    back: usize,
    slots: Slots,
    before: Vectors,
    after: Vectors,
    helper: Helper<Cpu>,
    operands: u64,
    seg: Option<Reg>,
    site: Site,
    result: Done,
}

impl ColdVector {
    /// The slow path of an instruction that leaves host registers as they are.
    #[allow(clippy::too_many_arguments)]
    pub fn call(
        misses: Vec<Fixup>,
        back: usize,
        slots: Slots,
        vectors: Vectors,
        (helper, operands): (Helper<Cpu>, u64),
        seg: Option<Reg>,
        site: Site,
        flags: bool,
    ) -> Self {
        let site = Site { dst: Reg::SINK.0, ..site };
        Self {
            check: None,
            misses,
            back,
            slots,
            before: vectors,
            after: vectors,
            helper,
            operands,
            seg,
            site,
            result: if flags { Done::Settled(None) } else { Done::Nothing },
        }
    }
}

/// What an instruction leaves besides XMM registers and memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    /// A general register; its value is in RAX.
    General(Reg, Size),
    /// The host's flags.
    Flags,
    /// Flags settled in their words, and a general register as above.
    Settled(Option<(Reg, Size)>),
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
            (Some(e), Some(row)) if self.native_sse => {
                self.native_vector(e, row, o, helper, operands, mem, live);
            }
            (None, None) if self.native_sse && self.x87(helper, operands, mem, live) => {}
            _ => self.vector_call(helper, operands, mem, flags),
        }
    }

    fn vector_call(&mut self, helper: Helper<Cpu>, operands: u64, mem: Option<Mem>, flags: bool) {
        self.site.dst = Reg::SINK.0;
        match mem {
            Some(mem) => {
                self.address(&Mem { seg: Reg::ZERO, wrap32: false, ..mem });
                self.a.mov(RDX, RAX);
            }
            None => self.a.mov_imm(RDX, 0),
        }
        self.flush(true);
        self.a.mov_imm(RSI, operands);
        self.a.mov_imm(RCX, self.site.pack());
        self.a.mov_imm(R9, helper as usize as u64);
        if flags {
            self.a.call_abs(self.t.call);
            self.after_call();
        } else {
            // What is pending stays so.
            self.a.call_abs(self.t.vector);
            self.forget();
            self.exact = 0;
        }
    }

    #[allow(clippy::too_many_arguments)]
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
            _ => RAX,
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
        let misses = match mem {
            Some(_) => self.vector_operand(form.bytes, stores, form.aligned),
            None => Vec::new(),
        };

        let operand = match mem {
            Some(_) => Rm::Base(RAX, 0),
            None if rm_general => Rm::Reg(source),
            None => Rm::Reg(rm),
        };
        let field = match e.operands {
            Use::Group(n) => n,
            _ if general(reg_class) => RAX,
            _ => reg,
        };
        self.a.sse(e.prefix, e.opcode, wide, field, operand);
        if e.immediate {
            self.a.code.push(o.imm);
        }
        if matches!(e.operands, Use::Index | Use::Mask) {
            self.flags_of_strings(live);
        }
        let back = self.a.here();

        let (written, class) = if backwards { (rm, rm_class) } else { (reg, reg_class) };
        let mut result = Done::Nothing;
        match e.operands {
            Use::Test => result = Done::Flags,
            Use::Index => result = Done::Settled(Some((Reg(gpr::RCX as u8), Size::Q))),
            Use::Mask => {
                result = Done::Settled(None);
                self.vectors.set(0);
            }
            _ if backwards && mem.is_some() => {}
            _ if class == RegClass::Xmm => self.vectors.set(written),
            _ => result = Done::General(Reg(written & 15), size_of(class)),
        }
        if check.is_some() || mem.is_some() {
            let (after, site) = (self.vectors, Site { dst: Reg::SINK.0, ..self.site });
            let seg = mem.map(|m| m.seg);
            self.cold_vectors.push(ColdVector {
                check,
                misses,
                back,
                slots,
                before,
                after,
                helper,
                operands,
                seg,
                site,
                result,
            });
        }
        match result {
            Done::Nothing | Done::Settled(None) => {}
            Done::General(r, size) | Done::Settled(Some((r, size))) => self.put(size, r, RAX),
            Done::Flags => self.flags_of_compare(live),
        }
    }

    /// Loads the XMM registers that the instruction reads.
    fn vector_inputs(&mut self, operands: Use, reg: u8, reg_class: RegClass, rm: u8, rm_is_xmm: bool) {
        let (reads_reg, reads_rm) = match operands {
            Use::Write => (false, true),
            Use::Modify | Use::Blend | Use::Test | Use::Index | Use::Mask => (true, true),
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
            let loaded = self.a.jcc(cc::E);
            self.a.bind_to(loaded, on);
        }
        for &miss in &c.misses {
            self.a.bind(miss);
        }
        c.before.save(&mut self.a);
        for (n, slot) in c.slots.iter().enumerate() {
            if let Some(Slot { reg, dirty: true }) = *slot {
                self.a.store(Size::Q, file(reg), POOL[n]);
            }
        }
        match c.seg {
            None => self.a.mov_imm(RDX, 0),
            Some(seg) => {
                self.a.mov(RDX, RAX);
                if seg != Reg::ZERO {
                    self.a.alu(5, Size::Q, RDX, file(seg));
                }
            }
        }
        self.a.mov_imm(RSI, c.operands);
        self.a.mov_imm(RCX, c.site.pack());
        self.a.mov_imm(R9, c.helper as usize as u64);
        // Flags that stay pending must not be settled: the block goes on as if they were.
        let flags = matches!(c.result, Done::Flags | Done::Settled(_));
        self.a.call_abs(if flags { self.t.call } else { self.t.vector });
        match c.result {
            Done::Nothing | Done::Settled(None) => {}
            Done::General(r, _) | Done::Settled(Some((r, _))) => self.a.load(Size::Q, RAX, file(r)),
            Done::Flags => {
                // OF is clear after TEST; SAHF sets the others from AH.
                self.a.shift_imm(4, Size::D, RAX, 8);
                self.a.test(Size::D, Rm::Reg(RAX), RAX);
                self.a.sahf();
            }
        }
        for (n, slot) in c.slots.iter().enumerate().skip(super::emit::KEPT) {
            if let Some(Slot { reg, .. }) = *slot {
                self.a.load(Size::Q, POOL[n], file(reg));
            }
        }
        c.after.restore(&mut self.a);
        let back = self.a.jmp();
        self.a.bind_to(back, c.back);
    }

    /// The guest's flags become the host's, of which OF, AF and SF are clear: after a comparison of vectors.
    fn flags_of_compare(&mut self, live: bool) {
        use super::flags::{ALL, Pending};
        // The slow path has settled the flags.
        self.word = None;
        self.exact = ALL;
        if !live {
            self.pending = Pending::Unknown;
            return;
        }
        self.a.lahf();
        self.a.code.extend_from_slice(&[0x0f, 0xb6, 0xcc]); // movzx ecx, ah
        self.settle_compare();
        self.a.sahf();
        self.exact = ALL;
    }

    /// The settled flags become those in RCX, as LAHF has them: CF, ZF and PF, the others clear.
    pub(super) fn settle_compare(&mut self) {
        use super::{
            flags::Pending,
            frame::{FLAG_A, FLAG_C, FLAG_S, FLAG_Z},
        };
        let at = |disp| Rm::Base(BASE, disp);
        let a = &mut self.a;
        // CF into bits 63 and 62; ZF and PF inverted, as words.
        a.mov(RDX, RCX);
        a.shift_imm(4, Size::Q, RDX, 63);
        a.shift_imm(7, Size::Q, RDX, 1);
        a.store(Size::Q, at(FLAG_C), RDX);
        a.unary(2, Size::D, Rm::Reg(RCX));
        a.mov(RDX, RCX);
        a.alu_imm(4, Size::D, Rm::Reg(RDX), 0x40);
        a.store(Size::Q, at(FLAG_Z), RDX);
        a.alu_imm(4, Size::D, Rm::Reg(RCX), 4);
        a.store(Size::Q, at(FLAG_S), RCX);
        a.store_imm(Size::Q, at(FLAG_A), 0);
        a.store_imm(Size::D, at(LAZY_WORD), 0);
        self.pending = Pending::Words;
        self.word = Some(0);
        self.exact = 0;
    }

    /// Settles the host's flags, of which AF and PF are clear, and moves ECX to RAX: after a comparison of strings.
    fn flags_of_strings(&mut self, live: bool) {
        use super::{
            flags::Pending,
            frame::{FLAG_A, FLAG_C, FLAG_S, FLAG_Z},
        };
        let at = |disp| Rm::Base(BASE, disp);
        self.exact = 0;
        if live {
            let a = &mut self.a;
            a.lahf();
            a.setcc(0, Rm::Reg(RAX)); // OF
            a.movzx(Size::B, RDX, Rm::Reg(RAX));
            a.code.extend_from_slice(&[0x0f, 0xb6, 0xc4]); // movzx eax, ah
            // OF becomes OF XOR CF, in bit 62; CF goes to bit 63.
            a.alu(6, Size::D, RDX, Rm::Reg(RAX));
            a.shift_imm(4, Size::Q, RDX, 63);
            a.shift_imm(5, Size::Q, RDX, 1);
            a.store(Size::Q, at(FLAG_C), RDX);
            a.mov(RDX, RAX);
            a.shift_imm(4, Size::Q, RDX, 63);
            a.alu(1, Size::Q, RDX, at(FLAG_C));
            a.store(Size::Q, at(FLAG_C), RDX);
            // SF goes to bit 63, an odd low byte stands for a clear PF.
            a.mov(RDX, RAX);
            a.shift_imm(4, Size::Q, RDX, 56);
            a.shift_imm(5, Size::Q, RDX, 63);
            a.shift_imm(4, Size::Q, RDX, 63);
            a.alu_imm(1, Size::Q, Rm::Reg(RDX), 1);
            a.store(Size::Q, at(FLAG_S), RDX);
            a.unary(2, Size::D, Rm::Reg(RAX));
            a.alu_imm(4, Size::D, Rm::Reg(RAX), 0x40);
            a.store(Size::Q, at(FLAG_Z), RAX);
            a.store_imm(Size::Q, at(FLAG_A), 0);
            a.store_imm(Size::D, at(LAZY_WORD), 0);
            self.pending = Pending::Words;
            self.word = Some(0);
        } else {
            self.pending = Pending::Unknown;
            self.word = None;
        }
        self.a.load(Size::D, RAX, Rm::Reg(RCX));
    }
}
