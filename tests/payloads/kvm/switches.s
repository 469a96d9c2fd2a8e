# User code that leaves for the kernel in every way there is, between computations short and long.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
PROGRAM
    WRMSR64 0xc0000081, 0, 0x00200038           # STAR
    WRMSR64 0xc0000082, on_syscall, 0           # LSTAR
    WRMSR64 0xc0000084, 0x44700, 0              # SFMASK: AC, NT, DF, IF, TF
    mov %cr0, %rax
    or $1 << 18, %rax                           # AM
    mov %rax, %cr0
    HOOK 0, on_divide
    HOOK 1, on_debug
    HOOK 3, count_frame
    HOOK 6, on_invalid
    HOOK 13, on_protection
    HOOK 17, on_alignment
    HOOK USER_CALL, count_frame
    ENTER 800000

# %rax: 0 adds to the sum, 1 sets the FS base to %rdx, 2 the GS base.
on_syscall:
    mov %rsp, syscall_sp
    mov $trap_stack_top, %rsp
    push %rcx
    push %r11
    incq calls
    cmp $1, %eax
    ja 2f
    je 1f
    add %rdx, call_sum
    add %r11, flags_sum
    jmp 3f
1:  mov $0xc0000100, %ecx
    jmp 4f
2:  mov $0xc0000101, %ecx
4:  mov %rdx, %rax
    shr $32, %rdx
    wrmsr
3:  pop %r11
    pop %rcx
    mov syscall_sp, %rsp
    sysretq

count_frame:
    incq traps
    mov Q_RIP(%rbp), %rdx
    add %rdx, trap_sum
    ret
on_divide:
    addq $2, Q_RIP(%rbp)
    addq $77, Q_RAX(%rbp)
    jmp count_frame
on_invalid:
    addq $2, Q_RIP(%rbp)
    jmp count_frame
on_protection:
    addq $1, Q_RIP(%rbp)            # a HLT or CLI
    jmp count_frame
on_alignment:
    andq $~0x40000, Q_RFLAGS(%rbp)
    incq alignments
    jmp count_frame
on_debug:
    incq steps
    mov Q_RIP(%rbp), %rdx
    add %rdx, trap_sum
    ret

CODE
program:
    mov $220, %r15d
    xor %r12d, %r12d
    mov $99, %ebp
9:  # Short system calls.
    mov $50, %ebx
1:  xor %eax, %eax
    mov %r12, %rdx
    xor %r12d, %r12d
    cmp $7, %rdx
    syscall
    lea 3(%rbx, %r12), %r12
    dec %ebx
    jnz 1b
    # A long computation, longer each time it is a multiple of 16.
    mov $3000, %ecx
    test $15, %r15b
    jnz 1f
    mov $250000, %ecx
1:  imul $0x10dcd, %rbp, %rbp
    rol $11, %rbp
    add %rcx, %rbp
    dec %ecx
    jnz 1b
    # Bases of FS and GS, by the kernel.
    mov $1, %eax
    lea locals(%rip), %rdx
    syscall
    mov $2, %eax
    lea locals + 64(%rip), %rdx
    syscall
    mov $20000, %ecx
1:  addq $1, %fs:8
    mov %fs:8, %rax
    add %rax, %gs:16
    dec %ecx
    jnz 1b
    mov %cs, %eax
    mov %ss, %ecx
    shl $8, %ecx
    or %ecx, %eax
    mov %gs, %ecx
    add %rcx, %rax
    add %rax, %rbp
    # Interrupt instructions and exceptions.
    int $USER_CALL
    int3
    ud2
    xor %edx, %edx
    xor %ecx, %ecx
    mov %r15d, %eax
    div %ecx
    add %rax, %rbp
    hlt
    cli
    # IRETQ within ring 3.
    mov %rsp, %rax
    mov %ss, %ecx
    push %rcx
    push %rax
    pushf
    mov %cs, %ecx
    push %rcx
    lea 1f(%rip), %rcx
    push %rcx
    iretq
1:  # Single steps.
    pushf
    orl $0x100, (%rsp)
    popf
    add $5, %rbp
    rol $3, %rbp
    nop
    pushf
    andl $~0x100, (%rsp)
    popf
    # Alignment.
    pushf
    orl $0x40000, (%rsp)
    popf
    mov locals + 1(%rip), %eax
    add %rax, %rbp
    pushf
    andl $~0x40000, (%rsp)
    popf
    dec %r15d
    jnz 9b
    mov %rbp, sum(%rip)
    KERNEL
    PRINT64 "result:"
    SHOW64 sum, sum
    SHOW64 calls, calls
    SHOW64 call_sum, call_sum
    SHOW64 traps, traps
    SHOW64 trap_sum, trap_sum
    SHOW64 steps, steps
    SHOW64 alignments, alignments
    SHOW64 local, locals + 8
    SHOW64 local, locals + 80
    PRINT64 "\nflags:"
    SHOW64 flags, flags_sum
    FINISH
END_CODE
DATA
locals: .fill 32, 8, 0
sum:    .quad 0
.data
.balign 8
syscall_sp: .quad 0
calls:      .quad 0
call_sum:   .quad 0
flags_sum:  .quad 0
traps:      .quad 0
trap_sum:   .quad 0
steps:      .quad 0
alignments: .quad 0
