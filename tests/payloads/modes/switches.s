# From real mode to protected, to long, to compatibility mode and back, with what each prints.
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "protected\n"
    mov $in_real, %ebx
    call call16
    PRINT "protected again\n"
    call enter_long
.code64
    PRINT64 "long\n"
    mov $0x123456789abcdef0, %r15
    mov %r15, %rax
    ljmp *far_compat
.section .rodata
far_compat: .long compat, K32
.text
.code32
compat:
    PRINT "compatibility:"
    SHOW eax, %eax
    inc %eax                    # 0x40 is INC here and REX in 64-bit mode
    SHOW eax, %eax
    NL
    TRY "fault in compatibility mode"
    ud2
    END
    TRY "page fault in compatibility mode"
    mov $0xffffffff, %esi
    movb $0, 1(%esi)
    movb $0, 2(%esi)
    END
    ljmp $K64, $1f
.code64
1:  PRINT64 "long again:"
    SHOW64 r15, %r15
    SHOW64L eax, %eax
    NL64
    # Ring 3, 64-bit and compatibility.
    TRY64 "ring 3"
    USER64
    mov %cs, %ebx
    lea 1f(%rip), %rcx
1:  KERNEL
    END64
    SHOW64 cs, %rbx
    shr $30, %rcx
    SHOW64 window, %rcx
    NL64
    call enter_compat_user
.code32
    mov %cs, %ebx
    mov $-1, %ecx
    KERNEL
    SHOW cs, %ebx
    SHOW ecx, %ecx
    NL
    ljmp $K64, $1f
.code64
1:  TRY64 "fault in ring 3, compatibility"
    call enter_compat_user
.code32
    nop
    ud2
    KERNEL
.code64
    END64
    # What 64-bit mode has no more.
    TRY64 "#UD push of a segment"
    .byte 0x06
    END64
    TRY64 "#UD aaa"
    .byte 0x37
    END64
    TRY64 "#UD into"
    .byte 0xce
    END64
    TRY64 "#UD bound"
    .byte 0x62, 0x05, 0, 0, 0, 0
    END64
    TRY64 "#UD far call with an immediate"
    .byte 0x9a, 0, 0, 0, 0, 8, 0
    END64
    TRY64 "#UD les"
    .byte 0xc4, 0x05, 0, 0, 0, 0
    END64
    TRY64 "segment bases are zero but for fs and gs"
    movl $0x11, PAGES
    movl $0x22, PAGES + 0x10
    movl $0x33, PAGES + 0x28
    WRMSR64 0xc0000100, PAGES + 0x10, 0
    WRMSR64 0xc0000101, PAGES + 0x20, 0
    WRMSR64 0xc0000102, PAGES + 0x10, 0
    END64
    mov %ds:PAGES, %eax
    mov %fs:0, %ebx
    mov %gs:8, %ecx
    SHOW64L ds, %eax
    SHOW64L fs, %ebx
    SHOW64L gs, %ecx
    NL64
    TRY64 "swapgs"
    swapgs
    mov %gs:0, %edx
    swapgs
    mov %gs:8, %esi
    END64
    SHOW64L kernel, %edx
    SHOW64L user, %esi
    NL64
    TRY64 "loading a selector replaces the base"
    mov $KDATA, %eax
    mov %eax, %fs
    mov %fs:PAGES + 0x10, %ebx
    END64
    SHOW64L fs, %ebx
    NL64
    TRY64 "32-bit results clear the upper half, 16-bit ones do not"
    mov $-1, %rax
    mov %eax, %eax
    mov $-1, %rbx
    mov $0, %bx
    mov $-1, %rcx
    mov $0, %ch
    mov $-1, %rdx
    xor %edx, %edx
    END64
    SHOW64 rax, %rax
    SHOW64 rbx, %rbx
    SHOW64 rcx, %rcx
    SHOW64 rdx, %rdx
    NL64
    TRY64 "push of 16 bits, iretq with a stack switch"
    mov %rsp, %rbx
    pushw $0x1234
    mov %rsp, %rcx
    sub %rbx, %rcx
    pop %dx
    push $KDATA
    push %rbx
    push $2
    push $K64
    push $1f
    iretq
1:  sub %rsp, %rbx
    END64
    SHOW64 pushed, %rcx
    SHOW64 moved, %rbx
    NL64
    TRY64 "iretq aligns nothing, interrupts align the stack"
    HOOK 0x91, look
    sub $5, %rsp
    mov %rsp, %rbx
    int $0x91
    sub %rsp, %rbx
    add $5, %rsp
    END64
    SHOW64 frame, seen
    SHOW64 moved, %rbx
    NL64
    TRY64 "null stack segment"
    xor %eax, %eax
    mov %eax, %ss
    push $1
    pop %rcx
    int $0x91
    mov %ss, %ebx
    mov $KDATA, %eax
    mov %eax, %ss
    END64
    SHOW64 ss, %rbx
    NL64
    call leave_long
.code32
    PRINT "protected at last\n"
    mov $in_real, %ebx
    call call16
    ret

look:
.code64
    mov Q_SS(%rbp), %rax
    lea Q_SS + 8(%rbp), %rax
    and $15, %eax
    mov %rax, seen
    ret

.section .low, "awx"
.code16
in_real:
    PRINT16 "real:"
    mov $0x12345678, %eax
    push %eax
    pop %bx
    pop %cx
    mov %bx, %ax
    call hex16_real
    PRINT16 " sp="
    mov %sp, %ax
    call hex16_real
    PRINT16 " base of cs by a far return:"
    pushw $0x7ff
    pushw $1f - 0x7ff0
    lret
1:  mov %cs, %ax
    ljmp $0, $1f
1:  call hex16_real
    PRINT16 "\n"
    ret

.data
seen:       .quad 0
