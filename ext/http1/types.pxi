# Limits, results and states of the HTTP/1 parser, and the words that it recognises.

from libc.string cimport memset

cdef enum:
    # Of all interim heads and the final one together; then of each chunk line, the last one with its trailers.
    HTTP1_HEAD_LIMIT_BYTES = 65536
    # A number of at most this value stays below 2 ** 63 with one more digit: a decimal one, a hexadecimal one.
    HTTP1_DECIMAL_LIMIT = 922337203685477579
    HTTP1_HEX_LIMIT = 0x07ffffffffffffff

    HTTP1_HT = 0x09
    HTTP1_LF = 0x0a
    HTTP1_CR = 0x0d
    HTTP1_SP = 0x20
    HTTP1_DEL = 0x7f

    HTTP1_LOCATION_LIMIT_BYTES = 8192

cdef enum Http1Result:
    HTTP1_MORE
    HTTP1_PAUSED
    HTTP1_DONE
    HTTP1_BAD
    HTTP1_TOO_LARGE
    HTTP1_CLOSED_EARLY

cdef enum Http1Reason:
    HTTP1_REASON_NONE
    HTTP1_REASON_VERSION
    HTTP1_REASON_STATUS_LINE
    HTTP1_REASON_NAME
    HTTP1_REASON_FOLD
    HTTP1_REASON_CONTROL
    HTTP1_REASON_BARE_CR
    HTTP1_REASON_CONTENT_LENGTH
    HTTP1_REASON_TRANSFER_ENCODING
    HTTP1_REASON_CHUNK_SIZE
    HTTP1_REASON_CHUNK_END
    HTTP1_REASON_TOO_LARGE
    HTTP1_REASON_LOCATION
    # Faults of content, in the order of DecodeResult.
    HTTP1_REASON_CODING_BROKEN
    HTTP1_REASON_CODING_UNKNOWN
    HTTP1_REASON_CODING_TOO_LARGE
    HTTP1_REASON_CODING_NO_MEMORY
    HTTP1_REASONS

# In the order of Http1Result and of Http1Reason.
HTTP1_RESULT_NAMES = ("more", "paused", "done", "bad", "too large", "closed early")
HTTP1_REASON_NAMES = (
    "",
    "not HTTP/1",
    "bad status line",
    "bad header name",
    "bad header fold",
    "control character",
    "bare carriage return",
    "bad content-length",
    "bad transfer-encoding",
    "bad chunk size",
    "bad chunk end",
    "header too large",
    "location too long",
    "broken content coding",
    "unknown content coding",
    "content too large",
    "no memory",
)

cdef enum Http1State:
    # In the lines of the head, the chunk framing and the trailers.
    HTTP1_AT_LF
    HTTP1_IN_VERSION
    HTTP1_IN_STATUS
    HTTP1_AT_CHUNK_END
    HTTP1_IN_CHUNK_SIZE
    HTTP1_IN_EXTENSION
    HTTP1_AFTER_CHUNK_SIZE
    HTTP1_AT_LINE_START
    HTTP1_IN_NAME
    HTTP1_IN_LENGTH
    HTTP1_IN_LIST
    HTTP1_IN_TEXT
    HTTP1_IN_LOCATION
    HTTP1_IN_CODING
    HTTP1_AFTER_HEAD
    # In content.
    HTTP1_IN_SIZED
    HTTP1_IN_CHUNK
    HTTP1_BEFORE_CHUNKS
    HTTP1_TO_CLOSE
    # The work is spent; `next_state` is where the content goes on.
    HTTP1_IN_PAUSE
    # Final states.
    HTTP1_ENDED
    HTTP1_BROKEN

# The field whose value is read, or was read last in this head or these trailers.
cdef enum Http1Field:
    HTTP1_NO_FIELD
    HTTP1_OTHER_FIELD
    HTTP1_CONTENT_LENGTH
    HTTP1_CONNECTION
    HTTP1_TRANSFER_ENCODING

cdef enum Http1Flag:
    HTTP1_FLAG_HEAD_REQUEST = 1
    HTTP1_FLAG_MINOR = 2              # HTTP/1.1 and above: persistent unless it says otherwise
    HTTP1_FLAG_LENGTH = 4
    HTTP1_FLAG_CODED = 8              # has a Transfer-Encoding, which is not only identity
    HTTP1_FLAG_CHUNKED = 16           # and its last coding is chunked
    HTTP1_FLAG_CLOSE = 32
    HTTP1_FLAG_KEEP_ALIVE = 64
    HTTP1_FLAG_TRAILERS = 128
    HTTP1_FLAG_CODINGS = 256          # it has named a coding other than identity

cdef enum Http1Number:
    HTTP1_NO_DIGIT
    HTTP1_DIGITS
    HTTP1_AFTER_DIGITS

# Memory for the Location of a redirect. Its owner, not the parser, frees it.
cdef struct Http1Location:
    uint8_t *data
    uint32_t bytes
    uint32_t room

cdef struct Http1:
    # NULL: the Location is not stored.
    Http1Location *location
    # NULL: content is not decoded.
    Decoding *decoding
    # Content received, without chunk framing.
    uint64_t body_bytes
    # The Content-Length, then what is left of the content or of the chunk.
    uint64_t left_bytes
    # The length or chunk size whose digits are being read.
    uint64_t number
    uint32_t head_left_bytes
    # Valid with keep_alive once the head is complete.
    uint16_t status
    # Whether the connection may carry another request after this response.
    uint8_t keep_alive
    uint8_t reason
    uint8_t state
    # After the line whose LF is awaited, or after a pause.
    uint8_t next_state
    uint8_t field
    # In a word that may be a literal, an Http1Literal and how far it is read; in a number, its Http1Number.
    uint8_t index
    uint16_t flags
    # 100 (Continue) was among the interim responses.
    uint8_t continued

cdef struct Http1Cursor:
    const uint8_t *at
    const uint8_t *end

# Where the literals lie in http1_texts, and their ends. A literal is matched in one step of 16 bytes, less the
# first letter of a field's name, which picks the literal.
cdef enum Http1Literal:
    HTTP1_TEXT_OTHER = 0
    HTTP1_TEXT_CONTENT_LENGTH = 1
    HTTP1_TEXT_CONTENT_LENGTH_END = 15
    HTTP1_TEXT_CONNECTION = 16
    HTTP1_TEXT_CONNECTION_END = 26
    HTTP1_TEXT_TRANSFER_ENCODING = 27
    HTTP1_TEXT_TRANSFER_ENCODING_END = 44
    HTTP1_TEXT_CLOSE = 45
    HTTP1_TEXT_CLOSE_END = 50
    HTTP1_TEXT_KEEP_ALIVE = 51
    HTTP1_TEXT_KEEP_ALIVE_END = 61
    HTTP1_TEXT_CHUNKED = 62
    HTTP1_TEXT_CHUNKED_END = 69
    HTTP1_TEXT_VERSION = 70
    HTTP1_TEXT_MINOR = 77
    HTTP1_TEXT_VERSION_END = 79
    HTTP1_TEXT_200_END = 82
    HTTP1_TEXT_LOCATION = 83
    HTTP1_TEXT_LOCATION_END = 91
    HTTP1_TEXT_CONTENT_ENCODING = 92
    HTTP1_TEXT_CONTENT_ENCODING_END = 108
    HTTP1_TEXT_IDENTITY = 109
    HTTP1_TEXT_IDENTITY_END = 117
    # No word, only spaces and commas since the word before.
    HTTP1_TEXT_NONE = 118
    HTTP1_TEXTS_BYTES = 134
    HTTP1_NO_TOKEN = 255

# Texts, then as many bytes of masks. A byte matches if it equals the text's once the bits of the mask are set:
# 0x20 in letters whose case does not matter; 0x80 at the ends, where nothing matches.
cdef uint8_t[2 * HTTP1_TEXTS_BYTES] http1_texts

# For the first byte of a field name, what follows it in the literal that it may begin; HTTP1_NO_TOKEN for bytes
# that are in no name (RFC 9110 5.6.2).
cdef uint8_t[256] http1_names


cdef void http1_make_tables():
    cdef int index, byte
    cdef bytes texts = (
        b"\0content-length\0connection\0transfer-encoding\0close\0keep-alive\0chunked\0HTTP/1.1 200\0location\0content-encoding"
        b"\0identity"
    )
    memset(http1_texts + HTTP1_TEXTS_BYTES, 0x80, HTTP1_TEXTS_BYTES)
    for index in range(len(texts)):
        http1_texts[index] = texts[index]
        if texts[index]:
            http1_texts[HTTP1_TEXTS_BYTES + index] = 0x20 if c"a" <= texts[index] <= c"z" else 0
    memset(http1_names, HTTP1_NO_TOKEN, 256)
    for byte in range(0x80):
        if chr(byte).isalnum() or byte in b"!#$%&'*+-.^_`|~":
            http1_names[byte] = HTTP1_TEXT_OTHER
    http1_names[c"C"] = http1_names[c"c"] = HTTP1_TEXT_CONTENT_LENGTH + 1
    http1_names[c"T"] = http1_names[c"t"] = HTTP1_TEXT_TRANSFER_ENCODING + 1


http1_make_tables()
