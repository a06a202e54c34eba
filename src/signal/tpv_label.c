/*
 * Label-noise TPV in closed form (arXiv 2512.11089, theorem 4.2): a minimum-norm linearised fit to
 * targets with noise of deviation sigma moves the outputs by sigma^2 sum_i B_ii / s_i^2, with s_i, v_i
 * the singular values and right vectors of the training Jacobian and B_ii = v_i^T H v_i,
 * H = E_x[J^T J] over the inputs that are asked about.
 *
 * Through the Gram matrix of the shorter side, whose eigenvalues are s_i^2. On the side of the
 * parameters its eigenvectors are the v_i; on that of the rows they are u_i, and J v_i = J J_tr^T u_i /
 * s_i. Values below the tolerance times the largest do not count: with the default 1e-5 what counts is
 * known to 1e-6 even there.
 */
#include "signal/arrays.h"

#include <math.h>

#include "num/formats.h"
#include "num/linalg.h"
#include "num/products.h"

typedef struct work {
    sonde_context *context;
    const sonde_tpv_label_options *options;
    size_t order;    /* of the Gram matrix: the shorter side */
    bool by_rows;    /* the rows are the shorter side */
    double *turned;  /* p x rows where the parameters are the shorter side, else NULL */
    double *vectors; /* order x order, one a row */
    double *values;  /* ascending */
    size_t first;    /* that counts; `order`: none */
    bool overflow;   /* squares do not fit in a double */
} work;

void sonde_tpv_label_options_init(sonde_tpv_label_options *options)
{
    *options = (sonde_tpv_label_options){
        .size = sizeof *options, .sigma = 1, .tolerance = 1e-5, .outputs = 1};
}

static sonde_status check_options(sonde_context *context, const sonde_tpv_label_options *options)
{
    if (options->size != sizeof *options)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "label-noise TPV: size is %zu, not %zu; fill the options with "
                           "sonde_tpv_label_options_init",
                           options->size, sizeof *options);
    if (!(options->sigma >= 0) || isinf(options->sigma))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "label-noise TPV: sigma is %g; it must be 0 or more", options->sigma);
    if (!(options->tolerance > 0 && options->tolerance < 1))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "label-noise TPV: tolerance is %g; it must be in (0, 1)",
                           options->tolerance);
    if (options->outputs == 0)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "label-noise TPV: outputs is 0; it must be 1 or more");
    return SONDE_OK;
}

static sonde_status check_jacobian(sonde_context *context, const sonde_matrix *matrix,
                                   const char *name, const sonde_tpv_label_options *options)
{
    SONDE_TRY(sonde__matrix_check(context, matrix, name));
    if (matrix->rows % options->outputs != 0)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "label-noise TPV: %zu rows of the %s are not a multiple of %zu outputs",
                           matrix->rows, name, options->outputs);
    if (matrix->rows > SONDE__ORDER_MAX)
        return sonde__fail(context, SONDE_ERROR_UNSUPPORTED,
                           "label-noise TPV: the %s has %zu rows; more than %d are not supported",
                           name, matrix->rows, (int)SONDE__ORDER_MAX);
    return SONDE_OK;
}

static sonde_status turn(work *w, const sonde_matrix *train)
{
    w->turned = sonde__alloc(w->context, train->rows, train->cols * sizeof *w->turned);
    double *const row = w->turned ? sonde__alloc(w->context, train->cols, sizeof *row) : NULL;
    if (!row)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < train->rows; i++) {
        sonde__matrix_row(train, i, 0, train->cols, row);
        for (size_t k = 0; k < train->cols; k++)
            w->turned[k * train->rows + i] = row[k];
    }
    sonde__free(w->context, row);
    return SONDE_OK;
}

/* Eigenvalues and vectors of the Gram matrix of the shorter side, and where those that count begin. */
static sonde_status decompose(work *w, const sonde_matrix *train)
{
    w->by_rows = train->rows <= train->cols;
    w->order = w->by_rows ? train->rows : train->cols;
    sonde_matrix shorter = *train;
    if (!w->by_rows) {
        SONDE_TRY(turn(w, train));
        shorter = (sonde_matrix){w->turned, SONDE_F64, train->cols, train->rows, 0};
    }
    w->values = sonde__alloc(w->context, w->order, sizeof *w->values);
    if (w->values)
        w->vectors = sonde__alloc(w->context, w->order, w->order * sizeof *w->vectors);
    if (!w->vectors)
        return SONDE_ERROR_MEMORY;
    sonde_status status = sonde__row_gram(w->context, &shorter, NULL, w->vectors);
    w->first = w->order;
    double trace = 0;
    for (size_t i = 0; i < w->order && status == SONDE_OK; i++)
        trace += w->vectors[i * w->order + i];
    w->overflow = !isfinite(trace);
    if (w->overflow)
        return SONDE_OK;
    if (status == SONDE_OK)
        status = sonde__symmetric_eigenvectors(w->context, w->vectors, w->order, w->values);
    if (status != SONDE_OK)
        return sonde__fail(w->context, status, "label-noise TPV: eigenvalues of %zu x %zu",
                           w->order, w->order);
    const double largest = w->values[w->order - 1];
    const double least = w->options->tolerance * w->options->tolerance * largest;
    while (w->first > 0 && largest > 0 && w->values[w->first - 1] > least)
        w->first--;
    return SONDE_OK;
}

/* sum_i B_ii / s_i^2 for the inputs of `at`, whose products with the vectors are rows of `moved`. */
static double sum_shares(const work *w, const sonde_matrix *at, const double *moved)
{
    double sum = 0;
    for (size_t i = w->first; i < w->order; i++) {
        double squares = 0;
        for (size_t row = 0; row < at->rows; row++)
            squares += moved[row * w->order + i] * moved[row * w->order + i];
        sum += squares / w->values[i] / (w->by_rows ? w->values[i] : 1);
    }
    return sum * (double)w->options->outputs / (double)at->rows;
}

static sonde_status measure(const work *w, const sonde_matrix *train, const sonde_matrix *at,
                            sonde_score *score)
{
    const sonde_matrix vectors = {w->vectors, SONDE_F64, w->order, w->order, 0};
    const size_t bytes = w->order * sizeof(double);
    double *const moved = sonde__alloc(w->context, at->rows, bytes);
    double *const across = moved && w->by_rows ? sonde__alloc(w->context, at->rows, bytes) : NULL;
    sonde_status status = moved && (across || !w->by_rows) ? SONDE_OK : SONDE_ERROR_MEMORY;
    sonde_matrix source = *at;
    if (status == SONDE_OK && w->by_rows) {
        status = sonde__row_products(w->context, at, train, across);
        source = (sonde_matrix){across, SONDE_F64, at->rows, w->order, 0};
    }
    if (status == SONDE_OK)
        status = sonde__row_products(w->context, &source, &vectors, moved);
    if (status == SONDE_OK) {
        const double sigma = w->options->sigma;
        *score = sonde__score_of(sigma * sigma * sum_shares(w, at, moved), SONDE_LOWER_IS_BETTER,
                                 at, train);
    } else {
        sonde__fail(w->context, status, "label-noise TPV: products of %zu x %zu", at->rows,
                    w->order);
    }
    sonde__free(w->context, across);
    sonde__free(w->context, moved);
    return status;
}

static sonde_status label_noise(work *w, const sonde_matrix *train, const sonde_matrix *test,
                                sonde_tpv_label_report *report)
{
    const bool finite = sonde__matrix_finite(train);
    sonde_validity bad = SONDE_NOT_FINITE;
    if (finite) {
        SONDE_TRY(decompose(w, train));
        report->rank = w->order - w->first;
        bad = w->overflow ? SONDE_OUT_OF_RANGE : SONDE_DEGENERATE;
    }
    if (report->rank == 0) {
        report->train = sonde__score_invalid(SONDE_LOWER_IS_BETTER, bad);
        report->test = sonde__score_invalid(SONDE_LOWER_IS_BETTER, test ? bad : SONDE_NOT_MEASURED);
        return SONDE_OK;
    }
    SONDE_TRY(measure(w, train, train, &report->train));
    if (test)
        SONDE_TRY(measure(w, train, test, &report->test));
    else
        report->test = sonde__score_invalid(SONDE_LOWER_IS_BETTER, SONDE_NOT_MEASURED);
    return SONDE_OK;
}

sonde_status sonde_tpv_label_noise(sonde_context *context, const sonde_matrix *train,
                                   const sonde_matrix *test, const sonde_tpv_label_options *options,
                                   sonde_tpv_label_report *report)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!report)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "label-noise TPV: report is NULL");
    sonde_tpv_label_options defaults;
    sonde_tpv_label_options_init(&defaults);
    if (!options)
        options = &defaults;
    SONDE_TRY(check_options(context, options));
    SONDE_TRY(check_jacobian(context, train, "training Jacobian", options));
    if (test) {
        SONDE_TRY(check_jacobian(context, test, "test Jacobian", options));
        if (test->cols != train->cols)
            return sonde__fail(
                context, SONDE_ERROR_SHAPE,
                "label-noise TPV: the training Jacobian has %zu parameters, the test "
                "Jacobian %zu",
                train->cols, test->cols);
    }
    work w = {.context = context, .options = options};
    sonde_tpv_label_report made = {0};
    const sonde_status status = label_noise(&w, train, test, &made);
    sonde__free(context, w.vectors);
    sonde__free(context, w.values);
    sonde__free(context, w.turned);
    if (status == SONDE_OK)
        *report = made;
    return status;
}
