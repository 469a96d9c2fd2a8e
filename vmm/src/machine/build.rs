//! Putting a machine together from what a command line or a recording names.

use super::{
    Memory, PcMachine,
    clock::{Clock, Measure},
    digest::{MemoryDigest, OutputDigest},
};
use crate::{
    accel::{AccelError, CpuChoice, TcgEngine, tcg},
    disk::Disks,
    loader::{self, EntryMode, EntryState, FIRMWARE_SHADOW, LoadError, firmware_window},
    memory::{GuestMemory, MemoryError, PAGE_SIZE},
};
use rrvmm_devices::{
    Pc, PcConfig, Width,
    pc::{PamSegment, VGA_WINDOW, VIDEO_MEMORY_BASE, VideoWindows},
    vga::LFB_BYTES,
};
use rrvmm_replay::VirtualTime;
use rrvmm_tcg::{
    phys::{Backing, PhysMap, Window},
    x86::{
        Model, State,
        state::{Segment, TableRegister, gpr, seg},
    },
};

/// Bytes of the window at 0xA0000 that lead to a bank of the frame buffer.
const BANK_BYTES: u32 = 0x1_0000;

/// Why a machine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No memory for it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Nothing to run it.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// Nothing it could boot.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl PcMachine {
    /// A machine of `config` that boots `source`, at power-on.
    ///
    /// # Errors
    /// [`BuildError`] names what does not fit or does not boot.
    pub fn new(config: &PcConfig, source: &loader::BootSource) -> Result<PcMachine, BuildError> {
        Self::with_engine(config, source, TcgEngine::default())
    }

    /// As [`PcMachine::new`], run by one of the translator's engines; what the guest does is the same.
    ///
    /// # Errors
    /// As for [`PcMachine::new`].
    pub fn with_engine(
        config: &PcConfig,
        source: &loader::BootSource,
        engine: TcgEngine,
    ) -> Result<PcMachine, BuildError> {
        Self::with_cpu(config, source, CpuChoice { engine, ..CpuChoice::default() })
    }

    /// As [`PcMachine::new`], with another CPU than the translator's own.
    ///
    /// # Errors
    /// As for [`PcMachine::new`].
    pub fn with_cpu(
        config: &PcConfig,
        source: &loader::BootSource,
        cpu: CpuChoice,
    ) -> Result<PcMachine, BuildError> {
        let video = if config.display.pci { u64::from(LFB_BYTES) } else { 0 };
        let memory = GuestMemory::with_video(config.memory_bytes, video)?;
        let entry = loader::load(&memory, source, config)?;
        let mut rom = source.bios.clone().unwrap_or_default();
        let firmware_len = rom.len();
        rom.extend_from_slice(source.vga_bios.as_deref().unwrap_or_default());
        // Whole pages can be mapped.
        rom.resize(rom.len().next_multiple_of(PAGE_SIZE), 0xff);
        let mut phys = PhysMap::new(memory.mmap().clone(), rom);
        phys.zero_but(&memory.written());
        let pages = phys.pages();
        let mut machine = PcMachine {
            accel: tcg(phys, cpu)?,
            board: Pc::new(config),
            disks: Disks::default(),
            clock: Clock::new(match cpu.model {
                Model::V1 => Measure::Instructions,
                Model::KvmV1 => Measure::Accesses,
            }),
            nmi: false,
            ended: None,
            outputs: Vec::new(),
            log: None,
            output_digest: OutputDigest::default(),
            memory_digest: MemoryDigest::new(pages),
            memory: Memory::default(),
            windows: None,
            firmware_len,
            crossing: None,
            told: VirtualTime::ZERO,
            marked_at: 0,
            marks: cpu.kvm,
            is_sure: false,
            kept: None,
        };
        let state = enter(machine.accel.save(), &entry);
        machine.accel.load(&state);
        machine.follow_chipset();
        if cpu.model == Model::KvmV1 && source.bios.is_none() {
            start_timer(&mut machine.board);
        }
        Ok(machine)
    }
}

/// Starts counter 0 of the PIT as firmware leaves it: every 65,536 ticks, as a square wave. A kernel that finds no TSC
/// waits for it.
fn start_timer(board: &mut Pc) {
    for (port, value) in [(0x43, 0x36), (0x40, 0), (0x40, 0)] {
        board.port_write(VirtualTime::ZERO, port, Width::B1, value);
    }
}

/// The CPU state in which `entry` starts.
fn enter(mut s: State, entry: &EntryState) -> State {
    if entry.mode == EntryMode::Reset {
        return s;
    }
    let segment =
        |s: &loader::Segment| Segment { selector: s.selector, base: s.base, limit: s.limit, attr: s.access };
    let sys = &mut s.system;
    sys.segs = [segment(&entry.data); 6];
    sys.segs[seg::CS] = segment(&entry.code);
    if let Some(task) = &entry.task {
        sys.tr = segment(task);
    }
    sys.gdtr = TableRegister { base: entry.gdt.base, limit: entry.gdt.limit };
    sys.idtr = TableRegister { base: entry.idt.base, limit: entry.idt.limit };
    (sys.cr0, sys.cr3, sys.cr4, sys.efer) =
        (entry.mode.cr0(), entry.cr3, entry.mode.cr4(), entry.mode.efer());
    sys.msrs.mtrr_def_type = entry.mode.mtrr_def_type();
    s.rflags = 2;
    s.regs = [0; 16];
    s.regs[gpr::RAX] = entry.rax;
    s.regs[gpr::RBX] = entry.rbx;
    s.regs[gpr::RSI] = entry.rsi;
    s.regs[gpr::RSP] = entry.rsp;
    s.rip = entry.rip;
    s
}

/// The ranges that lead to the display adapter's memory and to its video BIOS, which lies behind the firmware.
fn video_windows(video: VideoWindows, firmware_len: usize) -> Vec<Window> {
    let alias = |start: u64, len: u32, into: u32| {
        let memory = Backing::Alias(VIDEO_MEMORY_BASE + u64::from(into));
        Window { start, end: start + u64::from(len), read: memory, write: memory }
    };
    let frame_buffer = video.frame_buffer.map(|start| alias(start, LFB_BYTES, 0));
    let bank = video.bank.map(|into| alias(VGA_WINDOW.start, BANK_BYTES, into));
    let rom = video.rom.map(|(start, len)| Window {
        start,
        end: start + u64::from(len),
        read: Backing::Rom(firmware_len),
        write: Backing::Device,
    });
    [frame_buffer, bank, rom].into_iter().flatten().collect()
}

/// The ranges that are not plain RAM: video memory, the firmware, and its shadow as the chipset's PAM registers say.
pub(super) fn windows(pam: &[PamSegment; 13], video: VideoWindows, firmware_len: usize) -> Vec<Window> {
    let device = |start, end| Window { start, end, read: Backing::Device, write: Backing::Device };
    let mut windows = video_windows(video, firmware_len);
    windows.push(device(VGA_WINDOW.start, VGA_WINDOW.end));
    if firmware_len == 0 {
        return windows;
    }
    let rom = firmware_window(firmware_len);
    windows.push(Window { start: rom.start, end: rom.end, read: Backing::Rom(0), write: Backing::Device });
    for p in pam {
        let (start, end) = (p.start, p.start + p.len);
        let shadowed =
            FIRMWARE_SHADOW.end - (firmware_len as u64).min(FIRMWARE_SHADOW.end - FIRMWARE_SHADOW.start);
        // Split where the image's copy begins, so that a window is of one kind.
        for (start, end) in [(start, end.min(shadowed)), (start.max(shadowed), end)] {
            if start >= end {
                continue;
            }
            let rom = if start >= shadowed {
                Backing::Rom(firmware_len - (FIRMWARE_SHADOW.end - start) as usize)
            } else {
                Backing::Device
            };
            windows.push(Window {
                start,
                end,
                read: if p.read_ram { Backing::Ram } else { rom },
                write: if p.write_ram { Backing::Ram } else { Backing::Device },
            });
        }
    }
    windows
}
