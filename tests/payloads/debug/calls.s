# Functions that call each other and use frame pointers, for a debugger to step over and out of, and a value that all of them
# read and one of them changes.
.include "payload.inc"
.data
.global total, reads
total:          .long 0
reads:          .long 7

.text
.code32
.global main, sum, square, twice, fault, faulting
main:
    push %ebp
    mov %esp, %ebp
    mov $5, %ebx
1:  mov %ebx, %eax
    call sum
    dec %ebx
    jnz 1b
    SHOW total, total
    call fault
    pop %ebp
    ret

# Adds twice the square of %eax, and what `reads` has, to `total`.
sum:
    push %ebp
    mov %esp, %ebp
    call square
    call twice
    add %eax, total
    mov reads, %ecx
    add %ecx, total
    pop %ebp
    ret

square:
    push %ebp
    mov %esp, %ebp
    imul %eax, %eax
    pop %ebp
    ret

twice:
    push %ebp
    mov %esp, %ebp
    add %eax, %eax
    pop %ebp
    ret

# Survives a fault.
fault:
    push %ebp
    mov %esp, %ebp
    TRY "fault"
faulting:
    ud2
    END
    pop %ebp
    ret
