//! The machine as gdb sees it: registers, memory, and which way to go next.

use std::cell::Cell;
use std::ops::Range;

use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::BreakpointsOps;
use gdbstub::target::ext::monitor_cmd::MonitorCmdOps;
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use rrvmm_tcg::stops::Space;

use super::arch::{RegisterFile, RegisterNumber, X86};
use super::layout::{Layout, Row};
use super::registers::Cpu;
use super::stops::Wanted;
use super::xml;
use crate::explore::{Gone, Handle};

/// gdb's number of the first vCPU's thread.
pub(super) const FIRST_CPU: Tid = Tid::MIN;

/// "Bad address", as gdb's error replies have it.
const EFAULT: u8 = 14;
/// "Invalid argument".
const EINVAL: u8 = 22;

/// Which way gdb wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    Continue,
    Step,
    /// Steps while the next instruction is in the range.
    StepOutOf(Range<u64>),
    ReverseContinue,
    ReverseStep,
}

/// What one gdb is connected to.
pub(super) struct GdbTarget {
    pub handle: Handle,
    /// As gdb last read it.
    pub layout: Cell<Layout>,
    /// What the user wants it to be at the next reading.
    pub wanted_layout: Option<Layout>,
    /// What gdb's addresses of memory are addresses in.
    pub space: Space,
    pub wanted: Wanted,
    /// What to do as soon as gdb waits for it.
    pub motion: Option<Motion>,
}

impl GdbTarget {
    pub(super) fn new(handle: Handle) -> Result<Self, Gone> {
        let layout = Cell::new(handle.ask(|explorer| Layout::of(explorer))?);
        let (wanted_layout, space, wanted) = (None, Space::Linear, Wanted::default());
        Ok(Self { handle, layout, wanted_layout, space, wanted, motion: None })
    }

    fn cpu(&self) -> Result<Cpu, TargetError<Gone>> {
        self.handle
            .ask(|explorer| Cpu { state: explorer.cpu(), task_priority: explorer.task_priority() })
            .map_err(TargetError::Fatal)
    }

    fn set_cpu(&self, cpu: Cpu) -> Result<(), TargetError<Gone>> {
        self.handle.ask(move |explorer| explorer.set_cpu(&cpu.state)).map_err(TargetError::Fatal)
    }

    fn row(&self, number: &RegisterNumber) -> Result<&'static Row, TargetError<Gone>> {
        self.layout.get().rows().get(number.0).ok_or(TargetError::Errno(EINVAL))
    }
}

impl Target for GdbTarget {
    type Arch = X86;
    type Error = Gone;

    fn base_ops(&mut self) -> BaseOps<'_, X86, Gone> {
        BaseOps::MultiThread(self)
    }

    fn guard_rail_implicit_sw_breakpoints(&self) -> bool {
        true
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for GdbTarget {
    fn read_registers(&mut self, registers: &mut RegisterFile, _cpu: Tid) -> TargetResult<(), Self> {
        let cpu = self.cpu()?;
        *registers = RegisterFile { pc: cpu.state.rip, bytes: cpu.bytes(self.layout.get()) };
        Ok(())
    }

    fn write_registers(&mut self, registers: &RegisterFile, _cpu: Tid) -> TargetResult<(), Self> {
        let mut cpu = self.cpu()?;
        let mut bytes = registers.bytes.as_slice();
        for row in self.layout.get().rows() {
            let Some((value, rest)) = bytes.split_at_checked(row.bytes) else { break };
            cpu.set(row, value).map_err(|_| TargetError::Errno(EINVAL))?;
            bytes = rest;
        }
        self.set_cpu(cpu)
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, addr: u64, data: &mut [u8], _cpu: Tid) -> TargetResult<usize, Self> {
        let (space, length) = (self.space, data.len());
        let read = move |explorer: &mut crate::explore::Explorer| {
            let mut bytes = vec![0; length];
            let have = explorer.read(space, addr, &mut bytes);
            bytes.truncate(have);
            bytes
        };
        let bytes = self.handle.ask(read).map_err(TargetError::Fatal)?;
        if bytes.is_empty() && length > 0 {
            return Err(TargetError::Errno(EFAULT));
        }
        data[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_addrs(&mut self, addr: u64, data: &[u8], _cpu: Tid) -> TargetResult<(), Self> {
        let (space, bytes) = (self.space, data.to_vec());
        let written = self.handle.ask(move |explorer| explorer.write(space, addr, &bytes));
        if written.map_err(TargetError::Fatal)? == data.len() {
            Ok(())
        } else {
            Err(TargetError::Errno(EFAULT))
        }
    }

    fn list_active_threads(&mut self, each: &mut dyn FnMut(Tid)) -> Result<(), Gone> {
        each(FIRST_CPU);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for GdbTarget {
    fn read_register(
        &mut self,
        _cpu: Tid,
        number: RegisterNumber,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let row = self.row(&number)?;
        let value = self.cpu()?.get(row);
        buffer.get_mut(..value.len()).ok_or(TargetError::NonFatal)?.copy_from_slice(&value);
        Ok(value.len())
    }

    fn write_register(&mut self, _cpu: Tid, number: RegisterNumber, value: &[u8]) -> TargetResult<(), Self> {
        let row = self.row(&number)?;
        let mut cpu = self.cpu()?;
        cpu.set(row, value).map_err(|_| TargetError::Errno(EINVAL))?;
        self.set_cpu(cpu)
    }
}

impl ThreadExtraInfo for GdbTarget {
    fn thread_extra_info(&self, cpu: Tid, buffer: &mut [u8]) -> Result<usize, Gone> {
        let halted = self.handle.ask(|explorer| explorer.cpu().system.halted)?;
        let text = format!("CPU {}, {}", cpu.get() - 1, if halted { "halted" } else { "running" });
        let length = text.len().min(buffer.len());
        buffer[..length].copy_from_slice(&text.as_bytes()[..length]);
        Ok(length)
    }
}

impl MultiThreadResume for GdbTarget {
    fn resume(&mut self) -> Result<(), Gone> {
        self.motion.get_or_insert(Motion::Continue);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Gone> {
        self.motion = None;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _cpu: Tid, _signal: Option<Signal>) -> Result<(), Gone> {
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for GdbTarget {
    fn set_resume_action_step(&mut self, _cpu: Tid, _signal: Option<Signal>) -> Result<(), Gone> {
        self.motion = Some(Motion::Step);
        Ok(())
    }
}

impl MultiThreadRangeStepping for GdbTarget {
    fn set_resume_action_range_step(&mut self, _cpu: Tid, start: u64, end: u64) -> Result<(), Gone> {
        self.motion = Some(Motion::StepOutOf(start..end));
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for GdbTarget {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Gone> {
        // A step of one vCPU is a step of the machine: the others' turns are part of the recorded run.
        Ok(())
    }
}

impl ReverseCont<Tid> for GdbTarget {
    fn reverse_cont(&mut self) -> Result<(), Gone> {
        self.motion = Some(Motion::ReverseContinue);
        Ok(())
    }
}

impl ReverseStep<Tid> for GdbTarget {
    fn reverse_step(&mut self, _cpu: Tid) -> Result<(), Gone> {
        self.motion = Some(Motion::ReverseStep);
        Ok(())
    }
}

impl TargetDescriptionXmlOverride for GdbTarget {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::Errno(EINVAL));
        }
        if offset == 0 {
            let layout = match self.wanted_layout {
                Some(layout) => layout,
                None => self.handle.ask(|explorer| Layout::of(explorer)).map_err(TargetError::Fatal)?,
            };
            self.layout.set(layout);
        }
        let xml = xml::describe(self.layout.get());
        let rest =
            usize::try_from(offset).ok().and_then(|offset| xml.as_bytes().get(offset..)).unwrap_or_default();
        let length = length.min(rest.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}
