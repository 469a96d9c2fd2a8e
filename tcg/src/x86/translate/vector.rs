//! MMX and SSE: rows of [`crate::x86::sse`] applied to registers and memory.

use super::lower::{Lower, Lowered, segment};
use crate::{
    Bus,
    flags::Flags,
    ir::{Mem, Op, Reg, Size, Val},
    x86::{
        Cpu, Exception,
        mode::Mode,
        sse::{self, Form, Inputs, Mxcsr, RegClass, SseFault, SseInsn, Target},
        state::{bits, gpr, seg},
    },
};
use iced_x86::{Code, Instruction, OpKind, Register};

/// Operands of a vector instruction, as packed into a helper's argument. The low 16 bits are zero in those of other units.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    /// Number of the encoding's [`iced_x86::Code`].
    pub code: u16,
    /// Register number of operand 0; bit 7 for memory, or with bit 6 the second byte of a general register.
    pub dst: u8,
    /// The same of operand 1.
    pub src: u8,
    /// The immediate byte.
    pub imm: u8,
    /// Segment of the memory operand.
    pub segment: u8,
    /// Registers of MASKMOV, whose data and mask are operands 1 and 2.
    pub masked: bool,
}

/// Stands for a register number where the operand is memory.
const MEMORY: u8 = 0x80;
const HIGH: u8 = 0x40;

impl Operands {
    fn pack(self) -> u64 {
        u64::from(self.code)
            | u64::from(self.dst) << 16
            | u64::from(self.src) << 24
            | u64::from(self.imm) << 32
            | u64::from(self.segment) << 40
            | u64::from(self.masked) << 48
    }

    /// The operands in a helper's argument.
    pub fn unpack(v: u64) -> Self {
        Self {
            code: v as u16,
            dst: (v >> 16) as u8,
            src: (v >> 24) as u8,
            imm: (v >> 32) as u8,
            segment: (v >> 40) as u8,
            masked: v >> 48 & 1 != 0,
        }
    }
}

/// Lowers an MMX or SSE instruction; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    let row = sse::lookup(i.code())?;
    if matches!(i.code(), Code::Movnti_m32_r32 | Code::Movnti_m64_r64) {
        let src = l.read_reg(i.op1_register());
        l.write(i, 0, src);
        return Some(());
    }
    let masked = matches!(row.op, sse::Op::MaskedStore);
    let flags = matches!(row.op, sse::Op::Test(_) | sse::Op::Compare(_) | sse::Op::Strings(..));
    let operand = |n: u32| match i.op_kind(n) {
        OpKind::Register => number(i.op_register(n)),
        _ => MEMORY,
    };
    let (dst, src) = if masked {
        (operand(1), operand(2))
    } else {
        let dst = if i.op_count() > 0 { operand(0) } else { 0 };
        // LDMXCSR's source is its only operand; a shift's count may be the immediate.
        let src = if i.op_count() > 1 && !is_immediate(i, 1) { operand(1) } else { dst & !MEMORY };
        (dst, src)
    };
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let immediate = (0..i.op_count()).find(|&n| is_immediate(i, n)).map_or(0, |n| i.immediate(n) as u8);
    let n = segment(if masked { i.segment_prefix() } else { i.memory_segment() });
    let packed =
        Operands { code: i.code() as u16, dst, src, imm: immediate, segment: n as u8, masked }.pack();
    if !masked
        && surely_available(l.mode, row, src & MEMORY != 0)
        && (!memory || l.unchecked(n, dst & MEMORY != 0))
    {
        let mem = memory.then(|| {
            let ea = l.effective(i);
            l.segmented(n, ea, u64::from(row.form.bytes), dst & MEMORY != 0)
        });
        let faults = matches!(row.op, sse::Op::Float(_) | sse::Op::Compare(_) | sse::Op::LoadMxcsr);
        l.op(Op::Vector { helper: execute, operands: packed, mem, faults, flags });
        return Some(());
    }
    let offset = if memory {
        let ea = l.effective(i);
        let t = l.temp();
        l.op(Op::Lea { dst: t, mem: Mem { wrap32: false, ..ea } });
        Val::Reg(t)
    } else {
        Val::Imm(if masked { masked_width(i) } else { 0 })
    };
    l.op(Op::Call { helper: execute, dst: Reg::SINK, a: Val::Imm(packed), b: offset, flags });
    Some(())
}

/// Whether the instruction needs no check of [`available`] in `mode`.
fn surely_available(mode: Mode, row: &SseInsn, src_in_memory: bool) -> bool {
    !(row.uses_mmx(src_in_memory) || row.uses_sse() && mode.has(Mode::SSE_TRAP))
}

fn is_immediate(i: &Instruction, n: u32) -> bool {
    matches!(i.op_kind(n), OpKind::Immediate8 | OpKind::Immediate8_2nd)
}

/// Mask of the address register of MASKMOV.
fn masked_width(i: &Instruction) -> u64 {
    match i.op0_kind() {
        OpKind::MemorySegDI => 0xffff,
        OpKind::MemorySegEDI => 0xffff_ffff,
        _ => u64::MAX,
    }
}

fn number(r: Register) -> u8 {
    match r {
        Register::AH => HIGH,
        Register::CH => HIGH | 1,
        Register::DH => HIGH | 2,
        Register::BH => HIGH | 3,
        r if r.is_gpr() => r.full_register().number() as u8,
        r => r.number() as u8,
    }
}

/// Executes the row of `packed`; `offset` is the memory operand's offset in its segment. Returns the flags it set.
fn execute(cpu: &mut Cpu, bus: &mut dyn Bus, packed: u64, offset: u64) -> Result<u64, Exception> {
    let o = Operands::unpack(packed);
    let Some(row) = find(o.code) else { return Err(Exception::InvalidOpcode) };
    let src_in_memory = o.src & MEMORY != 0 || loads_operand0(row);
    available(cpu, row, src_in_memory)?;
    let store = o.dst & MEMORY != 0 && !loads_operand0(row) && !o.masked;
    let inputs = Inputs {
        dst: if o.dst & MEMORY != 0 { 0 } else { read(cpu, operand_class(row, o, 0), o.dst) },
        src: if src_in_memory {
            load(cpu, bus, row.form, o, offset)?
        } else {
            read(cpu, operand_class(row, o, 1), o.src)
        },
        imm: o.imm,
        src_in_memory,
        xmm0: cpu.xmm[0],
        rax: cpu.reg(gpr::RAX),
        rdx: cpu.reg(gpr::RDX),
    };
    let mut mxcsr = Mxcsr::new(cpu.mxcsr).unwrap_or_default();
    let result = row.execute(&inputs, &mut mxcsr);
    let out = match result {
        Ok(out) => out,
        Err(fault) => return Err(simd_fault(cpu, fault, mxcsr)),
    };
    match out.target {
        Target::Operand0 if store => store_value(cpu, bus, row.form, o, offset, out.value)?,
        Target::Bytes(mask) => store_bytes(cpu, bus, o, offset, out.value, mask)?,
        Target::Operand0 | Target::Rcx | Target::Xmm0 | Target::Nothing => {}
    }
    // Nothing faults from here on.
    if row.uses_mmx(src_in_memory) {
        if matches!(row.op, sse::Op::Emms) { cpu.x87.emms() } else { cpu.x87.enter_mmx() }
    }
    cpu.mxcsr = mxcsr.bits();
    match out.target {
        Target::Operand0 if !store => write(cpu, row.form.dst, o.dst, out.value),
        Target::Rcx => cpu.set_reg(gpr::RCX, out.value as u64),
        Target::Xmm0 => cpu.xmm[0] = out.value,
        Target::Operand0 | Target::Bytes(_) | Target::Nothing => {}
    }
    if let Some(status) = out.status {
        cpu.core.set_flags(Flags::from_eflags(u64::from(status)));
    }
    // Machine code wants them as the host has them.
    Ok(u64::from(out.status.unwrap_or(0)))
}

fn find(code: u16) -> Option<&'static SseInsn> {
    sse::lookup(iced_x86::Code::try_from(usize::from(code)).ok()?)
}

/// LDMXCSR reads its operand 0.
fn loads_operand0(row: &SseInsn) -> bool {
    matches!(row.op, sse::Op::LoadMxcsr)
}

fn operand_class(row: &SseInsn, o: Operands, n: u8) -> RegClass {
    // MASKMOV's data and mask are both of the class of its source.
    if n == 0 && !o.masked {
        row.form.dst
    } else if o.masked {
        masked_class(row)
    } else {
        row.form.src
    }
}

fn masked_class(row: &SseInsn) -> RegClass {
    if row.form.src == RegClass::Mm || row.form.dst == RegClass::Mm { RegClass::Mm } else { RegClass::Xmm }
}

/// #UD, #NM and #MF that come before anything else (SDM volume 2, section 2.4).
fn available(cpu: &Cpu, row: &SseInsn, src_in_memory: bool) -> Result<(), Exception> {
    let (cr0, cr4) = (cpu.sys.cr0, cpu.sys.cr4);
    let (sse, mmx) = (row.uses_sse(), row.uses_mmx(src_in_memory));
    if (sse || mmx) && cr0 & bits::CR0_EM != 0 || sse && cr4 & bits::CR4_OSFXSR == 0 {
        return Err(Exception::InvalidOpcode);
    }
    if (sse || mmx) && cr0 & bits::CR0_TS != 0 {
        return Err(Exception::DeviceNotAvailable);
    }
    if mmx && cpu.x87.exception_pending() {
        return Err(Exception::FloatingPoint);
    }
    Ok(())
}

fn simd_fault(cpu: &mut Cpu, fault: SseFault, mxcsr: Mxcsr) -> Exception {
    match fault {
        SseFault::Mxcsr(_) => Exception::GP0,
        SseFault::Simd(_) => {
            cpu.mxcsr = mxcsr.bits();
            if cpu.sys.cr4 & bits::CR4_OSXMMEXCPT != 0 {
                Exception::SimdFloatingPoint
            } else {
                Exception::InvalidOpcode
            }
        }
    }
}

fn read(cpu: &Cpu, class: RegClass, n: u8) -> u128 {
    let general = || u128::from(cpu.reg(usize::from(n & 15)));
    match class {
        RegClass::None => 0,
        RegClass::Mm => u128::from(cpu.x87.mmx(n)),
        RegClass::Xmm => cpu.xmm[usize::from(n & 15)],
        RegClass::R8 if n & HIGH != 0 => general() >> 8 & 0xff,
        RegClass::R8 => general() & 0xff,
        RegClass::R16 => general() & 0xffff,
        RegClass::R32 => general() & 0xffff_ffff,
        RegClass::R64 => general(),
    }
}

fn write(cpu: &mut Cpu, class: RegClass, n: u8, value: u128) {
    let r = usize::from(n & 15);
    match class {
        RegClass::None => {}
        RegClass::Mm => cpu.x87.set_mmx(n, value as u64),
        RegClass::Xmm => cpu.xmm[r] = value,
        RegClass::R8 => cpu.set_reg(r, cpu.reg(r) & !0xff | value as u64 & 0xff),
        RegClass::R16 => cpu.set_reg(r, cpu.reg(r) & !0xffff | value as u64 & 0xffff),
        RegClass::R32 => cpu.set_reg(r, value as u64 & 0xffff_ffff),
        RegClass::R64 => cpu.set_reg(r, value as u64),
    }
}

fn address(cpu: &Cpu, form: Form, o: Operands, offset: u64, write: bool) -> Result<u64, Exception> {
    let addr = cpu.linear(usize::from(o.segment), offset, u64::from(form.bytes), write)?;
    if form.aligned && addr & 15 != 0 {
        return Err(Exception::GP0);
    }
    Ok(addr)
}

fn load(cpu: &mut Cpu, bus: &mut dyn Bus, form: Form, o: Operands, offset: u64) -> Result<u128, Exception> {
    let addr = address(cpu, form, o, offset, false)?;
    if form.bytes == 16 {
        let lo = cpu.load_linear(bus, addr, Size::Q)?;
        let hi = cpu.load_linear(bus, addr.wrapping_add(8), Size::Q)?;
        return Ok(u128::from(lo) | u128::from(hi) << 64);
    }
    let size = Size::of(usize::from(form.bytes)).unwrap_or(Size::Q);
    Ok(u128::from(cpu.load_linear(bus, addr, size)?))
}

fn store_value(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    form: Form,
    o: Operands,
    offset: u64,
    value: u128,
) -> Result<(), Exception> {
    let addr = address(cpu, form, o, offset, true)?;
    if form.bytes == 16 {
        cpu.probe_write(addr, 16)?;
        cpu.store_linear(bus, addr, Size::Q, value as u64)?;
        return cpu.store_linear(bus, addr.wrapping_add(8), Size::Q, (value >> 64) as u64);
    }
    let size = Size::of(usize::from(form.bytes)).unwrap_or(Size::Q);
    cpu.store_linear(bus, addr, size, value as u64)
}

/// MASKMOV's store; `mask_of_rdi` is the width of the address register.
fn store_bytes(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    o: Operands,
    mask_of_rdi: u64,
    value: u128,
    mask: u16,
) -> Result<(), Exception> {
    let n = if o.segment == 0 { seg::DS } else { usize::from(o.segment) };
    let start = cpu.reg(gpr::RDI) & mask_of_rdi;
    let selected = |i: &u64| mask >> i & 1 != 0;
    for i in (0..16).filter(selected) {
        let addr = cpu.linear(n, start.wrapping_add(i) & mask_of_rdi, 1, true)?;
        cpu.probe_write(addr, 1)?;
    }
    for i in (0..16).filter(selected) {
        let addr = cpu.linear(n, start.wrapping_add(i) & mask_of_rdi, 1, true)?;
        cpu.store_linear(bus, addr, Size::B, (value >> (8 * i)) as u64)?;
    }
    Ok(())
}
