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
 * whole whatever n is. Column j of the band holds rows j - 2 BAND to j + BAND.
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
    double tau;    /* of the reflector from the right that is still to be applied to it */
    double v[WIDTH];
} sweep;

static double *entry(double *band, size_t row, size_t col)
{
    return band + col * (STEP + 1) + 2 * WIDTH + row - col;
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
static void advance(sweep *s, size_t n)
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
static void start(sweep *s, double *band, size_t i)
{
    double *const row = entry(band, i, i + 1);
    for (size_t j = 0; j < WIDTH; j++)
        s->v[j] = row[j * STEP];
    const double beta = sonde__reflector(s->v, WIDTH, &s->tau);
    for (size_t j = 0; j < WIDTH; j++)
        row[j * STEP] = 0;
    row[0] = beta;
    s->row = i + 1;
    s->block = entry(band, i + 1, i + 1);
}

/* Sweeps first .. first + count - 1 as a front. */
static void run_front(double *band, size_t n, size_t first, size_t count, sweep *front)
{
    size_t running = 1;
    for (size_t time = 0; running > 0; time++) {
        running = time < 2 * count;
        for (size_t k = 0; k < count && 2 * k <= time; k++) {
            if (time == 2 * k)
                start(&front[k], band, first + k);
            if (front[k].row < n) {
                advance(&front[k], n);
                running = 1;
            }
        }
    }
}

static void copy_band(const double *matrix, size_t n, double *band)
{
    memset(band, 0, sonde__chase_work(n) * sizeof *band);
    for (size_t j = 0; j < n; j++) {
        const size_t top = j < WIDTH ? 0 : j - WIDTH;
        memcpy(entry(band, top, j), matrix + j * n + top, (j - top + 1) * sizeof *band);
    }
}

sonde_status sonde__chase_band(sonde_context *context, const double *matrix, size_t n, double *band,
                               double *diagonal, double *off)
{
    sweep front[SWEEPS];
    copy_band(matrix, n, band);
    for (size_t i = 0; i + 1 < n; i += SWEEPS) {
        if (sonde__cancelled(context))
            return SONDE_ERROR_CANCELLED;
        run_front(band, n, i, n - 1 - i < SWEEPS ? n - 1 - i : SWEEPS, front);
    }
    for (size_t i = 0; i < n; i++) {
        diagonal[i] = *entry(band, i, i);
        if (i + 1 < n)
            off[i] = *entry(band, i, i + 1);
    }
    return SONDE_OK;
}

/* Columns up to n + 2 BAND are touched, rows up to BAND below the last one's diagonal. */
size_t sonde__chase_work(size_t n)
{
    return (n + 2 * WIDTH + 1) * (STEP + 1) + STEP;
}
