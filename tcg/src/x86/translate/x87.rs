//! x87: rows of [`crate::x86::x87`] applied to memory.

use super::lower::{Lower, Lowered, segment};
use crate::{
    Bus,
    flags::Flags,
    ir::{Helper, Mem, Op, Reg, Size, Val},
    x86::{
        Cpu, Exception,
        mode::Mode,
        state::{bits, gpr, seg},
        x87::{EnvLayout, IMAGE_MAX, Memory, Outcome, X87Op, decode},
    },
};
use iced_x86::{Instruction, Mnemonic};

/// Where the translator leaves the instruction's own address for [`execute`].
pub(crate) const ADDRESS: Reg = Reg(63);

/// An x87 instruction, as packed into a helper's argument above the 16 bits that name vector instructions.
#[derive(Clone, Copy)]
pub(crate) struct Packed {
    /// D8 to DF.
    pub opcode: u8,
    /// The ModRM byte.
    pub modrm: u8,
    /// Segment of the memory operand.
    pub segment: usize,
    /// 32-bit operand size.
    pub wide: bool,
}

impl Packed {
    fn pack(self) -> u64 {
        u64::from(self.opcode) << 40
            | u64::from(self.modrm) << 16
            | (self.segment as u64) << 24
            | u64::from(self.wide) << 32
    }

    /// The instruction in a helper's argument.
    #[inline]
    pub fn unpack(v: u64) -> Self {
        Self {
            opcode: (v >> 40) as u8,
            modrm: (v >> 16) as u8,
            segment: (v >> 24 & 0xff) as usize % 6,
            wide: v >> 32 & 1 != 0,
        }
    }
}

/// Lowers an x87 instruction from its bytes; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction, bytes: &[u8]) -> Lowered {
    if i.mnemonic() == Mnemonic::Wait {
        l.call(wait, Reg::SINK, Val::Imm(0), Val::Imm(0));
        return Some(());
    }
    let (opcode, modrm) = escape(bytes)?;
    let op = decode(opcode, modrm)?;
    let wide =
        !bytes.iter().take_while(|&&b| b & 0xf8 != 0xd8).any(|&b| b == 0x66) ^ (l.mode.code_bits() == 16);
    let n = if modrm < 0xc0 { segment(i.memory_segment()) } else { seg::DS };
    let operands = Packed { opcode, modrm, segment: n, wide }.pack();
    let helper = HELPERS[usize::from(modrm >= 0xc0)][usize::from(opcode & 7)][usize::from(modrm >> 3 & 7)];
    l.op(Op::Mov { size: Size::Q, dst: ADDRESS, src: Val::Imm(l.pc) });
    let flags = matches!(op, X87Op::Fcomi { .. } | X87Op::Fucomi { .. });
    let memory = modrm < 0xc0;
    // FCMOV reads flags. Machine code takes it that nothing keeps the unit from being used.
    let plain = !matches!(op, X87Op::Fcmov(..)) && !l.mode.has(Mode::FPU_TRAP);
    if plain && !memory {
        l.op(Op::Vector { helper, operands, mem: None, faults: true, flags });
    } else if plain && l.unchecked(n, true) {
        let ea = l.effective(i);
        let mem = Some(l.segmented(n, ea, 0, false));
        l.op(Op::Vector { helper, operands, mem, faults: true, flags: false });
    } else if memory {
        let ea = l.effective(i);
        let t = l.temp();
        l.op(Op::Lea { dst: t, mem: Mem { wrap32: false, ..ea } });
        l.call(helper, Reg::SINK, Val::Imm(operands), Val::Reg(t));
    } else {
        let (a, b) = (Val::Imm(operands), Val::Imm(0));
        l.op(Op::Call { helper, dst: Reg::SINK, a, b, flags });
    }
    Some(())
}

/// [`execute`] for the eight values of the ModRM byte's reg field.
macro_rules! by_reg {
    ($register:literal, $opcode:literal) => {
        [
            execute::<$register, $opcode, 0>,
            execute::<$register, $opcode, 1>,
            execute::<$register, $opcode, 2>,
            execute::<$register, $opcode, 3>,
            execute::<$register, $opcode, 4>,
            execute::<$register, $opcode, 5>,
            execute::<$register, $opcode, 6>,
            execute::<$register, $opcode, 7>,
        ]
    };
}

macro_rules! by_opcode {
    ($register:literal) => {
        [
            by_reg!($register, 0xd8),
            by_reg!($register, 0xd9),
            by_reg!($register, 0xda),
            by_reg!($register, 0xdb),
            by_reg!($register, 0xdc),
            by_reg!($register, 0xdd),
            by_reg!($register, 0xde),
            by_reg!($register, 0xdf),
        ]
    };
}

/// One function for each place in the opcode map: with memory and without, by opcode, by reg field.
static HELPERS: [[[Helper<Cpu>; 8]; 8]; 2] = [by_opcode!(false), by_opcode!(true)];

/// The escape opcode and ModRM of an x87 instruction: the first byte that is not a prefix.
fn escape(bytes: &[u8]) -> Option<(u8, u8)> {
    let is_prefix =
        |b: u8| matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 | 0x40..=0x4f);
    let at = bytes.iter().position(|&b| !is_prefix(b))?;
    let opcode = bytes[at];
    (opcode & 0xf8 == 0xd8).then_some((opcode, *bytes.get(at + 1)?))
}

fn available(cpu: &Cpu) -> Result<(), Exception> {
    if cpu.sys.cr0 & (bits::CR0_EM | bits::CR0_TS) != 0 { Err(Exception::DeviceNotAvailable) } else { Ok(()) }
}

/// WAIT: #NM when MP and TS are set, #MF when an exception is pending.
fn wait(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    let both = bits::CR0_MP | bits::CR0_TS;
    if cpu.sys.cr0 & both == both {
        return Err(Exception::DeviceNotAvailable);
    }
    if cpu.x87.exception_pending() {
        return Err(Exception::FloatingPoint);
    }
    Ok(0)
}

/// Executes the instructions of one place in the opcode map; `offset` is that of the memory operand.
fn execute<const REGISTER: bool, const OPCODE: u8, const REG: u8>(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    packed: u64,
    offset: u64,
) -> Result<u64, Exception> {
    available(cpu)?;
    let Packed { modrm, segment: n, wide, .. } = Packed::unpack(packed);
    let i = modrm & 7;
    let op = if REGISTER { decode(OPCODE, 0xc0 | REG << 3 | i) } else { const { decode(OPCODE, REG << 3) } };
    let Some(op) = op else { return Err(Exception::InvalidOpcode) };
    // A pending exception comes before any access to memory.
    if cpu.x87.exception_pending() && op.waits() {
        return Err(Exception::FloatingPoint);
    }
    let memory = op.memory();
    let operand = match (memory, op) {
        (Some(Memory::Load(len)), _) => load(cpu, bus, n, offset, len)?,
        (_, X87Op::Fcmov(..)) => u128::from(cpu.core.flags().to_eflags()),
        _ => 0,
    };
    if !cpu.model.has_x87_pointers() {
        cpu.x87.forget_pointers();
    }
    let mark = cpu.x87.mark();
    let layout = EnvLayout { wide, real: cpu.sys.cr0 & bits::CR0_PE == 0 || cpu.sys.eflags & bits::VM != 0 };
    match cpu.x87.execute(op, operand) {
        Err(_) => return Err(Exception::FloatingPoint),
        Ok(Outcome::Done) => {}
        Ok(Outcome::Ax(v)) => cpu.set_reg(gpr::RAX, cpu.reg(gpr::RAX) & !0xffff | u64::from(v)),
        Ok(Outcome::Eflags(v)) => cpu.core.set_flags(Flags::from_eflags(u64::from(v))),
        Ok(Outcome::Store(v)) => {
            if let Some(Memory::Store(len)) = memory
                && let Err(fault) = store(cpu, bus, n, offset, len, v)
            {
                cpu.x87.rewind(mark);
                return Err(fault);
            }
        }
        Ok(Outcome::Image) => image(cpu, bus, op, layout, n, offset)?,
    }
    if !op.is_control() {
        let fop = u16::from(OPCODE & 7) << 8 | u16::from(modrm);
        let cs = cpu.sys.segs[seg::CS].selector;
        let ip = cpu.core.regs[ADDRESS.0 as usize];
        cpu.x87.note_instruction(fop, cs, ip);
        if memory.is_some() {
            // Machine code may give the offset by which a sum wrapped at 4 GiB.
            let offset = if cpu.sys.code64() { offset } else { offset & 0xffff_ffff };
            cpu.x87.note_operand(cpu.sys.segs[n].selector, offset);
        }
    }
    Ok(0)
}

fn load(cpu: &mut Cpu, bus: &mut dyn Bus, n: usize, offset: u64, len: u8) -> Result<u128, Exception> {
    let addr = cpu.linear(n, offset, u64::from(len), false)?;
    if len == 10 {
        let lo = cpu.load_linear(bus, addr, Size::Q)?;
        let hi = cpu.load_linear(bus, addr.wrapping_add(8), Size::W)?;
        return Ok(u128::from(lo) | u128::from(hi) << 64);
    }
    Ok(u128::from(cpu.load_linear(bus, addr, Size::of(usize::from(len)).unwrap_or(Size::Q))?))
}

fn store(cpu: &mut Cpu, bus: &mut dyn Bus, n: usize, offset: u64, len: u8, v: u128) -> Result<(), Exception> {
    let addr = cpu.linear(n, offset, u64::from(len), true)?;
    if len == 10 {
        cpu.probe_write(addr, 10)?;
        cpu.store_linear(bus, addr, Size::Q, v as u64)?;
        return cpu.store_linear(bus, addr.wrapping_add(8), Size::W, (v >> 64) as u64);
    }
    cpu.store_linear(bus, addr, Size::of(usize::from(len)).unwrap_or(Size::Q), v as u64)
}

/// FLDENV, FRSTOR, FNSTENV, FNSAVE.
fn image(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    op: X87Op,
    layout: EnvLayout,
    n: usize,
    offset: u64,
) -> Result<(), Exception> {
    let whole = matches!(op, X87Op::Frstor | X87Op::Fnsave);
    let len = if whole { layout.state_bytes() } else { layout.env_bytes() };
    let writes = matches!(op.memory(), Some(Memory::StoreImage));
    let addr = cpu.linear(n, offset, len as u64, writes)?;
    if writes {
        cpu.probe_write(addr, len as u64)?;
        let bytes = if whole { cpu.x87.state_image(layout) } else { cpu.x87.env_image(layout) };
        for (k, chunk) in bytes[..len].chunks_exact(2).enumerate() {
            let v = u64::from(chunk[0]) | u64::from(chunk[1]) << 8;
            cpu.store_linear(bus, addr.wrapping_add(2 * k as u64), Size::W, v)?;
        }
        if whole {
            cpu.x87.init()
        } else {
            cpu.x87.mask_all()
        }
        return Ok(());
    }
    let mut bytes = [0; IMAGE_MAX];
    for (k, byte) in bytes[..len].iter_mut().enumerate() {
        *byte = cpu.load_linear(bus, addr.wrapping_add(k as u64), Size::B)? as u8;
    }
    if whole {
        cpu.x87.restore(&bytes, layout)
    } else {
        cpu.x87.load_env(&bytes, layout)
    }
    Ok(())
}
