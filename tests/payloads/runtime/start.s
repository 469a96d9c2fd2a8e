# Entry by the Multiboot protocol (version 1), GDT, serial output, exit.
.include "payload.inc"

.section .multiboot, "a"
    .align 4
    .long 0x1badb002
    .long 0
    .long -0x1badb002

.text
.code32
.global _start
_start:
    cli
    cld
    mov $stack_top, %esp
    push $2
    popf
    lgdt gdt_pointer
    ljmp $K32, $1f
1:
    call load_flat
    # The first kilobyte and the 16-bit code are the payload's: firmware may have been there.
    xor %eax, %eax
    xor %edi, %edi
    mov $0x1000 / 4, %ecx
    rep stosl
    mov $TABLES, %edi
    mov $0x200000 / 4, %ecx
    rep stosl
    mov $__low_source, %esi
    mov $__low_start, %edi
    mov $__low_size, %ecx
    rep movsb
    call traps_init
    call serial_init
    call main
.global finish
finish:
    PRINT "end\n"
    xor %eax, %eax
    outb %al, $0xf4
1:  cli
    hlt
    jmp 1b

# Flat ring 0 data in every data segment register. Keeps the other registers.
.global load_flat
load_flat:
    push %eax
    mov $KDATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    pop %eax
    ret

# 115200 baud, 8N1, FIFOs on, no interrupts; both 8259 masked.
serial_init:
    mov $0x3f9, %edx
    xor %al, %al
    out %al, %dx
    mov $0x3fb, %edx
    mov $0x80, %al
    out %al, %dx
    mov $0x3f8, %edx
    mov $1, %al
    out %al, %dx
    inc %edx
    xor %al, %al
    out %al, %dx
    mov $0x3fb, %edx
    mov $3, %al
    out %al, %dx
    mov $0x3fa, %edx
    mov $7, %al
    out %al, %dx
    mov $0xff, %al
    out %al, $0x21
    out %al, $0xa1
    ret

# Waits five milliseconds by counter 2 of the 8254 (mode 0, its output read at port 0x61). Keeps the registers.
.global pause
pause:
    push %eax
    in $0x61, %al
    and $0xfc, %al
    or $1, %al
    out %al, $0x61
    mov $0xb0, %al
    out %al, $0x43
    mov $5966 & 0xff, %al
    out %al, $0x42
    mov $5966 >> 8, %al
    out %al, $0x42
1:  in $0x61, %al
    test $0x20, %al
    jz 1b
    pop %eax
    ret

# Prints %al. All printing keeps every register and the flags.
.global putc
putc:
    pushf
    push %edx
    push %eax
    mov $0x3fd, %edx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $0x3f8, %edx
    mov (%esp), %eax
    out %al, %dx
    pop %eax
    pop %edx
    popf
    ret

# Prints the string at %esi.
.global puts
puts:
    pushf
    push %eax
    push %esi
    cld
1:  lodsb %ds:(%esi), %al
    test %al, %al
    jz 2f
    call putc
    jmp 1b
2:  pop %esi
    pop %eax
    popf
    ret

# Print %eax, %ax, %al in hexadecimal.
.global hex32, hex16, hex8
hex32:
    pushf
    rol $16, %eax
    call hex16
    rol $16, %eax
    call hex16
    popf
    ret
hex16:
    pushf
    rol $8, %ax
    call hex8
    rol $8, %ax
    call hex8
    popf
    ret
hex8:
    pushf
    push %eax
    shr $4, %al
    call hex4
    mov (%esp), %al
    and $15, %al
    call hex4
    pop %eax
    popf
    ret
hex4:
    add $'0', %al
    cmp $'9', %al
    jbe 1f
    add $'a' - '0' - 10, %al
1:  jmp putc

.data
.align 16
.global gdt, gdt_pointer
gdt:
    .quad 0
    DESCRIPTOR 0, 0xfffff, 0x9b, 0xc       # K32
    DESCRIPTOR 0, 0xfffff, 0x93, 0xc       # KDATA
    DESCRIPTOR 0, 0xfffff, 0xfb, 0xc       # U32
    DESCRIPTOR 0, 0xfffff, 0xf3, 0xc       # UDATA
    DESCRIPTOR 0, 0xfffff, 0xfb, 0xa       # U64
    DESCRIPTOR 0, 0xfffff, 0xf3, 0xc       # data behind U64, for SYSEXIT
    DESCRIPTOR 0, 0xfffff, 0x9b, 0xa       # K64
    DESCRIPTOR 0, 0xfffff, 0x93, 0xc       # data behind K64, for SYSCALL
    DESCRIPTOR 0, 0xffff, 0x9b, 0          # K16
    DESCRIPTOR 0, 0xffff, 0x93, 0          # D16
    .quad 0, 0                             # TSS
    .fill 32 - 13, 8, 0                    # spare
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

.bss
.align 16
    .skip 16384
.global stack_top, user_stack_top
stack_top:
    .skip 8192
user_stack_top:
