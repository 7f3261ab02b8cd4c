# What Python sees of a worker.


@final
cdef class Engine:
    """One worker's load. Documented in _core.pyi."""

    cdef Worker worker

    def __cinit__(self, target not None, requests not None, connections not None, load not None, *, recording=None, io="auto"):
        recording = RecordingConfig() if recording is None else recording
        check_configuration(target, connections, load, recording)
        if target.tls is not None:
            (<TlsContext> target.tls).serve(connections.connections)
        self.worker = Worker(target, requests, connections, load, recording, io)

    @property
    def io_name(self):
        return self.worker.io.name

    @property
    def io_note(self):
        return self.worker.io.note

    def run(self):
        cdef Worker worker = self.worker
        cdef int result
        try:
            worker.io.open(worker.pool.slot_count)
            request_prompt_scheduling()
            with nogil:
                result = worker.work()
        finally:
            store_flag(&worker.prepared, True)
            store_flag(&worker.finished, True)
        if result < 0:
            raise OSError(-result, f"{self.io_name} failed: {strerror(-result).decode()}")

    def start(self, int64_t at_ns):
        store_instant(&self.worker.start_order_ns, max(at_ns, 1))

    def stop(self):
        store_flag(&self.worker.stop_requested, True)

    def set_addresses(self, list addresses not None):
        cdef Worker worker = self.worker
        if not addresses:
            raise ValueError("a target has at least one address")
        while worker.origins.update_is_pending() and not load_flag(&worker.finished):
            sleep(0.0005)
        if not load_flag(&worker.finished):
            worker.origins.propose_target(addresses)

    def add_origin(self, list addresses not None, TlsContext tls, bytes tunnel=b""):
        number = self.worker.origins.add(addresses, tls, tunnel)
        if tunnel:
            self.worker.io.add_tunnels()
        if tls is not None:
            self.worker.io.add_tls(tls)
        return number

    def snapshot(self):
        cdef Worker worker = self.worker
        if not load_flag(&worker.finished) and load_instant(&worker.start_order_ns) != 0:
            store_flag(&worker.swap_requested, True)
            while load_flag(&worker.swap_requested) and not load_flag(&worker.finished):
                sleep(0.0005)
        if not load_flag(&worker.finished):
            return worker.accounting.take(worker.accounting.recorder.inactive, worker.origins.address_names)
        # The loop may have swapped once more just before it ended, and left measurements in both buffers.
        store_flag(&worker.swap_requested, False)
        recorder_merge(&worker.accounting.recorder)
        return worker.accounting.take(worker.accounting.recorder.active, worker.origins.address_names)

    @property
    def prepared(self):
        return bool(load_flag(&self.worker.prepared))

    @property
    def finished(self):
        return bool(load_flag(&self.worker.finished))

    @property
    def connections(self):
        return self.worker.pool.count // self.worker.pool.streams

    @property
    def connections_open(self):
        return sum(self.worker.pool.conns[index].state == CONN_IDLE for index in range(self.connections))

    @property
    def totals(self):
        cdef Worker worker = self.worker
        cdef Accounting accounting = worker.accounting
        planned = worker.generator.planned()
        return {
            "planned": planned,
            "sent": accounting.begun,
            "responses": accounting.answered,
            "errors": accounting.failed,
            "abandoned": accounting.begun - accounting.answered - accounting.failed,
            "unsent": planned - accounting.begun,
            "dropped": accounting.dropped,
            "elapsed_ns": max(worker.ended_ns - accounting.warm_until_ns, 0),
            "cpu_ns": worker.cpu_ns,
            "wall_ns": worker.wall_ns,
            "loop_turns": worker.loop_turns,
            "began_ns": load_instant(&worker.began_ns),
        }

    @property
    def stopped_by(self):
        return STOP_NAMES[self.worker.stop_reason]

    @property
    def tls_spoken(self):
        return (<bytes> self.worker.io.tls.spoken).decode() if self.worker.io.tls is not None else ""

    @property
    def protocol_agreed(self):
        return (<bytes> self.worker.io.tls.protocol).decode() if self.worker.io.tls is not None else ""

    @property
    def streams_allowed(self):
        return self.worker.io.http2.streams_allowed if self.worker.io.http2 is not None else 0

    def trace(self):
        return self.worker.accounting.trace_rows(), self.worker.accounting.recorder.trace_dropped
