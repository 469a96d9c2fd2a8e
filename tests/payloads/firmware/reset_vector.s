# What the processor is at the reset vector, from a raw firmware image: segments, registers, then protected mode from ROM.
#! kind: firmware
# The image is linked at 0, as its 16-bit code sees it, and appears at the end of the first 4 GiB.
.set ROM, 0xffff0000

.section .reset, "ax"
.code16
.global reset
reset:
    jmp start

.text
.code16
start:
    mov %edx, %edi
    mov %eax, %ecx
    cli
    cld
    xor %ax, %ax
    mov %ax, %ss
    mov $0x7000, %sp
    mov %ax, %ds
    mov %ax, %es
    mov %cr0, %ebx
    call init
    mov $banner, %si
    call puts
    mov $cr0_text, %si
    call puts
    mov %ebx, %eax
    call hex32
    mov $eax_text, %si
    call puts
    mov %ecx, %eax
    call hex32
    # The family of rrvmm-x86-v1 and of the QEMU CPU used for golden files: 6.
    mov $family_text, %si
    call puts
    mov %edi, %eax
    shr $8, %ax
    and $15, %ax
    call hex16
    mov $ram_text, %si
    call puts
    movl $0x600df00d, 0x6000
    mov 0x6000, %eax
    call hex32
    mov $rom_text, %si
    call puts
    mov %cs:reset_word, %eax
    notl %eax
    mov %eax, %edx
    mov %cs:reset_word, %eax
    add %edx, %eax
    call hex32
    # The same bytes at 0xffffffxx through protected mode.
    mov $protected_text, %si
    call puts
    data32 lgdt %cs:gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $protected + ROM
.code32
protected:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x7000, %esp
    mov 0xfffffff0, %al
    mov $0x3f8, %edx
    cmp $0xe9, %al
    je 1f
    cmp $0xeb, %al
    je 1f
    mov $'X', %al
    jmp 2f
1:  mov $'J', %al
2:  call putc32
    mov $'\n', %al
    call putc32
    mov $'e', %al
    call putc32
    mov $'n', %al
    call putc32
    mov $'d', %al
    call putc32
    mov $'\n', %al
    call putc32
    xor %eax, %eax
    outb %al, $0xf4
1:  hlt
    jmp 1b
putc32:
    push %eax
    mov $0x3fd, %edx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $0x3f8, %edx
    pop %eax
    out %al, %dx
    ret

.code16
init:
    mov $0x3fb, %dx
    mov $0x80, %al
    out %al, %dx
    mov $0x3f8, %dx
    mov $1, %al
    out %al, %dx
    inc %dx
    xor %al, %al
    out %al, %dx
    mov $0x3fb, %dx
    mov $3, %al
    out %al, %dx
    ret
putc:
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
puts:
    mov %cs:(%si), %al
    inc %si
    test %al, %al
    jz 1f
    call putc
    jmp puts
1:  ret
hex32:
    rol $16, %eax
    call hex16
    rol $16, %eax
hex16:
    push %cx
    mov $4, %cx
1:  rol $4, %ax
    push %ax
    and $15, %al
    add $'0', %al
    cmp $'9', %al
    jbe 2f
    add $'a' - '0' - 10, %al
2:  call putc
    pop %ax
    loop 1b
    pop %cx
    ret

.section .rodata
banner:         .asciz "reset\n"
cr0_text:       .asciz "cr0="
eax_text:       .asciz "\neax="
family_text:    .asciz "\nfamily="
ram_text:       .asciz "\nram="
rom_text:       .asciz "\nrom="
protected_text: .asciz "\nprotected: "
reset_word:     .long 0x12345678
.align 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word 23
    .long gdt + ROM
