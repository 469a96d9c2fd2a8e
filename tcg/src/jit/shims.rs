//! The functions that machine code calls. Each accounts for the position first, then does what the interpreter does.
//!
//! One of the files that may use `unsafe`. A panic in here ends the process: it must not unwind through machine code.

use super::{
    Inner, crossing,
    frame::{Answer, Frame, Site},
};
use crate::{
    Bus,
    block::Exit,
    core::Crossing,
    guest::Guest,
    ir::{Helper, Size},
    x86::{
        Cpu, Exception,
        engine::Known,
        mode::Mode,
        state::{Shadow, bits},
    },
};

const GOES_ON: u64 = 0;

const fn ends(site: Site, exit: Exit) -> u64 {
    (site.id as u64) << 8 | 0x80 | exit as u64
}

/// The CPU and the devices behind a frame, with count and instruction of `site` set.
///
/// # Safety
/// `frame` is the one that [`super::Jit::enter`] handed to the machine code that calls now.
unsafe fn open<'a>(frame: *mut Frame, site: Site, left: u64) -> (&'a mut Cpu, &'a mut dyn Bus) {
    // SAFETY: `enter` holds both references exclusively and does not use them while machine code runs.
    let (cpu, bus, limit) = unsafe { (&mut *(*frame).cpu, &mut *(*frame).bus, (*frame).limit) };
    cpu.core.count = limit - left - u64::from(site.insns);
    cpu.core.insn = u32::from(site.insn);
    (cpu, bus)
}

fn size_of(site: Site) -> Size {
    [Size::B, Size::W, Size::D, Size::Q][site.size as usize & 3]
}

fn fault(cpu: &mut Cpu, site: Site, fault: Exception) -> Answer {
    cpu.set_fault(fault);
    Answer { value: 0, exit: ends(site, Exit::Fault) }
}

/// Goes on, unless somebody asked that this instruction be the last.
fn goes_on(cpu: &mut Cpu, site: Site, value: u64) -> Answer {
    if cpu.core.leave {
        cpu.core.rest = usize::from(site.rest);
        return Answer { value, exit: ends(site, Exit::Attention) };
    }
    Answer { value, exit: GOES_ON }
}

fn loaded(cpu: &mut Cpu, site: Site, result: Result<u64, Exception>) -> Answer {
    match result {
        Ok(v) => {
            let k = 64 - size_of(site).bits();
            let v = match site.extend {
                0 => v,
                1 => ((v << k) as i64 >> k) as u64 & 0xffff_ffff,
                _ => ((v << k) as i64 >> k) as u64,
            };
            let answer = goes_on(cpu, site, v);
            if answer.exit != GOES_ON {
                cpu.core.regs[site.dst as usize] = v;
            }
            answer
        }
        Err(f) => fault(cpu, site, f),
    }
}

pub(super) extern "sysv64" fn load(
    frame: *mut Frame,
    addr: u64,
    _: u64,
    site: u64,
    left: u64,
    _: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: called by machine code with its own frame.
    let (cpu, bus) = unsafe { open(frame, site, left) };
    let result = cpu.load_slow(bus, addr, size_of(site));
    loaded(cpu, site, result)
}

pub(super) extern "sysv64" fn load_for_write(
    frame: *mut Frame,
    addr: u64,
    _: u64,
    site: u64,
    left: u64,
    _: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: called by machine code with its own frame.
    let (cpu, bus) = unsafe { open(frame, site, left) };
    let result = cpu.load_for_write_slow(bus, addr, size_of(site));
    loaded(cpu, site, result)
}

pub(super) extern "sysv64" fn store(
    frame: *mut Frame,
    addr: u64,
    value: u64,
    site: u64,
    left: u64,
    _: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: called by machine code with its own frame.
    let (cpu, bus) = unsafe { open(frame, site, left) };
    match cpu.store_slow(bus, addr, size_of(site), value) {
        Ok(()) => goes_on(cpu, site, 0),
        Err(f) => fault(cpu, site, f),
    }
}

/// The last argument is the helper. Flags are settled, as the helper may write some.
pub(super) extern "sysv64" fn call(
    frame: *mut Frame,
    a: u64,
    b: u64,
    site: u64,
    left: u64,
    helper: *const Inner,
) -> Answer {
    // SAFETY: as in `open`.
    let cpu = unsafe { &mut *(*frame).cpu };
    cpu.core.lazy.settle(&mut cpu.core.flags);
    plain(frame, a, b, site, left, helper)
}

/// As [`call`] for a helper that writes no flags: what is pending stays so.
pub(super) extern "sysv64" fn plain(
    frame: *mut Frame,
    a: u64,
    b: u64,
    site: u64,
    left: u64,
    helper: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: called by machine code with its own frame; the compiler put a `Helper<Cpu>` in the last argument.
    let ((cpu, bus), helper) =
        unsafe { (open(frame, site, left), std::mem::transmute::<*const Inner, Helper<Cpu>>(helper)) };
    match helper(cpu, bus, a, b) {
        Ok(v) => {
            cpu.core.regs[site.dst as usize] = v;
            goes_on(cpu, site, v)
        }
        Err(f) => fault(cpu, site, f),
    }
}

/// The context after an instruction that may have changed anything, when the run loop has nothing to do before the next.
fn next_context(cpu: &mut Cpu, bus: &mut dyn Bus, known: &Known) -> Option<u32> {
    cpu.core.leave |= bus.attention();
    let quiet = !cpu.core.leave
        && !cpu.core.unfinished
        && !cpu.sys.halted
        && !cpu.sys.shutdown
        && cpu.sys.eflags & bits::RF == 0
        && cpu.core.phys.stale_code.is_empty();
    let mode = cpu.mode();
    (quiet && !mode.has(Mode::STEP | Mode::ALIGN)).then(|| known.get(cpu, mode)).flatten()
}

/// The pc to go on at, or the end of the run.
pub(super) extern "sysv64" fn call_leave(
    frame: *mut Frame,
    a: u64,
    b: u64,
    site: u64,
    left: u64,
    helper: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: as in `plain`.
    let ((cpu, bus), helper) =
        unsafe { (open(frame, site, left), std::mem::transmute::<*const Inner, Helper<Cpu>>(helper)) };
    let usual = cpu.sys.eflags & crossing::UNUSUAL == 0;
    match helper(cpu, bus, a, b) {
        Ok(_) => {
            // With nothing left the run loop stops here, and may show what this instruction holds off for the next one.
            // SAFETY: as in `open`; the contexts are the run loop's, which waits for this run to end.
            let context = unsafe {
                ((*frame).moves && left != 0)
                    .then(|| &*(*frame).contexts)
                    .and_then(|k| next_context(cpu, bus, k))
            };
            let Some(context) = context else { return Answer { value: 0, exit: ends(site, Exit::Leave) } };
            cpu.sys.shadow = Shadow::None;
            cpu.core.moved = true;
            // SAFETY: as above.
            let from = unsafe { std::mem::replace(&mut (*frame).context, u64::from(context)) };
            if let (Some(n), true) = (site.crosses(), usual && cpu.sys.eflags & crossing::UNUSUAL == 0) {
                cpu.core.crossings[n] = Crossing { from: from as u32, to: context };
            }
            Answer { value: cpu.core.pc, exit: GOES_ON }
        }
        Err(f) => fault(cpu, site, f),
    }
}

/// Raises what a jump to `target` raises.
pub(super) extern "sysv64" fn bad_target(
    frame: *mut Frame,
    target: u64,
    _: u64,
    site: u64,
    left: u64,
    _: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: called by machine code with its own frame.
    let (cpu, _) = unsafe { open(frame, site, left) };
    let bad = cpu.bad_target(target);
    fault(cpu, site, bad)
}

/// The guest's flags as POPF takes them. What pends goes on to pend: machine code knows that it does.
pub(super) extern "sysv64" fn eflags(frame: *mut Frame) -> u64 {
    // SAFETY: as in `open`.
    let cpu = unsafe { &*(*frame).cpu };
    // Bit 1 is always set, and interrupts stay on: POPF at the host's ring 3 leaves IF alone.
    cpu.core.flags().to_eflags() | 0x202
}

/// Runs one op of the block in the interpreter.
pub(super) extern "sysv64" fn interpret(
    frame: *mut Frame,
    op: u64,
    _: u64,
    site: u64,
    left: u64,
    block: *const Inner,
) -> Answer {
    let site = Site::unpack(site);
    // SAFETY: as in `plain`; the block's compiled form lives as long as its machine code can be reached.
    let ((cpu, bus), block) = unsafe { (open(frame, site, left), &*block) };
    cpu.core.lazy.settle(&mut cpu.core.flags);
    let from = op as usize;
    match block.interp().run(from, from + 1, cpu, bus) {
        Exit::End => Answer { value: 0, exit: GOES_ON },
        Exit::Attention => {
            cpu.core.rest = usize::from(site.rest);
            Answer { value: 0, exit: ends(site, Exit::Attention) }
        }
        exit => Answer { value: 0, exit: ends(site, exit) },
    }
}
