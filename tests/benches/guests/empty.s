# Nothing: what start-up and the way out cost.
.include "payload.inc"
.text
.code32
.global main
main:
    call enter_long
.code64
    jmp finish64
