# Code whose page, or second page, becomes another one: found again after INVLPG and CR3 loads, by every kind of jump.
#! differs: large page, INVLPG elsewhere in it => eax=00000001 eax=00000003 | SDM 3A 4.10.4.1: INVLPG drops all TLB entries of a large page; TCG still runs what it found before
.include "payload.inc"
.set LIN, 0x400000          # pages 0 to 3, as TABLES + 0x1000 has them
.set ONE, PAGES + 0x5000    # "mov $1, %eax; ret"
.set TWO, PAGES + 0x6000    # "mov $2, %eax; ret"
.set LARGE, 0x800000        # a page of 4 MiB
.macro MAP n, to
    movl $(\to) + 7, TABLES + 0x1000 + 4 * (\n)
.endm
.text
.code32
.global main
main:
    movl $0x87, TABLES
    movl $TABLES + 0x1007, TABLES + 4
    movl $0x87, TABLES + 8
    MAP 0, ONE
    MAP 1, PAGES + 0x7000
    MAP 2, PAGES + 0x8000
    movl $0x000001b8, ONE
    movw $0xc300, ONE + 4
    movl $0x000002b8, TWO
    movw $0xc300, TWO + 4
    # "nop; nop; mov $imm, %eax; ret" whose immediate and RET lie mostly in the next page.
    movl $0x11b89090, PAGES + 0x7ffc
    movl $0xc3333322, PAGES + 0x8000
    movl $0xc3666655, PAGES + 0x9000
    movl $0x44b89090, PAGES + 0xaffc
    mov $TABLES, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x210, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80010000, %eax
    mov %eax, %cr0

    PRINT "before:"
    call LIN
    SHOW eax, %eax
    NL
    # Either page may answer; every run of the same machine has to choose the same.
    PRINT "another page, nothing flushed:"
    MAP 0, TWO
    call LIN
    mov %eax, PAGES
    dec %eax
    shr %eax
    SHOW neither, %eax
    NL
    PRINT "after INVLPG:"
    invlpg LIN + 0x123
    call LIN
    SHOW eax, %eax
    NL
    PRINT "back, after a CR3 load:"
    MAP 0, ONE
    mov %cr3, %eax
    mov %eax, %cr3
    call LIN
    SHOW eax, %eax
    NL
    PRINT "to and fro in a loop, by direct and computed calls:"
    xor %ebx, %ebx
    mov $100, %ecx
1:  MAP 0, ONE
    invlpg LIN
    call both
    MAP 0, TWO
    mov %cr3, %eax
    mov %eax, %cr3
    call both
    loop 1b
    SHOW sum, %ebx
    NL

    PRINT "across two pages:"
    call LIN + 0x1ffc
    SHOW eax, %eax
    MAP 2, PAGES + 0x9000
    invlpg LIN + 0x2000
    call LIN + 0x1ffc
    SHOW second, %eax
    MAP 1, PAGES + 0xa000
    invlpg LIN + 0x1000
    call LIN + 0x1ffc
    SHOW first, %eax
    NL
    PRINT "second page to and fro in a loop:"
    xor %ebx, %ebx
    mov $100, %ecx
1:  MAP 2, PAGES + 0x8000
    invlpg LIN + 0x2000
    call across
    MAP 2, PAGES + 0x9000
    mov %cr3, %eax
    mov %eax, %cr3
    call across
    loop 1b
    SHOW sum, %ebx
    NL
    TRY "second page missing"
    movl $0, TABLES + 0x1008
    invlpg LIN + 0x2000
    call LIN + 0x1ffc
    END
    TRY "second page there again"
    MAP 2, PAGES + 0x8000
    call LIN + 0x1ffc
    END
    SHOW eax, %eax
    NL
    TRY "first page missing"
    movl $0, TABLES + 0x1004
    invlpg LIN + 0x1000
    mov $LIN + 0x1ffe, %edx
    jmp *%edx
    END

    PRINT "large page, INVLPG elsewhere in it:"
    MAP 3, 0x705000
    movl $0x000003b8, LIN + 0x3000
    movw $0xc300, LIN + 0x3004
    call LARGE + ONE
    SHOW eax, %eax
    movl $0x400087, TABLES + 8
    invlpg LARGE
    call LARGE + ONE
    SHOW eax, %eax
    NL
    PRINT "accessed bits of a page that is fetched again:"
    andl $~0x20, TABLES + 0x1000
    invlpg LIN
    mov TABLES + 0x1000, %eax
    and $0x20, %eax
    SHOW before, %eax
    call LIN
    mov TABLES + 0x1000, %eax
    and $0x20, %eax
    SHOW after, %eax
    NL
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    ret

# Adds up what page 0 returns, called both ways, twice.
both:
    mov $2, %edx
2:  call LIN
    add %eax, %ebx
    mov $LIN, %eax
    call *%eax
    add %eax, %ebx
    dec %edx
    jnz 2b
    ret

# The same for the instruction across two pages, entered at once and by the code before it.
across:
    mov $2, %edx
2:  call LIN + 0x1ffc
    add %eax, %ebx
    call LIN + 0x1ffe
    add %eax, %ebx
    mov $LIN + 0x1ffe, %eax
    call *%eax
    add %eax, %ebx
    dec %edx
    jnz 2b
    ret
