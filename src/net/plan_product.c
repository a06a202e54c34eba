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

/*
 * How the gradient by the input is made. Of a plain image that a vector kernel reads (an input of three
 * channels) it lies as the output does, with lanes of padding: oneDNN writes the plain layout by
 * reference code alone, fifty times slower.
 */
static sonde__form gradient_form(const sonde__builder *b, const sonde__stage *stage)
{
    const sonde__product *product = &b->net->nodes[stage->core].product;
    sonde__form form = input_form(b, stage);
    if (!product->linear && product->options.groups == 1 && form.block == 1 &&
        (product->output.block == 8 || product->output.block == 16))
        form.block = product->output.block;
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

/* `flat`: the weights that are read, or gradients that are written; `bare`: no bias, no ReLU. */
typedef struct product_part {
    int core;
    sonde__direction direction;
    float *flat;
    bool bare;
    int block; /* of the input or its gradient; 0: the product's own */
} product_part;

static void append_product(sonde__builder *b, product_part part, int input, int output)
{
    sonde__net *net = b->net;
    const int core = part.core;
    const sonde__direction direction = part.direction;
    sonde__product product = product_of(b, core);
    bool back = direction == SONDE__BACKWARD_WEIGHT;
    float *weight = parameter_at(b, part.flat, core, 0);
    if (part.block)
        product.input.block = part.block;
    product.relu = product.relu && !part.bare;
    product.options.bias = product.options.bias && !part.bare;
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
    if (product.options.bias)
        command.data[SONDE__SLOT_BIAS] = parameter_at(b, part.flat, core, 1);
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
    product_part part = {stage->core, SONDE__FORWARD, b->net->weights, false, 0};
    append_product(b, part, b->sources[index], b->values[stage->anchor]);
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

static void give_input(sonde__builder *b, int index, int dy)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__form form = gradient_form(b, stage);
    const product_part part = {stage->core, SONDE__BACKWARD_INPUT, b->net->weights, false,
                               b->net->nodes[stage->core].product.linear ? 0 : form.block};
    int dx = sonde__add_form(b, &form);
    append_product(b, part, dx, dy);
    sonde__give(b, stage->input, dx, form);
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
    int dy = sonde__take_masked(b, stage);
    b->dys[index] = dy;
    show_gradient(b, index, dy);
    append_norms(b, index, dy);
    b->serves = SONDE__SERVES_GRADIENTS;
    product_part weight = {stage->core, SONDE__BACKWARD_WEIGHT, b->net->gradients, false, 0};
    append_product(b, weight, b->sources[index], dy);
    if (!b->needs[stage->input])
        return;
    b->serves = sonde__serves_layer(b, stage->input);
    give_input(b, index, dy);
}

/* --- derivatives when the parameters grow by shares a (of the weight) and c (of the bias) ------- */

/*
 * y = W x + b      ry = W rx + a (y - b) + c b
 * dx = W^T dy      rdx = W^T (rdy + a dy)
 * dW = dy x^T      rdW = rdy x^T + dy rx^T       db = sum dy,  rdb = sum rdy
 *
 * So the kernels of the pass itself serve; the two parts of rdW go to two flat arrays.
 */
void sonde__write_product_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    const product_part bare = {stage->core, SONDE__FORWARD, b->net->weights, true, 0};
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_product_tangent);
    command.layer = sonde__core_of(b, index);
    command.out = sonde__form_of(b, stage->anchor);
    command.relu = stage->relu;
    b->sources[index] = sonde__value_as(b, stage->input, input_form(b, stage).block);
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    append_product(b, bare, b->sources[index], b->values[stage->anchor]);
    command.buffers[SONDE__X] = b->real.values[stage->anchor];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
}

void sonde__write_product_tangent_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__net *net = b->net;
    const product_part first = {stage->core, SONDE__BACKWARD_WEIGHT, net->tangents, false, 0};
    const product_part second = {stage->core, SONDE__BACKWARD_WEIGHT, net->tangents + net->count,
                                 true, 0};
    int dy = b->real.dys[index], rdy = sonde__take_masked(b, stage);
    append_product(b, first, b->real.sources[index], rdy);
    append_product(b, second, b->sources[index], dy);
    if (!b->needs[stage->input])
        return;
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_add_scaled);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DX] = rdy;
    command.buffers[SONDE__MORE] = dy;
    sonde__append(b, &command);
    give_input(b, index, rdy);
}
