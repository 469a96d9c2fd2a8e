# Virtual-8086 mode: entry by IRET, faults to ring 0, INT n by IOPL, I/O by the bitmap, segments without descriptors.
.include "payload.inc"
.macro VM86 flags, offset
    movl $\flags, vm_flags
    movl $\offset, vm_ip
    call enter_vm
.endm
.text
.code32
.global main
main:
    # The monitor: a #GP or interrupt is printed; `int 0x80` or a fault comes back behind the entry.
    HOOK 13, monitor
    HOOK 6, monitor
    HOOK 3, monitor
    HOOK 4, monitor
    HOOK 0x21, monitor
    HOOK 0, monitor
    movb $0xee, idt + 8 * 0x21 + 5
    PRINT "plain:"
    VM86 0x23002, plain
    PRINT "cli with IOPL 0:"
    VM86 0x20002, do_cli
    PRINT "cli with IOPL 3:"
    VM86 0x23002, do_cli
    PRINT "pushf with IOPL 0:"
    VM86 0x20002, do_pushf
    PRINT "int 0x21 with IOPL 0:"
    VM86 0x20002, do_int
    PRINT "int 0x21 with IOPL 3:"
    VM86 0x23002, do_int
    PRINT "int3:"
    VM86 0x20002, do_int3
    PRINT "divide:"
    VM86 0x20002, do_divide
    PRINT "ud2:"
    VM86 0x20002, do_ud2
    PRINT "hlt:"
    VM86 0x23002, do_hlt
    PRINT "mov cr0:"
    VM86 0x23002, do_cr0
    PRINT "lar:"
    VM86 0x23002, do_lar
    PRINT "iret with IOPL 0:"
    VM86 0x20002, do_iret
    PRINT "in without a bitmap:"
    VM86 0x23002, do_in
    ret

# Enters virtual-8086 mode at segment 0x100, offset vm_ip - 0x1000, stack 0x200:0x800.
enter_vm:
    pop vm_back
    mov %esp, vm_sp
    push $0x104
    push $0x103
    push $0x102
    push $0x101
    push $0x200
    push $0x800
    pushl vm_flags
    push $0x100
    mov vm_ip, %eax
    sub $0x1000, %eax
    push %eax
    mov $0xaaaa, %eax
    iret

monitor:
    PRINT " vector"
    mov F_VECTOR(%ebp), %eax
    SHOW n, %eax
    mov F_ERROR(%ebp), %eax
    SHOW error, %eax
    mov F_EIP(%ebp), %eax
    add $0x1000, %eax
    sub vm_ip, %eax
    SHOW eip, %eax
    mov F_CS(%ebp), %eax
    SHOW cs, %eax
    mov F_EFLAGS(%ebp), %eax
    and $0x23200, %eax
    SHOW flags, %eax
    mov F_ESP(%ebp), %eax
    SHOW esp, %eax
    mov F_SS(%ebp), %eax
    SHOW ss, %eax
    mov F_SS+4(%ebp), %eax
    SHOW es, %eax
    mov F_SS+8(%ebp), %eax
    SHOW ds, %eax
    mov F_SS+16(%ebp), %eax
    SHOW gs, %eax
    mov %ds, %eax
    mov %gs, %eax
    SHOW gs_now, %eax
    mov F_EAX(%ebp), %eax
    SHOW eax, %eax
    NL
    call load_flat
    mov vm_sp, %esp
    jmp *vm_back

.data
vm_flags:   .long 0
vm_ip:      .long 0
vm_sp:      .long 0
vm_back:    .long 0

.section .low, "awx"
.code16
plain:
    mov %cs, %ax
    mov %ds, %bx
    shl $8, %ax
    mov %bl, %al
    mov %ax, %ds
    int $0x21
do_cli:
    cli
    int $0x21
do_pushf:
    pushf
    int $0x21
do_int:
    nop
    int $0x21
do_int3:
    int3
do_divide:
    xor %cx, %cx
    div %cx
do_ud2:
    ud2
do_hlt:
    hlt
do_cr0:
    mov %cr0, %eax
do_lar:
    lar %ax, %ax
do_iret:
    iret
do_in:
    in $0x60, %al
    int $0x21
