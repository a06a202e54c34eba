/*
 * Products by gathered rows; see exact_kernels.h. Sums stay in registers for all of the depth; the
 * shape of a tile is what the registers of AVX-512 (32 of 8 doubles) or of AVX2 (16 of 4) hold.
 */
#include "net/exact_kernels.h"

#include "base/compiler.h"

enum { LANES = 8, WIDE = 8, WIDE_VECTORS = 2, NARROW = 4, NARROW_VECTORS = 1, BLOCK = 4 };

size_t sonde__gather_tile(void)
{
    return sonde__cpu_has_avx512() ? WIDE : NARROW;
}

size_t sonde__gather_packed(size_t rows, size_t depth)
{
    return (rows + SONDE__EXACT_TILE - 1) / SONDE__EXACT_TILE * SONDE__EXACT_TILE * depth;
}

/* A vector from anywhere; a pointer, since how functions return vectors depends on the machine. */
static inline const sonde__loose8 *vector_at(const double *at)
{
    return (const sonde__loose8 *)(const void *)at;
}

/* `rows` x `vectors` sums; `a`: depth x rows. */
SONDE_INLINE void tile(const sonde__gather *g, int rows, int vectors, const double *a,
                       const double *x, double *y)
{
    sonde__vector8 sums[WIDE * WIDE_VECTORS], values[WIDE_VECTORS];
    for (int i = 0; i < rows * vectors; i++)
        sums[i] = (sonde__vector8){0};
    for (size_t k = 0; k < g->depth; k++) {
        for (int v = 0; v < vectors; v++)
            values[v] = *vector_at(x + g->offsets[k] + (size_t)(v * LANES));
        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < vectors; v++)
                sums[r * vectors + v] += a[k * (size_t)rows + (size_t)r] * values[v];
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++)
            *(sonde__loose8 *)(void *)(y + (size_t)r * g->stride + (size_t)(v * LANES)) =
                sums[r * vectors + v];
    }
}

SONDE_INLINE void product(const sonde__gather *g, int rows, int vectors, const double *packed,
                          double *y)
{
    for (size_t row = 0; row < g->rows; row += (size_t)rows) {
        for (size_t j = 0; j < g->count; j += (size_t)(vectors * LANES))
            tile(g, rows, vectors, packed + row * g->depth, g->x + j, y + row * g->stride + j);
    }
}

SONDE_CLONES static void product_wide(const sonde__gather *g, const double *packed, double *y)
{
    product(g, WIDE, WIDE_VECTORS, packed, y);
}

SONDE_CLONES static void product_narrow(const sonde__gather *g, const double *packed, double *y)
{
    product(g, NARROW, NARROW_VECTORS, packed, y);
}

void sonde__gather_product(const sonde__gather *g, const double *packed, double *y)
{
    if (sonde__gather_tile() == WIDE)
        product_wide(g, packed, y);
    else
        product_narrow(g, packed, y);
}

SONDE_INLINE double across(const sonde__vector8 *sums)
{
    const sonde__vector8 v = *sums;
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* Inner products of `rows` rows of y with `depth` rows of x. */
SONDE_INLINE void outer_block(const sonde__gather *g, int rows, int depth, const double *y,
                              const size_t *offsets, double *w)
{
    sonde__vector8 sums[BLOCK * BLOCK];
    for (int i = 0; i < rows * depth; i++)
        sums[i] = (sonde__vector8){0};
    for (size_t j = 0; j < g->count; j += LANES) {
        sonde__vector8 values[BLOCK];
        for (int k = 0; k < depth; k++)
            values[k] = *vector_at(g->x + offsets[k] + j);
        for (int r = 0; r < rows; r++) {
            const sonde__vector8 slope = *vector_at(y + (size_t)r * g->stride + j);
            for (int k = 0; k < depth; k++)
                sums[r * depth + k] += slope * values[k];
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int k = 0; k < depth; k++)
            w[(size_t)r * g->depth + (size_t)k] += across(&sums[r * depth + k]);
    }
}

SONDE_INLINE void outer_rows(const sonde__gather *g, int rows, const double *y, double *w)
{
    size_t k = 0;
    for (; k + BLOCK <= g->depth; k += BLOCK)
        outer_block(g, rows, BLOCK, y, g->offsets + k, w + k);
    for (; k < g->depth; k++)
        outer_block(g, rows, 1, y, g->offsets + k, w + k);
}

SONDE_CLONES static void outer(const sonde__gather *g, const double *y, double *w)
{
    size_t row = 0;
    for (; row + BLOCK <= g->rows; row += BLOCK)
        outer_rows(g, BLOCK, y + row * g->stride, w + row * g->depth);
    for (; row < g->rows; row++)
        outer_rows(g, 1, y + row * g->stride, w + row * g->depth);
}

void sonde__gather_outer(const sonde__gather *g, const double *y, double *w)
{
    outer(g, y, w);
}
