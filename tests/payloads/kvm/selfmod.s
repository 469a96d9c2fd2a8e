# User code that changes: in its own page, made on a page that is then executed, and changed through another address.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set MADE, SMALL + 0x10000          # code is written here
.set ALIAS, SMALL + 0x20000         # the same page of RAM
.set PTE, TABLES + 0x1000 + ((0x300000 + 0x10000 - 0x200000) >> 12) * 8
.set OTHER_PTE, TABLES + 0x1000 + ((0x300000 + 0x20000 - 0x200000) >> 12) * 8
PROGRAM
    mov PTE, %rax
    mov %rax, OTHER_PTE
    HOOK USER_CALL, turn_page
    ENTER 500000
# The page of %rax: 0 data, 1 code, 2 both. In the frame.
turn_page:
    mov $0x310000, %edx
    cmpl $1, Q_RAX(%rbp)
    jb 1f
    je 2f
    or $7, %rdx
    jmp 3f
1:  mov $0x8000000000310007, %rdx
    jmp 3f
2:  or $5, %rdx
3:  mov %rdx, PTE
    mov $MADE, %rdx
    invlpg (%rdx)
    ret

CODE
program:
    # Code made anew for each round: a loop with constants in it, and a return.
    mov $60, %r12d
    mov $0x1234, %r13
1:  xor %eax, %eax
    int $USER_CALL
    lea template(%rip), %rsi
    mov $MADE, %rdi
    mov $template_end - template, %ecx
    rep movsb
    mov %r13d, MADE + constant - template
    mov $1, %eax
    int $USER_CALL
    mov $MADE, %eax
    call *%rax
    dec %r12d
    jnz 1b
    mov %r13, made(%rip)
    # Changed through its other address while the first is executable.
    mov $60, %r12d
1:  mov %r13d, ALIAS + constant - template
    addb $2, ALIAS + shift - template
    andb $0x1f, ALIAS + shift - template
    mov $MADE, %eax
    call *%rax
    dec %r12d
    jnz 1b
    mov %r13, aliased(%rip)
    # A page that is written and executed: each pass changes the next one's instruction.
    mov $2, %eax
    int $USER_CALL
    mov $20, %r12d
1:  mov $MADE, %eax
    call *%rax
    mov %r13d, MADE + constant - template
    dec %r12d
    jnz 1b
    mov %r13, both(%rip)
    # Code that changes itself in each turn.
    lea self(%rip), %rsi
    mov $MADE, %rdi
    mov $self_end - self, %ecx
    rep movsb
    mov $60000, %ecx
    xor %r13d, %r13d
    mov $MADE, %eax
    call *%rax
    mov %r13, changed(%rip)
    KERNEL
    PRINT64 "result:"
    SHOW64 made, made
    SHOW64 aliased, aliased
    SHOW64 both, both
    SHOW64 changed, changed
    FINISH
template:
    mov $200000, %ecx
1:  .byte 0x49, 0x81, 0xc5          # ADD $constant, %r13
constant:
    .long 0
    .byte 0x49, 0xc1, 0xc5          # ROL $shift, %r13
shift:
    .byte 7
    imul $0x10dcd, %r13, %r13
    dec %ecx
    jnz 1b
    ret
template_end:
self:
    .byte 0x49, 0x81, 0xc5
1:  .long 1
    addl $3, 1b(%rip)
    rol $1, %r13
    dec %ecx
    jnz self
    ret
self_end:
END_CODE
DATA
made:   .quad 0
aliased: .quad 0
both:   .quad 0
changed: .quad 0
