# Eight address spaces in turn; in each, ring 0 walks sixteen pages and calls some functions in ring 3's manner.
.include "payload.inc"
.set TURNS, 150000
.set REGION, 0x2000000
.text
.code32
.global main
main:
    call enter_long
.code64
    # Space n has its own top table and its own pages at REGION: pml4, pdpt, pd, pt at TABLES + n * 0x4000.
    xor %ebx, %ebx
1:  mov %ebx, %eax
    shl $14, %eax
    add $TABLES, %eax
    lea 0x1003(%rax), %ecx
    mov %rcx, (%rax)
    lea 0x1000(%rax), %edi
    mov pml4, %rsi
    and $~0xfff, %rsi
    mov $512, %ecx
    rep movsq                   # a copy of the page directory pointers
    mov 0x1000(%rax), %rsi
    and $~0xfff, %rsi
    lea 0x2003(%rax), %ecx
    mov %rcx, 0x1000(%rax)
    lea 0x2000(%rax), %edi
    mov $512, %ecx
    rep movsq
    lea 0x3003(%rax), %ecx
    mov %rcx, 0x2000 + REGION / 0x200000 * 8(%rax)
    lea 0x3000(%rax), %edi
    mov %ebx, %edx
    shl $16, %edx
    add $PAGES + 3, %edx
    mov $16, %ecx
2:  mov %rdx, (%rdi)
    add $4096, %edx
    add $8, %edi
    dec %ecx
    jnz 2b
    inc %ebx
    cmp $8, %ebx
    jb 1b
    mov $TURNS, %r12d
    xor %r13, %r13
3:  mov %r12d, %eax
    and $7, %eax
    shl $14, %eax
    add $TABLES, %eax
    mov %rax, %cr3
    mov $REGION, %ebx
    mov $16, %ecx
4:  mov (%rbx), %rax
    lea 1(%rax, %rcx), %rax
    mov %rax, (%rbx)
    add %rax, %r13
    call work
    add $4096, %rbx
    dec %ecx
    jnz 4b
    dec %r12d
    jnz 3b
    SHOW64 sum, %r13
    NL64
    jmp finish64
work:
    test $3, %al
    jz 1f
    call mix
1:  ret
mix:
    rol $9, %r13
    ret
