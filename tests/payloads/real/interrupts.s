# Real mode: interrupts through the vector table, faults without error codes, segment wrap, 64 KiB limits.
#! differs: word at the end of a segment => #GP at +0000 | SDM 3B 20.1.1: the limit is 64 KiB; TCG checks no limits
#! differs: dword at the end of a segment => #GP at +0000 | the same
.include "payload.inc"
.macro VECTOR number, handler
    movw $\handler, 4 * \number
    movw $0, 4 * \number + 2
.endm
.text
.code32
.global main
main:
    mov $test, %ebx
    call call16
    ret

.section .low, "awx"
.code16
test:
    VECTOR 0, divide
    VECTOR 1, step
    VECTOR 3, other
    VECTOR 4, other
    VECTOR 6, invalid
    VECTOR 13, protection
    VECTOR 0x21, other
    PRINT16 "int:"
    mov $0x1111, %ax
    int $0x21
    call hex16_real
    PRINT16 "\nint3:"
    int3
    call hex16_real
    PRINT16 "\ninto:"
    mov $0x7f, %al
    inc %al
    into
    call hex16_real
    PRINT16 "\ndivide:"
    mov %sp, %bp
    movw $1f, resume
    xor %cx, %cx
fault:
    div %cx
1:  PRINT16 "\ninvalid:"
    movw $1f, resume
    movw $2f, base
2:  ud2
1:  PRINT16 "\nword at the end of a segment:"
    movw $1f, resume
    movw $2f, base
2:  movw 0xffff, %ax
    PRINT16 " no fault"
1:  PRINT16 "\ndword at the end of a segment:"
    movw $1f, resume
    movw $2f, base
2:  movl 0xfffd, %eax
    PRINT16 " no fault"
1:  PRINT16 "\nfar pointers:"
    movw $0x1234, 0x7100
    movw $0x0700, 0x7102
    movw $0x4321, 0x7112
    les 0x7100, %bx
    mov %bx, %ax
    call hex16_real
    mov %es, %ax
    call hex16_real
    mov %es:0x0112, %ax
    call hex16_real
    PRINT16 "\nloop with cx:"
    mov $3, %cx
    xor %ax, %ax
1:  inc %ax
    loop 1b
    call hex16_real
    PRINT16 "\nstring with 16-bit registers wraps:"
    mov $0xfffe, %si
    mov $0x7200, %di
    mov %ds, %ax
    mov %ax, %es
    mov $2, %cx
    rep movsw
    mov %si, %ax
    call hex16_real
    mov %di, %ax
    call hex16_real
    PRINT16 "\nsingle step:"
    movw $0, count
    pushf
    pop %ax
    or $0x100, %ax
    push %ax
    popf
    nop
    nop
    mov $1, %al
    pushf
    pop %ax
    and $0xfeff, %ax
    push %ax
    popf
    nop
    mov count, %ax
    call hex16_real
    PRINT16 "\npushf, iret of 32 bits:"
    pushfl
    pushl $0
    push $0
    push $1f
    mov %sp, %bx
    movl $1f, %eax
    add $8, %sp
    pushfl
    pushl $0
    pushl %eax
    iretl
1:  add $4, %sp
    PRINT16 "ok\nmsw:"
    smsw %ax
    and $1, %ax
    call hex16_real
    PRINT16 "\nlar in real mode:"
    movw $1f, resume
    movw $2f, base
    mov %sp, %bp
2:  lar %ax, %ax
    PRINT16 " no fault"
1:  PRINT16 "\nlldt in real mode:"
    movw $1f, resume
    movw $2f, base
2:  lldt %ax
    PRINT16 " no fault"
1:  PRINT16 "\nhigh memory:"
    mov $0xffff, %ax
    mov %ax, %es
    movw $0x5678, %es:0x7110
    xor %ax, %ax
    mov %ax, %es
    PRINT16 "ok\n"
    ret

other:
    push %ax
    PRINT16 " interrupt "
    push %bp
    mov %sp, %bp
    mov 8(%bp), %ax
    pop %bp
    and $0x300, %ax
    pushf
    pop %ax
    and $0x300, %ax
    call hex16_real
    PRINT16 " "
    pop %ax
    iret
divide:
    pop %ax
    sub $fault, %ax
    PRINT16 " #DE at +"
    jmp resumed
invalid:
    pop %ax
    sub base, %ax
    PRINT16 " #UD at +"
    jmp resumed
protection:
    pop %ax
    sub base, %ax
    PRINT16 " #GP at +"
resumed:
    call hex16_real
    mov %bp, %sp
    jmp *resume
step:
    incw %cs:count
    iret
resume: .word 0
base:   .word 0
count:  .word 0
