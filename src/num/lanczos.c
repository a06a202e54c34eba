/*
 * Block Lanczos: Q_1 random and orthonormal; Y = A^T A Q_j; A_j = Q_j^T Y; Y minus its parts in all
 * of Q_1 .. Q_j (twice, for rounding); Q_j+1 B_j = Y. The blocks A_j, B_j form a band matrix T whose
 * eigenvectors' first block gives the weights and last block, times B, the residuals.
 * A is W, or its transpose, with the longer side as rows, so that A^T A has order n.
 */
#include "num/lanczos.h"

#include <math.h>
#include <string.h>

#include <cblas.h>

#include "base/random.h"
#include "num/formats.h"
#include "num/lapack.h"
#include "num/linalg.h"

enum { BLOCK = SONDE__BLOCK, STEPS = SONDE__LANCZOS_STEPS, NODES = SONDE__LANCZOS_NODES };
enum { TILE_BYTES = 4 << 20 };
/* Entries beyond 2^+-LARGEST_EXPONENT could leave the range of a float in the products. */
enum { LARGEST_EXPONENT = 20 };
static const uint64_t SEED = 0x5357;

typedef struct work {
    sonde_context *context;
    size_t longer, n;
    float *a;                   /* longer x n */
    double *q;                  /* (STEPS + 1) blocks, each n x BLOCK row-major */
    float *v, *y;               /* n x BLOCK */
    double *residue;            /* n x BLOCK */
    double *t;                  /* NODES x NODES */
    double last[BLOCK * BLOCK]; /* B of the last step */
    double square_sum;
} work;

/* --- the matrix in float ------------------------------------------------------------------------ */

/* Entries times 2^-exponent, by halves, since that power alone may leave the range of a double. Sums
 * of squares run in LANES, so that they need not wait for one another. */
SONDE_CLONES
static void store_tile(const double *tile, bool transpose, int exponent, work *w, size_t first,
                       size_t count)
{
    enum { LANES = 16 };
    const size_t n = w->n, row_step = transpose ? 1 : n, col_step = transpose ? count : 1;
    const double half = ldexp(1, -exponent / 2), other = ldexp(1, -exponent - -exponent / 2);
    double sums[LANES] = {0};
    for (size_t strip = 0; strip < n; strip += LANES)
        for (size_t i = 0; i < count; i++) {
            const double *const from = tile + i * row_step + strip * col_step;
            float *const to = w->a + (first + i) * n + strip;
            const size_t width = n - strip < LANES ? n - strip : LANES;
            for (size_t j = 0; j < width; j++) {
                const double entry = from[j * col_step] * half * other;
                to[j] = (float)entry;
                sums[j] += entry * entry;
            }
        }
    for (size_t j = 0; j < LANES; j++)
        w->square_sum += sums[j];
}

/* Reads all of the matrix; *largest is the largest finite magnitude. */
static sonde_status load(const sonde__tiles *tiles, int exponent, work *w, size_t *nonfinite,
                         double *largest)
{
    const bool transpose = tiles->rows < tiles->cols;
    size_t step = TILE_BYTES / (w->n * sizeof(double));
    step = step < 1 ? 1 : step;
    double *const tile = sonde__alloc_quiet(w->context, step * w->n, sizeof *tile);
    if (!tile)
        return SONDE_ERROR_MEMORY;
    sonde_status status = SONDE_OK;
    *nonfinite = 0;
    *largest = w->square_sum = 0;
    for (size_t first = 0; first < w->longer && status == SONDE_OK; first += step) {
        const size_t count = w->longer - first < step ? w->longer - first : step;
        status = transpose ? tiles->read(tiles->user, 0, w->n, first, count, tile)
                           : tiles->read(tiles->user, first, count, 0, w->n, tile);
        if (status != SONDE_OK)
            break;
        double most;
        *nonfinite += sonde__count_nonfinite(tile, count * w->n, &most);
        *largest = fmax(*largest, most);
        store_tile(tile, transpose, exponent, w, first, count);
        status = sonde__cancelled(w->context) ? SONDE_ERROR_CANCELLED : SONDE_OK;
    }
    sonde__free(w->context, tile);
    return status;
}

static sonde_status load_scaled(const sonde__tiles *tiles, work *w, sonde__lanczos *out)
{
    double largest;
    out->exponent = 0;
    SONDE_TRY(load(tiles, 0, w, &out->nonfinite, &largest));
    int exponent = 0;
    if (out->nonfinite == 0 && largest > 0)
        frexp(largest, &exponent);
    if (exponent <= LARGEST_EXPONENT && exponent >= -LARGEST_EXPONENT)
        return SONDE_OK;
    out->exponent = exponent;
    return load(tiles, exponent, w, &out->nonfinite, &largest);
}

/* --- orthogonal blocks -------------------------------------------------------------------------- */

/* R := R - Q (Q^T R) for `blocks` blocks of the basis, and adds the coefficients of the newest one to
 * `newest` (BLOCK x BLOCK). */
static void project_out(const work *w, size_t blocks, double *newest)
{
    double part[BLOCK * BLOCK];
    const int n = (int)w->n;
    for (size_t b = 0; b < blocks; b++) {
        const double *const q = w->q + b * w->n * BLOCK;
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, BLOCK, BLOCK, n, 1, q, BLOCK,
                    w->residue, BLOCK, 0, part, BLOCK);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, BLOCK, BLOCK, -1, q, BLOCK, part,
                    BLOCK, 1, w->residue, BLOCK);
        for (int i = 0; newest && b + 1 == blocks && i < BLOCK * BLOCK; i++)
            newest[i] += part[i];
    }
}

static double column_norm(const double *block, size_t n, int column)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += block[i * BLOCK + (size_t)column] * block[i * BLOCK + (size_t)column];
    return sqrt(sum);
}

/* Subtracts from column `j` its parts in the columns before it; their sizes are added to factor. */
static void subtract_before(double *block, size_t n, int j, double *factor)
{
    double dots[BLOCK] = {0};
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < j; k++)
            dots[k] += block[i * BLOCK + (size_t)k] * block[i * BLOCK + (size_t)j];
    for (size_t i = 0; i < n; i++) {
        double part = 0;
        for (int k = 0; k < j; k++)
            part += dots[k] * block[i * BLOCK + (size_t)k];
        block[i * BLOCK + (size_t)j] -= part;
    }
    for (int k = 0; k < j; k++)
        factor[k * BLOCK + j] += dots[k];
}

/* A direction that the matrix does not reach any more is replaced by a zero column, which stays out
 * of everything: its rows and columns of T are zero, its weight nothing. */
static void orthonormalise(work *w, double *factor)
{
    double *const block = w->residue;
    memset(factor, 0, BLOCK * BLOCK * sizeof *factor);
    for (int j = 0; j < BLOCK; j++) {
        const double before = column_norm(block, w->n, j);
        subtract_before(block, w->n, j, factor);
        subtract_before(block, w->n, j, factor);
        const double norm = column_norm(block, w->n, j);
        const bool gone = !(norm > 1e-9 * before);
        factor[j * BLOCK + j] = gone ? 0 : norm;
        for (size_t i = 0; i < w->n; i++)
            block[i * BLOCK + (size_t)j] = gone ? 0 : block[i * BLOCK + (size_t)j] / norm;
    }
}

static void draw_start(work *w)
{
    double factor[BLOCK * BLOCK];
    for (int j = 0; j < BLOCK; j++) {
        sonde__stream stream = sonde__stream_open(SEED, SONDE__RANDOM_PROBE, (uint64_t)j);
        for (size_t i = 0; i < w->n; i++)
            w->residue[i * BLOCK + (size_t)j] = sonde__random_normal(&stream);
    }
    orthonormalise(w, factor);
}

/* --- the recursion ------------------------------------------------------------------------------ */

static void multiply(work *w, size_t block)
{
    const size_t count = w->n * BLOCK;
    const double *const q = w->q + block * count;
    for (size_t i = 0; i < count; i++)
        w->v[i] = (float)q[i];
    memset(w->y, 0, count * sizeof *w->y);
    sonde__block_product(w->a, w->longer, w->n, w->v, w->y);
    for (size_t i = 0; i < count; i++)
        w->residue[i] = (double)w->y[i] / (double)w->longer;
}

static void place(double *t, size_t row_block, size_t col_block, const double *block,
                  bool transpose)
{
    for (size_t i = 0; i < BLOCK; i++)
        for (size_t j = 0; j < BLOCK; j++)
            t[(row_block * BLOCK + i) * NODES + col_block * BLOCK + j] =
                transpose ? block[j * BLOCK + i] : block[i * BLOCK + j];
}

static sonde_status recur(work *w)
{
    const size_t count = w->n * BLOCK;
    memset(w->t, 0, sizeof(double) * NODES * NODES);
    draw_start(w);
    for (size_t step = 0; step < STEPS; step++) {
        double diagonal[BLOCK * BLOCK] = {0};
        memcpy(w->q + step * count, w->residue, count * sizeof(double));
        multiply(w, step);
        project_out(w, step + 1, diagonal);
        project_out(w, step + 1, diagonal);
        place(w->t, step, step, diagonal, false);
        orthonormalise(w, w->last);
        if (step + 1 < STEPS) {
            place(w->t, step + 1, step, w->last, false);
            place(w->t, step, step + 1, w->last, true);
        }
        if (sonde__cancelled(w->context))
            return SONDE_ERROR_CANCELLED;
    }
    return SONDE_OK;
}

/* --- nodes, weights, residuals ------------------------------------------------------------------ */

/* Eigenvectors in the rows of t. */
static sonde_status decompose(work *w, double *nodes)
{
    const int order = NODES, work_size = 1 + 6 * NODES + 2 * NODES * NODES;
    const int integer_size = 3 + 5 * NODES;
    int info = 0;
    double *const room = sonde__alloc_quiet(w->context, (size_t)work_size, sizeof *room);
    int *const integers = sonde__alloc_quiet(w->context, (size_t)integer_size, sizeof *integers);
    sonde_status status = room && integers ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK) {
        dsyevd_("V", "L", &order, w->t, &order, nodes, room, &work_size, integers, &integer_size,
                &info, 1, 1);
        status = info == 0 ? SONDE_OK : SONDE_ERROR_NUMERIC;
    }
    sonde__free(w->context, integers);
    sonde__free(w->context, room);
    return status;
}

static void read_out(const work *w, sonde__lanczos *out)
{
    for (size_t j = 0; j < NODES; j++) {
        const double *const vector = w->t + j * NODES, *const end = vector + NODES - BLOCK;
        double sum = 0;
        for (int i = 0; i < BLOCK; i++) {
            double part = 0;
            for (int k = 0; k < BLOCK; k++)
                part += w->last[i * BLOCK + k] * end[k];
            sum += part * part;
        }
        out->residuals[j] = sqrt(sum);
        for (int i = 0; i < BLOCK; i++)
            out->weights[j][i] = vector[i] * vector[i];
    }
    out->mean = w->square_sum / ((double)w->longer * (double)w->n);
}

static sonde_status prepare(sonde_context *context, const sonde__tiles *tiles, work *w)
{
    *w = (work){.context = context};
    w->longer = tiles->rows > tiles->cols ? tiles->rows : tiles->cols;
    w->n = tiles->rows > tiles->cols ? tiles->cols : tiles->rows;
    w->a = sonde__alloc_quiet(context, w->longer, w->n * sizeof *w->a);
    w->q = sonde__alloc_quiet(context, w->n * BLOCK, STEPS * sizeof *w->q);
    w->v = sonde__alloc_quiet(context, w->n * BLOCK, sizeof *w->v);
    w->y = sonde__alloc_quiet(context, w->n * BLOCK, sizeof *w->y);
    w->residue = sonde__alloc_quiet(context, w->n * BLOCK, sizeof *w->residue);
    w->t = sonde__alloc_quiet(context, (size_t)NODES * NODES, sizeof *w->t);
    return w->a && w->q && w->v && w->y && w->residue && w->t ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static void release(work *w)
{
    sonde__free(w->context, w->t);
    sonde__free(w->context, w->residue);
    sonde__free(w->context, w->y);
    sonde__free(w->context, w->v);
    sonde__free(w->context, w->q);
    sonde__free(w->context, w->a);
}

sonde_status sonde__lanczos_run(sonde_context *context, const sonde__tiles *tiles,
                                sonde__lanczos *lanczos)
{
    work w;
    const int before = sonde__blas_alone();
    sonde_status status = prepare(context, tiles, &w);
    if (status == SONDE_OK)
        status = load_scaled(tiles, &w, lanczos);
    if (status == SONDE_OK && lanczos->nonfinite == 0) {
        status = recur(&w);
        if (status == SONDE_OK)
            status = decompose(&w, lanczos->nodes);
        if (status == SONDE_OK)
            read_out(&w, lanczos);
    }
    release(&w);
    sonde__blas_restore(before);
    return status;
}

size_t sonde__lanczos_memory(size_t rows, size_t cols)
{
    const size_t n = rows < cols ? rows : cols;
    const size_t tile = n * sizeof(double) > TILE_BYTES ? n * sizeof(double) : TILE_BYTES;
    return rows * cols * sizeof(float) + n * BLOCK * ((STEPS + 1) * 8 + 8) + tile +
           3 * sizeof(double) * NODES * NODES;
}
