/*
 * Upper band to upper bidiagonal by chasing bulges, with reflectors of length BAND.
 *
 * Sweep i turns row i into its diagonal and superdiagonal entry; that reflector fills the diagonal
 * block below it, of which only the first column is cleared, from the left; that fills the block to
 * the right of it, of which only the first row is cleared, from the right; and so on to the end. The
 * rest of the fill is what the next sweep expects. Sweep i + 1 may work two blocks behind sweep i:
 * SWEEPS of them run as a front, so that the band goes through the cache once for all of them.
 *
 * The matrix is continued by zeros, on which reflectors are the identity, so that all blocks are
 * whole whatever n is. Column j of the band holds rows j - 2 BAND to j + BAND; in the symmetric case,
 * which has the block below where this one has the block to the right, j - BAND to j + 2 BAND.
 */
#include "num/band.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"
#include "num/householder.h"

enum {
    WIDTH = SONDE__BAND,
    LANES = WIDTH / 8,
    STEP = 3 * WIDTH, /* from an entry to its right neighbour */
    SWEEPS = 12
};

typedef struct sweep {
    double *block; /* the diagonal block that is next */
    size_t row;    /* its first row */
    double tau;    /* of the reflector that is still to be applied to it */
    double v[WIDTH];
} sweep;

/* A band in chase: which entries a column holds, how a sweep begins and goes on. */
typedef struct pursuit {
    double *band;
    size_t n;
    size_t above; /* the first entry of column j is row j - above */
    void (*start)(const struct pursuit *p, sweep *s, size_t i);
    void (*advance)(sweep *s, size_t n);
} pursuit;

static double *entry(const pursuit *p, size_t row, size_t col)
{
    return p->band + col * (STEP + 1) + p->above + row - col;
}

/* Eight doubles at an address. */
#define EIGHT(address) (*(sonde__loose8 *)(address))
#define EIGHT_OF(address) (*(const sonde__loose8 *)(address))

SONDE_INLINE double sum8(const sonde__vector8 *x)
{
    return (((*x)[0] + (*x)[4]) + ((*x)[2] + (*x)[6])) +
           (((*x)[1] + (*x)[5]) + ((*x)[3] + (*x)[7]));
}

/* out = block v */
SONDE_INLINE void times_vector(const double *block, const double *v, double *out)
{
    sonde__vector8 sum[LANES] = {{0}};
    for (size_t j = 0; j < WIDTH; j++)
        for (size_t k = 0; k < LANES; k++)
            sum[k] += EIGHT_OF(block + j * STEP + 8 * k) * v[j];
    for (size_t k = 0; k < LANES; k++)
        EIGHT(out + 8 * k) = sum[k];
}

/* out = block^T u */
SONDE_INLINE void vector_times(const double *block, const double *u, double *out)
{
    for (size_t j = 0; j < WIDTH; j++) {
        sonde__vector8 sum = {0};
        for (size_t k = 0; k < LANES; k++)
            sum += EIGHT_OF(block + j * STEP + 8 * k) * EIGHT_OF(u + 8 * k);
        out[j] = sum8(&sum);
    }
}

/* block -= a b^T + c d^T */
SONDE_INLINE void subtract(double *block, const double *a, const double *b, const double *c,
                           const double *d)
{
    for (size_t j = 0; j < WIDTH; j++)
        for (size_t k = 0; k < LANES; k++) {
            double *const at = block + j * STEP + 8 * k;
            EIGHT(at) -= EIGHT_OF(a + 8 * k) * b[j] + EIGHT_OF(c + 8 * k) * d[j];
        }
}

SONDE_INLINE double dot(const double *a, const double *b)
{
    sonde__vector8 sum = {0};
    for (size_t k = 0; k < LANES; k++)
        sum += EIGHT_OF(a + 8 * k) * EIGHT_OF(b + 8 * k);
    return sum8(&sum);
}

SONDE_INLINE void scale(double *x, double factor)
{
    for (size_t i = 0; i < WIDTH; i++)
        x[i] *= factor;
}

/* The diagonal block: (v, tau) from the right, then its first column is cleared from the left by
 * (u, *tau_u). */
SONDE_INLINE void diagonal_block(double *block, const double *v, double tau, double *u,
                                 double *tau_u)
{
    double w[WIDTH], z[WIDTH], column[WIDTH];
    times_vector(block, v, w);
    scale(w, tau);
    for (size_t i = 0; i < WIDTH; i++)
        u[i] = column[i] = block[i] - w[i] * v[0];
    const double beta = sonde__reflector(u, WIDTH, tau_u);
    vector_times(block, u, z);
    const double common = dot(w, u);
    for (size_t j = 0; j < WIDTH; j++)
        z[j] = *tau_u * (z[j] - common * v[j]);
    subtract(block, w, v, u, z);
    memset(block, 0, sizeof column);
    block[0] = beta;
}

/* The block to its right: (u, tau_u) from the left, then its first row is cleared from the right by
 * (v, *tau). */
SONDE_INLINE void right_block(double *block, const double *u, double tau_u, double *v, double *tau)
{
    double w[WIDTH], z[WIDTH];
    vector_times(block, u, z);
    scale(z, tau_u);
    for (size_t j = 0; j < WIDTH; j++)
        v[j] = block[j * STEP] - z[j];
    const double beta = sonde__reflector(v, WIDTH, tau);
    times_vector(block, v, w);
    const double common = dot(z, v);
    for (size_t i = 0; i < WIDTH; i++)
        w[i] = *tau * (w[i] - common * u[i]);
    subtract(block, u, z, w, v);
    for (size_t j = 0; j < WIDTH; j++)
        block[j * STEP] = 0;
    block[0] = beta;
}

/* One block of a sweep: the diagonal one and, but at the end, its right neighbour. */
SONDE_CLONES
static void advance_general(sweep *s, size_t n)
{
    double u[WIDTH], tau_u;
    diagonal_block(s->block, s->v, s->tau, u, &tau_u);
    s->row += WIDTH;
    if (s->row >= n)
        return;
    right_block(s->block + WIDTH * STEP, u, tau_u, s->v, &s->tau);
    s->block += WIDTH * (STEP + 1);
}

/* Clears row i from the right. */
static void start_general(const pursuit *p, sweep *s, size_t i)
{
    double *const row = entry(p, i, i + 1);
    for (size_t j = 0; j < WIDTH; j++)
        s->v[j] = row[j * STEP];
    const double beta = sonde__reflector(s->v, WIDTH, &s->tau);
    for (size_t j = 0; j < WIDTH; j++)
        row[j * STEP] = 0;
    row[0] = beta;
    s->row = i + 1;
    s->block = entry(p, i + 1, i + 1);
}

/* H block H for a symmetric block, both triangles: block - v w^T - w v^T. */
SONDE_INLINE void symmetric_block(double *block, const double *v, double tau)
{
    double w[WIDTH];
    times_vector(block, v, w);
    const double common = tau / 2 * dot(w, v);
    for (size_t i = 0; i < WIDTH; i++)
        w[i] = tau * (w[i] - common * v[i]);
    subtract(block, v, w, w, v);
}

/* The diagonal block and the one below it, whose first row becomes the last one of the next sweep's
 * diagonal block and is therefore kept above the diagonal as well. */
SONDE_CLONES
static void advance_symmetric(sweep *s, size_t n)
{
    double u[WIDTH];
    symmetric_block(s->block, s->v, s->tau);
    s->row += WIDTH;
    if (s->row >= n)
        return;
    double *const below = s->block + WIDTH, *const mirror = s->block + WIDTH * STEP;
    diagonal_block(below, s->v, s->tau, u, &s->tau);
    memcpy(s->v, u, sizeof u);
    for (size_t j = 0; j < WIDTH; j++)
        mirror[j] = below[j * STEP];
    s->block += WIDTH * (STEP + 1);
}

/* Clears column i from the left. */
static void start_symmetric(const pursuit *p, sweep *s, size_t i)
{
    double *const column = entry(p, i + 1, i);
    memcpy(s->v, column, sizeof s->v);
    const double beta = sonde__reflector(s->v, WIDTH, &s->tau);
    memset(column, 0, sizeof s->v);
    column[0] = beta;
    s->row = i + 1;
    s->block = entry(p, i + 1, i + 1);
}

/* Sweeps first .. first + count - 1 as a front. */
static void run_front(const pursuit *p, size_t first, size_t count, sweep *front)
{
    size_t running = 1;
    for (size_t time = 0; running > 0; time++) {
        running = time < 2 * count;
        for (size_t k = 0; k < count && 2 * k <= time; k++) {
            if (time == 2 * k)
                p->start(p, &front[k], first + k);
            if (front[k].row < p->n) {
                p->advance(&front[k], p->n);
                running = 1;
            }
        }
    }
}

static sonde_status run_all(sonde_context *context, const pursuit *p)
{
    sweep front[SWEEPS];
    const size_t sweeps = p->n - 1;
    for (size_t i = 0; i < sweeps; i += SWEEPS) {
        if (sonde__cancelled(context))
            return SONDE_ERROR_CANCELLED;
        run_front(p, i, sweeps - i < SWEEPS ? sweeps - i : SWEEPS, front);
    }
    return SONDE_OK;
}

sonde_status sonde__chase_band(sonde_context *context, const double *matrix, size_t n, double *band,
                               double *diagonal, double *off)
{
    const pursuit chase = {band, n, 2 * WIDTH, start_general, advance_general};
    memset(band, 0, sonde__chase_work(n) * sizeof *band);
    for (size_t j = 0; j < n; j++) {
        const size_t top = j < WIDTH ? 0 : j - WIDTH;
        memcpy(entry(&chase, top, j), matrix + j * n + top, (j - top + 1) * sizeof *band);
    }
    SONDE_TRY(run_all(context, &chase));
    for (size_t i = 0; i < n; i++) {
        diagonal[i] = *entry(&chase, i, i);
        if (i + 1 < n)
            off[i] = *entry(&chase, i, i + 1);
    }
    return SONDE_OK;
}

sonde_status sonde__chase_symmetric(sonde_context *context, const double *matrix, size_t n,
                                    double *band, double *diagonal, double *off)
{
    const pursuit chase = {band, n, WIDTH, start_symmetric, advance_symmetric};
    memset(band, 0, sonde__chase_work(n) * sizeof *band);
    for (size_t j = 0; j < n; j++) {
        const size_t end = j + WIDTH < n ? j + WIDTH + 1 : n;
        memcpy(entry(&chase, j, j), matrix + j * n + j, (end - j) * sizeof *band);
        for (size_t i = j + 1; i < end; i++)
            *entry(&chase, j, i) = matrix[j * n + i];
    }
    SONDE_TRY(run_all(context, &chase));
    for (size_t i = 0; i < n; i++) {
        diagonal[i] = *entry(&chase, i, i);
        if (i + 1 < n)
            off[i] = *entry(&chase, i + 1, i);
    }
    return SONDE_OK;
}

/* Columns up to n + 2 BAND are touched, each with all its rows. */
size_t sonde__chase_work(size_t n)
{
    return (n + 2 * WIDTH + 1) * (STEP + 1) + STEP;
}
