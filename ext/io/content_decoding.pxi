# Decodes content as it comes (RFC 9110, 8.4): gzip, deflate, br and zstd, several in a row. Decoded bytes are counted and
# discarded. A response borrows its decoders from the worker's pool, from its first byte of encoded content to the last.
#
# Where the standards leave a choice:
# - deflate may come without its zlib wrapper, as some servers send it (RFC 9110, 8.4.1.2).
# - gzip may have several members (RFC 1952, 2.2), zstd several frames (RFC 8878, 3.1); what else follows the end is an error.
# - Content of no bytes at all is no error, whatever its coding.

from libc.stdlib cimport malloc
from libc.string cimport memcpy

cdef enum:
    DECODED_BYTES_AT_MOST = 1073741824  # of one response, by all of its codings together
    CODINGS_AT_MOST = 4
    CODING_TEXT_BYTES = 128

# Decoders in the order of decoding: the coding that was applied last is the first.
cdef struct DecodeChain:
    DecodeChain *next_free
    uint64_t decoded_bytes_of_all         # by all of its decoders, since the last one may yield little
    uint32_t count
    uint8_t *between            # DECODE_BYTES for each decoder but the last; NULL: there was never more than one
    Decoder[CODINGS_AT_MOST] decoders

# The decoders of a worker that are not in use.
cdef struct DecodePool:
    DecodeChain *free
    uint8_t *out                # DECODE_BYTES, which the last decoder of a chain fills
    WorkBudget *work            # what decoding spends

# The content of the response on one connection.
cdef struct Decoding:
    DecodePool *pool
    DecodeChain *chain          # NULL: no encoded content has come yet
    uint64_t decoded_bytes
    uint32_t text_bytes         # above CODING_TEXT_BYTES: it did not fit
    uint8_t[CODING_TEXT_BYTES] text  # of Content-Encoding; several values are joined by commas


cdef inline bint decode_pool_init(DecodePool *pool, WorkBudget *work) noexcept nogil:
    pool.free = NULL
    pool.work = work
    pool.out = <uint8_t *> malloc(DECODE_BYTES)
    return pool.out != NULL


cdef void decode_pool_free(DecodePool *pool) noexcept nogil:
    """Free the pool, after every chain was returned."""
    cdef DecodeChain *chain = pool.free
    cdef DecodeChain *next
    cdef int index
    while chain != NULL:
        next = chain.next_free
        for index in range(CODINGS_AT_MOST):
            if chain.decoders[index].zlib_made:
                codings.inflateEnd(&chain.decoders[index].zlib)
            codings.ZSTD_freeDCtx(chain.decoders[index].zstd)
        free(chain.between)
        free(chain)
        chain = next
    free(pool.out)
    pool.free = NULL
    pool.out = NULL


cdef void decode_forget(Decoding *decoding) noexcept nogil:
    """Return the decoders of a response to the pool."""
    cdef DecodeChain *chain = decoding.chain
    cdef uint32_t index
    if chain == NULL:
        return
    for index in range(chain.count):
        if chain.decoders[index].brotli != NULL:  # it can't be reused
            codings.BrotliDecoderDestroyInstance(chain.decoders[index].brotli)
            chain.decoders[index].brotli = NULL
    chain.next_free = decoding.pool.free
    decoding.pool.free = chain
    decoding.chain = NULL


cdef inline void decode_start(Decoding *decoding) noexcept nogil:
    """Prepare for another response."""
    decode_forget(decoding)
    decoding.decoded_bytes = 0
    decoding.text_bytes = 0


cdef int error_from_decode(int result) noexcept nogil:
    """The error kind of a result other than DECODE_GOOD."""
    return ERROR_OTHER if result == DECODE_NO_MEMORY else ERROR_CONTENT_BROKEN + result - DECODE_BROKEN


cdef void decode_text(Decoding *decoding, const uint8_t *text, size_t bytes) noexcept nogil:
    """Append to the field's value."""
    if bytes > CODING_TEXT_BYTES - min(decoding.text_bytes, <uint32_t> CODING_TEXT_BYTES):
        decoding.text_bytes = CODING_TEXT_BYTES + 1
    elif bytes > 0:
        memcpy(decoding.text + decoding.text_bytes, text, bytes)
        decoding.text_bytes += <uint32_t> bytes


cdef inline bint decode_is(const uint8_t *word, size_t bytes, const char *name, size_t name_bytes) noexcept nogil:
    cdef size_t index
    if bytes != name_bytes:
        return False
    for index in range(bytes):
        if word[index] | 0x20 != <uint8_t> name[index] | 0x20:
            return False
    return True


cdef DecodeResult decode_add(DecodeChain *chain, const uint8_t *word, size_t bytes) noexcept nogil:
    """Add a coding, which is decoded before those added earlier."""
    cdef Coding coding
    if decode_is(word, bytes, b"identity", 8):
        return DECODE_GOOD
    if decode_is(word, bytes, b"gzip", 4) or decode_is(word, bytes, b"x-gzip", 6):
        coding = CODING_GZIP
    elif decode_is(word, bytes, b"deflate", 7):
        coding = CODING_DEFLATE
    elif decode_is(word, bytes, b"br", 2):
        coding = CODING_BROTLI
    elif decode_is(word, bytes, b"zstd", 4):
        coding = CODING_ZSTD
    else:
        return DECODE_UNKNOWN
    if chain.count == CODINGS_AT_MOST:
        return DECODE_UNKNOWN
    chain.decoders[chain.count].coding = coding
    chain.count += 1
    return DECODE_GOOD


cdef DecodeResult decode_list(const Decoding *decoding, DecodeChain *chain) noexcept nogil:
    """Parse the field's codings, the last one first."""
    cdef uint32_t end = decoding.text_bytes
    cdef uint32_t begin, last
    cdef DecodeResult result
    chain.count = 0
    chain.decoded_bytes_of_all = 0
    if end > CODING_TEXT_BYTES:
        return DECODE_UNKNOWN
    while True:
        begin = end
        while begin > 0 and decoding.text[begin - 1] != c",":
            begin -= 1
        last = begin
        while end > last and (decoding.text[end - 1] == c" " or decoding.text[end - 1] == c"\t"):
            end -= 1
        while last < end and (decoding.text[last] == c" " or decoding.text[last] == c"\t"):
            last += 1
        if last < end:
            result = decode_add(chain, decoding.text + last, end - last)
            if result != DECODE_GOOD:
                return result
        if begin == 0:
            return DECODE_GOOD
        end = begin - 1


cdef DecodeResult decode_begin(Decoding *decoding) noexcept nogil:
    """Set up decoders for a response whose encoded content begins."""
    cdef DecodeChain *chain = decoding.pool.free
    cdef DecodeResult result
    cdef uint32_t index
    if chain != NULL:
        decoding.pool.free = chain.next_free
    else:
        chain = <DecodeChain *> calloc(1, sizeof(DecodeChain))
        if chain == NULL:
            return DECODE_NO_MEMORY
    decoding.chain = chain
    result = decode_list(decoding, chain)
    if result != DECODE_GOOD:
        chain.count = 0
        return result
    if chain.count > 1 and chain.between == NULL:
        chain.between = <uint8_t *> malloc((CODINGS_AT_MOST - 1) * DECODE_BYTES)
        if chain.between == NULL:
            chain.count = 0
            return DECODE_NO_MEMORY
    for index in range(chain.count):
        if not decoder_begin(&chain.decoders[index]):
            return DECODE_NO_MEMORY
    return DECODE_GOOD


cdef DecodeResult decode_feed(Decoding *decoding, const uint8_t *data, size_t bytes) noexcept nogil:
    """Decode more content. DECODE_PAUSED: nothing of it is taken until the same bytes have been passed again, in a later turn."""
    cdef DecodeResult result
    if decoding.text_bytes == 0 or bytes == 0:
        decoding.decoded_bytes += bytes
        return DECODE_GOOD
    if decoding.chain == NULL:
        result = decode_begin(decoding)
        if result != DECODE_GOOD:
            return result
    return decode_piece(decoding, data, bytes)


cdef DecodeResult decode_end(Decoding *decoding) noexcept nogil:
    """End the content; DECODE_BROKEN if a coding has not ended."""
    cdef uint32_t index
    cdef DecodeResult result = DECODE_GOOD
    if decoding.chain == NULL:
        return DECODE_GOOD
    for index in range(decoding.chain.count):
        if not decoding.chain.decoders[index].ended:
            result = DECODE_BROKEN
    decode_forget(decoding)
    return result


cdef DecodeResult decode_piece(Decoding *decoding, const uint8_t *data, size_t bytes) noexcept nogil:
    """Pass a piece through the chain, the output of each decoder before it makes more; behind the last one bytes are only counted.

    DECODE_PAUSED: the decoders know how far they got, and go on when they get the same piece again.
    """
    cdef DecodeChain *chain = decoding.chain
    cdef Decoder *decoder
    cdef DecodeResult result
    cdef uint32_t index = 0
    cdef const uint8_t *input
    cdef size_t input_bytes, read_bytes
    if chain.count == 0:
        decoding.decoded_bytes += bytes
        return DECODE_GOOD
    while index + 1 < chain.count and chain.decoders[index].out_bytes > 0:
        index += 1
    while True:
        decoder = &chain.decoders[index]
        if decoder.drained:
            decoder.drained = False
            decoder.read_bytes = 0
            if index == 0:
                return DECODE_GOOD
            index -= 1
            chain.decoders[index].out_bytes = 0
            continue
        if decoding.pool.work.left <= 0:
            return DECODE_PAUSED
        if index > 0:
            input, input_bytes = decode_output(decoding, index - 1), chain.decoders[index - 1].out_bytes
        else:
            input, input_bytes = data, bytes
        read_bytes = decoder.read_bytes
        result = decoder_step(decoder, input, min(input_bytes, read_bytes + DECODE_INPUT_BYTES), decode_output(decoding, index))
        if result != DECODE_GOOD:
            return result
        decoder.drained = decoder.drained and decoder.read_bytes == input_bytes
        decoding.pool.work.left -= (1 + (<int64_t> decoder.out_bytes >> WORK_MOVED_SHIFT)
                                    + (<int64_t> (decoder.read_bytes - read_bytes) >> WORK_CODED_SHIFT))
        chain.decoded_bytes_of_all += decoder.out_bytes
        if chain.decoded_bytes_of_all > DECODED_BYTES_AT_MOST:
            return DECODE_TOO_LARGE
        if index + 1 == chain.count:
            decoding.decoded_bytes += decoder.out_bytes
            decoder.out_bytes = 0
        elif decoder.out_bytes > 0:
            index += 1


cdef inline uint8_t *decode_output(const Decoding *decoding, uint32_t index) noexcept nogil:
    """Where a decoder of the chain writes to."""
    return decoding.pool.out if index + 1 == decoding.chain.count else decoding.chain.between + index * DECODE_BYTES
