# What `rrvmm debug` runs in gdb first.
define rrvmm-moved
  maintenance flush register-cache
  maintenance flush dcache
  frame
end
document rrvmm-moved
Looks again at a machine that was moved by a `monitor` command.
end

define position
  monitor where
end
document position
Where in the recording this is.
end

define seek
  if $argc != 1
    echo seek POSITION | seek end\n
  else
    monitor seek $arg0
    rrvmm-moved
  end
end
document seek
seek POSITION: goes to a position of the recording, past or future; `seek end` to its end.
Leaves a diversion, which writing to registers or memory begins.
end

define last-write
  if $argc == 1
    eval "monitor last-write %#lx:1", (unsigned long) ($arg0)
  else
    if $argc == 2
      eval "monitor last-write %#lx:%lu", (unsigned long) ($arg0), (unsigned long) ($arg1)
    else
      echo last-write ADDRESS [BYTES]\n
    end
  end
end
document last-write
last-write ADDRESS [BYTES]: which instruction wrote there last before this position.
Stays here; `seek` goes to the position it tells.
end

define recorded-events
  if $argc == 0
    monitor events
  end
  if $argc == 1
    monitor events $arg0
  end
  if $argc == 2
    monitor events $arg0 $arg1
  end
end
document recorded-events
recorded-events [FROM [TO]]: inputs, digests and the end, with their positions.
end

# A monitor command may search the whole recording.
set remotetimeout 3600
target remote SOCKET
