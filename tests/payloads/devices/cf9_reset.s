# A reset by the reset control register ends the machine, which does not reboot.
#! ends: reset
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "end\n"
    mov $0x0e, %al
    mov $0xcf9, %edx
    out %al, %dx
1:  hlt
    jmp 1b
