# TLS inside the io contract: a backend on top of another one, which moves OpenSSL's records; between the two there is only
# memory. A connect is complete when the handshake is, a send when the inner one has taken the last byte of its records.

@final
cdef class TlsIo(Io):
    """TLS over another backend. Documented in _core.pyi."""

    cdef:
        Io inner
        TlsContext context
        TlsSlot *table
        uint32_t slots
        uint8_t *plain              # the bytes decrypted last
        uint8_t *stash              # bytes that were not read when the inner backend had to go on
        uint32_t reading            # the slot with bytes that OpenSSL has not read or not handed out, or NO_SLOT
        int64_t reading_ns          # when they were received
        uint32_t late               # the slot whose last handshake message may go out with its first request
        uint32_t broken             # the slot whose send OpenSSL has refused
        int broken_kind
        char[80] spoken             # version and cipher suite of the first connection
        char[16] protocol           # that it agreed on (ALPN); empty: none

    def __cinit__(self, Io inner not None, TlsContext context not None):
        self.inner = inner
        self.work = inner.work
        self.context = context
        self.reading = self.late = self.broken = NO_SLOT

    def __dealloc__(self):
        self.shut()

    cdef int open(self, uint32_t slots) noexcept nogil:
        cdef uint32_t slot
        cdef int result = self.inner.open(slots)
        if result == 0:
            result = self.take_memory(slots)
        if result < 0:
            self.shut()
            return result
        for slot in range(slots):
            self.table[slot].terms = &self.context.shared
        return 0

    cdef int adopt(self, uint32_t slots) noexcept nogil:
        """Take over an inner backend that is open. Its connections go on without TLS."""
        cdef uint32_t slot
        cdef int result = self.take_memory(slots)
        for slot in range(self.slots):
            self.table[slot].terms = NULL
        return result

    cdef int take_memory(self, uint32_t slots) noexcept nogil:
        self.table = <TlsSlot *> calloc(slots, sizeof(TlsSlot))
        self.plain = <uint8_t *> malloc(TLS_PLAIN_BYTES)
        self.stash = <uint8_t *> malloc(TLS_STASH_BYTES)
        if self.table == NULL or self.plain == NULL or self.stash == NULL:
            return -ENOMEM
        self.slots = slots
        return 0

    cdef void speak_by(self, uint32_t slot, const TlsShared *terms) noexcept nogil:
        """Set the terms of the next connection on a closed slot. NULL: without TLS."""
        self.table[slot].terms = terms

    cdef void shut(self) noexcept nogil:
        cdef uint32_t slot
        for slot in range(self.slots):
            self.release(&self.table[slot])
        if self.inner is not None:
            self.inner.shut()
        for slot in range(self.slots):
            free(self.table[slot].out)
            free(self.table[slot].sending_data)
        free(self.table)
        free(self.plain)
        free(self.stash)
        self.table = NULL
        self.plain = self.stash = NULL
        self.slots = 0
        self.reading = self.late = self.broken = NO_SLOT

    cdef int64_t now(self) noexcept nogil:
        return self.inner.now()

    cdef int64_t kernel_latency_ns(self, uint32_t slot) noexcept nogil:
        # The kernel knows nothing of records.
        return self.inner.kernel_latency_ns(slot) if self.table[slot].terms == NULL else -1

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        self.table[slot].state = TLS_CONNECTING
        self.inner.connect(slot, address, length, source)

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        cdef TlsSlot *at = &self.table[slot]
        if at.terms == NULL:
            self.inner.send(slot, data, length)
            return
        at.plain = data
        at.plain_left = at.plain_bytes = length
        at.telling = True
        if not at.sending:
            self.make_records(slot, at)

    cdef void close(self, uint32_t slot) noexcept nogil:
        self.release(&self.table[slot])
        if self.reading == slot:
            self.reading = NO_SLOT
        if self.late == slot:
            self.late = NO_SLOT
        if self.broken == slot:
            self.broken = NO_SLOT
        self.inner.close(slot)

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        cdef TlsSlot *at
        self.send_late()
        if self.reading != NO_SLOT or self.broken != NO_SLOT:
            deadline_ns = 0
        if self.reading != NO_SLOT:
            at = &self.table[self.reading]
            if at.source_bytes > 0:  # it may be in the stash already, behind bytes that were read
                memmove(self.stash, at.source, at.source_bytes)
                at.source = self.stash
        return self.inner.wait(deadline_ns)

    cdef bint next(self, IoEvent *event) noexcept nogil:
        event.handshake_ns = 0
        event.resumed = False
        self.send_late()
        if self.broken != NO_SLOT and self.work.left > 0:
            return self.tell_broken(event)
        while self.work.left > 0:
            if self.reading != NO_SLOT:
                if self.read_on(self.reading, event):
                    return True
            elif not self.inner.next(event):
                return False
            elif self.on_inner_event(event):
                return True
        return False

    cdef inline void release(self, TlsSlot *at) noexcept nogil:
        """Forget a connection. Its buffers stay for the next one, and because the kernel may still read them."""
        if at.ssl != NULL:
            tls.SSL_shutdown(at.ssl)  # quietly: nothing is sent, and the session stays valid
            tls.SSL_free(at.ssl)
            tls.ERR_clear_error()  # errors belong to the thread: one left here would be taken for another connection's
            at.ssl = NULL
        at.state = TLS_CLOSED
        at.sending = at.telling = False
        at.source_bytes = at.plain_left = at.out_bytes = 0

    # Records.

    cdef inline void make_records(self, uint32_t slot, TlsSlot *at) noexcept nogil:
        """Encrypt as much as may be encrypted ahead, and give the records to the inner backend."""
        cdef int bytes
        # At first one record at a time: they carry the acknowledgements of tickets, without which a server with Nagle's algorithm
        # would hold an early answer back, and lose it when it closes.
        cdef size_t ahead_bytes = TLS_AHEAD_BYTES if at.answered else TLS_RECORD_BYTES
        while at.plain_left > 0 and at.out_bytes < ahead_bytes:
            bytes = <int> min(at.plain_left, <size_t> TLS_RECORD_BYTES)
            if tls.SSL_write(at.ssl, at.plain, bytes) != bytes:
                self.broken_kind = self.failure(at, -1)
                self.broken = slot
                return
            at.plain += bytes
            at.plain_left -= <size_t> bytes
        self.give(slot, at)

    cdef inline void give(self, uint32_t slot, TlsSlot *at) noexcept nogil:
        cdef uint8_t *out = at.out
        cdef size_t bytes = at.out_bytes
        cdef size_t room = at.out_room
        if self.late == slot:
            self.late = NO_SLOT
        if bytes == 0 or at.sending:
            return
        at.out, at.out_room, at.out_bytes = at.sending_data, at.sending_room, 0
        at.sending_data, at.sending_room = out, room
        at.sending = True
        self.inner.send(slot, at.sending_data, bytes)

    cdef inline void send_late(self) noexcept nogil:
        if self.late != NO_SLOT:
            self.give(self.late, &self.table[self.late])

    # Events.

    cdef inline bint on_inner_event(self, IoEvent *event) noexcept nogil:
        """Handle an event of the inner backend; return whether it is now one for the caller."""
        cdef TlsSlot *at = &self.table[event.slot]
        if at.terms == NULL:
            return True
        if event.op == IO_RECV:
            return self.received(at, event)
        if event.op == IO_SEND:
            return self.sent(at, event)
        if event.result < 0:
            return True
        return self.begin(at, event)

    cdef bint begin(self, TlsSlot *at, IoEvent *event) noexcept nogil:
        """Begin the handshake on a new connection."""
        cdef tls.BIO *bio = tls.BIO_new(tls_bio_method)
        at.ssl = tls.SSL_new(at.terms.context)
        if bio == NULL or at.ssl == NULL:
            tls.BIO_free(bio)
            return self.failed(at, event, ERROR_OTHER)
        tls.BIO_set_data(bio, at)
        tls.BIO_set_init(bio, 1)
        tls.SSL_set_bio(at.ssl, bio, bio)
        tls.SSL_set_connect_state(at.ssl)
        if at.terms.sent_name != NULL:
            tls.SSL_set_tlsext_host_name(at.ssl, at.terms.sent_name)
        if at.terms.session != NULL:
            tls.SSL_set_session(at.ssl, at.terms.session)
        at.state = TLS_SHAKING
        at.empty_records = 0
        at.answered = False
        at.connected_ns = event.time_ns
        return self.shake(at, event)

    cdef bint shake(self, TlsSlot *at, IoEvent *event) noexcept nogil:
        """Go on with the handshake as far as possible; return whether it has ended."""
        cdef int result = tls.SSL_do_handshake(at.ssl)
        self.work.left -= WORK_HANDSHAKE
        if result != 1:
            if tls.SSL_get_error(at.ssl, result) != tls.SSL_ERROR_WANT_READ:
                return self.failed(at, event, self.failure(at, result))
            tls.ERR_clear_error()
            self.give(event.slot, at)
            return False
        if not self.agreed(at):
            return self.failed(at, event, ERROR_TLS_PROTOCOLS)
        at.state = TLS_OPEN
        if at.out_bytes > 0 and not at.sending:
            self.late = event.slot
        if at.source_bytes > 0 or tls.SSL_has_pending(at.ssl):
            self.reading = event.slot
            self.reading_ns = event.time_ns
        event.op = IO_CONNECT
        event.result = 0
        event.data = NULL
        event.time_ns = self.inner.now()
        event.handshake_ns = event.time_ns - at.connected_ns
        event.resumed = tls.SSL_session_reused(at.ssl) == 1
        return True

    cdef inline bint agreed(self, TlsSlot *at) noexcept nogil:
        """Whether the server has chosen an acceptable protocol. The first connection's choice is kept."""
        cdef const unsigned char *name = NULL
        cdef unsigned int bytes = 0
        tls.SSL_get0_alpn_selected(at.ssl, &name, &bytes)
        if self.spoken[0] == 0:
            snprintf(self.spoken, sizeof(self.spoken), "%s, %s", tls.SSL_get_version(at.ssl), tls.SSL_get_cipher_name(at.ssl))
            snprintf(self.protocol, sizeof(self.protocol), "%.*s", <int> bytes, <const char *> name)
        return at.terms.demanded_bytes == 0 or (
            bytes == at.terms.demanded_bytes and memcmp(name, at.terms.demanded, bytes) == 0
        )

    cdef bint failed(self, TlsSlot *at, IoEvent *event, int kind) noexcept nogil:
        """Fail the connect of a connection whose handshake has failed."""
        self.give(event.slot, at)  # the alert with the reason
        event.op = IO_CONNECT
        event.result = -(TLS_FAILURE + kind)
        event.data = NULL
        self.close(event.slot)
        return True

    cdef inline bint received(self, TlsSlot *at, IoEvent *event) noexcept nogil:
        if event.result <= 0:
            return self.stream_ended(at, event)
        at.source = event.data
        at.source_bytes = <size_t> event.result
        self.work.left -= event.result >> WORK_FRAMED_SHIFT
        if at.state == TLS_SHAKING:
            return self.shake(at, event)
        if at.state != TLS_OPEN:
            at.source_bytes = 0
            return False
        self.reading = event.slot
        self.reading_ns = event.time_ns
        return False  # the caller looks there next

    cdef bint stream_ended(self, TlsSlot *at, IoEvent *event) noexcept nogil:
        if at.state == TLS_SHAKING:
            if event.result == 0:
                return self.failed(at, event, ERROR_TLS_CLOSED)
            event.op = IO_CONNECT
            self.close(event.slot)
            return True
        if at.state != TLS_OPEN:
            return False
        at.state = TLS_ENDED
        if event.result == 0:
            # Without close_notify anybody can have ended the stream: what it delimits is cut off (RFC 8446, 6.1).
            event.result = -(TLS_FAILURE + ERROR_CLOSED_EARLY)
        return True

    cdef inline bint sent(self, TlsSlot *at, IoEvent *event) noexcept nogil:
        at.sending = False
        if event.result < 0:
            if at.state == TLS_SHAKING and not send_met_reset(event.result):
                event.op = IO_CONNECT
                self.close(event.slot)
                return True
            # Without a send that waits for it, the receiving side will meet the error.
            if not at.telling:
                return False
            at.telling = False
            return True
        if at.plain_left > 0 or at.out_bytes > 0:
            self.make_records(event.slot, at)
            return False
        if not at.telling:
            return False
        at.telling = False
        event.result = <int64_t> at.plain_bytes
        return True

    cdef inline bint read_on(self, uint32_t slot, IoEvent *event) noexcept nogil:
        """Decrypt more received bytes; return whether that yields an event. `reading` ends when there are no more."""
        cdef TlsSlot *at = &self.table[slot]
        cdef int total = 0
        cdef int got
        event.slot = slot
        event.op = IO_RECV
        event.time_ns = self.reading_ns
        event.data = self.plain
        if at.empty_records > TLS_EMPTY_RECORDS_AT_MOST or at.out_bytes > TLS_FLOOD_BYTES:
            return self.end_reading(at, event, -(TLS_FAILURE + ERROR_TLS_PROTOCOL))
        at.starved = False
        got = tls.SSL_read(at.ssl, self.plain, TLS_PLAIN_BYTES)
        while got > 0:
            at.empty_records = 0
            at.answered = True
            total += got
            if total == TLS_PLAIN_BYTES or (at.source_bytes == 0 and not tls.SSL_has_pending(at.ssl)):
                break
            got = tls.SSL_read(at.ssl, self.plain + total, TLS_PLAIN_BYTES - total)
        event.result = total
        if got <= 0 and tls.SSL_get_error(at.ssl, got) != tls.SSL_ERROR_WANT_READ:
            # The next call reports it, if there is content before it.
            return total > 0 or self.reading_failed(at, event, got)
        if got <= 0 and not at.starved:
            at.empty_records += 1
            self.work.left -= WORK_RECORD
            return total > 0  # there may be more
        if got <= 0 or total < TLS_PLAIN_BYTES:
            self.reading = NO_SLOT
            # A reply to a message of the peer, such as a change of keys.
            self.give(slot, at)
        return total > 0

    cdef bint reading_failed(self, TlsSlot *at, IoEvent *event, int result) noexcept nogil:
        cdef bint closed = tls.SSL_get_error(at.ssl, result) == tls.SSL_ERROR_ZERO_RETURN
        cdef int64_t ended = 0 if closed else -(TLS_FAILURE + self.failure(at, result))
        tls.ERR_clear_error()
        return self.end_reading(at, event, ended)

    cdef inline bint end_reading(self, TlsSlot *at, IoEvent *event, int64_t result) noexcept nogil:
        self.reading = NO_SLOT
        at.source_bytes = 0
        at.state = TLS_ENDED
        event.result = result
        return True

    cdef bint tell_broken(self, IoEvent *event) noexcept nogil:
        event.slot = self.broken
        event.op = IO_SEND
        event.result = -(TLS_FAILURE + self.broken_kind)
        event.data = NULL
        event.time_ns = self.inner.now()
        self.table[self.broken].telling = False
        self.broken = NO_SLOT
        return True

    cdef int failure(self, TlsSlot *at, int result) noexcept nogil:
        """The error kind of OpenSSL's last failure."""
        # OpenSSL sets a result even if no verification was requested.
        cdef long verified = tls.SSL_get_verify_result(at.ssl) if at.terms.verifies else <long> tls.X509_V_OK
        cdef int reason = tls.ERR_GET_REASON(tls.ERR_peek_error())
        tls.ERR_clear_error()
        if verified == tls.X509_V_ERR_CERT_HAS_EXPIRED or verified == tls.X509_V_ERR_CERT_NOT_YET_VALID:
            return ERROR_TLS_EXPIRED
        if verified == tls.X509_V_ERR_HOSTNAME_MISMATCH or verified == tls.X509_V_ERR_IP_ADDRESS_MISMATCH:
            return ERROR_TLS_NAME
        if (verified == tls.X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT or verified == tls.X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
                or verified == tls.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
                or verified == tls.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                or verified == tls.X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE):
            return ERROR_TLS_AUTHORITY
        if verified != tls.X509_V_OK:
            return ERROR_TLS_CERTIFICATE
        return ERROR_TLS_REFUSED if reason >= tls.SSL_AD_REASON_OFFSET else ERROR_TLS_PROTOCOL
