# A program with a bug to find backwards, see docs/debugging.md: it gives a task a name that is too long. Long after, a
# division fails in a place that has nothing to do with names.
.include "payload.inc"
.data
.global logger_name, logger_period, idle_name, idle_period, ticks
idle_name:      .ascii "idle\0\0\0\0"
idle_period:    .long 10
logger_name:    .skip 8
logger_period:  .long 50        # a task runs when `ticks` is a multiple of its period
ticks:          .long 0

.text
.code32
.global main, set_name, schedule, run_if_due
main:
    mov $greeting, %esi
    call puts
    mov $logger_name, %edi
    mov $wanted, %esi
    call set_name
    mov $20000, %ebx
1:  call schedule
    dec %ebx
    jnz 1b
    PRINT "all tasks have run\n"
    ret

# Copies the name at %esi to %edi, with the zero that ends it, and without looking at the room there is.
set_name:
    mov (%esi), %al
    mov %al, (%edi)
    inc %esi
    inc %edi
    test %al, %al
    jnz set_name
    ret

# One tick: every task that is due runs. The logger is looked at only now and then.
schedule:
    incl ticks
    mov idle_period, %ecx
    call run_if_due
    cmpl $15000, ticks
    jb 1f
    mov logger_period, %ecx
    call run_if_due
1:  ret

# Whether a task of period %ecx is due: ZF.
run_if_due:
    mov ticks, %eax
    xor %edx, %edx
    div %ecx
    test %edx, %edx
    ret

.section .rodata
greeting:   .asciz "tasks: idle, logger\n"
wanted:     .asciz "watchdog"       # eight letters, and the zero behind them
