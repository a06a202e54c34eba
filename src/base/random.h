/*
 * Keyed random streams (Philox 4x32-10, Random123).
 *
 * A stream is named by (seed, purpose, index) and has no shared state, so that any value can be
 * drawn on any thread, in any order, and a resumed run draws what an uninterrupted one would have.
 */
#ifndef SONDE_BASE_RANDOM_H
#define SONDE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* What a stream is for. Numbers are pinned: saved runs depend on them. */
typedef enum sonde__purpose {
    SONDE__RANDOM_INIT = 1,            /* index: parameter number */
    SONDE__RANDOM_SHUFFLE = 2,         /* index: epoch */
    SONDE__RANDOM_AUGMENT = 3,         /* index: epoch * examples + example */
    SONDE__RANDOM_DROPOUT = 4,         /* index: step, then layer */
    SONDE__RANDOM_LABEL_NOISE = 5,     /* index: example */
    SONDE__RANDOM_DATA = 6,            /* index: example, of generated data */
    SONDE__RANDOM_PROBE = 7,           /* index: which probe batch */
    SONDE__RANDOM_NULL = 8,            /* index: draw of a Monte-Carlo null */
    SONDE__RANDOM_TEST = 9,            /* tests and benchmarks */
    SONDE__RANDOM_SIGNS = 10,          /* index: draw of random signs (Rademacher) */
    SONDE__RANDOM_IMPORTANCE = 11,     /* index: layer, of the random criterion */
    SONDE__RANDOM_NORMAL_WEIGHTS = 12, /* index: network and parameter, of weights for one score */
    SONDE__RANDOM_NORMAL_INPUT = 13,   /* index: which input of that network */
    SONDE__RANDOM_TPV = 14,            /* index: draw and parameter, of perturbed weights */
    SONDE__RANDOM_TPV_ORDER = 15,      /* index: pass over the examples; inputs that are chosen */
    SONDE__RANDOM_TPV_TARGETS = 16     /* index: run, of noise on targets */
} sonde__purpose;

typedef struct sonde__stream {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    unsigned used; /* words of `block` already given out */
    double spare;  /* second value of a pair of normals */
    int has_spare;
} sonde__stream;

sonde__stream sonde__stream_open(uint64_t seed, sonde__purpose purpose, uint64_t index);
uint32_t sonde__random_u32(sonde__stream *stream);
uint64_t sonde__random_u64(sonde__stream *stream);
/* Uniform in [0, 1), 53 bits. */
double sonde__random_uniform(sonde__stream *stream);
/* Uniform in [0, n), n >= 1, without bias. */
uint64_t sonde__random_below(sonde__stream *stream, uint64_t n);
/* Standard normal. */
double sonde__random_normal(sonde__stream *stream);
/* Shuffles n 32-bit values in place (Fisher-Yates). */
void sonde__random_shuffle(sonde__stream *stream, uint32_t *values, size_t n);

#endif
