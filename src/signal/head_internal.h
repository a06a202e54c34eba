/*
 * What the files of the head probe share: head.c (checks, scores, the calls), head_rows.c (what each
 * row of logits tells, and its residual), head_patches.c (rows of a convolutional head).
 */
#ifndef SONDE_SIGNAL_HEAD_INTERNAL_H
#define SONDE_SIGNAL_HEAD_INTERNAL_H

#include "base/context.h"

/* Of one row. For softmax P_c = exp(o_c - largest) * scale. */
typedef struct sonde__head_row {
    double largest;        /* logit */
    double scale;          /* 1 / sum of exp(o - largest) */
    double target_sum;     /* of the row of Y: 1 for labels */
    double label_residual; /* P - Y at the label, without cancellation; labels only */
} sonde__head_row;

typedef struct sonde__head_work {
    sonde_context *context;
    const sonde_head_batch *batch;
    size_t rows, outputs;
    sonde__head_row *facts; /* per row */
    double *logits;         /* one row */
    double *targets;        /* one row */
    double *exps;           /* one row of exp(o - largest) */
    double *residuals;      /* of all rows, `pitch` apart, where they are few; else NULL */
    size_t pitch;
    double *column_sums; /* of the residuals, for the bias */
    double divisor;      /* what the loss divides by: B, or B C */
    /* Sums over rows. */
    double loss, correct, confidence, entropy, margin, true_margin;
} sonde__head_work;

/* Columns [first, first + n) of one row as doubles: sonde__matrix_row, faster for floats. */
void sonde__head_read_row(const sonde_matrix *matrix, size_t row, size_t first, size_t n,
                          double *out);
/* Adds the row to the sums and sets its facts, and its residual where those are kept; false, and
 * nothing done, when it holds NaN or infinity. */
bool sonde__head_add_row(sonde__head_work *work, size_t row);
/* P - Y (softmax: P times the sum of Y), before the division by what the loss divides by; `user` is
 * the work. Rows must have been added. */
void sonde__head_fill_residuals(const void *user, size_t row, size_t first, size_t n, double *out);
/* ||W||_F, and whether it is one; `row` is scratch for one row of it. */
sonde_validity sonde__head_weight_norm(const sonde_matrix *weight, double *row, double *norm);

typedef struct sonde__head_patch_rows {
    const sonde_head_patches *patches;
    const double *input; /* NCHW */
    size_t out_height, out_width;
} sonde__head_patch_rows;

/* Checks the geometry; fills all of `rows` but the input, the count of its elements, and rows and
 * cols of the unfolded matrix. */
sonde_status sonde__head_check_patches(sonde_context *context, const sonde_head_patches *patches,
                                       sonde__head_patch_rows *rows, size_t *input_count,
                                       sonde_matrix *shape);
/* One row of the unfolded input; `user` is a sonde__head_patch_rows. */
void sonde__head_fill_patches(const void *user, size_t row, size_t first, size_t n, double *out);

#endif
