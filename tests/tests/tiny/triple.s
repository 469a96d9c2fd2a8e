# A guest that prints a line and then shuts its processor down: no gate for the fault, nor for the double fault.

        .set MAGIC, 0x1badb002
        .set HAS_ADDRESSES, 1 << 16
        .set COM1, 0x3f8

        .text
        .globl _start
header: .long MAGIC, HAS_ADDRESSES, -(MAGIC + HAS_ADDRESSES)
        .long header, header, 0, 0, _start

_start: mov     $COM1, %edx
        mov     $line, %esi
1:      lodsb
        out     %al, %dx
        cmp     $'\n', %al
        jne     1b
        mov     $0x5eed, %eax
        lidt    nothing
        ud2

line:   .ascii  "last words\n"
        .p2align 3
        .word   0
nothing:
        .word   0x7ff
        .long   zeros
        .p2align 3
zeros:  .fill   0x800, 1, 0
