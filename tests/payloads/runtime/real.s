# Real mode: a call from 32-bit protected mode into 16-bit code and back, and printing there.
.include "payload.inc"

.text
.code32
# Calls the 16-bit function at offset %ebx of segment 0 in real mode, with %ds, %es, %ss zero. Keeps no register.
.global call16
call16:
    push %ebp
    mov %esp, saved_sp
    mov %esp, %ebp
    lidt ivt_pointer
    ljmp $K16, $narrow

.section .low, "awx"
.code16
narrow:
    mov $D16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %ax, %fs
    mov %ax, %gs
    mov %cr0, %eax
    and $~1, %al
    mov %eax, %cr0
    ljmp $0, $really
really:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %ax, %fs
    mov %ax, %gs
    mov $0x7f00, %esp
    call *%bx
    cli
    lgdtl low_gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $K32, $wide
low_gdt_pointer:
    .word 0xff
    .long gdt

# Prints %al, the string at %si, %ax, in real mode or virtual-8086 mode. Keeps the registers.
.global putc_real, puts_real, hex16_real, hex32_real
putc_real:
    push %dx
    push %ax
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $0x3f8, %dx
    pop %ax
    out %al, %dx
    pop %dx
    ret

puts_real:
    push %ax
    push %si
1:  mov %cs:(%si), %al
    inc %si
    test %al, %al
    jz 2f
    call putc_real
    jmp 1b
2:  pop %si
    pop %ax
    ret

hex32_real:
    rol $16, %eax
    call hex16_real
    rol $16, %eax
hex16_real:
    push %cx
    push %ax
    mov $4, %cx
1:  rol $4, %ax
    push %ax
    and $15, %al
    add $'0', %al
    cmp $'9', %al
    jbe 2f
    add $'a' - '0' - 10, %al
2:  call putc_real
    pop %ax
    loop 1b
    pop %ax
    pop %cx
    ret

.text
.code32
wide:
    call load_flat
    mov saved_sp, %esp
    lidt idt_pointer
    pop %ebp
    ret

.data
saved_sp:   .long 0
ivt_pointer:
    .word 0x3ff
    .long 0
