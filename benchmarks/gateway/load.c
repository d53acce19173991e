/* The load generator: sends one request again and again and checks every byte of every answer.
 *
 *     load PORT REQUEST json|stream DELTAS closed CONNECTIONS SECONDS LIMIT_S
 *     load PORT REQUEST json|stream DELTAS open REQUESTS_A_SECOND SECONDS LIMIT_S [SEED]
 *
 * REQUEST is a file with the head and body of an HTTP request. Closed: each connection sends its next request when it
 * has its answer, or, as official clients do, a little later when that was not 200; they begin one after another within
 * the first fifth of a second, so that streams are not in step. Open: requests begin at random times (Poisson) whatever became of the earlier ones, on a kept
 * connection where one is free, and their times count from when they should have begun. After SECONDS no request
 * begins; LIMIT_S later those without an answer are given up.
 *
 * It prints one line of JSON. `different` counts answers whose bytes are not the upstream's; `refused` those with
 * a status other than 200, `broken` connections that ended before their answer was whole. Times are microseconds;
 * `first_byte` is until the first byte of content (for a stream its first event), `transit` from the sending of a delta
 * by the upstream until it is read here: both read the same clock.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "messages.h"

#define MAX_CONNECTIONS 2048
#define MAX_ANSWER (1u << 20)
#define RAMP_NS 200000000
#define PAUSE_NS 100000000

enum state { CLOSED, CONNECTING, IDLE, SENDING, HEAD, BODY };
/* Within a chunked body. */
enum part { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

struct connection {
    int fd;
    enum state state;
    int64_t began;
    int64_t due; /* when a closed loop's connection goes on; 0: now */
    size_t sent;
    char *raw; /* the head, then what is not yet taken apart */
    size_t raw_used;
    char *content;
    size_t content_used, looked_at;
    int status, chunked, until_close, close_after;
    long length;
    enum part part;
    size_t chunk_left;
};

struct times {
    uint32_t *us;
    size_t used, room;
};

static int poller, port, streams, open_loop;
static char *request;
static size_t request_size;
static char *expected;
static size_t expected_size;
static struct connection all[MAX_CONNECTIONS];
static int used_connections;
static int idle[MAX_CONNECTIONS], idle_used;
static struct times whole, first_byte, transit;
static uint64_t completed, refused, different, broken, begun, not_begun;
static int in_flight, paused;
static int64_t stop_at;
static char first_refusal[400];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void keep(struct times *t, int64_t ns) {
    if (t->used == t->room) {
        t->room = t->room ? 2 * t->room : 65536;
        t->us = realloc(t->us, t->room * sizeof *t->us);
        if (!t->us)
            fail("realloc");
    }
    t->us[t->used++] = ns < 0 ? 0 : (uint32_t)(ns / 1000);
}

/* --- connections --- */

static void watch(struct connection *c, int how, uint32_t what) {
    struct epoll_event event = {.events = what, .data.u32 = (uint32_t)(c - all)};
    if (epoll_ctl(poller, how, c->fd, &event))
        fail("epoll_ctl");
}

static void hang_up(struct connection *c) {
    close(c->fd);
    c->state = CLOSED;
}

static void send_request(struct connection *c) {
    while (c->sent < request_size) {
        ssize_t count = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EAGAIN) {
                if (c->state != SENDING)
                    watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
                c->state = SENDING;
                return;
            }
            break; /* the reading side will see that it is over */
        }
        c->sent += (size_t)count;
    }
    if (c->state == SENDING || c->state == CONNECTING)
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->state = HEAD;
}

static void dial(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connect");
    c->state = CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void begin(struct connection *c, int64_t when) {
    begun++;
    in_flight++;
    c->began = when;
    c->sent = c->raw_used = c->content_used = c->looked_at = 0;
    c->status = c->chunked = c->until_close = c->close_after = 0;
    c->length = -1;
    c->part = CHUNK_SIZE;
    c->chunk_left = 0;
    if (c->state == CLOSED)
        dial(c);
    else
        send_request(c);
}

static void equip(struct connection *c) {
    if (c->raw)
        return;
    c->raw = malloc(MAX_ANSWER);
    c->content = malloc(MAX_ANSWER);
    if (!c->raw || !c->content)
        fail("malloc");
    used_connections++;
}

static void begin_on_any(int64_t when) {
    while (idle_used) {
        struct connection *c = &all[idle[--idle_used]];
        if (c->state == IDLE) {
            begin(c, when);
            return;
        }
    }
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
        struct connection *c = &all[i];
        if (c->state == CLOSED) {
            equip(c);
            begin(c, when);
            return;
        }
    }
    not_begun++;
}

/* --- answers --- */

static void next(struct connection *c, int64_t now, int pause) {
    in_flight--;
    if (open_loop) {
        if (c->state == IDLE)
            idle[idle_used++] = (int)(c - all);
    } else if (now < stop_at) {
        if (pause) {
            c->due = now + PAUSE_NS;
            paused++;
        } else {
            begin(c, now);
        }
    }
}

/* Let those go on whose pause is over; when the next one's will be, 0 if there is none. */
static int64_t after_pauses(int64_t now) {
    int64_t first = 0;
    for (int i = 0; paused && i < used_connections; i++) {
        struct connection *c = &all[i];
        if (!c->due)
            continue;
        if (now >= stop_at || c->due <= now) {
            c->due = 0;
            paused--;
            if (now < stop_at)
                begin(c, now);
        } else if (!first || c->due < first) {
            first = c->due;
        }
    }
    return first;
}

static void gave_up(struct connection *c) {
    int busy = c->state != IDLE;
    hang_up(c);
    if (!busy)
        return;
    broken++;
    next(c, now_ns(), 1);
}

static void finished(struct connection *c) {
    int64_t now = now_ns();
    if (c->status != 200) {
        refused++;
        if (!*first_refusal)
            snprintf(first_refusal, sizeof first_refusal, "%d %.*s", c->status,
                     (int)(c->content_used < 300 ? c->content_used : 300), c->content);
    } else {
        completed++;
        keep(&whole, now - c->began);
        if (c->content_used != expected_size || !same(expected, c->content, expected_size))
            different++;
    }
    c->state = IDLE;
    if (c->close_after || c->until_close)
        hang_up(c);
    next(c, now, c->status != 200);
}

/* Note when deltas arrived; a clock that is not there whole is looked at again with the next bytes. */
static void look_at_clocks(struct connection *c, int64_t now) {
    char *end = c->content + c->content_used;
    char *at = c->content + c->looked_at;
    while ((at = memchr(at, CLOCK_MARK, (size_t)(end - at)))) {
        if (end - at < CLOCK_DIGITS + 1) {
            c->looked_at = (size_t)(at - c->content);
            return;
        }
        int64_t sent = 0;
        for (int i = 1; i <= CLOCK_DIGITS; i++)
            sent = 10 * sent + (at[i] - '0');
        keep(&transit, now - sent);
        at++;
    }
    c->looked_at = c->content_used;
}

static void take(struct connection *c, const char *from, size_t size) {
    if (c->content_used + size > MAX_ANSWER) {
        fprintf(stderr, "load: an answer of more than %u bytes\n", MAX_ANSWER);
        exit(1);
    }
    memcpy(c->content + c->content_used, from, size);
    c->content_used += size;
}

/* Take content out of what came; 1 when the answer is whole. */
static int dechunk(struct connection *c) {
    size_t at = 0;
    int over = 0;
    while (!over && at < c->raw_used) {
        char *here = c->raw + at;
        size_t left = c->raw_used - at;
        if (c->part == CHUNK_DATA) {
            size_t size = left < c->chunk_left ? left : c->chunk_left;
            take(c, here, size);
            at += size;
            c->chunk_left -= size;
            if (!c->chunk_left)
                c->part = CHUNK_END;
            continue;
        }
        char *line_end = memchr(here, '\n', left);
        if (!line_end)
            break;
        size_t line = (size_t)(line_end - here) + 1;
        if (c->part == CHUNK_SIZE) {
            c->chunk_left = strtoul(here, NULL, 16);
            c->part = c->chunk_left ? CHUNK_DATA : TRAILER;
        } else if (c->part == CHUNK_END) {
            c->part = CHUNK_SIZE;
        } else {
            over = line <= 2;
        }
        at += line;
    }
    c->raw_used -= at;
    memmove(c->raw, c->raw + at, c->raw_used);
    return over;
}

static int read_head(struct connection *c) {
    char *end = memmem(c->raw, c->raw_used, "\r\n\r\n", 4);
    if (!end)
        return 0;
    end[2] = 0;
    c->status = atoi(c->raw + 9);
    const char *found = strcasestr(c->raw, "\r\ncontent-length:");
    c->length = found ? atol(found + 17) : -1;
    c->chunked = strcasestr(c->raw, "\r\ntransfer-encoding: chunked") != NULL;
    c->close_after = strcasestr(c->raw, "\r\nconnection: close") != NULL;
    c->until_close = !found && !c->chunked;
    size_t head = (size_t)(end - c->raw) + 4;
    c->raw_used -= head;
    memmove(c->raw, c->raw + head, c->raw_used);
    c->state = BODY;
    return 1;
}

static void readable(struct connection *c) {
    for (;;) {
        size_t room = MAX_ANSWER - c->raw_used;
        ssize_t count = recv(c->fd, c->raw + c->raw_used, room, 0);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count <= 0) {
            if (count == 0 && c->state == BODY && c->until_close)
                finished(c);
            else
                gave_up(c);
            return;
        }
        c->raw_used += (size_t)count;
        if (c->state != HEAD && c->state != BODY) {
            gave_up(c); /* bytes that nobody asked for */
            return;
        }
        if (c->state == HEAD && !read_head(c))
            continue;
        int64_t now = now_ns();
        size_t before = c->content_used;
        int over;
        if (c->chunked) {
            over = dechunk(c);
        } else {
            take(c, c->raw, c->raw_used);
            c->raw_used = 0;
            over = c->length >= 0 && c->content_used >= (size_t)c->length;
        }
        if (!before && c->content_used && c->status == 200)
            keep(&first_byte, now - c->began);
        if (streams)
            look_at_clocks(c, now);
        if (over) {
            finished(c);
            return;
        }
        if ((size_t)count < room)
            return;
    }
}

/* --- the run --- */

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, struct times *t) {
    static const double at[] = {0.5, 0.9, 0.99};
    if (t->used)
        qsort(t->us, t->used, sizeof *t->us, by_size);
    printf(",\"%s\":{\"n\":%zu", name, t->used);
    for (int i = 0; i < 3 && t->used; i++)
        printf(",\"p%.0f\":%u", 100 * at[i], t->us[(size_t)(at[i] * (double)(t->used - 1))]);
    printf("}");
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        fail(path);
    request = malloc(8 << 20);
    request_size = fread(request, 1, 8 << 20, file);
    fclose(file);
}

static void arm(int timer, int64_t at) {
    struct itimerspec when = {.it_value = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

int main(int count, char **words) {
    if (count < 9) {
        fprintf(stderr, "usage: see the top of load.c\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    port = atoi(words[1]);
    read_request(words[2]);
    streams = !strcmp(words[3], "stream");
    if (streams) {
        expected = whole_stream(atoi(words[4]), &expected_size);
    } else {
        expected = (char *)JSON_ANSWER;
        expected_size = sizeof JSON_ANSWER - 1;
    }
    open_loop = !strcmp(words[5], "open");
    double amount = atof(words[6]);
    int64_t started = now_ns();
    stop_at = started + (int64_t)(1e9 * atof(words[7]));
    int64_t limit = stop_at + (int64_t)(1e9 * atof(words[8]));
    srand48(count > 9 ? atol(words[9]) : 1);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event tick = {.events = EPOLLIN, .data.u32 = MAX_CONNECTIONS};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, timer, &tick))
        fail("epoll_ctl");
    int64_t arrival = started;
    if (open_loop)
        arrival += (int64_t)(-log(1 - drand48()) / amount * 1e9);
    else
        for (int i = 0; i < (int)amount && i < MAX_CONNECTIONS; i++) {
            equip(&all[i]);
            all[i].due = started + (int64_t)(RAMP_NS * (i / amount));
            paused++;
        }
    struct epoll_event events[256];
    for (;;) {
        int64_t now = now_ns();
        if (open_loop) {
            while (arrival <= now && arrival < stop_at) {
                begin_on_any(arrival);
                arrival += (int64_t)(-log(1 - drand48()) / amount * 1e9);
            }
        }
        int64_t goes_on = after_pauses(now);
        if (now >= limit || (!in_flight && !paused && (now >= stop_at || (open_loop && arrival >= stop_at))))
            break;
        int64_t wake = limit;
        if (open_loop && arrival < stop_at)
            wake = arrival;
        else if (goes_on)
            wake = goes_on;
        else if (!in_flight)
            wake = stop_at;
        arm(timer, wake);
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == MAX_CONNECTIONS) {
                uint64_t expired;
                if (read(timer, &expired, sizeof expired) < 0 && errno != EAGAIN)
                    fail("timer");
                continue;
            }
            struct connection *c = &all[events[i].data.u32];
            if (c->state == CLOSED)
                continue;
            if (events[i].events & EPOLLOUT && (c->state == CONNECTING || c->state == SENDING))
                send_request(c);
            if (c->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c);
        }
    }
    for (char *at = first_refusal; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ' || (unsigned char)*at > '~')
            *at = '\'';
    printf("{\"begun\":%llu,\"completed\":%llu,\"refused\":%llu,\"different\":%llu,\"broken\":%llu,"
           "\"unfinished\":%d,\"not_begun\":%llu,\"seconds\":%.6f,\"connections\":%d,\"first_refusal\":\"%s\"",
           (unsigned long long)begun, (unsigned long long)completed, (unsigned long long)refused,
           (unsigned long long)different, (unsigned long long)broken, in_flight, (unsigned long long)not_begun,
           (double)(now_ns() - started) / 1e9, used_connections, first_refusal);
    print_times("latency", &whole);
    print_times("first_byte", &first_byte);
    print_times("transit", &transit);
    printf("}\n");
    return 0;
}
