# Loads and stores in order over 1 MiB: sums, a copy with arithmetic, bytes and words.
.include "payload.inc"
.set TURNS, 150
.set ARRAY, 0x800000
.set WORDS, 0x20000
.text
.code32
.global main
main:
    call enter_long
.code64
    mov $TURNS, %ebp
    xor %r8, %r8
1:  mov $ARRAY, %esi
    lea WORDS * 8(%rsi), %rdi
    mov $WORDS, %ecx
2:  mov (%rsi), %rax
    add %rax, %r8
    lea 3(%rax, %rcx), %rax
    mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    dec %ecx
    jnz 2b
    mov $ARRAY, %esi
    mov $WORDS, %ecx
3:  mov WORDS * 8(%rsi, %rcx, 8), %eax
    add %eax, -8(%rsi, %rcx, 8)
    movzbl 3(%rsi, %rcx, 8), %edx
    add %rdx, %r8
    mov %dx, 4(%rsi, %rcx, 8)
    dec %ecx
    jnz 3b
    dec %ebp
    jnz 1b
    SHOW64 sum, %r8
    NL64
    jmp finish64
