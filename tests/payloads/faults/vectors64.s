# Exceptions in 64-bit mode: error codes, stacks by the interrupt stack table, gates, IRETQ that is refused, CMPXCHG16B.
#! differs: #GP 32-bit interrupt gate type 5 => #GP(0482) at +0008 | SDM 3A 6.13: the index counts gates, eight a gate as elsewhere; this QEMU counts sixteen
#! differs: #NP gate => #NP(0482) at +0012 | the same
#! differs: #GP int of ring 0 from ring 3 => #GP(0482) at +000d cpl3 | the same
#! differs: #GP iretq to an address that is not canonical => #GP(0000) at +0012 | SDM 2A, IRET: checked before ring and place change
.include "payload.inc"
.text
.code32
.global main
main:
    call enter_long
.code64
    TRY64 "#DE"
    xor %ecx, %ecx
    div %rcx
    END64
    TRY64 "#DE 128 by 64"
    mov $1, %edx
    xor %eax, %eax
    mov $1, %ecx
    div %rcx
    END64
    TRY64 "no #DE 128 by 64"
    mov $1, %edx
    xor %eax, %eax
    mov $2, %ecx
    div %rcx
    END64
    SHOW64 quotient, %rax
    NL64
    TRY64 "#UD"
    ud2
    END64
    TRY64 "#BP"
    int3
    END64
    TRY64 "#GP selector"
    mov $0x108, %eax
    mov %eax, %ds
    END64
    TRY64 "#NP selector"
    movl $0x00001300, gdt+SPARE+4
    mov $SPARE, %eax
    mov %eax, %fs
    END64
    TRY64 "null stack selector of ring 0"
    xor %eax, %eax
    mov %eax, %ss
    mov $KDATA, %eax
    mov %eax, %ss
    END64
    TRY64 "#GP null stack selector of ring 3"
    USER64
    xor %eax, %eax
    mov %eax, %ss
    KERNEL
    END64
    TRY64 "#GP far jump through a call gate to null"
    movl $0x00008c00, gdt+SPARE+4
    ljmp *far_spare
    END64
    TRY64 "#GP 32-bit interrupt gate type 5"
    movb $0x85, idt64+16*0x90+5
    int $0x90
    END64
    TRY64 "#GP gate to 32-bit code"
    movb $0x8e, idt64+16*0x90+5
    movw $K32, idt64+16*0x90+2
    int $0x90
    END64
    TRY64 "#NP gate"
    movw $K64, idt64+16*0x90+2
    movb $0x0e, idt64+16*0x90+5
    int $0x90
    END64
    TRY64 "#GP int of ring 0 from ring 3"
    movb $0x8e, idt64+16*0x90+5
    USER64
    int $0x90
    KERNEL
    END64
    TRY64 "stack by the interrupt stack table"
    HOOK 0x91, on_ist
    movb $2, idt64+16*0x91+4
    movq $ist_top, tss64+44
    int $0x91
    END64
    SHOW64 from_top, seen
    NL64
    TRY64 "#DF by #NP on #GP, on its own stack"
    andb $0x7f, idt64+16*13+5
    mov $0x108, %eax
    mov %eax, %ds
    END64
    orb $0x80, idt64+16*13+5
    TRY64 "#GP iretq to an address that is not canonical"
    push $KDATA
    push %rsp
    push $2
    push $K64
    mov $0x8000000000000000, %rax
    push %rax
    iretq
    END64
    TRY64 "#GP iretq to a null code segment"
    push $KDATA
    push %rsp
    push $2
    push $0
    push $0
    iretq
    END64
    TRY64 "#GP iretq with the stack of another ring"
    push $UDATA
    push %rsp
    push $2
    push $K64
    push $0
    iretq
    END64
    TRY64 "#GP iretq with NT"
    pushf
    orl $0x4000, (%rsp)
    popf
    iretq
    END64
    TRY64 "#GP cmpxchg16b off 16 bytes"
    cmpxchg16b PAGES+8
    END64
    TRY64 "cmpxchg16b, equal"
    movq $1, PAGES
    movq $2, PAGES+8
    mov $1, %eax
    mov $2, %edx
    mov $3, %ebx
    mov $4, %ecx
    lock cmpxchg16b PAGES
    END64
    SHOW64 low, PAGES
    SHOW64 high, PAGES+8
    NL64
    TRY64 "cmpxchg16b, not equal"
    lock cmpxchg16b PAGES
    END64
    SHOW64 rax, %rax
    SHOW64 rdx, %rdx
    NL64
    TRY64 "fifteen bytes of prefixes"
    .fill 13, 1, 0x66
    .byte 0x89, 0xc0
    END64
    TRY64 "#GP sixteen bytes"
    .fill 14, 1, 0x66
    .byte 0x89, 0xc0
    END64
    call leave_long
.code32
    ret
on_ist:
.code64
    mov $ist_top, %eax
    lea Q_SS + 8(%rbp), %rcx
    sub %rcx, %rax
    mov %rax, seen
    ret
.data
far_spare:  .long 0, SPARE
seen:       .quad 0
.bss
.align 16
    .skip 1024
ist_top:
