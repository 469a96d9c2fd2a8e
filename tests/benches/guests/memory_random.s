# Loads and stores anywhere in 8 MiB.
.include "payload.inc"
.set TURNS, 4000000
.set ARRAY, 0x1000000
.set MASK, 0x7ffff8
.text
.code32
.global main
main:
    call enter_long
.code64
    mov $TURNS, %ebp
    mov $ARRAY, %edi
    mov $12345, %ebx
    xor %r8, %r8
    mov $6364136223846793005, %r9
1:  imul %r9, %rbx
    inc %rbx
    mov %rbx, %rax
    shr $30, %rax
    and $MASK, %eax
    mov (%rdi, %rax), %rcx
    add %rbx, %rcx
    mov %rbx, %rdx
    shr $20, %rdx
    and $MASK, %edx
    mov %rcx, (%rdi, %rdx)
    xor %rcx, %r8
    dec %ebp
    jnz 1b
    SHOW64 sum, %r8
    NL64
    jmp finish64
