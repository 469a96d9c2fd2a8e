# Double faults: which pairs make one, through an interrupt gate and through a task gate.
#! differs: #NP while delivering #UD is serial => #NP(0033) at +0007 | SDM 3A 6.13: EXT is set for an earlier exception
.include "payload.inc"
.text
.code32
.global main
main:
    TRY "#NP while delivering #GP"
    andb $0x7f, idt + 8 * 13 + 5
    mov $0x108, %eax
    mov %eax, %ds
    END
    orb $0x80, idt + 8 * 13 + 5
    TRY "#GP while delivering #NP"
    movw $0, idt + 8 * 11 + 2
    SETDESC SPARE, 0, 0xfffff, 0x13, 0xc
    mov $SPARE, %eax
    mov %eax, %ds
    END
    movw $K32, idt + 8 * 11 + 2
    TRY "#NP while delivering #UD is serial"
    andb $0x7f, idt + 8 * 6 + 5
    ud2
    END
    orb $0x80, idt + 8 * 6 + 5
    TRY "#NP while delivering int 0x90 is serial"
    andb $0x7f, idt + 8 * 0x90 + 5
    int $0x90
    END
    orb $0x80, idt + 8 * 0x90 + 5
    TRY "#NP while delivering #DE"
    andb $0x7f, idt + 8 * 0 + 5
    xor %ecx, %ecx
    div %ecx
    END
    orb $0x80, idt + 8 * 0 + 5
    # The same through a task gate, which also mends a broken stack.
    call double_task
    # Identity map by 4 MiB pages, except the second.
    movl $0x83, TABLES
    mov $TABLES, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    PRINT "stack not mapped: "
    movl $1f, back
    mov %esp, old_stack
    mov $0x500000, %esp
    push %eax
    PRINT "not reached\n"
1:  PRINT "back\n"
    PRINT "and once more: "
    movl $1f, back
    movb $0x89, gdt+SPARE+8+5
    movb $0x8b, gdt+TSS+5
    movl $in_task, task + 32
    movl $task_stack_top, task + 56
    mov $TSS, %eax
    movb $0x89, gdt+TSS+5
    ltr %ax
    mov $0x600000, %esp
    ud2
    PRINT "not reached\n"
1:  PRINT "back\n"
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    ret

# Vector 8 as a task gate to a task that prints and goes on at `back`.
double_task:
    SETDESC SPARE+8, task, 103, 0x89, 0
    movl $TABLES, task + 28
    movl $in_task, task + 32
    movl $2, task + 36
    movl $task_stack_top, task + 56
    movl $KDATA, task + 72
    movl $K32, task + 76
    movl $KDATA, task + 80
    movl $KDATA, task + 84
    movl $KDATA, task + 88
    movl $KDATA, task + 92
    SETGATE idt+8*8, SPARE+8, 0, 0x85
    ret
in_task:
    PRINT "#DF by a task gate, error "
    pop %eax
    call hex32
    pushf
    pop %eax
    and $0x4000, %eax
    SHOW nt, %eax
    movzwl task, %eax
    SHOW link, %eax
    movzwl gdt + TSS + 4, %eax
    mov %ah, %al
    and $0xff, %eax
    SHOW old, %eax
    mov tss32 + 56, %eax
    SHOW esp, %eax
    mov %cr2, %eax
    SHOW cr2, %eax
    NL
    push $2
    popf
    mov old_stack, %esp
    clts
    jmp *back

.bss
.align 16
task:       .skip 104
old_stack:  .skip 4
back:       .skip 4
    .skip 4096
task_stack_top:
