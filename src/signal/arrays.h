/*
 * What the signals on arrays share: matrices of one shape, sums that become scores, labels.
 */
#ifndef SONDE_SIGNAL_ARRAYS_H
#define SONDE_SIGNAL_ARRAYS_H

#include "base/context.h"

/* A matrix and the argument it came as, for messages. */
typedef struct sonde__named {
    const sonde_matrix *matrix;
    const char *name;
} sonde__named;

/* Both are matrices, of the same rows and cols; `call` begins the messages. */
sonde_status sonde__check_pair(sonde_context *context, const char *call, sonde__named a,
                               sonde__named b);
/* True where no element is NaN or infinite; reads the whole matrix. */
bool sonde__matrix_finite(const sonde_matrix *matrix);
/*
 * A score of `value`: VALID where it is finite; else NOT_FINITE where one of the matrices (NULL: not
 * looked at) holds NaN or infinity, and OUT_OF_RANGE where none does.
 */
sonde_score sonde__score_of(double value, sonde_direction direction, const sonde_matrix *a,
                            const sonde_matrix *b);
/* No number: `validity` says why. */
sonde_score sonde__score_invalid(sonde_direction direction, sonde_validity validity);
/* Bytes for a row of doubles of the longer matrix and of the other behind it. */
sonde_status sonde__pair_rows(sonde_context *context, const sonde_matrix *a, const sonde_matrix *b,
                              double **row_a, double **row_b);

#endif
