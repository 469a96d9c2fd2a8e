# 16550 on COM2: scratch, divisor latch, FIFO, loopback with modem lines and interrupts.
.include "payload.inc"
.set PORT, 0x2f8
.macro PUT offset, value
    mov $PORT + \offset, %edx
    mov $\value, %al
    out %al, %dx
.endm
.macro GET offset
    mov $PORT + \offset, %edx
    in %dx, %al
    movzbl %al, %eax
.endm
.macro SEE name, offset
    GET \offset
    SHOW \name, %eax
.endm
.text
.code32
.global main
main:
    PUT 7, 0x5a
    SEE scratch, 7
    PUT 3, 0x83
    PUT 0, 0x0c
    PUT 1, 0x00
    SEE low, 0
    SEE high, 1
    PUT 3, 0x1b
    SEE lcr, 3
    PUT 1, 0xff
    SEE ier, 1
    PUT 1, 0
    PUT 2, 0
    SEE iir, 2
    PUT 2, 0xc7
    SEE iir_fifo, 2
    NL
    PRINT "loopback:"
    PUT 4, 0x10
    call modem
    PUT 4, 0x1f
    call modem
    PUT 4, 0x12
    call modem
    NL
    PUT 3, 0x80                 # 115200 baud
    PUT 0, 1
    PUT 1, 0
    PUT 3, 3
    PRINT "bytes:"
    PUT 0, 0x41
    PUT 0, 0x42
    PUT 0, 0x43
    call settle
    SEE lsr, 5
    SEE a, 0
    SEE b, 0
    SEE lsr, 5
    SEE c, 0
    SEE lsr, 5
    NL
    PRINT "causes without fifos:"
    PUT 2, 0
    GET 6
    PUT 1, 3
    SEE empty, 2
    SEE none, 2
    PUT 0, 0x58
    call settle
    SEE received, 2
    GET 0
    SEE empty, 2
    SEE none, 2
    NL
    PRINT "overrun without fifos:"
    PUT 1, 4
    PUT 0, 0x59
    call pause
    PUT 0, 0x5a
    call pause
    SEE iir, 2
    SEE lsr, 5
    SEE iir, 2
    SEE kept, 0
    SEE lsr, 5
    NL
    PRINT "fifo overrun:"
    PUT 1, 0
    PUT 2, 0xc7
    mov $18, %ecx
1:  PUT 0, 0x61
    call pause
    loop 1b
    SEE lsr, 5
    SEE lsr, 5
    xor %ebx, %ebx
1:  GET 5
    test $1, %al
    jz 2f
    GET 0
    inc %ebx
    jmp 1b
2:  SHOW kept, %ebx
    NL
    PUT 4, 0
    ret
# The lines alone: this QEMU sets no change bits in loopback.
modem:
    GET 6
    and $0xf0, %eax
    SHOW lines, %eax
    ret
# Waits until the transmitter is empty.
settle:
    GET 5
    test $0x40, %al
    jz settle
    ret
