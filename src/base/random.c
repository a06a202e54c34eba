/*
 * Keyed random streams over Philox 4x32-10 (Salmon et al. 2011, as in Random123).
 *
 * Key: 64 bits mixed from seed and purpose. Counter: words 2 and 3 are the stream's index, words 0
 * and 1 count its blocks. So streams of one key never share a block, and a value depends on
 * (seed, purpose, index, position) alone.
 */
#include "base/random.h"

#include <math.h>
#include <string.h>

#include <Random123/philox.h>

/* The finaliser of SplitMix64: a bijection that spreads every bit of its input. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

sonde__stream sonde__stream_open(uint64_t seed, sonde__purpose purpose, uint64_t index)
{
    uint64_t key = mix(mix(seed) + (uint64_t)purpose);
    sonde__stream stream = {
        .key = {(uint32_t)key, (uint32_t)(key >> 32)},
        .counter = {0, 0, (uint32_t)index, (uint32_t)(index >> 32)},
        .used = 4,
    };
    return stream;
}

static void next_block(sonde__stream *stream)
{
    philox4x32_ctr_t counter;
    philox4x32_key_t key;
    memcpy(counter.v, stream->counter, sizeof counter.v);
    memcpy(key.v, stream->key, sizeof key.v);
    counter = philox4x32_R(10, counter, key);
    memcpy(stream->block, counter.v, sizeof stream->block);
    if (++stream->counter[0] == 0)
        stream->counter[1]++;
    stream->used = 0;
}

uint32_t sonde__random_u32(sonde__stream *stream)
{
    if (stream->used == 4)
        next_block(stream);
    return stream->block[stream->used++];
}

uint64_t sonde__random_u64(sonde__stream *stream)
{
    uint64_t low = sonde__random_u32(stream);
    return low | (uint64_t)sonde__random_u32(stream) << 32;
}

double sonde__random_uniform(sonde__stream *stream)
{
    return (double)(sonde__random_u64(stream) >> 11) * 0x1p-53;
}

/* Lemire's multiplication for 32 bits; above, rejection of the incomplete last cycle. */
uint64_t sonde__random_below(sonde__stream *stream, uint64_t n)
{
    if (n <= UINT32_MAX) {
        uint32_t bound = (uint32_t)n, unfair = (0u - bound) % bound;
        for (;;) {
            uint64_t product = (uint64_t)sonde__random_u32(stream) * bound;
            if ((uint32_t)product >= unfair)
                return product >> 32;
        }
    }
    uint64_t unfair = (0u - n) % n;
    for (;;) {
        uint64_t value = sonde__random_u64(stream);
        if (value >= unfair)
            return value % n;
    }
}

/* Marsaglia's polar method: a pair of normals from a uniform point of the unit disc. */
double sonde__random_normal(sonde__stream *stream)
{
    if (stream->has_spare) {
        stream->has_spare = 0;
        return stream->spare;
    }
    double x, y, square;
    do {
        x = 2 * sonde__random_uniform(stream) - 1;
        y = 2 * sonde__random_uniform(stream) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    double scale = sqrt(-2 * log(square) / square);
    stream->spare = y * scale;
    stream->has_spare = 1;
    return x * scale;
}

void sonde__random_shuffle(sonde__stream *stream, uint32_t *values, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)sonde__random_below(stream, i);
        uint32_t kept = values[i - 1];
        values[i - 1] = values[j];
        values[j] = kept;
    }
}
