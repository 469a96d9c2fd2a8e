# "Unreal" mode: a segment limit loaded in protected mode stays in real mode, until protected mode sets another.
.include "payload.inc"
.text
.code32
.global main
main:
    movl $0x600dda7a, PAGES + 0x1234
    mov $test, %ebx
    call call16
    mov PAGES + 0x1238, %eax
    SHOW stored, %eax
    NL
    ret
.section .low, "awx"
.code16
test:
    cli
    lgdtl pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    jmp 1f
1:  mov $KDATA, %bx
    mov %bx, %fs
    and $0xfe, %al
    mov %eax, %cr0
    jmp 1f
1:  xor %bx, %bx
    mov %bx, %fs                # the base becomes 0, the limit stays
    mov $PAGES + 0x1234, %edi
    mov %fs:(%edi), %eax
    PRINT16 "read:"
    call hex32_real
    addr32 movl $0x7e577e57, %fs:4(%edi)
    PRINT16 "\n"
    ret
pointer:
    .word 0xff
    .long gdt
