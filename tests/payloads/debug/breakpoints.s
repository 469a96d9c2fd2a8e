# Debug registers: breakpoints on execution, data and I/O; DR6, DR7, general detect, RF, refused values.
#! differs: general detect => +03/2000 dr7=00000400 | SDM 3A 17.2.4, GD; TCG ignores it
.include "payload.inc"
.macro SETDR number, address, dr7
    mov $(\address), %eax
    mov %eax, %dr\number
    mov $(\dr7), %eax
    mov %eax, %dr7
.endm
.macro OFF
    xor %eax, %eax
    mov %eax, %dr7
.endm
.macro BASE
    movl $1f, try_base
1:
.endm
.text
.code32
.global main
main:
    HOOK 1, trapped
    OFF
    mov %eax, %dr6
    mov %dr6, %eax
    mov %dr7, %ebx
    PRINT "at rest:"
    SHOW dr6, %eax
    SHOW dr7, %ebx
    NL
    PRINT "execution:"
    SETDR 0, here, 0x402
    BASE
    nop
here:
    nop
    nop
    NL
    PRINT "execution again, by a jump:"
    BASE
    nop
    jmp here2
    nop
here2:
    PRINT " none"
    NL
    PRINT "four at once:"
    SETDR 0, there, 0x402
    SETDR 1, there, 0x40a
    SETDR 2, there, 0x42a
    SETDR 3, there, 0x4aa
    BASE
    nop
there:
    nop
    NL
    OFF
    PRINT "write of 4:"
    SETDR 1, PAGES + 4, 0x00d00408
    BASE
    mov PAGES + 4, %eax
    mov %eax, PAGES
    mov %eax, PAGES + 8
    mov %eax, PAGES + 4
    nop
    movb $1, PAGES + 7
    nop
    movw $1, PAGES + 3
    nop
    NL
    PRINT "read or write of 2:"
    SETDR 1, PAGES + 4, 0x00700408
    BASE
    movb PAGES + 6, %al
    nop
    movb PAGES + 5, %al
    nop
    movl PAGES + 2, %eax
    nop
    movb %al, PAGES + 4
    nop
    NL
    PRINT "push, read-modify-write:"
    SETDR 1, PAGES + 4, 0x00d00408
    mov %esp, %ebx
    BASE
    mov $PAGES + 8, %esp
    push %eax
    mov %ebx, %esp
    nop
    incl PAGES + 4
    nop
    NL
    OFF
    PRINT "not enabled:"
    SETDR 1, PAGES + 4, 0x00d00400
    BASE
    mov %eax, PAGES + 4
    mov %dr6, %eax
    and $0xf, %eax
    SHOW dr6, %eax
    NL
    PRINT "i/o with DE:"
    mov %cr4, %eax
    or $8, %eax
    mov %eax, %cr4
    SETDR 2, 0x61, 0x02000420
    BASE
    in $0x60, %al
    nop
    in $0x61, %al
    nop
    mov $0x61, %edx
    out %al, %dx
    nop
    NL
    OFF
    PRINT "dr4 with DE:"
    HOOK 6, no_register
    BASE
    mov %dr4, %eax
    NL
    mov %cr4, %eax
    and $~8, %eax
    mov %eax, %cr4
    PRINT "dr4 without DE is dr6:"
    xor %eax, %eax
    mov %eax, %dr6
    mov %dr4, %eax
    SHOW dr4, %eax
    mov %dr5, %eax
    SHOW dr5, %eax
    NL
    UNHOOK 6
    PRINT "general detect:"
    mov $0x2400, %eax
    BASE
    mov %eax, %dr7
    mov %dr7, %eax
    nop
    mov %dr7, %eax
    SHOW dr7, %eax
    NL
    PRINT "RF in the frame skips the breakpoint once:"
    SETDR 0, again, 0x402
    BASE
    pushf
    orl $0x10000, (%esp)
    push %cs
    push $again
    iret
again:
    nop
    NL
    OFF
    PRINT "all four kinds kept in dr7:"
    mov $0xffff27ff, %eax
    and $~0x2000, %eax
    mov %eax, %dr7
    mov %dr7, %ebx
    OFF
    SHOW dr7, %ebx
    NL
    UNHOOK 1
    ret

# Prints place and cause; a fault (execution, general detect) is resumed with RF.
trapped:
    PRINT " +"
    mov F_EIP(%ebp), %eax
    sub try_base, %eax
    call hex8
    mov %dr6, %eax
    and $0xe00f, %eax
    PRINT "/"
    call hex16
    xor %eax, %eax
    mov %eax, %dr6
    orl $0x10000, F_EFLAGS(%ebp)
    ret
no_register:
    PRINT " #UD"
    addl $3, F_EIP(%ebp)
    ret
