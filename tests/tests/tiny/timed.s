# A guest whose every output depends on when its interrupts come: a generator of random numbers runs on and on, and each
# timer tick and each typed byte disturbs it in the middle. It ends after LIMIT ticks or a typed `q`, with its number.

        .set MAGIC, 0x1badb002
        .set HAS_ADDRESSES, 1 << 16
        .set COM1, 0x3f8
        .set PIC1, 0x20
        .set PIT, 0x40
        .set PIT_HZ, 1193182
        .set DEBUG_EXIT, 0xf4
        .set VECTORS, 0x20
        .set STACK, 0x180000
        .set ticks, 0x170000            # away from the code, so that the code stays translated

        .text
        .globl _start
header: .long MAGIC, HAS_ADDRESSES, -(MAGIC + HAS_ADDRESSES)
        .long header, header, 0, 0, _start

_start: mov     $STACK, %esp
        call    gates
        call    chips
        mov     $0x12345678, %esi
        sti
work:   mov     $512, %ecx
step:   imul    $1664525, %esi, %esi
        add     $1013904223, %esi
        loop    step
        hlt
        jmp     work

gates:  lidt    idt_register
        mov     $tick, %eax
        mov     $idt + 8 * VECTORS, %edi
        call    gate
        mov     $typed, %eax
        mov     $idt + 8 * (VECTORS + 4), %edi
gate:   mov     %ax, (%edi)
        mov     %cs, 2(%edi)
        movw    $0x8e00, 4(%edi)
        shr     $16, %eax
        mov     %ax, 6(%edi)
        ret

# PIC at VECTORS with the timer and COM1 open; 1000 ticks a second; COM1 interrupts when a byte is there.
chips:  mov     $0x11, %al
        out     %al, $PIC1
        mov     $VECTORS, %al
        out     %al, $PIC1 + 1
        mov     $4, %al
        out     %al, $PIC1 + 1
        mov     $1, %al
        out     %al, $PIC1 + 1
        mov     $0xee, %al
        out     %al, $PIC1 + 1
        mov     $0x34, %al
        out     %al, $PIT + 3
        mov     $PIT_HZ / 1000 & 0xff, %al
        out     %al, $PIT
        mov     $PIT_HZ / 1000 >> 8, %al
        out     %al, $PIT
        mov     $COM1 + 4, %edx
        mov     $0x0b, %al
        out     %al, %dx
        mov     $COM1 + 1, %edx
        mov     $1, %al
        out     %al, %dx
        ret

tick:   pusha
        rdtsc
        xor     %eax, %esi
        incl    ticks
        mov     ticks, %eax
        cmp     $LIMIT, %eax
        je      leave
        test    $15, %al
        jnz     done
        call    digit
        jmp     done

typed:  pusha
next:   mov     $COM1 + 5, %edx
        in      %dx, %al
        test    $1, %al
        jz      done
        mov     $COM1, %edx
        in      %dx, %al
        cmp     $'q', %al
        je      leave
        rol     $5, %esi
        xor     %eax, %esi
        call    put
        call    digit
        jmp     next

# The interrupted code goes on with the disturbed number.
done:   mov     %esi, 4(%esp)
        mov     $0x20, %al
        out     %al, $PIC1
        popa
        iret

leave:  mov     $'=', %al
        call    put
        mov     $8, %ecx
1:      rol     $4, %esi
        call    digit
        dec     %ecx
        jnz     1b
        mov     $'\n', %al
        call    put
        mov     $0x10, %al
        out     %al, $DEBUG_EXIT
stop:   cli
        hlt
        jmp     stop

# The lowest four bits of the number, as a letter.
digit:  mov     %esi, %eax
        and     $15, %al
        add     $'A', %al
put:    push    %eax
        mov     $COM1 + 5, %edx
1:      in      %dx, %al
        test    $0x20, %al
        jz      1b
        pop     %eax
        mov     $COM1, %edx
        out     %al, %dx
        ret

        .p2align 3
        .word   0
idt_register:
        .word   idt_end - idt - 1
        .long   idt
        .p2align 3
idt:    .fill   (VECTORS + 5) * 8, 1, 0
idt_end:
