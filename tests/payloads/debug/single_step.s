# TF: traps after each instruction, over REP, INT n, POP SS, MOV SS, POPF, IRET, and at a fault.
#! differs: sti shadow => +01 +02 +03 +0a +0b count=00000005 | SDM 3A 6.8.1: STI holds off maskable interrupts alone
.include "payload.inc"
.macro STEP
    pushf
    orl $0x100, (%esp)
    popf
.endm
.macro UNSTEP
    pushf
    andl $~0x100, (%esp)
    popf
.endm
# Counts the traps between, and prints where they came.
.macro STEPPED title, body:vararg
    PRINT "\title:"
    movl $0, count
    mov $1f, %eax
    mov %eax, try_base
    STEP
1:  \body
    UNSTEP
    call counted
.endm
.text
.code32
.global main
main:
    HOOK 1, stepped
    STEPPED "one nop", nop
    STEPPED "none"
    PRINT "rep movsb:"
    movl $0, count
    movl $1f, try_base
    mov $PAGES, %esi
    mov $PAGES + 64, %edi
    mov $3, %ecx
    STEP
1:  rep movsb
    UNSTEP
    call counted
    PRINT "rep with a zero count:"
    movl $0, count
    movl $1f, try_base
    xor %ecx, %ecx
    STEP
1:  rep movsb
    UNSTEP
    call counted
    PRINT "mov ss:"
    movl $0, count
    movl $1f, try_base
    mov $KDATA, %eax
    STEP
1:  mov %eax, %ss
    nop
    nop
    UNSTEP
    call counted
    PRINT "pop ss:"
    movl $0, count
    movl $1f, try_base
    push $KDATA
    STEP
1:  pop %ss
    nop
    UNSTEP
    call counted
    HOOK 0x92, quiet
    PRINT "int n clears it and iret sets it again:"
    movl $0, count
    movl $1f, try_base
    STEP
1:  int $0x92
    nop
    UNSTEP
    call counted
    PRINT "a fault goes first:"
    HOOK 6, skip_two
    movl $0, count
    movl $1f, try_base
    STEP
1:  ud2
    nop
    UNSTEP
    call counted
    PRINT "branches:"
    movl $0, count
    movl $1f, try_base
    mov $2, %ecx
    STEP
1:  loop 1b
    jmp 2f
    nop
2:  call 3f
3:  pop %eax
    UNSTEP
    call counted
    PRINT "sti shadow:"
    movl $0, count
    movl $1f, try_base
    STEP
1:  sti
    cli
    UNSTEP
    call counted
    PRINT "cpuid, rdtsc, in:"
    movl $0, count
    movl $1f, try_base
    mov $0x61, %edx
    STEP
1:  nop
    in $0x61, %al
    rdtsc
    UNSTEP
    call counted
    UNHOOK 6
    PRINT "ring 3:"
    movl $0, count
    movl $0x102, user_flags
    movl $1f, try_base
    USER
1:  nop
    nop
    KERNEL
    call counted
    ret

stepped:
    incl count
    mov F_EIP(%ebp), %eax
    sub try_base, %eax
    PRINT " +"
    call hex8
    mov %dr6, %eax
    xor %ecx, %ecx
    mov %ecx, %dr6
    and $0x600f, %eax
    cmp $0x4000, %eax
    je 1f
    SHOW dr6, %eax
1:  ret
quiet:
    ret
skip_two:
    addl $2, F_EIP(%ebp)
    PRINT " #UD"
    mov F_EFLAGS(%ebp), %eax
    and $0x100, %eax
    SHOW tf, %eax
    ret
counted:
    SHOW count, count
    NL
    ret
.data
count: .long 0
