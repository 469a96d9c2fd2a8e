# FXSAVE64 and XSAVE64 keep sixteen XMM registers; 32-bit code sees eight.
.include "payload.inc"
.text
.code32
.global main
main:
    call enter_long
.code64
    mov %cr0, %rax
    and $~0xc, %eax
    or $0x22, %eax
    mov %rax, %cr0
    fninit
    movups pattern, %xmm0
    movups pattern + 16, %xmm15
    fxsave64 PAGES
    SHOW64 xmm0, PAGES+160
    SHOW64 xmm15, PAGES+408
    NL64
    xorps %xmm15, %xmm15
    fxrstor64 PAGES
    movups %xmm15, PAGES + 1024
    SHOW64 restored, PAGES+1024
    NL64
    TRY64 "fxrstor in compatibility mode leaves xmm15"
    ljmp *far_compat
.section .rodata
far_compat: .long compat, K32
.text
.code32
compat:
    movl $0xeeeeeeee, PAGES + 400
    fxrstor PAGES
    ljmp $K64, $1f
.code64
1:  movups %xmm15, PAGES + 1024
    END64
    SHOW64 xmm15, PAGES+1024
    NL64
    call leave_long
.code32
    ret
.data
.align 16
pattern:    .quad 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x1011121314151617, 0x18191a1b1c1d1e1f
