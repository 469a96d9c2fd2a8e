//! Runs a stretch of code on the host CPU with every general register, the flags and two data pages as chosen.
//!
//! The only unsafe file of this test: mappings at fixed low addresses, the jump into the code, and the signal handler that
//! every run ends in (the code ends in INT3, or faults), which takes the registers out of the interrupted context.

use std::arch::asm;
use std::ptr::{self, addr_of, addr_of_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::machine::{Bits, CODE, CODE_LEN, DATA, DATA_LEN, Data, End, Registers, WRITABLE};

const PAGE: usize = 4096;

/// What the jump and the signal handler share.
#[repr(C)]
struct Context {
    /// General registers in encoding order, at 0.
    regs: [u64; 16],
    /// RFLAGS, at 128.
    flags: u64,
    /// Where to jump, at 136; for 32-bit code the selector follows the low 32 bits.
    target: [u32; 2],
    /// Stack pointer of the harness, at 144.
    rsp: u64,
    /// Where the harness goes on, at 152.
    resume: u64,
    rip: u64,
    trap: u64,
    error: u64,
    cr2: u64,
}

static mut CONTEXT: Context =
    Context { regs: [0; 16], flags: 0, target: [0; 2], rsp: 0, resume: 0, rip: 0, trap: 0, error: 0, cr2: 0 };

static RUNNING: AtomicBool = AtomicBool::new(false);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Order of the general registers in a signal context.
const GREGS: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

const USER_CS32: u32 = 0x23;
const USER_CS64: i64 = 0x33;
const USER_DS: u64 = 0x2b;

/// Signals that an instruction may raise.
const SIGNALS: [i32; 5] = [libc::SIGTRAP, libc::SIGFPE, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL];

extern "C" fn caught(signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !RUNNING.swap(false, Ordering::SeqCst) {
        // Not ours: die of it.
        // SAFETY: restoring a default action is async-signal-safe.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context; CONTEXT is used by the one thread that holds
    // the lock, which is the one interrupted.
    unsafe {
        let gregs = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let ours = &mut *addr_of_mut!(CONTEXT);
        for (reg, &index) in ours.regs.iter_mut().zip(&GREGS) {
            *reg = gregs[index as usize] as u64;
        }
        ours.flags = gregs[libc::REG_EFL as usize] as u64;
        ours.rip = gregs[libc::REG_RIP as usize] as u64;
        ours.trap = gregs[libc::REG_TRAPNO as usize] as u64;
        ours.error = gregs[libc::REG_ERR as usize] as u64;
        ours.cr2 = gregs[libc::REG_CR2 as usize] as u64;
        gregs[libc::REG_RIP as usize] = ours.resume as i64;
        gregs[libc::REG_RSP as usize] = ours.rsp as i64;
        gregs[libc::REG_EFL as usize] = 0x202;
        let segments = &mut gregs[libc::REG_CSGSFS as usize];
        *segments = *segments & !0xffff | USER_CS64;
    }
}

/// The code and data mappings, and the right to run on them.
pub struct Native {
    /// A writable view of the data pages.
    data: *mut u8,
    stack: *mut libc::c_void,
    _alone: MutexGuard<'static, ()>,
}

const STACK: usize = 64 << 10;

impl Native {
    /// Maps code and data and installs the signal handlers. Only one exists at a time.
    pub fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let code = map(CODE as usize, CODE_LEN, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, -1);
        assert_eq!(code as u64, CODE);
        // SAFETY: a fresh anonymous file of our own.
        let file = unsafe { libc::memfd_create(c"data".as_ptr(), 0) };
        assert!(file >= 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ftruncate(file, DATA_LEN as i64) }, 0);
        // Guards on both sides, then the pages over them.
        map(DATA as usize - PAGE, DATA_LEN + 2 * PAGE, libc::PROT_NONE, -1);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        map_over(DATA as usize, WRITABLE, both, file, 0);
        map_over(DATA as usize + WRITABLE, DATA_LEN - WRITABLE, libc::PROT_READ, file, WRITABLE as i64);
        let data = map(0, DATA_LEN, both, file);
        let stack = map(0, STACK, both, -1).cast();
        let alternate = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: STACK };
        // SAFETY: the stack stays mapped until it is disabled in `drop`.
        assert_eq!(unsafe { libc::sigaltstack(&alternate, ptr::null_mut()) }, 0);
        for signal in SIGNALS {
            // SAFETY: the action is fully initialised and its handler has the SA_SIGINFO signature.
            let failed = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction =
                    caught as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(signal, &action, ptr::null_mut())
            };
            assert_eq!(failed, 0);
        }
        Self { data, stack, _alone: alone }
    }

    /// Writes code.
    pub fn write_code(&mut self, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        assert!(at >= CODE && end <= CODE + CODE_LEN as u64);
        // SAFETY: inside the code mapping, which nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
    }

    /// Runs from `registers` on until a trap or fault.
    pub fn run(&mut self, bits: Bits, registers: &mut Registers, data: &mut Data) -> End {
        // SAFETY: both are DATA_LEN bytes, and the mapping is only used here.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), self.data, DATA_LEN) };
        // SAFETY: nobody else uses CONTEXT while the lock is held.
        unsafe {
            let context = &mut *addr_of_mut!(CONTEXT);
            context.regs = registers.gpr;
            context.flags = registers.flags;
            context.target = [registers.rip as u32, USER_CS32];
            RUNNING.store(true, Ordering::SeqCst);
            match bits {
                Bits::B64 => {
                    context.target[1] = 0;
                    enter64();
                }
                Bits::B32 => enter32(),
            }
        }
        // SAFETY: as above, and the mapping holds DATA_LEN bytes.
        let end = unsafe {
            ptr::copy_nonoverlapping(self.data, data.as_mut_ptr(), DATA_LEN);
            let context = &*addr_of!(CONTEXT);
            registers.gpr = context.regs;
            registers.flags = context.flags;
            registers.rip = context.rip;
            End { vector: context.trap as u8, error: context.error as u16, address: context.cr2 }
        };
        // The trap after INT3 leaves the address behind it; a fault the instruction's own.
        if end.vector == 3 {
            registers.rip -= 1;
        }
        end.tidy()
    }
}

/// Loads everything and jumps; comes back by the signal handler.
///
/// # Safety
/// CONTEXT holds registers and a target in the code mapping whose code ends in INT3 or a fault.
unsafe fn enter64() {
    // SAFETY: RBX and RBP are saved on the harness's stack, everything else is declared lost; the handler restores RSP.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea rax, [rip + 2f]",
            "mov [rip + {c} + 152], rax",
            "mov [rip + {c} + 144], rsp",
            "push qword ptr [rip + {c} + 128]",
            "popfq",
            "mov rax, [rip + {c}]",
            "mov rcx, [rip + {c} + 8]",
            "mov rdx, [rip + {c} + 16]",
            "mov rbx, [rip + {c} + 24]",
            "mov rsp, [rip + {c} + 32]",
            "mov rbp, [rip + {c} + 40]",
            "mov rsi, [rip + {c} + 48]",
            "mov rdi, [rip + {c} + 56]",
            "mov r8, [rip + {c} + 64]",
            "mov r9, [rip + {c} + 72]",
            "mov r10, [rip + {c} + 80]",
            "mov r11, [rip + {c} + 88]",
            "mov r12, [rip + {c} + 96]",
            "mov r13, [rip + {c} + 104]",
            "mov r14, [rip + {c} + 112]",
            "mov r15, [rip + {c} + 120]",
            "jmp qword ptr [rip + {c} + 136]",
            "2:",
            "pop rbp",
            "pop rbx",
            c = sym CONTEXT,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("C"),
        );
    }
}

/// As [`enter64`], into 32-bit code with flat data segments, which stay loaded only meanwhile.
///
/// # Safety
/// As [`enter64`].
unsafe fn enter32() {
    // SAFETY: as in `enter64`; 64-bit code ignores DS and ES, null is what Linux starts with.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea rax, [rip + 2f]",
            "mov [rip + {c} + 152], rax",
            "mov [rip + {c} + 144], rsp",
            "mov eax, {ds}",
            "mov ds, eax",
            "mov es, eax",
            "push qword ptr [rip + {c} + 128]",
            "popfq",
            "mov rax, [rip + {c}]",
            "mov rcx, [rip + {c} + 8]",
            "mov rdx, [rip + {c} + 16]",
            "mov rbx, [rip + {c} + 24]",
            "mov rsp, [rip + {c} + 32]",
            "mov rbp, [rip + {c} + 40]",
            "mov rsi, [rip + {c} + 48]",
            "mov rdi, [rip + {c} + 56]",
            "mov r8, [rip + {c} + 64]",
            "mov r9, [rip + {c} + 72]",
            "mov r10, [rip + {c} + 80]",
            "mov r11, [rip + {c} + 88]",
            "mov r12, [rip + {c} + 96]",
            "mov r13, [rip + {c} + 104]",
            "mov r14, [rip + {c} + 112]",
            "mov r15, [rip + {c} + 120]",
            "jmp fword ptr [rip + {c} + 136]",
            "2:",
            "xor eax, eax",
            "mov ds, eax",
            "mov es, eax",
            "pop rbp",
            "pop rbx",
            c = sym CONTEXT,
            ds = const USER_DS,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("C"),
        );
    }
}

fn map(at: usize, len: usize, protection: i32, file: i32) -> *mut u8 {
    let fixed = if at == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    let kind = if file < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    // SAFETY: a mapping where there was none.
    let p = unsafe { libc::mmap(at as *mut libc::c_void, len, protection, kind | fixed, file, 0) };
    assert_ne!(p, libc::MAP_FAILED, "mmap at {at:#x}: {}", std::io::Error::last_os_error());
    p.cast()
}

/// Replaces part of our own guard mapping.
fn map_over(at: usize, len: usize, protection: i32, file: i32, offset: i64) {
    // SAFETY: replaces pages of the guard mapping only.
    let p = unsafe {
        libc::mmap(at as *mut libc::c_void, len, protection, libc::MAP_SHARED | libc::MAP_FIXED, file, offset)
    };
    assert_ne!(p, libc::MAP_FAILED, "mmap at {at:#x}: {}", std::io::Error::last_os_error());
}

impl Drop for Native {
    fn drop(&mut self) {
        let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the mappings made in `new`, not used again.
        unsafe {
            libc::sigaltstack(&none, ptr::null_mut());
            libc::munmap(self.stack, STACK);
            libc::munmap(self.data.cast(), DATA_LEN);
            libc::munmap(CODE as *mut libc::c_void, CODE_LEN);
            libc::munmap((DATA as usize - PAGE) as *mut libc::c_void, DATA_LEN + 2 * PAGE);
        }
    }
}
