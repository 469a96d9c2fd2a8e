# What scripts/measure-compute --guest bare runs: compute-load.c in ring 3, interrupted by a timer. Linked with the runtime of
# tests/payloads.
#
# The system call is UD2: KVM that itself runs in a guest without nested virtualisation (PVM) delivers neither SYSCALL nor INT n
# of ring 3 to a guest that does not know of it.
.include "payload.inc"
.include "user.inc"
.set EVERY, 4000000                             # nanoseconds between two interrupts

PROGRAM
    fninit
    mov $EVERY, %esi
    call start_ticks
    HOOK TICK, count_tick
    HOOK 6, on_call
    call enter_program

count_tick:
    incq ticks
    mov $APIC, %edi
    movl $0, 0xb0(%rdi)
    ret

# Prints the %rsi bytes at %rdi; with %rsi zero, the number of interrupts, and ends.
on_call:
    addq $2, Q_RIP(%rbp)
    incq calls
    mov Q_RDI(%rbp), %rdi
    mov Q_RSI(%rbp), %rsi
    test %rsi, %rsi
    jz end
1:  mov (%rdi), %al
    call putc64
    inc %rdi
    dec %rsi
    jnz 1b
    ret
end:
    PRINT64 "left:"
    SHOW64 interrupts, ticks
    SHOW64 calls, calls
    NL64
    jmp finish64

.section .text.user, "ax"
.global start_compute
start_compute:
    lea stack + (1 << 20)(%rip), %rsp
    call compute
    xor %esi, %esi
    ud2

.bss
calls:  .skip 8
