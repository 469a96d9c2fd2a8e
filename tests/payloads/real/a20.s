# The A20 gate, by port 0x92: with it off, odd megabytes show the even ones.
.include "payload.inc"
.text
.code32
.global main
main:
    movl $0x11111111, 0x6000
    movl $0x22222222, 0x306000
    movl $0x33333333, 0x206000
    mov 0x306000, %eax
    SHOW on, %eax
    NL
    # Everything below runs and prints from odd megabytes unless it is in the first: real mode code is.
    mov $off, %ebx
    call call16
    mov 0x306000, %eax
    SHOW on, %eax
    in $0x92, %al
    and $2, %al
    movzbl %al, %eax
    SHOW port92, %eax
    NL
    ret
.section .low, "awx"
.code16
off:
    mov $0xffff, %ax
    mov %ax, %es
    movw $0x4444, 0x500
    movw $0x5555, %es:0x510
    PRINT16 "on: "
    mov 0x500, %ax
    call hex16_real
    PRINT16 " "
    mov %es:0x510, %ax
    call hex16_real
    in $0x92, %al
    and $0xfc, %al
    out %al, $0x92
    mov 0x500, %cx
    mov %es:0x510, %dx
    movw $0x6666, %es:0x510
    mov 0x500, %si
    in $0x92, %al
    or $2, %al
    and $0xfe, %al
    out %al, $0x92
    mov 0x500, %di
    mov %es:0x510, %bx
    PRINT16 "\noff: "
    mov %cx, %ax
    call hex16_real
    PRINT16 " "
    mov %dx, %ax
    call hex16_real
    PRINT16 " written "
    mov %si, %ax
    call hex16_real
    PRINT16 "\non again: "
    mov %di, %ax
    call hex16_real
    PRINT16 " "
    mov %bx, %ax
    call hex16_real
    PRINT16 "\n"
    ret
