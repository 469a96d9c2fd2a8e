# SMEP and SMAP with STAC and CLAC, implicit supervisor accesses, and ring 3 unaffected.
#! differs: SMAP: implicit access after stac => #PF(0001) at +0008 cr2=0000000040301000 | SDM 3A 4.6.1, implicit accesses
.include "payload.inc"
.text
.code32
.global main
main:
    call enter_long
.code64
    mov $USER_WINDOW + PAGES, %r12d
    movb $0xc3, PAGES
    TRY64 "ring 0 runs a ring 3 page"
    call *%r12
    END64
    TRY64 "ring 0 reads a ring 3 page"
    mov (%r12), %eax
    END64
    mov %cr4, %rax
    bts $20, %eax
    mov %rax, %cr4
    TRY64 "SMEP: run"
    call *%r12
    END64
    TRY64 "SMEP: read"
    mov (%r12), %eax
    END64
    TRY64 "SMEP: ring 3 runs"
    USER64
    nop
    KERNEL
    END64
    mov %cr4, %rax
    btr $20, %eax
    bts $21, %eax
    mov %rax, %cr4
    TRY64 "SMAP: run"
    call *%r12
    END64
    TRY64 "SMAP: read"
    mov (%r12), %eax
    END64
    TRY64 "SMAP: write"
    mov %eax, (%r12)
    END64
    TRY64 "SMAP: read after stac"
    stac
    mov (%r12), %eax
    END64
    TRY64 "SMAP: write after stac"
    stac
    mov %eax, 64(%r12)
    END64
    TRY64 "SMAP: read after clac"
    stac
    clac
    mov (%r12), %eax
    END64
    TRY64 "SMAP: string"
    lea PAGES, %rdi
    mov %r12, %rsi
    mov $4, %ecx
    rep movsb
    END64
    SHOW64 rcx, %rcx
    NL64
    TRY64 "SMAP: ring 3 reads and writes"
    USER64
    mov (%r12), %eax
    mov %eax, 128(%r12)
    KERNEL
    END64
    TRY64 "SMAP: page of ring 0 alone"
    mov PAGES, %eax
    END64
    # An LDT in a page of ring 3: an implicit access, refused even after stac.
    movq $0x00cf92000000ffff, %rax
    mov %rax, PAGES + 0x1000
    movl $0x1000000f, gdt + SPARE
    movl $0x40008230, gdt + SPARE + 4
    movl $0, gdt + SPARE + 8
    movl $0, gdt + SPARE + 12
    mov $SPARE, %eax
    lldt %ax
    TRY64 "SMAP: implicit access after stac"
    stac
    mov $4, %eax
    mov %eax, %fs
    END64
    xor %eax, %eax
    lldt %ax
    TRY64 "#UD stac in ring 3"
    USER64
    stac
    KERNEL
    END64
    mov %cr4, %rax
    btr $21, %eax
    mov %rax, %cr4
    TRY64 "stac without SMAP"
    stac
    pushf
    pop %rbx
    clac
    END64
    and $0x40000, %ebx
    SHOW64 ac, %rbx
    NL64
    call leave_long
.code32
    ret
