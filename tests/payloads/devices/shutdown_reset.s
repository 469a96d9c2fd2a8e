# A shutdown with an empty IDT, by which kernels reboot, ends the machine as a reset does.
#! ends: reset
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "end\n"
    lidt null_idt
    int3
