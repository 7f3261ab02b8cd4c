# Redirects: what is asked next, prepared once for each place that answers lead to, and found again by all who come by.

from cpython.ref cimport Py_DECREF, Py_INCREF

cdef enum:
    REDIRECTS_AT_MOST = 10      # of one request; Go, and so hey, gives up at the tenth
    HOP_BUCKETS = 1024
    HOPS_AT_MOST = 4096         # prepared; then those that nobody is on are forgotten
    ORIGINS_AT_MOST = 64
    FOLLOWED = -2
    NOT_FOLLOWED = -1           # the answer is the last one


cdef class Redirects(Tallies):

    cdef:
        bint follower_there
        bint http2
        object follower             # called with (message's id, status, location); None: redirects are not followed
        Hop **hops
        uint32_t hop_count
        Origin *origins
        uint32_t origin_count
        list origin_objects
        list address_names          # of the target, by number
        list tables                 # every piece of memory with addresses: connects may look at it as long as the engine lives
        Origin next_target          # to be taken by the loop: see set_addresses
        int addresses_pending
        uint32_t generation         # of the target's addresses
        TlsIo tls_io                # None: nothing has spoken TLS yet
        TunnelIo tunnel_io          # None: nothing has gone through a tunnel yet
        uint32_t slot_count         # two a connection, where redirects are followed: one for the target, one for elsewhere

    cdef inline bint leads_on(self, const Conn *conn) noexcept nogil:
        """Whether an answer names another place to ask (RFC 9110, 15.4); without a Location it is the last."""
        cdef uint16_t status = conn.parser.status
        if conn.kept.bytes == 0:
            return False
        return 301 <= status <= 303 or status == 307 or status == 308

    cdef Hop *hop_from(self, const Conn *conn) noexcept nogil:
        """What a connection's answer leads to; NULL without memory."""
        cdef uint64_t hash = conn.message.id << 10 ^ conn.parser.status
        cdef uint32_t place
        cdef Hop *hop
        for place in range(conn.kept.bytes):  # FNV-1a
            hash = (hash ^ conn.kept.data[place]) * 1099511628211ULL
        place = <uint32_t> (hash ^ hash >> 32) % HOP_BUCKETS
        hop = self.hops[place]
        while hop != NULL:
            if (hop.from_id == conn.message.id and hop.status == conn.parser.status
                    and hop.location_bytes == conn.kept.bytes
                    and memcmp(hop.location, conn.kept.data, conn.kept.bytes) == 0):
                return hop
            hop = hop.next
        return self.prepare_hop(conn, &self.hops[place])

    cdef Hop *prepare_hop(self, const Conn *conn, Hop **bucket) noexcept with gil:
        cdef Hop *hop
        if self.hop_count >= HOPS_AT_MOST:
            self.forget_hops(False)
        hop = <Hop *> calloc(1, sizeof(Hop))
        if hop == NULL:
            return NULL
        hop.location = <uint8_t *> malloc(conn.kept.bytes)
        if hop.location == NULL:
            free(hop)
            return NULL
        memcpy(hop.location, conn.kept.data, conn.kept.bytes)
        hop.location_bytes = conn.kept.bytes
        hop.from_id = conn.message.id
        hop.status = conn.parser.status
        hop.end = FOLLOWED
        try:
            self.ask_follower(conn, hop)
        except Exception:
            hop.end = ERROR_REDIRECT_BAD
        hop.next = bucket[0]
        bucket[0] = hop
        self.hop_count += 1
        return hop

    cdef ask_follower(self, const Conn *conn, Hop *hop):
        answer = self.follower(conn.message.id, hop.status, (<const char *> hop.location)[:hop.location_bytes])
        if answer is None:
            hop.end = NOT_FOLLOWED
            return
        if isinstance(answer, str):
            hop.end = ERROR_NAMES.index(answer)
            return
        number, data, head, idempotent, origin = answer
        if not 0 <= origin < self.origin_count or not isinstance(data, bytes):
            raise ValueError("no request, or of no origin")
        Py_INCREF(data)
        hop.data = <PyObject *> data
        hop.message.data = <const uint8_t *> <const char *> data
        hop.message.bytes = len(data)
        hop.message.head_bytes = 0 if self.http2 else waiting_head_bytes(data)
        hop.message.closes = not self.http2 and head_closes(data)
        hop.message.head = head
        hop.message.idempotent = idempotent
        hop.message.id = number
        hop.origin = origin

    cdef void forget_hops(self, bint all):
        """Those that no request is on; they are prepared anew when one comes by."""
        cdef uint32_t place
        cdef Hop **link
        cdef Hop *hop
        forgotten = []
        for place in range(HOP_BUCKETS if self.hops != NULL else 0):
            link = &self.hops[place]
            while link[0] != NULL:
                hop = link[0]
                if hop.users > 0 and not all:
                    link = &hop.next
                    continue
                link[0] = hop.next
                if hop.data != NULL:
                    forgotten.append(hop.message.id)
                    Py_DECREF(<object> hop.data)
                free(hop.location)
                free(hop)
                self.hop_count -= 1
        if forgotten and not all:
            self.follower.forget(forgotten)

    cdef add_addresses(self, list addresses, TlsContext tls, bytes tunnel):
        """One more origin, by its number; ValueError if there are too many."""
        cdef Origin *origin
        if self.origin_count == ORIGINS_AT_MOST:
            raise ValueError(f"redirects lead to more than {ORIGINS_AT_MOST} hosts")
        origin = &self.origins[self.origin_count]
        self.fill_origin(origin, addresses, self.origin_count == 0)
        if tls is not None:
            origin.terms = &tls.shared
            self.origin_objects.append(tls)
        if tunnel:
            origin.tunnel.data = tunnel
            origin.tunnel.bytes = <size_t> len(tunnel)
            self.origin_objects.append(tunnel)
        self.origin_count += 1
        return self.origin_count - 1

    cdef fill_origin(self, Origin *origin, list addresses, bint counted):
        """Literal addresses in the kernel's form; those of the target with their numbers."""
        cdef uint32_t index
        origin.addresses = <sockaddr_storage *> calloc(len(addresses), sizeof(sockaddr_storage))
        origin.lengths = <socklen_t *> calloc(len(addresses), sizeof(socklen_t))
        origin.numbers = <uint32_t *> calloc(len(addresses), sizeof(uint32_t))
        origin.count = 0
        self.tables += [<size_t> origin.addresses, <size_t> origin.lengths, <size_t> origin.numbers]
        if origin.addresses == NULL or origin.lengths == NULL or origin.numbers == NULL:
            raise MemoryError
        for index, (host, port) in enumerate(addresses):
            origin.lengths[index] = fill_address(host, port, &origin.addresses[index])
            origin.numbers[index] = ADDRESSES_AT_MOST
            if not counted:
                continue
            if host not in self.address_names and len(self.address_names) < ADDRESSES_AT_MOST:
                self.address_names.append(host)
            if host in self.address_names:
                origin.numbers[index] = self.address_names.index(host)
        origin.count = len(addresses)

    cdef void take_addresses(self) noexcept nogil:
        """Let connections go to the target's new addresses from now on."""
        self.origins[0].addresses = self.next_target.addresses
        self.origins[0].lengths = self.next_target.lengths
        self.origins[0].numbers = self.next_target.numbers
        self.origins[0].count = self.next_target.count
        self.generation += 1
        store_flag(&self.addresses_pending, False)

    cdef void free_redirects(self):
        self.forget_hops(True)
        free(self.hops)
        for table in self.tables or []:
            free(<void *> <size_t> table)
        free(self.origins)
