# The four directory pointers of PAE paging are read when CR3 is loaded, not at each walk.
#! golden: TCG reads them at each walk (SDM 3A 4.4.1)
.include "payload.inc"
.set PDPT, TABLES
.set PD, TABLES + 0x1000
.set PT, TABLES + 0x2000

.macro PTE n, low, high=0
    movl $(PAGES + (\n) * 0x1000 + (\low)), PT + 8 * (\n)
    movl $(\high), PT + 8 * (\n) + 4
.endm
.macro FLUSH
    mov %cr3, %eax
    mov %eax, %cr3
.endm

.text
.code32
.global main
main:
    movl $PD + 1, PDPT
    movl $0x87, PD
    movl $0x200087, PD + 8
    movl $PT + 7, PD + 16               # linear 0x400000
    movl $0x600083, PD + 24             # linear 0x600000
    PTE 0, 7
    PTE 1, 5
    PTE 2, 3
    PTE 3, 7, 0x80000000
    PTE 4, 7
    movb $0xc3, PAGES
    movb $0xc3, PAGES + 0x3000
    movl $0xcafe, PAGES + 0x4000
    mov $PDPT, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80010000, %eax
    mov %eax, %cr0

    TRY "pointer changed in memory alone"
    movl $0, PDPT
    invlpg 0x404000
    mov 0x404000, %ebx
    END
    SHOW value, %ebx
    NL
    movl $PD + 1, PDPT
    TRY "second pointer after a load of CR3"
    movl $PD + 1, PDPT + 8
    FLUSH
    mov 0x40404000, %ebx
    END
    SHOW value, %ebx
    NL
    TRY "#GP a pointer with a reserved bit"
    movl $PD + 3, PDPT + 16
    FLUSH
    END
    movl $0, PDPT + 16
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    mov %cr4, %eax
    and $~0x20, %eax
    mov %eax, %cr4
    ret
