/* The fake upstream: answers Messages requests with JSON or an event stream, as fast as it can.
 *
 *     upstream [--tls FILE]      prints the port that it took, and serves until it is killed
 *
 * With --tls it makes itself a key, and writes the certificate by which clients may trust it (for 127.0.0.1 and
 * localhost) to FILE.
 *
 * One thread, epoll, HTTP/1.1 with keep-alive. `POST /settings?latency_us=L&deltas=N&gap_us=G` sets how it answers
 * from then on and `GET /settings` tells how many Messages requests it has answered and broken off; every other POST
 * is a Messages request, and its body decides between JSON and a stream. TLS is there when compiled with -DWITH_TLS.
 *
 * What it is not: a checker of requests. It reads heads only for their framing, and takes a chunked body to end with
 * the bytes of its last chunk.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "messages.h"
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
static SSL_CTX *tls;
#endif

#define READ_SIZE 65536
#define MAX_REQUEST (8u << 20)
#define WAITING_OUT (4u << 20) /* a reader that is this far behind is cut off */

enum state { READING, WAITING, STREAMING };

struct connection {
    int fd;
    enum state state;
    int streams; /* what the waiting answer is */
    int left;    /* deltas still to come */
    int deltas;  /* of this stream */
    int64_t due; /* ns */
    int place;   /* in the heap, -1: none */
    int closing; /* freed once the events of this turn are handled */
    char *in;
    size_t in_used, in_room;
    char *out;
    size_t out_used, out_room;
#ifdef WITH_TLS
    SSL *ssl;
#endif
};

static int poller, timer;
static int64_t latency_ns, gap_ns = 5000000;
static int deltas_wanted = 40;
static uint64_t answered, broken, next_id = 1;
static int64_t armed;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* --- timers: a binary heap of connections by the time at which they have something to send --- */

static struct connection **heap;
static int heap_used, heap_room;

static void heap_set(int place, struct connection *c) {
    heap[place] = c;
    c->place = place;
}

static void heap_up(int place) {
    struct connection *c = heap[place];
    while (place > 0 && heap[(place - 1) / 2]->due > c->due) {
        heap_set(place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_set(place, c);
}

static void heap_down(int place) {
    struct connection *c = heap[place];
    for (;;) {
        int child = 2 * place + 1;
        if (child >= heap_used)
            break;
        if (child + 1 < heap_used && heap[child + 1]->due < heap[child]->due)
            child++;
        if (heap[child]->due >= c->due)
            break;
        heap_set(place, heap[child]);
        place = child;
    }
    heap_set(place, c);
}

static void wake_at(struct connection *c, int64_t due) {
    if (heap_used == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 1024;
        heap = realloc(heap, (size_t)heap_room * sizeof *heap);
        if (!heap)
            fail("realloc");
    }
    c->due = due;
    heap_set(heap_used, c);
    heap_up(heap_used++);
}

static void wake_never(struct connection *c) {
    int place = c->place;
    if (place < 0)
        return;
    c->place = -1;
    if (place != --heap_used) {
        heap_set(place, heap[heap_used]);
        heap_up(place);
        heap_down(heap[place]->place);
    }
}

/* Let the timer's descriptor become readable when the first of the heap is due. */
static void arm(void) {
    int64_t due = heap_used ? heap[0]->due : 0;
    if (due == armed)
        return;
    armed = due;
    struct itimerspec at = {.it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* --- bytes in and out --- */

static struct connection *doomed[65536];
static int doomed_used;

static void drop(struct connection *c) {
    if (c->closing)
        return;
    if (c->state != READING)
        broken++;
    c->closing = 1;
    wake_never(c);
    doomed[doomed_used++] = c;
    if (doomed_used == (int)(sizeof doomed / sizeof *doomed))
        fail("too many connections");
}

static void bury(void) {
    while (doomed_used) {
        struct connection *c = doomed[--doomed_used];
#ifdef WITH_TLS
        if (c->ssl)
            SSL_free(c->ssl);
#endif
        close(c->fd);
        free(c->in);
        free(c->out);
        free(c);
    }
}

/* Bytes moved; 0: try again later; -1: the connection is over. */
static ssize_t moved(struct connection *c, ssize_t count) {
#ifdef WITH_TLS
    if (c->ssl) {
        if (count > 0)
            return count;
        int why = SSL_get_error(c->ssl, (int)count);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    (void)c;
    if (count < 0)
        return errno == EAGAIN ? 0 : -1;
    return count ? count : -1;
}

static ssize_t receive(struct connection *c, char *to, size_t room) {
#ifdef WITH_TLS
    if (c->ssl) {
        ERR_clear_error(); /* what another connection left there would be taken for this one's */
        return moved(c, SSL_read(c->ssl, to, (int)room));
    }
#endif
    return moved(c, read(c->fd, to, room));
}

static ssize_t transmit(struct connection *c, const char *from, size_t size) {
#ifdef WITH_TLS
    if (c->ssl) {
        ERR_clear_error();
        return moved(c, SSL_write(c->ssl, from, (int)size));
    }
#endif
    return moved(c, send(c->fd, from, size, MSG_NOSIGNAL));
}

static void watch(struct connection *c, int writable) {
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

/* Send what waits. */
static void flush(struct connection *c) {
    while (c->out_used) {
        ssize_t count = transmit(c, c->out, c->out_used);
        if (count < 0) {
            drop(c);
            return;
        }
        if (count == 0)
            return;
        c->out_used -= (size_t)count;
        memmove(c->out, c->out + count, c->out_used);
    }
    watch(c, 0);
}

/* Send now, or keep what the socket does not take. */
static void say(struct connection *c, const char *text, size_t size) {
    if (c->closing)
        return;
    while (!c->out_used && size) {
        ssize_t count = transmit(c, text, size);
        if (count < 0) {
            drop(c);
            return;
        }
        if (count == 0)
            break;
        text += count;
        size -= (size_t)count;
    }
    if (!size)
        return;
    if (c->out_used + size > WAITING_OUT) {
        drop(c);
        return;
    }
    if (c->out_used + size > c->out_room) {
        c->out_room = c->out_used + size + READ_SIZE;
        c->out = realloc(c->out, c->out_room);
        if (!c->out)
            fail("realloc");
    }
    memcpy(c->out + c->out_used, text, size);
    if (!c->out_used)
        watch(c, 1);
    c->out_used += size;
}

/* --- answers --- */

#define VENDOR_HEADERS                                                                                         \
    "request-id: req_%022llu\r\nanthropic-organization-id: 5f0c1d9e-0000-4000-8000-3f2a77b0c1de\r\n"           \
    "anthropic-ratelimit-requests-limit: 4000\r\nanthropic-ratelimit-requests-remaining: 3999\r\n"             \
    "anthropic-ratelimit-requests-reset: 2026-11-21T00:00:00Z\r\n"

static void answer_json(struct connection *c) {
    char text[sizeof JSON_ANSWER + 1024];
    uint64_t id = next_id++;
    int head = snprintf(text, sizeof text,
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n" VENDOR_HEADERS
                        "\r\n",
                        sizeof JSON_ANSWER - 1, (unsigned long long)id);
    memcpy(text + head, JSON_ANSWER, sizeof JSON_ANSWER - 1);
    put_digits(text + head + first_any(JSON_ANSWER, sizeof JSON_ANSWER - 1), sizeof ID - 1, id);
    answered++;
    c->state = READING;
    say(c, text, (size_t)head + sizeof JSON_ANSWER - 1);
}

/* One chunk with this content, whose first ANY becomes `number` in so many digits. */
static size_t chunk(char *to, const char *content, size_t size, uint64_t number, int digits) {
    int head = sprintf(to, "%zx\r\n", size);
    memcpy(to + head, content, size);
    if (digits)
        put_digits(to + head + first_any(content, size), digits, number);
    memcpy(to + head + size, "\r\n", 2);
    return (size_t)head + size + 2;
}

static void begin_stream(struct connection *c) {
    char text[sizeof STREAM_BEGIN + 1024];
    uint64_t id = next_id++;
    int head = snprintf(text, sizeof text,
                        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                        "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n" VENDOR_HEADERS "\r\n",
                        (unsigned long long)id);
    size_t size = chunk(text + head, STREAM_BEGIN, sizeof STREAM_BEGIN - 1, id, sizeof ID - 1);
    c->state = STREAMING;
    say(c, text, (size_t)head + size);
}

static void go_on(struct connection *c, int64_t now) {
    char text[sizeof STREAM_DELTA + sizeof STREAM_END + 128];
    size_t size;
    if (c->left) {
        size = chunk(text, STREAM_DELTA, sizeof STREAM_DELTA - 1, (uint64_t)now_ns(), CLOCK_DIGITS);
        c->left--;
        say(c, text, size);
        if (c->closing)
            return;
        /* From when it was due, so that a stream keeps its pace; after a long hold-up, from now. */
        int64_t next = c->due + gap_ns;
        wake_at(c, next < now - gap_ns ? now : next);
        return;
    }
    char content[sizeof STREAM_END + 16];
    int used = sprintf(content, STREAM_END, tokens_of(c->deltas));
    size = chunk(text, content, (size_t)used, 0, 0);
    memcpy(text + size, "0\r\n\r\n", 5);
    answered++;
    c->state = READING;
    say(c, text, size + 5);
}

static void consider(struct connection *c);

/* The connection's time has come. */
static void act(struct connection *c, int64_t now) {
    if (c->state == STREAMING) {
        go_on(c, now);
    } else if (c->streams) {
        begin_stream(c);
        if (!c->closing)
            wake_at(c, c->due + gap_ns);
    } else {
        answer_json(c);
    }
    if (!c->closing && c->state == READING)
        consider(c);
}

static long number_after(const char *text, size_t size, const char *name, long otherwise) {
    const char *found = memmem(text, size, name, strlen(name));
    return found ? atol(found + strlen(name)) : otherwise;
}

static void settings(struct connection *c, const char *line, size_t size) {
    latency_ns = 1000 * number_after(line, size, "latency_us=", latency_ns / 1000);
    gap_ns = 1000 * number_after(line, size, "gap_us=", gap_ns / 1000);
    deltas_wanted = (int)number_after(line, size, "deltas=", deltas_wanted);
    char content[128], text[256];
    int used = sprintf(content, "{\"answered\":%llu,\"broken\":%llu}", (unsigned long long)answered,
                       (unsigned long long)broken);
    int all = sprintf(text, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
                      used, content);
    say(c, text, (size_t)all);
}

/* Where a header's value begins in the head, or NULL. */
static const char *header(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found ? found + strlen(name) : NULL;
}

/* How long the request at the beginning of the buffer is; 0 while it is not whole. */
static size_t whole_request(struct connection *c, size_t *head_size) {
    char *end = memmem(c->in, c->in_used, "\r\n\r\n", 4);
    if (!end)
        return 0;
    *head_size = (size_t)(end - c->in) + 4;
    char kept = end[2];
    end[2] = 0; /* so that the head is a string, with the line end of its last line */
    const char *length = header(c->in, "\r\ncontent-length:");
    size_t size = *head_size + (length ? (size_t)atol(length) : 0);
    int chunked = !length && header(c->in, "\r\ntransfer-encoding:");
    end[2] = kept;
    if (!chunked)
        return size <= c->in_used ? size : 0;
    char *last = memmem(c->in + *head_size - 2, c->in_used - *head_size + 2, "\r\n0\r\n\r\n", 7);
    return last ? (size_t)(last - c->in) + 7 : 0;
}

static int wants_stream(const char *body, size_t size) {
    return memmem(body, size, "\"stream\":true", 13) || memmem(body, size, "\"stream\": true", 14);
}

/* Answer the requests that are whole. */
static void consider(struct connection *c) {
    while (c->state == READING && c->in_used) {
        size_t head, size = whole_request(c, &head);
        if (!size)
            return;
        const char *line_end = memchr(c->in, '\r', head);
        size_t line = (size_t)(line_end - c->in);
        int about_settings = memmem(c->in, line, " /settings", 10) != NULL;
        int message = !about_settings && !strncmp(c->in, "POST ", 5);
        c->streams = message && wants_stream(c->in + head, size - head);
        if (about_settings)
            settings(c, c->in, line);
        else if (!message)
            say(c, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 38);
        c->in_used -= size;
        memmove(c->in, c->in + size, c->in_used);
        if (c->closing)
            return;
        if (!message)
            continue;
        c->state = WAITING;
        c->left = c->deltas = deltas_wanted;
        if (latency_ns || c->streams)
            wake_at(c, now_ns() + latency_ns);
        else
            answer_json(c);
        if (c->closing)
            return;
    }
}

static void readable(struct connection *c) {
    for (;;) {
        if (c->in_used + READ_SIZE > c->in_room) {
            c->in_room = c->in_used + 2 * READ_SIZE;
            c->in = realloc(c->in, c->in_room);
            if (!c->in)
                fail("realloc");
        }
        size_t room = c->in_room - c->in_used;
        ssize_t count = receive(c, c->in + c->in_used, room);
        if (count < 0 || c->in_used > MAX_REQUEST) {
            drop(c);
            return;
        }
        if (count == 0)
            break;
        c->in_used += (size_t)count;
#ifdef WITH_TLS
        if (c->ssl)
            continue; /* the library may hold more than the socket shows */
#endif
        if ((size_t)count < room)
            break;
    }
    consider(c);
}

static void welcome(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = calloc(1, sizeof *c);
        if (!c)
            fail("calloc");
        c->fd = fd;
        c->place = -1;
#ifdef WITH_TLS
        if (tls) {
            c->ssl = SSL_new(tls);
            SSL_set_fd(c->ssl, fd);
            SSL_set_accept_state(c->ssl);
        }
#endif
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
            fail("epoll_ctl");
    }
}

#ifdef WITH_TLS
static void add_extension(X509 *certificate, int kind, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    if (!extension || !X509_add_ext(certificate, extension, -1)) {
        fprintf(stderr, "upstream: cannot make a certificate\n");
        exit(1);
    }
    X509_EXTENSION_free(extension);
}

static void open_tls(const char *path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2); /* which is version 3 */
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    add_extension(certificate, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    FILE *file = fopen(path, "w");
    if (!file)
        fail(path);
    tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (!X509_sign(certificate, key, EVP_sha256()) || !PEM_write_X509(file, certificate) ||
        SSL_CTX_use_certificate(tls, certificate) != 1 || SSL_CTX_use_PrivateKey(tls, key) != 1) {
        fprintf(stderr, "upstream: cannot make a certificate\n");
        exit(1);
    }
    fclose(file);
}
#endif

static int listening(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    int with_tls = count == 3 && !strcmp(words[1], "--tls");
#ifdef WITH_TLS
    if (with_tls)
        open_tls(words[2]);
#else
    if (with_tls) {
        fprintf(stderr, "upstream: built without TLS\n");
        return 2;
    }
#endif
    if (count != 1 && !with_tls) {
        fprintf(stderr, "usage: upstream [--tls FILE]\n");
        return 2;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listening();
    /* Their events carry these addresses instead of a connection's. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    struct epoll_event tick = {.events = EPOLLIN, .data.ptr = &timer};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) || epoll_ctl(poller, EPOLL_CTL_ADD, timer, &tick))
        fail("epoll_ctl");
    struct epoll_event events[256];
    for (;;) {
        arm();
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == &listener) {
                welcome(listener);
            } else if (events[i].data.ptr == &timer) {
                uint64_t expired;
                if (read(timer, &expired, sizeof expired) > 0)
                    armed = 0;
            } else {
                struct connection *c = events[i].data.ptr;
                if (!c->closing && events[i].events & EPOLLOUT)
                    flush(c);
                if (!c->closing && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                    readable(c);
            }
        }
        int64_t now = now_ns();
        while (heap_used && heap[0]->due <= now) {
            struct connection *c = heap[0];
            wake_never(c);
            act(c, now);
        }
        bury();
    }
}
