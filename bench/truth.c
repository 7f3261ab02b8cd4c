/* A target whose own delays are known: the truth that reports of load generators are compared with.
 *
 *   truth table SEED LOG          responds after delays from a seeded table
 *   truth stall EVERY STALL LOG   responds at once, but stalls for the first STALL of every EVERY seconds
 *   truth at-once                 responds at once
 *
 * One thread, HTTP/1.1 without request bodies, on a port of 127.0.0.1 that it prints first. SIGTERM ends it and writes LOG:
 * a pair of int64 per request, in order of receipt, of CLOCK_MONOTONIC in ns when its end was received and when the kernel
 * had its response. Stalls are periodic from the first request on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 20000, EVENTS = 256, REQUESTS = 1 << 23, DELAYS = 1 << 16 };
enum mode { TABLE, STALL, AT_ONCE };

struct timer {
    int64_t due_ns;
    int fd;
    uint32_t request;
};

struct pair {
    int64_t received_ns, sent_ns;
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
static enum mode mode;
static int64_t every_ns, stall_ns, first_ns;
static int64_t delays_ns[DELAYS];
static struct pair *pairs;
static uint32_t requests;
static struct timer heap[CONNECTIONS];
static int timers;
static int tail_bytes[CONNECTIONS * 2]; /* length of the last part of "\r\n\r\n" that a connection sent, by descriptor */
static volatile sig_atomic_t ended;

static void fail(const char *what) {
    fprintf(stderr, "truth: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void end(int signum) {
    (void)signum;
    ended = 1;
}

static double unit(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 (Steele, Lea and Flood 2014) */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}

/* Log-normal, like the delays of services: median 2 ms, 1 % above 20 ms, none above 100 ms. */
static void fill_table(uint64_t seed) {
    for (int i = 0; i < DELAYS; i++) {
        double normal = sqrt(-2 * log(unit(&seed))) * cos(2 * M_PI * unit(&seed));
        double delay_ns = 2e6 * exp(normal);
        delays_ns[i] = (int64_t)(delay_ns < 1e8 ? delay_ns : 1e8);
    }
}

static void add_timer(struct timer timer) {
    int hole = timers++;
    for (; hole > 0 && heap[(hole - 1) / 2].due_ns > timer.due_ns; hole = (hole - 1) / 2) heap[hole] = heap[(hole - 1) / 2];
    heap[hole] = timer;
}

static struct timer take_timer(void) {
    struct timer first = heap[0], last = heap[--timers];
    int hole = 0;
    for (int child = 1; child < timers; child = 2 * hole + 1) {
        if (child + 1 < timers && heap[child + 1].due_ns < heap[child].due_ns) child++;
        if (last.due_ns <= heap[child].due_ns) break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = last;
    return first;
}

static void give_answer(int fd, uint32_t request) {
    if (pairs != NULL && request < REQUESTS) pairs[request].sent_ns = now_ns();
    /* A load generator closes its connections when it ends, and leaves requests unanswered. */
    bool gone = send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0;
    if (gone && errno != EPIPE && errno != ECONNRESET && errno != EBADF) fail("send");
}

static void take_request(int fd) {
    uint32_t request = requests++;
    int64_t received_ns = now_ns();
    if (first_ns == 0) first_ns = received_ns;
    if (pairs != NULL && request < REQUESTS) pairs[request].received_ns = received_ns;
    if (mode != TABLE) {
        give_answer(fd, request);
        return;
    }
    add_timer((struct timer){received_ns + delays_ns[request % DELAYS], fd, request});
}

static void read_from(int fd) {
    char bytes[16384];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        close(fd);
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        int wanted = tail_bytes[fd] % 2 ? '\n' : '\r';
        tail_bytes[fd] = bytes[i] == wanted ? tail_bytes[fd] + 1 : bytes[i] == '\r';
        if (tail_bytes[fd] == 4) {
            tail_bytes[fd] = 0;
            take_request(fd);
        }
    }
}

static void take_connections(int epoll, int listener) {
    for (;;) {
        int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (fd >= CONNECTIONS) {
            fputs("truth: too many connections\n", stderr);
            exit(1);
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        tail_bytes[fd] = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }
}

/* Stall if a stall is due. */
static void stall(void) {
    if (mode != STALL || first_ns == 0) return;
    int64_t within_ns = (now_ns() - first_ns) % every_ns;
    if (within_ns >= stall_ns) return;
    int64_t until_ns = now_ns() + stall_ns - within_ns;
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    while (!ended && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

static void serve(int listener) {
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.fd = listener};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) fail("epoll");
    while (!ended) {
        int64_t left_ns = 100000000;
        if (timers && heap[0].due_ns - now_ns() < left_ns) left_ns = heap[0].due_ns - now_ns();
        if (left_ns < 0) left_ns = 0;
        struct timespec timeout = {left_ns / 1000000000, left_ns % 1000000000};
        int count = epoll_pwait2(epoll, events, EVENTS, &timeout, NULL);
        stall();
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) take_connections(epoll, listener);
            else read_from(events[i].data.fd);
        }
        while (timers && heap[0].due_ns <= now_ns()) {
            struct timer timer = take_timer();
            give_answer(timer.fd, timer.request);
        }
    }
}

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4096)) fail("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length)) fail("getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    const char *log = NULL;
    if (argc == 4 && !strcmp(argv[1], "table")) {
        mode = TABLE;
        fill_table(strtoull(argv[2], NULL, 10));
        log = argv[3];
    } else if (argc == 5 && !strcmp(argv[1], "stall")) {
        log = argv[4];
        mode = STALL;
        every_ns = (int64_t)(atof(argv[2]) * 1e9);
        stall_ns = (int64_t)(atof(argv[3]) * 1e9);
    } else if (argc == 2 && !strcmp(argv[1], "at-once")) {
        mode = AT_ONCE;
    } else {
        fputs("usage: truth table SEED LOG | stall EVERY STALL LOG | at-once\n", stderr);
        return 2;
    }
    if (log != NULL) pairs = calloc(REQUESTS, sizeof *pairs);
    if (log != NULL && pairs == NULL) fail("calloc");
    prctl(PR_SET_TIMERSLACK, 1);
    struct rlimit files = {CONNECTIONS, CONNECTIONS};
    setrlimit(RLIMIT_NOFILE, &files);
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    serve(listen_anywhere());
    if (log != NULL) {
        FILE *file = fopen(log, "wb");
        uint32_t logged = requests < REQUESTS ? requests : REQUESTS;
        if (file == NULL || fwrite(pairs, sizeof *pairs, logged, file) != logged || fclose(file)) fail(log);
    }
    return 0;
}
