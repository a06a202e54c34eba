/*
 * Test prediction variance (arXiv 2512.11089): the trace Tr(H) = E_x ||J(x)||_F^2 as a mean over
 * examples with its standard error, what a trace is multiplied by for each kind of noise, and the
 * empirical value with its first-order check.
 *
 * The published code takes one draw of random signs for each of 50 to 200 inputs and gives no error;
 * here any number of examples is added up by Welford's recurrence, whose variance does not cancel.
 *
 * Invariant: the sum over outputs is meant everywhere, unless a convention says otherwise.
 */
#include "signal/arrays.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "num/formats.h"
#include "num/vectors.h"

/* Mean and sum of squared deviations so far. */
typedef struct running {
    double mean, squares;
    size_t count;
} running;

struct sonde_tpv_trace {
    sonde_context *context;
    size_t layers;
    double *weights; /* one a layer */
    running total;   /* of the weighted sum */
    running by_layer[];
};

static void running_add(running *r, double value)
{
    const double away = value - r->mean;
    r->count++;
    r->mean += away / (double)r->count;
    r->squares += away * (value - r->mean);
}

static sonde_estimate estimate_of(const running *r)
{
    sonde_estimate estimate = {.count = r->count, .validity = SONDE_NOT_MEASURED};
    if (r->count == 0)
        return estimate;
    if (!isfinite(r->mean)) {
        estimate.validity = SONDE_NOT_FINITE;
        return estimate;
    }
    const double n = (double)r->count;
    estimate.value = r->mean;
    estimate.standard_error = r->count > 1 ? sqrt(r->squares / (n - 1) / n) : (double)INFINITY;
    estimate.validity = SONDE_VALID;
    return estimate;
}

void sonde_rademacher(uint64_t seed, uint64_t index, float *signs, size_t n)
{
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_SIGNS, index);
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 32 == 0)
            bits = sonde__random_u32(&stream);
        signs[i] = bits & 1u ? 1.0f : -1.0f;
        bits >>= 1;
    }
}

/* --- the trace --------------------------------------------------------------------------------- */

sonde_status sonde_tpv_trace_create(sonde_context *context, size_t layers, const double *weights,
                                    sonde_tpv_trace **trace)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!trace || layers == 0)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "TPV trace: %s",
                           trace ? "there must be a layer" : "trace is NULL");
    for (size_t l = 0; weights && l < layers; l++)
        if (!isfinite(weights[l]))
            return sonde__fail(context, SONDE_ERROR_RANGE,
                               "TPV trace: the weight of layer %zu is %g; it must be finite", l,
                               weights[l]);
    size_t bytes;
    if (!sonde__multiply(layers, sizeof(running) + sizeof(double), &bytes) ||
        !sonde__add(bytes, sizeof(sonde_tpv_trace), &bytes))
        return sonde__fail(context, SONDE_ERROR_OVERFLOW, "TPV trace: %zu layers", layers);
    sonde_tpv_trace *const made = sonde__alloc_zero(context, 1, bytes);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->layers = layers;
    made->weights = (double *)(void *)(made->by_layer + layers);
    for (size_t l = 0; l < layers; l++)
        made->weights[l] = weights ? weights[l] : 1;
    *trace = made;
    return SONDE_OK;
}

void sonde_tpv_trace_free(sonde_tpv_trace *trace)
{
    if (trace)
        sonde__free(trace->context, trace);
}

sonde_status sonde_tpv_trace_add(sonde_tpv_trace *trace, const double *squares, size_t n)
{
    if (!trace)
        return SONDE_ERROR_ARGUMENT;
    if (!squares && n > 0)
        return sonde__fail(trace->context, SONDE_ERROR_ARGUMENT, "TPV trace: squares is NULL");
    for (size_t i = 0; i < n; i++) {
        double total = 0;
        for (size_t l = 0; l < trace->layers; l++) {
            const double square = squares[l * n + i];
            running_add(&trace->by_layer[l], square);
            total += trace->weights[l] * square;
        }
        running_add(&trace->total, total);
    }
    return SONDE_OK;
}

sonde_status sonde_tpv_trace_read(const sonde_tpv_trace *trace, sonde_estimate *total,
                                  sonde_estimate *layers)
{
    if (!trace)
        return SONDE_ERROR_ARGUMENT;
    if (!total)
        return sonde__fail(trace->context, SONDE_ERROR_ARGUMENT, "TPV trace: total is NULL");
    *total = estimate_of(&trace->total);
    for (size_t l = 0; layers && l < trace->layers; l++)
        layers[l] = estimate_of(&trace->by_layer[l]);
    return SONDE_OK;
}

/* --- kinds of noise ---------------------------------------------------------------------------- */

void sonde_tpv_noise_init(sonde_tpv_noise *noise)
{
    *noise = (sonde_tpv_noise){
        .size = sizeof *noise,
        .kind = SONDE_TPV_SGD,
        .learning_rate = 1e-3,
        .batch = 128,
        .residual_variance = 1,
        .bits = 8,
        .deviation = 0.01,
    };
}

static sonde_status out_of_range(sonde_context *context, const char *what, double value,
                                 const char *must)
{
    return sonde__fail(context, SONDE_ERROR_RANGE, "TPV noise: %s is %g; it must be %s", what,
                       value, must);
}

static bool is_size(double value)
{
    return value >= 0 && isfinite(value);
}

static sonde_status sgd_variance(sonde_context *context, const sonde_tpv_noise *noise,
                                 double *variance)
{
    if (!is_size(noise->learning_rate))
        return out_of_range(context, "learning_rate", noise->learning_rate, "0 or more");
    if (!(noise->batch > 0) || isinf(noise->batch))
        return out_of_range(context, "batch", noise->batch, "more than 0");
    if (!is_size(noise->residual_variance))
        return out_of_range(context, "residual_variance", noise->residual_variance, "0 or more");
    *variance = noise->learning_rate * noise->residual_variance / (2 * noise->batch);
    return SONDE_OK;
}

static sonde_status quantization_variance(sonde_context *context, const sonde_tpv_noise *noise,
                                          double *variance)
{
    if (!isfinite(noise->low))
        return out_of_range(context, "low", noise->low, "finite");
    if (!isfinite(noise->high) || noise->high < noise->low)
        return out_of_range(context, "high", noise->high, "finite, and not below low");
    if (noise->bits < 1 || noise->bits > 32)
        return out_of_range(context, "bits", noise->bits, "1 to 32");
    const double delta = (noise->high - noise->low) / (ldexp(1, noise->bits) - 1);
    *variance = delta * delta / 12;
    return SONDE_OK;
}

sonde_status sonde_tpv_variance(sonde_context *context, const sonde_tpv_noise *noise,
                                double *variance)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!noise || !variance)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "TPV noise: %s is NULL",
                           noise ? "variance" : "noise");
    if (noise->size != sizeof *noise)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "TPV noise: size is %zu, not %zu; fill it with sonde_tpv_noise_init",
                           noise->size, sizeof *noise);
    switch (noise->kind) {
    case SONDE_TPV_SGD:
        return sgd_variance(context, noise, variance);
    case SONDE_TPV_QUANTIZATION:
        return quantization_variance(context, noise, variance);
    case SONDE_TPV_ISOTROPIC:
        if (!is_size(noise->deviation))
            return out_of_range(context, "deviation", noise->deviation, "0 or more");
        *variance = noise->deviation * noise->deviation;
        return SONDE_OK;
    }
    return out_of_range(context, "kind", (double)noise->kind, "a known one");
}

sonde_estimate sonde_tpv_scale(const sonde_estimate *trace, double variance)
{
    sonde_estimate scaled = *trace;
    if (scaled.validity != SONDE_VALID)
        return scaled;
    scaled.value *= variance;
    scaled.standard_error *= variance;
    if (!isfinite(scaled.value))
        scaled = (sonde_estimate){.count = trace->count,
                                  .validity =
                                      isfinite(variance) ? SONDE_OUT_OF_RANGE : SONDE_NOT_FINITE};
    return scaled;
}

/* --- empirical --------------------------------------------------------------------------------- */

sonde_status sonde_tpv_empirical(sonde_context *context, const sonde_matrix *perturbed,
                                 const sonde_matrix *reference, sonde_tpv_convention convention,
                                 double *distances, sonde_estimate *estimate)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(sonde__check_pair(context, "empirical TPV", (sonde__named){perturbed, "perturbed"},
                                (sonde__named){reference, "reference"}));
    if (!estimate)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "empirical TPV: estimate is NULL");
    if (convention != SONDE_TPV_SUM_OUTPUTS && convention != SONDE_TPV_MEAN_OUTPUTS)
        return sonde__fail(context, SONDE_ERROR_RANGE, "empirical TPV: convention %d is unknown",
                           (int)convention);
    double *a, *b;
    SONDE_TRY(sonde__pair_rows(context, perturbed, reference, &a, &b));
    const double divisor = convention == SONDE_TPV_MEAN_OUTPUTS ? (double)perturbed->cols : 1;
    running mean = {0};
    for (size_t i = 0; i < perturbed->rows; i++) {
        sonde__matrix_row(perturbed, i, 0, perturbed->cols, a);
        sonde__matrix_row(reference, i, 0, perturbed->cols, b);
        const double distance = sonde__squared_distance(a, b, perturbed->cols) / divisor;
        running_add(&mean, distance);
        if (distances)
            distances[i] = distance;
    }
    sonde__free(context, a);
    *estimate = estimate_of(&mean);
    return SONDE_OK;
}

sonde_status sonde_tpv_first_order(sonde_context *context, const sonde_matrix *change,
                                   const sonde_matrix *derivative, sonde_score *error)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(sonde__check_pair(context, "first-order check", (sonde__named){change, "change"},
                                (sonde__named){derivative, "derivative"}));
    if (!error)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "first-order check: error is NULL");
    double *d, *g;
    SONDE_TRY(sonde__pair_rows(context, change, derivative, &d, &g));
    double apart = 0, whole = 0;
    for (size_t i = 0; i < change->rows; i++) {
        sonde__matrix_row(change, i, 0, change->cols, d);
        sonde__matrix_row(derivative, i, 0, change->cols, g);
        apart += sonde__squared_distance(d, g, change->cols);
        whole += sonde__dot(d, d, change->cols);
    }
    sonde__free(context, d);
    const double rows = (double)change->rows;
    *error = sonde__score_of(apart / rows / (whole / rows + 1e-12), SONDE_LOWER_IS_BETTER, change,
                             derivative);
    return SONDE_OK;
}
