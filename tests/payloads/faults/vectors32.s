# The exception vectors that ring 0 can raise in 32-bit protected mode without paging, with their error codes.
#! differs: #DB int1 => #DB at +0001 | SDM 2A, INT n/INTO/INT3/INT1: INT1 is a trap; this QEMU has no such opcode
#! differs: #UD lock mov => #UD at +0000 | SDM 2A, LOCK: #UD with an instruction that cannot be locked
#! differs: #GP write through a code segment => #GP(0000) at +0007 | SDM 3A 5.5: TCG does not check segment types on access
#! differs: #GP use of a null data segment => #GP(0000) at +0004 | SDM 3A 5.4.1: TCG does not check segments on access
#! differs: #GP ltr of null => #GP(0000) at +0002 | SDM 2A, LTR: #GP(0) for a null selector
.include "payload.inc"
.text
.code32
.global main
main:
    TRY "#DE by zero"
    xor %edx, %edx
    mov $1, %eax
    xor %ecx, %ecx
    div %ecx
    END
    TRY "#DE quotient too large"
    mov $5, %edx
    mov $2, %ecx
    div %ecx
    END
    TRY "#DE idiv of the most negative"
    mov $0x80000000, %eax
    cdq
    mov $-1, %ecx
    idiv %ecx
    END
    TRY "#DE byte"
    mov $0x200, %ax
    mov $1, %cl
    div %cl
    END
    TRY "#DE aam 0"
    .byte 0xd4, 0
    END
    TRY "no #DE idiv at the edge"
    mov $0x80000000, %eax
    cdq
    mov $1, %ecx
    idiv %ecx
    END
    SHOW quotient, %eax
    NL
    TRY "#DB int1"
    .byte 0xf1
    END
    TRY "#BP int3"
    nop
    int3
    END
    TRY "#BP int 3"
    int $3
    END
    TRY "#OF into, clear"
    xor %eax, %eax
    into
    END
    TRY "#OF into, set"
    mov $0x7fffffff, %eax
    inc %eax
    into
    END
    TRY "#BR bound, inside"
    mov $5, %eax
    bound %eax, bounds
    END
    TRY "#BR bound, below"
    mov $-11, %eax
    bound %eax, bounds
    END
    TRY "#BR bound, above"
    mov $11, %eax
    bound %eax, bounds
    END
    TRY "#UD ud2"
    ud2
    END
    TRY "#UD mov to cs"
    .byte 0x8e, 0xc8
    END
    TRY "#UD lock with a register"
    .byte 0xf0, 0x01, 0xc0
    END
    TRY "#UD lock mov"
    .byte 0xf0, 0x89, 0x05
    .long PAGES
    END
    TRY "#UD lea of a register"
    .byte 0x8d, 0xc0
    END
    TRY "#UD les of a register"
    .byte 0xc4, 0xc0, 0, 0, 0, 0
    END
    TRY "#UD group 5 /7"
    .byte 0xff, 0xf8
    END
    TRY "#UD mov from cr1"
    .byte 0x0f, 0x20, 0xc8
    END
    TRY "#UD syscall instruction set of another maker (femms)"
    .byte 0x0f, 0x0e
    END
    TRY "#NM x87 with TS"
    mov %cr0, %eax
    or $8, %eax
    mov %eax, %cr0
    fld1
    END
    TRY "#NM wait with TS and MP"
    mov %cr0, %eax
    or $0xa, %eax
    mov %eax, %cr0
    fwait
    END
    TRY "no #NM wait with TS alone"
    mov %cr0, %eax
    and $~2, %eax
    mov %eax, %cr0
    fwait
    END
    TRY "#NM x87 with EM"
    clts
    mov %cr0, %eax
    or $4, %eax
    mov %eax, %cr0
    fld1
    END
    TRY "#UD SSE with EM"
    mov %cr4, %ecx
    or $0x200, %ecx
    mov %ecx, %cr4
    movaps %xmm0, %xmm1
    END
    TRY "#NM SSE with TS"
    mov %cr0, %eax
    and $~4, %eax
    or $8, %eax
    mov %eax, %cr0
    movaps %xmm0, %xmm1
    END
    TRY "#UD SSE without OSFXSR"
    clts
    mov %cr4, %ecx
    and $~0x200, %ecx
    mov %ecx, %cr4
    movaps %xmm0, %xmm1
    END
    TRY "#NP data segment"
    SETDESC SPARE, 0, 0xfffff, 0x13, 0xc
    mov $SPARE, %eax
    mov %eax, %ds
    END
    TRY "#NP code segment"
    SETDESC SPARE, 0, 0xfffff, 0x1b, 0xc
    ljmp $SPARE, $0
    END
    TRY "#NP interrupt gate"
    andb $0x7f, idt + 8 * 0x90 + 5
    int $0x90
    END
    TRY "#SS not present"
    SETDESC SPARE, 0, 0xfffff, 0x13, 0xc
    mov $SPARE, %eax
    mov %eax, %ss
    END
    TRY "#GP selector beyond the table"
    mov $0x108, %eax
    mov %eax, %ds
    END
    TRY "#GP selector in no LDT"
    mov $0xc, %eax
    mov %eax, %es
    END
    TRY "#GP data register with a code segment that cannot be read"
    SETDESC SPARE, 0, 0xfffff, 0x99, 0xc
    mov $SPARE, %eax
    mov %eax, %ds
    END
    TRY "data register with a code segment that can be read"
    mov $K32, %eax
    mov %eax, %ds
    mov $KDATA, %eax
    mov %eax, %ds
    END
    TRY "#GP write through a code segment"
    mov $K32, %eax
    mov %eax, %ds
    movl $1, %ds:PAGES
    END
    TRY "#GP stack register with null"
    xor %eax, %eax
    mov %eax, %ss
    END
    TRY "#GP stack register of another privilege"
    mov $UDATA, %eax
    mov %eax, %ss
    END
    TRY "#GP data register with a system segment"
    mov $TSS, %eax
    mov %eax, %ds
    END
    TRY "null data segment loads"
    xor %eax, %eax
    mov %eax, %es
    mov %es, %ecx
    END
    SHOW es, %ecx
    NL
    TRY "#GP use of a null data segment"
    xor %eax, %eax
    mov %eax, %es
    mov %es:PAGES, %eax
    END
    TRY "#GP interrupt beyond the table"
    lidt short_idt
    int $0x21
    END
    lidt idt_pointer
    TRY "#GP gate of no gate type"
    movb $0x92, idt + 8 * 0x91 + 5
    int $0x91
    END
    TRY "#GP gate to a null selector"
    movw $0, idt + 8 * 0x92 + 2
    int $0x92
    END
    TRY "#GP gate to a data segment"
    movw $KDATA, idt + 8 * 0x93 + 2
    int $0x93
    END
    TRY "#GP ltr of a busy task"
    mov $TSS, %eax
    ltr %ax
    END
    TRY "#GP ltr of null"
    xor %eax, %eax
    ltr %ax
    END
    TRY "#GP lldt of no LDT"
    mov $KDATA, %eax
    lldt %ax
    END
    TRY "lldt of null"
    xor %eax, %eax
    lldt %ax
    END
    TRY "#GP far jump to null"
    ljmp $0, $0
    END
    TRY "#GP far jump to data"
    ljmp $KDATA, $0
    END
    TRY "#GP far jump to lower privilege"
    ljmp $U32, $0
    END
    TRY "#GP iret to null"
    pushf
    push $0
    push $0
    iret
    END
    ret

.data
bounds:     .long -10, 10
short_idt:  .word 0x20 * 8 + 6
            .long idt
