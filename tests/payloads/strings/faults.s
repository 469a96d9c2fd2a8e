# String instructions interrupted by a page fault in the middle: registers at the fault, restart after it.
.include "payload.inc"
.set LIN, 0x400000
.macro REGS
    SHOW ecx, %ecx
    SHOW esi, %esi
    SHOW edi, %edi
    NL
.endm
.macro PART title, count, source, destination, instruction
    TRY "\title"
    mov $\count, %ecx
    mov $\source, %esi
    mov $\destination, %edi
    \instruction
    END
    REGS
.endm
.text
.code32
.global main
main:
    # Two pages at LIN, then a hole, then one page.
    movl $0x83, TABLES
    movl $TABLES + 0x1003, TABLES + 4
    movl $PAGES + 0x1003, TABLES + 0x1000
    movl $PAGES + 0x2003, TABLES + 0x1004
    movl $PAGES + 0x4003, TABLES + 0x100c
    mov $TABLES, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80010000, %eax
    mov %eax, %cr0
    PART "rep movsb out of its page", 16, PAGES, LIN + 0x1ff8, "rep movsb"
    PART "rep movsl out of its page", 16, PAGES, LIN + 0x1ff8, "rep movsl"
    PART "rep movsl across the border", 16, PAGES, LIN + 0x1ffa, "rep movsl"
    PART "rep movsl from a missing page", 16, LIN + 0x1ff0, PAGES, "rep movsl"
    PART "rep movsw backwards out of its page", 16, PAGES + 64, LIN + 0x3004, "std; rep movsw"
    cld
    mov $0x41, %al
    PART "rep stosb out of its page", 0x3000, PAGES, LIN, "rep stosb"
    PART "rep stosl out of its page", 0x3000, PAGES, LIN + 4, "rep stosl"
    PART "rep lodsb", 16, LIN + 0x1ff9, PAGES, "rep lodsb"
    PART "repne scasb", 0x2000, PAGES, LIN + 0x1ff0, "xor %eax, %eax; movb $0, LIN + 0x1ff8; cld; repne scasb"
    PART "repe scasb into the hole", 0x2000, PAGES, LIN + 0x1fff, "movb $0, LIN + 0x1fff; xor %eax, %eax; repe scasb"
    PART "repe cmpsb into the hole", 0x20, LIN + 0x1ffc, PAGES + 0x2ffc, "repe cmpsb"
    PART "rep insb keeps its count", 4, PAGES, LIN + 0x1ffe, "mov $0x61, %edx; rep insb"
    PART "rep outsb into the hole", 4, LIN + 0x1ffe, PAGES, "mov $0x80, %edx; rep outsb"
    PART "overlap forward", 8, PAGES, PAGES + 1, "movl $0x04030201, PAGES; rep movsb"
    mov PAGES + 5, %eax
    SHOW smeared, %eax
    NL
    PART "overlap backwards", 8, PAGES + 7, PAGES + 8, "movl $0x04030201, PAGES; std; rep movsb"
    cld
    mov PAGES + 1, %eax
    SHOW moved, %eax
    NL
    PART "zero count reads nothing", 0, LIN + 0x2000, LIN + 0x2000, "rep movsb"
    PART "zero count of scasb leaves the flags", 0, PAGES, PAGES, "stc; repne scasb; sbb %eax, %eax"
    SHOW carry, %eax
    NL
    PART "16-bit count wraps at 16 bits", 0x10002, 0x10600, 0x10700, "addr16 rep movsb"
    PRINT "restarted after the page came: "
    HOOK 14, map_page
    mov $0x3000, %ecx
    mov $LIN, %edi
    mov $0x55, %al
    rep stosb
    REGS
    mov LIN + 0x2000, %eax
    SHOW value, %eax
    NL
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    ret
map_page:
    PRINT "fault"
    mov F_ECX(%ebp), %eax
    SHOW ecx, %eax
    PRINT ", "
    movl $PAGES + 0x9003, TABLES + 0x1008
    invlpg LIN + 0x2000
    ret
