# Page faults of user code: pages mapped on demand, copied on write, taken away and given back, over and over.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set FIRST, USER_WINDOW + 0x10000000    # 512 pages that are absent at first
.set PTES, TABLES + 0x2000
.set FRAMES, 256                        # frames of PAGES, dealt out in turn
.set OWNERS, TABLES + 0x4000            # the entry that has each frame
PROGRAM
    mov window_directory, %rdi
    movq $PTES + 7, 128 * 8(%rdi)
    HOOK 14, on_fault
    HOOK USER_CALL, share
    ENTER 900000

# A page fault: no page gets the next frame, a read-only page a copy. The frame's owner loses it.
on_fault:
    incq faults
    mov Q_ERROR(%rbp), %rax
    add %rax, errors
    mov %cr2, %r8
    mov %r8, %r9
    sub $FIRST, %r9
    shr $12, %r9
    cmp $512, %r9
    jae report64
    lea PTES(, %r9, 8), %r10
    mov (%r10), %r11                # what was there
    mov next_frame, %eax
    inc %eax
    and $FRAMES - 1, %eax
    mov %eax, next_frame
    mov %eax, %edi
    shl $12, %edi
    add $PAGES, %edi
    lea OWNERS(, %rax, 8), %rcx
    mov (%rcx), %rdx
    mov %r10, (%rcx)
    test %rdx, %rdx
    jz 1f
    cmp %r10, %rdx
    je 1f
    # Taken away, if it is still this frame that the entry has.
    mov (%rdx), %rsi
    and $0xfffff000, %esi
    cmp %edi, %esi
    jne 1f
    movq $0, (%rdx)
    sub $PTES, %rdx
    shl $9, %rdx
    add $FIRST, %rdx
    invlpg (%rdx)
1:  test $1, %r11
    jz 2f
    # Copy on write.
    incq copies
    mov %r11, %rsi
    and $0xfffff000, %esi
    mov $512, %ecx
    push %rdi
    rep movsq
    pop %rdi
    jmp 3f
2:  push %rdi
    mov $512, %ecx
    mov %r9, %rax
    imul mixer, %rax
    rep stosq
    pop %rdi
3:  mov $0x8000000000000007, %rax
    or %rdi, %rax
    testl $2, Q_ERROR(%rbp)         # for a read, read-only
    jnz 4f
    and $~2, %rax
4:  mov %rax, (%r10)
    invlpg (%r8)
    ret

# Every page becomes read-only; each eighth is absent.
share:
    xor %ecx, %ecx
1:  mov PTES(, %rcx, 8), %rax
    and $~2, %rax
    test $7, %cl
    jnz 2f
    xor %eax, %eax
2:  mov %rax, PTES(, %rcx, 8)
    mov %rcx, %rdx
    shl $12, %rdx
    add $FIRST, %rdx
    invlpg (%rdx)
    inc %ecx
    cmp $512, %ecx
    jb 1b
    ret

CODE
program:
    mov $40, %r12d
    xor %r13d, %r13d
    mov $1, %r14d
9:  # Reads and writes all over the pages, some across a boundary.
    mov $600, %ecx
1:  imul $0x19660d, %r14d, %r14d
    add $0x3c6ef35f, %r14d
    mov %r14d, %eax
    shr $11, %eax
    and $0x1ffff8, %eax
    cmp $0x1fff00, %eax
    jae 2f
    test $0x700, %r14d
    jz 3f
    add FIRST(%rax), %r13
    jmp 2f
3:  xor %r13, FIRST + 3(%rax)
    rol $9, %r13
2:  dec %ecx
    jnz 1b
    # A string instruction over sixteen pages, faulting on its way.
    mov $FIRST + 0x40008, %rsi
    mov $FIRST + 0x80010, %rdi
    mov $0x10000 / 8, %ecx
    rep movsq
    add %rsi, %r13
    # A long computation in one page.
    mov $40000, %ecx
    movq $1, FIRST + 0x1000
1:  mov FIRST + 0x1000, %rax
    lea (%rax, %rax, 4), %rax
    add %rcx, %rax
    xor %rax, FIRST + 0x1000
    imul %r13, %rax
    add %rax, FIRST + 0x1008
    dec %ecx
    jnz 1b
    add FIRST + 0x1008, %r13
    int $USER_CALL
    dec %r12d
    jnz 9b
    KERNEL
    PRINT64 "result:"
    SHOW64 sum, %r13
    SHOW64 faults, faults
    SHOW64 errors, errors
    SHOW64 copies, copies
    FINISH
END_CODE
.data
.balign 8
faults:     .quad 0
errors:     .quad 0
copies:     .quad 0
next_frame: .quad 0
