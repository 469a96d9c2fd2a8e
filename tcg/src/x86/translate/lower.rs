//! The translator's workbench: operands, addresses, temporaries.

use crate::{
    Bus,
    ir::{Crossing, Helper, Mem, Op, Quick, Reg, Size, Val},
    x86::{
        Cpu, Exception,
        mode::Mode,
        state::{gpr, seg},
    },
};
use iced_x86::{Instruction, OpKind, Register};

/// `None` when the instruction is of another family.
pub(super) type Lowered = Option<()>;

/// Lowers the instructions of one block.
pub(super) struct Lower {
    pub ops: Vec<Op<Cpu>>,
    pub mode: Mode,
    /// Offset of the current instruction in CS.
    pub pc: u64,
    /// Offset of the next.
    pub next: u64,
    /// Whether the current instruction ended the block.
    pub ended: bool,
    temps: u8,
}

/// Rsp.
pub(super) const RSP: Reg = Reg(gpr::RSP as u8);
/// Rax.
pub(super) const RAX: Reg = Reg(gpr::RAX as u8);
/// Rcx.
pub(super) const RCX: Reg = Reg(gpr::RCX as u8);
/// Rdx.
pub(super) const RDX: Reg = Reg(gpr::RDX as u8);
/// Rbp.
pub(super) const RBP: Reg = Reg(gpr::RBP as u8);

impl Lower {
    /// Ops go to the end of `ops`.
    pub fn new(mode: Mode, ops: Vec<Op<Cpu>>) -> Self {
        Self { ops, mode, pc: 0, next: 0, ended: false, temps: 0 }
    }

    /// Starts the instruction at `pc`.
    pub fn begin(&mut self, pc: u64, next: u64) {
        (self.pc, self.next, self.temps) = (pc, next, 0);
    }

    pub fn op(&mut self, op: Op<Cpu>) {
        self.ops.push(op);
    }

    /// A fresh temporary. One instruction never needs more than there are.
    pub fn temp(&mut self) -> Reg {
        let t = Reg::temp(self.temps);
        self.temps += 1;
        debug_assert!(self.temps <= 40);
        t
    }

    pub fn is64(&self) -> bool {
        self.mode.has(Mode::CODE64)
    }

    /// A temporary holding a constant.
    pub fn constant(&mut self, value: u64) -> Reg {
        let t = self.temp();
        self.op(Op::Mov { size: Size::Q, dst: t, src: Val::Imm(value) });
        t
    }

    /// `v` in a register.
    pub fn in_reg(&mut self, v: Val) -> Reg {
        match v {
            Val::Reg(r) => r,
            Val::Imm(i) => self.constant(i),
        }
    }

    pub fn call(&mut self, helper: Helper<Cpu>, dst: Reg, a: impl Into<Val>, b: impl Into<Val>) {
        self.op(Op::Call { helper, dst, a: a.into(), b: b.into(), flags: false });
    }

    /// As [`Lower::call`], of a helper that writes flags.
    pub fn call_for_flags(&mut self, helper: Helper<Cpu>, dst: Reg, a: impl Into<Val>, b: impl Into<Val>) {
        self.op(Op::Call { helper, dst, a: a.into(), b: b.into(), flags: true });
    }

    /// A call that back ends may do without.
    pub fn quick(
        &mut self,
        quick: Quick,
        helper: Helper<Cpu>,
        dst: Reg,
        a: impl Into<Val>,
        b: impl Into<Val>,
    ) {
        self.op(Op::Quick { quick, helper, dst, a: a.into(), b: b.into() });
    }

    /// Ends the block with a helper that may change anything.
    pub fn leave(&mut self, helper: Helper<Cpu>, a: impl Into<Val>, b: impl Into<Val>) {
        let next = self.next;
        self.op(Op::CallLeave { helper, a: a.into(), b: b.into(), next, crossing: None });
        self.ended = true;
    }

    /// As [`Lower::leave`], of an instruction that some back ends know.
    pub fn cross(&mut self, helper: Helper<Cpu>, a: Val, crossing: Crossing) {
        let next = self.next;
        self.op(Op::CallLeave { helper, a, b: Val::Imm(0), next, crossing: Some(crossing) });
        self.ended = true;
    }

    /// Raises `helper`'s exception when run.
    pub fn raise(&mut self, helper: Helper<Cpu>) {
        self.leave(helper, Val::Imm(0), Val::Imm(0));
    }

    /// Width of operand `i`.
    pub fn size(&self, insn: &Instruction, i: u32) -> Size {
        let bytes = match insn.op_kind(i) {
            OpKind::Register => insn.op_register(i).size(),
            OpKind::Memory => insn.memory_size().size(),
            OpKind::Immediate8 => 1,
            OpKind::Immediate16 | OpKind::Immediate8to16 => 2,
            OpKind::Immediate32 | OpKind::Immediate8to32 => 4,
            _ => 8,
        };
        Size::of(bytes).unwrap_or(Size::Q)
    }

    /// The value of operand `i`; bits above its width are not defined. Memory is loaded.
    pub fn read(&mut self, insn: &Instruction, i: u32) -> Val {
        match insn.op_kind(i) {
            OpKind::Register => Val::Reg(self.read_reg(insn.op_register(i))),
            OpKind::Memory => {
                let size = self.size(insn, i);
                let mem = self.mem(insn, u64::from(size.bytes()), false);
                let dst = self.temp();
                self.op(Op::Load { size, dst, mem });
                Val::Reg(dst)
            }
            _ => Val::Imm(insn.immediate(i)),
        }
    }

    /// A register that holds the value of `r` in its low bits.
    pub fn read_reg(&mut self, r: Register) -> Reg {
        if let Some(src) = high8(r) {
            let dst = self.temp();
            self.op(Op::High8 { dst, src });
            dst
        } else {
            file(r)
        }
    }

    /// Writes `src` to register operand `r`.
    pub fn write_reg(&mut self, r: Register, src: impl Into<Val>) {
        let src = src.into();
        if let Some(dst) = high8(r) {
            let src = self.in_reg(src);
            self.op(Op::SetHigh8 { dst, src });
        } else {
            let size = Size::of(r.size()).unwrap_or(Size::Q);
            self.op(Op::Mov { size, dst: file(r), src });
        }
    }

    /// Writes operand `i` (register or memory). For memory this may fault: write registers after.
    pub fn write(&mut self, insn: &Instruction, i: u32, src: impl Into<Val>) {
        if insn.op_kind(i) == OpKind::Memory {
            let size = self.size(insn, i);
            let mem = self.mem(insn, u64::from(size.bytes()), true);
            self.op(Op::Store { size, mem, src: src.into() });
        } else {
            self.write_reg(insn.op_register(i), src);
        }
    }

    /// Reads operand 0, lets `f` turn it into a result (source register, destination register to fill), writes it back.
    pub fn modify(&mut self, insn: &Instruction, f: impl FnOnce(&mut Self, Size, Reg, Reg)) {
        let size = self.size(insn, 0);
        if insn.op_kind(0) == OpKind::Memory {
            let mem = self.mem(insn, u64::from(size.bytes()), true);
            let t = self.temp();
            self.op(Op::LoadForWrite { size, dst: t, mem });
            f(self, size, t, t);
            self.op(Op::Store { size, mem, src: Val::Reg(t) });
            return;
        }
        let r = insn.op_register(0);
        if let Some(full) = high8(r) {
            let t = self.temp();
            self.op(Op::High8 { dst: t, src: full });
            f(self, size, t, t);
            self.op(Op::SetHigh8 { dst: full, src: t });
        } else {
            f(self, size, file(r), file(r));
        }
    }

    /// Effective address of the memory operand, without segment.
    pub fn effective(&mut self, insn: &Instruction) -> Mem {
        let (base, index) = (insn.memory_base(), insn.memory_index());
        let bytes = match (base, index) {
            (Register::None, Register::None) => match insn.memory_displ_size() {
                2 => 2,
                4 => 4,
                _ => 8,
            },
            (Register::None, r) | (r, _) => r.size(),
        };
        let relative = matches!(base, Register::RIP | Register::EIP);
        Mem {
            seg: Reg::ZERO,
            base: if base == Register::None || relative { Reg::ZERO } else { file(base) },
            index: if index == Register::None { Reg::ZERO } else { file(index) },
            scale: insn.memory_index_scale().trailing_zeros() as u8,
            disp: insn.memory_displacement64(),
            width: Size::of(bytes).unwrap_or(Size::Q),
            wrap32: !self.is64(),
        }
    }

    /// Whether addresses in segment `n` need no check against it. The code that runs may be read there, never written
    /// (SDM volume 3, 5.5).
    pub fn unchecked(&self, n: usize, write: bool) -> bool {
        self.is64() || self.mode.unlimited(n) && !(write && n == seg::CS)
    }

    /// Linear address of the memory operand, checked for an access of `len` bytes where the segment needs it.
    pub fn mem(&mut self, insn: &Instruction, len: u64, write: bool) -> Mem {
        let mem = self.effective(insn);
        self.segmented(segment(insn.memory_segment()), mem, len, write)
    }

    /// `mem` (an effective address) in segment `n`.
    pub fn segmented(&mut self, n: usize, mem: Mem, len: u64, write: bool) -> Mem {
        let base = Reg(Reg::SEG.0 + n as u8);
        if self.is64() {
            return if n >= seg::FS { Mem { seg: base, ..mem } } else { mem };
        }
        if self.unchecked(n, write) {
            return if self.mode.flat(n) { mem } else { Mem { seg: base, ..mem } };
        }
        let (offset, dst) = (self.temp(), self.temp());
        self.op(Op::Lea { dst: offset, mem: Mem { wrap32: false, ..mem } });
        self.call(check_segment, dst, offset, Val::Imm(n as u64 | len << 8 | u64::from(write) << 32));
        Mem::at(dst)
    }

    /// Width of the stack pointer.
    pub fn stack_width(&self) -> Size {
        if self.is64() {
            Size::Q
        } else if self.mode.has(Mode::STACK32) {
            Size::D
        } else {
            Size::W
        }
    }

    /// Stack memory `disp` bytes from the stack pointer.
    pub fn stack(&mut self, base: Reg, disp: i64, len: u64, write: bool) -> Mem {
        let mem = Mem {
            seg: Reg::ZERO,
            base,
            index: Reg::ZERO,
            scale: 0,
            disp: disp as u64,
            width: self.stack_width(),
            wrap32: !self.is64(),
        };
        self.segmented(seg::SS, mem, len, write)
    }

    /// Pushes `v`.
    pub fn push(&mut self, size: Size, v: impl Into<Val>) {
        let bytes = i64::from(size.bytes());
        let mem = self.stack(RSP, -bytes, bytes as u64, true);
        self.op(Op::Store { size, mem, src: v.into() });
        self.move_stack(-bytes);
    }

    /// Loads the top of the stack into a temporary; the stack pointer stays.
    pub fn peek(&mut self, size: Size) -> Reg {
        let mem = self.stack(RSP, 0, u64::from(size.bytes()), false);
        let dst = self.temp();
        self.op(Op::Load { size, dst, mem });
        dst
    }

    /// Adds `bytes` to the stack pointer.
    pub fn move_stack(&mut self, bytes: i64) {
        let size = self.stack_width();
        self.op(Op::Alu {
            op: crate::ir::Alu::Add,
            size,
            dst: RSP,
            a: RSP,
            b: Val::Imm(bytes as u64),
            flags: false,
        });
    }
}

/// The register-file place of a general register (any width; low byte registers included).
pub(super) fn file(r: Register) -> Reg {
    Reg(r.full_register().number() as u8)
}

/// The full register when `r` is AH, CH, DH or BH.
pub(super) fn high8(r: Register) -> Option<Reg> {
    match r {
        Register::AH => Some(Reg(0)),
        Register::CH => Some(Reg(1)),
        Register::DH => Some(Reg(2)),
        Register::BH => Some(Reg(3)),
        _ => None,
    }
}

/// Segment number of a segment register.
pub(super) fn segment(r: Register) -> usize {
    match r {
        Register::ES => seg::ES,
        Register::CS => seg::CS,
        Register::SS => seg::SS,
        Register::FS => seg::FS,
        Register::GS => seg::GS,
        _ => seg::DS,
    }
}

/// Linear address of offset `offset` in the segment packed in `how`: bits 0-7 segment, 8-31 length, 32 write.
fn check_segment(cpu: &mut Cpu, _: &mut dyn Bus, offset: u64, how: u64) -> Result<u64, Exception> {
    cpu.linear((how & 0xff) as usize, offset, how >> 8 & 0xff_ffff, how >> 32 & 1 != 0)
}
