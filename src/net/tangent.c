/* Derivatives of a pass when parameters are scaled: the calls of study.h (see plan_tangent.c). */
#include "net/net_internal.h"

#include <string.h>

/* X: the product's value, Y: its derivative so far. */
sonde_status sonde__run_product_tangent(sonde__net *net, const sonde__command *command)
{
    const sonde__layer *layer = command->layer;
    bool bias = layer->parameter_count > 1;
    const sonde__product_tangent tangent = {
        .bias = bias ? sonde__layer_weights(net, layer, 1) : NULL,
        .weight_share = sonde__layer_scale(net, layer, 0),
        .bias_share = bias ? sonde__layer_scale(net, layer, 1) : 0,
        .relu = command->relu};
    sonde__product_tangent_forward(&tangent, &command->out, command->data[SONDE__X],
                                   command->data[SONDE__Y]);
    return SONDE_OK;
}

/* DX grows by the weight's share of MORE. */
sonde_status sonde__run_add_scaled(sonde__net *net, const sonde__command *command)
{
    sonde__accumulate_share(sonde__form_floats(&command->in), command->data[SONDE__DX],
                            sonde__layer_scale(net, command->layer, 0), command->data[SONDE__MORE]);
    return SONDE_OK;
}

static sonde_status check_state(const sonde__net *net)
{
    if (net->current && net->current->tangent && net->has_backward)
        return SONDE_OK;
    return sonde__fail(net->context, SONDE_ERROR_STATE,
                       "derivatives along scaled parameters must follow a forward and a backward "
                       "pass in a study mode of a network that was created for them");
}

sonde_status sonde__net_tangent_forward(sonde__net *net, const double *scales, const float **logits)
{
    SONDE_TRY(check_state(net));
    const sonde__plan *plan = net->current;
    memcpy(net->scales, scales, (size_t)net->graph->parameter_count * sizeof *scales);
    net->wants = SONDE__SERVES_WATCH;
    sonde_status status = sonde__net_run_commands(net, plan->backward_count, plan->tangent_count);
    net->has_tangent = status == SONDE_OK;
    *logits = net->arena + plan->buffers[plan->tangent_logits].offset;
    return status;
}

sonde_status sonde__net_tangent_backward(sonde__net *net, const float *dlogits, float *gradients)
{
    SONDE_TRY(check_state(net));
    const sonde__plan *plan = net->current;
    if (!net->has_tangent)
        return sonde__fail(net->context, SONDE_ERROR_STATE,
                           "the derivatives of the gradients must follow those of the logits");
    net->dlogits = dlogits;
    net->flat = net->tangents;
    net->wants = SONDE__SERVES_WATCH | SONDE__SERVES_GRADIENTS;
    SONDE_TRY(sonde__net_run_commands(net, plan->tangent_count, plan->command_count));
    for (size_t i = 0; i < net->count; i++)
        gradients[i] = net->tangents[i] + net->tangents[net->count + i];
    return SONDE_OK;
}
