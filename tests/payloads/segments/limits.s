# Segment limits: expand-up and expand-down, byte and page granularity, 16-bit and 32-bit, by the size of the access.
#! golden: TCG checks no limits (SDM 3A 5.3, 5.5; stack references give #SS, 6.15)
.include "payload.inc"

# ds: base PAGES, the given limit and kind.
.macro DATA limit, access, flags
    SETDESC SPARE, PAGES, \limit, \access, \flags
.endm
.macro AT title, instruction:vararg
    mov $SPARE, %eax                    # a fault left flat segments
    mov %eax, %es
    TRY "\title"
    \instruction
    END
.endm
.text
.code32
.global main
main:
    DATA 0xfff, 0x93, 4
    AT "last byte", movb %es:0xfff, %al
    AT "byte beyond", movb %es:0x1000, %al
    AT "last word", movw %es:0xffe, %ax
    AT "word across", movw %es:0xfff, %ax
    AT "last dword", movl %es:0xffc, %eax
    AT "dword across", movl %es:0xffd, %eax
    AT "write across", movl %eax, %es:0xfff
    AT "wraps below zero", movl %es:-2, %eax
    DATA 0xfff, 0x91, 4
    AT "read of read-only", movl %es:0, %eax
    AT "write of read-only", movl %eax, %es:0
    DATA 0, 0x93, 0xc
    AT "page granularity, inside", movl %es:0xffc, %eax
    AT "page granularity, outside", movl %es:0xffd, %eax
    DATA 0xffff, 0x97, 4
    AT "expand-down, at the limit", movb %es:0xffff, %al
    AT "expand-down, above the limit", movb %es:0x10000, %al
    AT "expand-down, across the limit", movw %es:0xffff, %ax
    AT "expand-down, across the top", movw %es:-1, %ax
    DATA 0xfff, 0x97, 0
    AT "expand-down of 64 KiB, inside", movl %es:0xfffc, %eax
    AT "expand-down of 64 KiB, outside", movl %es:0xfffd, %eax
    AT "expand-down of 64 KiB, beyond", movb %es:0x10000, %al
    DATA 0, 0x97, 0xc
    AT "expand-down by pages, below", movb %es:0xfff, %al
    AT "expand-down by pages, above", movb %es:0x1000, %al
    DATA 0x1f, 0x93, 4
    mov $SPARE, %eax
    mov %eax, %es
    TRY "string stops at the limit"
    mov $PAGES + 0x100, %esi
    mov $0x1c, %edi
    mov $8, %ecx
    rep movsb
    END
    SHOW ecx, %ecx
    SHOW edi, %edi
    NL
    SETDESC SPARE+8, 0, 0x3ffff, 0x93, 4
    TRY "across the limit of the stack segment"
    mov $SPARE + 8, %eax
    mov $0x20000, %esp
    mov %eax, %ss
    mov %ss:0x3fffe, %eax
    END
    TRY "ebp goes by the stack segment"
    mov $SPARE + 8, %eax
    mov $0x20000, %esp
    mov %eax, %ss
    mov $0x40000, %ebp
    movb (%ebp), %al
    END
    SETDESC SPARE+16, code, code_end-code-1, 0x9b, 4
    TRY "code runs off its limit"
    ljmp $SPARE + 16, $0
    END
    TRY "jump beyond the limit"
    ljmp $SPARE + 16, $0x1000
    END
    ret
code:
    nop
    nop
    nop
code_end:
