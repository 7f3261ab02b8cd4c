/* The least that a client can do: the physical limit that heyfleet is measured against.
 *
 *   bare_loop [-e] -c CONNECTIONS -z SECONDS PORT
 *
 * One thread sends one request at a time on each of its connections to 127.0.0.1:PORT and waits for as many bytes as
 * the first response had. No parser, no clock per request, no histogram, no timeouts. -e selects epoll instead of io_uring.
 * Prints the number of responses. docs/explain/benchmarks.md, "What was tried", gives reasons for the setup of the ring.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RING_ENTRIES = 4096, COMPLETIONS = 32768, BUFFERS = 512, BUFFER_BYTES = 4096, BUFFER_GROUP = 0, EVENTS = 512 };
enum { TICK_MS = 100 };              /* interval of checks for the end of the run while nothing arrives */
#define IS_SEND (1ull << 32)         /* in user_data, above the number of the connection */

struct connection {
    int fd;
    int missing_bytes; /* of the current response */
};

static struct connection *connections;
static unsigned connection_count;
static int answer_bytes;
static unsigned long answers;
static char request[128];
static size_t request_bytes;
static double stop_at_s;

static void fail(const char *what, int error) {
    fprintf(stderr, "bare_loop: %s: %s\n", what, strerror(error));
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket", errno);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect", errno);
    return fd;
}

/* Measure the length of one response, which is assumed of all later ones. */
static int learn_answer_bytes(int fd) {
    char buffer[BUFFER_BYTES];
    if (send(fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes) fail("send", errno);
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) fail("recv", got ? errno : ECONNRESET);
    answers++;
    return (int)got;
}

/* Return whether these bytes complete the response; if so, expect the next one. */
static inline bool completes(struct connection *connection, int got) {
    connection->missing_bytes -= got;
    if (connection->missing_bytes > 0) return false;
    connection->missing_bytes = answer_bytes;
    answers++;
    return true;
}

/* ---- io_uring ---- */

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char buffers[BUFFERS][BUFFER_BYTES];

static struct io_uring_sqe *next_sqe(void) {
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&ring))) io_uring_submit(&ring);
    return sqe;
}

static void receive_always(unsigned number) {
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, connections[number].fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = number;
}

static inline void send_request(unsigned number) {
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, connections[number].fd, request, request_bytes, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = IS_SEND | number;
}

static inline void lend_buffer(unsigned short id) {
    io_uring_buf_ring_add(buffer_ring, buffers[id], BUFFER_BYTES, id, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffer_ring, 1);
}

static void open_ring(void) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int error = io_uring_queue_init_params(RING_ENTRIES, &ring, &params);
    if (error) fail("io_uring_setup", -error);
    io_uring_register_ring_fd(&ring);
    if (posix_memalign((void **)&buffer_ring, 4096, BUFFERS * sizeof(struct io_uring_buf))) fail("memory", ENOMEM);
    struct io_uring_buf_reg registration = {
        .ring_addr = (unsigned long)buffer_ring, .ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error) fail("io_uring_register_buf_ring", -error);
    io_uring_buf_ring_init(buffer_ring);
    for (unsigned short id = 0; id < BUFFERS; id++) lend_buffer(id);
}

static inline void completed(const struct io_uring_cqe *cqe) {
    unsigned number = (unsigned)cqe->user_data;
    if (cqe->user_data & IS_SEND) fail("send", -cqe->res); /* only failures complete */
    if (cqe->res == 0) fail("recv", ECONNRESET);
    if (cqe->res < 0 && cqe->res != -ENOBUFS) fail("recv", -cqe->res);
    if (cqe->res > 0) {
        lend_buffer((unsigned short)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
        if (completes(&connections[number], cqe->res)) send_request(number);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) receive_always(number);
}

static void run_io_uring(void) {
    open_ring();
    for (unsigned number = 0; number < connection_count; number++) {
        receive_always(number);
        send_request(number);
    }
    struct __kernel_timespec tick = {.tv_nsec = TICK_MS * 1000000};
    while (now_s() < stop_at_s) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        int error = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &tick, NULL);
        if (error < 0 && error != -ETIME && error != -EINTR) fail("io_uring_enter", -error);
        io_uring_for_each_cqe(&ring, head, cqe) {
            completed(cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}

/* ---- epoll ---- */

static void run_epoll(void) {
    struct epoll_event events[EVENTS];
    char buffer[BUFFER_BYTES];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1", errno);
    for (unsigned number = 0; number < connection_count; number++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = number};
        int fd = connections[number].fd;
        if (fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl", errno);
        if (send(fd, request, request_bytes, MSG_NOSIGNAL) < 0) fail("send", errno);
    }
    while (now_s() < stop_at_s) {
        int ready = epoll_wait(epoll, events, EVENTS, TICK_MS);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = &connections[events[i].data.u32];
            ssize_t got = recv(connection->fd, buffer, sizeof buffer, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) fail("recv", got ? errno : ECONNRESET);
            if (!completes(connection, (int)got)) continue;
            if (send(connection->fd, request, request_bytes, MSG_NOSIGNAL) < 0) fail("send", errno);
        }
    }
}

static void raise_file_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
    bool epoll = false;
    double seconds = 0;
    int flag;
    while ((flag = getopt(argc, argv, "ec:z:")) != -1) {
        if (flag == 'e') epoll = true;
        if (flag == 'c') connection_count = (unsigned)atoi(optarg);
        if (flag == 'z') seconds = atof(optarg);
    }
    int port = optind < argc ? atoi(argv[optind]) : 0;
    if (!connection_count || seconds <= 0 || port <= 0) {
        fprintf(stderr, "usage: bare_loop [-e] -c CONNECTIONS -z SECONDS PORT\n");
        return 2;
    }
    raise_file_limit();
    request_bytes = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", port);
    connections = calloc(connection_count, sizeof *connections);
    if (!connections) fail("memory", ENOMEM);
    stop_at_s = now_s() + seconds;
    for (unsigned number = 0; number < connection_count; number++) connections[number].fd = dial(port);
    answer_bytes = learn_answer_bytes(connections[0].fd);
    for (unsigned number = 0; number < connection_count; number++) connections[number].missing_bytes = answer_bytes;
    if (epoll) run_epoll();
    else run_io_uring();
    printf("%lu\n", answers);
    return 0;
}
