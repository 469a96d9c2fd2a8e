# #MF of a pending x87 exception (with CR0.NE), #XM of SSE, and what they leave behind.
#! differs: #MF invalid, at the next x87 instruction => #MF at +000e | SDM 1 8.7: waiting instructions check; TCG only at FWAIT
#! differs: status 1 => status=0000b084 | SDM 1 8.5.1: an unmasked exception leaves operands and stack alone; TCG pops
#! differs: status 2 => status=00003000 | the same
#! differs: #MF stack underflow => #MF at +000a | SDM 1 8.5.1.1: TCG raises no stack faults
#! differs: status 4 => status=000080c1 | the same
#! differs: #MF by fldcw that unmasks => #MF at +000e | SDM 2A, FLDCW
#! differs: status 5 => status=0000b884 | the same
#! differs: destination => xmm0=3f800000 | SDM 1 11.5.2
#! differs: #XM divide by zero => #XM at +0012 | SDM 1 11.5.2: TCG raises no SSE exceptions
#! differs: #XM keeps the destination => #XM at +000f | SDM 1 11.5.2
#! differs: #XM invalid => #XM at +000a | SDM 1 11.5.2
#! differs: #UD unmasked without OSXMMEXCPT => #UD at +001d | SDM 3A 2.5, CR4.OSXMMEXCPT
#! differs: #GP mxcsr reserved bit => #GP(0000) at +0000 | SDM 1 10.2.3
.include "payload.inc"
.macro STATUS number
    PRINT "status \number:"
    call status
.endm
.text
.code32
.global main
main:
    mov %cr0, %eax
    and $~0xc, %eax
    or $0x22, %eax              # NE, MP
    mov %eax, %cr0
    mov %cr4, %eax
    or $0x600, %eax             # OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    fninit
    TRY "#MF divide by zero, at the next instruction that waits"
    fldcw unmasked_zero
    fld1
    fldz
    fdivrp
    nop
    fwait
    END
    STATUS 1
    TRY "no #MF at an instruction that does not wait"
    fnstsw %ax
    fnstcw word
    fnclex
    fwait
    END
    STATUS 2
    TRY "#MF invalid, at the next x87 instruction"
    fninit
    fldcw unmasked_invalid
    fldz
    fldz
    fdivp
    fld1
    END
    STATUS 3
    TRY "#MF stack underflow"
    fninit
    fldcw unmasked_invalid
    fstp %st(0)
    fwait
    END
    STATUS 4
    TRY "#MF by fldcw that unmasks"
    fninit
    fld1
    fldz
    fdivrp
    fldcw unmasked_zero
    fwait
    END
    STATUS 5
    fninit
    TRY "#XM divide by zero"
    ldmxcsr sse_unmasked
    movss one, %xmm0
    xorps %xmm1, %xmm1
    divss %xmm1, %xmm0
    END
    call mxcsr
    TRY "#XM keeps the destination"
    ldmxcsr sse_unmasked
    movss one, %xmm0
    divss %xmm1, %xmm0
    END
    movss %xmm0, word
    PRINT "destination:"
    SHOW xmm0, word
    NL
    TRY "#XM invalid"
    ldmxcsr sse_unmasked
    xorps %xmm0, %xmm0
    divss %xmm0, %xmm0
    END
    call mxcsr
    TRY "#UD unmasked without OSXMMEXCPT"
    mov %cr4, %eax
    and $~0x400, %eax
    mov %eax, %cr4
    ldmxcsr sse_unmasked
    movss one, %xmm0
    xorps %xmm1, %xmm1
    divss %xmm1, %xmm0
    END
    TRY "#GP mxcsr reserved bit"
    ldmxcsr bad_mxcsr
    END
    TRY "#GP movaps off its alignment"
    movaps word + 4, %xmm0
    END
    TRY "movups off its alignment"
    movups word + 4, %xmm0
    END
    ret

status:
    fnstsw word
    SHOW status, word
    NL
    ret
mxcsr:
    stmxcsr word
    SHOW mxcsr, word
    NL
    ret

.data
.align 16
word:               .long 0, 0, 0, 0, 0, 0, 0, 0
one:                .float 1.0
unmasked_zero:      .word 0x37b
unmasked_invalid:   .word 0x37e
sse_unmasked:       .long 0x1d00 & ~0x80
bad_mxcsr:          .long 0x10000
