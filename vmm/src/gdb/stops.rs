//! gdb's breakpoints and watchpoints, which become stops: nothing is ever patched into the guest.

use gdbstub::target::TargetResult;
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint, SwBreakpointOps,
    WatchKind,
};
use rrvmm_tcg::stops::{Access, Space, Stops, Watch};

use super::target::GdbTarget;

/// What gdb has asked for. The same may be asked for more than once.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    software: Vec<u64>,
    hardware: Vec<u64>,
    watches: Vec<Watch>,
}

impl Wanted {
    pub(super) fn stops(&self) -> Stops {
        let breakpoints = self.software.iter().chain(&self.hardware).copied().collect();
        Stops { breakpoints, watchpoints: self.watches.clone(), ..Stops::default() }
    }

    /// Whether gdb asked for a software breakpoint at `addr`; else it is a hardware one.
    pub(super) fn is_software(&self, addr: u64) -> bool {
        self.software.contains(&addr)
    }

    /// What watchpoint `number` of [`Wanted::stops`] is to gdb.
    pub(super) fn watch(&self, number: usize) -> Option<(WatchKind, u64)> {
        let watch = self.watches.get(number)?;
        let kind = match watch.on {
            Access::Write => WatchKind::Write,
            Access::Read => WatchKind::Read,
            Access::Any => WatchKind::ReadWrite,
        };
        Some((kind, watch.addr))
    }
}

/// Takes one `value` out; whether there was one.
fn remove<T: PartialEq>(list: &mut Vec<T>, value: &T) -> bool {
    let found = list.iter().position(|one| one == value);
    found.map(|index| list.remove(index)).is_some()
}

fn watch(space: Space, addr: u64, len: u64, kind: WatchKind) -> Watch {
    let on = match kind {
        WatchKind::Write => Access::Write,
        WatchKind::Read => Access::Read,
        WatchKind::ReadWrite => Access::Any,
    };
    Watch { space, addr, len: len.max(1), on }
}

impl Breakpoints for GdbTarget {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for GdbTarget {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.wanted.software.push(addr);
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(remove(&mut self.wanted.software, &addr))
    }
}

impl HwBreakpoint for GdbTarget {
    fn add_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.wanted.hardware.push(addr);
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(remove(&mut self.wanted.hardware, &addr))
    }
}

impl HwWatchpoint for GdbTarget {
    fn add_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        self.wanted.watches.push(watch(self.space, addr, len, kind));
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        // It may have been set before `monitor mode`.
        let set_in = |space| watch(space, addr, len, kind);
        Ok(remove(&mut self.wanted.watches, &set_in(self.space))
            || remove(&mut self.wanted.watches, &set_in(Space::Linear))
            || remove(&mut self.wanted.watches, &set_in(Space::Physical)))
    }
}
