# Reports each byte that arrives on COM1 by interrupt, with the time it came; `q` resets the machine.
#! needs: input
.include "payload.inc"
.text
.code32
.global main
main:
    PRINT "ready\n"
    HOOK 0x20, tick
    HOOK 0x24, received
    mov $0x11, %al
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $0xee, %al              # timer and COM1
    out %al, $0x21
    mov $0x34, %al              # 100 ticks a second
    out %al, $0x43
    mov $11932 & 0xff, %al
    out %al, $0x40
    mov $11932 >> 8, %al
    out %al, $0x40
    mov $0x3f9, %edx
    mov $1, %al
    out %al, %dx
    mov $0x3fc, %edx
    mov $0x0b, %al
    out %al, %dx
    # Idle most of the time, busy for some of it: input comes into both.
1:  cli
    mov head, %eax
    cmp tail, %eax
    jne 2f
    sti
    hlt
    mov $2000, %ecx
3:  inc %ebx
    loop 3b
    jmp 1b
2:  sti
    mov tail, %edi
    movzbl queue(%edi), %eax
    inc %edi
    and $4095, %edi
    mov %edi, tail
    cmp $'q', %al
    je quit
    # A checksum of all so far, the ticks and the exact time.
    imul $31, hash, %ecx
    add %eax, %ecx
    mov %ecx, hash
    SHOW byte, %eax
    SHOW hash, hash
    SHOW ticks, ticks
    rdtsc
    SHOW time, %eax
    SHOW spun, %ebx
    NL
    jmp 1b
quit:
    PRINT "end\n"
    mov $0xfe, %al
    out %al, $0x64
1:  hlt
    jmp 1b
tick:
    incl ticks
    mov $0x20, %al
    out %al, $0x20
    ret
received:
    mov $0x3fd, %edx
1:  in %dx, %al
    test $1, %al
    jz 2f
    mov $0x3f8, %edx
    in %dx, %al
    mov head, %edi
    mov %al, queue(%edi)
    inc %edi
    and $4095, %edi
    mov %edi, head
    mov $0x3fd, %edx
    jmp 1b
2:  mov $0x20, %al
    out %al, $0x20
    ret
.data
hash:   .long 0
ticks:  .long 0
head:   .long 0
tail:   .long 0
.bss
queue:  .skip 4096
