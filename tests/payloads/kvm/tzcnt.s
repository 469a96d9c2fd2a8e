# An instruction that the host's processor has and the guest's has not: what a replay cannot do as the recorder did.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
PROGRAM
    ENTER 1000000
CODE
    .fill 128, 1, 0x90
program:
    xor %r13d, %r13d
    call compute
    # BSF where there is no TZCNT: for zero it leaves what there was.
    mov $4000, %r12d
1:  mov $7, %eax
    xor %ecx, %ecx
    tzcnt %rcx, %rax
    add %rax, %r13
    dec %r12d
    jnz 1b
    call compute
    KERNEL
    PRINT64 "result:"
    SHOW64 sum, %r13
    FINISH
compute:
    mov $40000000, %ecx
1:  imul $0x10dcd, %rbx, %rbx
    inc %rbx
    dec %ecx
    jnz 1b
    ret
END_CODE
