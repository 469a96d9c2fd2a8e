//! One of the two machines: an engine over its own memory, and a bus that remembers every access and when it came.

use crate::kind::{CODE, DATA, INTERRUPT, JUMPS, RAM, STACK};
use crate::program::Program;
use rrvmm_tcg::{
    Bus, Width,
    block::Backend,
    phys::PhysMap,
    softfloat::F80,
    x86::{
        Cpu, State,
        engine::{Engine, Stop},
        system::interrupt,
    },
};
use rrvmm_tests::run::Luck;
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Returns without progress before a run is given up: a REP that hardly ends.
const PATIENCE: u32 = 3;

/// Devices that answer with a hash of what was asked.
#[derive(Default)]
pub struct Devices {
    /// Hash of every access with its position.
    pub log: u64,
    /// Accesses so far.
    pub accesses: u64,
    /// Whether an access asked for a look that nobody took yet, and at which position.
    asked: Option<u64>,
    /// Position of an access after a request that was not honoured at the end of its instruction.
    pub late: Option<u64>,
    tpr: u8,
}

impl Devices {
    fn note(&mut self, at: u64, what: u64, addr: u64, width: Width, value: u64) -> u64 {
        if self.asked.is_some_and(|asked| asked < at) {
            self.late.get_or_insert(at);
        }
        self.accesses += 1;
        for word in [at, what, addr, width as u64, value] {
            self.log = (self.log ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        }
        if self.log & 0x7000 == 0 {
            self.asked.get_or_insert(at);
        }
        self.log >> 7
    }
}

impl Bus for Devices {
    fn port_read(&mut self, at: u64, port: u16, width: Width) -> u32 {
        let mask = u64::MAX >> (64 - 8 * width.bytes());
        (self.note(at, 1, port.into(), width, 0) & mask) as u32
    }
    fn port_write(&mut self, at: u64, port: u16, width: Width, value: u32) {
        self.note(at, 2, port.into(), width, value.into());
    }
    fn mmio_read(&mut self, at: u64, addr: u64, width: Width) -> u64 {
        self.note(at, 3, addr, width, 0) & u64::MAX >> (64 - 8 * width.bytes())
    }
    fn mmio_write(&mut self, at: u64, addr: u64, width: Width, value: u64) {
        self.note(at, 4, addr, width, value);
    }
    fn attention(&mut self) -> bool {
        self.asked.take().is_some()
    }
    fn tsc(&self, at: u64) -> u64 {
        at * 3
    }
    fn apic_base(&self) -> u64 {
        0xfee0_0900
    }
    fn set_apic_base(&mut self, at: u64, value: u64) -> bool {
        self.note(at, 5, 0, Width::B8, value);
        true
    }
    fn tsc_deadline(&self, at: u64) -> u64 {
        at
    }
    fn set_tsc_deadline(&mut self, at: u64, value: u64) {
        self.note(at, 6, 0, Width::B8, value);
    }
    fn tpr(&self) -> u8 {
        self.tpr
    }
    fn set_tpr(&mut self, at: u64, value: u8) {
        self.tpr = value;
        self.note(at, 7, 0, Width::B1, value.into());
    }
}

/// One machine.
pub struct Side<B: Backend<Cpu>> {
    pub engine: Engine<B>,
    pub devices: Devices,
}

impl<B: Backend<Cpu>> Side<B> {
    pub fn new(backend: B) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM as usize)]).unwrap();
        let cpu = Cpu::new(PhysMap::new(memory, Vec::new()));
        Self { engine: Engine::new(cpu, backend), devices: Devices::default() }
    }

    /// Puts the program into memory and forgets everything else.
    pub fn load(&mut self, program: &Program) {
        let mut image = vec![0; RAM as usize];
        let mut luck = Luck::seeded(program.data_seed);
        for chunk in image[DATA as usize..].chunks_exact_mut(8) {
            let value = if luck.once_in(3) { number(&mut luck) } else { luck.below(300) };
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        let jumps = (DATA + JUMPS) as usize;
        let size = program.kind.bits() as usize / 8;
        for (slot, &at) in image[jumps..].chunks_exact_mut(size).zip(&program.jumps) {
            slot.copy_from_slice(&program.kind.pc(at).to_le_bytes()[..size]);
        }
        for (at, value) in program.kind.tables() {
            image[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
        }
        // Where nothing is, an instruction that traps.
        image[CODE as usize..][..crate::kind::CODE_LEN as usize].fill(0xcc);
        for item in &program.items {
            image[(CODE + item.at) as usize..][..item.bytes.len()].copy_from_slice(&item.bytes);
        }
        let phys = &mut self.engine.cpu.core.phys;
        phys.set_windows(Vec::new());
        for (n, page) in image.as_chunks::<4096>().0.iter().enumerate() {
            phys.set_page(n, page);
        }
        phys.take_dirty();
        phys.set_windows(program.kind.windows());
        self.engine.forget();
        self.devices = Devices::default();
    }

    /// Runs to `limit`, or to a stop that needs the caller.
    pub fn run(&mut self, limit: u64, interrupt: bool) -> Stop {
        let mut patience = PATIENCE;
        loop {
            let before = self.engine.cpu.core.count;
            let stop = self.engine.run(&mut self.devices, limit, interrupt);
            if stop != Stop::Attention {
                return stop;
            }
            self.devices.asked = None;
            if self.engine.cpu.core.count == before {
                patience -= 1;
                if patience == 0 {
                    return stop;
                }
            }
        }
    }

    /// Delivers the interrupt.
    pub fn interrupt(&mut self) {
        interrupt::interrupt(&mut self.engine.cpu, &mut self.devices, INTERRUPT);
    }

    /// Starts somewhere else with other registers; code and translations stay.
    pub fn enter(&mut self, state: &State) {
        self.engine.cpu.load(state);
    }

    /// RAM page `page`.
    pub fn page(&self, page: usize) -> &[u8; 4096] {
        self.engine.cpu.core.phys.page_bytes(page)
    }

    /// What a digest looks at: pages written since the last call, translations forgotten.
    pub fn take_dirty(&mut self) -> Vec<usize> {
        self.engine.cpu.core.flush_all();
        self.engine.cpu.core.phys.take_dirty()
    }
}

/// The state with which stretch after stretch begins: pointers into the data, anything elsewhere. `blank` is a CPU's
/// after RESET.
pub fn entry(blank: &State, program: &Program, count: u64, luck: &mut Luck) -> State {
    let kind = program.kind;
    let mut cpu = blank.clone();
    cpu.count = count;
    cpu.system = kind.system(program.choice);
    let wide = kind.bits() == 64;
    for (n, reg) in cpu.regs.iter_mut().enumerate() {
        *reg = match n {
            _ if n >= 8 && !kind.long() => 0,
            4 => kind.pointer(STACK + 8 * luck.below(8)),
            3 | 5 | 6 | 7 => program.pointer(luck),
            13 | 14 if wide => program.pointer(luck),
            _ if wide => luck.value(),
            _ => luck.value() & 0xffff_ffff,
        };
    }
    // An empty x87 stack or one with anything on it; the control word that FNINIT leaves, or another precision, rounding,
    // or an exception that is not masked.
    cpu.x87.cw = luck.of(&[0x37f, 0x37f, 0x37f, 0x37f, 0x27f, 0x77f, 0xf7f, 0x37e, 0x35f]);
    if luck.once_in(2) {
        cpu.x87.tag = luck.bits() as u8 | luck.bits() as u8;
        cpu.x87.sw = (luck.below(8) << 11) as u16;
        for register in &mut cpu.x87.st {
            *register = extended(luck);
        }
    }
    for xmm in &mut cpu.xmm {
        *xmm = u128::from(number(luck)) << 64 | u128::from(number(luck));
    }
    cpu.rip = kind.pc(luck.of(&program.entries));
    let mut flags = luck.bits() & 0x8d5 | 2;
    for (bit, odds) in [(0x200, 2), (0x400, 4), (0x100, 40), (0x40000, 12), (0x3000, 3)] {
        flags |= if luck.once_in(odds) { bit } else { 0 };
    }
    cpu.rflags = flags;
    cpu
}

/// A value for integer and floating-point units alike: anything, a double of a handy size, or two singles.
fn number(luck: &mut Luck) -> u64 {
    let handy = luck.below(2000) as f64 / 16.0 - 40.0;
    match luck.below(3) {
        0 => luck.value(),
        1 => handy.to_bits(),
        _ => u64::from((handy as f32).to_bits()) << 32 | u64::from((luck.below(900) as f32 * 0.25).to_bits()),
    }
}

/// An extended-precision number of any class, mostly of a handy size.
fn extended(luck: &mut Luck) -> F80 {
    let sign = (luck.below(2) << 15) as u16;
    let integer = 1 << 63;
    match luck.below(8) {
        0 => F80 { se: sign, sig: luck.value() & !integer },
        1 => F80 { se: sign | 0x7fff, sig: luck.value() | integer },
        2 => F80 { se: luck.bits() as u16, sig: luck.value() },
        3 => F80 { se: sign, sig: 0 },
        _ => F80 { se: sign | (0x3ffa + luck.below(14)) as u16, sig: luck.bits() << 40 | integer },
    }
}
