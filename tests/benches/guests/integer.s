# Register arithmetic: a generator of random numbers, a bitwise CRC, Collatz sequences with a division here and there.
.include "payload.inc"
.set TURNS, 4000000
.text
.code32
.global main
main:
    call enter_long
.code64
    mov $TURNS, %ebp
    mov $0x9e3779b97f4a7c15, %rbx
    xor %r8, %r8                # checksum
    mov $0xffffffff, %r9d       # CRC
1:  mov %rbx, %rax
    shl $13, %rax
    xor %rax, %rbx
    mov %rbx, %rax
    shr $7, %rax
    xor %rax, %rbx
    mov %rbx, %rax
    shl $17, %rax
    xor %rax, %rbx
    xor %ebx, %r9d
    mov $8, %ecx
2:  mov %r9d, %eax
    and $1, %eax
    neg %eax
    and $0xedb88320, %eax
    shr $1, %r9d
    xor %eax, %r9d
    dec %ecx
    jnz 2b
    mov %ebx, %eax
    and $0xffff, %eax
    or $1, %eax
    mov $24, %ecx
3:  test $1, %al
    jz 4f
    lea 1(%rax, %rax, 2), %rax
    jmp 5f
4:  shr $1, %rax
5:  inc %r8
    cmp $1, %rax
    je 6f
    sub $1, %ecx
    jnz 3b
6:  add %rax, %r8
    test $15, %bl
    jnz 7f
    mov %rbx, %rax
    xor %edx, %edx
    mov $10007, %ecx
    div %rcx
    imul %rdx, %rax
    add %rax, %r8
    adc $0, %r8
7:  dec %ebp
    jnz 1b
    SHOW64 sum, %r8
    SHOW64 crc, %r9
    NL64
    jmp finish64
