# A guest that does as it is told on COM1: a digit has that sector of the first IDE disk read, a letter from P on has what was read
# last written to sector letter - P, with its first byte one higher. Either way it answers with that byte. `q` ends it.

        .set MAGIC, 0x1badb002
        .set FLAGS, 0x10000
        .set BUFFER, 0x6000

        .text
        .globl _start
_start:
header: .long MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long header, header, 0, 0, start

start:
        mov $0x7000, %esp
next:
        mov $0x3fd, %edx
1:      in %dx, %al
        test $1, %al
        jz 1b
        mov $0xf8, %dl
        in %dx, %al
        cmp $'q', %al
        je quit
        mov %al, %bl
        mov $0x1f7, %edx
1:      in %dx, %al
        test $0x80, %al
        jnz 1b
        # One sector, its number, master, LBA.
        mov $0xf2, %dl
        mov $1, %al
        out %al, %dx
        inc %edx
        mov %bl, %al
        and $15, %al
        out %al, %dx
        mov $0, %al
        inc %edx
        out %al, %dx
        inc %edx
        out %al, %dx
        inc %edx
        mov $0xe0, %al
        out %al, %dx
        inc %edx
        mov $BUFFER, %edi
        mov %edi, %esi
        mov $128, %ecx
        cmp $'P', %bl
        jae store
        mov $0x20, %al
        out %al, %dx
        call ready
        rep insl
        jmp tell
store:
        mov $0x30, %al
        out %al, %dx
        call ready
        incb (%esi)
        rep outsl
tell:
        mov BUFFER, %al
        mov $0x3f8, %edx
        out %al, %dx
        jmp next

ready:
        in %dx, %al
        test $8, %al
        jz ready
        mov $0xf0, %dl
        ret

quit:
        mov $0x10, %al
        out %al, $0xf4
        hlt
