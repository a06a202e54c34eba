/* SynFlow by the exact evaluator; see proxy_synflow.h. */
#include "measure/proxy_synflow.h"

#include <math.h>

#include "net/exact.h"

static sonde_score score_of(double value, sonde_validity validity)
{
    return (sonde_score){.value = validity == SONDE_VALID ? value : 0,
                         .direction = SONDE_HIGHER_IS_BETTER,
                         .validity = validity};
}

static void judge(const sonde__exact *exact, sonde__scaled sum, sonde__synflow *result)
{
    sonde_validity validity = sonde__exact_validity(exact);
    const double value = sonde__scaled_value(sum);
    if (validity == SONDE_VALID && sum.mantissa == 0)
        validity = SONDE_DEGENERATE;
    result->log_score = score_of(sonde__scaled_log(sum), validity);
    if (validity == SONDE_DEGENERATE)
        validity = SONDE_VALID; /* zero is a sum, only not one with a logarithm */
    result->score = score_of(value, isinf(value) ? SONDE_OUT_OF_RANGE : validity);
}

/* The exponent of the largest of all |w dR/dw|. */
static int64_t largest_exponent(const sonde__exact *exact, int parameters)
{
    int64_t most = INT64_MIN;
    for (int i = 0; i < parameters; i++) {
        const sonde__exact_tensor gradient = sonde__exact_gradient(exact, i);
        const float *weights = sonde__exact_parameter(exact, i);
        double top = 0;
        for (size_t k = 0; k < gradient.count; k++)
            top = fmax(top, fabs(gradient.values[k] * (double)weights[k]));
        int exponent = 0;
        frexp(top, &exponent);
        if (top > 0 && gradient.exponent + exponent > most)
            most = gradient.exponent + exponent;
    }
    return most == INT64_MIN ? 0 : most;
}

static void write_scores(const sonde__exact *exact, const sonde__net *net, int index,
                         int64_t exponent, float *scores)
{
    const sonde__exact_tensor gradient = sonde__exact_gradient(exact, index);
    const float *weights = sonde__exact_parameter(exact, index);
    for (size_t k = 0; k < sonde__net_parameter(net, index)->elements; k++) {
        sonde__scaled score = {0, gradient.exponent - exponent};
        if (gradient.values)
            score.mantissa = fabs(gradient.values[k] * (double)weights[k]);
        scores[k] = (float)sonde__scaled_value(score);
    }
}

static sonde_status run(sonde__exact *exact, const sonde__net *net, float *const *scores,
                        sonde__synflow *result)
{
    const int parameters = sonde__net_parameter_count(net);
    sonde__scaled sum = {0, 0};
    SONDE_TRY(sonde__exact_forward(exact, NULL));
    if (sonde__exact_validity(exact) == SONDE_VALID)
        SONDE_TRY(sonde__exact_backward(exact, NULL));
    for (int i = 0; i < parameters; i++)
        sum = sonde__scaled_sum(sum, sonde__exact_saliency(exact, i));
    judge(exact, sum, result);
    result->exponent = scores ? largest_exponent(exact, parameters) : 0;
    for (int i = 0; scores && i < parameters; i++)
        if (scores[i])
            write_scores(exact, net, i, result->exponent, scores[i]);
    return SONDE_OK;
}

sonde_status sonde__measure_synflow(sonde_context *context, sonde__net *net,
                                    sonde__synflow_protocol protocol, bool with_batch_norm,
                                    float *const *scores, sonde__synflow *result)
{
    const sonde__exact_options options = {
        .batch = 1,
        .absolute = true,
        .gradients = scores != NULL,
        .norm = with_batch_norm ? SONDE__EXACT_NORM_BATCH : SONDE__EXACT_NORM_REMOVED,
        .live = protocol == SONDE__SYNFLOW_ZERO_COST_NAS ? "reduction" : NULL};
    sonde__exact *exact = NULL;
    SONDE_TRY(sonde__exact_create(context, net, &options, &exact));
    const sonde_status status = run(exact, net, scores, result);
    sonde__exact_free(exact);
    return status;
}
