/*
 * Square to upper band: for every block of columns a QR from the left, of the block row that it
 * leaves an LQ from the right, both applied to the rest in one product of twice the rank.
 *
 * With Q = I - V T V^T from the left and P = I - U S U^T from the right, Y = A^T V T and
 * X = (A - V Y^T) U S, the rest becomes A - V Y^T - X U^T. Only the block row needs its left update
 * before the others, since P comes from it.
 */
#include "num/band.h"

#include <cblas.h>
#include <string.h>

#include "num/householder.h"

/* One step's blocks: `left` = [V X] and `right` = [Y U], each `rest` x 2 BAND; factors and the
 * transposed block row. */
typedef struct step {
    double *matrix; /* whole */
    size_t n, at;   /* first row and column of this step */
    size_t rest;    /* rows and columns behind its block */
    double *left, *right, *vectors, *row, *product, *factors;
} step;

static void multiply(CBLAS_TRANSPOSE turn_a, CBLAS_TRANSPOSE turn_b, size_t m, size_t n, size_t k,
                     double alpha, const double *a, size_t stride_a, const double *b,
                     size_t stride_b, double beta, double *c, size_t stride_c)
{
    cblas_dgemm(CblasColMajor, turn_a, turn_b, (int)m, (int)n, (int)k, alpha, a, (int)stride_a, b,
                (int)stride_b, beta, c, (int)stride_c);
}

/* V of the block column into `left`, Y into `right`. */
static void from_left(const step *s)
{
    const size_t width = SONDE__BAND, rows = s->rest + width, n = s->n;
    double *const panel = s->matrix + s->at * n + s->at, *const rest = panel + width * n;
    sonde__panel_qr(panel, rows, width, n, s->factors);
    sonde__panel_vectors(panel, rows, width, n, s->vectors);
    multiply(CblasTrans, CblasNoTrans, s->rest, width, rows, 1, rest, n, s->vectors, rows, 0,
             s->product, s->rest);
    multiply(CblasNoTrans, CblasNoTrans, s->rest, width, width, 1, s->product, s->rest, s->factors,
             width, 0, s->right, s->rest);
    for (size_t j = 0; j < width; j++)
        memcpy(s->left + j * s->rest, s->vectors + j * rows + width, s->rest * sizeof *s->left);
}

/* The block row, updated from the left and transposed: rest x BAND. */
static void take_row(const step *s)
{
    const size_t width = SONDE__BAND, rows = s->rest + width, n = s->n;
    const double *const from = s->matrix + (s->at + width) * n + s->at;
    for (size_t j = 0; j < s->rest; j++)
        for (size_t i = 0; i < width; i++)
            s->row[i * s->rest + j] = from[j * n + i];
    multiply(CblasNoTrans, CblasTrans, s->rest, width, width, -1, s->right, s->rest, s->vectors,
             rows, 1, s->row, s->rest);
}

/* Back into the matrix as the lower trapezoid that it has become. */
static void put_row(const step *s)
{
    const size_t width = SONDE__BAND, n = s->n;
    double *const to = s->matrix + (s->at + width) * n + s->at;
    for (size_t j = 0; j < s->rest && j < width; j++)
        for (size_t i = 0; i < width; i++)
            to[j * n + i] = i >= j ? s->row[i * s->rest + j] : 0;
}

/* U of the block row into `right`, X into `left`; the number of reflectors, fewer than BAND only in
 * the last step of an order that BAND does not divide. */
static size_t from_right(const step *s)
{
    const size_t width = SONDE__BAND, rest = s->rest, count = rest < width ? rest : width;
    const double *const below = s->matrix + (s->at + width) * s->n + s->at + width;
    double *const u = s->right + width * rest, *const x = s->left + width * rest;
    sonde__panel_qr(s->row, rest, count, rest, s->factors);
    sonde__panel_vectors(s->row, rest, count, rest, u);
    if (count < width) { /* the other rows of the block row: H - U S^T U^T H */
        double *const others = s->row + count * rest;
        multiply(CblasTrans, CblasNoTrans, count, width - count, rest, 1, u, rest, others, rest, 0,
                 s->vectors, count);
        multiply(CblasTrans, CblasNoTrans, count, width - count, count, 1, s->factors, count,
                 s->vectors, count, 0, s->product, count);
        multiply(CblasNoTrans, CblasNoTrans, rest, width - count, count, -1, u, rest, s->product,
                 count, 1, others, rest);
    }
    multiply(CblasNoTrans, CblasNoTrans, rest, count, rest, 1, below, s->n, u, rest, 0, s->product,
             rest);
    multiply(CblasTrans, CblasNoTrans, width, count, rest, 1, s->right, rest, u, rest, 0,
             s->vectors, width);
    multiply(CblasNoTrans, CblasNoTrans, rest, count, width, -1, s->left, rest, s->vectors, width,
             1, s->product, rest);
    multiply(CblasNoTrans, CblasNoTrans, rest, count, count, 1, s->product, rest, s->factors, count,
             0, x, rest);
    return count;
}

static void reduce_step(const step *s)
{
    const size_t width = SONDE__BAND, rest = s->rest;
    double *const below = s->matrix + (s->at + width) * s->n + s->at + width;
    from_left(s);
    take_row(s);
    const size_t count = from_right(s);
    put_row(s);
    multiply(CblasNoTrans, CblasTrans, rest, rest, width + count, -1, s->left, rest, s->right, rest,
             1, below, s->n);
}

sonde_status sonde__reduce_to_band(sonde_context *context, double *matrix, size_t n, double *work)
{
    const size_t width = SONDE__BAND;
    step s = {.matrix = matrix, .n = n, .left = work};
    s.right = s.left + 2 * width * n;
    s.vectors = s.right + 2 * width * n;
    s.row = s.vectors + width * n;
    s.product = s.row + width * n;
    s.factors = s.product + width * n;
    for (s.at = 0; s.at + width < n; s.at += width) {
        if (sonde__cancelled(context))
            return SONDE_ERROR_CANCELLED;
        s.rest = n - s.at - width;
        reduce_step(&s);
    }
    const size_t last = n - s.at;
    sonde__panel_qr(matrix + s.at * n + s.at, last, last, n, s.factors);
    return SONDE_OK;
}

size_t sonde__band_work(size_t n)
{
    const size_t width = SONDE__BAND, most = n > width ? n : width;
    return 7 * width * most + width * width;
}
