# SYSENTER and SYSEXIT in 32-bit protected mode without paging.
.include "payload.inc"
.text
.code32
.global main
main:
    xor %edx, %edx
    mov $0x174, %ecx
    mov $0x0b, %eax             # the RPL is ignored
    wrmsr
    inc %ecx
    mov $stack, %eax
    wrmsr
    inc %ecx
    mov $entry, %eax
    wrmsr
    movl $0x202, user_flags
    TRY "sysenter, sysexit"
    USER
    mov %esp, %ecx
    mov $1f, %edx
    sysenter
1:  mov %cs, %edi
    mov %ss, %ebp
    KERNEL
    END
    SHOW cs, %eax
    SHOW ss, %ebx
    SHOW if, %esi
    SHOW cs, %edi
    SHOW ss, %ebp
    NL
    TRY "sysexit in ring 3"
    USER
    sysexit
    KERNEL
    END
    ret
entry:
    pushf
    pop %esi
    and $0x200, %esi
    mov %cs, %eax
    mov %ss, %ebx
    sysexit
.bss
.align 16
    .skip 256
stack:
