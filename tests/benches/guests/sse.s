# SSE arithmetic, single and double, packed and scalar, and integers; operands from memory and from registers.
.include "payload.inc"
.set TURNS, 6000000
.text
.code32
.global main
main:
    call enter_long
.code64
    mov %cr0, %rax
    and $~0xc, %eax
    or $2, %eax
    mov %rax, %cr0
    mov $TURNS, %ebp
    movaps ones, %xmm0
    movaps steps, %xmm1
    movapd halves, %xmm2
    pxor %xmm3, %xmm3
    movdqa numbers, %xmm4
    movaps %xmm0, PAGES
1:  movaps %xmm0, %xmm5
    mulps %xmm1, %xmm5
    addps PAGES, %xmm5
    divps thirds, %xmm5
    sqrtps %xmm5, %xmm6
    movaps %xmm6, PAGES
    minps ones, %xmm6
    addps %xmm6, %xmm0
    mulps scale, %xmm0
    movapd %xmm2, %xmm7
    mulpd halves, %xmm7
    addpd ones64, %xmm7
    movapd %xmm7, %xmm2
    addsd %xmm7, %xmm3
    mulsd halves, %xmm3
    cvtsi2sd %ebp, %xmm8
    divsd %xmm8, %xmm7
    addsd %xmm7, %xmm3
    ucomisd %xmm3, %xmm2
    ja 2f
    subsd ones64, %xmm3
2:  paddd numbers, %xmm4
    pshufd $0x93, %xmm4, %xmm9
    pxor %xmm9, %xmm4
    pmuludq %xmm4, %xmm9
    psrlq $3, %xmm9
    paddq %xmm9, %xmm4
    punpcklbw %xmm9, %xmm10
    pcmpeqb %xmm4, %xmm10
    dec %ebp
    jnz 1b
    movups %xmm0, PAGES + 64
    movups %xmm3, PAGES + 80
    movups %xmm4, PAGES + 96
    SHOW64 single, PAGES + 64
    SHOW64 double, PAGES + 80
    SHOW64 words, PAGES + 96
    NL64
    jmp finish64
.section .rodata
.align 16
ones:    .float 1, 1, 1, 1
steps:   .float 1.25, 0.75, 1.5, 0.5
thirds:  .float 3, 3, 3, 3
scale:   .float 0.5, 0.5, 0.5, 0.5
halves:  .double 0.5, 0.25
ones64:  .double 1, 1
numbers: .long 1, 0x12345, 0x777, 0x10001
