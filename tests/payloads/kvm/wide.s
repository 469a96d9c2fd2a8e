# Timer interrupts into writes all over 4 MiB, more pages than a landmark has room for, and right behind them into a loop that
# changes memory only.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set TURNS, 3000000
.set COUNTS, 1000000
.set ROUNDS, 3
PROGRAM
    movq $note_cells, tick_also
    ENTER 1000000
# What ring 0 sees of the loops' memory at an interrupt tells the turn.
note_cells:
    mov cell, %rdx
    call note
    mov $0x400000, %esi
    mov $64, %ecx
    jmp note_all

CODE
program:
    mov $0x123456789abcdef, %rax
    mov $0x5851f42d4c957f2d, %rdi
    mov $ROUNDS, %ebx
3:  mov $TURNS, %ecx
1:  imul %rdi, %rax
    inc %rax
    mov %rax, %rdx
    shr $42, %rdx
    and $~7, %edx
    add %rax, BIG(%rdx)
    dec %ecx
    jnz 1b
    movq $0, cell(%rip)
2:  incq cell(%rip)
    cmpq $COUNTS, cell(%rip)
    jb 2b
    dec %ebx
    jnz 3b
    # What all that has come to.
    xor %esi, %esi
    xor %r8, %r8
1:  imul %rdi, %r8
    add BIG(%rsi), %r8
    add $8, %esi
    cmp $0x400000, %esi
    jb 1b
    KERNEL
    PRINT64 "result:"
    SHOW64 sum, %r8
    SHOW64 cell, cell
    FINISH
END_CODE
DATA
cell:   .quad 0
