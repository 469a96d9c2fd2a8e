# Calls and returns: Fibonacci numbers by recursion, and a chain of small leaf functions.
.include "payload.inc"
.set TURNS, 7
.text
.code32
.global main
main:
    call enter_long
.code64
    mov $TURNS, %ebp
    xor %r8, %r8
1:  mov $30, %edi
    call fibonacci
    add %rax, %r8
    mov $1500000, %ebx
2:  mov %ebx, %edi
    call one
    add %rax, %r8
    dec %ebx
    jnz 2b
    dec %ebp
    jnz 1b
    SHOW64 sum, %r8
    NL64
    jmp finish64

fibonacci:
    cmp $2, %edi
    jae 1f
    mov %edi, %eax
    ret
1:  push %rbx
    push %r12
    mov %edi, %ebx
    lea -1(%rbx), %edi
    call fibonacci
    mov %rax, %r12
    lea -2(%rbx), %edi
    call fibonacci
    add %r12, %rax
    pop %r12
    pop %rbx
    ret

one:
    push %rbp
    mov %rsp, %rbp
    call two
    inc %rax
    pop %rbp
    ret
two:
    sub $24, %rsp
    mov %edi, 8(%rsp)
    call three
    add 8(%rsp), %eax
    add $24, %rsp
    ret
three:
    lea (%rdi, %rdi, 2), %eax
    ret
