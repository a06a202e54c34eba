/*
 * The examples that a criterion is measured on.
 *
 * JBR: the original network, in evaluation mode, gives every example a pseudo-label (its largest
 * logit), and only those whose largest softmax is above the confidence count; they and their labels
 * stay the same for all steps. Criteria with true labels take the first examples as they come.
 */
#include "measure/prune_internal.h"

#include <math.h>

#include "measure/passes.h"

static void tell(const sonde__prune_options *options, double share)
{
    const sonde__prune_progress progress = {0, options->steps, share, "choosing examples"};
    if (options->progress)
        options->progress(options->user, &progress);
}

/* The place of the largest logit, and its softmax. */
static int32_t most_likely(const float *logits, size_t classes, double *probability)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (logits[c] > logits[best])
            best = c;
    double sum = 0;
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)logits[c] - (double)logits[best]);
    *probability = 1 / sum;
    return (int32_t)best;
}

/* Keeps the confident ones of examples [begin, begin + n). */
static void keep_confident(sonde__prune_sample *sample, const sonde__prune_options *options,
                           const float *logits, size_t classes, size_t begin, size_t n)
{
    const size_t wanted = options->batches * options->batch;
    for (size_t i = 0; i < n && sample->count < wanted; i++) {
        double probability;
        const int32_t label = most_likely(logits + i * classes, classes, &probability);
        if (!(probability > options->confidence))
            continue;
        sample->order[sample->count] = (uint32_t)(begin + i);
        sample->labels[sample->count++] = label;
    }
}

static sonde_status choose_confident(sonde__net *whole, const sonde__prune_options *options,
                                     sonde__prune_sample *sample, size_t wanted, size_t *looked)
{
    const size_t classes = (size_t)sonde__net_outputs(whole), all = sample->examples->count;
    uint32_t *order = sonde__alloc(sample->context, sample->batch, sizeof *order);
    sonde_status status = order ? SONDE_OK : SONDE_ERROR_MEMORY;
    size_t begin = 0;
    while (status == SONDE_OK && begin < all && sample->count < wanted) {
        const size_t n = all - begin < sample->batch ? all - begin : sample->batch;
        const float *logits = NULL;
        for (size_t i = 0; i < n; i++)
            order[i] = (uint32_t)(begin + i);
        sample->examples->fill(sample->examples->user, order, n, sample->x, NULL);
        status = sonde__net_forward(whole, SONDE__EVAL, sample->x, (int)n, 0, &logits);
        if (status == SONDE_OK)
            keep_confident(sample, options, logits, classes, begin, n);
        begin += n;
        tell(options, (double)sample->count / (double)wanted);
        if (status == SONDE_OK && sonde__cancelled(sample->context))
            status = sonde__fail(sample->context, SONDE_ERROR_CANCELLED, "pruning was cancelled");
    }
    sonde__free(sample->context, order);
    *looked = begin;
    if (status == SONDE_OK && sample->count == 0)
        return sonde__fail(sample->context, SONDE_ERROR_NUMERIC,
                           "no example of %zu has a softmax above %g, so that JBR has no "
                           "pseudo-label; prune a trained network, or lower --confidence",
                           begin, options->confidence);
    return status;
}

static sonde_status take_labelled(sonde__prune_sample *sample, size_t wanted)
{
    const sonde__prune_examples *examples = sample->examples;
    const size_t all = examples->count;
    sample->count = wanted < all ? wanted : all;
    for (size_t i = 0; i < sample->count; i++)
        sample->order[i] = (uint32_t)i;
    for (size_t begin = 0; begin < sample->count; begin += sample->batch) {
        const size_t left = sample->count - begin, n = left < sample->batch ? left : sample->batch;
        examples->fill(examples->user, sample->order + begin, n, sample->x, sample->labels + begin);
    }
    return SONDE_OK;
}

static sonde_status reserve(sonde__net *whole, size_t wanted, sonde__prune_sample *sample)
{
    const sonde__shape shape = sonde__net_input_shape(whole);
    const size_t features = (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
    sample->order = sonde__alloc(sample->context, wanted, sizeof *sample->order);
    sample->labels = sonde__alloc(sample->context, wanted, sizeof *sample->labels);
    sample->x = sonde__alloc(sample->context, sample->batch, features * sizeof(float));
    sample->dlogits = sonde__alloc(sample->context, sample->batch,
                                   (size_t)sonde__net_outputs(whole) * sizeof(float));
    return sample->order && sample->labels && sample->x && sample->dlogits ? SONDE_OK
                                                                           : SONDE_ERROR_MEMORY;
}

static bool needs_examples(sonde_criterion criterion)
{
    const sonde_criterion_needs needs = sonde_criterion_reads(criterion);
    return needs == SONDE_NEEDS_GRADIENT || needs == SONDE_NEEDS_HESSIAN;
}

static sonde_status choose(sonde__net *whole, const sonde__prune_options *options,
                           sonde__prune_sample *sample, size_t wanted, size_t *looked)
{
    SONDE_TRY(reserve(whole, wanted, sample));
    if (options->criterion == SONDE_CRITERION_JBR)
        return choose_confident(whole, options, sample, wanted, looked);
    SONDE_TRY(take_labelled(sample, wanted));
    *looked = sample->count;
    return SONDE_OK;
}

static sonde_status refuse_sequences(const sonde__prune_sample *sample, const sonde__net *whole,
                                     const sonde__prune_options *options)
{
    if (sonde__net_rows(whole) == 1)
        return SONDE_OK;
    return sonde__fail(sample->context, SONDE_ERROR_ARGUMENT,
                       "%s needs one label an example, and a sequence model has one a token; prune "
                       "it by l1 or magnitude",
                       sonde_criterion_name(options->criterion));
}

sonde_status sonde__prune_sample_choose(sonde_context *context, sonde__net *whole,
                                        const sonde__prune_examples *examples,
                                        const sonde__prune_options *options,
                                        sonde__prune_sample *sample, sonde__prune_report *report)
{
    *sample =
        (sonde__prune_sample){.context = context, .examples = examples, .batch = options->batch};
    if (!needs_examples(options->criterion))
        return SONDE_OK;
    const size_t asked = options->batches * options->batch;
    const size_t wanted = asked < examples->count ? asked : examples->count;
    sonde_status status = refuse_sequences(sample, whole, options);
    if (status == SONDE_OK)
        status = choose(whole, options, sample, wanted, &report->looked);
    report->examples = sample->count;
    if (status != SONDE_OK)
        sonde__prune_sample_free(sample);
    return status;
}

void sonde__prune_sample_free(sonde__prune_sample *sample)
{
    sonde__free(sample->context, sample->order);
    sonde__free(sample->context, sample->labels);
    sonde__free(sample->context, sample->x);
    sonde__free(sample->context, sample->dlogits);
    *sample = (sonde__prune_sample){0};
}

size_t sonde__prune_sample_batches(const sonde__prune_sample *sample)
{
    return sample->count == 0 ? 0 : (sample->count + sample->batch - 1) / sample->batch;
}

sonde_status sonde__prune_sample_gradient(const sonde__prune_sample *sample, sonde__net *net,
                                          size_t index)
{
    const size_t begin = index * sample->batch, left = sample->count - begin;
    const size_t n = left < sample->batch ? left : sample->batch;
    double loss;
    sample->examples->fill(sample->examples->user, sample->order + begin, n, sample->x, NULL);
    return sonde__measure_gradient(net, SONDE__STUDY_EVAL, sample->x, sample->labels + begin,
                                   (int)n, sample->dlogits, &loss);
}
