# Requests with `Expect: 100-continue` (RFC 9110, 10.1.1): first the head is sent, then, when the server has said 100 (Continue) or
# a second has passed, the body. If the final response comes first, the body is not sent at all and the connection is closed after
# the response (RFC 9112, 9.3).

cdef enum:
    # A server that does not know the expectation says nothing.
    CONTINUE_WAIT_NS = 1000000000


@final
cdef class ExpectContinue:

    cdef:
        ConnList continuing         # whose bodies are held
        Conn *conns                 # the pool's
        IoStack io

    def __cinit__(self, ConnectionPool pool not None):
        conn_list_init(&self.continuing)
        self.conns = pool.conns
        self.io = pool.io

    cdef void send_head(self, uint32_t index, Conn *conn, int64_t now_ns) noexcept nogil:
        conn.body = BODY_HELD
        conn.head_written = False
        conn.held_since_ns = now_ns
        conn_list_append(&self.continuing, self.conns, index, LIST_CONTINUING)
        self.io.top.send(conn.slot, conn.message.data, conn.message.head_bytes)

    cdef bint finish_send(self, Conn *conn) noexcept nogil:
        """Take note that a send has ended. True: the request is written as a whole."""
        if conn.head_written:
            return True
        conn.head_written = True
        if conn.body == BODY_DUE:
            self.send_body(conn)
        return False

    cdef void on_partial_response(self, uint32_t index, Conn *conn) noexcept nogil:
        """Send the body if what has come of the response is 100 (Continue)."""
        if conn.body == BODY_HELD and conn.parser.continued and conn.parser.status == 0:
            conn.first_byte_ns = 0
            self.release(index, conn)

    cdef void release(self, uint32_t index, Conn *conn) noexcept nogil:
        """Send a held body, or let it follow its head."""
        conn_list_remove(&self.continuing, self.conns, index, LIST_CONTINUING)
        conn.body = BODY_DUE
        if conn.head_written:
            self.send_body(conn)

    cdef inline void send_body(self, Conn *conn) noexcept nogil:
        conn.body = BODY_SENT
        self.io.top.send(
            conn.slot, conn.message.data + conn.message.head_bytes, conn.message.bytes - conn.message.head_bytes
        )

    cdef inline int64_t next_release_ns(self) noexcept nogil:
        """When the next body has waited long enough; NEVER_NS if none is held."""
        if self.continuing.oldest == NO_CONN:
            return NEVER_NS
        return self.conns[self.continuing.oldest].held_since_ns + CONTINUE_WAIT_NS

    cdef void release_due(self, int64_t now_ns) noexcept nogil:
        """Send the bodies that have waited long enough, except where a response has begun."""
        cdef uint32_t index
        cdef Conn *conn
        while self.next_release_ns() <= now_ns:
            index = self.continuing.oldest
            conn = &self.conns[index]
            if conn.parser.status == 0:
                self.release(index, conn)
            else:
                conn_list_remove(&self.continuing, self.conns, index, LIST_CONTINUING)
                conn.body = BODY_UNWANTED

    cdef inline void forget(self, Conn *conn) noexcept nogil:
        """Give up a body that has not been sent, since its connection is about to be closed."""
        if conn.body != BODY_NONE:
            conn_list_remove(&self.continuing, self.conns, <uint32_t> (conn - self.conns), LIST_CONTINUING)
            conn.body = BODY_NONE
