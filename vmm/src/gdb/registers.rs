//! Register values, as gdb's packets have them: little-endian, in the widths of the layout.

use rrvmm_tcg::softfloat::F80;
use rrvmm_tcg::x86::State;
use rrvmm_tcg::x86::state::{Segment, bits, seg};
use rrvmm_tcg::x86::system::PHYSICAL_BITS;

use super::layout::{Layout, Register, Row};

/// What gdb reads its registers from.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    pub state: State,
    /// The local APIC's task priority.
    pub task_priority: u8,
}

/// A register that gdb cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadOnly;

impl Cpu {
    /// All registers of `layout`, one behind the other.
    pub(super) fn bytes(&self, layout: Layout) -> Vec<u8> {
        layout.rows().iter().flat_map(|row| self.get(row)).collect()
    }

    /// The value of one register.
    pub(super) fn get(&self, row: &Row) -> Vec<u8> {
        self.value(row.register).to_le_bytes()[..row.bytes].to_vec()
    }

    fn value(&self, register: Register) -> u128 {
        let s = &self.state;
        let sys = &s.system;
        match register {
            Register::General(n) if self.in_64_bit_code() => s.regs[n].into(),
            // Outside 64-bit code the upper halves are not the program's.
            Register::General(n) => (s.regs[n] & 0xffff_ffff).into(),
            Register::Pc => s.rip.into(),
            Register::Flags => s.rflags.into(),
            Register::Selector(n) => sys.segs[n].selector.into(),
            Register::Stack(i) => {
                let F80 { sig, se } = s.x87.get(i);
                u128::from(se) << 64 | u128::from(sig)
            }
            Register::ControlWord => s.x87.cw.into(),
            Register::StatusWord => s.x87.sw.into(),
            Register::TagWord => s.x87.tag_word().into(),
            Register::InstructionSelector => s.x87.fcs.into(),
            Register::InstructionOffset => s.x87.fip.into(),
            Register::OperandSelector => s.x87.fds.into(),
            Register::OperandOffset => s.x87.fdp.into(),
            Register::Opcode => s.x87.fop.into(),
            Register::Xmm(n) => s.xmm[n],
            Register::Mxcsr => s.mxcsr.into(),
            Register::Base(n) => sys.segs[n].base.into(),
            Register::KernelGsBase => sys.msrs.kernel_gs_base.into(),
            Register::Cr0 => sys.cr0.into(),
            Register::Cr2 => sys.cr2.into(),
            Register::Cr3 => sys.cr3.into(),
            Register::Cr4 => sys.cr4.into(),
            Register::Cr8 => (self.task_priority >> 4).into(),
            Register::Efer => sys.efer.into(),
        }
    }

    fn in_64_bit_code(&self) -> bool {
        let sys = &self.state.system;
        sys.efer & bits::EFER_LMA != 0 && sys.segs[seg::CS].attr & Segment::L != 0
    }

    /// Whether CR3 can be given `value` alone: with PAE outside long mode the CPU has four entries of its table in itself (SDM
    /// volume 3, 4.4.1).
    fn may_load_cr3(&self, value: u64) -> bool {
        let sys = &self.state.system;
        if sys.efer & bits::EFER_LMA != 0 {
            return value >> PHYSICAL_BITS == 0;
        }
        let has_own_entries = sys.cr0 & bits::CR0_PG != 0 && sys.cr4 & bits::CR4_PAE != 0;
        !has_own_entries && value >> 32 == 0
    }

    /// Whether segments are as their selectors say: in real mode and virtual-8086 mode.
    fn has_plain_segments(&self) -> bool {
        self.state.system.cr0 & bits::CR0_PE == 0 || self.state.rflags & VM != 0
    }

    /// Changes one register. What is as it was is always allowed.
    ///
    /// # Errors
    /// [`ReadOnly`]: a change of this one alone would make a state that no CPU has.
    pub(super) fn set(&mut self, row: &Row, bytes: &[u8]) -> Result<(), ReadOnly> {
        let mut wide = [0; 16];
        let length = bytes.len().min(row.bytes);
        wide[..length].copy_from_slice(&bytes[..length]);
        let value = u128::from_le_bytes(wide);
        if self.get(row)[..] == wide[..row.bytes] {
            return Ok(());
        }
        let word = value as u64;
        let (may_load_cr3, has_plain_segments) = (self.may_load_cr3(word), self.has_plain_segments());
        let s = &mut self.state;
        match row.register {
            Register::General(n) => s.regs[n] = word,
            Register::Pc => s.rip = word,
            Register::Flags => s.rflags = word & FLAGS | 2,
            Register::Stack(i) => s.x87.set(i, F80 { sig: word, se: (value >> 64) as u16 }),
            Register::ControlWord => s.x87.cw = word as u16,
            Register::Opcode => s.x87.fop = word as u16 & 0x7ff,
            Register::InstructionSelector => s.x87.fcs = word as u16,
            Register::InstructionOffset => s.x87.fip = word,
            Register::OperandSelector => s.x87.fds = word as u16,
            Register::OperandOffset => s.x87.fdp = word,
            Register::Xmm(n) => s.xmm[n] = value,
            Register::Mxcsr if word & !0xffff == 0 => s.mxcsr = word as u32,
            Register::Base(n) => s.system.segs[n].base = word,
            Register::KernelGsBase => s.system.msrs.kernel_gs_base = word,
            Register::Cr2 => s.system.cr2 = word,
            Register::Cr0 if only(s.system.cr0 ^ word, CR0) => s.system.cr0 = word,
            Register::Cr3 if may_load_cr3 => s.system.cr3 = word,
            Register::Cr4 if only(s.system.cr4 ^ word, CR4) => s.system.cr4 = word,
            Register::Efer if only(s.system.efer ^ word, EFER) => s.system.efer = word,
            Register::Selector(n) if word <= 0xffff && has_plain_segments => {
                let segment = &mut s.system.segs[n];
                (segment.selector, segment.base) = (word as u16, word << 4);
            }
            Register::Mxcsr
            | Register::Selector(_)
            | Register::StatusWord
            | Register::TagWord
            | Register::Cr0
            | Register::Cr3
            | Register::Cr4
            | Register::Cr8
            | Register::Efer => return Err(ReadOnly),
        }
        Ok(())
    }
}

/// Whether `changed` has no other bits than `allowed`.
fn only(changed: u64, allowed: u64) -> bool {
    changed & !allowed == 0
}

/// What can be changed by itself: neither the mode nor the format of the page tables.
const CR0: u64 =
    bits::CR0_MP | bits::CR0_EM | bits::CR0_TS | bits::CR0_NE | bits::CR0_WP | bits::CR0_AM | bits::CR0_CD;
const CR4: u64 = bits::CR4_VME
    | bits::CR4_PVI
    | bits::CR4_TSD
    | bits::CR4_DE
    | bits::CR4_MCE
    | bits::CR4_PGE
    | bits::CR4_PCE
    | bits::CR4_OSFXSR
    | bits::CR4_OSXMMEXCPT
    | bits::CR4_SMEP
    | bits::CR4_SMAP;
const EFER: u64 = bits::EFER_SCE | bits::EFER_NXE;
const VM: u64 = 1 << 17;

/// The flags that there are, but for VM, which changes more than itself.
const FLAGS: u64 = 0x003d_7fd5;

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_tcg::x86::state::System;
    use rrvmm_tcg::x86::x87::X87;

    fn cpu() -> Cpu {
        let state = State {
            count: 0,
            regs: std::array::from_fn(|n| 0x1111_1111_1111_1111 * n as u64),
            rip: 0xfff0,
            rflags: 2,
            system: System::reset(),
            xmm: [0; 16],
            mxcsr: 0x1f80,
            x87: X87::reset(),
        };
        Cpu { state, task_priority: 0x20 }
    }

    fn row(layout: Layout, name: &str) -> &'static Row {
        layout.rows().iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn registers_have_their_widths_and_places() {
        let cpu = cpu();
        assert_eq!(cpu.bytes(Layout::Legacy).len(), 8 * 4 + 4 + 4 + 6 * 4 + 80 + 32 + 8 * 16 + 4 + 9 * 4);
        assert_eq!(cpu.bytes(Layout::Long).len(), 16 * 8 + 8 + 4 + 6 * 4 + 80 + 32 + 16 * 16 + 4 + 9 * 8);
        assert_eq!(&cpu.bytes(Layout::Legacy)[..8], [0, 0, 0, 0, 0x11, 0x11, 0x11, 0x11]);
        assert_eq!(cpu.get(row(Layout::Long, "rbx")), [0x33, 0x33, 0x33, 0x33, 0, 0, 0, 0]);
        assert_eq!(cpu.get(row(Layout::Legacy, "cr8")), [2, 0, 0, 0]);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut cpu = cpu();
        for name in ["rax", "r15", "rip", "xmm9", "st3", "gs_base", "k_gs_base", "cr2", "fooff"] {
            let row = row(Layout::Long, name);
            let value: Vec<u8> = (1..=row.bytes as u8).collect();
            cpu.set(row, &value).unwrap();
            if name != "rax" && name != "r15" {
                assert_eq!(cpu.get(row), value, "{name}");
            }
        }
        assert_eq!(cpu.state.regs[0], 0x0807_0605_0403_0201);
    }

    #[test]
    fn system_registers_can_be_written_within_the_mode() {
        let mut cpu = cpu();
        let mut set = |name, value: u32| cpu.set(row(Layout::Legacy, name), &value.to_le_bytes());
        let cr0 = System::reset().cr0 | bits::CR0_TS | bits::CR0_WP;
        assert_eq!(set("cr0", cr0 as u32), Ok(()));
        assert_eq!(set("cr3", 0x1234_5000), Ok(()));
        assert_eq!(set("cr4", (bits::CR4_DE | bits::CR4_OSFXSR) as u32), Ok(()));
        assert_eq!(set("efer", bits::EFER_NXE as u32), Ok(()));
        assert_eq!(set("ds", 0x1234), Ok(()));
        let sys = &cpu.state.system;
        assert_eq!((sys.cr0, sys.cr3, sys.efer), (cr0, 0x1234_5000, bits::EFER_NXE));
        assert_eq!((sys.segs[seg::DS].selector, sys.segs[seg::DS].base), (0x1234, 0x1_2340));
    }

    #[test]
    fn a_state_that_no_cpu_has_is_refused() {
        let mut cpu = cpu();
        cpu.state.system.cr0 |= bits::CR0_PE;
        for name in ["cr0", "cr4", "cs", "efer", "fstat", "cr8"] {
            let row = row(Layout::Long, name);
            assert_eq!(cpu.set(row, &cpu.get(row)), Ok(()), "{name}");
            assert_eq!(cpu.set(row, &[0xf7, 0xff, 0xff, 0x7f]), Err(ReadOnly), "{name}");
        }
        cpu.state.system.cr0 |= bits::CR0_PG;
        cpu.state.system.cr4 |= bits::CR4_PAE;
        assert_eq!(cpu.set(row(Layout::Legacy, "cr3"), &[0, 0x10, 0, 0]), Err(ReadOnly));
        cpu.set(row(Layout::Long, "eflags"), &[0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!(cpu.state.rflags, FLAGS | 2);
    }
}
