/*
 * Blocks of a matrix with its long side down; see tall.h for what the order of entries promises.
 */
#include "num/tall.h"

#include <math.h>
#include <string.h>

#include "num/formats.h"

enum { STRIP = 32, SCAN = 65536 };

/* The largest magnitude decides the exponent; NaNs and infinities are counted. */
static sonde_status scan(sonde__tall *tall)
{
    const sonde__tiles *const tiles = tall->tiles;
    const size_t cols = tiles->cols < SCAN ? tiles->cols : SCAN;
    double *const row = sonde__alloc_quiet(tall->context, cols, sizeof *row);
    if (!row)
        return SONDE_ERROR_MEMORY;
    sonde_status status = SONDE_OK;
    double most = 0;
    for (size_t i = 0; i < tiles->rows && status == SONDE_OK; i++)
        for (size_t j = 0; j < tiles->cols && status == SONDE_OK; j += cols) {
            const size_t count = tiles->cols - j < cols ? tiles->cols - j : cols;
            double largest;
            status = tiles->read(tiles->user, i, 1, j, count, row);
            if (status == SONDE_OK) {
                tall->nonfinite += sonde__count_nonfinite(row, count, &largest);
                most = fmax(most, largest);
            }
        }
    sonde__free(tall->context, row);
    if (most > 0)
        frexp(most, &tall->exponent);
    return status;
}

/* Whether the transpose is read: the one of both whose entry above the diagonal is the smaller. */
static sonde_status orient_square(sonde__tall *tall)
{
    const sonde__tiles *const tiles = tall->tiles;
    const size_t n = tall->n;
    double *const row = sonde__alloc_quiet(tall->context, 2 * n, sizeof *row);
    if (!row)
        return SONDE_ERROR_MEMORY;
    double *const column = row + n;
    sonde_status status = SONDE_OK;
    bool decided = false;
    for (size_t i = 0; i < n && !decided && status == SONDE_OK; i++) {
        const size_t count = n - i;
        status = tiles->read(tiles->user, i, 1, i, count, row);
        if (status == SONDE_OK)
            status = tiles->read(tiles->user, i, count, i, 1, column);
        for (size_t j = 1; j < count && !decided && status == SONDE_OK; j++)
            if (row[j] != column[j]) {
                tall->turned = row[j] < column[j];
                decided = true;
            }
    }
    sonde__free(tall->context, row);
    return status;
}

sonde_status sonde__tall_open(sonde_context *context, const sonde__tiles *tiles, sonde__tall *tall)
{
    const bool wide = tiles->rows < tiles->cols;
    *tall = (sonde__tall){.context = context,
                          .tiles = tiles,
                          .m = wide ? tiles->cols : tiles->rows,
                          .n = wide ? tiles->rows : tiles->cols,
                          .turned = wide};
    sonde_status status = SONDE_OK;
    if (tall->m == tall->n)
        status = orient_square(tall);
    if (status == SONDE_OK && !tiles->narrow)
        status = scan(tall);
    if (status == SONDE_OK && !tall->turned) {
        tall->strip = sonde__alloc_quiet(context, STRIP * tall->n, sizeof *tall->strip);
        status = tall->strip ? SONDE_OK : SONDE_ERROR_MEMORY;
    }
    return status;
}

void sonde__tall_close(sonde__tall *tall)
{
    sonde__free(tall->context, tall->strip);
    tall->strip = NULL;
}

/* `rows` rows of n entries become rows `first` and on of a block of `stride` rows by columns. */
static void transpose(const double *strip, size_t rows, size_t n, double *block, size_t first,
                      size_t stride)
{
    enum { SIDE = 8 };
    for (size_t i = 0; i < rows; i += SIDE) {
        const size_t height = rows - i < SIDE ? rows - i : SIDE;
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < height; k++)
                block[j * stride + first + i + k] = strip[(i + k) * n + j];
    }
}

static sonde_status read_turned(sonde__tall *tall, size_t first, size_t count, double *block)
{
    const sonde__tiles *const tiles = tall->tiles;
    return tiles->read(tiles->user, 0, tall->n, first, count, block);
}

static sonde_status read_straight(sonde__tall *tall, size_t first, size_t count, double *block)
{
    const sonde__tiles *const tiles = tall->tiles;
    for (size_t i = 0; i < count; i += STRIP) {
        const size_t rows = count - i < STRIP ? count - i : STRIP;
        SONDE_TRY(tiles->read(tiles->user, first + i, rows, 0, tall->n, tall->strip));
        transpose(tall->strip, rows, tall->n, block, i, count);
    }
    return SONDE_OK;
}

/* In two steps, since 2^-exponent itself may be beyond the range of doubles. */
static void scale(double *block, size_t size, int exponent)
{
    const double half = ldexp(1, -exponent / 2), rest = ldexp(1, -exponent - -exponent / 2);
    for (size_t i = 0; i < size; i++)
        block[i] = block[i] * half * rest;
}

sonde_status sonde__tall_read(sonde__tall *tall, size_t first, size_t count, double *block)
{
    const size_t size = count * tall->n;
    if (sonde__cancelled(tall->context))
        return SONDE_ERROR_CANCELLED;
    if (tall->turned)
        SONDE_TRY(read_turned(tall, first, count, block));
    else
        SONDE_TRY(read_straight(tall, first, count, block));
    const size_t bad = sonde__count_nonfinite(block, size, NULL);
    if (bad > 0) {
        memset(block, 0, size * sizeof *block);
        tall->nonfinite += tall->tiles->narrow ? bad : 0; /* the scan has counted the others */
    } else if (tall->exponent != 0) {
        scale(block, size, tall->exponent);
    }
    return SONDE_OK;
}

size_t sonde__tall_memory(size_t rows, size_t cols)
{
    const size_t n = rows < cols ? rows : cols;
    return (STRIP * n + 2 * n + SCAN) * sizeof(double);
}
