# The features that rrvmm-x86-v1 promises and those it must not show; leaves stay within their maxima.
#! golden: QEMU's processor is another; the promise is docs/cpu-model.md
.include "payload.inc"
# FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2
.set EDX1, 0x078bfbff
# SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT TSC-deadline XSAVE
.set ECX1, 0x05982201
# PCLMUL MONITOR FMA PCID x2APIC MOVBE AES AVX F16C RDRAND hypervisor
.set NOT_ECX1, 0xf2421008 | 2
.text
.code32
.global main
main:
    xor %eax, %eax
    cpuid
    cmp $0xd, %eax
    setae %al
    movzbl %al, %eax
    PRINT "leaves to 13:"
    SHOW yes, %eax
    mov %ebx, PAGES
    mov %edx, PAGES + 4
    mov %ecx, PAGES + 8
    movb $0, PAGES + 12
    PRINT " "
    mov $PAGES, %esi
    call puts
    NL
    mov $1, %eax
    cpuid
    PRINT "leaf 1:"
    SHOW signature, %eax
    mov %edx, %eax
    and $EDX1, %eax
    xor $EDX1, %eax
    SHOW missing, %eax
    mov %ecx, %eax
    and $ECX1, %eax
    xor $ECX1, %eax
    SHOW missing, %eax
    mov %ecx, %eax
    and $NOT_ECX1, %eax
    SHOW extra, %eax
    NL
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    PRINT "leaf 7:"
    mov %ebx, %eax
    and $0x00100080, %eax       # SMAP, SMEP
    SHOW has, %eax
    mov %ebx, %eax
    and $0x214d8938, %eax       # BMI1 HLE AVX2 BMI2 RTM RDSEED ADX CLFLUSHOPT AVX512F SHA and the like
    SHOW extra, %eax
    NL
    mov $0x80000001, %eax
    cpuid
    PRINT "long mode, NX, SYSCALL in 64-bit mode, 1 GiB pages, LAHF:"
    mov %edx, %eax
    and $0x24100000, %eax
    SHOW edx, %eax
    and $1, %ecx
    SHOW ecx, %ecx
    NL
    mov $0x80000007, %eax
    cpuid
    PRINT "invariant TSC:"
    and $0x100, %edx
    SHOW edx, %edx
    NL
    mov $0x80000008, %eax
    cpuid
    and $0xffff, %eax
    PRINT "address widths:"
    SHOW eax, %eax
    NL
    mov $0x15, %eax
    cpuid
    PRINT "TSC frequency:"
    xchg %eax, %ecx
    mul %ebx
    div %ecx
    SHOW hertz, %eax
    NL
    mov $0xd, %eax
    xor %ecx, %ecx
    cpuid
    PRINT "XSAVE:"
    SHOW features, %eax
    SHOW size, %ecx
    NL
    ret
