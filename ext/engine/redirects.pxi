# Redirects: the next request is prepared once for each (message, status, Location), and found again by later responses.

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef enum:
    REDIRECTS_AT_MOST = 10      # of one request; Go's client, and so hey, gives up at the tenth
    REDIRECT_BUCKETS = 1024
    CACHED_REDIRECTS_AT_MOST = 4096     # above it, those that no request uses are forgotten
    FOLLOWED = -2
    NOT_FOLLOWED = -1           # the response is the last one

# What a response with a Location leads to.
cdef struct Redirect:
    Redirect *next              # in its bucket
    uint64_t from_id            # of the message whose response it is; ids are never used twice
    uint8_t *location
    uint32_t location_bytes
    uint16_t status
    Message message
    PyObject *data              # of the message
    uint32_t origin
    uint32_t users              # requests that are on it
    int end                     # FOLLOWED, NOT_FOLLOWED, or the error kind that the request ends in


cdef inline bint is_redirect(uint16_t status, const Http1Location *location) noexcept nogil:
    """Whether a response leads elsewhere (RFC 9110, 15.4). Without a Location it does not."""
    if location.bytes == 0:
        return False
    return 301 <= status <= 303 or status == 307 or status == 308


@final
cdef class RedirectCache:
    """Asks a follower where redirects lead to, and remembers its answers."""

    cdef:
        object follower             # None: redirects are not followed
        bint http2
        Origins origins
        IoStack io
        Redirect **buckets
        uint32_t count

    def __cinit__(self, follower, bint http2, Origins origins not None, IoStack io not None):
        self.follower = follower
        self.http2 = http2
        self.origins, self.io = origins, io
        self.buckets = <Redirect **> calloc(REDIRECT_BUCKETS, sizeof(Redirect *))
        if self.buckets == NULL:
            raise MemoryError

    def __dealloc__(self):
        self.remove(True)
        free(self.buckets)

    cdef Redirect *find(self, const Message *message, uint16_t status, const Http1Location *location) noexcept nogil:
        """Where a response to a message leads to; NULL without memory."""
        cdef uint64_t hash = message.id << 10 ^ status
        cdef uint32_t index
        cdef Redirect *redirect
        for index in range(location.bytes):  # FNV-1a
            hash = (hash ^ location.data[index]) * 1099511628211ULL
        index = <uint32_t> (hash ^ hash >> 32) % REDIRECT_BUCKETS
        redirect = self.buckets[index]
        while redirect != NULL:
            if (redirect.from_id == message.id and redirect.status == status and redirect.location_bytes == location.bytes
                    and memcmp(redirect.location, location.data, location.bytes) == 0):
                return redirect
            redirect = redirect.next
        return self.add(message, status, location, &self.buckets[index])

    cdef Redirect *add(self, const Message *message, uint16_t status, const Http1Location *location,
                       Redirect **bucket) noexcept with gil:
        cdef Redirect *redirect
        self.io.top.work.left -= WORK_REDIRECT
        if self.count >= CACHED_REDIRECTS_AT_MOST:
            ids = self.remove(False)
            if ids:
                self.follower.forget(ids)
        redirect = <Redirect *> calloc(1, sizeof(Redirect))
        if redirect == NULL:
            return NULL
        redirect.location = <uint8_t *> malloc(location.bytes)
        if redirect.location == NULL:
            free(redirect)
            return NULL
        memcpy(redirect.location, location.data, location.bytes)
        redirect.location_bytes = location.bytes
        redirect.from_id = message.id
        redirect.status = status
        redirect.end = FOLLOWED
        try:
            self.ask_follower(redirect)
        except Exception:
            redirect.end = ERROR_REDIRECT_BAD
        redirect.next = bucket[0]
        bucket[0] = redirect
        self.count += 1
        return redirect

    cdef ask_follower(self, Redirect *redirect):
        location = (<const char *> redirect.location)[:redirect.location_bytes]
        answer = self.follower(redirect.from_id, redirect.status, location)
        if answer is None:
            redirect.end = NOT_FOLLOWED
            return
        if isinstance(answer, str):
            redirect.end = ERROR_NAMES.index(answer)
            return
        number, data, head, idempotent, origin = answer
        if not 0 <= origin < self.origins.count or not isinstance(data, bytes):
            raise ValueError("a follower returned no request, or an unknown origin")
        Py_INCREF(data)
        redirect.data = <PyObject *> data
        message_set(&redirect.message, data, self.http2)
        redirect.message.head = head
        redirect.message.idempotent = idempotent
        redirect.message.id = number
        redirect.origin = origin

    cdef list remove(self, bint used):
        """Remove the redirects that no request uses, or all of them; return the ids of their messages."""
        cdef uint32_t index
        cdef Redirect **link
        cdef Redirect *redirect
        ids = []
        for index in range(REDIRECT_BUCKETS if self.buckets != NULL else 0):
            link = &self.buckets[index]
            while link[0] != NULL:
                redirect = link[0]
                if redirect.users > 0 and not used:
                    link = &redirect.next
                    continue
                link[0] = redirect.next
                if redirect.data != NULL:
                    ids.append(redirect.message.id)
                    Py_DECREF(<object> redirect.data)
                free(redirect.location)
                free(redirect)
                self.count -= 1
        return ids
