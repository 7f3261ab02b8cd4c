# Where connections can go: the target, and the other origins that redirects lead to.

cdef enum:
    ORIGINS_AT_MOST = 64

cdef struct Origin:
    sockaddr_storage *addresses
    socklen_t *lengths
    uint32_t count
    const TlsShared *terms      # NULL: without TLS
    uint32_t *numbers           # of the addresses, among all that the target has had
    TunnelHead tunnel           # without data: none


@final
cdef class Origins:
    """Origins by number; number 0 is the target, whose addresses can be replaced while the load runs."""

    cdef:
        Origin *table
        uint32_t count
        uint32_t generation         # of the target's addresses
        Origin pending_target       # written by another thread while `target_pending` is not set
        int target_pending          # see c_atomic.pxd
        list objects                # that the table points into
        list address_names          # of the target, by number
        list memory                 # address tables: outstanding connects may read them as long as the engine lives

    def __cinit__(self):
        self.objects, self.address_names, self.memory = [], [], []
        self.table = <Origin *> calloc(ORIGINS_AT_MOST, sizeof(Origin))
        if self.table == NULL:
            raise MemoryError

    def __dealloc__(self):
        for table in self.memory or []:
            free(<void *> <size_t> table)
        free(self.table)

    cdef add(self, addresses, TlsContext tls, bytes tunnel):
        """Add an origin and return its number. Raises ValueError if there are too many."""
        cdef Origin *origin
        if self.count == ORIGINS_AT_MOST:
            raise ValueError(f"redirects lead to more than {ORIGINS_AT_MOST} hosts")
        origin = &self.table[self.count]
        self.fill(origin, addresses, self.count == 0)
        if tls is not None:
            origin.terms = &tls.shared
            self.objects.append(tls)
        if tunnel:
            origin.tunnel.data = tunnel
            origin.tunnel.bytes = <size_t> len(tunnel)
            self.objects.append(tunnel)
        self.count += 1
        return self.count - 1

    cdef fill(self, Origin *origin, addresses, bint is_target):
        """Convert literal addresses to the kernel's form, and number those of the target."""
        cdef uint32_t index
        origin.addresses = <sockaddr_storage *> calloc(len(addresses), sizeof(sockaddr_storage))
        origin.lengths = <socklen_t *> calloc(len(addresses), sizeof(socklen_t))
        origin.numbers = <uint32_t *> calloc(len(addresses), sizeof(uint32_t))
        origin.count = 0
        self.memory += [<size_t> origin.addresses, <size_t> origin.lengths, <size_t> origin.numbers]
        if origin.addresses == NULL or origin.lengths == NULL or origin.numbers == NULL:
            raise MemoryError
        for index, (host, port) in enumerate(addresses):
            origin.lengths[index] = fill_address(host, port, &origin.addresses[index])
            origin.numbers[index] = ADDRESSES_AT_MOST
            if not is_target:
                continue
            if host not in self.address_names and len(self.address_names) < ADDRESSES_AT_MOST:
                self.address_names.append(host)
            if host in self.address_names:
                origin.numbers[index] = self.address_names.index(host)
        origin.count = len(addresses)

    cdef inline bint update_is_pending(self) noexcept nogil:
        return load_flag(&self.target_pending)

    cdef propose_target(self, addresses):
        """Leave new addresses of the target for the worker, which has taken the ones before."""
        self.fill(&self.pending_target, addresses, True)
        store_flag(&self.target_pending, True)

    cdef void take_target(self) noexcept nogil:
        """Let connections go to the target's new addresses from now on."""
        self.table[0].addresses = self.pending_target.addresses
        self.table[0].lengths = self.pending_target.lengths
        self.table[0].numbers = self.pending_target.numbers
        self.table[0].count = self.pending_target.count
        self.generation += 1
        store_flag(&self.target_pending, False)
