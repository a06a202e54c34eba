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

/* Rows of the product that an example has: of a linear layer over tokens its tokens. */
static int rows_of(const sonde__builder *b, int core)
{
    const sonde__layer *layer = &b->net->graph->layers[core];
    return layer->tokens ? layer->shape.height * layer->shape.width : 1;
}

/* How the input lies that the kernels read, and its gradient. */
static sonde__form input_form(const sonde__builder *b, const sonde__stage *stage)
{
    sonde__form form = sonde__token_form(b, stage->input);
    if (!b->net->graph->layers[stage->core].tokens)
        form.block = b->net->nodes[stage->core].product.input.block;
    return form;
}

static sonde__product product_of(const sonde__builder *b, int core)
{
    sonde__product product = b->net->nodes[core].product;
    product.input.batch = product.output.batch = b->plan->batch * rows_of(b, core);
    product.train = b->plan->mode != SONDE__EVAL;
    product.winograd = b->plan->mode == SONDE__TRAIN && b->net->options.winograd;
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
    sonde__form form = sonde__form_of(b, stage->anchor);
    b->sources[index] = sonde__value_as(b, stage->input, input_form(b, stage).block);
    b->values[stage->anchor] = sonde__add_form(b, &form);
    append_product(b, stage->core, SONDE__FORWARD, b->sources[index], b->values[stage->anchor]);
}

/* Lets a watcher see the gradient by what the product's own result is. */
static void show_gradient(sonde__builder *b, int index, int dy)
{
    int anchor = sonde__stage_at(b, index)->anchor;
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_show_gradient);
    if (!sonde__mode_studies(b->plan->mode))
        return;
    command.layer = sonde__core_of(b, index);
    command.out = sonde__form_of(b, anchor);
    command.buffers[SONDE__Y] = b->values[anchor];
    command.buffers[SONDE__DY] = dy;
    sonde__append(b, &command);
}

static void append_norms(sonde__builder *b, int index, int dy)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_CONV_WEIGHT, sonde__run_product_norms);
    if (b->plan->mode != SONDE__STUDY_EVAL)
        return;
    b->serves = SONDE__SERVES_NORMS;
    command.layer = sonde__core_of(b, index);
    command.in = input_form(b, stage);
    command.in.batch = b->plan->batch;
    command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__DY] = dy;
    sonde__append(b, &command);
}

void sonde__write_product_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = input_form(b, stage);
    int dy = sonde__take_masked(b, stage);
    show_gradient(b, index, dy);
    append_norms(b, index, dy);
    b->serves = SONDE__SERVES_GRADIENTS;
    append_product(b, stage->core, SONDE__BACKWARD_WEIGHT, b->sources[index], dy);
    if (!b->needs[stage->input])
        return;
    b->serves = sonde__serves_layer(b, stage->input);
    int dx = sonde__add_form(b, &form);
    append_product(b, stage->core, SONDE__BACKWARD_INPUT, dx, dy);
    sonde__give(b, stage->input, dx, form);
}
