# Call gates with parameters and change of privilege, returns that release them, conforming code, LDT.
.include "payload.inc"
.set GATE, SPARE
.set LDT, SPARE + 8
.set CONFORMING, SPARE + 16
.text
.code32
.global main
main:
    SETGATE gdt+GATE, K32, gate32, 0xec, 3
    TRY "call gate from ring 0"
    push $1
    push $2
    push $3
    lcall $GATE, $0xdead
    add $0, %esp
    END
    TRY "call gate from ring 3"
    USER
    push $0x11111111
    push $0x22222222
    push $0x33333333
    mov %esp, %ebx
    lcall $GATE | 3, $0xdead
    sub %esp, %ebx
    mov %ss, %ecx
    mov %cs, %edx
    KERNEL
    END
    SHOW released, %ebx
    SHOW ss, %ecx
    SHOW cs, %edx
    NL
    TRY "gate of ring 0 from ring 3"
    movb $0x8c, gdt + GATE + 5
    USER
    lcall $GATE | 3, $0
    KERNEL
    END
    TRY "gate not present"
    movb $0x6c, gdt + GATE + 5
    lcall $GATE, $0
    END
    TRY "gate to data"
    SETGATE gdt+GATE, KDATA, gate32, 0xec
    lcall $GATE, $0
    END
    TRY "gate to null"
    SETGATE gdt+GATE, 0, gate32, 0xec
    lcall $GATE, $0
    END
    TRY "jump through a gate, same privilege"
    SETGATE gdt+GATE, K32, jumped, 0xec
    ljmp $GATE, $0
jumped:
    END
    TRY "jump through a gate to more privilege"
    USER
    ljmp $GATE | 3, $0
    KERNEL
    END
    TRY "conforming code keeps ring 3"
    SETDESC CONFORMING, 0, 0xfffff, 0x9f, 0xc
    USER
    lcall $CONFORMING, $conforming
    KERNEL
    END
    SHOW cs, %ecx
    NL
    TRY "conforming code of ring 3 from ring 0"
    SETDESC CONFORMING, 0, 0xfffff, 0xff, 0xc
    lcall $CONFORMING, $conforming
    END

    # LDT: entry 0 data with a base, entry 1 ring 3 code.
    SETDESC LDT, ldt, 23, 0x82, 0
    mov $LDT, %eax
    lldt %ax
    TRY "data segment in the LDT"
    movl $0x600dcafe, PAGES + 0x24
    mov $4, %eax
    mov %eax, %fs
    mov %fs:0x24, %ebx
    END
    SHOW value, %ebx
    NL
    TRY "code segment in the LDT"
    lcall $12, $conforming
    END
    SHOW cs, %ecx
    NL
    TRY "beyond the LDT"
    mov $0x1c, %eax
    mov %eax, %fs
    END
    TRY "lret to ring 3 clears data segments of ring 0"
    mov $KDATA, %eax
    mov %eax, %fs
    mov $UDATA, %eax
    mov %eax, %gs
    mov %esp, user_sp
    push $UDATA
    push $user_stack_top
    push $U32
    push $1f
    lret
1:  mov %fs, %ecx
    mov %gs, %edx
    KERNEL
    END
    SHOW fs, %ecx
    SHOW gs, %edx
    NL
    TRY "lret 8 to the same privilege"
    push $1
    push $2
    mov %esp, %ebx
    push %cs
    push $1f
    lret $8
1:  sub %esp, %ebx
    END
    SHOW moved, %ebx
    NL
    ret

gate32:
    mov 8(%esp), %eax
    mov 12(%esp), %ecx
    mov 16(%esp), %edx
    push %ds
    push $KDATA
    pop %ds
    SHOW third, %eax
    SHOW second, %ecx
    SHOW first, %edx
    mov 4(%esp), %eax
    mov 8(%esp), %eax
    SHOW cs, %eax
    mov %cs, %eax
    SHOW now, %eax
    pop %ds
    lret $12
conforming:
    mov %cs, %ecx
    lret

.data
.align 8
ldt:
    DESCRIPTOR PAGES, 0xfff, 0x93, 4
    DESCRIPTOR 0, 0xfffff, 0x9b, 0xc
    .quad 0
