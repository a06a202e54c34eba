/*
 * Symmetric to lower band: for every block of columns a QR of what lies below the band, applied from
 * both sides as one update of rank 2 BAND of the lower triangle.
 *
 * With Q = I - V T V^T, Y = A V T and W = Y - V (T^T V^T Y) / 2, Q^T A Q = A - V W^T - W V^T.
 */
#include "num/band.h"

#include <cblas.h>
#include <string.h>

#include "num/householder.h"

/* Columns of the triangle that are updated by one product, and more than needed above it. */
enum { UPDATE = 256 };

typedef struct step {
    double *matrix;       /* whole */
    size_t n, at;         /* first column of this step */
    size_t rest;          /* order of what lies behind its block */
    size_t count;         /* reflectors: BAND, or fewer in the last step */
    double *left, *right; /* [V W] and [W V], rest x 2 count */
    double *product, *small, *factors;
} step;

static void multiply(CBLAS_TRANSPOSE turn_a, size_t m, size_t n, size_t k, double alpha,
                     const double *a, size_t stride_a, const double *b, size_t stride_b,
                     double beta, double *c, size_t stride_c)
{
    cblas_dgemm(CblasColMajor, turn_a, CblasNoTrans, (int)m, (int)n, (int)k, alpha, a,
                (int)stride_a, b, (int)stride_b, beta, c, (int)stride_c);
}

/* QR of the block column below the band; V into `left`. */
static void factor(const step *s)
{
    const size_t width = SONDE__BAND, rest = s->rest, count = s->count;
    double *const panel = s->matrix + s->at * s->n + s->at + width;
    sonde__panel_qr(panel, rest, count, s->n, s->factors);
    sonde__panel_vectors(panel, rest, count, s->n, s->left);
    if (count < width) { /* the other columns of the block: B - V T^T V^T B */
        double *const others = panel + count * s->n;
        multiply(CblasTrans, count, width - count, rest, 1, s->left, rest, others, s->n, 0,
                 s->product, count);
        multiply(CblasTrans, count, width - count, count, 1, s->factors, count, s->product, count,
                 0, s->small, count);
        multiply(CblasNoTrans, rest, width - count, count, -1, s->left, rest, s->small, count, 1,
                 others, s->n);
    }
}

/* W behind V in `left`, and both in the other order in `right`. */
static void find_update(const step *s)
{
    const size_t rest = s->rest, count = s->count, size = rest * count;
    const double *const behind = s->matrix + (s->at + SONDE__BAND) * (s->n + 1);
    double *const v = s->left, *const w = s->left + size;
    cblas_dsymm(CblasColMajor, CblasLeft, CblasLower, (int)rest, (int)count, 1, behind, (int)s->n,
                v, (int)rest, 0, s->product, (int)rest);
    multiply(CblasNoTrans, rest, count, count, 1, s->product, rest, s->factors, count, 0, w, rest);
    multiply(CblasTrans, count, count, rest, 1, v, rest, w, rest, 0, s->product, count);
    multiply(CblasTrans, count, count, count, 0.5, s->factors, count, s->product, count, 0,
             s->small, count);
    multiply(CblasNoTrans, rest, count, count, -1, v, rest, s->small, count, 1, w, rest);
    memcpy(s->right, w, size * sizeof *w);
    memcpy(s->right + size, v, size * sizeof *v);
}

static void update(const step *s)
{
    const size_t rest = s->rest, count = s->count;
    double *const behind = s->matrix + (s->at + SONDE__BAND) * (s->n + 1);
    for (size_t j = 0; j < rest; j += UPDATE)
        cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, (int)(rest - j),
                    (int)(rest - j < UPDATE ? rest - j : UPDATE), (int)(2 * count), -1, s->left + j,
                    (int)rest, s->right + j, (int)rest, 1, behind + j * (s->n + 1), (int)s->n);
}

sonde_status sonde__reduce_symmetric(sonde_context *context, double *matrix, size_t n, double *work)
{
    const size_t width = SONDE__BAND;
    step s = {.matrix = matrix, .n = n, .left = work};
    s.right = s.left + 2 * width * n;
    s.product = s.right + 2 * width * n;
    s.small = s.product + width * n;
    s.factors = s.small + width * n;
    for (s.at = 0; s.at + width + 1 < n; s.at += width) {
        if (sonde__cancelled(context))
            return SONDE_ERROR_CANCELLED;
        s.rest = n - s.at - width;
        s.count = s.rest < width ? s.rest : width;
        factor(&s);
        find_update(&s);
        update(&s);
    }
    return SONDE_OK;
}
