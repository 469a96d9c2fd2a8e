// The load of scripts/measure-devices, in the guest: reads and writes a disk as told, and says when each phase begins and ends.
//
//   device-load DEVICE PHASE...      PHASE: name,read|write,seq|rand,direct|buffered,PIECE,COUNT,DEPTH,FROM,SPAN   (bytes; DEPTH 1: one at a time)
//   device-load get ADDRESS PORT BYTES    an HTTP transfer
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_DEPTH = 64 };

static void die(const char *what) {
    printf("@failed %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t state;

static uint64_t chance(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

struct phase {
    char name[64], kind[8], order[8], cache[12];
    long long piece, count, depth, from, span;
};

// Something of every page: that all machines have read the same.
static uint64_t sum(const char *bytes, long long length) {
    uint64_t all = 0;
    for (long long at = 0; at < length; at += 4096) all = all * 31 + *(const uint64_t *)(bytes + at);
    return all;
}

static long long place(const struct phase *phase, long long n) {
    long long pieces = phase->span / phase->piece;
    return phase->from + (phase->order[0] == 's' ? n % pieces : (long long)(chance() % pieces)) * phase->piece;
}

static uint64_t one_by_one(int fd, const struct phase *phase, char *buffer) {
    uint64_t all = 0;
    int writes = phase->kind[0] == 'w';
    for (long long n = 0; n < phase->count; n++) {
        long long at = place(phase, n);
        if (writes) *(uint64_t *)buffer = n;
        long long done = writes ? pwrite(fd, buffer, phase->piece, at) : pread(fd, buffer, phase->piece, at);
        if (done != phase->piece) die(phase->name);
        if (!writes) all = all * 31 + sum(buffer, phase->piece);
    }
    return all;
}

static uint64_t many_at_once(int fd, const struct phase *phase, char *buffer) {
    aio_context_t context = 0;
    uint64_t all = 0;
    struct iocb requests[MOST_DEPTH], *pointers[MOST_DEPTH];
    struct io_event events[MOST_DEPTH];
    if (syscall(SYS_io_setup, MOST_DEPTH, &context)) die("io_setup");
    long long begun = 0, ended = 0;
    int writes = phase->kind[0] == 'w', ready = 0;
    int idle[MOST_DEPTH];
    for (int i = 0; i < phase->depth; i++) idle[ready++] = i;
    while (ended < phase->count) {
        int now = 0;
        while (ready > 0 && begun < phase->count) {
            int slot = idle[--ready];
            memset(&requests[slot], 0, sizeof *requests);
            requests[slot].aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
            requests[slot].aio_fildes = fd;
            requests[slot].aio_buf = (uintptr_t)(buffer + slot * phase->piece);
            requests[slot].aio_nbytes = phase->piece;
            requests[slot].aio_offset = place(phase, begun++);
            requests[slot].aio_data = slot;
            pointers[now++] = &requests[slot];
        }
        if (now && syscall(SYS_io_submit, context, now, pointers) != now) die("io_submit");
        int got = syscall(SYS_io_getevents, context, 1, MOST_DEPTH, events, NULL);
        if (got < 1) die("io_getevents");
        for (int i = 0; i < got; i++) {
            if (events[i].res != phase->piece) die(phase->name);
            // In no certain order.
            if (!writes) all += sum(buffer + events[i].data * phase->piece, phase->piece);
            idle[ready++] = events[i].data;
        }
        ended += got;
    }
    syscall(SYS_io_destroy, context);
    return all;
}

static void run(const char *device, const char *text) {
    struct phase phase;
    if (sscanf(text, "%63[^,],%7[^,],%7[^,],%11[^,],%lld,%lld,%lld,%lld,%lld", phase.name, phase.kind, phase.order, phase.cache, &phase.piece,
               &phase.count, &phase.depth, &phase.from, &phase.span) != 9 || phase.depth > MOST_DEPTH)
        die(text);
    char *buffer;
    if (posix_memalign((void **)&buffer, 4096, phase.piece * phase.depth)) die("memory");
    state = 88172645463325252u;
    for (long long at = 0; at < phase.piece * phase.depth; at += 4) *(uint32_t *)(buffer + at) = chance();
    int fd = open(device, O_RDWR | (phase.cache[0] == 'd' ? O_DIRECT : 0));
    if (fd < 0) die(device);
    printf("@begin %s\n", phase.name);
    uint64_t all = phase.depth > 1 ? many_at_once(fd, &phase, buffer) : one_by_one(fd, &phase, buffer);
    if (phase.kind[0] == 'w' && fsync(fd)) die("fsync");
    printf("@end %s %016llx\n", phase.name, (unsigned long long)all);
    close(fd);
    free(buffer);
}

static void get(const char *address, int port, long long expected) {
    static char buffer[65536];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const char *request = "GET / HTTP/1.0\r\n\r\n";
    printf("@begin http\n");
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    if (write(fd, request, strlen(request)) < 0) die("write");
    long long all = 0, got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) all += got;
    if (got < 0) die("read");
    printf("@end http %d\n", all >= expected);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 5 && !strcmp(argv[1], "get")) {
        get(argv[2], atoi(argv[3]), atoll(argv[4]));
        return 0;
    }
    for (int i = 2; i < argc; i++) run(argv[1], argv[i]);
}
