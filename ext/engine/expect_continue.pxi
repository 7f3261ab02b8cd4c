# Bodies that wait until the server has said 100 (Continue), or for a second (RFC 9110, 10.1.1): first the head is sent. A body
# that the server's final answer came before is not sent at all, and its connection is closed after that (RFC 9112, 9.3).

cdef enum:
    # A server that does not know of the expectation says nothing.
    CONTINUE_WAIT_NS = 1000000000


cdef class Expecting(Slots):

    cdef ConnList continuing        # whose bodies wait

    cdef void send_head(self, uint32_t index, Conn *conn, int64_t now_ns) noexcept nogil:
        conn.body = BODY_HELD
        conn.head_written = False
        conn.held_since_ns = now_ns
        conn_list_append(&self.continuing, self.conns, index, LIST_CONTINUING)
        self.io.send(conn.slot, conn.message.data, conn.message.head_bytes)

    cdef bint head_sent(self, Conn *conn) noexcept nogil:
        """Whether a send that has ended was that of the head alone."""
        if conn.head_written:
            return False
        conn.head_written = True
        if conn.body == BODY_DUE:
            self.send_body(conn)
        return True

    cdef void heard(self, Conn *conn, uint32_t index) noexcept nogil:
        """More of the answer has come, and not its end."""
        if conn.body == BODY_HELD and conn.parser.continued and conn.parser.status == 0:
            conn.first_byte_ns = 0
            self.release_body(index, conn)

    cdef void release_body(self, uint32_t index, Conn *conn) noexcept nogil:
        conn_list_remove(&self.continuing, self.conns, index, LIST_CONTINUING)
        conn.body = BODY_DUE
        if conn.head_written:
            self.send_body(conn)

    cdef inline void send_body(self, Conn *conn) noexcept nogil:
        conn.body = BODY_SENT
        self.io.send(
            conn.slot, conn.message.data + conn.message.head_bytes, conn.message.bytes - conn.message.head_bytes
        )

    cdef void release_late(self, int64_t now_ns) noexcept nogil:
        """Send the bodies that have waited long enough, but where an answer has begun."""
        cdef uint32_t index = self.continuing.oldest
        cdef Conn *conn
        while index != NO_CONN and self.conns[index].held_since_ns + CONTINUE_WAIT_NS <= now_ns:
            conn = &self.conns[index]
            if conn.parser.status == 0:
                self.release_body(index, conn)
            else:
                conn_list_remove(&self.continuing, self.conns, index, LIST_CONTINUING)
                conn.body = BODY_UNWANTED
            index = self.continuing.oldest

    cdef inline void close_slot(self, Conn *conn) noexcept nogil:
        if conn.body != BODY_NONE:
            conn_list_remove(&self.continuing, self.conns, <uint32_t> (conn - self.conns), LIST_CONTINUING)
            conn.body = BODY_NONE
        if self.decodings != NULL:
            decode_forget(&self.decodings[conn - self.conns])
        self.io.close(conn.slot)
        conn.state = CONN_CLOSED
