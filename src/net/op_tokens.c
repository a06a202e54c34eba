/*
 * Tables of a sequence model: embedding (a row by id) and positions (a row by place). Rows are tokens:
 * batch x tokens x width floats.
 *
 *   embedding   y_i = table[id_i]       dtable[v] = sum of dy_i over the tokens with id_i = v
 *   positions   y_nt = x_nt + table_t   dx = dy,  dtable_t = sum over n of dy_nt
 *
 * Invariant: sums run over tokens in order, whatever the threads, which share out the columns.
 */
#include <math.h>
#include <string.h>

#include "net/ops.h"

enum { COLUMNS = 64 }; /* of a table that one thread adds up at a time */

static bool is_id(const sonde__embedding *e, float id)
{
    return id >= 0 && id < (float)e->count && id == floorf(id);
}

ptrdiff_t sonde__embedding_forward(const sonde__embedding *e, const float *ids, float *y)
{
    for (size_t i = 0; i < e->rows; i++) {
        if (!is_id(e, ids[i]))
            return (ptrdiff_t)i;
        memcpy(y + i * e->width, e->table + (size_t)ids[i] * e->width, e->width * sizeof *y);
    }
    return -1;
}

/* `dtable` is cleared first. */
void sonde__embedding_backward(const sonde__embedding *e, const float *ids, const float *dy,
                               float *dtable)
{
    const size_t chunks = (e->width + COLUMNS - 1) / COLUMNS;
    memset(dtable, 0, e->count * e->width * sizeof *dtable);
#pragma omp parallel for schedule(static) if (e->rows * e->width >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t chunk = 0; chunk < (ptrdiff_t)chunks; chunk++) {
        const size_t first = (size_t)chunk * COLUMNS, left = e->width - first;
        const size_t n = left < COLUMNS ? left : COLUMNS;
        for (size_t i = 0; i < e->rows; i++) {
            float *row = dtable + (size_t)ids[i] * e->width + first;
            for (size_t j = 0; j < n; j++)
                row[j] += dy[i * e->width + first + j];
        }
    }
}

/* Of the tokens of an example from `first` on that have its id: the squared norm of their sum. */
static double id_norm(const sonde__embedding *e, size_t tokens, size_t first, const float *ids,
                      const float *dy)
{
    double norm = 0;
    for (size_t j = 0; j < e->width; j++) {
        double sum = 0;
        for (size_t i = first; i < tokens; i++)
            sum += ids[i] == ids[first] ? (double)dy[i * e->width + j] : 0;
        norm += sum * sum;
    }
    return norm;
}

void sonde__embedding_norms(const sonde__embedding *e, size_t batch, const float *ids,
                            const float *dy, double *norms)
{
    const size_t tokens = e->rows / batch;
#pragma omp parallel for schedule(static) if (e->rows * e->width >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < (ptrdiff_t)batch; n++) {
        const float *own = ids + (size_t)n * tokens;
        const float *slopes = dy + (size_t)n * tokens * e->width;
        norms[n] = 0;
        for (size_t i = 0; i < tokens; i++) {
            size_t earlier = 0;
            while (own[earlier] != own[i])
                earlier++;
            if (earlier == i)
                norms[n] += id_norm(e, tokens, i, own, slopes);
        }
    }
}

void sonde__positions_forward(size_t batch, size_t values, const float *table, const float *x,
                              float *y)
{
#pragma omp parallel for schedule(static) if (batch * values >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < (ptrdiff_t)batch; n++) {
        const size_t at = (size_t)n * values;
        for (size_t i = 0; i < values; i++)
            y[at + i] = x[at + i] + table[i];
    }
}

void sonde__positions_backward(size_t batch, size_t values, const float *dy, float *dtable)
{
    const size_t chunks = (values + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static) if (batch * values >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t chunk = 0; chunk < (ptrdiff_t)chunks; chunk++) {
        const size_t first = (size_t)chunk * COLUMNS, left = values - first;
        const size_t n = left < COLUMNS ? left : COLUMNS;
        double sum[COLUMNS] = {0};
        for (size_t k = 0; k < batch; k++)
            for (size_t j = 0; j < n; j++)
                sum[j] += (double)dy[k * values + first + j];
        for (size_t j = 0; j < n; j++)
            dtable[first + j] = (float)sum[j];
    }
}

void sonde__positions_norms(size_t batch, size_t values, const float *dy, double *norms)
{
#pragma omp parallel for schedule(static) if (batch * values >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < (ptrdiff_t)batch; n++) {
        norms[n] = 0;
        for (size_t i = 0; i < values; i++) {
            const double slope = (double)dy[(size_t)n * values + i];
            norms[n] += slope * slope;
        }
    }
}
