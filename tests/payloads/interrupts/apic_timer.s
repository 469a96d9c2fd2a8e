# Local APIC timer: one-shot, periodic, masked, divided; local vector table; error and spurious registers; I/O APIC.
.include "payload.inc"
.set APIC, 0xfee00000
.set IOAPIC, 0xfec00000
.macro IOREG index, value
    movl $\index, IOAPIC
    movl $\value, IOAPIC + 0x10
.endm
.text
.code32
.global main
main:
    PRINT "at rest:"
    mov APIC + 0x30, %eax
    and $0xff, %eax
    sub $0x10, %eax
    cmp $6, %eax
    setb %al
    movzbl %al, %eax
    SHOW version_1x, %eax
    mov APIC + 0x320, %eax
    SHOW timer, %eax
    mov APIC + 0x20, %eax
    SHOW id, %eax
    NL
    movl $0x1ff, APIC + 0xf0
    HOOK 0x40, count_and_end
    PRINT "one shot:"
    movl $0xb, APIC + 0x3e0         # by 1
    movl $0x40, APIC + 0x320
    movl $0, count
    movl $20000, APIC + 0x380
    sti
    hlt
    cli
    SHOW count, count
    mov APIC + 0x390, %eax
    SHOW current, %eax
    NL
    PRINT "periodic:"
    movl $0x20040, APIC + 0x320
    movl $0, count
    movl $20000, APIC + 0x380
1:  sti
    hlt
    cmpl $4, count
    jb 1b
    cli
    movl $0, APIC + 0x380
    mov APIC + 0x390, %eax
    SHOW stopped, %eax
    NL
    PRINT "masked:"
    movl $0x10040, APIC + 0x320
    movl $0, count
    movl $1000, APIC + 0x380
1:  mov APIC + 0x390, %eax
    test %eax, %eax
    jnz 1b
    sti
    nop
    cli
    SHOW count, count
    NL
    PRINT "divisor reads back:"
    movl $3, APIC + 0x3e0
    mov APIC + 0x3e0, %eax
    SHOW divisor, %eax
    NL
    PRINT "nmi to itself:"
    HOOK 2, on_nmi
    movl $1f, try_base
    movl $0x44400, APIC + 0x300
1:  nop
    nop
    NL
    PRINT "one nmi is held while one is served:"
    HOOK 2, nmi_sends_nmi
    movl $0, count
    movl $0x44400, APIC + 0x300
    call pause
    SHOW count, count
    NL
    # The PIT through the I/O APIC's pin 2 (or 0: both machines route IRQ 0 to 2).
    PRINT "timer through the I/O APIC:"
    mov $0xff, %al
    out %al, $0x21
    out %al, $0xa1
    HOOK 0x45, count_and_end
    IOREG 0x15, 0
    IOREG 0x14, 0x45
    movl $0, count
    mov $0x34, %al
    out %al, $0x43
    xor %al, %al
    out %al, $0x40
    mov $0x10, %al
    out %al, $0x40
1:  sti
    hlt
    cmpl $3, count
    jb 1b
    cli
    PRINT " came\n"
    PRINT "pin masked:"
    IOREG 0x14, 0x10045
    movl $0x14, IOAPIC
    mov IOAPIC + 0x10, %eax
    and $0x1ffff, %eax
    SHOW entry, %eax
    movl $1, IOAPIC
    mov IOAPIC + 0x10, %eax
    shr $16, %eax
    and $0xff, %eax
    SHOW last, %eax
    NL
    PRINT "isr and eoi:"
    HOOK 0x40, look
    movl $0x44040, APIC + 0x300
    sti
    nop
    nop
    cli
    mov APIC + 0x120, %eax
    SHOW after, %eax
    NL
    PRINT "software disabled masks the local vectors:"
    movl $0xff, APIC + 0xf0
    mov APIC + 0x320, %eax
    and $0x10000, %eax
    SHOW timer, %eax
    NL
    movl $0x1ff, APIC + 0xf0
    ret
count_and_end:
    incl count
    movl $0, APIC + 0xb0
    ret
on_nmi:
    PRINT " nmi"
    ret
nmi_sends_nmi:
    incl count
    cmpl $1, count
    jne 1f
    movl $0x44400, APIC + 0x300
    nop
    PRINT " served"
1:  ret
look:
    mov APIC + 0x120, %eax
    SHOW during, %eax
    movl $0, APIC + 0xb0
    ret
.data
count: .long 0
