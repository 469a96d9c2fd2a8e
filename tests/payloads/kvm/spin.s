# Timer interrupts into a loop whose registers change.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set TURNS, 12000000
PROGRAM
    ENTER 1000000

CODE
program:
    mov $0x123456789abcdef, %rax
    mov $TURNS, %ecx
    xor %ebx, %ebx
    lea 1(%rcx, %rcx), %r8
    mov $0x5851f42d4c957f2d, %rdi
1:  imul %rdi, %rax
    inc %rax
    mov %rax, %rdx
    shr $33, %rdx
    add %rdx, %rbx
    rol $5, %rbx
    mov %rbx, %rsi
    xor %rax, %rsi
    lea 3(%rsi, %r8, 2), %r8
    sub %rsi, %r9
    sbb %r10, %r10
    add %r10, %r8
    dec %ecx
    jnz 1b
    KERNEL
    PRINT64 "result:"
    SHOW64 a, %rax
    SHOW64 b, %rbx
    SHOW64 c, %r8
    SHOW64 d, %r9
    FINISH
END_CODE
