# Timer interrupts into loops whose state is in SSE and x87 registers; the handler's hash takes them in.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
PROGRAM
    movq $note_fpu, tick_also
    fninit
    ENTER 1000000
note_fpu:
    fxsave64 area
    mov $area, %esi
    mov $52, %ecx
    jmp note_all

CODE
program:
    # x87: a stack that is never empty, its control word changed on the way.
    fldpi
    fld1
    fldl2e
    mov $1500000, %ecx
1:  fmul %st(1), %st
    fadd %st(2), %st
    fdivl ten(%rip)
    fld %st(0)
    fsqrt
    fstps spill(%rip)
    fxch %st(2)
    dec %ecx
    jz 2f
    test $0xffff, %ecx
    jnz 1b
    fldcw truncate(%rip)
    fincstp
    fdecstp
    jmp 1b
2:  fstpt results(%rip)
    fstpt results + 16(%rip)
    fstpt results + 32(%rip)
    fldcw nearest(%rip)
    # MMX on top of the same registers.
    mov $700000, %ecx
    movq mask(%rip), %mm0
    movq ten(%rip), %mm1
1:  paddw %mm0, %mm1
    pmullw %mm1, %mm0
    pxor %mm1, %mm2
    psrlq $7, %mm0
    paddq mask(%rip), %mm0
    dec %ecx
    jnz 1b
    movq %mm1, results + 48(%rip)
    movq %mm2, results + 56(%rip)
    emms
    # SSE: floating point in another rounding mode, integers, comparisons.
    ldmxcsr rounding(%rip)
    movapd pair(%rip), %xmm0
    movapd pair + 16(%rip), %xmm1
    xorpd %xmm2, %xmm2
    mov $1200000, %ecx
1:  mulpd %xmm1, %xmm0
    addpd pair(%rip), %xmm0
    sqrtpd %xmm0, %xmm3
    addsubpd %xmm3, %xmm2
    cvtpd2ps %xmm2, %xmm4
    cmpleps %xmm4, %xmm5
    pshufd $0x1b, %xmm4, %xmm6
    paddd %xmm6, %xmm7
    divsd %xmm3, %xmm0
    dec %ecx
    jnz 1b
    # Registers that come around: nothing but XMM15 changes.
    mov $2000000, %ecx
    movdqa mask(%rip), %xmm15
    movq %rcx, %xmm14
1:  paddq %xmm14, %xmm15
    pshufb shuffle(%rip), %xmm15
    psubd %xmm13, %xmm15
    movq %xmm15, %rax
    xor %eax, %eax
    test $0xff, %ecx
    dec %ecx
    jnz 1b
    stmxcsr results + 64(%rip)
    movdqa %xmm2, results + 80(%rip)
    movdqa %xmm7, results + 96(%rip)
    movdqa %xmm15, results + 112(%rip)
    KERNEL
    PRINT64 "result:"
    .irp at, 0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 88, 96, 104, 112, 120
    SHOW64 at, results + \at
    .endr
    FINISH
END_CODE
DATA
pair:       .double 1.25, -0.75, 0.99999, 1.00001
mask:       .quad 0x0003000500070009, 0x7060504030201000
shuffle:    .byte 3, 1, 2, 0, 7, 5, 6, 4, 15, 9, 10, 11, 12, 13, 14, 8
results:    .fill 16, 8, 0
ten:        .double 10.1
rounding:   .long 0x5f80
spill:      .long 0
truncate:   .word 0x0f7f
nearest:    .word 0x037f
.bss
.balign 16
area:       .skip 512
