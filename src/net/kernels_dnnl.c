/*
 * Convolutions and linear layers by oneDNN 2 (the only file that includes its header).
 *
 * Facts this relies on, measured with 2.6: the blocked layout kept across layers is the fast one; a
 * stem of 1 to 4 channels must be read plain (with `any` it is padded to 16 and 10 times slower);
 * Winograd pays for 3 x 3 kernels from 32 channels on; arrays of dimensions have 12 entries. Scratch
 * memory is always the caller's.
 *
 * Invariant: a kernel owns its primitive and memory objects; the memory behind them is the caller's.
 */
#include "net/kernels_dnnl.h"

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

struct sonde__kernels {
    sonde_context *context;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes;      /* scratch memory from the caller */
    dnnl_primitive_attr_t attributes_relu; /* the same, ending with max(0, .) */
};

struct sonde__kernel {
    sonde__kernels *kernels;
    const char *name;
    dnnl_primitive_t primitive;
    int count;
    dnnl_exec_arg_t arguments[SONDE__SLOT_COUNT];
    sonde__slot slots[SONDE__SLOT_COUNT];
    size_t scratch;
};

struct sonde__packing {
    sonde_context *context;
    dnnl_memory_desc_t layout;
    size_t *offsets; /* by index, a dimension after the other */
};

/* Any of oneDNN's operation descriptors. */
typedef union descriptor_union {
    dnnl_convolution_desc_t convolution;
    dnnl_inner_product_desc_t linear;
} descriptor_union;

/* The memory layouts of one direction of a product. */
typedef struct layouts {
    dnnl_memory_desc_t input, weight, bias, output;
} layouts;

static sonde_status check(sonde__kernels *kernels, dnnl_status_t status, const char *name,
                          const char *what)
{
    if (status == dnnl_success)
        return SONDE_OK;
    if (status == dnnl_out_of_memory)
        return sonde__fail(kernels->context, SONDE_ERROR_MEMORY, "%s: no memory for %s", name,
                           what);
    if (status == dnnl_unimplemented)
        return sonde__fail(kernels->context, SONDE_ERROR_UNSUPPORTED,
                           "%s: oneDNN has no kernel for %s", name, what);
    return sonde__fail(kernels->context, SONDE_ERROR_INTERNAL, "%s: oneDNN status %d for %s", name,
                       (int)status, what);
}

/* --- the library's handle --------------------------------------------------------------------- */

static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attributes, bool relu)
{
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !relu)
        return status;
    dnnl_post_ops_t post = NULL;
    status = dnnl_post_ops_create(&post);
    if (status != dnnl_success)
        return status;
    status = dnnl_post_ops_append_eltwise(post, 1.0F, dnnl_eltwise_relu, 0.0F, 0.0F);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attributes, post);
    dnnl_post_ops_destroy(post);
    return status;
}

sonde_status sonde__kernels_create(sonde_context *context, sonde__kernels **kernels)
{
    sonde__kernels *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    dnnl_status_t status = dnnl_engine_create(&made->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&made->stream, made->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = make_attributes(&made->attributes, false);
    if (status == dnnl_success)
        status = make_attributes(&made->attributes_relu, true);
    sonde_status result = check(made, status, "engine", "the CPU engine");
    if (result != SONDE_OK) {
        sonde__kernels_free(made);
        return result;
    }
    *kernels = made;
    return SONDE_OK;
}

void sonde__kernels_free(sonde__kernels *kernels)
{
    if (!kernels)
        return;
    if (kernels->attributes)
        dnnl_primitive_attr_destroy(kernels->attributes);
    if (kernels->attributes_relu)
        dnnl_primitive_attr_destroy(kernels->attributes_relu);
    if (kernels->stream)
        dnnl_stream_destroy(kernels->stream);
    if (kernels->engine)
        dnnl_engine_destroy(kernels->engine);
    sonde__free(kernels->context, kernels);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static void describe_any(dnnl_memory_desc_t *layout, int count, const dnnl_dims_t dims)
{
    dnnl_memory_desc_init_by_tag(layout, count, dims, dnnl_f32, dnnl_format_tag_any);
}

static dnnl_format_tag_t image_tag(const sonde__form *form)
{
    switch (form->block) {
    case 1:
        return dnnl_nchw;
    case 8:
        return dnnl_nChw8c;
    case 16:
        return dnnl_nChw16c;
    default:
        return dnnl_nhwc;
    }
}

static dnnl_status_t describe_image(dnnl_memory_desc_t *layout, const sonde__form *form)
{
    dnnl_dims_t dims = {form->batch, form->shape.channels, form->shape.height, form->shape.width};
    return dnnl_memory_desc_init_by_tag(layout, 4, dims, dnnl_f32, image_tag(form));
}

static dnnl_status_t describe_features(dnnl_memory_desc_t *layout, const sonde__form *form)
{
    dnnl_dims_t dims = {form->batch, (dnnl_dim_t)sonde__features(form->shape)};
    return dnnl_memory_desc_init_by_tag(layout, 2, dims, dnnl_f32, dnnl_nc);
}

static void describe_bias(dnnl_memory_desc_t *layout, const sonde__product *product)
{
    dnnl_dims_t dims = {product->options.out};
    if (product->options.bias)
        dnnl_memory_desc_init_by_tag(layout, 1, dims, dnnl_f32, dnnl_x);
    else
        memset(layout, 0, sizeof *layout);
}

static void describe_conv_weight(dnnl_memory_desc_t *layout, const sonde__product *product)
{
    const sonde__conv_options *o = &product->options;
    dnnl_dim_t in = product->input.shape.channels;
    if (o->groups == 1) {
        dnnl_dims_t dims = {o->out, in, o->kernel_height, o->kernel_width};
        describe_any(layout, 4, dims);
    } else {
        dnnl_dims_t dims = {o->groups, o->out / o->groups, in / o->groups, o->kernel_height,
                            o->kernel_width};
        describe_any(layout, 5, dims);
    }
}

/* A linear layer reads images as they lie: its weight's columns follow the image's layout. */
static dnnl_status_t describe_linear(layouts *each, const sonde__product *product)
{
    const sonde__form *in = &product->input;
    dnnl_status_t status;
    if (sonde__form_plain(in)) {
        dnnl_dims_t dims = {product->options.out, (dnnl_dim_t)sonde__features(in->shape)};
        status = dnnl_memory_desc_init_by_tag(&each->weight, 2, dims, dnnl_f32, dnnl_ab);
        if (status == dnnl_success)
            status = describe_features(&each->input, in);
    } else {
        sonde__form rows = *in;
        rows.batch = product->options.out;
        status = describe_image(&each->weight, &rows);
        if (status == dnnl_success)
            status = describe_image(&each->input, in);
    }
    if (status == dnnl_success)
        status = describe_features(&each->output, &product->output);
    return status;
}

static dnnl_status_t describe(layouts *each, const sonde__product *product)
{
    describe_bias(&each->bias, product);
    if (product->linear)
        return describe_linear(each, product);
    describe_conv_weight(&each->weight, product);
    dnnl_status_t status = describe_image(&each->input, &product->input);
    if (status == dnnl_success)
        status = describe_image(&each->output, &product->output);
    return status;
}

/* Right and bottom padding that makes the last window end where the output's size says. */
static dnnl_dim_t end_padding(int in, int out, int kernel, const sonde__conv_options *o)
{
    int64_t reach = (int64_t)o->dilation * (kernel - 1) + 1;
    return (int64_t)(out - 1) * o->stride + reach - in - o->padding;
}

static dnnl_status_t init_conv(descriptor_union *operation, const sonde__product *product,
                               sonde__direction direction, dnnl_alg_kind_t algorithm,
                               const layouts *each)
{
    const sonde__conv_options *o = &product->options;
    const sonde__shape in = product->input.shape, out = product->output.shape;
    dnnl_dims_t strides = {o->stride, o->stride};
    dnnl_dims_t dilation = {o->dilation - 1, o->dilation - 1};
    dnnl_dims_t begin = {o->padding, o->padding};
    dnnl_dims_t end = {end_padding(in.height, out.height, o->kernel_height, o),
                       end_padding(in.width, out.width, o->kernel_width, o)};
    const dnnl_memory_desc_t *bias = o->bias ? &each->bias : NULL;
    switch (direction) {
    case SONDE__FORWARD:
        return dnnl_dilated_convolution_forward_desc_init(
            &operation->convolution,
            product->train ? dnnl_forward_training : dnnl_forward_inference, algorithm,
            &each->input, &each->weight, bias, &each->output, strides, dilation, begin, end);
    case SONDE__BACKWARD_INPUT:
        return dnnl_dilated_convolution_backward_data_desc_init(
            &operation->convolution, algorithm, &each->input, &each->weight, &each->output, strides,
            dilation, begin, end);
    default:
        return dnnl_dilated_convolution_backward_weights_desc_init(
            &operation->convolution, algorithm, &each->input, &each->weight, bias, &each->output,
            strides, dilation, begin, end);
    }
}

static dnnl_status_t init_linear(descriptor_union *operation, const sonde__product *product,
                                 sonde__direction direction, const layouts *each)
{
    const dnnl_memory_desc_t *bias = product->options.bias ? &each->bias : NULL;
    switch (direction) {
    case SONDE__FORWARD:
        return dnnl_inner_product_forward_desc_init(
            &operation->linear, product->train ? dnnl_forward_training : dnnl_forward_inference,
            &each->input, &each->weight, bias, &each->output);
    case SONDE__BACKWARD_INPUT:
        return dnnl_inner_product_backward_data_desc_init(&operation->linear, &each->input,
                                                          &each->weight, &each->output);
    default:
        return dnnl_inner_product_backward_weights_desc_init(&operation->linear, &each->input,
                                                             &each->weight, bias, &each->output);
    }
}

/* --- choice of kernels ------------------------------------------------------------------------ */

static dnnl_status_t make_descriptor(sonde__kernels *kernels, const sonde__product *product,
                                     sonde__direction direction, dnnl_alg_kind_t algorithm,
                                     const layouts *each, dnnl_primitive_desc_t *descriptor)
{
    descriptor_union wanted;
    dnnl_status_t status = product->linear
                               ? init_linear(&wanted, product, direction, each)
                               : init_conv(&wanted, product, direction, algorithm, each);
    if (status != dnnl_success)
        return status;
    descriptor_union hint;
    dnnl_primitive_desc_t forward = NULL;
    if (direction != SONDE__FORWARD) {
        layouts any = *each;
        status = product->linear ? init_linear(&hint, product, SONDE__FORWARD, &any)
                                 : init_conv(&hint, product, SONDE__FORWARD, algorithm, &any);
        if (status == dnnl_success)
            status = dnnl_primitive_desc_create(&forward, &hint, kernels->attributes,
                                                kernels->engine, NULL);
        if (status != dnnl_success)
            return status;
    }
    bool relu = product->relu && direction == SONDE__FORWARD;
    status = dnnl_primitive_desc_create(descriptor, &wanted,
                                        relu ? kernels->attributes_relu : kernels->attributes,
                                        kernels->engine, forward);
    if (forward)
        dnnl_primitive_desc_destroy(forward);
    return status;
}

static bool winograd_pays(const sonde__product *product)
{
    const sonde__conv_options *o = &product->options;
    return product->winograd && !product->linear && o->kernel_height == 3 && o->kernel_width == 3 &&
           o->stride == 1 && o->dilation == 1 && o->groups == 1 &&
           product->input.shape.channels >= 32 && o->out >= 32 && product->input.shape.height > 1;
}

static dnnl_status_t choose_descriptor(sonde__kernels *kernels, const sonde__product *product,
                                       sonde__direction direction, const layouts *each,
                                       dnnl_primitive_desc_t *descriptor)
{
    if (winograd_pays(product) &&
        make_descriptor(kernels, product, direction, dnnl_convolution_winograd, each, descriptor) ==
            dnnl_success)
        return dnnl_success;
    return make_descriptor(kernels, product, direction, dnnl_convolution_direct, each, descriptor);
}

/* 0: generated code, 1: by matrix product, 2: plain loops, 3: none. */
static int slowness(sonde__kernels *kernels, const sonde__product *product,
                    sonde__direction direction)
{
    layouts each;
    dnnl_primitive_desc_t descriptor = NULL;
    const char *name = "";
    if (describe(&each, product) != dnnl_success ||
        make_descriptor(kernels, product, direction, dnnl_convolution_direct, &each, &descriptor) !=
            dnnl_success)
        return 3;
    dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, (void *)&name);
    int result = strstr(name, "ref") ? 2 : strstr(name, "gemm:") && !strstr(name, "brg") ? 1 : 0;
    dnnl_primitive_desc_destroy(descriptor);
    return result;
}

static int slowest(sonde__kernels *kernels, const sonde__product *product)
{
    int worst = slowness(kernels, product, SONDE__FORWARD);
    int other = slowness(kernels, product, SONDE__BACKWARD_WEIGHT);
    if (other > worst)
        worst = other;
    other = slowness(kernels, product, SONDE__BACKWARD_INPUT);
    return other > worst ? other : worst;
}

sonde_status sonde__product_choose_blocks(sonde__kernels *kernels, sonde__product *product)
{
    int preferred = sonde__kernels_block(kernels);
    int in = product->input.shape.channels, out = product->options.out;
    bool stem = in <= 4 && product->options.groups == 1;
    if (stem) { /* read as it comes, whatever the backward kernel of its input would like */
        product->input.block = 1;
        product->output.block = preferred;
        return SONDE_OK;
    }
    const int candidates[3][2] = {{preferred, preferred}, {in, out}, {1, 1}};
    int best = 0, least = 4;
    for (int i = 0; i < 3; i++) {
        product->input.block = candidates[i][0];
        product->output.block = candidates[i][1];
        int worst = slowest(kernels, product);
        if (worst < least) {
            least = worst;
            best = i;
        }
        if (least == 0)
            break;
    }
    product->input.block = candidates[best][0];
    product->output.block = candidates[best][1];
    return SONDE_OK;
}

int sonde__kernels_block(sonde__kernels *kernels)
{
    descriptor_union wanted;
    dnnl_memory_desc_t image, weight;
    dnnl_dims_t dims = {8, 32, 16, 16}, weight_dims = {32, 32, 3, 3}, one = {1, 1}, none = {0, 0};
    dnnl_primitive_desc_t descriptor = NULL;
    int block = 1;
    describe_any(&image, 4, dims);
    describe_any(&weight, 4, weight_dims);
    if (dnnl_dilated_convolution_forward_desc_init(&wanted.convolution, dnnl_forward_training,
                                                   dnnl_convolution_direct, &image, &weight, NULL,
                                                   &image, one, none, one, one) != dnnl_success ||
        dnnl_primitive_desc_create(&descriptor, &wanted, kernels->attributes, kernels->engine,
                                   NULL) != dnnl_success)
        return 1;
    const dnnl_memory_desc_t *chosen =
        dnnl_primitive_desc_query_md(descriptor, dnnl_query_dst_md, 0);
    if (chosen && chosen->format_kind == dnnl_blocked &&
        chosen->format_desc.blocking.inner_nblks == 1)
        block = (int)chosen->format_desc.blocking.inner_blks[0];
    dnnl_primitive_desc_destroy(descriptor);
    return block == 8 || block == 16 ? block : 1;
}

void sonde__product_small(const sonde__small_product *product, const float *a, const float *b,
                          float *c)
{
    dnnl_sgemm(product->turn_a ? 'T' : 'N', product->turn_b ? 'T' : 'N', (dnnl_dim_t)product->rows,
               (dnnl_dim_t)product->columns, (dnnl_dim_t)product->inner, product->scale, a,
               (dnnl_dim_t)product->a_step, b, (dnnl_dim_t)product->b_step,
               product->more ? 1.0F : 0.0F, c, (dnnl_dim_t)product->c_step);
}

/* --- weights ---------------------------------------------------------------------------------- */

/* What an index of one dimension adds to where an element lies: its position is split by the inner
 * blocks, innermost last, and each dimension goes its own way through them. */
static size_t offset_part(const dnnl_memory_desc_t *layout, int dimension, dnnl_dim_t index)
{
    const dnnl_blocking_desc_t *blocking = &layout->format_desc.blocking;
    dnnl_dim_t offset = 0, stride = 1;
    for (int k = blocking->inner_nblks - 1; k >= 0; k--) {
        const dnnl_dim_t block = blocking->inner_blks[k];
        if (blocking->inner_idxs[k] == dimension) {
            offset += index % block * stride;
            index /= block;
        }
        stride *= block;
    }
    return (size_t)(offset + index * blocking->strides[dimension]);
}

static sonde_status tabulate_offsets(sonde__packing *packing)
{
    const dnnl_memory_desc_t *layout = &packing->layout;
    size_t total = 0;
    for (int d = 0; d < layout->ndims; d++)
        total += (size_t)layout->dims[d];
    packing->offsets = sonde__alloc(packing->context, total, sizeof *packing->offsets);
    if (!packing->offsets)
        return SONDE_ERROR_MEMORY;
    size_t *at = packing->offsets;
    for (int d = 0; d < layout->ndims; d++) {
        for (dnnl_dim_t i = 0; i < layout->dims[d]; i++)
            *at++ = offset_part(layout, d, i);
    }
    return SONDE_OK;
}

static sonde_status make_packing(sonde__kernels *kernels, const dnnl_memory_desc_t *layout,
                                 sonde__packing **packing)
{
    sonde__packing *made = sonde__alloc(kernels->context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = kernels->context;
    made->layout = *layout;
    const sonde_status status = tabulate_offsets(made);
    if (status != SONDE_OK) {
        sonde__packing_free(made);
        return status;
    }
    *packing = made;
    return SONDE_OK;
}

/* Row-major, for kernels whose own layout cannot be addressed element by element. */
static void describe_plain(dnnl_memory_desc_t *layout)
{
    dnnl_dims_t dims;
    int count = layout->ndims;
    memcpy(dims, layout->dims, sizeof dims);
    dnnl_memory_desc_init_by_tag(layout, count, dims, dnnl_f32,
                                 count == 5   ? dnnl_abcde
                                 : count == 4 ? dnnl_abcd
                                              : dnnl_ab);
}

sonde_status sonde__product_packing(sonde__kernels *kernels, const sonde__product *product,
                                    sonde__packing **packing)
{
    layouts each;
    dnnl_primitive_desc_t descriptor = NULL;
    SONDE_TRY(check(kernels, describe(&each, product), product->name, "its layouts"));
    SONDE_TRY(check(kernels,
                    make_descriptor(kernels, product, SONDE__FORWARD, dnnl_convolution_direct,
                                    &each, &descriptor),
                    product->name, "the forward pass"));
    dnnl_memory_desc_t chosen = *dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(descriptor);
    if (chosen.format_kind != dnnl_blocked)
        describe_plain(&chosen);
    return make_packing(kernels, &chosen, packing);
}

void sonde__packing_free(sonde__packing *packing)
{
    if (!packing)
        return;
    sonde__free(packing->context, packing->offsets);
    sonde__free(packing->context, packing);
}

size_t sonde__packing_floats(const sonde__packing *packing)
{
    return dnnl_memory_desc_get_size(&packing->layout) / sizeof(float);
}

typedef struct transfer {
    const float *from; /* the plain side moves on */
    float *to;
    bool pack;
} transfer;

/* Elements whose position has `fixed` as the offset of its dimensions before `d`, from `*plain` on. */
static void walk_dimension(const sonde__packing *packing, int d, const size_t *offsets,
                           size_t fixed, transfer *t)
{
    const dnnl_memory_desc_t *layout = &packing->layout;
    const size_t count = (size_t)layout->dims[d];
    if (d + 1 < layout->ndims) {
        for (size_t i = 0; i < count; i++)
            walk_dimension(packing, d + 1, offsets + count, fixed + offsets[i], t);
    } else if (t->pack) {
        for (size_t i = 0; i < count; i++)
            t->to[fixed + offsets[i]] = *t->from++;
    } else {
        for (size_t i = 0; i < count; i++)
            *t->to++ = t->from[fixed + offsets[i]];
    }
}

static void walk_packing(const sonde__packing *packing, const float *from, float *to, bool pack)
{
    transfer t = {from, to, pack};
    walk_dimension(packing, 0, packing->offsets, (size_t)packing->layout.offset0, &t);
}

void sonde__packing_pack(const sonde__packing *packing, const float *plain, float *packed)
{
    memset(packed, 0, dnnl_memory_desc_get_size(&packing->layout));
    walk_packing(packing, plain, packed, true);
}

void sonde__packing_unpack(const sonde__packing *packing, const float *packed, float *plain)
{
    walk_packing(packing, packed, plain, false);
}

/* --- kernels ---------------------------------------------------------------------------------- */

static dnnl_status_t add_argument(sonde__kernel *kernel, sonde__slot slot, int argument,
                                  const dnnl_memory_desc_t *layout)
{
    if (!layout || dnnl_memory_desc_get_size(layout) == 0)
        return dnnl_success;
    dnnl_exec_arg_t *added = &kernel->arguments[kernel->count];
    dnnl_status_t status =
        dnnl_memory_create(&added->memory, layout, kernel->kernels->engine, DNNL_MEMORY_NONE);
    if (status != dnnl_success)
        return status;
    added->arg = argument;
    kernel->slots[kernel->count++] = slot;
    return dnnl_success;
}

static dnnl_status_t add_arguments(sonde__kernel *kernel, const layouts *each,
                                   sonde__direction direction, const dnnl_memory_desc_t *scratch)
{
    static const int names[3][4] = {
        {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
        {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DIFF_DST},
        {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST}};
    const int *name = names[direction];
    const dnnl_memory_desc_t *bias = direction == SONDE__BACKWARD_INPUT ? NULL : &each->bias;
    dnnl_status_t status = add_argument(kernel, SONDE__SLOT_INPUT, name[0], &each->input);
    if (status == dnnl_success)
        status = add_argument(kernel, SONDE__SLOT_WEIGHT, name[1], &each->weight);
    if (status == dnnl_success)
        status = add_argument(kernel, SONDE__SLOT_BIAS, name[2], bias);
    if (status == dnnl_success)
        status = add_argument(kernel, SONDE__SLOT_OUTPUT, name[3], &each->output);
    if (status == dnnl_success)
        status = add_argument(kernel, SONDE__SLOT_SCRATCH, DNNL_ARG_SCRATCHPAD, scratch);
    return status;
}

static sonde__kernel *new_kernel(sonde__kernels *kernels, const char *name)
{
    sonde__kernel *made = sonde__alloc_zero(kernels->context, 1, sizeof *made);
    if (made) {
        made->kernels = kernels;
        made->name = name;
    }
    return made;
}

static const dnnl_memory_desc_t *scratch_layout(sonde__kernel *kernel,
                                                dnnl_primitive_desc_t descriptor)
{
    const dnnl_memory_desc_t *layout =
        dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    kernel->scratch = layout ? dnnl_memory_desc_get_size(layout) : 0;
    return layout;
}

void sonde__kernel_free(sonde__kernel *kernel)
{
    if (!kernel)
        return;
    for (int i = 0; i < kernel->count; i++)
        dnnl_memory_destroy(kernel->arguments[i].memory);
    if (kernel->primitive)
        dnnl_primitive_destroy(kernel->primitive);
    sonde__free(kernel->kernels->context, kernel);
}

static sonde_status make_repack(sonde__kernels *kernels, const char *name,
                                const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                                sonde__kernel **repack)
{
    sonde__kernel *made = new_kernel(kernels, name);
    if (!made)
        return SONDE_ERROR_MEMORY;
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &descriptor, from, kernels->engine, to, kernels->engine, kernels->attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&made->primitive, descriptor);
    if (status == dnnl_success)
        status = add_argument(made, SONDE__SLOT_INPUT, DNNL_ARG_FROM, from);
    if (status == dnnl_success)
        status = add_argument(made, SONDE__SLOT_OUTPUT, DNNL_ARG_TO, to);
    if (status == dnnl_success)
        status = add_argument(made, SONDE__SLOT_SCRATCH, DNNL_ARG_SCRATCHPAD,
                              scratch_layout(made, descriptor));
    if (descriptor)
        dnnl_primitive_desc_destroy(descriptor);
    if (status != dnnl_success) {
        sonde__kernel_free(made);
        return check(kernels, status, name, "a change of the weight's layout");
    }
    *repack = made;
    return SONDE_OK;
}

static const char *const direction_names[] = {"the forward pass", "the gradient of its input",
                                              "the gradient of its weight"};

static bool faster_elsewhere(const sonde__product *product, sonde__direction direction)
{
    return direction == SONDE__BACKWARD_INPUT && !product->linear;
}

/* With the weight as it lies if there is a good kernel, else with the layout that suits best. */
static dnnl_status_t descriptor_for(sonde__kernels *kernels, const sonde__product *product,
                                    sonde__direction direction, const sonde__packing *packing,
                                    layouts *each, dnnl_primitive_desc_t *descriptor)
{
    layouts own = *each;
    own.weight = packing->layout;
    if (!faster_elsewhere(product, direction)) {
        dnnl_status_t status = choose_descriptor(kernels, product, direction, &own, descriptor);
        if (status == dnnl_success) {
            *each = own;
            return status;
        }
    }
    dnnl_status_t status = choose_descriptor(kernels, product, direction, each, descriptor);
    if (status != dnnl_success)
        return status;
    dnnl_query_t which =
        direction == SONDE__BACKWARD_WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    each->weight = *dnnl_primitive_desc_query_md(*descriptor, which, 0);
    return status;
}

static sonde_status build_kernel(sonde__kernels *kernels, const sonde__product *product,
                                 sonde__direction direction, const layouts *each,
                                 dnnl_primitive_desc_t descriptor, sonde__kernel **kernel)
{
    sonde__kernel *made = new_kernel(kernels, product->name);
    if (!made)
        return SONDE_ERROR_MEMORY;
    dnnl_status_t status = dnnl_primitive_create(&made->primitive, descriptor);
    if (status == dnnl_success)
        status = add_arguments(made, each, direction, scratch_layout(made, descriptor));
    if (status != dnnl_success) {
        sonde__kernel_free(made);
        return check(kernels, status, product->name, direction_names[direction]);
    }
    *kernel = made;
    return SONDE_OK;
}

static sonde_status build_repack(sonde__kernels *kernels, const sonde__product *product,
                                 sonde__direction direction, const sonde__packing *packing,
                                 const dnnl_memory_desc_t *wanted, sonde__kernel **repack,
                                 size_t *repacked)
{
    if (dnnl_memory_desc_equal(&packing->layout, wanted))
        return SONDE_OK;
    *repacked = (dnnl_memory_desc_get_size(wanted) + sizeof(float) - 1) / sizeof(float);
    bool back = direction == SONDE__BACKWARD_WEIGHT;
    return make_repack(kernels, product->name, back ? wanted : &packing->layout,
                       back ? &packing->layout : wanted, repack);
}

sonde_status sonde__product_kernel(sonde__kernels *kernels, const sonde__product *product,
                                   sonde__direction direction, const sonde__packing *packing,
                                   sonde__kernel **kernel, sonde__kernel **repack, size_t *repacked)
{
    layouts each;
    dnnl_primitive_desc_t descriptor = NULL;
    sonde__kernel *made = NULL, *change = NULL;
    SONDE_TRY(check(kernels, describe(&each, product), product->name, "its layouts"));
    SONDE_TRY(check(kernels,
                    descriptor_for(kernels, product, direction, packing, &each, &descriptor),
                    product->name, direction_names[direction]));
    sonde_status status = build_kernel(kernels, product, direction, &each, descriptor, &made);
    dnnl_primitive_desc_destroy(descriptor);
    if (status == SONDE_OK)
        status =
            build_repack(kernels, product, direction, packing, &each.weight, &change, repacked);
    if (status != SONDE_OK) {
        sonde__kernel_free(made);
        return status;
    }
    *kernel = made;
    *repack = change;
    return SONDE_OK;
}

size_t sonde__kernel_scratch(const sonde__kernel *kernel)
{
    return kernel->scratch;
}

sonde_status sonde__kernel_bind(sonde__kernel *kernel, sonde__slot slot, void *memory)
{
    for (int i = 0; i < kernel->count; i++) {
        if (kernel->slots[i] == slot)
            return check(kernel->kernels,
                         dnnl_memory_set_data_handle(kernel->arguments[i].memory, memory),
                         kernel->name, "binding memory");
    }
    return SONDE_OK;
}

sonde_status sonde__kernel_run(const sonde__kernel *kernel)
{
    return check(kernel->kernels,
                 dnnl_primitive_execute(kernel->primitive, kernel->kernels->stream, kernel->count,
                                        kernel->arguments),
                 kernel->name, "running a kernel");
}
