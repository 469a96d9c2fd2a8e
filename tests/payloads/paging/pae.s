# PAE paging with 4 KiB and 2 MiB pages: 64-bit entries, NX, reserved bits.
#! differs: NX bit is reserved without EFER.NXE => #PF(0009) at +0000 cr2=00403000 | SDM 3A 4.7: a reserved bit is only looked at in a present entry, so P is set; TCG clears it
#! differs: the same by ring 3, writing => #PF(000f) at +0005 cr2=00403000 cpl3 | the same
#! differs: large page with a reserved address bit => #PF(0009) at +0010 cr2=00600000 | the same
#! differs: address beyond the processor's => #PF(0009) at +001a cr2=00404000 | the same
#! differs: bits 52 to 62 are reserved => #PF(0009) at +001a cr2=00404000 | the same
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

    TRY "read"
    mov 0x404000, %ebx
    END
    SHOW value, %ebx
    NL
    TRY "read not present, pointer"
    mov 0x40000000, %eax
    END
    TRY "read not present, directory"
    mov 0x1000000, %eax
    END
    TRY "read not present, table"
    mov 0x405000, %eax
    END
    TRY "write read-only"
    mov %eax, 0x401000
    END
    TRY "ring 3 read of ring 0"
    USER
    mov 0x402000, %eax
    KERNEL
    END
    TRY "execute"
    mov $0x400000, %eax
    call *%eax
    END
    TRY "NX bit is reserved without EFER.NXE"
    mov 0x403000, %eax
    END
    TRY "the same by ring 3, writing"
    USER
    mov %eax, 0x403000
    KERNEL
    END
    mov $0xc0000080, %ecx
    xor %edx, %edx
    mov $0x800, %eax
    wrmsr
    FLUSH
    TRY "read with NX"
    mov 0x403000, %eax
    END
    TRY "execute with NX"
    mov $0x403000, %eax
    call *%eax
    END
    TRY "ring 3 execute with NX"
    USER
    mov $0x403000, %eax
    call *%eax
    KERNEL
    END
    TRY "execute not present with NXE"
    mov $0x405000, %eax
    call *%eax
    END
    TRY "NX in the directory"
    movl $0x80000000, PD + 20
    FLUSH
    mov $0x400000, %eax
    call *%eax
    END
    movl $0, PD + 20
    FLUSH
    TRY "execute across into NX"
    movw $0x9090, PAGES + 0x2ffe
    movb $0xb8, PAGES + 0x2ffd
    mov $0x402ffd, %eax
    jmp *%eax
    END
    TRY "large page"
    movl $0xbeef, 0x612340
    mov 0x612340, %ebx
    END
    SHOW value, %ebx
    mov PD + 24, %eax
    SHOW entry, %eax
    NL
    TRY "large page with a reserved address bit"
    movl $0x602083, PD + 24
    FLUSH
    mov 0x600000, %eax
    END
    movl $0x600083, PD + 24
    TRY "address beyond the processor's"
    PTE 4, 7, 0x00000100
    FLUSH
    mov 0x404000, %eax
    END
    TRY "bits 52 to 62 are reserved"
    PTE 4, 7, 0x00100000
    FLUSH
    mov 0x404000, %eax
    END
    PTE 4, 7
    FLUSH
    TRY "accessed and dirty"
    PTE 4, 7
    FLUSH
    mov 0x404000, %eax
    mov PT + 32, %ebx
    mov %eax, 0x404000
    mov PT + 32, %ecx
    END
    SHOW read, %ebx
    SHOW written, %ecx
    NL
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    mov %cr4, %eax
    and $~0x20, %eax
    mov %eax, %cr4
    ret
