# x87 arithmetic: a polynomial, square roots, loads and stores of each format, comparison, sine now and then.
.include "payload.inc"
.set TURNS, 1000000
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
    mov $TURNS, %ebp
    fldz                        # the sum
1:  mov %ebp, PAGES
    fildl PAGES
    fdivl divisor
    fld %st(0)                  # x x sum
    fmull three
    faddl half
    fmul %st(1), %st
    faddl half
    fmul %st(1), %st
    fsubl three
    fstpl PAGES + 8
    fld1
    faddp
    fsqrt
    fldl PAGES + 8
    faddp
    fcomi %st(1), %st
    ja 2f
    fchs
2:  faddp
    fld %st(0)
    fstpt PAGES + 16
    test $63, %ebp
    jnz 3f
    fldl half
    fsin
    faddp
3:  fmull scale
    dec %ebp
    jnz 1b
    fstpl PAGES + 32
    SHOW64 sum, PAGES + 32
    NL64
    jmp finish64
.section .rodata
.align 8
divisor: .double 65536
three:   .double 3
half:    .double 0.5
scale:   .double 0.9375
