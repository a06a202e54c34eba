/* Plans of convolutions and linear layers: three kernels each, and changes of a weight's layout. */
#include "net/plan_builder.h"

static sonde__kind kind_of(const sonde__product *product, sonde__direction direction)
{
    if (product->linear)
        return SONDE__KIND_LINEAR;
    return direction == SONDE__FORWARD          ? SONDE__KIND_CONV_FORWARD
           : direction == SONDE__BACKWARD_INPUT ? SONDE__KIND_CONV_INPUT
                                                : SONDE__KIND_CONV_WEIGHT;
}

static sonde__product product_of(const sonde__builder *b, int core)
{
    sonde__product product = b->net->nodes[core].product;
    bool train = b->plan->mode == SONDE__TRAIN;
    product.input.batch = product.output.batch = b->plan->batch;
    product.train = train;
    product.winograd = train && b->net->options.winograd;
    return product;
}

static float *parameter_at(const sonde__builder *b, float *flat, int core, int which)
{
    const sonde__layer *layer = &b->net->graph->layers[core];
    if (which >= layer->parameter_count)
        return NULL;
    return flat + b->net->graph->parameters[layer->first_parameter + which].offset;
}

/* Between the weight as it lies (`fixed`) and a buffer in the layout that a kernel wants. */
static void append_repack(sonde__builder *b, const sonde__command *like, sonde__kernel *repack,
                          float *fixed, bool back)
{
    sonde__command command = sonde__command_of(like->kind, sonde__run_kernel);
    int mine = back ? SONDE__SLOT_OUTPUT : SONDE__SLOT_INPUT;
    int theirs = back ? SONDE__SLOT_INPUT : SONDE__SLOT_OUTPUT;
    command.layer = like->layer;
    command.kernel = repack;
    command.data[mine] = fixed;
    command.buffers[theirs] = like->buffers[SONDE__SLOT_WEIGHT];
    sonde__append(b, &command);
}

static void append_product(sonde__builder *b, int core, sonde__direction direction, int input,
                           int output)
{
    sonde__net *net = b->net;
    sonde__product product = product_of(b, core);
    bool back = direction == SONDE__BACKWARD_WEIGHT;
    float *flat = back ? net->gradients : net->weights;
    float *weight = parameter_at(b, flat, core, 0);
    sonde__kernel *repack = NULL;
    size_t repacked = 0;
    sonde__command command = sonde__command_of(kind_of(&product, direction), sonde__run_kernel);
    if (sonde__build_failed(b))
        return;
    sonde__build_note(b, sonde__product_kernel(net->kernels, &product, direction,
                                               net->nodes[core].packing, &command.kernel, &repack,
                                               &repacked));
    if (sonde__build_failed(b))
        return;
    size_t scratch = sonde__kernel_scratch(command.kernel);
    size_t more = repack ? sonde__kernel_scratch(repack) : 0;
    scratch = more > scratch ? more : scratch;
    b->plan->scratch = scratch > b->plan->scratch ? scratch : b->plan->scratch;
    command.layer = &net->graph->layers[core];
    command.buffers[SONDE__SLOT_INPUT] = input;
    command.buffers[SONDE__SLOT_OUTPUT] = output;
    command.data[SONDE__SLOT_BIAS] = parameter_at(b, flat, core, 1);
    if (repack)
        command.buffers[SONDE__SLOT_WEIGHT] = sonde__add_buffer(b, repacked);
    else
        command.data[SONDE__SLOT_WEIGHT] = weight;
    if (repack && !back)
        append_repack(b, &command, repack, weight, false);
    sonde__append(b, &command);
    if (repack && back)
        append_repack(b, &command, repack, weight, true);
}

void sonde__write_product(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__product product = product_of(b, stage->core);
    sonde__form form = sonde__form_of(b, stage->anchor);
    b->sources[index] = sonde__value_as(b, stage->input, product.input.block);
    b->values[stage->anchor] = sonde__add_form(b, &form);
    append_product(b, stage->core, SONDE__FORWARD, b->sources[index], b->values[stage->anchor]);
}

void sonde__write_product_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__product product = product_of(b, stage->core);
    int dy = sonde__take_masked(b, stage);
    append_product(b, stage->core, SONDE__BACKWARD_WEIGHT, b->sources[index], dy);
    if (!b->needs[stage->input])
        return;
    int dx = sonde__add_form(b, &product.input);
    append_product(b, stage->core, SONDE__BACKWARD_INPUT, dx, dy);
    sonde__give(b, stage->input, dx, product.input);
}
