/* Numbers in [-0.5, 0.5) from a seed, as tests/golden/make_signals.py makes them. */
#ifndef SONDE_TESTS_MADE_NUMBERS_H
#define SONDE_TESTS_MADE_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

static inline float *made_numbers(uint32_t seed, float *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        numbers[i] = (float)(seed >> 8) / 16777216.0f - 0.5f;
    }
    return numbers;
}

#endif
