# An interpreter of a random program of sixteen operations, which jumps through a table for each, and calls by pointer.
.include "payload.inc"
.set TURNS, 6000
.set LENGTH, 4096
.set PROGRAM, 0x800000
.text
.code32
.global main
main:
    call enter_long
.code64
    # The program.
    mov $PROGRAM, %edi
    mov $LENGTH, %ecx
    mov $1, %eax
1:  imul $1103515245, %eax, %eax
    add $12345, %eax
    mov %eax, %edx
    shr $16, %edx
    and $15, %edx
    mov %dl, (%rdi)
    inc %rdi
    dec %ecx
    jnz 1b
    mov $TURNS, %ebp
    mov $7, %eax
    mov $9, %ebx
turn:
    mov $PROGRAM, %esi
    mov $LENGTH, %r9d
.macro NEXT
    movzbl (%rsi), %ecx
    inc %rsi
    dec %r9d
    jz done
    jmp *table(, %rcx, 8)
.endm
    NEXT
op0:  add %rbx, %rax
    NEXT
op1:  xor $0x55, %rax
    NEXT
op2:  rol $3, %rax
    NEXT
op3:  sub %rax, %rbx
    NEXT
op4:  lea 1(%rbx, %rbx), %rbx
    NEXT
op5:  not %rax
    NEXT
op6:  xchg %rax, %rbx
    NEXT
op7:  imul $5, %rbx, %rbx
    NEXT
op8:  mov %eax, %edx
    add %rdx, %rbx
    NEXT
op9:  shr $1, %rbx
    NEXT
op10: bswap %rax
    NEXT
op11: call *functions
    NEXT
op12: call *functions + 8
    NEXT
op13: call *functions + 16
    NEXT
op14: inc %rax
    NEXT
op15: or $1, %rbx
    NEXT
done:
    dec %ebp
    jnz turn
    SHOW64 a, %rax
    SHOW64 b, %rbx
    NL64
    jmp finish64
first:
    add $77, %rax
    ret
second:
    xor %rbx, %rax
    ret
third:
    ror $7, %rbx
    ret
.section .rodata
.align 8
table: .quad op0, op1, op2, op3, op4, op5, op6, op7, op8, op9, op10, op11, op12, op13, op14, op15
functions: .quad first, second, third
