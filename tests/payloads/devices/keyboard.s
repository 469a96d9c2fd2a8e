# i8042: self test, configuration byte, output port, keyboard reset and identity, A20 bit.
.include "payload.inc"
.macro COMMAND value
    call wait_in
    mov $\value, %al
    out %al, $0x64
.endm
.macro DATA value
    call wait_in
    mov $\value, %al
    out %al, $0x60
.endm
.macro ANSWER name
    call wait_out
    in $0x60, %al
    movzbl %al, %eax
    SHOW \name, %eax
.endm
.text
.code32
.global main
main:
    # What is left over from firmware.
1:  in $0x64, %al
    test $1, %al
    jz 2f
    in $0x60, %al
    jmp 1b
2:  PRINT "controller:"
    COMMAND 0xad
    COMMAND 0xaa
    ANSWER test
    COMMAND 0xab
    ANSWER port
    COMMAND 0x60
    DATA 0x74
    COMMAND 0x20
    ANSWER config
    COMMAND 0x60
    DATA 0x64
    COMMAND 0x20
    ANSWER config
    NL
    PRINT "output port:"
    COMMAND 0xd0
    call wait_out
    in $0x60, %al
    and $3, %al
    movzbl %al, %eax
    SHOW reset_a20, %eax
    NL
    PRINT "keyboard:"
    COMMAND 0x60
    DATA 0x24                   # no translation, clock on
    DATA 0xff
    ANSWER ack
    ANSWER passed
    DATA 0xf2
    ANSWER ack
    ANSWER id
    ANSWER id
    DATA 0xee
    ANSWER echo
    DATA 0xed
    ANSWER ack
    DATA 7
    ANSWER ack
    DATA 0xf0
    ANSWER ack
    DATA 0
    ANSWER ack
    ANSWER set
    DATA 0xf5
    ANSWER ack
    NL
    ret
wait_in:
    in $0x64, %al
    test $2, %al
    jnz wait_in
    ret
wait_out:
    in $0x64, %al
    test $1, %al
    jz wait_out
    ret
