// What scripts/measure-compute runs in the guest and on the host: programs that compute, one after the other, in user mode.
// Each prints @NAME and a checksum when it is done. The arguments name those to run; without any, all run.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALONE __attribute__((noinline))

static uint64_t seed = 88172645463325252;

static uint64_t chance(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

// Calls and returns.
ALONE static uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static uint64_t recursion(void) { return fib(41); }

// An interpreter's computed jumps.
static uint64_t bytecode(void) {
    static void *const actions[] = {&&add, &&xor, &&triple, &&shift, &&sub, &&or, &&not, &&five};
    unsigned char code[64];
    uint64_t a = 1, b = 2, c = 3, left = 180000000;
    unsigned at = 0;
    for (int i = 0; i < 64; i++) code[i] = chance() % 8;
#define NEXT                       \
    if (!left--) return a + b + c; \
    at = (at + 1) % 64;            \
    goto *actions[code[at]]
    NEXT;
add: a += b; NEXT;
xor: b ^= a; NEXT;
triple: c = a * 3; NEXT;
shift: a = c >> 3; NEXT;
sub: b -= c; NEXT;
or: c |= 1; NEXT;
not: a = ~a; NEXT;
five: b += 5; NEXT;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

// Branches that cannot be foreseen, and copies.
static uint64_t sorting(void) {
    static uint32_t numbers[1 << 20];
    uint64_t sum = 0;
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 1 << 20; i++) numbers[i] = chance();
        qsort(numbers, 1 << 20, sizeof *numbers, by_size);
        for (unsigned i = 0; i < 1 << 20; i += 4096) sum = sum * 31 + numbers[i];
    }
    return sum;
}

// Scalar double precision, square roots and divisions.
static uint64_t planets(void) {
    double at[5][3], speed[5][3] = {{0}};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++) at[i][k] = i * 1.7 + k * k * 0.3;
    for (int step = 0; step < 3500000; step++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                double d[3], square = 0.01;
                for (int k = 0; k < 3; k++) d[k] = at[i][k] - at[j][k], square += d[k] * d[k];
                double pull = 0.0001 / (square * sqrt(square));
                for (int k = 0; k < 3; k++) speed[i][k] -= d[k] * pull, speed[j][k] += d[k] * pull;
            }
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 3; k++) at[i][k] += 0.001 * speed[i][k];
    }
    return (uint64_t)(int64_t)(at[0][0] * 1e9);
}

// Integer arithmetic and rotations: the inner part of SHA-256.
static uint64_t hashing(void) {
    uint32_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64], k[64];
    for (int i = 0; i < 64; i++) k[i] = chance();
#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))
    for (uint32_t block = 0; block < 1500000; block++) {
        for (int i = 0; i < 16; i++) w[i] = i * block;
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = ROR(w[i - 15], 7) ^ ROR(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = ROR(w[i - 2], 17) ^ ROR(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t s[8];
        memcpy(s, h, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t t = s[7] + (ROR(s[4], 6) ^ ROR(s[4], 11) ^ ROR(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
            uint32_t u = (ROR(s[0], 2) ^ ROR(s[0], 13) ^ ROR(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, 7 * sizeof *s);
            s[4] += t;
            s[0] = t + u;
        }
        for (int i = 0; i < 8; i++) h[i] += s[i];
    }
    return (uint64_t)h[0] << 32 | h[7];
}

// Packed single precision.
__attribute__((optimize("O3"))) static uint64_t matrices(void) {
    enum { N = 200 };
    static float a[N][N], b[N][N], c[N][N];
    uint64_t sum = 0;
    for (int round = 0; round < 350; round++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) a[i][j] = i + round, b[i][j] = j - i, c[i][j] = 0;
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
        sum += (uint64_t)fabsf(c[7][9]);
    }
    return sum;
}

// The x87.
static uint64_t extended(void) {
    long double a = 1, sum = 0;
    for (int i = 1; i < 90000000; i++) a = a * 1.0000001L + 1.0L / i, sum += a;
    return (uint64_t)sum;
}

struct node {
    struct node *left, *right;
    uint64_t key;
};

// Pointers, and memory that is touched for the first time.
static uint64_t trees(void) {
    struct node *root = NULL;
    uint64_t depth = 0;
    for (int i = 0; i < 350000; i++) {
        struct node *new = calloc(1, sizeof *new), **at = &root;
        new->key = chance();
        while (*at) at = new->key < (*at)->key ? &(*at)->left : &(*at)->right, depth++;
        *at = new;
    }
    return depth;
}

static uint64_t one_more(uint64_t x) { return x + 1; }
static uint64_t thrice(uint64_t x) { return x * 3; }
static uint64_t odd_bits(uint64_t x) { return x ^ 99; }
static uint64_t half(uint64_t x) { return x >> 1; }

// Calls through pointers.
static uint64_t callbacks(void) {
    static uint64_t (*volatile functions[])(uint64_t) = {one_more, thrice, odd_bits, half};
    uint64_t a = 1;
    for (int i = 0; i < 60000000; i++) a = functions[(a ^ i) & 3](a) + i;
    return a;
}

int main(int count, char **names) {
    static const struct {
        const char *name;
        uint64_t (*run)(void);
    } all[] = {{"recursion", recursion}, {"bytecode", bytecode}, {"sorting", sorting}, {"planets", planets}, {"hashing", hashing},
               {"matrices", matrices},   {"extended", extended}, {"trees", trees},     {"callbacks", callbacks}};
    printf("@begin 0\n");
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        int wanted = count < 2;
        for (int n = 1; n < count; n++) wanted |= !strcmp(names[n], all[i].name);
        if (!wanted) continue;
        fflush(stdout);
        printf("@%s %016llx\n", all[i].name, (unsigned long long)all[i].run());
    }
    fflush(stdout);
    return 0;
}
