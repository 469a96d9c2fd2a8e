# A fault that cannot be delivered, nor its double fault: the processor shuts down.
#! ends: triple-fault
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "end\n"
    # A table of zeros: neither #UD nor the faults that follow have a gate.
    lidt zeros
    ud2
.data
zeros:
    .word 0x7ff
    .long TABLES
