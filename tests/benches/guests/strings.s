# String instructions with REP: copies and fills of 16 bytes to 8 KiB, comparisons, searches.
.include "payload.inc"
.set TURNS, 6000
.set SOURCE, 0x800000
.set TARGET, 0x900010
.text
.code32
.global main
main:
    call enter_long
.code64
    cld
    mov $SOURCE, %edi
    mov $0x4000, %ecx
    mov $0x5a, %eax
    rep stosb
    mov $TURNS, %ebp
    xor %r8, %r8
1:  mov $16, %ebx
2:  mov $SOURCE, %esi
    mov $TARGET, %edi
    mov %ebx, %ecx
    rep movsb
    mov $SOURCE, %esi
    mov $TARGET + 0x3000, %edi
    mov %ebx, %ecx
    shr $3, %ecx
    rep movsq
    mov $TARGET + 0x6000, %edi
    mov %ebx, %ecx
    shr $2, %ecx
    mov %ebp, %eax
    rep stosl
    shl $1, %ebx
    cmp $8192, %ebx
    jbe 2b
    test $7, %ebp
    jnz 3f
    mov $SOURCE, %esi
    mov $TARGET, %edi
    mov $256, %ecx
    repe cmpsb
    add %rcx, %r8
    mov $TARGET, %edi
    mov $256, %ecx
    xor %eax, %eax
    repne scasb
    add %rcx, %r8
3:  add TARGET + 0x6010, %r8
    dec %ebp
    jnz 1b
    SHOW64 sum, %r8
    NL64
    jmp finish64
