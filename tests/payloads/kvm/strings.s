# Timer interrupts into long string instructions: forwards, backwards, overlapping, ended by what they find.
#! needs: it counts the interrupts that come while it runs
.include "payload.inc"
.include "user.inc"
.set LEN, 0x400000
.set ONE, BIG
.set TWO, BIG + 0x800000
.set THREE, BIG + 0x1000000
PROGRAM
    ENTER 700000

CODE
program:
    movl $3, rounds(%rip)
    # A pattern: each byte is the one before, moved by one quadword.
    mov $0x1122334455667788, %rax
    mov $ONE, %rdi
    mov $64, %ecx
    rep stosb
9:  cld
    mov rounds(%rip), %eax
    mov $ONE, %rdi
    mov $8, %ecx
    rep stosl
    mov $ONE, %rsi
    mov $ONE + 24, %rdi
    mov $LEN / 8 - 3, %ecx
    rep movsq                       # overlapping: repeats the first 24 bytes
    call sum_one
    mov $ONE, %rsi
    mov $TWO, %rdi
    mov $LEN, %ecx
    rep movsb
    mov $ONE, %rsi
    mov $TWO, %rdi
    mov $LEN, %ecx
    movb $0x77, TWO + LEN - 5
    repe cmpsb
    add %rcx, total(%rip)
    add %rsi, total(%rip)
    std
    mov $ONE + LEN - 1, %rsi
    mov $TWO + LEN - 1 + 0x1000, %rdi
    mov $LEN / 4, %ecx
    rep movsb                       # backwards
    mov $TWO + LEN - 2, %rsi
    mov $TWO + LEN - 2 + 0x802, %rdi
    mov $LEN / 8, %ecx
    rep movsw                       # backwards, overlapping
    mov $THREE + LEN - 4, %rdi
    mov $0xabcd1234, %eax
    add rounds(%rip), %eax
    mov $LEN / 16, %ecx
    rep stosl
    mov $THREE + LEN - 4, %rdi
    movl $7, THREE + LEN - LEN / 4 + 64
    mov $LEN / 4, %ecx
    repe scasl
    add %rcx, total(%rip)
    add %rdi, total(%rip)
    cld
    mov $TWO, %rdi
    mov $0x77, %al
    mov $LEN * 2, %rcx
    movb $0x77, TWO + LEN - 100
    repne scasb
    add %rcx, total(%rip)
    mov $TWO, %rsi
    mov $THREE, %rdi
    mov $LEN / 2, %ecx
    rep movsw
    mov $THREE, %rsi
    mov $LEN / 8, %ecx
    rep lodsq
    add %rax, total(%rip)
    call sum_two
    decl rounds(%rip)
    jnz 9b
    KERNEL
    PRINT64 "result:"
    SHOW64 total, total
    SHOW64 sum, sum
    FINISH
sum_one:
    mov $ONE, %rsi
    jmp 1f
sum_two:
    mov $TWO, %rsi
1:  mov $LEN / 1024, %ecx
    mov sum(%rip), %rdx
1:  add (%rsi), %rdx
    rol $3, %rdx
    add $1024, %rsi
    dec %ecx
    jnz 1b
    mov %rdx, sum(%rip)
    ret
END_CODE
DATA
rounds: .long 0, 0
total:  .quad 0
sum:    .quad 0
