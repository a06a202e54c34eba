/*
 * Squared norms of each example's own gradient of the weights of convolutions and linear layers,
 * exact, from the x and dy of one batched backward pass.
 *
 *   one row an example     ||dy x^T||^2 = ||x||^2 ||dy||^2                       (Goodfellow 2015)
 *   rows or 1 x 1 kernels  ||sum_p dy_p x_p^T||^2 = sum_pq (x_p . x_q) (dy_p . dy_q)
 *   any convolution        the gradient of the one example, by oneDNN's own kernel for a batch of
 *                          one, then its sum of squares
 *   bias                   ||sum_p dy_p||^2
 *
 * The second way pays where an example has few positions p. Kernels of the third are made for one
 * thread and run for several examples at a time; whatever layout they write, its padding is zero.
 */
#include "net/net_internal.h"

#include <omp.h>

enum { ALIGNMENT_FLOATS = 16, LANES = 8, FLUSH = 1024 };

SONDE_CLONES static double sum_squares(const float *x, size_t count)
{
    double total = 0;
    for (size_t begin = 0; begin < count; begin += FLUSH) {
        size_t n = count - begin < FLUSH ? count - begin : FLUSH;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = begin; i < begin + n; i++)
            sum += x[i] * x[i];
        total += (double)sum;
    }
    return total;
}

/* --- bias ------------------------------------------------------------------------------------- */

/* Of one example's dy. */
SONDE_CLONES static double bias_norm(const sonde__form *form, const float *dy)
{
    size_t pixels = sonde__form_pixels(form), block = (size_t)form->block;
    double total = 0;
    for (int g = 0; g < sonde__form_groups(form); g++) {
        const float *plane = dy + (size_t)g * pixels * block;
        for (size_t first = 0; first < block; first += LANES) {
            size_t lanes = block - first < LANES ? block - first : LANES;
            double sums[LANES] = {0};
            for (size_t p = 0; p < pixels; p++)
                for (size_t c = 0; c < lanes; c++)
                    sums[c] += (double)plane[p * block + first + c];
            for (size_t c = 0; c < lanes; c++)
                total += sums[c] * sums[c];
        }
    }
    return total;
}

/* --- products of positions -------------------------------------------------------------------- */

/* The values of one example by position: where they begin, and how they go on. */
typedef struct positions {
    const float *values;
    size_t groups, group_stride, lanes;
    size_t width, row, step; /* positions a row, floats from row to row and between positions */
} positions;

static positions positions_of(const sonde__form *form, const float *values, int stride,
                              sonde__shape out)
{
    size_t lanes = (size_t)form->block, step = (size_t)stride;
    return (positions){.values = values,
                       .groups = (size_t)sonde__form_groups(form),
                       .group_stride = sonde__form_pixels(form) * lanes,
                       .lanes = lanes,
                       .width = (size_t)out.width,
                       .row = step * (size_t)form->shape.width * lanes,
                       .step = step * lanes};
}

static const float *position_at(const positions *p, size_t index)
{
    return p->values + index / p->width * p->row + index % p->width * p->step;
}

SONDE_INLINE double dot(const positions *of, const float *a, const float *b)
{
    float sums[LANES] = {0};
    double total = 0;
    for (size_t g = 0; g < of->groups; g++) {
        size_t at = g * of->group_stride, c = 0;
        for (; c + LANES <= of->lanes; c += LANES)
            for (size_t k = 0; k < LANES; k++)
                sums[k] += a[at + c + k] * b[at + c + k];
        for (; c < of->lanes; c++)
            sums[0] += a[at + c] * b[at + c];
    }
    for (size_t k = 0; k < LANES; k++)
        total += (double)sums[k];
    return total;
}

SONDE_CLONES static double position_norm(const positions *x, const positions *dy, size_t count)
{
    double total = 0;
    for (size_t p = 0; p < count; p++) {
        const float *x_p = position_at(x, p), *dy_p = position_at(dy, p);
        for (size_t q = 0; q < p; q++)
            total += 2 * dot(x, x_p, position_at(x, q)) * dot(dy, dy_p, position_at(dy, q));
        total += dot(x, x_p, x_p) * dot(dy, dy_p, dy_p);
    }
    return total > 0 ? total : 0; /* a sum of both signs: rounding may leave less than nothing */
}

/* Half of positions^2 products of in + out numbers, at half the speed of a kernel. */
static bool positions_pay(const sonde__layer *layer, const sonde__form *in, const sonde__form *out)
{
    const sonde__conv_options *o = &layer->conv;
    double from = in->shape.channels, to = out->shape.channels;
    return o->kernel_height == 1 && o->kernel_width == 1 && o->padding == 0 && o->groups == 1 &&
           (double)sonde__form_pixels(out) * (from + to) <= from * to;
}

/* --- kernels for a batch of one ---------------------------------------------------------------- */

static size_t aligned(size_t floats)
{
    return (floats + ALIGNMENT_FLOATS - 1) / ALIGNMENT_FLOATS * ALIGNMENT_FLOATS;
}

/* The product of one example alone, its bias left out. */
static sonde__product product_of_one(const sonde__node_info *node, const sonde__form *out)
{
    sonde__product product = node->product;
    product.input.batch = product.output.batch = product.linear ? (int)sonde__form_pixels(out) : 1;
    product.options.bias = false;
    product.train = true;
    product.winograd = false;
    return product;
}

static sonde_status make_kernel(sonde__net *net, sonde__node_info *node,
                                const sonde__product *product, int index)
{
    sonde__kernel *repack = NULL, *kernel = NULL;
    size_t floats = 0;
    SONDE_TRY(sonde__product_kernel(net->kernels, product, SONDE__BACKWARD_WEIGHT, node->packing,
                                    &kernel, &repack, &floats));
    node->example_kernels[index] = kernel;
    node->example_floats = repack ? floats : sonde__packing_floats(node->packing);
    sonde__kernel_free(repack); /* the norm is the same in any layout */
    return SONDE_OK;
}

/* Kernels are made for the threads that are allowed when they are made. */
static sonde_status make_kernels(sonde__net *net, sonde__node_info *node, const sonde__form *out)
{
    if (node->example_kernels)
        return SONDE_OK;
    sonde__product product = product_of_one(node, out);
    int threads = omp_get_max_threads();
    sonde_status status = SONDE_OK;
    node->example_kernels =
        sonde__alloc_zero(net->context, (size_t)net->threads, sizeof(sonde__kernel *));
    if (!node->example_kernels)
        return SONDE_ERROR_MEMORY;
    omp_set_num_threads(1);
    for (int i = 0; i < net->threads && status == SONDE_OK; i++)
        status = make_kernel(net, node, &product, i);
    omp_set_num_threads(threads);
    if (status != SONDE_OK)
        sonde__free_example_kernels(net, node);
    return status;
}

void sonde__free_example_kernels(sonde__net *net, sonde__node_info *node)
{
    for (int i = 0; node->example_kernels && i < net->threads; i++)
        sonde__kernel_free(node->example_kernels[i]);
    sonde__free(net->context, node->example_kernels);
    node->example_kernels = NULL;
}

/* Room for a gradient and for scratch, for each thread. */
static sonde_status reserve(sonde__net *net, size_t floats)
{
    if (floats <= net->example_floats)
        return SONDE_OK;
    sonde__free(net->context, net->example_memory);
    net->example_floats = 0;
    net->example_memory = sonde__alloc(net->context, floats, sizeof *net->example_memory);
    if (!net->example_memory)
        return SONDE_ERROR_MEMORY;
    net->example_floats = floats;
    return SONDE_OK;
}

/* One example by the kernel of the calling thread; `weight` and scratch are the thread's own. */
static sonde_status norm_by_kernel(sonde__kernel *kernel, size_t floats, float *weight,
                                   const float *x, const float *dy, double *norm)
{
    SONDE_TRY(sonde__kernel_bind(kernel, SONDE__SLOT_INPUT, (float *)(uintptr_t)x));
    SONDE_TRY(sonde__kernel_bind(kernel, SONDE__SLOT_OUTPUT, (float *)(uintptr_t)dy));
    SONDE_TRY(sonde__kernel_bind(kernel, SONDE__SLOT_WEIGHT, weight));
    SONDE_TRY(sonde__kernel_bind(kernel, SONDE__SLOT_SCRATCH, weight + aligned(floats)));
    SONDE_TRY(sonde__kernel_run(kernel));
    *norm = sum_squares(weight, floats);
    return SONDE_OK;
}

static sonde_status norms_by_kernel(sonde__net *net, const sonde__command *command, double *norms)
{
    sonde__node_info *node = &net->nodes[command->layer - net->graph->layers];
    SONDE_TRY(make_kernels(net, node, &command->out));
    size_t scratch = sonde__kernel_scratch(node->example_kernels[0]) / sizeof(float) + 1;
    size_t each = aligned(node->example_floats) + aligned(scratch);
    SONDE_TRY(reserve(net, (size_t)net->threads * each));
    size_t in = sonde__form_stride(&command->in), out = sonde__form_stride(&command->out);
    sonde_status status = SONDE_OK;
#pragma omp parallel for schedule(static) if (command->in.batch > 1)
    for (ptrdiff_t n = 0; n < command->in.batch; n++) {
        int thread = omp_get_thread_num();
        sonde_status own = norm_by_kernel(node->example_kernels[thread], node->example_floats,
                                          net->example_memory + (size_t)thread * each,
                                          command->data[SONDE__X] + (size_t)n * in,
                                          command->data[SONDE__DY] + (size_t)n * out, &norms[n]);
        if (own != SONDE_OK) {
#pragma omp critical
            status = own;
        }
    }
    return status;
}

/* --- all ways --------------------------------------------------------------------------------- */

static double norm_without_kernel(const sonde__command *command, size_t n)
{
    const sonde__layer *layer = command->layer;
    const float *x = command->data[SONDE__X] + n * sonde__form_stride(&command->in);
    const float *dy = command->data[SONDE__DY] + n * sonde__form_stride(&command->out);
    if (layer->op == SONDE__OP_LINEAR)
        return sum_squares(x, sonde__form_stride(&command->in)) *
               sum_squares(dy, sonde__form_stride(&command->out));
    positions from = positions_of(&command->in, x, layer->conv.stride, layer->shape);
    positions to = positions_of(&command->out, dy, 1, layer->shape);
    return position_norm(&from, &to, sonde__form_pixels(&command->out));
}

/* Reads X and DY; `in` and `out` are their forms. */
sonde_status sonde__run_product_norms(sonde__net *net, const sonde__command *command)
{
    const sonde__layer *layer = command->layer;
    double *weight = sonde__layer_norms(net, layer, 0);
    double *bias = layer->parameter_count > 1 ? sonde__layer_norms(net, layer, 1) : NULL;
    bool kernel =
        layer->op != SONDE__OP_LINEAR && !positions_pay(layer, &command->in, &command->out);
    if (kernel)
        SONDE_TRY(norms_by_kernel(net, command, weight));
#pragma omp parallel for schedule(static) if (command->in.batch > 1)
    for (ptrdiff_t n = 0; n < command->in.batch; n++) {
        if (!kernel)
            weight[n] = norm_without_kernel(command, (size_t)n);
        if (bias)
            bias[n] = bias_norm(&command->out, command->data[SONDE__DY] +
                                                   (size_t)n * sonde__form_stride(&command->out));
    }
    return SONDE_OK;
}

sonde_status sonde__net_example_norms(sonde__net *net, const float *dlogits, double *norms)
{
    if (!net->can_backward || !net->current || net->current->mode != SONDE__STUDY_EVAL)
        return sonde__fail(net->context, SONDE_ERROR_STATE,
                           "norms of examples must follow a forward pass in STUDY_EVAL mode, where "
                           "examples do not depend on each other");
    size_t count = (size_t)net->graph->parameter_count * (size_t)net->current->batch;
    for (size_t i = 0; i < count; i++)
        norms[i] = 0;
    net->norms = norms;
    sonde_status status = sonde__net_run_backward(net, dlogits, SONDE__SERVES_NORMS);
    net->norms = NULL;
    return status;
}
