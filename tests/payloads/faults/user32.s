# What ring 3 must not do in 32-bit protected mode, by IOPL and by the I/O permission bitmap.
#! differs: int1 => #DB at +0006 cpl3 | SDM 2A, INT n/INTO/INT3/INT1: no privilege check
.include "payload.inc"
.text
.code32

.macro REFUSED title, instruction:vararg
    TRY "\title"
    USER
    \instruction
    KERNEL
    END
.endm

.global main
main:
    REFUSED "hlt", hlt
    REFUSED "cli", cli
    REFUSED "sti", sti
    REFUSED "clts", clts
    REFUSED "in", in $0x60, %al
    REFUSED "out dx", out %al, %dx
    REFUSED "insb", insb
    REFUSED "mov from cr0", mov %cr0, %eax
    REFUSED "mov to cr3", mov %eax, %cr3
    REFUSED "mov from dr7", mov %dr7, %eax
    REFUSED "lgdt", lgdt gdt_pointer
    REFUSED "sgdt", sgdt PAGES
    REFUSED "lmsw", lmsw %ax
    REFUSED "smsw", smsw %ax
    REFUSED "invlpg", invlpg PAGES
    REFUSED "wbinvd", wbinvd
    REFUSED "rdmsr", rdmsr
    REFUSED "ltr", ltr %ax
    REFUSED "str", str %ax
    REFUSED "int to a ring 0 gate", int $0x90
    REFUSED "int1", .byte 0xf1
    REFUSED "int3", int3
    REFUSED "cpuid", cpuid
    REFUSED "rdtsc", rdtsc
    TRY "rdtsc with TSD"
    mov %cr4, %eax
    or $4, %eax
    mov %eax, %cr4
    USER
    rdtsc
    KERNEL
    END
    mov %cr4, %eax
    and $~4, %eax
    mov %eax, %cr4
    TRY "popf leaves IF and IOPL"
    USER
    push $0x3202
    popf
    pushf
    pop %ebx
    KERNEL
    END
    and $0x3200, %ebx
    SHOW flags, %ebx
    NL
    TRY "data segment of ring 0"
    USER
    mov $KDATA, %eax
    mov %eax, %es
    KERNEL
    END
    TRY "stack segment with RPL 0"
    USER
    mov $UDATA & ~3, %eax
    mov %eax, %ss
    KERNEL
    END
    TRY "far call to ring 0 code"
    USER
    lcall $K32, $0
    KERNEL
    END
    TRY "lret to ring 0"
    USER
    push $K32
    push $0
    lret
    KERNEL
    END
    # IOPL 3 lets ring 3 use I/O and IF.
    movl $0x3002, user_flags
    REFUSED "in with IOPL 3", in $0x61, %al
    TRY "cli, sti, popf with IOPL 3"
    USER
    cli
    push $0x3002
    popf
    pushf
    pop %ebx
    KERNEL
    END
    and $0x3200, %ebx
    SHOW flags, %ebx
    NL
    movl $2, user_flags
    # The permission bitmap: port 0x61 allowed, the rest to 0x67 not, nothing beyond.
    SETDESC SPARE, task, 104+13, 0x89, 0
    movl $trap_stack_top, task + 4
    movl $KDATA, task + 8
    movw $104, task + 102
    mov $14, %ecx
    mov $task + 104, %edi
    mov $0xff, %al
    rep stosb
    movb $0xfd, task + 104 + 12
    mov $SPARE, %eax
    ltr %ax
    REFUSED "in 0x61 by the bitmap", in $0x61, %al
    REFUSED "in 0x60 by the bitmap", in $0x60, %al
    REFUSED "in ax 0x60 by the bitmap", in $0x60, %ax
    REFUSED "in ax 0x61 by the bitmap", in $0x61, %ax
    REFUSED "in 0x68 beyond the bitmap", in $0x68, %al
    ret

.bss
.align 16
task: .skip 128
