//! The translator as an accelerator.

use super::{
    ARITHMETIC_FLAGS, AccelError, Accelerator, CpuChoice, KVM, KvmError, Overshot, Stop,
    kvm::{self, UserMode},
    stats,
};
use crate::landmark::Least;
use rrvmm_replay::Position;
use rrvmm_tcg::{
    Bus,
    block::Backend,
    core::Rings,
    interp::Interp,
    phys::{PhysMap, Window},
    stops::{Hit, Stops},
    x86::{
        self, Cpu,
        engine::{self, Engine, Translations},
        system::{interrupt, paging},
    },
};
use std::ops::Range;

/// Which back end of the translator runs the guest. No recording depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcgEngine {
    /// The reference interpreter.
    #[default]
    Interp,
    /// Machine code; only where [`HAS_JIT`].
    Jit,
}

/// Whether this host can run [`TcgEngine::Jit`].
pub const HAS_JIT: bool = cfg!(all(target_arch = "x86_64", unix));

/// An x86 CPU run by one of the translator's back ends; its user code by KVM, if that was asked for.
pub struct TcgAccelerator<B: Backend<Cpu>> {
    engine: Engine<B>,
    name: &'static str,
    user_mode: Option<UserMode>,
}

/// A CPU after RESET over `phys`.
///
/// # Errors
/// The host gives no memory for machine code, has no JIT, or no KVM.
pub fn tcg(phys: PhysMap, choice: CpuChoice) -> Result<Box<dyn Accelerator>, AccelError> {
    let mut cpu = Cpu::new(phys);
    cpu.model = choice.model;
    match choice.engine {
        TcgEngine::Interp => accelerator(cpu, Interp, "interp", choice.kvm),
        #[cfg(all(target_arch = "x86_64", unix))]
        TcgEngine::Jit => {
            let jit = rrvmm_tcg::jit::Jit::new().map_err(AccelError::Engine)?;
            accelerator(cpu, jit, "jit", choice.kvm)
        }
        #[cfg(not(all(target_arch = "x86_64", unix)))]
        TcgEngine::Jit => Err(AccelError::Engine(std::io::ErrorKind::Unsupported.into())),
    }
}

fn accelerator<B: Backend<Cpu> + 'static>(
    cpu: Cpu,
    backend: B,
    name: &'static str,
    kvm: bool,
) -> Result<Box<dyn Accelerator>, AccelError> {
    let user_mode = kvm.then(|| UserMode::new(&cpu)).transpose()?;
    let name = if kvm { KVM } else { name };
    let mut accelerator = TcgAccelerator { engine: Engine::new(cpu, backend), name, user_mode };
    if kvm {
        accelerator.count_rings(u64::MAX);
    }
    Ok(Box::new(accelerator))
}

impl<B: Backend<Cpu>> TcgAccelerator<B> {
    /// Delivers an event between instructions; what it accesses is the observer's business too.
    fn deliver(&mut self, event: impl FnOnce(&mut Cpu)) {
        let cpu = &mut self.engine.cpu;
        cpu.core.observer.deliver(cpu.core.count);
        event(cpu);
        cpu.core.observer.delivered(cpu.core.count);
    }

    /// Tells the observer that a device has accessed `len` bytes at `addr` between two instructions.
    fn note_dma(&mut self, device: u16, addr: u64, len: usize, write: bool) {
        let core = &mut self.engine.cpu.core;
        core.tlb.note_physical(addr, len as u64);
        if core.observer.watches() && len > 0 {
            core.observer.deliver(core.count);
            core.observer.note_device(device, core.count, addr, len as u64, write);
            core.observer.passed();
        }
    }
}

/// Does the `len` bytes from `addr` on page by page, until a piece is not done whole. `each` gets a piece's address and where
/// it lies in the whole, and returns how many bytes it did. Returns how many were done.
fn page_pieces(addr: u64, len: usize, mut each: impl FnMut(u64, Range<usize>) -> usize) -> usize {
    let mut done = 0;
    while done < len {
        let at = addr.wrapping_add(done as u64);
        let end = len.min(done + 4096 - (at % 4096) as usize);
        let n = each(at, done..end);
        done += n;
        if done < end {
            break;
        }
    }
    done
}

impl<B: Backend<Cpu>> Accelerator for TcgAccelerator<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run_until(&mut self, bus: &mut dyn Bus, target: Position, interrupt: bool) -> Stop {
        let stop = match &mut self.user_mode {
            None => self.engine.run(bus, target.count(), interrupt),
            Some(user) => match user.run(&mut self.engine, bus, target.count(), interrupt) {
                kvm::Stop::Engine(stop) => stop,
                kvm::Stop::Paused => return Stop::Paused,
            },
        };
        match stop {
            engine::Stop::Limit => Stop::Reached,
            engine::Stop::InterruptWindow => Stop::InterruptWindow,
            engine::Stop::Attention => Stop::Attention,
            engine::Stop::Halt => Stop::Halted,
            engine::Stop::Shutdown => Stop::Shutdown,
            engine::Stop::Hit => Stop::Hit,
        }
    }

    fn position(&self) -> Position {
        Position::from_count(self.engine.cpu.core.count)
    }

    fn rings(&self) -> Rings {
        self.engine.cpu.core.rings
    }

    fn count_rings(&mut self, stop: u64) {
        let rings = &mut self.engine.cpu.core.rings;
        (rings.counted, rings.stop) = (true, stop);
    }

    fn set_rings(&mut self, rings: Rings) {
        self.engine.cpu.core.rings = rings;
    }

    fn is_counted(&self) -> bool {
        let entry = self.engine.cpu.core.rings.entries;
        self.user_mode.as_ref().is_none_or(|user| !user.has_run_in(entry))
    }

    fn take_uncounted_writes(&mut self) -> Vec<u64> {
        let engine = &mut self.engine;
        let Some(user) = &mut self.user_mode else { return Vec::new() };
        user.take_written(engine)
    }

    fn take_uncounted(&mut self) -> Least {
        let entry = self.engine.cpu.core.rings.entries;
        self.user_mode.as_mut().map_or_else(Least::default, |user| user.take_retired(entry))
    }

    fn hurry(&mut self, bus: &mut dyn Bus, away: Least) -> Result<u64, Overshot> {
        let Some(user) = &mut self.user_mode else { return Ok(away.instructions) };
        user.hurry(&mut self.engine, bus, away)
    }

    fn set_outside(&mut self, on: bool) {
        if let Some(user) = &mut self.user_mode {
            user.set_on(on);
        }
    }

    fn set_arithmetic_flags(&mut self, flags: u64) {
        let cpu = &mut self.engine.cpu;
        let flags = cpu.rflags() & !ARITHMETIC_FLAGS | flags & ARITHMETIC_FLAGS;
        cpu.set_rflags(flags);
    }

    fn take_loss(&mut self) -> Option<KvmError> {
        self.user_mode.as_mut().and_then(UserMode::take_loss)
    }

    fn is_in_user_mode(&self) -> bool {
        self.engine.cpu.cpl() == 3
    }

    fn is_halted(&self) -> bool {
        self.engine.cpu.sys.halted
    }

    fn interruptible(&self) -> bool {
        self.engine.interruptible()
    }

    fn interrupt(&mut self, bus: &mut dyn Bus, vector: u8) {
        self.deliver(|cpu| interrupt::interrupt(cpu, bus, vector));
    }

    fn nmi(&mut self, bus: &mut dyn Bus) -> bool {
        let free = !self.engine.cpu.sys.nmi_blocked && self.engine.cpu.sys.shadow == x86::state::Shadow::None;
        if free {
            self.deliver(|cpu| interrupt::nmi(cpu, bus));
        }
        free
    }

    fn save(&self) -> x86::State {
        self.engine.cpu.save()
    }

    fn load(&mut self, state: &x86::State) {
        self.engine.load(state);
    }

    fn translations(&self) -> Translations {
        self.engine.translations()
    }

    fn set_translations(&mut self, translations: &Translations) {
        self.engine.set_translations(translations);
    }

    fn set_stops(&mut self, stops: &Stops) {
        self.engine.set_stops(stops);
    }

    fn see(&mut self, breakpoint: bool) {
        self.engine.see(breakpoint);
    }

    fn breakpoint(&self) -> Option<Hit> {
        self.engine.breakpoint()
    }

    fn take_access(&mut self) -> Option<Hit> {
        self.engine.take_access()
    }

    fn set_a20(&mut self, open: bool) {
        let mask = if open { u64::MAX } else { !(1 << 20) };
        if self.engine.cpu.core.phys.a20_mask != mask {
            self.engine.cpu.core.phys.a20_mask = mask;
            self.engine.cpu.core.flush_all();
        }
    }

    fn set_windows(&mut self, windows: Vec<Window>) {
        self.engine.cpu.core.phys.set_windows(windows);
        self.engine.forget();
    }

    fn take_dirty(&mut self) -> Vec<usize> {
        let core = &mut self.engine.cpu.core;
        // The whole TLB, not only write permission: a guest that relies on a stale entry then does so alike in every replay.
        core.flush_all();
        core.phys.take_dirty()
    }

    fn take_written(&mut self) -> Vec<usize> {
        self.engine.take_written()
    }

    fn take_executed(&mut self) -> Vec<u64> {
        self.engine.cpu.core.itlb.take_executed()
    }

    fn take_linear_writes(&mut self) -> Option<Vec<u64>> {
        self.engine.cpu.core.tlb.take_writes()
    }

    fn take_accesses(&mut self) -> Option<Vec<(u64, u64)>> {
        self.engine.cpu.core.tlb.take_accesses()
    }

    fn pages(&self) -> usize {
        self.engine.cpu.core.phys.pages()
    }

    fn page(&self, page: usize) -> &[u8; 4096] {
        self.engine.cpu.core.phys.page_bytes(page)
    }

    fn set_page(&mut self, page: usize, bytes: &[u8; 4096]) {
        self.engine.cpu.core.phys.set_page(page, bytes);
    }

    fn page_address(&self, page: usize) -> u64 {
        self.engine.cpu.core.phys.page_address(page)
    }

    fn peek_range(&self, addr: u64, bytes: &mut [u8]) -> usize {
        page_pieces(addr, bytes.len(), |at, piece| {
            self.translate(at).map_or(0, |phys| self.read_physical(phys, &mut bytes[piece]))
        })
    }

    fn translate(&self, addr: u64) -> Option<u64> {
        let phys = paging::peek(&self.engine.cpu, addr)?;
        Some(phys & self.engine.cpu.core.phys.a20_mask)
    }

    fn read_physical(&self, addr: u64, bytes: &mut [u8]) -> usize {
        page_pieces(addr, bytes.len(), |at, piece| self.engine.cpu.core.phys.copy_to(at, &mut bytes[piece]))
    }

    fn write_physical(&mut self, addr: u64, bytes: &[u8]) -> usize {
        let phys = &mut self.engine.cpu.core.phys;
        page_pieces(addr, bytes.len(), |at, piece| {
            let Some(page) = phys.page_for_write(at).and_then(|p| p.ram) else { return 0 };
            phys.set_bytes(page, (at % 4096) as usize, &bytes[piece.clone()]);
            piece.len()
        })
    }

    fn dma_read(&mut self, device: u16, addr: u64, bytes: &mut [u8]) -> usize {
        let done = self.read_physical(addr, bytes);
        self.note_dma(device, addr, done, false);
        done
    }

    fn dma_write(&mut self, device: u16, addr: u64, bytes: &[u8]) -> usize {
        let phys = &mut self.engine.cpu.core.phys;
        let done = page_pieces(addr, bytes.len(), |at, piece| {
            if phys.store(at, &bytes[piece.clone()]) { piece.len() } else { 0 }
        });
        self.note_dma(device, addr, done, true);
        done
    }

    fn poke(&mut self, addr: u64, bytes: &[u8]) -> usize {
        page_pieces(addr, bytes.len(), |at, piece| {
            self.translate(at).map_or(0, |phys| self.write_physical(phys, &bytes[piece]))
        })
    }

    fn measure(&mut self, clock: fn() -> u64) {
        self.engine.measure(clock);
    }

    fn stats(&self) -> Vec<(&'static str, String)> {
        let mut lines = stats::lines(&self.engine);
        lines.extend(self.user_mode.iter().flat_map(UserMode::lines));
        lines
    }
}
