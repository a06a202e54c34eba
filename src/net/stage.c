/*
 * From layers to stages: what is fused with what, and in which layout each value is kept.
 *
 * Fused are: a ReLU behind a convolution, linear layer, batch norm or addition that nobody else
 * reads; a batch norm into the addition that is its only reader (the end of a residual block); and a
 * 2 x 2 max pool behind a batch norm, with or without a ReLU between.
 *
 * Layouts are chosen here once, with a fixed batch size, so that parameters lie the same way
 * whatever batch or mode is run later.
 */
#include "net/plan_builder.h"

/* The batch that layouts are chosen for. Pinned: resumed runs depend on it. */
enum { REFERENCE_BATCH = 32 };

static void count_consumers(sonde__net *net)
{
    const sonde__graph *graph = net->graph;
    for (int i = 0; i < graph->layer_count; i++) {
        const sonde__layer *layer = &graph->layers[i];
        for (int k = 0; layer->used && k < layer->input_count; k++)
            net->nodes[layer->inputs[k]].consumers++;
    }
    net->nodes[graph->output].consumers++;
}

/* True if a stage may swallow the layer: one reader, which is then that stage. */
static bool sole_reader(const sonde__net *net, int layer)
{
    return net->nodes[layer].consumers == 1 && !net->nodes[layer].absorbed;
}

/* If one operand of an addition is a batch norm of its own, it becomes the core. */
static void fuse_add(sonde__net *net, sonde__stage *stage)
{
    const sonde__layer *add = &net->graph->layers[stage->core];
    for (int k = 0; k < 2; k++) {
        int norm = add->inputs[k];
        if (net->graph->layers[norm].op != SONDE__OP_BATCH_NORM || !sole_reader(net, norm))
            continue;
        net->nodes[norm].absorbed = true;
        stage->core = norm;
        stage->other = add->inputs[1 - k];
        return;
    }
}

/* A pool of 2 x 2 that moves by 2, behind a batch norm that nothing else reads. */
static void fuse_pool(sonde__net *net, sonde__stage *stage)
{
    const sonde__layer *layers = net->graph->layers, *pool = &layers[stage->anchor];
    if (net->options.study) /* it would hide the value before the pool */
        return;
    if (pool->op != SONDE__OP_MAX_POOL || pool->kernel != 2 || pool->stride != 2 || pool->padding)
        return;
    int norm = pool->inputs[0], relu = -1;
    if (layers[norm].op == SONDE__OP_RELU) {
        relu = norm;
        norm = layers[relu].inputs[0];
    }
    if (layers[norm].op != SONDE__OP_BATCH_NORM || !sole_reader(net, norm) ||
        (relu >= 0 && !sole_reader(net, relu)))
        return;
    stage->pool = true;
    stage->relu = relu >= 0;
    stage->core = norm;
    net->nodes[norm].absorbed = true;
    if (relu >= 0)
        net->nodes[relu].absorbed = true;
}

/* Walks back from each layer, last first, so that a ReLU claims what lies before it. */
static void find_stages(sonde__net *net)
{
    const sonde__graph *graph = net->graph;
    for (int i = graph->layer_count - 1; i >= 0; i--) {
        const sonde__layer *layer = &graph->layers[i];
        if (!layer->used || net->nodes[i].absorbed)
            continue;
        sonde__stage stage = {.anchor = i, .core = i, .other = -1};
        if (layer->op == SONDE__OP_RELU &&
            sonde__op_row_of(graph->layers[layer->inputs[0]].op)->takes_relu &&
            sole_reader(net, layer->inputs[0])) {
            stage.relu = true;
            stage.core = layer->inputs[0];
            net->nodes[stage.core].absorbed = true;
        }
        if (graph->layers[stage.core].op == SONDE__OP_ADD)
            fuse_add(net, &stage);
        fuse_pool(net, &stage);
        const sonde__layer *core = &graph->layers[stage.core];
        stage.input = core->input_count > 0 ? core->inputs[0] : -1;
        net->stages[net->stage_count++] = stage;
    }
    for (int i = 0, j = net->stage_count - 1; i < j; i++, j--) {
        sonde__stage swap = net->stages[i];
        net->stages[i] = net->stages[j];
        net->stages[j] = swap;
    }
}

/* --- layouts ---------------------------------------------------------------------------------- */

/* A linear layer over tokens: as many rows as there are tokens. */
static void read_tokens(sonde__product *product)
{
    sonde__form *const forms[2] = {&product->input, &product->output};
    product->linear = true;
    for (int i = 0; i < 2; i++) {
        forms[i]->batch *= forms[i]->shape.height * forms[i]->shape.width;
        forms[i]->shape.height = forms[i]->shape.width = 1;
        forms[i]->block = 1;
    }
}

static sonde_status describe_product(sonde__net *net, const sonde__stage *stage)
{
    const sonde__layer *layer = &net->graph->layers[stage->core];
    sonde__product *product = &net->nodes[stage->core].product;
    sonde__form input = {REFERENCE_BATCH, net->graph->layers[stage->input].shape,
                         net->nodes[stage->input].block};
    sonde__form output = {REFERENCE_BATCH, layer->shape, 1};
    *product = (sonde__product){.name = layer->name,
                                .linear = layer->op == SONDE__OP_LINEAR,
                                .options = layer->conv,
                                .input = input,
                                .output = output,
                                .train = true};
    if (layer->tokens)
        read_tokens(product);
    if (!product->linear)
        SONDE_TRY(sonde__product_choose_blocks(net->kernels, product));
    SONDE_TRY(sonde__product_packing(net->kernels, product, &net->nodes[stage->core].packing));
    product->relu = stage->relu;
    return SONDE_OK;
}

/* Where channels change place, only the machine's own block can stay; else plain. */
static int movable_block(const sonde__net *net, int block)
{
    return block == sonde__kernels_block(net->kernels) ? block : 1;
}

static sonde_status choose_layout(sonde__net *net, const sonde__stage *stage)
{
    int block = stage->input >= 0 ? net->nodes[stage->input].block : 1;
    switch (sonde__op_row_of(net->graph->layers[stage->core].op)->layout) {
    case SONDE__LAYOUT_PRODUCT:
        SONDE_TRY(describe_product(net, stage));
        block = net->nodes[stage->core].product.output.block;
        if (net->graph->layers[stage->core].tokens)
            block = net->graph->layers[stage->core].shape.channels;
        break;
    case SONDE__LAYOUT_TOKENS:
        block = net->graph->layers[stage->core].shape.channels;
        break;
    case SONDE__LAYOUT_PLAIN:
        block = 1;
        break;
    case SONDE__LAYOUT_MOVABLE:
        block = movable_block(net, block);
        break;
    case SONDE__LAYOUT_SAME:
        break;
    }
    net->nodes[stage->anchor].block = block;
    return SONDE_OK;
}

sonde_status sonde__net_make_stages(sonde__net *net)
{
    size_t count = (size_t)net->graph->layer_count;
    net->nodes = sonde__alloc_zero(net->context, count, sizeof *net->nodes);
    net->stages = sonde__alloc_zero(net->context, count, sizeof *net->stages);
    if (!net->nodes || !net->stages)
        return SONDE_ERROR_MEMORY;
    count_consumers(net);
    find_stages(net);
    for (int i = 0; i < net->stage_count; i++)
        SONDE_TRY(choose_layout(net, &net->stages[i]));
    return SONDE_OK;
}
