# Accesses and instructions across pages: split loads and stores, faults at either half, precise restart.
#! differs: xchg with memory that faults keeps the register => #PF(0002) at +0005 cr2=00402000 | SDM 3A 4.7: an exchange is a write; TCG loads first
.include "payload.inc"
.set LIN, 0x400000          # linear; page n at PAGES + 0x1000 * order[n]
.text
.code32
.global main
main:
    movl $0x87, TABLES
    movl $TABLES + 0x1007, TABLES + 4
    movl $PAGES + 0x5007, TABLES + 0x1000
    movl $PAGES + 0x2007, TABLES + 0x1004
    movl $PAGES + 0x7005, TABLES + 0x100c       # page 2 missing, page 3 read-only
    movl $PAGES + 0x8007, TABLES + 0x1010
    mov $TABLES, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x210, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80010000, %eax
    mov %eax, %cr0
    fninit

    PRINT "split store and load:"
    movl $0x44332211, LIN + 0xffe
    mov LIN + 0xffe, %eax
    SHOW eax, %eax
    movzwl PAGES + 0x5ffe, %eax
    SHOW low, %eax
    movzwl PAGES + 0x2000, %eax
    SHOW high, %eax
    NL
    PRINT "split word, quad and 16 bytes:"
    movw $0xbbaa, LIN + 0xfff
    movzbl PAGES + 0x5fff, %eax
    SHOW low, %eax
    movzbl PAGES + 0x2000, %eax
    SHOW high, %eax
    movl $1, PAGES + 0x5ff8
    movl $2, PAGES + 0x5ffc
    movl $3, PAGES + 0x2000
    movl $4, PAGES + 0x2004
    movups LIN + 0xff8, %xmm0
    movups %xmm0, PAGES + 0x100
    mov PAGES + 0x10c, %eax
    SHOW sse, %eax
    fildll LIN + 0xffc
    fistpll PAGES + 0x110
    mov PAGES + 0x114, %eax
    SHOW x87, %eax
    NL
    PRINT "locked across pages:"
    movl $-1, LIN + 0xffe
    lock incl LIN + 0xffe
    mov LIN + 0xffe, %eax
    SHOW inc, %eax
    mov $5, %ecx
    lock cmpxchg %ecx, LIN + 0xffe
    mov LIN + 0xffe, %eax
    SHOW cmpxchg, %eax
    lock xadd %ecx, LIN + 0xffe
    SHOW xadd, %ecx
    NL
    movl $0x11111111, LIN + 0x1ffc
    TRY "store into a missing second page changes nothing"
    movl $0x22222222, LIN + 0x1ffe
    END
    mov LIN + 0x1ffc, %eax
    SHOW kept, %eax
    NL
    movl $0x33333333, PAGES + 0x8000
    TRY "store from a missing page"
    movl $0x22222222, LIN + 0x2ffe
    END
    TRY "load across from a missing page"
    mov LIN + 0x2ffe, %eax
    END
    TRY "store from read-only into writable"
    movl $0x22222222, LIN + 0x3ffe
    END
    mov PAGES + 0x8000, %eax
    SHOW kept, %eax
    NL
    TRY "push across into a missing page"
    USER
    mov $LIN + 0x3002, %esp
    push %eax
    KERNEL
    END
    TRY "pop into a missing page leaves the stack pointer"
    push $1
    mov %esp, %ebx
    popl LIN + 0x2000
    END
    TRY "call with a missing stack"
    USER
    mov $LIN + 0x3000, %esp
    call main
    KERNEL
    END
    TRY "enter with a missing stack"
    USER
    mov $LIN + 0x3000, %esp
    enter $16, $0
    KERNEL
    END
    TRY "instruction runs into a missing page"
    movb $0xb8, LIN + 0x1ffe
    mov $LIN + 0x1ffe, %eax
    jmp *%eax
    END
    TRY "instruction ends at the last byte before it"
    movl $0xc3c0ff40, LIN + 0x1ffc
    mov $LIN + 0x1ffc, %edx
    xor %eax, %eax
    call *%edx
    END
    SHOW eax, %eax
    NL
    TRY "xchg with memory that faults keeps the register"
    mov $0x77, %eax
    xchg %eax, LIN + 0x2000
    END
    SHOW eax, %eax
    NL
    TRY "cmpxchg that does not write needs a writable page"
    mov $1, %eax
    cmpxchg %ecx, LIN + 0x3000
    END
    TRY "add with carry restarts with its flags"
    stc
    HOOK 14, map_page
    mov $1, %eax
    adc %eax, LIN + 0x2000
    mov LIN + 0x2000, %ebx
    END
    SHOW sum, %ebx
    NL
    UNHOOK 14
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    ret
# Maps the missing page and lets the instruction run again.
map_page:
    movl $PAGES + 0x9003, TABLES + 0x1008
    invlpg LIN + 0x2000
    PRINT "mapped, "
    ret
