# Prints without end, with the time: a guest that is never idle and whose run has no end of its own.
#! needs: no-end
.include "payload.inc"
.text
.code32
.global main
main:
    xor %ebx, %ebx
1:  inc %ebx
    SHOW line, %ebx
    rdtsc
    SHOW time, %eax
    NL
    mov $100000, %ecx
2:  loop 2b
    jmp 1b
