# Instructions that tell the processor or the time, on pages that KVM executes: the guest's CPUID, its own time, always.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set MADE, SMALL + 0x10000
.set PTE, TABLES + 0x1000 + ((0x300000 + 0x10000 - 0x200000) >> 12) * 8
PROGRAM
    movq $0x310007, PTE             # written and executed
    movq $note_time, tick_also
    ENTER 900000
note_time:
    mov time, %rdx
    jmp note

CODE
    .fill 128, 1, 0x90
program:
    # Between computations, and where constants look like them.
    mov $200, %r12d
    xor %r13d, %r13d
1:  xor %eax, %eax
    cpuid
    add %rbx, %r13
    add %rcx, %r13
    mov $1, %eax
    cpuid
    add %rax, %r13
    rol $7, %r13
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    xor %rax, time(%rip)
    mov $15000, %ecx
2:  imul $0x31a20f, %r13, %r13
    add $0xc80fa20f, %r13d
    dec %ecx
    jnz 2b
    dec %r12d
    jnz 1b
    mov %r13, read(%rip)
    # A page with one that is changed elsewhere: what runs is what was written.
    lea template(%rip), %rsi
    mov $MADE, %rdi
    mov $template_end - template, %ecx
    rep movsb
    mov $60, %r12d
1:  mov %r13d, MADE + constant - template
    mov $MADE + entry - template, %eax
    call *%rax
    dec %r12d
    jnz 1b
    mov %r13, changed(%rip)
    # A page without one gets one after it has run.
    movw $0x9090, MADE + tell - template
    movl $0x11, MADE + constant - template
    mov $20, %r12d
1:  mov $MADE + entry - template, %eax
    call *%rax
    add $0x1000, %r14d
    cmp $10, %r12d
    jne 2f
    movw $0xa20f, MADE + tell - template
2:  dec %r12d
    jnz 1b
    mov %r13, added(%rip)
    KERNEL
    PRINT64 "result:"
    SHOW64 read, read
    SHOW64 changed, changed
    SHOW64 added, added
    FINISH
template:
    .fill 128, 1, 0x90
entry:
    mov $40000, %r15d
1:  .byte 0x49, 0x81, 0xc5          # ADD $constant, %r13
constant:
    .long 0
    imul $0x10dcd, %r13, %r13
    rol $3, %r13
    dec %r15d
    jnz 1b
    xor %eax, %eax
    xor %ecx, %ecx
    xor %ebx, %ebx
tell:
    cpuid
    add %rbx, %r13
    ret
template_end:
END_CODE
DATA
time:   .quad 0
read:   .quad 0
changed: .quad 0
added:  .quad 0
