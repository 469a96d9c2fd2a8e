# Exceptions and interrupts in 32-bit protected mode.
.include "payload.inc"

# Vectors with an error code (SDM volume 3, table 6-1).
.set WITH_ERROR, 0x00227d00

.data
.align 16
.global idt, idt_pointer, tss32, hooks, try_base, try_resume, try_cs, try_sp, user_sp, report_flags, null_idt
idt:        .fill 256, 8, 0
idt_pointer:
    .word . - idt - 1
    .quad idt
null_idt:   .word 0
    .quad 0
.align 16
tss32:      .fill 26, 4, 0
tss32_end:
.align 8
hooks:      .fill 256, 8, 0
try_resume: .long 0         # with try_cs: a far pointer
try_cs:     .long 0
try_base:   .long 0
report_flags: .long 0       # flags to print with each report
try_sp:     .quad 0
user_sp:    .quad 0
user_ip:    .quad 0
.global user_ip, user_flags
user_flags: .quad 2         # flags that ring 3 begins with

.text
.code32
# Fills the IDT with interrupt gates to the stubs and loads IDT and task register. Gates 3, 4 and 0x80 are open to ring 3.
.global traps_init
traps_init:
    mov $idt, %edi
    mov $stubs, %eax
    mov $256, %ecx
1:  mov %ax, (%edi)
    movw $K32, 2(%edi)
    movw $0x8e00, 4(%edi)
    mov %eax, %edx
    shr $16, %edx
    mov %dx, 6(%edi)
    add $16, %eax
    add $8, %edi
    loop 1b
    movb $0xee, idt + 8 * 3 + 5
    movb $0xee, idt + 8 * 4 + 5
    movb $0xee, idt + 8 * 0x80 + 5
    lidt idt_pointer
    movl $trap_stack_top, tss32 + 4
    movl $KDATA, tss32 + 8
    movw $tss32_end - tss32, tss32 + 102
    SETDESC TSS, tss32, 103, 0x89, 0
    mov $TSS, %eax
    ltr %ax
    ret

# One stub for each vector, 16 bytes apart: vector and error code on the stack.
.align 16
stubs:
.set vector, 0
.rept 256
    .align 16
    .if vector > 31 || ((WITH_ERROR >> (vector & 31)) & 1) == 0
    push $0
    .endif
    push $vector
    jmp trap32
    .set vector, vector + 1
.endr

trap32:
    pusha
    mov %esp, %ebp
    cld
    mov $KDATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov F_VECTOR(%ebp), %eax
    mov hooks(, %eax, 8), %ecx
    test %ecx, %ecx
    jnz 1f
    cmp $0x80, %eax
    je leave_user
    jmp report
1:  # A hook returns to where the trap came from.
    call *%ecx
    mov %ebp, %esp
    testl $0x20000, F_EFLAGS(%ebp)
    jnz 2f
    testb $3, F_CS(%ebp)
    jz 2f
    mov $UDATA, %eax
    mov %eax, %ds
    mov %eax, %es
2:  popa
    add $8, %esp
    iret

# Back in ring 0 behind the `int $0x80`.
leave_user:
    mov F_EIP(%ebp), %eax
    mov %eax, user_ip
    call load_flat
    popa
    mov user_sp, %esp
    push $2
    popf
    jmp *user_ip

# Prints the trap and goes on behind END.
.global report
report:
    call trap_line
    call load_flat
    mov %ebp, %esp
    cmpl $0, try_resume
    je finish
    popa
    mov try_sp, %esp
    push $2
    popf
    ljmp *try_resume

# Prints "#PF(0002) at +0003 cr2=00400000 cpl3" and the like. Far from the start of the TRY the place is absolute.
.global trap_line
trap_line:
    mov F_VECTOR(%ebp), %eax
    cmp $32, %eax
    jae 1f
    lea names(, %eax, 4), %esi
    call puts
    mov $WITH_ERROR, %ecx
    bt %eax, %ecx
    jnc 2f
    PRINT "("
    mov F_ERROR(%ebp), %eax
    call hex16
    PRINT ")"
    jmp 2f
1:  PRINT "int "
    call hex8
2:  cmpl $8, F_VECTOR(%ebp)
    je 3f
    mov F_EIP(%ebp), %eax
    sub try_base, %eax
    cmp $0x1000, %eax
    jae 8f
    PRINT " at +"
    call hex16
    jmp 3f
8:  PRINT " at "
    mov F_EIP(%ebp), %eax
    call hex32
3:  cmpl $14, F_VECTOR(%ebp)
    jne 4f
    mov %cr2, %eax
    SHOW cr2, %eax
4:  testl $0x20000, F_EFLAGS(%ebp)
    jz 5f
    PRINT " vm86"
    jmp 6f
5:  mov F_CS(%ebp), %eax
    and $3, %eax
    jz 6f
    PRINT " cpl"
    add $'0', %al
    call putc
6:  mov report_flags, %eax
    test %eax, %eax
    jz 7f
    and F_EFLAGS(%ebp), %eax
    SHOW fl, %eax
7:  NL
    ret

.global try_none
try_none:
    PRINT "ok\n"
    ret

# Returns to the caller in ring 3 with flat data segments, on the user stack. Keeps the registers.
.global enter_user
enter_user:
    popl user_ip
    mov %esp, user_sp
    push $UDATA
    push $user_stack_top
    pushl user_flags
    push $U32
    pushl user_ip
    push %eax
    mov $UDATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    pop %eax
    iret

.section .rodata
.global names
names:
    .ascii "#DE\0#DB\0NMI\0#BP\0#OF\0#BR\0#UD\0#NM\0#DF\0009\0\0\0#TS\0#NP\0#SS\0#GP\0#PF\00015\0\0"
    .ascii "#MF\0#AC\0#MC\0#XM\0#VE\0#CP\000022\0\00023\0\00024\0\00025\0\00026\0\00027\0\00028\0\00029\0\00030\0\00031\0\0"

.bss
.align 16
    .skip 8192
.global trap_stack_top
trap_stack_top:
