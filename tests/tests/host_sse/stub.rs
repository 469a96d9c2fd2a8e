//! Runs one instruction on the host CPU with chosen registers and memory.
//!
//! The only unsafe file of this test: a page of generated code, the assembly that loads and stores the registers around
//! it, and a signal handler that steps over an instruction that faults.

use std::arch::asm;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::encode::Variant;

/// Bytes of memory; operands are in its middle.
pub const MEMORY: usize = 128;

/// Registers and memory that an instruction under test may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Machine {
    /// XMM0 (implicit operand), XMM1, XMM2.
    pub xmm: [u128; 3],
    /// MM0 (unused), MM1, MM2.
    pub mm: [u64; 3],
    /// Unused, R8, R9.
    pub gpr: [u64; 3],
    /// RAX.
    pub rax: u64,
    /// RDX.
    pub rdx: u64,
    /// RCX.
    pub rcx: u64,
    /// Status flags of RFLAGS.
    pub flags: u32,
    /// MXCSR.
    pub mxcsr: u32,
    /// Memory.
    pub memory: Memory,
}

/// The bytes, on a boundary of 64.
#[derive(Clone, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Memory([u8; MEMORY]);

impl Default for Memory {
    fn default() -> Self {
        Self([0; MEMORY])
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[MEMORY / 2..].iter().take(32).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::ops::Deref for Memory {
    type Target = [u8; MEMORY];

    fn deref(&self) -> &[u8; MEMORY] {
        &self.0
    }
}

impl std::ops::DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8; MEMORY] {
        &mut self.0
    }
}

impl Machine {
    /// The 16 bytes of memory `offset` after the middle.
    pub fn mem_at(&self, offset: usize) -> u128 {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.memory[MEMORY / 2 + offset..][..16]);
        u128::from_le_bytes(bytes)
    }
}

/// What the instruction raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nothing.
    None,
    /// SIGFPE: #XM.
    Fpe,
    /// SIGSEGV: #GP or #PF.
    Segv,
}

/// Address at which to go on after a fault; 0 while no instruction under test runs.
static RESUME: AtomicUsize = AtomicUsize::new(0);
static RAISED: AtomicI32 = AtomicI32::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Slots in the code page, one for each immediate.
const SLOT: usize = 16;
const PAGE: usize = 256 * SLOT;

/// A page of code and the right to run it.
pub struct Stub {
    page: *mut u8,
    lengths: [usize; 256],
    _alone: MutexGuard<'static, ()>,
}

extern "C" fn step_over(signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let resume = RESUME.swap(0, Ordering::SeqCst);
    if resume == 0 {
        // Not ours: die of it.
        // SAFETY: restoring a default action is async-signal-safe.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    RAISED.store(signal, Ordering::SeqCst);
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context.
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] = resume as i64;
    }
}

impl Stub {
    /// Maps the page and installs the signal handlers. Only one exists at a time.
    pub fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: an anonymous mapping at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED, "no executable memory: {}", std::io::Error::last_os_error());
        for signal in [libc::SIGFPE, libc::SIGSEGV] {
            // SAFETY: the action is fully initialised and its handler has the SA_SIGINFO signature.
            let failed = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction =
                    step_over as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigaction(signal, &action, ptr::null_mut())
            };
            assert_eq!(failed, 0);
        }
        Self { page: page.cast(), lengths: [0; 256], _alone: alone }
    }

    /// Writes the variant's code, each slot an instruction and a return.
    pub fn load(&mut self, variant: &Variant) {
        for imm in 0..=255 {
            let code = if imm == 0 || variant.has_imm() { variant.encode(imm) } else { break };
            assert!(code.len() < SLOT);
            self.lengths[usize::from(imm)] = code.len();
            // SAFETY: the slot is inside the page and holds a byte more than the instruction.
            unsafe {
                let slot = self.page.add(usize::from(imm) * SLOT);
                ptr::copy_nonoverlapping(code.as_ptr(), slot, code.len());
                slot.add(code.len()).write(0xC3);
            }
        }
        if !variant.has_imm() {
            self.lengths[1..].fill(0);
        }
    }

    /// Slot of an immediate, with the resume address set for a fault in it.
    fn arm(&self, imm: u8) -> *mut u8 {
        let imm = usize::from(if self.lengths[1] == 0 { 0 } else { imm });
        // SAFETY: the slot is inside the page.
        let slot = unsafe { self.page.add(imm * SLOT) };
        RAISED.store(0, Ordering::SeqCst);
        RESUME.store(slot as usize + self.lengths[imm], Ordering::SeqCst);
        slot
    }

    /// Runs the loaded instruction with the memory operand `offset` bytes after the middle of memory.
    pub fn run(&mut self, machine: &mut Machine, imm: u8, offset: usize) -> Signal {
        let slot = self.arm(imm);
        let operand = machine.memory.as_mut_ptr().wrapping_add(MEMORY / 2 + offset);
        // SAFETY: the slot holds one instruction, which touches at most the registers saved here and 16 bytes of memory
        // at `operand`, and a return. The MXCSR and x87 state the compiler relies on are restored. RSP is aligned and no
        // red zone is in use across the call.
        unsafe {
            asm!(
                "stmxcsr [rsp - 8]",
                "sub rsp, 16",
                "movups xmm0, [r12]",
                "movups xmm1, [r12 + 16]",
                "movups xmm2, [r12 + 32]",
                "movq mm1, [r12 + 56]",
                "movq mm2, [r12 + 64]",
                "mov r8, [r12 + 80]",
                "mov r9, [r12 + 88]",
                "mov rax, [r12 + 96]",
                "mov rdx, [r12 + 104]",
                "mov rcx, [r12 + 112]",
                "mov rdi, r10",
                "pushfq",
                // The status flags that the stack's address happened to give.
                "and qword ptr [rsp], -0x8d6",
                "mov r11d, [r12 + 120]",
                "or [rsp], r11",
                "popfq",
                "ldmxcsr [r12 + 124]",
                "call r13",
                "stmxcsr [r12 + 124]",
                "pushfq",
                "pop r11",
                "mov [r12 + 120], r11d",
                "movups [r12], xmm0",
                "movups [r12 + 16], xmm1",
                "movups [r12 + 32], xmm2",
                "movq [r12 + 56], mm1",
                "movq [r12 + 64], mm2",
                "mov [r12 + 80], r8",
                "mov [r12 + 88], r9",
                "mov [r12 + 96], rax",
                "mov [r12 + 104], rdx",
                "mov [r12 + 112], rcx",
                "emms",
                "add rsp, 16",
                "ldmxcsr [rsp - 8]",
                in("r12") ptr::from_mut(machine),
                in("r13") slot,
                inout("r10") operand => _,
                clobber_abi("C"),
            );
        }
        RESUME.store(0, Ordering::SeqCst);
        machine.flags &= rrvmm_tcg::x86::sse::STATUS_FLAGS;
        match RAISED.load(Ordering::SeqCst) {
            0 => Signal::None,
            libc::SIGFPE => Signal::Fpe,
            _ => Signal::Segv,
        }
    }

    /// The x87 tag word after the loaded instruction ran on an empty register stack, or for `full` on a full one.
    pub fn x87_tags_after(&mut self, machine: &mut Machine, full: bool) -> u16 {
        let slot = self.arm(0);
        let mut environment = [0u8; 28];
        let operand = machine.memory.as_mut_ptr().wrapping_add(MEMORY / 2);
        // SAFETY: as in `run`; FNSTENV writes 28 bytes and FNINIT leaves an empty x87 stack behind.
        unsafe {
            asm!(
                "stmxcsr [rsp - 8]",
                "sub rsp, 16",
                "fninit",
                "test {full:e}, {full:e}",
                "jz 2f",
                "movq mm1, [r10]",
                "2:",
                "mov rdi, r10",
                "movups xmm1, [r10]",
                "movups xmm2, [r10]",
                "ldmxcsr [r12 + 124]",
                "call r13",
                "fnstenv [r14]",
                "fninit",
                "add rsp, 16",
                "ldmxcsr [rsp - 8]",
                full = in(reg) u32::from(full),
                in("r12") ptr::from_mut(machine),
                in("r13") slot,
                in("r14") environment.as_mut_ptr(),
                inout("r10") operand => _,
                clobber_abi("C"),
            );
        }
        RESUME.store(0, Ordering::SeqCst);
        u16::from_le_bytes([environment[8], environment[9]])
    }
}

/// An FXSAVE image, on the boundary it needs.
#[repr(C, align(16))]
struct FxsaveImage([u8; 512]);

/// What the host's FXSAVE64 stores of the machine's XMM registers and MXCSR.
pub fn fxsave(machine: &Machine) -> [u8; 512] {
    let mut image = FxsaveImage([0; 512]);
    // SAFETY: FXSAVE writes 512 aligned bytes; MXCSR is restored, and no exception it unmasks can occur in between.
    unsafe {
        asm!(
            "stmxcsr [rsp - 8]",
            "movups xmm0, [r12]",
            "movups xmm1, [r12 + 16]",
            "movups xmm2, [r12 + 32]",
            "ldmxcsr [r12 + 124]",
            "fxsave64 [r13]",
            "ldmxcsr [rsp - 8]",
            in("r12") ptr::from_ref(machine),
            in("r13") ptr::from_mut(&mut image),
            clobber_abi("C"),
        );
    }
    image.0
}

impl Drop for Stub {
    fn drop(&mut self) {
        // SAFETY: the page mapped in `new`, not used again.
        unsafe { libc::munmap(self.page.cast(), PAGE) };
    }
}
