# Values the control registers and model-specific registers refuse.
#! golden: TCG of QEMU 7.2 takes every value (SDM 3A 2.5 lists the refused ones; SDM 2B, RDMSR, WRMSR)
.include "payload.inc"
.text
.code32
.global main
main:
    TRY "#GP cr0 with PG without PE"
    mov $0x80000010, %eax
    mov %eax, %cr0
    END
    TRY "#GP cr0 with NW without CD"
    mov $0x20000011, %eax
    mov %eax, %cr0
    END
    TRY "#GP cr4 reserved bit"
    mov $0x80000000, %eax
    mov %eax, %cr4
    END
    TRY "#GP cr4 with PCIDE, which the processor has not"
    mov $0x20000, %eax
    mov %eax, %cr4
    END
    TRY "#GP rdmsr of no register"
    mov $0x12345678, %ecx
    rdmsr
    END
    TRY "#GP wrmsr of no register"
    mov $0x12345678, %ecx
    wrmsr
    END
    TRY "#GP EFER reserved bit"
    mov $0xc0000080, %ecx
    xor %edx, %edx
    mov $0x10000, %eax
    wrmsr
    END
    TRY "#GP PAT of a reserved type"
    mov $0x277, %ecx
    mov $0x00070402, %eax
    mov $0x00070406, %edx
    wrmsr
    END
    TRY "mov to cr0 cannot clear ET"
    mov $0x01, %eax
    mov %eax, %cr0
    mov %cr0, %ebx
    END
    SHOW cr0, %ebx
    NL
    TRY "lmsw cannot clear PE"
    mov $0xe, %eax
    lmsw %ax
    mov %cr0, %ebx
    xor %eax, %eax
    lmsw %ax
    mov %cr0, %ecx
    END
    SHOW set, %ebx
    SHOW cleared, %ecx
    NL
    TRY "#GP cr0 PG with LME without PAE"
    mov $0xc0000080, %ecx
    xor %edx, %edx
    mov $0x100, %eax
    wrmsr
    mov $0x80000011, %eax
    mov %eax, %cr0
    END
    call enter_long
.code64
    TRY64 "#GP clear PAE in long mode"
    mov %cr4, %rax
    and $~0x20, %eax
    mov %rax, %cr4
    END64
    TRY64 "#GP change LME with paging"
    mov $0xc0000080, %ecx
    rdmsr
    and $~0x100, %eax
    wrmsr
    END64
    TRY64 "#GP clear PG in 64-bit mode"
    mov %cr0, %rax
    and $0x7fffffff, %eax
    mov %rax, %cr0
    END64
    TRY64 "#GP cr0 upper half"
    mov %cr0, %rax
    bts $32, %rax
    mov %rax, %cr0
    END64
    TRY64 "#GP cr3 beyond the physical addresses"
    mov $pml4, %eax
    bts $45, %rax
    mov %rax, %cr3
    END64
    TRY64 "#GP fs base not canonical"
    WRMSR64 0xc0000100, 0, 0x00008000
    END64
    TRY64 "#GP sysenter target not canonical"
    WRMSR64 0x176, 0, 0x00008000
    END64
    TRY64 "#GP apic base reserved bit"
    WRMSR64 0x1b, 0xfee00a00, 0
    END64
    TRY64 "#UD mov to cr5"
    .byte 0x0f, 0x22, 0xe8
    END64
    TRY64 "#GP mov to dr7, upper half"
    mov $1, %eax
    shl $32, %rax
    mov %rax, %dr7
    END64
    call leave_long
.code32
    ret
