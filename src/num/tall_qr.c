/*
 * QR by blocks of rows: the first n make R, every further block is stacked below it and cleared, one
 * panel of columns after the other. A panel's reflectors are [I; V] since R is triangular, so that
 * only V, as tall as the block, takes part in the products.
 * Source: Golub, Van Loan, section 5.2; Gunter, van de Geijn 2005 (updating a QR factorisation).
 */
#include "num/tall_qr.h"

#include <cblas.h>
#include <string.h>

#include "num/householder.h"
#include "num/singular_internal.h"

enum { PANEL_MOST = 128 };

typedef struct stack {
    double *triangle, *block; /* n x n, rows x n */
    size_t n, rows, panel;
    double *vectors, *factors, *product, *turned; /* of one panel */
} stack;

static size_t panel_width(size_t n)
{
    return n >= 1024 ? PANEL_MOST : n >= 256 ? 64 : n >= 32 ? 32 : n;
}

static void multiply(CBLAS_TRANSPOSE turn_a, size_t m, size_t n, size_t k, double alpha,
                     const double *a, size_t stride_a, const double *b, size_t stride_b,
                     double beta, double *c, size_t stride_c)
{
    cblas_dgemm(CblasColMajor, turn_a, CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
                (int)stride_a, b, (int)stride_b, beta, c, (int)stride_c);
}

/* The rest of `rest` columns becomes (I - V T V^T)^T times itself, for V rows x width. */
static void apply(const stack *s, double *columns, size_t rows, size_t stride, size_t width,
                  size_t rest)
{
    multiply(CblasTrans, width, rest, rows, 1, s->vectors, rows, columns, stride, 0, s->product,
             width);
    multiply(CblasTrans, width, rest, width, 1, s->factors, width, s->product, width, 0, s->turned,
             width);
    multiply(CblasNoTrans, rows, rest, width, -1, s->vectors, rows, s->turned, width, 1, columns,
             stride);
}

static sonde_status factor_first(sonde_context *context, const stack *s)
{
    const size_t n = s->n;
    for (size_t at = 0; at < n; at += s->panel) {
        const size_t width = n - at < s->panel ? n - at : s->panel, rows = n - at;
        double *const corner = s->triangle + at * n + at;
        if (sonde__cancelled(context))
            return SONDE_ERROR_CANCELLED;
        sonde__panel_qr(corner, rows, width, n, s->factors);
        sonde__panel_vectors(corner, rows, width, n, s->vectors);
        if (rows > width)
            apply(s, corner + width * n, rows, n, width, rows - width);
    }
    for (size_t j = 0; j < n; j++)
        memset(s->triangle + j * n + j + 1, 0, (n - j - 1) * sizeof *s->triangle);
    return SONDE_OK;
}

/* QR of the triangle's corner on the block's panel: R back into the triangle, V into its place in
 * the block. */
static void factor_panel(const stack *s, size_t at, size_t width)
{
    const size_t n = s->n, rows = s->rows + width;
    double *const corner = s->triangle + at * n + at, *const panel = s->block + at * s->rows;
    for (size_t j = 0; j < width; j++) {
        memcpy(s->vectors + j * rows, corner + j * n, width * sizeof *corner);
        memcpy(s->vectors + j * rows + width, panel + j * s->rows, s->rows * sizeof *panel);
    }
    sonde__panel_qr(s->vectors, rows, width, rows, s->factors);
    for (size_t j = 0; j < width; j++) {
        memcpy(corner + j * n, s->vectors + j * rows, (j + 1) * sizeof *corner);
        memcpy(panel + j * s->rows, s->vectors + j * rows + width, s->rows * sizeof *panel);
    }
}

/* Behind the panel: Z = T^T (R + V^T B), R - Z, B - V Z. */
static void update_rest(const stack *s, size_t at, size_t width)
{
    const size_t n = s->n, rest = n - at - width;
    double *const r = s->triangle + (at + width) * n + at;
    double *const v = s->block + at * s->rows, *const b = v + width * s->rows;
    for (size_t j = 0; j < rest; j++)
        memcpy(s->product + j * width, r + j * n, width * sizeof *r);
    multiply(CblasTrans, width, rest, s->rows, 1, v, s->rows, b, s->rows, 1, s->product, width);
    multiply(CblasTrans, width, rest, width, 1, s->factors, width, s->product, width, 0, s->turned,
             width);
    for (size_t j = 0; j < rest; j++)
        for (size_t i = 0; i < width; i++)
            r[j * n + i] -= s->turned[j * width + i];
    multiply(CblasNoTrans, s->rows, rest, width, -1, v, s->rows, s->turned, width, 1, b, s->rows);
}

static sonde_status add_blocks(sonde__tall *tall, stack *s)
{
    const size_t n = s->n, step = sonde__block_rows(tall->m, n);
    SONDE_TRY(sonde__tall_read(tall, 0, n, s->triangle));
    if (tall->nonfinite == 0)
        SONDE_TRY(factor_first(tall->context, s));
    for (size_t first = n; first < tall->m; first += step) {
        s->rows = tall->m - first < step ? tall->m - first : step;
        SONDE_TRY(sonde__tall_read(tall, first, s->rows, s->block));
        for (size_t at = 0; at < n && tall->nonfinite == 0; at += s->panel) {
            const size_t width = n - at < s->panel ? n - at : s->panel;
            factor_panel(s, at, width);
            if (at + width < n)
                update_rest(s, at, width);
        }
    }
    return SONDE_OK;
}

/* Doubles behind the block: one panel of the taller of triangle and block, its T, two products. */
static size_t scratch_size(size_t rows, size_t n, size_t panel)
{
    return ((rows > n ? rows : n) + panel) * panel + panel * panel + 2 * panel * n;
}

sonde_status sonde__tall_qr(sonde__tall *tall, double *triangle)
{
    const size_t n = tall->n, rows = sonde__block_rows(tall->m, n);
    if (tall->m == n)
        return sonde__tall_read(tall, 0, n, triangle);
    stack s = {.triangle = triangle, .n = n, .panel = panel_width(n)};
    const size_t scratch = scratch_size(rows, n, s.panel);
    s.block = sonde__alloc_quiet(tall->context, rows * n + scratch, sizeof *s.block);
    if (!s.block)
        return SONDE_ERROR_MEMORY;
    s.vectors = s.block + rows * n;
    s.factors = s.vectors + ((rows > n ? rows : n) + s.panel) * s.panel;
    s.product = s.factors + s.panel * s.panel;
    s.turned = s.product + s.panel * n;
    const sonde_status status = add_blocks(tall, &s);
    sonde__free(tall->context, s.block);
    return status;
}

size_t sonde__tall_qr_memory(size_t m, size_t n)
{
    const size_t rows = sonde__block_rows(m, n);
    return m == n ? 0 : (rows * n + scratch_size(rows, n, panel_width(n))) * sizeof(double);
}
