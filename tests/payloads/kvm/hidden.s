# Timer interrupts into loops that change memory only, where the next instructions use none of it.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set TURNS, 1000000
PROGRAM
    movq $note_cells, tick_also
    ENTER 1000000
note_cells:
    mov cell, %rdx
    call note
    mov other, %rdx
    call note
    mov $0x400000, %esi
    mov $8, %ecx
    jmp note_all

CODE
program:
    # Between the uses of the counter lie more instructions than anybody looks ahead, and slow ones.
1:  incq cell(%rip)
    .rept 24
    mov $1000, %eax
    xor %edx, %edx
    mov $7, %ecx
    div %ecx
    .endr
    cmpq $TURNS / 4, cell(%rip)
    jb 1b
    # Behind a call, a jump and a pointer: what lies behind the next instructions is no use of the counter.
1:  lea BIG, %rdi
    call far_away
    cmpq $TURNS, BIG + 16
    jb 1b
    # Counters of two loops, the inner one's back at the start when the outer one's changes.
2:  movl $100, BIG + 32
1:  decl BIG + 32
    jnz 1b
    .rept 20
    mov $3, %eax
    imul %eax, %eax
    .endr
    incq other(%rip)
    cmpq $TURNS / 16, other(%rip)
    jb 2b
    # A page that is written now and then by the address that lies in memory.
    movabs $BIG + 0x10000, %rax
    mov %rax, BIG + 48
    xor %eax, %eax
1:  mov BIG + 48, %rbx
    addq $1, (%rbx)
    addq $4096, BIG + 48
    andq $~0x20000, BIG + 48
    mov $0, %ebx
    .rept 30
    mov $9, %eax
    imul %eax, %eax
    .endr
    incl BIG + 56
    cmpl $TURNS / 4, BIG + 56
    jb 1b
    KERNEL
    PRINT64 "result:"
    SHOW64 cell, cell
    SHOW64 pointed, 0x400010
    SHOW64 other, other
    SHOW64 page, 0x410000
    SHOW64 page, 0x41f000
    FINISH
far_away:
    .rept 18
    nop
    .endr
    addq $1, 16(%rdi)
    mov $5, %edi
    jmp 1f
    .balign 64
1:  .rept 40
    imul %edi, %edi
    mov $5, %edi
    .endr
    ret
END_CODE
DATA
cell:   .quad 0
    .balign 4096
other:  .quad 0
