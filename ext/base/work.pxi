# The work of one turn of a worker's loop. Whatever a peer can make heyfleet do costs units of it, and what the budget does not
# cover waits for the next turn: between two turns the worker looks at its stop rules, timeouts, signals and snapshots.
#
# A unit is about a microsecond, so that a turn stays far below 100 ms even on a slow or busy core. The budget belongs to the
# backend that talks to the kernel: its wait() refills it, every layer above spends from it, and next() returns False once it is
# spent. Nothing is lost then: the next wait() does not sleep, and the work goes on where it stopped.

cdef enum:
    WORK_A_TURN = 1024              # an event costs 1
    WORK_MOVED_SHIFT = 12           # of bytes that are sent, received or decoded: 1 for each 4 KiB
    WORK_CODED_SHIFT = 5            # of bytes that a decoder reads, which may be all tables: 1 for each 32 bytes
    WORK_FRAMED_SHIFT = 10          # of bytes of TLS records and HTTP/2 frames: 1 for each KiB
    WORK_FIELDS_SHIFT = 8           # of bytes of HTTP/2 field blocks: 1 for each 256
    WORK_STREAMS_SHIFT = 8          # of the streams that a search looks at: 1 for each 256
    WORK_HANDSHAKE = 64             # a step of a TLS handshake
    WORK_RECORD = 16                # TLS records without content, which may change keys
    WORK_REDIRECT = WORK_A_TURN     # a new redirect, for which Python may look up a name and try out its addresses

cdef struct WorkBudget:
    int64_t left
