# Code that is written and run at once: an immediate changed between calls, and functions made anew in one page.
.include "payload.inc"
.set TURNS, 30000
.set CODE, PAGES + 0x10000
.text
.code32
.global main
main:
    call enter_long
.code64
    mov $TURNS, %ebp
    xor %r8, %r8
    mov $CODE, %ebx
1:  mov %ebp, function + 1
    call function
    add %rax, %r8
    # lea N(%rdi), %eax; ret
    movw $0x878d, (%rbx)
    mov %ebp, 2(%rbx)
    movb $0xc3, 6(%rbx)
    mov $3, %edi
    call *%rbx
    add %rax, %r8
    add $16, %rbx
    and $CODE | 0xff0, %ebx
    dec %ebp
    jnz 1b
    SHOW64 sum, %r8
    NL64
    jmp finish64
.align 4096
function:
    mov $0, %eax
    add $1, %eax
    ret
.align 4096
