# LAR, LSL, VERR, VERW, ARPL and what they say of each kind of descriptor, from ring 0 and ring 3; SGDT and relatives.
.include "payload.inc"
.macro ASK title, selector
    PRINT "\title:"
    mov $\selector, %ecx
    call ask
.endm
.text
.code32
.global main
main:
    SETDESC SPARE+8, 0, 0x1234, 0x91, 0x4           # read-only
    SETDESC SPARE+16, 0, 0xfffff, 0x99, 0xc         # execute-only
    SETDESC SPARE+24, 0, 0xfffff, 0x9f, 0xc         # conforming
    SETDESC SPARE+32, 0, 0x27, 0x82, 0              # LDT
    SETDESC SPARE+40, 0, 0x67, 0x89, 0              # available task
    SETGATE gdt+SPARE+48, K32, 0x1000, 0x8c         # call gate
    SETDESC SPARE+56, 0, 0x67, 0x85, 0              # task gate
    SETDESC SPARE+64, 0, 0x67, 0x8e, 0              # interrupt gate, which cannot be here
    SETDESC SPARE+72, 0, 0xfff, 0xf7, 0xc           # expand-down, ring 3
    call asks
    PRINT "ring 3\n"
    movl $0x3002, user_flags                        # IOPL 3: printing needs ports
    USER
    call asks
    KERNEL
    movl $2, user_flags
    PRINT "arpl"
    mov $0x10, %eax
    mov $0x23, %ecx
    arpl %cx, %ax
    SHOWFL 0x40
    SHOW ax, %eax
    mov $0x13, %eax
    mov $0x20, %ecx
    arpl %cx, %ax
    SHOWFL 0x40
    SHOW ax, %eax
    NL
    str %eax
    PRINT "str"
    SHOW tr, %eax
    sldt %eax
    SHOW ldt, %eax
    smsw %eax
    and $0xffff, %eax
    SHOW msw, %eax
    sgdt PAGES
    movzwl PAGES, %eax
    SHOW gdt, %eax
    sidt PAGES
    movzwl PAGES, %eax
    SHOW idt, %eax
    NL
    ret

asks:
    ASK "null", 0
    ASK "code", K32
    ASK "data", KDATA
    ASK "ring 3 code", U32
    ASK "ring 3 data", UDATA
    ASK "task in use", TSS
    ASK "read-only", SPARE + 8
    ASK "execute-only", SPARE + 16
    ASK "conforming", SPARE + 24
    ASK "LDT", SPARE + 32
    ASK "available task", SPARE + 40
    ASK "call gate", SPARE + 48
    ASK "task gate", SPARE + 56
    ASK "interrupt gate", SPARE + 64
    ASK "expand-down", SPARE + 72
    ASK "beyond", 0x108
    ASK "no LDT", 0xc
    ret

ask:
    mov $0xeeeeeeee, %eax
    lar %ecx, %eax
    jnz 1f
    and $0xf0ff00, %eax                             # the limit's bits are undefined
    SHOW lar, %eax
1:  mov $0xeeeeeeee, %eax
    lsl %ecx, %eax
    jnz 1f
    SHOW lsl, %eax
1:  verr %cx
    jnz 1f
    PRINT " verr"
1:  verw %cx
    jnz 1f
    PRINT " verw"
1:  cmp $0xeeeeeeee, %eax
    NL
    ret
