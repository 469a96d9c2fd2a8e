# The local APIC timer in TSC-deadline mode, and the time stamp counter beside it.
#! golden: TCG of QEMU 7.2 has no TSC-deadline mode (SDM 3A 10.5.4.1)
.include "payload.inc"
.set APIC, 0xfee00000
.text
.code32
.global main
main:
    mov $1, %eax
    cpuid
    shr $24, %ecx
    and $1, %ecx
    PRINT "announced:"
    SHOW bit, %ecx
    NL
    movl $0x1ff, APIC + 0xf0
    HOOK 0x40, fired
    movl $0x40040, APIC + 0x320
    PRINT "deadline ahead:"
    rdtsc
    add $100000, %eax
    adc $0, %edx
    mov %eax, want
    mov %edx, want + 4
    mov $0x6e0, %ecx
    wrmsr
    rdmsr
    sub want, %eax
    SHOW reads_back, %eax
    sti
    hlt
    cli
    SHOW count, count
    SHOW late, late
    mov $0x6e0, %ecx
    rdmsr
    SHOW armed, %eax
    NL
    PRINT "deadline past:"
    movl $0, count
    mov $1, %eax
    xor %edx, %edx
    wrmsr
    sti
    nop
    cli
    SHOW count, count
    NL
    PRINT "disarmed:"
    movl $0, count
    rdtsc
    add $1000, %eax
    adc $0, %edx
    mov $0x6e0, %ecx
    wrmsr
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    mov $5000, %ecx
1:  loop 1b
    sti
    nop
    cli
    SHOW count, count
    NL
    PRINT "initial count is ignored:"
    movl $1000, APIC + 0x380
    mov APIC + 0x390, %eax
    SHOW current, %eax
    NL
    PRINT "another mode ignores the deadline:"
    movl $0x40, APIC + 0x320
    mov $0x6e0, %ecx
    mov $1, %eax
    xor %edx, %edx
    wrmsr
    rdmsr
    SHOW armed, %eax
    sti
    nop
    cli
    SHOW count, count
    NL
    PRINT "the counter can be set:"
    mov $0x10, %ecx
    xor %eax, %eax
    mov $0x12345, %edx
    wrmsr
    rdtsc
    SHOW high, %edx
    NL
    ret
fired:
    incl count
    rdtsc
    sub want, %eax
    sbb want + 4, %edx
    # Not early, and not a millisecond late.
    xor %ecx, %ecx
    cmp $1000000, %eax
    setae %cl
    mov %ecx, late
    movl $0, APIC + 0xb0
    ret
.data
count: .long 0
late:  .long 0
want:  .quad 0
