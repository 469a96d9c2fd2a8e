# Long mode: paging, entry and return, exceptions, printing.
.include "payload.inc"

.set WITH_ERROR, 0x00227d00

.bss
.align 4096
.global pml4
pml4:       .skip 4096
pdpt:       .skip 4096
pd:         .skip 4 * 4096
pdpt_user:  .skip 4096
.align 16
idt64:      .skip 256 * 16
.global idt64, tss64
tss64:      .skip 104
.skip 4096
ist_stack_top:
saved_sp:   .skip 8

.data
idt64_pointer:
    .word 256 * 16 - 1
    .quad idt64
.global idt64_pointer

.text
.code32
# From 32-bit protected mode without paging to 64-bit mode at the caller. Identity maps the first 4 GiB for ring 0 by
# 2 MiB pages; the GiB at USER_WINDOW shows the first GiB to ring 3 instead. Uses %eax, %ecx, %edx, %edi.
.global enter_long
enter_long:
    movl $pdpt + 3 + 4, pml4
    mov $pd, %eax
    or $3, %eax
    mov %eax, pdpt
    movl $pd + 0x2000 + 3, pdpt + 16
    movl $pd + 0x3000 + 3, pdpt + 24
    movl $pdpt_user + 7, pdpt + 8
    # pdpt_user serves as the page directory of the user window.
    mov $pd, %edi
    mov $0x83, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $pdpt_user, %edi
    mov $0x87, %eax
    mov $512, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov %cr4, %eax
    or $0x620, %eax             # PAE, OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x901, %eax             # SCE, LME, NXE
    wrmsr
    call idt64_fill
    movl $trap_stack_top, tss64 + 4
    movl $ist_stack_top, tss64 + 36
    movw $104, tss64 + 102
    mov %cr0, %eax
    or $0x80010000, %eax        # PG, WP
    mov %eax, %cr0
    lidt idt64_pointer
    SETDESC TSS, tss64, 103, 0x89, 0
    movl $0, gdt + TSS + 8
    movl $0, gdt + TSS + 12
    ljmp $K64, $1f
.code64
1:  mov $TSS, %eax
    ltr %ax
    mov %esp, %esp
    mov (%rsp), %eax
    add $4, %rsp
    jmp *%rax

# From 64-bit mode at the caller back to 32-bit protected mode without paging. Uses %eax, %ecx, %edx.
.global leave_long
leave_long:
    pop %rax
    ljmp *2f
1:
.code32
    mov %eax, saved_sp
    mov %cr0, %eax
    and $0x7ffeffff, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    rdmsr
    and $~0x901, %eax
    wrmsr
    mov %cr4, %eax
    and $~0x20, %eax
    mov %eax, %cr4
    call load_flat
    call traps_init
    jmp *saved_sp
.section .rodata
2:  .long 1b, K32
.text

idt64_fill:
    mov $idt64, %edi
    mov $stubs64, %eax
    mov $256, %ecx
1:  mov %ax, (%edi)
    movw $K64, 2(%edi)
    movw $0x8e00, 4(%edi)
    mov %eax, %edx
    shr $16, %edx
    mov %dx, 6(%edi)
    movl $0, 8(%edi)
    movl $0, 12(%edi)
    add $16, %eax
    add $16, %edi
    loop 1b
    movb $0xee, idt64 + 16 * 3 + 5
    movb $0xee, idt64 + 16 * 4 + 5
    movb $0xee, idt64 + 16 * 0x80 + 5
    movb $1, idt64 + 16 * 8 + 4         # the double fault has a stack of its own
    ret

.code64
.align 16
stubs64:
.set vector, 0
.rept 256
    .align 16
    .if vector > 31 || ((WITH_ERROR >> (vector & 31)) & 1) == 0
    push $0
    .endif
    push $vector
    jmp trap64
    .set vector, vector + 1
.endr

trap64:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rbp
    cld
    mov Q_VECTOR(%rbp), %eax
    mov hooks(, %rax, 8), %rcx
    test %rcx, %rcx
    jnz 1f
    cmp $0x80, %eax
    je leave_user64
    jmp report64
1:  call *%rcx
    mov %rbp, %rsp
    call pop_registers
    add $16, %rsp
    iretq

# Restores the registers of the frame the return address lies on.
pop_registers:
    popq return_ip
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    jmp *return_ip

# Back in ring 0 behind the `int $0x80`, in 64-bit or compatibility mode as the caller was.
leave_user64:
    mov Q_RIP(%rbp), %eax
    and $USER_WINDOW - 1, %eax
    mov %eax, user_far
    movl $K64, user_far + 4
    cmpl $U32, Q_CS(%rbp)
    jne 1f
    movl $K32, user_far + 4
1:  call flat64
    call pop_registers
    mov user_sp, %rsp
    push $2
    popf
    ljmp *user_far

flat64:
    mov $KDATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    ret

.global report64
report64:
    call trap_line64
    call flat64
    cmpl $0, try_resume
    je finish64
    mov %rbp, %rsp
    call pop_registers
    mov try_sp, %rsp
    push $2
    popf
    ljmp *try_resume

.global trap_line64
trap_line64:
    mov Q_VECTOR(%rbp), %eax
    cmp $32, %eax
    jae 1f
    lea names(, %rax, 4), %esi
    call puts64
    mov $WITH_ERROR, %ecx
    bt %eax, %ecx
    jnc 2f
    PRINT64 "("
    mov Q_ERROR(%rbp), %eax
    call hex16_64
    PRINT64 ")"
    jmp 2f
1:  PRINT64 "int "
    call hex8_64
2:  cmpl $8, Q_VECTOR(%rbp)
    je 3f
    mov Q_RIP(%rbp), %rax
    cmp $USER_WINDOW, %rax
    jb 7f
    sub $USER_WINDOW, %rax
7:  mov try_base, %ecx
    sub %rcx, %rax
    cmp $0x1000, %rax
    jae 8f
    PRINT64 " at +"
    call hex16_64
    jmp 3f
8:  PRINT64 " at "
    mov Q_RIP(%rbp), %rax
    call hex64
3:  cmpl $14, Q_VECTOR(%rbp)
    jne 4f
    mov %cr2, %rax
    SHOW64 cr2, %rax
4:  mov Q_CS(%rbp), %eax
    and $3, %eax
    jz 5f
    PRINT64 " cpl"
    add $'0', %al
    call putc64
5:  mov report_flags, %eax
    test %eax, %eax
    jz 6f
    and Q_RFLAGS(%rbp), %eax
    SHOW64L fl, %eax
6:  NL64
    ret

.global try_none64
try_none64:
    PRINT64 "ok\n"
    ret

.global finish64
finish64:
    PRINT64 "end\n"
    xor %eax, %eax
    outb %al, $0xf4
1:  cli
    hlt
    jmp 1b

# Returns to the caller in ring 3, 64-bit or (enter_compat_user) 32-bit, through the user window. Keeps the registers.
.global enter_user64
enter_user64:
    popq user_ip
    mov %rsp, user_sp
    push $UDATA
    push $user_stack_top + USER_WINDOW
    pushq user_flags
    push $U64
enter_user_end:
    pushq user_ip
    addq $USER_WINDOW, (%rsp)
    push %rax
    mov $UDATA, %eax
    mov %eax, %ds
    mov %eax, %es
    pop %rax
    iretq

.global enter_compat_user
enter_compat_user:
    popq user_ip
    mov %rsp, user_sp
    push $UDATA
    push $user_stack_top + USER_WINDOW
    pushq user_flags
    push $U32
    jmp enter_user_end

.global putc64, puts64, hex64, hex32_64, hex16_64, hex8_64
putc64:
    pushf
    push %rdx
    push %rax
    mov $0x3fd, %edx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov $0x3f8, %edx
    mov (%rsp), %eax
    out %al, %dx
    pop %rax
    pop %rdx
    popf
    ret

puts64:
    pushf
    push %rax
    push %rsi
    cld
1:  lodsb
    test %al, %al
    jz 2f
    call putc64
    jmp 1b
2:  pop %rsi
    pop %rax
    popf
    ret

hex64:
    pushf
    rol $32, %rax
    call hex32_64
    rol $32, %rax
    call hex32_64
    popf
    ret
hex32_64:
    pushf
    push %rax
    shr $16, %eax
    call hex16_64
    pop %rax
    call hex16_64
    popf
    ret
hex16_64:
    pushf
    rol $8, %ax
    call hex8_64
    rol $8, %ax
    call hex8_64
    popf
    ret
hex8_64:
    pushf
    push %rax
    shr $4, %al
    call hex4_64
    mov (%rsp), %al
    and $15, %al
    call hex4_64
    pop %rax
    popf
    ret
hex4_64:
    add $'0', %al
    cmp $'9', %al
    jbe 1f
    add $'a' - '0' - 10, %al
1:  jmp putc64

.data
user_far:  .quad 0
return_ip: .quad 0
