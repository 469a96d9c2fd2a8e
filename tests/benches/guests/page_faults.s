# Demand paging: 512 pages are touched, each fault maps one, then all are unmapped again.
.include "payload.inc"
.set TURNS, 1200
.set REGION, 0x2000000
.text
.code32
.global main
main:
    call enter_long
.code64
    HOOK 14, fault
    # The page directory entry of the region leads to a table.
    mov pml4, %rax
    and $~0xfff, %rax
    mov (%rax), %rax
    and $~0xfff, %rax
    movq $TABLES + 3, REGION / 0x200000 * 8(%rax)
    mov $TURNS, %r12d
    xor %r13, %r13
1:  mov %cr3, %rax
    mov %rax, %cr3
    mov $REGION, %ebx
    mov $512, %r14d
2:  add %r14d, (%rbx)
    add (%rbx), %r13d
    add $4096, %rbx
    dec %r14d
    jnz 2b
    mov $TABLES, %edi
    xor %eax, %eax
    mov $512, %ecx
    rep stosq
    dec %r12d
    jnz 1b
    SHOW64 sum, %r13
    NL64
    jmp finish64
fault:
    mov %cr2, %rax
    sub $REGION, %eax
    shr $12, %eax
    mov %eax, %ecx
    and $127, %ecx
    shl $12, %ecx
    add $PAGES + 3, %ecx
    mov %rcx, TABLES(, %rax, 8)
    ret
