# What Python sees of the engine.


@final
cdef class Engine(EngineCore):
    """One worker's load: create it, call `run` in a thread of its own, steer it from another.

    `io` is "auto", "io_uring", "epoll" or an Io object. `addresses` are (literal address, port) pairs, used in turn by the
    connections; `sources` are local addresses that the plan's connections come from in turn. `messages` are the plan's
    requests, each (rendered bytes, whether its answers have no body, and whether it may be sent twice: no, if that is not
    said); the plan's request number i is messages[order[i % len(order)]].

    `requests` and `duration_ns` end the load, 0 is no limit; what is intended in the first `warmup_ns` counts for
    neither. `timeout_ns` ends a request, 0 is never. `loop` says when requests are sent: "connections" have the next at
    once; "ticks", each of its own connection, or a "rate" on any free connection, follow `stages`, each (duration_ns,
    requests a second at its begin, at its end), evenly or `poisson`; "users", as many as connections, come and go with
    `stages` and think between requests, `think` being ("uniform", low_ns, high_ns) or ("exponential", mean_ns, 0). A
    stage of duration 0 has no end. A "rate" does not send what the engine itself was 100 ms too late for, but with
    `catch_up`. `kernel_timestamps` measures between the kernel's own stamps too; it takes epoll and no `tls`, which
    is how connections speak TLS (None: they don't). `tunnel` is the head of the CONNECT request that `addresses`, which are a
    proxy's then, get first on each connection.

    Over `http2`, messages are those of http2_request, and each connection carries `streams` requests at a time; more than
    one only in the loops "connections" and "rate".

    With `decode`, content is decoded as its Content-Encoding says, and its length then counted too.

    The body of a request with the field `Expect: 100-continue` waits for the server to say so, but not over HTTP/2.

    In place of rendered bytes a message may be a template: a list of ("text", bytes), ("seq",), ("rand", low, high),
    ("uuid",), ("column", index in `columns`), ("body",) before the body, ("length",) for its length, and for HTTP/2
    ("frame",) first of all and ("string", n) before the n segments of a string. Row number i modulo their count of
    `columns`, each a list of bytes, belongs to the plan's request number i.

    Redirects are followed where there is a `follower`, called as follower(message, status, location): of the message's
    number (its place in `messages`, or as the follower has given it) and the bytes of a Location. It returns what is
    asked next, as (number, rendered bytes, whether answers have no body, whether it may be sent twice, origin), a name of
    ERROR_NAMES that the request ends in, or None: the answer is the last. Origin 0 is the target, others are of
    `add_origin`. Its method forget(numbers) tells which of its messages are no more.

    A plan's connections may be dealt out to several engines: this one has `connections` of its `plan_connections`,
    those numbered first_connection, first_connection + connection_stride, ...

    Raises ValueError for arguments that make no sense and MemoryError.
    """

    cdef list message_objects
    cdef list template_objects
    cdef str io_choice
    cdef TlsContext tls
    cdef bytes tunnel
    cdef readonly str io_name
    cdef readonly str io_note

    def __cinit__(self):
        self.expected.oldest = self.expected.newest = self.continuing.oldest = self.continuing.newest = NO_CONN
        memset(&self.recorder, 0, sizeof(self.recorder))

    def __init__(self, *, io, list addresses not None, list messages not None, uint32_t connections, order=(0,),
                 uint64_t requests=0, int64_t duration_ns=0, int64_t timeout_ns=0, bint keep_alive=True,
                 str loop="connections", list stages=None, bint poisson=False, uint64_t seed=0, think=None,
                 int64_t warmup_ns=0, bint catch_up=False, uint32_t plan_connections=0, uint32_t first_connection=0,
                 uint32_t connection_stride=1, uint64_t trace_rows=0, list sources=None,
                 bint kernel_timestamps=False, TlsContext tls=None, bytes tunnel=b"", bint http2=False, uint32_t streams=1,
                 follower=None, list columns=None, bint decode=False):
        if self.conns != NULL:
            raise ValueError("an engine is made once")
        if connections == 0 or not addresses or not messages or not all(each[0] for each in messages):
            raise ValueError("an engine needs at least one connection, one address and a request")
        if min(duration_ns, timeout_ns, warmup_ns) < 0:
            raise ValueError("durations can't be negative")
        if requests == 0 and duration_ns == 0:
            raise ValueError("an engine needs a number of requests or a duration")
        if streams == 0 or (streams > 1 and (not http2 or loop not in ("connections", "rate"))):
            raise ValueError("several streams a connection need HTTP/2 and one of the loops connections and rate")
        if http2 and kernel_timestamps:
            raise ValueError("kernel timestamps are not kept for each stream of HTTP/2")
        self.tls = tls
        self.tunnel = tunnel or b""
        self.http2 = http2
        self.follower = follower
        self.follower_there = follower is not None
        self.streams = streams
        if tls is not None:
            tls.serve(connections)
        self.choose_io(io, kernel_timestamps)
        self.take_loop(loop, stages or [], think)
        self.keep_alive = keep_alive
        self.request_limit = requests
        self.duration_ns = duration_ns
        self.warmup_ns = warmup_ns
        self.timeout_ns = timeout_ns
        self.catch_up = catch_up
        self.connection_count = connections * streams
        # Over HTTP/2 redirects are followed within the origin.
        self.slot_count = self.connection_count * (2 if follower is not None and not http2 else 1)
        self.first_number = first_connection
        self.number_stride = connection_stride
        self.seed = seed
        self.take_columns(columns or [])
        self.take_messages(messages, order)
        self.take_memory(addresses, sources or [], trace_rows)
        if decode:
            self.take_decoders()
        self.pacer = make_pacer(&self.shape, plan_connections or connections, first_connection, connection_stride,
                                connections, poisson, seed)
        self.waiting = self.pacer
        for index in range(self.connection_count):
            self.conns[index].random = chance_seed(~seed, pacer_number(&self.pacer, index))

    cdef take_loop(self, str loop, list stages, think):
        if loop not in LOOP_NAMES:
            raise ValueError(f"loop must be one of {', '.join(LOOP_NAMES)}, not {loop!r}")
        self.loop = <LoopKind> <int> LOOP_NAMES.index(loop)
        self.scheduled = self.loop == LOOP_TICKS or self.loop == LOOP_RATE
        if self.loop != LOOP_CONNECTIONS and not stages:
            raise ValueError("a load with a schedule or users needs a stage")
        shape_init(&self.shape, stages)
        if think is not None:
            kind, self.think_low_ns, self.think_high_ns = think
            self.think = <ThinkKind> <int> THINK_NAMES.index(kind)
            if self.think_low_ns < 0 or (self.think == THINK_UNIFORM and self.think_high_ns < self.think_low_ns):
                raise ValueError("thinking can't take less than no time")

    cdef take_messages(self, list messages, order):
        cdef uint32_t index
        self.message_count = len(messages)
        self.order_count = len(order)
        if not order or not all(0 <= place < self.message_count < 0x10000 for place in order):
            raise ValueError("the order names requests by their places")
        self.messages = <Message *> calloc(self.message_count, sizeof(Message))
        self.order = <uint16_t *> calloc(self.order_count, sizeof(uint16_t))
        if self.messages == NULL or self.order == NULL:
            raise MemoryError
        # A template keeps its texts; what it is called in place of bytes is never sent.
        self.message_objects = [each[0] if isinstance(each[0], bytes) else b"" for each in messages]
        self.template_objects = [each[0] for each in messages]
        for index in range(self.message_count):
            self.messages[index].data = <const uint8_t *> <char *> self.message_objects[index]
            self.messages[index].bytes = len(self.message_objects[index])
            self.messages[index].head_bytes = 0 if self.http2 else waiting_head_bytes(self.message_objects[index])
            self.messages[index].id = index
            self.messages[index].head = messages[index][1]
            if isinstance(messages[index][0], list):
                self.messages[index].template = self.make_template(messages[index][0], messages[index][1])
                self.messages[index].template.expects = not self.http2 and segments_expect(messages[index][0])
                self.messages[index].closes = not self.http2 and head_closes(b"".join(head_texts(messages[index][0])))
            else:
                self.messages[index].closes = not self.http2 and head_closes(self.message_objects[index])
            self.messages[index].idempotent = len(messages[index]) > 2 and messages[index][2]
        for index in range(self.order_count):
            self.order[index] = order[index]

    cdef choose_io(self, io, bint stamps):
        self.io_choice = io if isinstance(io, str) else "given"
        self.stamped = stamps
        if stamps and io in ("auto", "epoll"):
            self.io = EpollIo(stamps=True)
            self.io_choice = "epoll"
        elif stamps:
            raise ValueError("kernel timestamps need the epoll backend")
        elif isinstance(io, Io):
            self.io = io
        elif io == "epoll":
            self.io = EpollIo()
        elif io in ("auto", "io_uring"):
            self.io = UringIo()
        else:
            raise ValueError(f"io must be auto, io_uring or epoll, not {io!r}")
        self.io_name = IO_NAMES.get(type(self.io), "given")
        self.io_note = "with the kernel's time stamps" if stamps else ""
        self.wrap_io()

    cdef wrap_io(self):
        if self.tunnel:
            self.tunnel_io = TunnelIo(self.io, self.tunnel)
            self.io = self.tunnel_io
        if self.tls is not None:
            self.tls_io = TlsIo(self.io, self.tls)
            self.io = self.tls_io
        if self.http2:
            self.io = Http2Io(self.io, self.streams, self.follower_there)
            (<Http2Io> self.io).decodings = self.decodings

    cdef take_memory(self, list addresses, list sources, uint64_t trace_rows):
        cdef uint32_t index
        self.conns = <Conn *> calloc(self.connection_count, sizeof(Conn))
        self.origins = <Origin *> calloc(ORIGINS_AT_MOST, sizeof(Origin))
        self.hops = <Hop **> calloc(HOP_BUCKETS, sizeof(Hop *))
        self.source_count = len(sources)
        self.sources = <sockaddr_storage *> calloc(max(self.source_count, 1), sizeof(sockaddr_storage))
        if self.conns == NULL or self.origins == NULL or self.hops == NULL or self.sources == NULL:
            raise MemoryError
        self.timers.heap = <Timer *> calloc(self.connection_count if self.loop == LOOP_USERS else 1, sizeof(Timer))
        free_room = self.connection_count if self.loop == LOOP_RATE else 1
        self.open_free = <uint32_t *> calloc(free_room, sizeof(uint32_t))
        self.closed_free = <uint32_t *> calloc(free_room, sizeof(uint32_t))
        if self.timers.heap == NULL or self.open_free == NULL or self.closed_free == NULL:
            raise MemoryError
        parts = max(self.shape.count, 1) * self.message_count
        if recorder_init(&self.recorder, parts if parts > 1 else 0, trace_rows) < 0:
            raise MemoryError
        for index in range(self.connection_count):
            self.conns[index].next_tick = index
            self.conns[index].slot = index
        self.origin_objects, self.address_names, self.tables = [], [], []
        self.add_addresses(addresses, self.tls, self.tunnel)
        for index, source in enumerate(sources):
            fill_address(source, 0, &self.sources[index])
            if any((":" in host) != (":" in source) for host, _ in addresses):
                raise ValueError(f"the source {source} is not of the family of every address")

    cdef take_decoders(self):
        cdef uint32_t index
        self.decodings = <Decoding *> calloc(self.connection_count, sizeof(Decoding))
        if self.decodings == NULL or not decode_pool_init(&self.decode_pool):
            raise MemoryError
        for index in range(self.connection_count):
            self.decodings[index].pool = &self.decode_pool
        if self.http2:
            (<Http2Io> self.io).decodings = self.decodings

    def __dealloc__(self):
        cdef uint32_t index
        if self.io is not None:
            self.io.shut()
        recorder_free(&self.recorder)
        if self.conns != NULL:
            for index in range(self.connection_count):
                free(self.conns[index].kept.data)
                free(self.conns[index].rendered)
        if self.decodings != NULL:
            for index in range(self.connection_count):
                decode_forget(&self.decodings[index])
            decode_pool_free(&self.decode_pool)
        free(self.decodings)
        free(self.conns)
        self.free_redirects()
        self.free_templates()
        if self.messages != NULL:
            for index in range(self.message_count):
                free_template(self.messages[index].template)
        free(self.sources)
        free(self.messages)
        free(self.order)
        free(self.shape.stages)
        free(self.timers.heap)
        free(self.open_free)
        free(self.closed_free)

    def run(self):
        """Prepare, wait for `start`, make load, and return when it has ended. Call once, in the worker's own thread.

        Raises OSError when the io backend can't be opened or fails; what was measured until then can still be read.
        """
        cdef int result
        try:
            self.open_io()
            be_prompt()
            with nogil:
                result = self.work()
                self.io.shut()
        finally:
            store_flag(&self.prepared, True)
            store_flag(&self.finished, True)
        if result < 0:
            raise OSError(-result, f"{self.io_name} failed: {strerror(-result).decode()}")

    cdef open_io(self):
        cdef int result = self.io.open(self.slot_count)
        if result < 0 and self.io_choice == "auto":
            self.io.shut()
            self.io_note = f"io_uring is not available here: {strerror(-result).decode()}"
            self.io = EpollIo()
            self.io_name = IO_NAMES[EpollIo]
            self.wrap_io()
            result = self.io.open(self.slot_count)
        if result < 0:
            raise OSError(-result, f"{self.io_name} is not available here: {strerror(-result).decode()}")

    def start(self, int64_t at_ns):
        """Let the load begin at this instant of CLOCK_MONOTONIC (or at once, if it has passed)."""
        store_instant(&self.start_order_ns, max(at_ns, 1))

    def set_addresses(self, list addresses not None):
        """Let connections go to other addresses of the target from now on, as its name server says; from one thread only.

        Each connection whose address by its number is another than before is opened anew after its answer, or when it is
        next used. ValueError.
        """
        if not addresses:
            raise ValueError("a target has at least one address")
        while load_flag(&self.addresses_pending) and not load_flag(&self.finished):
            sleep(0.0005)
        if load_flag(&self.finished):
            return
        self.fill_origin(&self.next_target, addresses, True)
        store_flag(&self.addresses_pending, True)

    def add_origin(self, list addresses not None, TlsContext tls, bytes tunnel=b""):
        """One more origin that redirects lead to, by its number; only to be called by the follower. ValueError."""
        cdef TlsIo wrapped
        cdef TunnelIo tunnelled
        cdef uint32_t number = self.add_addresses(addresses, tls, tunnel)
        if tunnel and self.tunnel_io is None:
            if self.tls_io is not None:
                raise ValueError("a tunnel is below TLS, which is there already")
            tunnelled = TunnelIo(self.io, b"")
            if tunnelled.adopt(self.slot_count) < 0:
                raise MemoryError
            self.io = self.tunnel_io = tunnelled
        if tls is not None and self.tls_io is None:
            wrapped = TlsIo(self.io, tls)
            if wrapped.adopt(self.slot_count) < 0:
                raise MemoryError
            self.tls_io = wrapped
            self.io = wrapped
        return number

    def stop(self):
        """End the load at once; requests in flight are abandoned. Safe from any thread and from signal handlers."""
        store_flag(&self.stop_requested, True)

    def snapshot(self):
        """Take what was measured since the last snapshot, without stopping the loop. From one thread only."""
        cdef EngineSnapshot snapshot
        if not load_flag(&self.finished) and load_instant(&self.start_order_ns) != 0:
            store_flag(&self.swap_requested, True)
            while load_flag(&self.swap_requested) and not load_flag(&self.finished):
                sleep(0.0005)
        if load_flag(&self.finished):
            store_flag(&self.swap_requested, False)
            return self.final_snapshot()
        snapshot = self.snapshot_of(self.recorder.inactive)
        side_reset(self.recorder.inactive, self.recorder.part_count)
        return snapshot

    cdef snapshot_of(self, const Side *side):
        cdef EngineSnapshot snapshot = snapshot_of_side(side, self.recorder.part_count, self.message_count)
        cdef const AddressTally *tally
        snapshot.addresses = {}
        for number, name in enumerate(self.address_names):
            tally = &side.addresses[<uint32_t> number]
            if tally.connections or tally.failures or tally.responses or tally.errors:
                snapshot.addresses[name] = (tally.connections, tally.failures, tally.responses, tally.errors)
        return snapshot

    cdef final_snapshot(self):
        cdef EngineSnapshot snapshot
        # A swap that the loop still made, just before it ended, left measurements on the other side as well.
        side_add(self.recorder.active, self.recorder.inactive, self.recorder.part_count)
        side_reset(self.recorder.inactive, self.recorder.part_count)
        snapshot = self.snapshot_of(self.recorder.active)
        side_reset(self.recorder.active, self.recorder.part_count)
        return snapshot

    @property
    def prepared(self):
        """Whether the connections are open (or failed to) and the worker waits for its start."""
        return bool(load_flag(&self.prepared))

    @property
    def finished(self):
        return bool(load_flag(&self.finished))

    @property
    def connections(self):
        """How many connections the worker holds at most."""
        return self.connection_count // self.streams

    @property
    def connections_open(self):
        """Connections that are open now; exact once `prepared`, and before the start."""
        return sum(self.conns[index].state == CONN_IDLE for index in range(self.connection_count // self.streams))

    @property
    def totals(self):
        """After the end: planned, sent, responses, errors, abandoned, unsent, dropped; elapsed_ns, cpu_ns, wall_ns, loop_turns."""
        return {
            "planned": self.planned(),
            "sent": self.begun,
            "responses": self.answered,
            "errors": self.failed,
            "abandoned": self.begun - self.answered - self.failed,
            "unsent": self.planned() - self.begun,
            "dropped": self.dropped,
            "elapsed_ns": max(self.ended_ns - self.warm_until_ns, 0),
            "cpu_ns": self.cpu_ns,
            "wall_ns": self.wall_ns,
            "loop_turns": self.loop_turns,
            "began_ns": load_instant(&self.began_ns),
        }

    @property
    def stopped_by(self):
        """What ended the load: "count", "duration", "signal" or "fault"; "" before the end."""
        return STOP_NAMES[self.stop_reason]

    @property
    def tls_spoken(self):
        """Version and cipher suite of the first TLS connection, as "TLSv1.3, TLS_AES_128_GCM_SHA256"; "" without any."""
        return (<bytes> self.tls_io.spoken).decode() if self.tls_io is not None else ""

    @property
    def protocol_agreed(self):
        """What the first TLS connection agreed on (ALPN), as "h2"; "" without any."""
        return (<bytes> self.tls_io.protocol).decode() if self.tls_io is not None else ""

    @property
    def streams_allowed(self):
        """How many streams a connection the server allows; 0: it has not said."""
        return (<Http2Io> self.io).streams_allowed if self.http2 else 0

    def trace(self):
        """The per-request rows that were kept, packed as struct TraceRow ("<7q2i"), and how many found no room."""
        cdef const char *rows = <const char *> self.recorder.trace
        length = self.recorder.trace_length * sizeof(TraceRow)
        return (rows[:length] if length else b""), self.recorder.trace_dropped
