// What compute-load.c needs of a C library where there is no operating system (scripts/measure-compute --guest bare). JOBS are the
// names, each in quotation marks and followed by a comma.
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char stack[1 << 20] __attribute__((aligned(16)));
FILE *stdout;

// compute-bare.s has the other end.
static void write_out(const char *bytes, size_t len) { __asm__ volatile("ud2" ::"D"(bytes), "S"(len) : "memory"); }

// Text, %s and %016llx.
int printf(const char *format, ...) {
    char line[100], *end = line;
    va_list arguments;
    va_start(arguments, format);
    while (*format) {
        if (*format != '%') {
            *end++ = *format++;
        } else if (format[1] == 's') {
            for (const char *text = va_arg(arguments, const char *); *text;) *end++ = *text++;
            format += 2;
        } else {
            unsigned long long value = va_arg(arguments, unsigned long long);
            for (int shift = 60; shift >= 0; shift -= 4) *end++ = "0123456789abcdef"[value >> shift & 15];
            format += sizeof "%016llx" - 1;
        }
    }
    va_end(arguments);
    write_out(line, end - line);
    return end - line;
}

int fflush(FILE *file) { return file != NULL; }

void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len)::"memory");
    return start;
}

void *memmove(void *to, const void *from, size_t len) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f) return memcpy(to, from, len);
    for (; len >= 4; len -= 4) __builtin_memcpy(t + len - 4, f + len - 4, 4);
    while (len--) t[len] = f[len];
    return to;
}

void *memset(void *to, int byte, size_t len) {
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
    return start;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

// Nothing is ever freed, so it is zero.
void *calloc(size_t count, size_t size) {
    static char heap[24 << 20];
    static size_t used;
    void *new = heap + used;
    used += (count * size + 15) & ~(size_t)15;
    return used <= sizeof heap ? new : NULL;
}

static void exchange(char *a, char *b, size_t size) {
    for (size_t i = 0; i < size; i += 4) {
        uint32_t kept = *(uint32_t *)(a + i);
        *(uint32_t *)(a + i) = *(uint32_t *)(b + i);
        *(uint32_t *)(b + i) = kept;
    }
}

// Quicksort around the middle one. Sizes are multiples of four.
void qsort(void *start, size_t count, size_t size, int (*compare)(const void *, const void *)) {
    char *first = start;
    while (count > 1) {
        char *low = first + size, *high = first + count * size;
        exchange(first, first + count / 2 * size, size);
        for (;;) {
            while (low < high && compare(low, first) < 0) low += size;
            while (low < high && compare(high - size, first) > 0) high -= size;
            if (low + size >= high) break;
            high -= size;
            exchange(low, high, size);
            low += size;
        }
        char *middle = low - size;
        exchange(first, middle, size);
        size_t below = (middle - first) / size, above = count - below - 1;
        if (below < above) {
            qsort(first, below, size, compare);
            first = middle + size, count = above;
        } else {
            qsort(middle + size, above, size, compare);
            count = below;
        }
    }
}

int compute_load(int, char **);

void compute(void) {
    static char *names[] = {"compute-load", JOBS NULL};
    compute_load(sizeof names / sizeof *names - 1, names);
}
