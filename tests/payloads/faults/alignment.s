# #AC: alignment checks of ring 3 with CR0.AM and EFLAGS.AC, and who is exempt.
#! golden: TCG of QEMU 7.2 checks no alignment (SDM 3A 6.15, #AC; table 6-7)
.include "payload.inc"
.macro CHECK title, instruction:vararg
    TRY "\title"
    USER
    \instruction
    KERNEL
    END
.endm
.text
.code32
.global main
main:
    movl $0x40002, user_flags
    CHECK "AC without AM", mov PAGES + 1, %eax
    mov %cr0, %eax
    or $0x40000, %eax
    mov %eax, %cr0
    mov %cr4, %eax
    or $0x200, %eax
    mov %eax, %cr4
    CHECK "aligned dword", mov PAGES + 4, %eax
    CHECK "dword at 1", mov PAGES + 1, %eax
    CHECK "dword at 2", mov PAGES + 2, %eax
    CHECK "word at 1", mov PAGES + 1, %ax
    CHECK "word at 2", mov PAGES + 2, %ax
    CHECK "byte", mov PAGES + 1, %al
    CHECK "store", mov %eax, PAGES + 3
    CHECK "read and write", incl PAGES + 3
    CHECK "x87 double at 4", fldl PAGES + 4
    CHECK "x87 double at 8", fldl PAGES + 8
    CHECK "movups at 1", movups PAGES + 1, %xmm0
    CHECK "movaps at 1 is #GP", movaps PAGES + 1, %xmm0
    TRY "push"
    USER
    sub $2, %esp
    push %eax
    KERNEL
    END
    TRY "string"
    USER
    mov $PAGES + 1, %esi
    mov $PAGES + 64, %edi
    mov $2, %ecx
    rep movsl
    KERNEL
    END
    SHOW ecx, %ecx
    NL
    movl $2, user_flags
    CHECK "AM without AC", mov PAGES + 1, %eax
    TRY "ring 0 is exempt"
    pushf
    orl $0x40000, (%esp)
    popf
    mov PAGES + 1, %eax
    END
    ret
