# Requests that go away before they are taken, and string instructions on device memory.
.include "payload.inc"
.set APIC, 0xfee00000
.set IOAPIC, 0xfec00000
.macro PUT port, value
    mov $\value, %al
    out %al, $\port
.endm
.text
.code32
.global main
main:
    PRINT "string from device memory:"
    movl $1, IOAPIC
    mov $IOAPIC + 0x10, %esi
    mov $PAGES, %edi
    mov $1, %ecx
    rep movsl
    mov PAGES, %eax
    shr $16, %eax
    SHOW pins, %eax
    SHOW edi, %edi
    NL
    PRINT "string to device memory:"
    mov $0x50, %eax
    mov $APIC + 0x80, %edi
    mov $1, %ecx
    rep stosl
    mov APIC + 0x80, %eax
    SHOW tpr, %eax
    mov $zero, %esi
    mov $APIC + 0x80, %edi
    movsl
    mov APIC + 0x80, %eax
    SHOW tpr, %eax
    NL
    PRINT "compare with device memory:"
    mov $APIC + 0x80, %edi
    xor %eax, %eax
    scasl
    SHOWFL 0x40
    mov $APIC + 0x80, %esi
    mov $PAGES + 0x100, %edi
    cmpsl
    SHOWFL 0x40
    NL
    PRINT "read and write device memory:"
    orl $0x30, APIC + 0x80
    addl $0x10, APIC + 0x80
    mov APIC + 0x80, %eax
    SHOW tpr, %eax
    xchg %ebx, APIC + 0x80
    SHOW old, %ebx
    movl $0, APIC + 0x80
    NL
    PRINT "push of device memory:"
    pushl APIC + 0x80
    pop %eax
    SHOW popped, %eax
    NL
    PRINT "masked at the wrong moment:"
    # The request is in the controller when its line is masked: nothing is delivered.
    HOOK 0x20, tick
    HOOK 0x27, spurious
    PUT 0x20, 0x11
    PUT 0x21, 0x20
    PUT 0x21, 4
    PUT 0x21, 1
    PUT 0x21, 0xfe
    PUT 0x43, 0x30
    PUT 0x40, 0x00
    PUT 0x40, 0x02
    call pause
    PUT 0x21, 0xff
    sti
    nop
    nop
    cli
    SHOW ticks, ticks
    SHOW spurious, ghosts
    NL
    PUT 0x20, 0x0b
    in $0x20, %al
    movzbl %al, %eax
    PRINT "in service:"
    SHOW isr, %eax
    NL
    ret
tick:
    incl ticks
    PUT 0x20, 0x20
    ret
spurious:
    incl ghosts
    ret
.data
zero:   .long 0
ticks:  .long 0
ghosts: .long 0
