/*
 * Test prediction variance of a network: how far its outputs move when its weights are perturbed, by
 * SGD's noise, quantization, label noise or isotropic noise, on training and on test inputs.
 *
 * Trace forms share one pass: per-example gradient norms of every parameter, from as many backward
 * passes as there are outputs (exact) or random signs (`draws`). Empirical forms perturb the weights
 * for real and watch the outputs. Source: arXiv 2512.11089 and its code (docs/tpv.md); the formulas
 * are those of sonde.h. Whatever happens, the network's weights are as before afterwards.
 */
#ifndef SONDE_MEASURE_TPV_H
#define SONDE_MEASURE_TPV_H

#include "net/net.h"

/* Inputs that lie in memory; borrowed. */
typedef struct sonde__tpv_inputs {
    const float *x;        /* n x channels x height x width, plain */
    const int32_t *labels; /* n (times sonde__net_rows); for SGD with cross-entropy, or NULL */
    const float *targets;  /* n x outputs; for losses other than cross-entropy, or NULL */
    size_t n;
} sonde__tpv_inputs;

typedef enum sonde__tpv_noise_kind {
    SONDE__TPV_SGD,
    SONDE__TPV_QUANTIZATION,
    SONDE__TPV_LABEL,
    SONDE__TPV_ISOTROPIC
} sonde__tpv_noise_kind;

enum { SONDE__TPV_PLANS_MAX = 8, SONDE__TPV_NAME_MAX = 32 };

/* One noise to measure; see sonde__tpv_plan_init for the defaults of each kind. */
typedef struct sonde__tpv_plan {
    sonde__tpv_noise_kind kind;
    char name[SONDE__TPV_NAME_MAX]; /* "sgd", "quant:8", ... */
    double rate;                    /* SGD, label: learning rate */
    double momentum, proximity;     /* SGD, label: of ||w - w*||^2 in the loss */
    double residual;  /* SGD: variance of the residuals, sigma_eps^2; 1: left out, as published */
    double deviation; /* isotropic: of each weight; label: of the targets, in units of the outputs'
                         mean size */
    bool absolute;    /* label: `deviation` is in units of the targets, and inputs->targets are
                         fitted, not the network's own outputs */
    int bits;
    int64_t batch, steps, burn_in, every; /* SGD: a snapshot after every `every` steps */
    int64_t runs;                         /* draws of an empirical form */
    int64_t epochs;                       /* label */
} sonde__tpv_plan;

/*
 * "sgd", "quant:8", "label:0.1:runs=5", "isotropic:0.01": kind, its first number, and any of rate=
 * batch= steps= residual= burn-in= every= momentum= proximity= bits= deviation= runs= epochs=. `list`: several
 * with commas between.
 */
sonde_status sonde__tpv_plans_read(sonde_context *context, const char *list,
                                   sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX], int *count);
void sonde__tpv_plan_init(sonde__tpv_plan *plan, sonde__tpv_noise_kind kind);
/* The largest batch that the plans and `batch` ask for: the network's max_batch. */
int sonde__tpv_largest_batch(const sonde__tpv_plan *plans, int count, int batch);

typedef struct sonde__tpv_options {
    const sonde__tpv_plan *plans;
    int plan_count;
    int draws; /* signs an input; 0: the exact sum over outputs; -1: exact where that is cheap, else 2 */
    int batch; /* inputs a pass */
    uint64_t seed;
    bool empirical;                  /* also the empirical forms (label noise is always so) */
    sonde_head_kind loss;            /* that SGD goes on minimising */
    sonde_tpv_convention convention; /* of the SGD trajectory */
    /* Called between batches; false ends with what is done. May be NULL. */
    bool (*progress)(void *user, const char *what, double share);
    void *user;
} sonde__tpv_options;

void sonde__tpv_options_init(sonde__tpv_options *options);

typedef enum sonde__tpv_form {
    SONDE__TPV_TRACE,            /* one variance for every weight */
    SONDE__TPV_TRACE_PER_TENSOR, /* a variance a tensor: quantization in each tensor's own range */
    SONDE__TPV_EMPIRICAL,        /* perturbed weights, moved outputs */
    SONDE__TPV_CLOSED            /* label noise of the linearised network */
} sonde__tpv_form;

/* "trace", "trace, per tensor", "empirical", "closed form". */
const char *sonde__tpv_form_name(sonde__tpv_form form);

typedef struct sonde__tpv_row {
    int plan;
    sonde__tpv_form form;
    sonde_estimate train, test; /* test: NOT_MEASURED without test inputs */
    double ratio, ratio_error;  /* train / test; NaN where either is not valid */
    double variance;            /* trace: of each weight; label: of the targets; else 0 */
    size_t draws;               /* empirical: perturbations that were drawn */
    sonde_score first_order;    /* empirical: error of the first-order picture, of the first draw */
    const char *note;           /* why there is no number, or NULL */
} sonde__tpv_row;

typedef struct sonde__tpv_layer {
    char name[SONDE_LAYER_NAME_MAX];
    size_t parameters;
    sonde_estimate train, test; /* share of the trace */
} sonde__tpv_layer;

enum { SONDE__TPV_ROWS_MAX = 3 * SONDE__TPV_PLANS_MAX };

typedef struct sonde__tpv_report {
    sonde_context *context;
    sonde_estimate train, test; /* the trace Tr(H) = mean ||J||_F^2 */
    double ratio, ratio_error;
    int draws; /* that were used; 0: exact */
    int outputs;
    size_t parameters;
    sonde__tpv_layer *layers;
    int layer_count;
    sonde__tpv_row rows[SONDE__TPV_ROWS_MAX];
    int row_count;
} sonde__tpv_report;

/*
 * Everything that the options ask for. The network was created with options.study and room for
 * sonde__tpv_largest_batch examples. `test` may be NULL. On SONDE_ERROR_CANCELLED the report holds
 * what was done, on other failures nothing. Freed with sonde__tpv_report_free.
 */
sonde_status sonde__measure_tpv(sonde_context *context, sonde__net *net,
                                const sonde__tpv_inputs *train, const sonde__tpv_inputs *test,
                                const sonde__tpv_options *options, sonde__tpv_report *report);
void sonde__tpv_report_free(sonde__tpv_report *report);

/* The trace alone, of one set of inputs; `draws` and `batch` as in the options. */
sonde_status sonde__measure_tpv_trace(sonde_context *context, sonde__net *net,
                                      const sonde__tpv_inputs *inputs,
                                      const sonde__tpv_options *options, sonde_estimate *trace);

#endif
