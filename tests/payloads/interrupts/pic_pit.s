# The 8254 through the 8259 pair: modes, ticks that wake HLT, masks, priorities, spurious and cascaded interrupts.
.include "payload.inc"
.macro PUT port, value
    mov $\value, %al
    out %al, $\port
.endm
.text
.code32
.global main
main:
    # ICW1-4: vectors 0x20 and 0x28, 8086 mode.
    PUT 0x20, 0x11
    PUT 0xa0, 0x11
    PUT 0x21, 0x20
    PUT 0xa1, 0x28
    PUT 0x21, 4
    PUT 0xa1, 2
    PUT 0x21, 1
    PUT 0xa1, 1
    PUT 0x21, 0xfe
    PUT 0xa1, 0xff
    HOOK 0x20, tick
    PRINT "periodic ticks wake hlt:"
    PUT 0x43, 0x34              # counter 0, mode 2
    PUT 0x40, 0x00
    PUT 0x40, 0x10
    movl $0, count
1:  sti
    hlt
    cmpl $5, count
    jb 1b
    cli
    PRINT " came\n"
    PRINT "one shot:"
    PUT 0x43, 0x30              # mode 0
    PUT 0x40, 0x00
    PUT 0x40, 0x08
    movl $0, count
    sti
    hlt
    cli
    SHOW count, count
    # It stays silent afterwards.
    call pause
    sti
    nop
    cli
    SHOW later, count
    NL
    PRINT "masked, then unmasked:"
    PUT 0x21, 0xff
    PUT 0x43, 0x30
    PUT 0x40, 0x00
    PUT 0x40, 0x02
    movl $0, count
    call pause
    sti
    nop
    cli
    SHOW masked, count
    PUT 0x20, 0x0a              # read IRR
    in $0x20, %al
    and $1, %al
    movzbl %al, %eax
    SHOW irr, %eax
    PUT 0x21, 0xfe
    sti
    nop
    nop
    cli
    SHOW unmasked, count
    NL
    PRINT "in service until the end of interrupt:"
    HOOK 0x20, keep
    movl $0, count
    PUT 0x43, 0x30
    PUT 0x40, 0x00
    PUT 0x40, 0x02
    sti
    hlt
    cli
    PUT 0x20, 0x0b              # read ISR
    in $0x20, %al
    movzbl %al, %eax
    SHOW isr, %eax
    PUT 0x43, 0x30
    PUT 0x40, 0x00
    PUT 0x40, 0x02
    call pause
    sti
    nop
    nop
    cli
    SHOW count, count
    PUT 0x20, 0x20
    sti
    nop
    nop
    cli
    SHOW after_eoi, count
    PUT 0x20, 0x20
    NL
    PRINT "counter latch, mode 3 and read back status:"
    PUT 0x43, 0xb6              # counter 2, mode 3
    PUT 0x42, 0xff
    PUT 0x42, 0xff
    PUT 0x43, 0xe8              # read back status of counter 2
    in $0x42, %al
    and $0x3f, %al
    movzbl %al, %eax
    SHOW status, %eax
    PUT 0x43, 0x36              # counter 0, mode 3
    PUT 0x40, 0
    PUT 0x40, 0
    PUT 0x43, 0x00              # latch
    in $0x40, %al
    mov %al, %bl
    in $0x40, %al
    mov %al, %bh
    call pause
    PUT 0x43, 0x00
    in $0x40, %al
    mov %al, %cl
    in $0x40, %al
    mov %al, %ch
    cmp %cx, %bx
    setne %al
    movzbl %al, %eax
    SHOW counts, %eax
    NL
    PRINT "gate and output of counter 2:"
    in $0x61, %al
    and $0xfc, %al
    or $1, %al
    out %al, $0x61
    PUT 0x43, 0xb0              # counter 2, mode 0
    PUT 0x42, 0x00
    PUT 0x42, 0xff
    in $0x61, %al
    shr $5, %al
    and $1, %al
    movzbl %al, %eax
    SHOW at_first, %eax
    call pause
    in $0x61, %al
    shr $5, %al
    and $1, %al
    movzbl %al, %eax
    SHOW at_last, %eax
    NL
    PRINT "masks read back:"
    in $0x21, %al
    movzbl %al, %eax
    SHOW master, %eax
    in $0xa1, %al
    movzbl %al, %eax
    SHOW slave, %eax
    NL
    PUT 0x21, 0xff
    ret
tick:
    incl count
    PUT 0x20, 0x20
    ret
keep:
    incl count
    ret
.data
count: .long 0
