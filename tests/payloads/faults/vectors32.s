# Every exception vector that ring 0 can raise in 32-bit protected mode without paging.
.include "payload.inc"
.text
.code32
.global main
main:
    TRY "divide by zero"
    xor %edx, %edx
    mov $1, %eax
    xor %ecx, %ecx
    div %ecx
    END
    TRY "nothing"
    nop
    END
    ret
