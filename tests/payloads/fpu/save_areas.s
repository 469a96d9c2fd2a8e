# FXSAVE, FXRSTOR, XSAVE, XRSTOR, FNSAVE: layouts, what is kept, refusals.
#! differs: #GP fxrstor with a reserved bit of mxcsr => #GP(0000) at +0011 | SDM 2A, FXRSTOR
#! differs: mmx marks all tags valid => ftw=000000ff mm3=01020304 top=0000ffff ftw=00000000 | SDM 1 9.2.3: exponents all ones
.include "payload.inc"
.set AREA, PAGES
.macro WORD title, offset
    movzwl AREA + \offset, %eax
    SHOW \title, %eax
.endm
.macro LONG title, offset
    mov AREA + \offset, %eax
    SHOW \title, %eax
.endm
.macro FILL
    mov $AREA, %edi
    mov $256, %ecx
    mov $0xcccccccc, %eax
    rep stosl
.endm
.text
.code32
.global main
main:
    mov %cr0, %eax
    and $~0xc, %eax
    or $0x22, %eax
    mov %eax, %cr0
    mov %cr4, %eax
    or $0x40600, %eax           # OSFXSR, OSXMMEXCPT, OSXSAVE
    mov %eax, %cr4
    fninit
    fld1
    fldpi
    fldz
    fchs
    movl $0x1f80, word
    ldmxcsr word
    movups pattern, %xmm0
    movups pattern + 16, %xmm7
    FILL
    fxsave AREA
    PRINT "fxsave:"
    WORD fcw, 0
    WORD fsw, 2
    WORD ftw, 4
    LONG mxcsr, 24
    LONG mask, 28
    NL
    PRINT "st0:"
    LONG a, 32
    LONG b, 36
    WORD c, 40
    NL
    PRINT "st1:"
    LONG a, 48
    LONG b, 52
    WORD c, 56
    NL
    PRINT "xmm0:"
    LONG a, 160
    LONG d, 172
    PRINT " xmm7:"
    LONG a, 272
    LONG d, 284
    NL
    PRINT "untouched:"
    LONG e, 464
    LONG f, 508
    NL
    # Back into other registers.
    fninit
    xorps %xmm0, %xmm0
    fxrstor AREA
    fstpt word
    mov word + 8, %eax
    PRINT "fxrstor:"
    and $0xffff, %eax
    SHOW minus_zero, %eax
    movups %xmm0, word
    mov word, %eax
    SHOW xmm0, %eax
    fnstsw %ax
    and $0xffff, %eax
    SHOW fsw, %eax
    NL
    TRY "#GP fxsave off 16 bytes"
    fxsave AREA + 8
    END
    TRY "#GP fxrstor with a reserved bit of mxcsr"
    fxsave AREA
    orl $0x10000, AREA + 24
    fxrstor AREA
    END
    movl $0x1f80, word
    ldmxcsr word

    PRINT "xgetbv:"
    xor %ecx, %ecx
    xgetbv
    SHOW eax, %eax
    SHOW edx, %edx
    NL
    TRY "xsetbv x87 and sse"
    mov $3, %eax
    xor %edx, %edx
    xor %ecx, %ecx
    xsetbv
    END
    TRY "#GP xsetbv without x87"
    mov $2, %eax
    xsetbv
    END
    TRY "#GP xsetbv of a register that is not"
    mov $3, %eax
    mov $5, %ecx
    xsetbv
    END
    TRY "#GP xsetbv of a feature that is not"
    mov $7, %eax
    xor %ecx, %ecx
    mov $0x80000000, %edx
    xsetbv
    END
    xor %ecx, %ecx
    xor %edx, %edx
    mov $3, %eax
    xsetbv
    FILL
    mov $AREA + 512, %edi
    xor %eax, %eax
    mov $16, %ecx
    rep stosl
    movups pattern, %xmm0
    fninit
    fld1
    mov $3, %eax
    xor %edx, %edx
    xsave AREA
    PRINT "xsave:"
    LONG bv, 512
    LONG bv_high, 516
    LONG comp, 520
    LONG mxcsr, 24
    LONG xmm0, 160
    NL
    PRINT "xsave of x87 alone leaves sse:"
    movl $0xdddddddd, AREA + 160
    mov $1, %eax
    xsave AREA
    LONG xmm0, 160
    LONG bv, 512
    NL
    PRINT "xrstor with the sse bit clear zeroes it:"
    movl $1, AREA + 512
    mov $3, %eax
    xrstor AREA
    movups %xmm0, word
    mov word, %eax
    SHOW xmm0, %eax
    NL
    PRINT "xrstor with the x87 bit clear initialises it:"
    fldpi
    movl $2, AREA + 512
    mov $3, %eax
    xrstor AREA
    fnstcw word
    fnstsw word + 2
    mov word, %eax
    SHOW cw_sw, %eax
    movups %xmm0, word
    mov word, %eax
    SHOW xmm0, %eax
    NL
    TRY "#GP xrstor of a feature that is not"
    movl $0x80000003, AREA + 512
    mov $3, %eax
    xrstor AREA
    END
    TRY "#GP xsave off 64 bytes"
    mov $3, %eax
    xsave AREA + 16
    END
    mov %cr4, %eax
    and $~0x40000, %eax
    mov %eax, %cr4
    TRY "#UD xsave without OSXSAVE"
    xsave AREA
    END
    TRY "#UD xgetbv without OSXSAVE"
    xgetbv
    END

    PRINT "fnsave:"
    fninit
    fld1
    fldpi
    FILL
    fnsave AREA
    WORD cw, 0
    WORD sw, 4
    WORD tw, 8
    LONG st0, 28
    WORD st0_top, 36
    NL
    fnstsw %ax
    and $0xffff, %eax
    PRINT "initialised by it:"
    SHOW sw, %eax
    frstor AREA
    fnstsw %ax
    and $0xffff, %eax
    SHOW restored, %eax
    NL
    PRINT "fnsave of 16 bits:"
    FILL
    data16 fnsave AREA
    WORD cw, 0
    WORD sw, 2
    WORD tw, 4
    LONG st0, 14
    NL
    PRINT "mmx marks all tags valid:"
    fninit
    movl $0x01020304, word
    movd word, %mm3
    fxsave AREA
    WORD ftw, 4
    LONG mm3, 80
    WORD top, 88
    emms
    fxsave AREA
    WORD ftw, 4
    NL
    ret
.data
.align 16
pattern:    .long 0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f
            .long 0x10111213, 0x14151617, 0x18191a1b, 0x1c1d1e1f
word:       .long 0, 0, 0, 0
