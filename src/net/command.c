/*
 * How the commands of a plan run: each hands its buffers to an operator or a kernel.
 *
 * Parameters are found by the layer: the first two of a normalisation are scale and shift, the next
 * two of a batch norm the running mean and variance (which come first if it has no others).
 */
#include <string.h>

#include "net/net_internal.h"

static float *running_of(const sonde__net *net, const sonde__layer *layer, int which)
{
    return net->running + net->running_offsets[layer->first_parameter + which];
}

sonde_status sonde__run_show_value(sonde__net *net, const sonde__command *command)
{
    if (net->watch.value)
        net->watch.value(net->watch.user, (int)(command->layer - net->graph->layers), &command->out,
                         command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_show_gradient(sonde__net *net, const sonde__command *command)
{
    if (net->watch.gradient)
        net->watch.gradient(net->watch.user, (int)(command->layer - net->graph->layers),
                            &command->out, command->data[SONDE__Y], command->data[SONDE__DY]);
    return SONDE_OK;
}

sonde_status sonde__run_kernel(sonde__net *net, const sonde__command *command)
{
    (void)net;
    return sonde__kernel_run(command->kernel);
}

sonde_status sonde__run_take_input(sonde__net *net, const sonde__command *command)
{
    sonde__copy(sonde__form_floats(&command->out), net->x, command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_take_dlogits(sonde__net *net, const sonde__command *command)
{
    sonde__copy(sonde__form_floats(&command->out), net->dlogits, command->data[SONDE__DX]);
    return SONDE_OK;
}

sonde_status sonde__run_give_input(sonde__net *net, const sonde__command *command)
{
    if (net->input_gradient)
        sonde__copy(sonde__form_floats(&command->in), command->data[SONDE__DX],
                    net->input_gradient);
    return SONDE_OK;
}

sonde_status sonde__run_reorder(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__reorder(&command->in, command->data[SONDE__X], &command->out, command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_accumulate(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__accumulate(sonde__form_floats(&command->in), command->data[SONDE__DX],
                      command->data[SONDE__MORE]);
    return SONDE_OK;
}

sonde_status sonde__run_copy(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__copy(sonde__form_floats(&command->in), command->data[SONDE__X], command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde__batch_norm batch_norm_of(const sonde__net *net, const sonde__command *command)
{
    const sonde__layer *layer = command->layer;
    bool affine = layer->affine;
    int statistics = affine ? 2 : 0;
    return (sonde__batch_norm){
        .form = command->in,
        .scale = affine ? sonde__layer_weights(net, layer, 0) : NULL,
        .shift = affine ? sonde__layer_weights(net, layer, 1) : NULL,
        .scale_gradient = affine ? sonde__layer_gradients(net, layer, 0) : NULL,
        .shift_gradient = affine ? sonde__layer_gradients(net, layer, 1) : NULL,
        .running_mean = running_of(net, layer, statistics),
        .running_variance = running_of(net, layer, statistics + 1),
        .scale_norms = affine ? sonde__layer_norms(net, layer, 0) : NULL,
        .shift_norms = affine ? sonde__layer_norms(net, layer, 1) : NULL,
        .saved = command->data[SONDE__SAVED],
        .partial = command->data[SONDE__PARTIAL],
        .running = sonde__mode_by_running(net->current->mode),
        .examples = net->current->mode == SONDE__STUDY_EVAL,
        .relu = command->relu,
        .pool = command->pool};
}

/* `flag`: by the running mean and variance. */
sonde_status sonde__run_norm(sonde__net *net, const sonde__command *command)
{
    sonde__batch_norm norm = batch_norm_of(net, command);
    float *const *data = command->data;
    if (command->flag)
        sonde__batch_norm_eval(&norm, data[SONDE__X], data[SONDE__OTHER], data[SONDE__Y]);
    else
        sonde__batch_norm_train(&norm, data[SONDE__X], data[SONDE__OTHER], data[SONDE__Y]);
    return SONDE_OK;
}

/* `flag`: something was added. */
sonde_status sonde__run_norm_backward(sonde__net *net, const sonde__command *command)
{
    sonde__batch_norm norm = batch_norm_of(net, command);
    float *const *data = command->data;
    sonde__batch_norm_gradients gradients = {.x = data[SONDE__X],
                                             .y = data[SONDE__Y],
                                             .dy = data[SONDE__DY],
                                             .more = data[SONDE__MORE],
                                             .other = command->flag,
                                             .dx = data[SONDE__DX]};
    sonde__batch_norm_backward(&norm, &gradients);
    return SONDE_OK;
}

static sonde__layer_norm layer_norm_of(const sonde__net *net, const sonde__command *command)
{
    return (sonde__layer_norm){.rows = (size_t)command->in.batch,
                               .tokens = 1,
                               .features = sonde__features(command->in.shape),
                               .scale = sonde__layer_weights(net, command->layer, 0),
                               .shift = sonde__layer_weights(net, command->layer, 1),
                               .saved = command->data[SONDE__SAVED],
                               .scale_gradient = sonde__layer_gradients(net, command->layer, 0),
                               .shift_gradient = sonde__layer_gradients(net, command->layer, 1),
                               .scale_norms = sonde__layer_norms(net, command->layer, 0),
                               .shift_norms = sonde__layer_norms(net, command->layer, 1)};
}

sonde_status sonde__run_layer_norm(sonde__net *net, const sonde__command *command)
{
    sonde__layer_norm norm = layer_norm_of(net, command);
    sonde__layer_norm_forward(&norm, command->data[SONDE__X], command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_layer_norm_backward(sonde__net *net, const sonde__command *command)
{
    sonde__layer_norm norm = layer_norm_of(net, command);
    float *dy = command->data[SONDE__DY];
    sonde__layer_norm_backward(&norm, command->data[SONDE__X], dy, dy);
    return SONDE_OK;
}

sonde_status sonde__run_unary(sonde__net *net, const sonde__command *command)
{
    (void)net;
    const float *x = command->data[SONDE__X];
    float *y = command->data[SONDE__Y];
    if (command->layer->op == SONDE__OP_SOFTMAX)
        sonde__softmax_forward(&command->in, x, y);
    else
        sonde__unary_forward(command->layer->op, &command->in, x, y);
    return SONDE_OK;
}

sonde_status sonde__run_unary_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    const float *x = command->data[SONDE__X], *y = command->data[SONDE__Y];
    float *dy = command->data[SONDE__DY];
    if (command->layer->op == SONDE__OP_SOFTMAX)
        sonde__softmax_backward(&command->in, y, dy);
    else
        sonde__unary_backward(command->layer->op, &command->in, x, y, dy);
    return SONDE_OK;
}

/* dy becomes 0 where y is: a fused ReLU. */
sonde_status sonde__run_mask(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__unary_backward(SONDE__OP_RELU, &command->out, NULL, command->data[SONDE__Y],
                          command->data[SONDE__DY]);
    return SONDE_OK;
}

sonde_status sonde__run_add(sonde__net *net, const sonde__command *command)
{
    (void)net;
    float *const *data = command->data;
    sonde__add_forward(sonde__form_floats(&command->in), data[SONDE__X], data[SONDE__OTHER],
                       command->relu, data[SONDE__Y]);
    return SONDE_OK;
}

/* `flag`: the second operand has one value a channel. */
sonde_status sonde__run_mul(sonde__net *net, const sonde__command *command)
{
    (void)net;
    float *const *data = command->data;
    sonde__mul_forward(&command->in, command->flag, data[SONDE__X], data[SONDE__OTHER],
                       data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_mul_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    float *const *data = command->data;
    sonde__mul_gradients gradients = {.a = data[SONDE__X],
                                      .b = data[SONDE__OTHER],
                                      .dy = data[SONDE__DY],
                                      .da = data[SONDE__DX],
                                      .db = data[SONDE__MORE]};
    sonde__mul_backward(&command->in, command->flag, &gradients);
    return SONDE_OK;
}

sonde_status sonde__run_dropout(sonde__net *net, const sonde__command *command)
{
    sonde__dropout dropout = {.seed = net->options.seed,
                              .step = net->step,
                              .layer = (uint32_t)(command->layer - net->graph->layers),
                              .rate = command->layer->rate};
    sonde__dropout_forward(&dropout, sonde__form_floats(&command->in), command->data[SONDE__X],
                           (unsigned char *)command->data[SONDE__SAVED], command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_dropout_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__dropout dropout = {.rate = command->layer->rate};
    sonde__dropout_backward(&dropout, sonde__form_floats(&command->in),
                            (const unsigned char *)command->data[SONDE__SAVED],
                            command->data[SONDE__DY]);
    return SONDE_OK;
}

static sonde__pool_window window_of(const sonde__command *command)
{
    return (sonde__pool_window){.in = command->in,
                                .out = command->out,
                                .kernel = command->layer->kernel,
                                .stride = command->layer->stride,
                                .padding = command->layer->padding};
}

sonde_status sonde__run_pool(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__pool_window window = window_of(command);
    const float *x = command->data[SONDE__X];
    float *y = command->data[SONDE__Y];
    if (command->layer->op == SONDE__OP_MAX_POOL)
        sonde__max_pool_forward(&window, x, y);
    else if (command->layer->op == SONDE__OP_AVG_POOL)
        sonde__avg_pool_forward(&window, x, y);
    else
        sonde__global_pool_forward(&command->in, x, y);
    return SONDE_OK;
}

sonde_status sonde__run_pool_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__pool_window window = window_of(command);
    const float *dy = command->data[SONDE__DY];
    float *dx = command->data[SONDE__DX];
    if (command->layer->op == SONDE__OP_MAX_POOL)
        sonde__max_pool_backward(&window, command->data[SONDE__X], command->data[SONDE__Y], dy, dx);
    else if (command->layer->op == SONDE__OP_AVG_POOL)
        sonde__avg_pool_backward(&window, dy, dx);
    else
        sonde__global_pool_backward(&command->in, dy, dx);
    return SONDE_OK;
}

sonde_status sonde__run_clear(sonde__net *net, const sonde__command *command)
{
    (void)net;
    memset(command->data[SONDE__Y], 0, sonde__form_floats(&command->out) * sizeof(float));
    return SONDE_OK;
}

sonde_status sonde__run_concat(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__concat_forward(&command->in, command->data[SONDE__X], &command->out, command->first,
                          command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_concat_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__concat_backward(&command->in, command->data[SONDE__DX], &command->out, command->first,
                           command->data[SONDE__DY]);
    return SONDE_OK;
}

sonde_status sonde__run_shortcut(sonde__net *net, const sonde__command *command)
{
    (void)net;
    const sonde__shortcut options = {command->layer->stride, command->layer->front};
    sonde__shortcut_pad_forward(&command->in, &command->out, &options, command->data[SONDE__X],
                                command->data[SONDE__Y]);
    return SONDE_OK;
}

sonde_status sonde__run_shortcut_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    const sonde__shortcut options = {command->layer->stride, command->layer->front};
    sonde__shortcut_pad_backward(&command->in, &command->out, &options, command->data[SONDE__DY],
                                 command->data[SONDE__DX]);
    return SONDE_OK;
}
