# A reset by the i8042's command 0xfe ends the machine, which does not reboot.
#! ends: reset
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "end\n"
    mov $0xfe, %al
    out %al, $0x64
1:  hlt
    jmp 1b
