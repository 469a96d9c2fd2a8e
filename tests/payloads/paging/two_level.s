# 32-bit paging with 4 KiB and 4 MiB pages: rights, error codes, CR2, WP, accessed and dirty bits, reserved bits.
#! differs: large page with a reserved address bit => #PF(0009) at +0000 cr2=00c00000 | SDM 3A 4.7: a reserved bit is only looked at in a present entry, so P is set; TCG clears it
.include "payload.inc"
.set PD, TABLES
.set PT, TABLES + 0x1000

# Linear 0x400000 + n * 4096 maps PAGES + n * 4096 with the flags.
.macro PTE n, flags
    movl $(PAGES + (\n) * 0x1000 + (\flags)), PT + 4 * (\n)
.endm
.macro FLUSH
    mov %cr3, %eax
    mov %eax, %cr3
.endm
# The low 12 bits of the entry, which show accessed (20) and dirty (40).
.macro BITS place
    mov \place, %eax
    and $0xfff, %eax
    SHOW bits, %eax
    NL
.endm

.text
.code32
.global main
main:
    movl $0x00000087, PD                # code and data, open to ring 3
    movl $PT + 7, PD + 4
    movl $0x00800083, PD + 8
    movl $0x00c00083, PD + 12
    PTE 0, 7
    PTE 1, 5                            # read-only, ring 3
    PTE 2, 3                            # ring 0 only
    PTE 3, 1                            # ring 0 only, read-only
    PTE 4, 6                            # not present
    PTE 5, 7
    PTE 6, 7
    mov $PD, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    movl $0x12345678, PAGES
    movl $0x55aa55aa, PAGES + 0x1000
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0

    TRY "read"
    mov 0x400000, %ebx
    END
    SHOW value, %ebx
    BITS PT
    TRY "write"
    movl $0x11223344, 0x400000
    END
    mov PAGES, %ebx
    SHOW value, %ebx
    BITS PT
    TRY "read not present"
    mov 0x404010, %eax
    END
    TRY "write not present"
    mov %eax, 0x404ffd
    END
    TRY "execute not present"
    mov $0x404123, %eax
    jmp *%eax
    END
    TRY "write across into not present"
    movl $-1, PAGES + 0x3ffc
    mov %eax, 0x403ffe
    END
    mov PAGES + 0x3ffc, %eax
    SHOW kept, %eax
    NL
    TRY "write read-only with WP clear"
    movl $1, 0x401000
    END
    BITS PT+4
    TRY "ring 0 write read-only with WP clear"
    movl $1, 0x403000
    END
    mov %cr0, %eax
    or $0x10000, %eax
    mov %eax, %cr0
    TRY "write read-only with WP"
    movl $1, 0x401000
    END
    TRY "ring 0 write read-only with WP"
    movl $1, 0x403004
    END
    TRY "xchg read-only with WP"
    xchg %eax, 0x403008
    END
    TRY "bts that changes nothing, read-only"
    btsl $0, 0x403000
    END
    TRY "ring 3 read"
    USER
    mov 0x400004, %eax
    KERNEL
    END
    TRY "ring 3 write"
    USER
    mov %eax, 0x400004
    KERNEL
    END
    TRY "ring 3 write read-only"
    USER
    mov %eax, 0x401004
    KERNEL
    END
    TRY "ring 3 read of ring 0"
    USER
    mov 0x402004, %eax
    KERNEL
    END
    TRY "ring 3 write of ring 0"
    USER
    mov %eax, 0x402004
    KERNEL
    END
    TRY "ring 3 execute of ring 0"
    USER
    mov $0x402abc, %eax
    jmp *%eax
    KERNEL
    END
    TRY "ring 3 read not present"
    USER
    mov 0x404008, %eax
    KERNEL
    END
    TRY "ring 3 write across rights"
    USER
    mov %eax, 0x401ffe
    KERNEL
    END

    # The directory's rights limit the table's.
    movl $PT + 5, PD + 4
    FLUSH
    TRY "write, directory read-only"
    mov %eax, 0x400000
    END
    movl $PT + 3, PD + 4
    FLUSH
    TRY "ring 3 read, directory of ring 0"
    USER
    mov 0x400000, %eax
    KERNEL
    END
    movl $PT + 7, PD + 4
    FLUSH

    # Accessed and dirty bits.
    PTE 5, 7
    invlpg 0x405000
    TRY "accessed by reading"
    mov 0x405000, %eax
    END
    BITS PT+20
    TRY "dirty by writing after reading"
    mov %eax, 0x405000
    END
    BITS PT+20
    PTE 5, 0x67
    TRY "bits cleared in memory come back after invlpg"
    PTE 5, 7
    invlpg 0x405000
    incl 0x405000
    END
    BITS PT+20
    PTE 6, 5
    invlpg 0x406000
    TRY "no dirty bit by a refused write"
    mov %eax, 0x406000
    END
    mov PT + 24, %eax
    and $0x40, %eax
    SHOW dirty, %eax
    NL
    movl $PT + 7, PD + 4
    FLUSH
    TRY "directory accessed"
    mov 0x400000, %eax
    END
    mov PD + 4, %eax
    and $0x60, %eax
    SHOW bits, %eax
    NL
    movl $0x00c00083, PD + 12
    FLUSH
    TRY "large page accessed"
    mov 0xc00000, %eax
    END
    BITS PD+12
    TRY "large page dirty"
    mov %eax, 0xc12344
    END
    BITS PD+12
    TRY "accessed by executing"
    PTE 6, 7
    invlpg 0x406000
    movb $0xc3, PAGES + 0x6000
    mov $0x406000, %eax
    call *%eax
    END
    BITS PT+24
    TRY "accessed by the descriptor table"
    PTE 6, 7
    invlpg 0x406000
    sgdt old_gdt
    mov $gdt, %esi
    mov $PAGES + 0x6000, %edi
    mov $64, %ecx
    rep movsl
    movw $255, new_gdt
    movl $0x406000, new_gdt + 2
    lgdt new_gdt
    mov $KDATA, %eax
    mov %eax, %gs
    lgdt old_gdt
    END
    BITS PT+24

    # A stale translation goes with INVLPG, a global one stays over a load of CR3.
    mov %cr4, %eax
    or $0x80, %eax
    mov %eax, %cr4
    PTE 5, 0x107
    invlpg 0x405000
    movl $5, PAGES + 0x5000
    movl $6, PAGES + 0x6000
    mov 0x405000, %ebx
    movl $PAGES + 0x6107, PT + 20
    invlpg 0x405000
    mov 0x405000, %ecx
    SHOW before, %ebx
    SHOW after, %ecx
    NL
    mov %cr4, %eax
    and $~0x80, %eax
    mov %eax, %cr4

    movl $0x00e00083, PD + 12
    FLUSH
    TRY "large page with a reserved address bit"
    mov 0xc00000, %eax
    END
    movl $0x00c00083, PD + 12
    FLUSH
    # Without PSE the bit is ignored: the entry points to a table.
    movl $PAGES + 0x7000 + 0x83, PD + 12
    movl $PAGES + 3, PAGES + 0x7000
    mov $PT + 0x1000, %edi
    mov $7, %edx
1:  mov %edx, (%edi)
    add $0x1000, %edx
    add $4, %edi
    cmp $0x400007, %edx
    jb 1b
    movl $PT + 0x1007, PD
    mov %cr4, %eax
    and $~0x10, %eax
    mov %eax, %cr4
    TRY "size bit without PSE"
    mov 0xc00000, %ebx
    END
    SHOW value, %ebx
    NL
    TRY "not present by the directory"
    mov 0x80000000, %ebx
    END
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    ret

.data
old_gdt:    .skip 8
new_gdt:    .skip 8
