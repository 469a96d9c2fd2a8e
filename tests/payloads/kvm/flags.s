# Interrupts behind instructions that leave flags undefined: what the kernel's stack then has is in the handler's hash.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
PROGRAM
    ENTER 1000000
CODE
program:
    mov $3000000, %r8d
    mov $0x9876543210abcdef, %rax
    mov $3, %ecx
1:  mul %rax
    imul %rcx, %rax
    and $0x7fffffff, %rax
    shl %cl, %rax
    rcl $3, %rax
    bsf %rax, %rbx
    bt %rbx, %rax
    ror $9, %rax
    xor %rbx, %rax
    sar $2, %rbx
    or $1, %rbx
    xor %edx, %edx
    div %rbx
    shld $5, %rbx, %rax
    inc %ecx
    dec %r8d
    jnz 1b
    KERNEL
    PRINT64 "result:"
    SHOW64 a, %rax
    SHOW64 b, %rbx
    FINISH
END_CODE
