# SYSCALL/SYSRET and SYSENTER/SYSEXIT from 64-bit and compatibility ring 3: registers, flags, segments, refusals.
#! differs: sysret to an address that is not canonical => #GP(0000) at +0010 | SDM 2B, SYSRET: checked before ring 3 begins
.include "payload.inc"
.text
.code32
.global main
main:
    call enter_long
.code64
    WRMSR64 0xc0000081, 0, 0x00180038           # STAR
    WRMSR64 0xc0000082, syscall_entry, 0        # LSTAR
    WRMSR64 0xc0000084, 0x44d7, 0               # SFMASK: NT, AF, PF, CF, ZF, SF DF, not OF
    WRMSR64 0x174, 0x08, 0
    WRMSR64 0x175, sysenter_stack, 0
    WRMSR64 0x176, sysenter_entry, 0

    TRY64 "syscall"
    USER64
    mov $-1, %r11
    mov $0x11, %eax
    xor %ebx, %ebx
    stc
    std
    syscall
back:
    pushf
    pop %r9
    mov %cs, %r12d
    mov %ss, %r13d
    lea back(%rip), %r14
    sub %rcx, %r14
    cld
    KERNEL
    END64
    SHOW64 in_flags, %r8
    SHOW64 saved, %r10
    SHOW64L cs, %esi
    SHOW64L ss, %edi
    NL64
    and $0xcd5, %r9
    SHOW64 out_flags, %r9
    SHOW64 cs, %r12
    SHOW64 ss, %r13
    SHOW64 rcx, %r14
    NL64

    TRY64 "sysretl to compatibility mode"
    USER64
    mov $1, %ebx
    syscall
.code32
    # Now 32-bit ring 3 at the low half of the address.
    mov %cs, %ebx
    KERNEL
    ljmp $K64, $1f
.code64
1:  END64
    SHOW64L cs, %ebx
    NL64

    TRY64 "syscall with SCE clear"
    mov $0xc0000080, %ecx
    rdmsr
    and $~1, %eax
    wrmsr
    USER64
    syscall
    KERNEL
    END64
    TRY64 "sysret with SCE clear"
    sysretq
    END64
    mov $0xc0000080, %ecx
    rdmsr
    or $1, %eax
    wrmsr
    TRY64 "sysret in ring 3"
    USER64
    sysretq
    KERNEL
    END64
    TRY64 "sysexit in ring 3"
    USER64
    sysexitq
    KERNEL
    END64
    TRY64 "sysret takes the flags from r11"
    mov %rsp, user_sp
    mov $1f + USER_WINDOW, %ecx
    mov $0x10246, %r11d
    mov $user_stack_top + USER_WINDOW, %esp
    sysretq
1:  pushf
    pop %rbx
    KERNEL
    END64
    SHOW64 flags, %rbx
    NL64

    TRY64 "sysenter from 64-bit ring 3"
    USER64
    mov %rsp, %rcx
    lea 1f(%rip), %rdx
    xor %ebx, %ebx
    sysenter
1:  mov %cs, %r12d
    mov %ss, %r13d
    KERNEL
    END64
    SHOW64L cs, %esi
    SHOW64L ss, %edi
    SHOW64 rsp, %r10
    SHOW64 flags, %r8
    NL64
    SHOW64 cs, %r12
    SHOW64 ss, %r13
    NL64
    TRY64 "sysenter and sysexit in compatibility mode"
    call enter_compat_user
.code32
    mov %esp, %ecx
    mov $1f + USER_WINDOW, %edx
    mov $1, %ebx
    sysenter
1:  mov %cs, %ebx
    mov %ss, %ecx
    KERNEL
    ljmp $K64, $1f
.code64
1:  END64
    SHOW64L cs, %ebx
    SHOW64L ss, %ecx
    NL64
    TRY64 "sysenter with a null code segment"
    WRMSR64 0x174, 0, 0
    USER64
    sysenter
    KERNEL
    END64
    TRY64 "sysexit with a null code segment"
    sysexitl
    END64
    TRY64 "sysret to an address that is not canonical"
    mov $0x800000000000, %rcx
    mov $2, %r11d
    sysretq
    END64
    call leave_long
.code32
    ret

.code64
# Enters with the caller's stack: it stays in use, through the user window. rbx: 1 to return to compatibility mode.
syscall_entry:
    pushf
    pop %r8
    and $0x4cd5, %r8
    mov %r11, %r10
    and $0x4cd5, %r10
    mov %cs, %esi
    mov %ss, %edi
    test %ebx, %ebx
    jnz 1f
    sysretq
1:  sysretl

sysenter_entry:
    pushf
    pop %r8
    and $0x4202, %r8
    mov %rsp, %r10
    sub $sysenter_stack, %r10
    mov %cs, %esi
    mov %ss, %edi
    test %ebx, %ebx
    jnz 1f
    sysexitq
1:  sysexitl

.bss
.align 16
    .skip 1024
sysenter_stack:
