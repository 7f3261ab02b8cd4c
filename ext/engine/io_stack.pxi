# The backends of one worker: one that talks to the kernel, and on top of it tunnels, TLS and HTTP/2 where they are needed.


@final
cdef class IoStack:
    """Chooses and stacks backends; `top` is the one to call."""

    cdef:
        Io top
        TunnelIo tunnels            # None: nothing uses a tunnel yet
        TlsIo tls                   # None: nothing speaks TLS yet
        Http2Io http2               # None: HTTP/1
        str choice                  # "auto", "io_uring", "epoll" or "given"
        str name
        str note
        TlsContext tls_context
        bytes tunnel_head
        uint32_t streams            # 0: HTTP/1
        bint keeps_location         # HTTP/2: redirects are followed
        Decoding *decodings         # by connection; NULL: content is not decoded
        uint32_t slots

    def __cinit__(self, io, bint kernel_timestamps, target, uint32_t streams):
        """Choose a backend: "auto", "io_uring", "epoll" or an Io object. `target` is a TargetConfig. Raises ValueError."""
        self.choice = io if isinstance(io, str) else "given"
        self.tls_context = target.tls
        self.tunnel_head = target.tunnel
        self.streams = streams if target.http2 else 0
        self.keeps_location = target.follower is not None
        if kernel_timestamps and io in ("auto", "epoll"):
            self.top = EpollIo(stamps=True)
            self.choice = "epoll"
        elif kernel_timestamps:
            raise ValueError("kernel timestamps need the epoll backend")
        elif isinstance(io, Io):
            self.top = io
        elif io == "epoll":
            self.top = EpollIo()
        elif io in ("auto", "io_uring"):
            self.top = UringIo()
        else:
            raise ValueError(f"io must be auto, io_uring or epoll, not {io!r}")
        self.name = IO_NAMES.get(type(self.top), "given")
        self.note = "with the kernel's time stamps" if kernel_timestamps else ""
        self.wrap()

    cdef wrap(self):
        """Stack everything that the target needs on the kernel's backend."""
        if self.tunnel_head:
            self.top = self.tunnels = TunnelIo(self.top, self.tunnel_head)
        if self.tls_context is not None:
            self.top = self.tls = TlsIo(self.top, self.tls_context)
        if self.streams > 0:
            self.top = self.http2 = Http2Io(self.top, self.streams, self.keeps_location)
            self.http2.decodings = self.decodings

    cdef set_decodings(self, Decoding *decodings):
        """Let HTTP/2 decode content into these, by connection."""
        self.decodings = decodings
        if self.http2 is not None:
            self.http2.decodings = decodings

    cdef open(self, uint32_t slots):
        """Open the backends in the thread that will use them; "auto" falls back to epoll. Raises OSError."""
        cdef int result = self.top.open(slots)
        self.slots = slots
        if result < 0 and self.choice == "auto":
            self.top.shut()
            self.note = f"io_uring is not available here: {strerror(-result).decode()}"
            self.top = EpollIo()
            self.name = IO_NAMES[EpollIo]
            self.wrap()
            result = self.top.open(slots)
        if result < 0:
            raise OSError(-result, f"{self.name} is not available here: {strerror(-result).decode()}")
        if self.decodings != NULL:
            self.decodings[0].pool.work = self.top.work

    cdef add_tunnels(self):
        """Let connections to other origins use tunnels from now on. Raises ValueError and MemoryError."""
        cdef TunnelIo tunnels
        if self.tunnels is not None:
            return
        if self.tls is not None:
            raise ValueError("tunnels can't be added below TLS, which is in use already")
        tunnels = TunnelIo(self.top, b"")
        if tunnels.adopt(self.slots) < 0:
            raise MemoryError
        self.top = self.tunnels = tunnels

    cdef add_tls(self, TlsContext context):
        """Let connections to other origins speak TLS from now on. Raises MemoryError."""
        cdef TlsIo tls
        if self.tls is not None:
            return
        tls = TlsIo(self.top, context)
        if tls.adopt(self.slots) < 0:
            raise MemoryError
        self.top = self.tls = tls

    cdef inline void route(self, uint32_t slot, const Origin *origin) noexcept nogil:
        """Tell a closed slot how its next connection reaches an origin, where there is more than one."""
        if self.tls is not None:
            self.tls.speak_by(slot, origin.terms)
        if self.tunnels is not None:
            self.tunnels.lead_by(slot, &origin.tunnel)
