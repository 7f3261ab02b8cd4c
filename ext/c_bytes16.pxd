# Finds runs of bytes, sixteen at a time. A rest of less than sixteen is padded with zeros, which end every run, so that
# nothing behind `end` is read and no run exceeds the input. Vectors are the compiler's; only finding a byte in one uses an
# instruction of the processor.

from libc.stdint cimport uint8_t

cdef extern from * nogil:
    """
    #include <endian.h>
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    typedef uint8_t bytes16 __attribute__((vector_size(16)));

    static __attribute__((noinline, cold)) bytes16 bytes16_rest(const uint8_t *at, const uint8_t *end) {
        bytes16 bytes = {0};
        memcpy(&bytes, at, end - at);
        return bytes;
    }

    static inline bytes16 bytes16_load(const uint8_t *at, const uint8_t *end) {
        bytes16 bytes;
        if ((uintptr_t) end < (uintptr_t) at + 16)
            return bytes16_rest(at, end);
        memcpy(&bytes, at, 16);
        return bytes;
    }

    /* The place of the first byte that is 0xff, or that is 0; no byte is anything else. 16 if there is none. */
    #ifdef __SSE2__
    static inline unsigned bytes16_first_set(bytes16 bytes) {
        return __builtin_ctz(_mm_movemask_epi8((__m128i) bytes) | 0x10000);
    }

    static inline unsigned bytes16_first_clear(bytes16 bytes) {
        return __builtin_ctz(~_mm_movemask_epi8((__m128i) bytes));
    }
    #else
    static inline unsigned bytes16_first_set(bytes16 bytes) {
        uint64_t half[2];
        memcpy(half, &bytes, 16);
        if (half[0])
            return __builtin_ctzll(le64toh(half[0])) >> 3;
        return half[1] ? 8 + (__builtin_ctzll(le64toh(half[1])) >> 3) : 16;
    }

    static inline unsigned bytes16_first_clear(bytes16 bytes) {
        return bytes16_first_set(~bytes);
    }
    #endif

    /* The end of visible bytes and spaces: a control character, tab or not, or the end. */
    static inline const uint8_t *text_end(const uint8_t *at, const uint8_t *end) {
        unsigned run;
        do {
            bytes16 bytes = bytes16_load(at, end);
            run = bytes16_first_set((bytes16) ((bytes <= 0x1f) | (bytes == 0x7f)));
            at += run;
        } while (run == 16);
        return at;
    }

    /* Letters and hyphens among the next sixteen bytes. */
    static inline unsigned word_run16(const uint8_t *at, const uint8_t *end) {
        bytes16 bytes = bytes16_load(at, end);
        return bytes16_first_clear((bytes16) (((bytes | 0x20) - 'a' <= 'z' - 'a') | (bytes == '-')));
    }

    /* Bytes among the next sixteen that equal the text's when the mask's bits are set in them. */
    static inline unsigned equal_run16(
        const uint8_t *at, const uint8_t *end, const uint8_t *text, const uint8_t *mask
    ) {
        bytes16 bytes = bytes16_load(at, end), wanted, set;
        memcpy(&wanted, text, 16);
        memcpy(&set, mask, 16);
        return bytes16_first_clear((bytes16) ((bytes | set) == wanted));
    }
    """
    const uint8_t *text_end(const uint8_t *at, const uint8_t *end)
    unsigned word_run16(const uint8_t *at, const uint8_t *end)
    unsigned equal_run16(const uint8_t *at, const uint8_t *end, const uint8_t *text, const uint8_t *mask)
