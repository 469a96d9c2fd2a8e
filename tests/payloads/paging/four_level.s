# 4-level paging: 4 KiB, 2 MiB and 1 GiB pages, NX, reserved bits, canonical addresses, rights at every level.
#! differs: not canonical, stack => #SS(0000) at +000a | SDM 3A 6.15, #SS: a stack reference that is not canonical
#! differs: not canonical, jump => #GP(0000) at +000a | SDM 2A, JMP: the target is checked before it is taken
#! differs: not canonical, return => #GP(0000) at +000b | SDM 2B, RET: the same
#! differs: reserved bit in a 4 KiB entry => #PF(0009) at +001f cr2=0000008000004000 | SDM 3A 4.7: a reserved bit is only looked at in a present entry, so P is set; TCG clears it
#! differs: reserved bit in a 2 MiB entry => #PF(0009) at +0011 cr2=0000008000200000 | the same
#! differs: reserved bit in a 1 GiB entry => #PF(0009) at +0011 cr2=0000008040000000 | the same
#! differs: size bit in the PML4 is reserved => #PF(0009) at +000e cr2=0000008000004000 | the same
#! differs: EFER.NXE cleared makes NX reserved => #PF(0009) at +0014 cr2=0000008000003000 | the same
.include "payload.inc"
.set PDPT, TABLES           # for linear 0x8000000000, the second entry of the PML4
.set PD, TABLES + 0x1000
.set PT, TABLES + 0x2000

.macro PTE n, low, high=0
    movl $(PAGES + (\n) * 0x1000 + (\low)), PT + 8 * (\n)
    movl $(\high), PT + 8 * (\n) + 4
.endm
.macro FLUSH
    mov %cr3, %rax
    mov %rax, %cr3
.endm

.text
.code32
.global main
main:
    call enter_long
.code64
    movl $PDPT + 7, pml4 + 8
    movl $PD + 7, PDPT
    movl $0x00000087, PDPT + 8          # 1 GiB page at 0x8040000000
    movl $PT + 7, PD
    movl $0x00200087, PD + 8            # 2 MiB page at 0x8000200000
    PTE 0, 7
    PTE 1, 5
    PTE 2, 3
    PTE 3, 7, 0x80000000
    PTE 4, 7
    movb $0xc3, PAGES
    movb $0xc3, PAGES + 0x3000
    movq $0x1234, PAGES + 0x4000
    mov $0x8000000000, %r12
    TRY64 "read 4 KiB page"
    mov 0x4000(%r12), %rbx
    END64
    SHOW64 value, %rbx
    NL64
    TRY64 "read 2 MiB page"
    mov 0x304000(%r12), %rbx
    END64
    SHOW64 value, %rbx
    NL64
    TRY64 "read 1 GiB page"
    mov 0x40304000(%r12), %rbx
    END64
    SHOW64 value, %rbx
    NL64
    TRY64 "write 1 GiB page"
    mov %rbx, 0x40304008(%r12)
    END64
    mov PDPT + 8, %rax
    SHOW64 entry, %rax
    mov PDPT, %rax
    and $0xfff, %eax
    SHOW64 table, %rax
    NL64
    TRY64 "not present, PML4"
    mov %r12, %rax
    shl $2, %rax
    mov (%rax), %eax
    END64
    TRY64 "not present, PDPT"
    mov %r12, %rax
    bts $31, %rax
    mov %ebx, (%rax)
    END64
    TRY64 "not present, directory"
    mov 0x400000(%r12), %eax
    END64
    TRY64 "not present, table"
    mov %eax, 0x5000(%r12)
    END64
    TRY64 "execute"
    call *%r12
    END64
    TRY64 "execute with NX"
    lea 0x3000(%r12), %rax
    call *%rax
    END64
    TRY64 "read with NX"
    mov 0x3000(%r12), %eax
    END64
    TRY64 "write read-only"
    incl 0x1000(%r12)
    END64
    TRY64 "ring 3 read"
    USER64
    mov 0x4000(%r12), %eax
    KERNEL
    END64
    TRY64 "ring 3 write read-only"
    USER64
    mov %eax, 0x1000(%r12)
    KERNEL
    END64
    TRY64 "ring 3 read of ring 0"
    USER64
    mov 0x2000(%r12), %eax
    KERNEL
    END64
    TRY64 "ring 3 write of ring 0 page under the user window's own tables"
    USER64
    mov %eax, PAGES
    KERNEL
    END64
    TRY64 "ring 3 execute of ring 0"
    USER64
    lea 0x2000(%r12), %rax
    jmp *%rax
    KERNEL
    END64
    TRY64 "PML4 of ring 0 refuses ring 3"
    andb $~4, pml4 + 8
    FLUSH
    USER64
    mov 0x4000(%r12), %eax
    KERNEL
    END64
    orb $4, pml4 + 8
    TRY64 "PDPT read-only"
    andb $~2, PDPT
    FLUSH
    mov %eax, 0x4000(%r12)
    END64
    orb $2, PDPT
    TRY64 "PML4 with NX"
    movl $0x80000000, pml4 + 12
    FLUSH
    call *%r12
    END64
    movl $0, pml4 + 12
    FLUSH
    TRY64 "reserved bit in a 4 KiB entry"
    PTE 4, 7, 0x00080000
    invlpg 0x4000(%r12)
    mov 0x4000(%r12), %eax
    END64
    PTE 4, 7
    TRY64 "bits 52 to 58 are free in a 4 KiB entry"
    PTE 4, 7, 0x07f00000
    invlpg 0x4000(%r12)
    mov 0x4000(%r12), %eax
    END64
    PTE 4, 7
    TRY64 "reserved bit in a 2 MiB entry"
    movl $0x00204087, PD + 8
    FLUSH
    mov 0x200000(%r12), %eax
    END64
    movl $0x00200087, PD + 8
    TRY64 "reserved bit in a 1 GiB entry"
    movl $0x00200087, PDPT + 8
    FLUSH
    mov 0x40000000(%r12), %eax
    END64
    movl $0x00000087, PDPT + 8
    TRY64 "size bit in the PML4 is reserved"
    orb $0x80, pml4 + 8
    FLUSH
    mov 0x4000(%r12), %eax
    END64
    andb $0x7f, pml4 + 8
    FLUSH
    TRY64 "EFER.NXE cleared makes NX reserved"
    mov $0xc0000080, %ecx
    rdmsr
    and $~0x800, %eax
    wrmsr
    FLUSH
    mov 0x3000(%r12), %eax
    END64
    mov $0xc0000080, %ecx
    rdmsr
    or $0x800, %eax
    wrmsr
    TRY64 "not canonical, data"
    mov $0x800000000000, %rax
    mov (%rax), %eax
    END64
    TRY64 "not canonical, stack"
    mov $0x800000000000, %rbp
    mov (%rbp), %eax
    END64
    TRY64 "not canonical, push"
    mov $0x800000000008, %rsp
    push %rax
    END64
    TRY64 "not canonical, jump"
    mov $0x800000000000, %rax
    jmp *%rax
    END64
    TRY64 "not canonical, return"
    mov $0x800000000000, %rax
    push %rax
    ret
    END64
    TRY64 "address wraps at 64 bits"
    mov $-0x1000, %rax
    lea PAGES(%rax), %rbx
    mov 0x5000(%rbx), %rbx
    END64
    SHOW64 value, %rbx
    NL64
    TRY64 "32-bit addresses wrap at 4 GiB"
    mov $0xfffff000, %eax
    mov PAGES+0x5000(%eax), %rbx
    END64
    SHOW64 value, %rbx
    NL64
    TRY64 "accessed, dirty"
    PTE 4, 7
    FLUSH
    mov 0x4000(%r12), %eax
    mov PT + 32, %rbx
    mov %eax, 0x4000(%r12)
    mov PT + 32, %rcx
    END64
    SHOW64 read, %rbx
    SHOW64 written, %rcx
    NL64
    call leave_long
.code32
    ret
