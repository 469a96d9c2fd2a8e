//! The translator as an accelerator.

use super::{Accelerator, Stop, stats};
use rrvmm_replay::Position;
use rrvmm_tcg::{
    Bus,
    block::Backend,
    interp::Interp,
    phys::{PhysMap, Window},
    x86::{
        self, Cpu,
        engine::{self, Engine},
        system::{interrupt, paging},
    },
};

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

/// An x86 CPU run by one of the translator's back ends.
pub struct TcgAccelerator<B: Backend<Cpu>> {
    engine: Engine<B>,
    name: &'static str,
}

/// A CPU after RESET over `phys`.
///
/// # Errors
/// The host gives no memory for machine code, or has no JIT.
pub fn tcg(phys: PhysMap, engine: TcgEngine) -> std::io::Result<Box<dyn Accelerator>> {
    let cpu = Cpu::new(phys);
    match engine {
        TcgEngine::Interp => {
            Ok(Box::new(TcgAccelerator { engine: Engine::new(cpu, Interp), name: "interp" }))
        }
        #[cfg(all(target_arch = "x86_64", unix))]
        TcgEngine::Jit => {
            let jit = rrvmm_tcg::jit::Jit::new()?;
            Ok(Box::new(TcgAccelerator { engine: Engine::new(cpu, jit), name: "jit" }))
        }
        #[cfg(not(all(target_arch = "x86_64", unix)))]
        TcgEngine::Jit => Err(std::io::ErrorKind::Unsupported.into()),
    }
}

impl<B: Backend<Cpu>> Accelerator for TcgAccelerator<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run_until(&mut self, bus: &mut dyn Bus, target: Position, interrupt: bool) -> Stop {
        match self.engine.run(bus, target.count(), interrupt) {
            engine::Stop::Limit => Stop::Reached,
            engine::Stop::InterruptWindow => Stop::InterruptWindow,
            engine::Stop::Attention => Stop::Attention,
            engine::Stop::Halt => Stop::Halted,
            engine::Stop::Shutdown => Stop::Shutdown,
        }
    }

    fn position(&self) -> Position {
        Position::from_count(self.engine.cpu.core.count)
    }

    fn is_halted(&self) -> bool {
        self.engine.cpu.sys.halted
    }

    fn interruptible(&self) -> bool {
        self.engine.interruptible()
    }

    fn interrupt(&mut self, bus: &mut dyn Bus, vector: u8) {
        interrupt::interrupt(&mut self.engine.cpu, bus, vector);
    }

    fn nmi(&mut self, bus: &mut dyn Bus) -> bool {
        let free = !self.engine.cpu.sys.nmi_blocked && self.engine.cpu.sys.shadow == x86::state::Shadow::None;
        if free {
            interrupt::nmi(&mut self.engine.cpu, bus);
        }
        free
    }

    fn save(&self) -> x86::State {
        self.engine.cpu.save()
    }

    fn load(&mut self, state: &x86::State) {
        self.engine.cpu.load(state);
        self.engine.forget();
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

    fn peek(&self, addr: u64) -> Option<u8> {
        let phys = paging::peek(&self.engine.cpu, addr)?;
        self.engine.cpu.core.phys.read(phys, 1).map(|byte| byte as u8)
    }

    fn translate(&self, addr: u64) -> Option<u64> {
        paging::peek(&self.engine.cpu, addr)
    }

    fn measure(&mut self, clock: fn() -> u64) {
        self.engine.measure(clock);
    }

    fn stats(&self) -> Vec<(&'static str, String)> {
        stats::lines(&self.engine)
    }
}
