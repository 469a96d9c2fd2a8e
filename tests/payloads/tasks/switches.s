# Hardware task switches: by JMP, CALL, IRET, task gate and interrupt; busy bits, NT, back link, CR3, LDT, TS.
#! differs: task with the trap bit => #DB dr6=00008000 eip=00000000; back | SDM 3A 17.3.1.5; TCG has no T flag
.include "payload.inc"
.set A, SPARE
.set B, SPARE + 8
.set GATE, SPARE + 16
.set LDT, SPARE + 24

.macro BUSY
    movzbl gdt+A+5, %eax
    SHOW a, %eax
    movzbl gdt+B+5, %eax
    SHOW b, %eax
.endm

.text
.code32
.global main
main:
    SETDESC A, task_a, 103, 0x89, 0
    SETDESC B, task_b, 103, 0x89, 0
    SETDESC LDT, ldt, 15, 0x82, 0
    mov $A, %eax
    ltr %ax
    call fill_b
    PRINT "start:"
    BUSY
    NL

    PRINT "call: "
    mov $0xa1, %eax
    mov $0xa3, %ebx
    lcall $B, $0x1234
    pushf
    PRINT "back:"
    pop %ecx
    and $0x4000, %ecx
    SHOW nt, %ecx
    SHOW ebx, %ebx
    BUSY
    mov %cr0, %eax
    and $8, %eax
    SHOW ts, %eax
    NL

    clts
    call fill_b
    movl $jumped, task_b + 32
    PRINT "jump: "
    ljmp $B, $0
    PRINT "back:"
    pushf
    pop %ecx
    and $0x4000, %ecx
    SHOW nt, %ecx
    BUSY
    NL

    PRINT "call by a task gate: "
    call fill_b
    SETGATE gdt+GATE, B, 0, 0x85
    lcall $GATE, $0
    PRINT "back:"
    BUSY
    NL

    PRINT "interrupt by a task gate: "
    call fill_b
    SETGATE idt+8*0x90, B, 0, 0x85
    int $0x90
    PRINT "back:"
    BUSY
    NL

    PRINT "exception by a task gate: "
    call fill_b
    movl $with_error, task_b + 32
    SETGATE idt+8*13, B, 0, 0x85
    mov $0x108, %eax
    mov %eax, %fs
    PRINT "back, not faulting again\n"
    SETGATE idt+8*13, K32, 0, 0x8e
    call traps_again

    TRY "jump to a busy task"
    ljmp $A, $0
    END
    TRY "call a busy task"
    lcall $A, $0
    END
    TRY "call a task that is not present"
    movb $0x09, gdt+B+5
    lcall $B, $0
    END
    TRY "call a task with a short segment"
    SETDESC B, task_b, 102, 0x89, 0
    lcall $B, $0
    END
    SETDESC B, task_b, 103, 0x89, 0
    TRY "iret with NT to a task that is not busy"
    movw $B, task_a
    push $0x4002
    popf
    iret
    END
    TRY "ring 3 call of a task of ring 0"
    USER
    lcall $B | 3, $0
    KERNEL
    END

    # A task with an LDT, its own CR3 and a debug trap.
    movl $0x1d71d7, PAGES
    PRINT "task with an LDT: "
    call fill_b
    movl $LDT, task_b + 96
    movl $4, task_b + 88
    movl $with_ldt, task_b + 32
    lcall $B, $0
    sldt %eax
    SHOW ldt, %eax
    NL
    HOOK 1, debugged
    PRINT "task with the trap bit: "
    call fill_b
    movl $jumped_quietly, task_b + 32
    movw $1, task_b + 100
    lcall $B, $0
    PRINT "back\n"
    UNHOOK 1
    movw $0, task_b + 100

    PRINT "16-bit task: "
    SETDESC B, task_16, 43, 0x81, 0
    movw $low_task, task_16 + 14
    movw $2, task_16 + 16
    movw $0x7000, task_16 + 26
    movw $D16, task_16 + 34
    movw $K16, task_16 + 36
    movw $D16, task_16 + 38
    movw $D16, task_16 + 40
    lcall $B, $0
    movzwl 0x7100, %eax
    SHOW told, %eax
    NL
    ret

# Task B prints what it sees and returns with IRET.
fill_b:
    mov $task_b, %edi
    mov $26, %ecx
    xor %eax, %eax
    rep stosl
    movl $TABLES, task_b + 28
    movl $called, task_b + 32
    movl $2, task_b + 36
    movl $0xb0, task_b + 40
    movl $task_stack, task_b + 56
    movl $KDATA, task_b + 72
    movl $K32, task_b + 76
    movl $KDATA, task_b + 80
    movl $KDATA, task_b + 84
    movl $KDATA, task_b + 88
    movl $KDATA, task_b + 92
    SETDESC B, task_b, 103, 0x89, 0
    ret

called:
    PRINT "in b:"
    SHOW eax, %eax
    pushf
    pop %ecx
    and $0x4000, %ecx
    SHOW nt, %ecx
    str %eax
    SHOW tr, %eax
    movzwl task_b, %eax
    SHOW link, %eax
    mov %cr3, %eax
    SHOW cr3, %eax
    BUSY
    PRINT "; "
    iret

jumped:
    PRINT "in b:"
    BUSY
    movzwl task_b, %eax
    SHOW link, %eax
    PRINT "; "
    ljmp $A, $0

with_error:
    pop %eax
    PRINT "in b:"
    SHOW error, %eax
    # Past the instruction that faulted.
    mov task_a + 32, %eax
    add $2, %eax
    mov %eax, task_a + 32
    PRINT "; "
    iret

with_ldt:
    sldt %eax
    PRINT "in b:"
    SHOW ldt, %eax
    mov %fs:0, %eax
    SHOW fs, %eax
    PRINT "; "
    iret

jumped_quietly:
    iret

debugged:
    PRINT "#DB"
    mov %dr6, %eax
    and $0xe00f, %eax
    SHOW dr6, %eax
    mov F_EIP(%ebp), %eax
    sub $jumped_quietly, %eax
    SHOW eip, %eax
    xor %eax, %eax
    mov %eax, %dr6
    PRINT "; "
    ret

# The gate of vector 13 as the runtime had it.
traps_again:
    call traps_init
    SETDESC A, task_a, 103, 0x89, 0
    movl $trap_stack_top, task_a + 4
    movl $KDATA, task_a + 8
    mov $A, %eax
    ltr %ax
    ret

.section .low, "awx"
.code16
low_task:
    movw $0x1616, 0x7100
    iret

.data
.align 8
ldt:        DESCRIPTOR PAGES, 0xfff, 0x93, 4
            .quad 0
.bss
.align 16
task_a:     .skip 104
task_b:     .skip 104
task_16:    .skip 48
    .skip 4096
task_stack:
