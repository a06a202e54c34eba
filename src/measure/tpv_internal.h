/*
 * Shared by the files of the TPV measurement: the work in hand, the weights that are perturbed and
 * put back, and the outputs that move.
 */
#ifndef SONDE_MEASURE_TPV_INTERNAL_H
#define SONDE_MEASURE_TPV_INTERNAL_H

#include "measure/tpv.h"
#include "net/study.h"

enum { SONDE__TPV_PARTS = 2 }; /* training and test inputs */

/* ---- the work (tpv_work.c) ---- */

typedef struct sonde__tpv_work {
    sonde_context *context;
    sonde__net *net;
    const sonde__tpv_options *options;
    const sonde__tpv_inputs *parts[SONDE__TPV_PARTS]; /* the second may be NULL */
    size_t features, outputs;                         /* of an example */
    size_t rows;                                      /* of logits: labels an example */
    double done, total;                               /* in forward passes of one input */
    float *x;                                         /* room for one batch: largest x features */
    size_t largest;
} sonde__tpv_work;

/* Cost in forward passes of one input, of a backward pass and of one with per-example norms. */
enum { SONDE__TPV_BACKWARD_COST = 2, SONDE__TPV_NORMS_COST = 3 };

sonde_status sonde__tpv_work_open(sonde_context *context, sonde__net *net,
                                  const sonde__tpv_options *options, sonde__tpv_work *work);
void sonde__tpv_work_close(sonde__tpv_work *work);
/* Inputs of all parts. */
double sonde__tpv_work_inputs(const sonde__tpv_work *work);
/* Adds to what is done, tells the caller; SONDE_ERROR_CANCELLED when it wants to end. */
sonde_status sonde__tpv_work_step(sonde__tpv_work *work, const char *what, double passes);
/* A forward pass of inputs [begin, begin + n), filled up to `size` with the first of them. */
sonde_status sonde__tpv_forward(sonde__tpv_work *work, sonde__mode mode,
                                const sonde__tpv_inputs *inputs, size_t begin, size_t n,
                                size_t size, const float **logits);
/* Outputs of `inputs` into n x outputs. */
sonde_status sonde__tpv_outputs(sonde__tpv_work *work, const sonde__tpv_inputs *inputs, size_t n,
                                const char *what, float *outputs);

/* ---- traces (tpv_trace.c) ---- */

/* Squares of each input go to these rows of a trace. */
typedef struct sonde__tpv_sink {
    sonde_tpv_trace *trace;
    const int *row; /* of each parameter of the network; -1: not counted */
    size_t rows;
} sonde__tpv_sink;

/* Draws that will be used: 0 for the exact sum. The same for all parts. */
int sonde__tpv_draws(const sonde__tpv_work *work);
/* One pass over the inputs for all sinks. */
sonde_status sonde__tpv_squares(sonde__tpv_work *work, const sonde__tpv_inputs *inputs,
                                const sonde__tpv_sink *sinks, int sink_count);
/* Trace forms of all plans, the layers, and the trace itself. */
sonde_status sonde__tpv_traces(sonde__tpv_work *work, sonde__tpv_report *report);

/* ---- weights (tpv_weights.c) ---- */

typedef struct sonde__tpv_weights {
    sonde_context *context;
    sonde__net *net;
    float *start; /* w*, `count` floats of the flat layout */
    float *plain; /* room for the largest parameter */
    size_t count;
} sonde__tpv_weights;

sonde_status sonde__tpv_weights_open(sonde_context *context, sonde__net *net,
                                     sonde__tpv_weights *weights);
/* Puts w* back into the network. */
void sonde__tpv_weights_restore(sonde__tpv_weights *weights);
/* Restores and frees. */
void sonde__tpv_weights_close(sonde__tpv_weights *weights);
/* Smallest and largest of a parameter of w*, or (index -1) of all; false where one is NaN. */
bool sonde__tpv_weights_range(sonde__tpv_weights *weights, int index, double *low, double *high);
/* w* plus noise into the network: Gaussian of this deviation, or uniform in +-delta / 2. */
typedef struct sonde__tpv_draw {
    bool uniform;
    double size; /* deviation, or delta */
    uint64_t seed, index;
} sonde__tpv_draw;
void sonde__tpv_weights_draw(sonde__tpv_weights *weights, const sonde__tpv_draw *draw);
/* w* + share (w - w*), w being the network's weights now, which `moved` (count floats) keeps. */
void sonde__tpv_weights_toward(sonde__tpv_weights *weights, const float *moved, double share);

/* ---- moved outputs (tpv_moves.c) ---- */

typedef struct sonde__tpv_moves {
    sonde__tpv_work *work;
    sonde_tpv_convention convention;
    struct {
        float *reference, *now;   /* n x outputs: of w*, of the weights now */
        double *distances, *sums; /* n: of the newest draw, summed over draws */
        double *values;           /* of each draw, `most` */
    } part[SONDE__TPV_PARTS];
    size_t draws, most;
    bool finite;
    sonde_score first_order;
} sonde__tpv_moves;

/* Takes the outputs of the network as it is for those of w*. */
sonde_status sonde__tpv_moves_open(sonde__tpv_work *work, size_t most,
                                   sonde_tpv_convention convention, sonde__tpv_moves *moves);
void sonde__tpv_moves_close(sonde__tpv_moves *moves);
/* One draw: how far the outputs have moved with the weights as they are now. The first draw is also
 * checked for how far it is from first order (which takes the weights along that draw and back). */
sonde_status sonde__tpv_moves_add(sonde__tpv_moves *moves, sonde__tpv_weights *weights,
                                  const char *what);
/* Means over inputs and draws. The standard error covers both. */
void sonde__tpv_moves_read(const sonde__tpv_moves *moves, sonde__tpv_row *row);
/* Train / test and its standard error from two independent estimates. */
void sonde__tpv_ratio(const sonde_estimate *train, const sonde_estimate *test, double *ratio,
                      double *error);

/* A row with nothing measured yet. */
sonde__tpv_row *sonde__tpv_row_add(sonde__tpv_report *report, int plan, sonde__tpv_form form);

/* ---- empirical forms ---- */

/* tpv_draws.c: quantization and isotropic noise. */
sonde_status sonde__tpv_drawn(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                              sonde__tpv_row *row);
/* tpv_train.c: the trajectory of SGD, and fine-tuning on noisy labels. */
sonde_status sonde__tpv_trajectory(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                                   sonde__tpv_row *row);
sonde_status sonde__tpv_label(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                              sonde__tpv_row *row);
/* Deviation of the label noise that a plan asks for, given the outputs of w* on training inputs. */
double sonde__tpv_label_deviation(const sonde__tpv_plan *plan, const float *outputs, size_t count);
/* tpv_jacobian.c: label noise in closed form; row->note says why not, where the network is large. */
sonde_status sonde__tpv_closed(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                               sonde__tpv_row *row);
/* Forward passes of one input that each takes, for the progress. */
double sonde__tpv_cost(const sonde__tpv_work *work, const sonde__tpv_plan *plan);

#endif
