# The guest of `rrvmm demo`: 32-bit, without an operating system. It shows the clock, counts primes while a timer
# interrupts it, naps between ticks, and switches the machine off.
#
# Assembled to guest.bin, which is checked in; a test repeats it:
#   as --32 -o guest.o guest.s && ld -m elf_i386 -Ttext 0x100000 --oformat binary -o guest.bin guest.o

        .set COM1, 0x3f8
        .set PIC1, 0x20
        .set PIC2, 0xa0
        .set PIT, 0x40
        .set PIT_HZ, 1193182
        .set CMOS, 0x70
        .set PM1A_CONTROL, 0x604
        .set POWER_OFF, 0x2000          # SLP_EN with the SLP_TYP of \_S5, which is 0
        .set TIMER_VECTOR, 0x20
        .set NAPS, 5
        .set LIMIT, 1000000             # count primes below this
        .set SIEVE, 0x200000            # one byte a number
        .set STACK, 0x180000

        .set MAGIC, 0x1badb002
        .set HAS_ADDRESSES, 1 << 16

        .text
        .globl _start
header: .long MAGIC, HAS_ADDRESSES, -(MAGIC + HAS_ADDRESSES)
        .long header, header, 0, 0, _start

_start: mov     $STACK, %esp
        mov     $hello, %esi
        call    print
        call    print_clock
        call    start_timer
        mov     $counting, %esi
        call    print
        call    count_primes
        call    print_number
        mov     $ticks_seen, %esi
        call    print
        mov     ticks, %eax
        call    print_number
        mov     $napping, %esi
        call    print
        mov     $NAPS, %ebx
nap:    hlt                             # wakes at the next tick
        mov     $dot, %esi
        call    print
        dec     %ebx
        jnz     nap
        mov     $goodbye, %esi
        call    print
        mov     $PM1A_CONTROL, %edx
        mov     $POWER_OFF, %eax
        outw    %ax, %dx
stop:   cli
        hlt
        jmp     stop

# 1000 interrupts a second from PIT channel 0, through the first PIC, everything else masked.
start_timer:
        lidt    idt_register
        mov     $tick, %eax
        mov     %ax, idt + 8 * TIMER_VECTOR
        shr     $16, %eax
        mov     %ax, idt + 8 * TIMER_VECTOR + 6
        mov     %cs, idt + 8 * TIMER_VECTOR + 2
        movw    $0x8e00, idt + 8 * TIMER_VECTOR + 4
        mov     $0x11, %al              # ICW1: edge triggered, cascade, ICW4 follows
        out     %al, $PIC1
        out     %al, $PIC2
        mov     $TIMER_VECTOR, %al      # ICW2: vectors
        out     %al, $PIC1 + 1
        mov     $TIMER_VECTOR + 8, %al
        out     %al, $PIC2 + 1
        mov     $4, %al                 # ICW3: the second PIC is on line 2
        out     %al, $PIC1 + 1
        mov     $2, %al
        out     %al, $PIC2 + 1
        mov     $1, %al                 # ICW4: 8086 mode
        out     %al, $PIC1 + 1
        out     %al, $PIC2 + 1
        mov     $0xfe, %al
        out     %al, $PIC1 + 1
        mov     $0xff, %al
        out     %al, $PIC2 + 1
        mov     $0x34, %al              # channel 0, both bytes, mode 2
        out     %al, $PIT + 3
        mov     $PIT_HZ / 1000 & 0xff, %al
        out     %al, $PIT
        mov     $PIT_HZ / 1000 >> 8, %al
        out     %al, $PIT
        sti
        ret

tick:   push    %eax
        incl    ticks
        mov     $0x20, %al              # end of interrupt
        out     %al, $PIC1
        pop     %eax
        iret

# Returns the number of primes below LIMIT in %eax, by the sieve of Eratosthenes.
count_primes:
        cld
        mov     $SIEVE, %edi
        mov     $LIMIT, %ecx
        xor     %eax, %eax
        rep stosb
        mov     $2, %ecx
        xor     %eax, %eax
1:      cmpb    $0, SIEVE(%ecx)
        jne     3f
        inc     %eax
        lea     (%ecx, %ecx), %edx
2:      cmp     $LIMIT, %edx
        jae     3f
        movb    $1, SIEVE(%edx)
        add     %ecx, %edx
        jmp     2b
3:      inc     %ecx
        cmp     $LIMIT, %ecx
        jb      1b
        ret

# Prints the real-time clock: date and time, UTC.
print_clock:
        mov     $clock_registers, %ebx
1:      mov     (%ebx), %al
        cmp     $0xff, %al
        je      2f
        out     %al, $CMOS
        in      $CMOS + 1, %al          # two decimal digits
        mov     %al, %ah
        shr     $4, %al
        call    print_digit
        mov     %ah, %al
        and     $15, %al
        call    print_digit
        mov     1(%ebx), %al
        test    %al, %al
        jz      3f
        call    print_byte
3:      add     $2, %ebx
        jmp     1b
2:      ret

# Prints %eax in decimal.
print_number:
        mov     $10, %ecx
        xor     %edx, %edx
        div     %ecx
        push    %edx
        test    %eax, %eax
        jz      1f
        call    print_number
1:      pop     %eax
print_digit:
        add     $'0', %al
# Prints %al once the UART takes it. Changes %edx.
print_byte:
        push    %eax
        mov     $COM1 + 5, %edx
1:      in      %dx, %al
        test    $0x20, %al
        jz      1b
        pop     %eax
        mov     $COM1, %edx
        out     %al, %dx
        ret

# Prints the text at %esi.
print:  lodsb
        test    %al, %al
        jz      1f
        call    print_byte
        jmp     print
1:      ret

# Registers of the clock, each with what follows its value, if anything: the century, year, month, day, hour, minute, second.
clock_registers:
        .byte   0x32, 0, 9, '-', 8, '-', 7, ' ', 4, ':', 2, ':', 0, '\n', 0xff
hello:  .asciz  "hello from the guest; its clock says "
counting:
        .asciz  "primes below 1000000: "
ticks_seen:
        .asciz  "\ntimer ticks meanwhile: "
napping:
        .asciz  "\nnapping"
dot:    .asciz  "."
goodbye:
        .asciz  "\nswitching off\n"

        .balign 4
ticks:  .long   0
idt_register:
        .word   8 * (TIMER_VECTOR + 1) - 1
        .long   idt
        .balign 8
idt:    .fill   TIMER_VECTOR + 1, 8, 0
