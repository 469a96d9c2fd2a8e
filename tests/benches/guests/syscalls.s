# SYSCALL and SYSRET: ring 3 asks ring 0 to add two numbers.
.include "payload.inc"
.set TURNS, 8000000
.text
.code32
.global main
main:
    call enter_long
.code64
    WRMSR64 0xc0000081, 0, 0x00180038           # STAR
    WRMSR64 0xc0000082, entry, 0                # LSTAR
    WRMSR64 0xc0000084, 0x700, 0                # FMASK
    USER64
    mov $TURNS, %ebp
    xor %ebx, %ebx
1:  mov %rbx, %rdi
    mov %rbp, %rsi
    mov $1, %eax
    syscall
    mov %rax, %rbx
    dec %ebp
    jnz 1b
    KERNEL
    SHOW64 sum, %rbx
    NL64
    jmp finish64
entry:
    swapgs
    mov %rsp, user_stack
    mov $stack_top64, %esp
    push %rcx
    push %r11
    push %rbx
    cmp $1, %eax
    jne 2f
    lea (%rdi, %rsi), %rax
    inc %rax
2:  pop %rbx
    pop %r11
    pop %rcx
    mov user_stack, %rsp
    swapgs
    sysretq
.bss
.align 16
user_stack: .skip 16
    .skip 4096
stack_top64:
