# What holds interrupts off and what lets them in: STI, MOV SS, POP SS, CLI, POPF, HLT with IF clear waiting for none.
.include "payload.inc"
.set APIC, 0xfee00000
.set SELF, 0x00044000           # self, edge, fixed
.macro SEND vector
    movl $(SELF | \vector), APIC + 0x300
.endm
.text
.code32
.global main
main:
    movl $0x1ff, APIC + 0xf0        # enabled, spurious vector 0xff
    movl $0, APIC + 0x80
    HOOK 0x40, taken
    HOOK 0x50, taken
    HOOK 0x60, taken
    PRINT "after cli nothing, after sti one instruction later:"
    movl $1f, try_base
    SEND 0x40
    nop
1:  sti
    nop
    nop
    cli
    NL
    PRINT "sti twice:"
    movl $1f, try_base
    SEND 0x40
1:  sti
    sti
    nop
    cli
    NL
    PRINT "sti, cli leaves no room:"
    movl $1f, try_base
    SEND 0x40
1:  sti
    cli
    nop
    PRINT " none;"
    movl $1f, try_base
1:  sti
    nop
    cli
    NL
    PRINT "popf:"
    movl $1f, try_base
    SEND 0x40
    push $0x202
1:  popf
    nop
    cli
    NL
    PRINT "iret:"
    movl $1f, try_base
    SEND 0x40
    push $0x202
    push %cs
    push $1f
    iret
1:  nop
    cli
    NL
    PRINT "higher priority first, lower waits:"
    movl $1f, try_base
    SEND 0x50
    SEND 0x60
    SEND 0x40
1:  sti
    nop
    nop
    cli
    NL
    PRINT "priority register holds off:"
    movl $0x50, APIC + 0x80
    movl $1f, try_base
    SEND 0x50
    SEND 0x60
1:  sti
    nop
    cli
    mov APIC + 0x220, %eax          # IRR 0x40-0x5f
    SHOW irr, %eax
    movl $1f, try_base
    movl $0, APIC + 0x80
1:  sti
    nop
    cli
    NL
    PRINT "in a handler, only a higher class nests:"
    HOOK 0x50, nesting
    movl $1f, try_base
    SEND 0x50
1:  sti
    nop
    nop
    cli
    NL
    HOOK 0x50, taken
    PRINT "cr8 is the priority register:"
    call enter_long
.code64
    mov $APIC + 0x80, %edi
    mov $6, %eax
    mov %rax, %cr8
    mov (%rdi), %ebx
    SHOW64L tpr, %ebx
    movl $0x30, (%rdi)
    mov %cr8, %rbx
    SHOW64 cr8, %rbx
    xor %eax, %eax
    mov %rax, %cr8
    NL64
    call leave_long
.code32
    ret
taken:
    PRINT " int "
    mov F_VECTOR(%ebp), %eax
    call hex8
    PRINT " at +"
    mov F_EIP(%ebp), %eax
    sub try_base, %eax
    call hex8
    movl $0, APIC + 0xb0
    ret
nesting:
    PRINT " enter 50"
    pushl try_base
    movl $1f, try_base
    SEND 0x40
    SEND 0x60
1:  sti
    nop
    nop
    cli
    PRINT " leave 50"
    popl try_base
    movl $0, APIC + 0xb0
    ret
