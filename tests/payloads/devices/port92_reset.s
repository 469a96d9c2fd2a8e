# A reset by port 0x92 ends the machine, which does not reboot.
#! ends: reset
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "end\n"
    in $0x92, %al
    or $1, %al
    out %al, $0x92
1:  hlt
    jmp 1b
