/*
 * The Frobenius norm of a product R^T Z of two tall matrices, in two forms (section 1.1 of the
 * methods, arXiv 2601.16874):
 *
 *   direct   G = R^T Z (C x d) in strips of C, then the sum of its squares: B C d multiply-adds
 *   Gram     sum over rows i, j of (R R^T)_ij (Z Z^T)_ij:                   B^2 (C + d) / 2
 *
 * Everything is double: the Gram form cancels heavily when features are positive, and float products
 * would leave 1e-4 where this leaves 1e-13. The kernels are our own because they run beside training
 * (no second thread pool wakes up) and because the order of every sum is then fixed.
 *
 * Invariant: buffers are padded with zeros to whole tiles, so that the kernels have no edges.
 */
#include "signal/product_norm.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"

enum {
    LANES = 8,        /* of a vector */
    TILE = 4,         /* rows on either side of a Gram tile: 16 accumulators */
    PANEL = 8,        /* rows that stay in the first cache while the others stream past */
    DEPTH = 512,      /* columns converted at a time in the Gram form */
    GRAM_PITCH = 520, /* DEPTH and a cache line, so that rows do not fall on the same cache sets */
    STRIP = 64,       /* outputs per strip of the direct form */
    CHUNK = 32,       /* rows converted at a time in the direct form */
    DIRECT_ROWS = 8,  /* outputs by features in one direct tile: 16 accumulators */
    DIRECT_COLS = 16
};

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static void zero_tail(double *row, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        row[i] = 0;
}

size_t sonde__rows_pitch(size_t cols)
{
    size_t pitch = round_up(cols, LANES);
    /* Rows a multiple of 4 KiB apart would fall on the same sets of the first cache. */
    return pitch % DEPTH == 0 ? pitch + LANES : pitch;
}

double *sonde__rows_alloc(sonde_context *context, size_t rows, size_t cols)
{
    size_t padded = round_up(rows, TILE), pitch = sonde__rows_pitch(cols);
    double *values = sonde__alloc(context, padded, pitch * sizeof *values);
    if (!values)
        return NULL;
    for (size_t i = 0; i < rows; i++)
        zero_tail(values + i * pitch, cols, pitch);
    memset(values + rows * pitch, 0, (padded - rows) * pitch * sizeof *values);
    return values;
}

/* --- Gram form --------------------------------------------------------------------------------- */

/* Lane i of `sums` is the sum of the lanes of v[i], for eight vectors. By halves: adding lane by
 * lane would take a fifth of the time of a tile. */
SONDE_INLINE void lane_sums(const sonde__vector8 *v, sonde__vector8 *sums)
{
    sonde__vector8 pairs[4], fours[2];
    for (int i = 0; i < 4; i++)
        pairs[i] = SONDE_SHUFFLE8(v[2 * i], v[2 * i + 1], 0, 8, 2, 10, 4, 12, 6, 14) +
                   SONDE_SHUFFLE8(v[2 * i], v[2 * i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    for (int i = 0; i < 2; i++)
        fours[i] = SONDE_SHUFFLE8(pairs[2 * i], pairs[2 * i + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
                   SONDE_SHUFFLE8(pairs[2 * i], pairs[2 * i + 1], 2, 3, 10, 11, 6, 7, 14, 15);
    *sums = SONDE_SHUFFLE8(fours[0], fours[1], 0, 1, 2, 3, 8, 9, 10, 11) +
            SONDE_SHUFFLE8(fours[0], fours[1], 4, 5, 6, 7, 12, 13, 14, 15);
}

/* gram[i][j] += a_i . b_j for TILE x TILE rows of `depth` numbers. A clone each, not inlined: vectors
 * are cut to the instruction set of the function they are written in. */
SONDE_CLONES
static void gram_tile(const double *a, const double *b, size_t pitch, size_t depth, double *gram,
                      size_t gram_pitch)
{
    sonde__vector8 sum[TILE][TILE];
    for (int i = 0; i < TILE; i++)
        for (int j = 0; j < TILE; j++)
            sum[i][j] = (sonde__vector8){0};
    size_t k = 0;
    do { /* at least once: then the sums are in registers all the way */
        sonde__vector8 x[TILE], y[TILE];
        for (int i = 0; i < TILE; i++) {
            x[i] = *(const sonde__vector8 *)(a + (size_t)i * pitch + k);
            y[i] = *(const sonde__vector8 *)(b + (size_t)i * pitch + k);
        }
        for (int i = 0; i < TILE; i++)
            for (int j = 0; j < TILE; j++)
                sum[i][j] += x[i] * y[j];
        k += LANES;
    } while (k < depth);
    for (int i = 0; i < TILE; i += 2) {
        sonde__vector8 totals; /* of two rows of the tile */
        lane_sums(sum[i], &totals);
        for (int j = 0; j < TILE; j++) {
            gram[(size_t)i * gram_pitch + (size_t)j] += totals[j];
            gram[(size_t)(i + 1) * gram_pitch + (size_t)j] += totals[TILE + j];
        }
    }
}

/* The lower triangle (by tiles) of gram += block block^T; rows a multiple of TILE. */
static void gram_add(const double *block, size_t pitch, size_t rows, size_t depth, double *gram)
{
    for (size_t panel = 0; panel < rows; panel += PANEL) {
        size_t end = rows - panel < PANEL ? rows : panel + PANEL;
        for (size_t j = 0; j < end; j += TILE)
            for (size_t i = panel > j ? panel : j; i < end; i += TILE)
                gram_tile(block + i * pitch, block + j * pitch, pitch, depth, gram + i * rows + j,
                          rows);
    }
}

/* Columns [first, first + n) of all rows, in `block`, with zeros up to whole tiles. */
static void fill_block(const sonde__rows *source, size_t first, size_t n, double *block)
{
    for (size_t i = 0; i < source->rows; i++) {
        double *row = block + i * GRAM_PITCH;
        source->fill(source->user, i, first, n, row);
        zero_tail(row, n, round_up(n, LANES));
    }
}

static void gram_of(const sonde__rows *source, size_t padded, double *block, double *gram)
{
    memset(gram, 0, padded * padded * sizeof *gram);
    memset(block + source->rows * GRAM_PITCH, 0,
           (padded - source->rows) * GRAM_PITCH * sizeof *block);
    for (size_t first = 0; first < source->cols; first += DEPTH) {
        size_t n = source->cols - first < DEPTH ? source->cols - first : DEPTH;
        size_t depth = round_up(n, LANES);
        if (source->values) {
            gram_add(source->values + first, source->pitch, padded, depth, gram);
            continue;
        }
        fill_block(source, first, n, block);
        gram_add(block, GRAM_PITCH, padded, depth, gram);
    }
}

static void gram_sums(const double *left, const double *right, size_t rows, size_t pitch,
                      sonde__product_norm *result, double *cauchy)
{
    double diagonal = 0, below = 0;
    for (size_t i = 0; i < rows; i++) {
        const double *l = left + i * pitch, *r = right + i * pitch;
        double sum = 0;
        for (size_t j = 0; j < i; j++)
            sum += l[j] * r[j];
        below += sum;
        diagonal += l[i] * r[i];
        result->left_squared += l[i];
        result->right_squared += r[i];
        *cauchy += sqrt(l[i]) * sqrt(r[i]);
    }
    double total = diagonal + 2 * below;
    /* A norm: what falls below zero is rounding. Overflow stays as it is. */
    result->squared = total < 0 ? 0 : total;
}

static sonde_status by_gram(sonde_context *context, const sonde__rows *left,
                            const sonde__rows *right, sonde__product_norm *result, double *cauchy)
{
    sonde_status status = SONDE_ERROR_MEMORY;
    size_t padded = round_up(left->rows, TILE), square;
    if (!sonde__multiply(padded, padded, &square))
        square = SIZE_MAX;
    double *block = sonde__alloc(context, padded, GRAM_PITCH * sizeof(double));
    double *left_gram = block ? sonde__alloc(context, square, sizeof(double)) : NULL;
    double *right_gram = left_gram ? sonde__alloc(context, square, sizeof(double)) : NULL;
    if (right_gram) {
        gram_of(left, padded, block, left_gram);
        gram_of(right, padded, block, right_gram);
        gram_sums(left_gram, right_gram, left->rows, padded, result, cauchy);
        status = SONDE_OK;
    }
    sonde__free(context, right_gram);
    sonde__free(context, left_gram);
    sonde__free(context, block);
    return status;
}

/* --- direct form ------------------------------------------------------------------------------- */

/* product (DIRECT_ROWS x DIRECT_COLS) += left^T right over `rows` rows. */
SONDE_CLONES
static void direct_tile(const double *left, size_t left_pitch, const double *right,
                        size_t right_pitch, size_t rows, double *product, size_t pitch)
{
    sonde__vector8 sum[DIRECT_ROWS][2];
    for (int i = 0; i < DIRECT_ROWS; i++)
        for (int j = 0; j < 2; j++)
            sum[i][j] = *(const sonde__vector8 *)(product + (size_t)i * pitch + 8 * (size_t)j);
    for (size_t k = 0; k < rows; k++) {
        const double *x = left + k * left_pitch;
        sonde__vector8 y0 = *(const sonde__vector8 *)(right + k * right_pitch);
        sonde__vector8 y1 = *(const sonde__vector8 *)(right + k * right_pitch + 8);
        for (int i = 0; i < DIRECT_ROWS; i++) {
            sum[i][0] += x[i] * y0;
            sum[i][1] += x[i] * y1;
        }
    }
    for (int i = 0; i < DIRECT_ROWS; i++)
        for (int j = 0; j < 2; j++)
            *(sonde__vector8 *)(product + (size_t)i * pitch + 8 * (size_t)j) = sum[i][j];
}

static void direct_add(const double *left, size_t left_cols, const double *right, size_t right_cols,
                       size_t rows, double *product)
{
    for (size_t j = 0; j < right_cols; j += DIRECT_COLS)
        for (size_t i = 0; i < left_cols; i += DIRECT_ROWS)
            direct_tile(left + i, STRIP, right + j, right_cols, rows, product + i * right_cols + j,
                        right_cols);
}

SONDE_CLONES
static double sum_of_squares(const double *values, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += values[i] * values[i];
    return sum;
}

typedef struct direct_work {
    double *left, *right, *product; /* CHUNK x STRIP, CHUNK x d, STRIP x d */
    double *left_rows, *right_rows; /* squared norms of each row */
    size_t right_cols;              /* d, padded */
} direct_work;

/* One strip of outputs [first, first + n): its part of G in `product`. */
static void direct_strip(const sonde__rows *left, const sonde__rows *right, size_t first, size_t n,
                         direct_work *work)
{
    size_t left_cols = round_up(n, DIRECT_ROWS);
    memset(work->product, 0, left_cols * work->right_cols * sizeof(double));
    for (size_t row = 0; row < left->rows; row += CHUNK) {
        size_t rows = left->rows - row < CHUNK ? left->rows - row : CHUNK;
        for (size_t k = 0; k < rows; k++) {
            double *l = work->left + k * STRIP, *r = work->right + k * work->right_cols;
            left->fill(left->user, row + k, first, n, l);
            zero_tail(l, n, left_cols);
            right->fill(right->user, row + k, 0, right->cols, r);
            zero_tail(r, right->cols, work->right_cols);
            work->left_rows[row + k] += sum_of_squares(l, n);
            if (first == 0)
                work->right_rows[row + k] = sum_of_squares(r, right->cols);
        }
        direct_add(work->left, left_cols, work->right, work->right_cols, rows, work->product);
    }
}

static void direct_sums(const sonde__rows *left, const sonde__rows *right, direct_work *work,
                        sonde__product_norm *result, double *cauchy)
{
    for (size_t first = 0; first < left->cols; first += STRIP) {
        size_t n = left->cols - first < STRIP ? left->cols - first : STRIP;
        direct_strip(left, right, first, n, work);
        result->squared += sum_of_squares(work->product, n * work->right_cols);
    }
    for (size_t i = 0; i < left->rows; i++) {
        result->left_squared += work->left_rows[i];
        result->right_squared += work->right_rows[i];
        *cauchy += sqrt(work->left_rows[i]) * sqrt(work->right_rows[i]);
    }
}

static sonde_status by_direct(sonde_context *context, const sonde__rows *left,
                              const sonde__rows *right, sonde__product_norm *result, double *cauchy)
{
    sonde_status status = SONDE_ERROR_MEMORY;
    direct_work work = {.right_cols = round_up(right->cols, DIRECT_COLS)};
    size_t strip = round_up(left->cols < STRIP ? left->cols : STRIP, DIRECT_ROWS);
    work.left = sonde__alloc_zero(context, CHUNK, STRIP * sizeof(double));
    work.right = work.left ? sonde__alloc(context, work.right_cols, CHUNK * sizeof(double)) : NULL;
    work.product =
        work.right ? sonde__alloc(context, work.right_cols, strip * sizeof(double)) : NULL;
    work.left_rows =
        work.product ? sonde__alloc_zero(context, left->rows, 2 * sizeof(double)) : NULL;
    if (work.left_rows) {
        work.right_rows = work.left_rows + left->rows;
        direct_sums(left, right, &work, result, cauchy);
        status = SONDE_OK;
    }
    sonde__free(context, work.left_rows);
    sonde__free(context, work.product);
    sonde__free(context, work.right);
    sonde__free(context, work.left);
    return status;
}

/* --- choice and error -------------------------------------------------------------------------- */

/* Multiply-adds with their padding, and the conversions (worth about 4 each) that come with them. */
static sonde_head_form cheaper_form(size_t rows, size_t outputs, size_t features)
{
    double b = (double)round_up(rows, TILE), c = (double)outputs, d = (double)features;
    double strips = ceil(c / STRIP);
    double gram = b * (b + TILE) / 2 * (c + d) + 4 * b * (c + d);
    double direct =
        b * (double)round_up(outputs, DIRECT_ROWS) * (double)round_up(features, DIRECT_COLS) +
        4 * b * (c + strips * d);
    return gram < direct ? SONDE_FORM_GRAM : SONDE_FORM_DIRECT;
}

/*
 * Both forms sum products whose absolute values add up to at most (sum_i |r_i| |z_i|)^2; a sum over
 * n terms errs by at most n units of that. The residuals themselves carry a few units.
 */
static double rounding_bound(size_t rows, size_t outputs, size_t features, sonde_head_form form,
                             double cauchy)
{
    double terms = form == SONDE_FORM_GRAM ? (double)outputs + (double)features : (double)rows;
    return (terms / 8 + 32) * DBL_EPSILON * cauchy * cauchy;
}

sonde_status sonde__product_norm_of(sonde_context *context, const sonde__rows *left,
                                    const sonde__rows *right, sonde_head_form form,
                                    sonde__product_norm *result)
{
    if (form == SONDE_FORM_AUTO)
        form = cheaper_form(left->rows, left->cols, right->cols);
    *result = (sonde__product_norm){.form = form};
    double cauchy = 0;
    SONDE_TRY(form == SONDE_FORM_GRAM ? by_gram(context, left, right, result, &cauchy)
                                      : by_direct(context, left, right, result, &cauchy));
    result->bound = rounding_bound(left->rows, left->cols, right->cols, form, cauchy);
    return SONDE_OK;
}
