# Code that changes itself: in the same block, ahead, behind, in another page, across pages, through an alias and by REP.
.include "payload.inc"
.set CODE, PAGES + 0x10000
.text
.code32
.global main
main:
    PRINT "next instruction:"
    mov $0, %eax
    movb $0x42, 1f
1:  mov $1, %edx            # becomes inc %edx and four bytes more
    PRINT " ran\n"

    PRINT "immediate ahead in the same block:"
    movl $0x600d, 1f + 1
    nop
    nop
1:  mov $0xbad, %eax
    SHOW eax, %eax
    NL

    PRINT "loop that counts in its own immediate:"
    mov $5, %ecx
    xor %edx, %edx
1:  mov $0, %eax
    incl 1b + 1
    add %eax, %edx
    loop 1b
    SHOW sum, %edx
    SHOW last, %eax
    NL

    PRINT "function rewritten between calls:"
    mov $CODE, %edi
    movl $0xc3c0ff40, (%edi)    # inc %eax; inc %eax; ret
    xor %eax, %eax
    call *%edi
    movb $0x90, (%edi)
    call *%edi
    movb $0x48, (%edi)
    call *%edi
    SHOW eax, %eax
    NL

    PRINT "instruction across two pages, each half changed:"
    mov $CODE + 0xffd, %edi
    movb $0xb8, (%edi)
    movl $0x11223344, 1(%edi)
    movb $0xc3, 5(%edi)
    call *%edi
    SHOW eax, %eax
    movb $0x55, CODE + 0xfff
    call *%edi
    SHOW eax, %eax
    movb $0x66, CODE + 0x1001
    call *%edi
    SHOW eax, %eax
    movb $0xba, (%edi)
    xor %edx, %edx
    call *%edi
    SHOW edx, %edx
    NL

    PRINT "by rep movsb over the code that follows:"
    mov $replacement, %esi
    mov $1f, %edi
    mov $replacement_end - replacement, %ecx
    rep movsb
1:  mov $1, %eax
    mov $2, %edx
    SHOW eax, %eax
    SHOW edx, %edx
    NL

    PRINT "by a push:"
    mov %esp, %ebx
    mov $CODE + 0x104, %esp
    push $0xc340c031            # xor %eax, %eax; inc %eax; ret
    mov %ebx, %esp
    call CODE + 0x100 - 0       # absolute, by the linker
    SHOW eax, %eax
    NL

    # Through an alias: linear 0x40000000 shows the code's page by other tables.
    movl $0x83, TABLES
    movl $PAGES - 0x300000 + 0x83, TABLES + 4 * 256
    mov $TABLES, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    PRINT "through an alias:"
    movl $0xc3c0ff40, CODE
    xor %eax, %eax
    mov $CODE, %edi
    call *%edi
    movb $0x90, 0x40000000 + CODE
    call *%edi
    SHOW eax, %eax
    mov $0x40000000 + CODE, %edi
    call *%edi
    movb $0x48, CODE
    call *%edi
    SHOW eax, %eax
    NL

    PRINT "page remapped under the code:"
    movl $TABLES + 0x1003, TABLES + 4 * 257
    movl $CODE + 0x2003, TABLES + 0x1000
    movl $0xc301b0, CODE + 0x2000       # mov $1, %al; ret
    movl $0xc302b0, CODE + 0x3000       # mov $2, %al; ret
    xor %eax, %eax
    mov $0x40400000, %edi
    call *%edi
    SHOW eax, %eax
    movl $CODE + 0x3003, TABLES + 0x1000
    invlpg 0x40400000
    call *%edi
    SHOW eax, %eax
    NL

    PRINT "data beside code in one page:"
    movl $0xc340, CODE + 0x2000
    xor %eax, %eax
    mov $CODE + 0x2000, %edi
    mov $100, %ecx
1:  call *%edi
    mov %eax, 0x800(%edi)
    loop 1b
    mov 0x800(%edi), %ebx
    SHOW count, %ebx
    NL
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    ret

replacement:
    mov $0x101, %eax
    mov $0x202, %edx
replacement_end:
