# MC146818: status registers, NVRAM, formats, alarm and update flags, the time within its ranges.
.include "payload.inc"
.macro READ register
    mov $\register, %al
    out %al, $0x70
    in $0x71, %al
    movzbl %al, %eax
.endm
.macro WRITE register, value
    mov $\register, %al
    out %al, $0x70
    mov $\value, %al
    out %al, $0x71
.endm
.text
.code32
.global main
main:
    READ 0x0d
    PRINT "valid:"
    SHOW d, %eax
    READ 0x0a
    and $0x7f, %eax
    SHOW a, %eax
    READ 0x0b
    SHOW b, %eax
    NL
    PRINT "nvram:"
    WRITE 0x60, 0x5a
    WRITE 0x61, 0xa5
    READ 0x60
    SHOW first, %eax
    READ 0x61
    SHOW second, %eax
    NL
    PRINT "set, in bcd:"
    WRITE 0x0b, 0x82            # SET, 24 hours
    WRITE 0x00, 0x58
    WRITE 0x02, 0x59
    WRITE 0x04, 0x23
    WRITE 0x06, 0x05
    WRITE 0x07, 0x29
    WRITE 0x08, 0x02
    WRITE 0x09, 0x24
    WRITE 0x32, 0x20
    call show
    PRINT "in binary:"
    WRITE 0x0b, 0x86
    WRITE 0x00, 58
    WRITE 0x02, 59
    WRITE 0x04, 23
    WRITE 0x06, 5
    WRITE 0x07, 29
    WRITE 0x08, 2
    WRITE 0x09, 24
    WRITE 0x32, 20
    call show
    WRITE 0x0b, 0x06
    PRINT "seconds and a leap day later:"
    HOOK 0x28, updated
    mov $0x11, %al
    out %al, $0x20
    out %al, $0xa0
    mov $0x20, %al
    out %al, $0x21
    mov $0x28, %al
    out %al, $0xa1
    mov $4, %al
    out %al, $0x21
    mov $2, %al
    out %al, $0xa1
    mov $1, %al
    out %al, $0x21
    out %al, $0xa1
    mov $0xfb, %al
    out %al, $0x21
    mov $0xfe, %al
    out %al, $0xa1
    READ 0x0c
    WRITE 0x0b, 0x16            # interrupt at each update
1:  sti
    hlt
    cli
    cmpl $3, count
    jb 1b
    WRITE 0x0b, 0x06
    READ 0x04
    SHOW hour, %eax
    READ 0x07
    SHOW day, %eax
    READ 0x08
    SHOW month, %eax
    SHOW cause, cause
    NL
    PRINT "periodic flag:"
    WRITE 0x0a, 0x26
    READ 0x0c
    WRITE 0x0b, 0x46
    mov $0x0c, %al
    out %al, $0x70
1:  in $0x71, %al
    test $0x40, %al
    jz 1b
    and $0xc0, %al
    movzbl %al, %eax
    SHOW c, %eax
    WRITE 0x0b, 0x06
    NL
    ret
updated:
    incl count
    READ 0x0c
    and $0x90, %eax             # PF comes at its rate, enabled or not
    mov %eax, cause
    mov $0x20, %al
    out %al, $0xa0
    out %al, $0x20
    ret
show:
    READ 0
    SHOW s, %eax
    READ 2
    SHOW m, %eax
    READ 4
    SHOW h, %eax
    READ 7
    SHOW day, %eax
    READ 8
    SHOW month, %eax
    READ 9
    SHOW year, %eax
    NL
    ret
.data
count: .long 0
cause: .long 0
