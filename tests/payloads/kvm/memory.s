# Timer interrupts into loops that change memory only: registers are the same in each turn.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set TURNS, 2000000
PROGRAM
    movq $note_cells, tick_also
    ENTER 1000000
# What ring 0 sees of the loops' memory at an interrupt tells the turn.
note_cells:
    mov cell, %rdx
    call note
    mov near, %rdx
    call note
    mov low, %rdx
    call note
    mov $PAGES, %esi
    mov $4, %ecx
    call note_all
    mov $0x400000, %esi
    mov $4, %ecx
    jmp note_all

CODE
program:
    # One counter.
1:  incq cell(%rip)
    cmpq $TURNS * 3, cell(%rip)
    jb 1b
    # A counter in the stack's page.
1:  incq near(%rip)
    cmpq $TURNS, near(%rip)
    jb 1b
    # A number of four words in four pages: most turns change the lowest only, and that one comes around.
1:  addl $0x10001, low(%rip)
    adcl $0, SMALL
    adcl $0, SMALL + 0x1008
    adcl $0, BIG + 8
    cmpl $(TURNS >> 16) * 2, SMALL
    jb 1b
    # A ring of sixteen bytes that is turned by one byte: the first word repeats.
    movabs $0x0102030405060708, %rax
    mov %rax, BIG + 0x1000
    not %rax
    mov %rax, BIG + 0x1008
1:  rolq $8, BIG + 0x1000
    rolq $8, BIG + 0x1008
    incl BIG + 0x1040
    cmpl $TURNS, BIG + 0x1040
    jb 1b
    # A cell that changes to and fro, and a count that only one turn in 4096 changes.
1:  notq BIG + 0x2000
    addw $16, BIG + 0x2010
    adcl $0, BIG + 0x3000
    cmpl $TURNS >> 12, BIG + 0x3000
    jb 1b
    KERNEL
    PRINT64 "result:"
    SHOW64 cell, cell
    SHOW64 near, near
    SHOW64 low, PAGES
    SHOW64 high, 0x400008
    SHOW64 ring, 0x401000
    SHOW64 other, 0x401008
    SHOW64 fro, 0x402000
    FINISH
END_CODE
DATA
cell:   .quad 0
    .balign 4096
low:    .quad 0
.bss
near:   .quad 0
