# HPET, ACPI PM timer, time stamp counter and RTC run at their rates beside one another.
.include "payload.inc"
.set HPET, 0xfed00000
.text
.code32
.global main
main:
    PRINT "hpet:"
    mov HPET + 4, %eax
    dec %eax
    cmp $100000000, %eax        # a period of at most 100 ns, and not none
    setb %al
    movzbl %al, %eax
    SHOW period, %eax
    mov HPET, %eax
    and $0xa000, %eax
    SHOW wide_legacy, %eax
    NL
    PRINT "hpet halted, then counting:"
    movl $0, HPET + 0x10
    movl $0x1000, HPET + 0xf0
    movl $0, HPET + 0xf4
    mov HPET + 0xf0, %ebx
    call pause
    mov HPET + 0xf0, %ecx
    SHOW first, %ebx
    SHOW second, %ecx
    movl $1, HPET + 0x10
    call pause
    mov HPET + 0xf0, %eax
    cmp $0x1000, %eax
    seta %al
    movzbl %al, %eax
    SHOW counts, %eax
    mov HPET + 0xf4, %eax
    SHOW high, %eax
    movl $0, HPET + 0x10
    NL
    PRINT "hpet timer 0 one shot in legacy replacement:"
    movl $0, HPET + 0xf0
    movl $0, HPET + 0xf4
    movl $0x4, HPET + 0x100
    movl $0x10000, HPET + 0x108
    movl $0, HPET + 0x10c
    HOOK 0x20, tick
    mov $0x11, %al
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $0xfe, %al
    out %al, $0x21
    movl $3, HPET + 0x10
    sti
    hlt
    cli
    SHOW count, count
    mov HPET + 0xf0, %eax
    cmp $0x10000, %eax
    setae %al
    movzbl %al, %eax
    SHOW due, %eax
    movl $0, HPET + 0x10
    mov $0xff, %al
    out %al, $0x21
    NL
    PRINT "time stamp counter rises:"
    rdtsc
    mov %eax, %ebx
    mov %edx, %ecx
    rdtsc
    sub %ebx, %eax
    sbb %ecx, %edx
    setc %al
    movzbl %al, %eax
    SHOW fell, %eax
    NL
    ret
tick:
    incl count
    mov $0x20, %al
    out %al, $0x20
    ret
.data
count: .long 0
