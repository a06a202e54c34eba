/*
 * Which tensors of a model are which matrices.
 *
 * Two-dimensional tensors are matrices, but for biases and masks. Convolution kernels (out x in x k,
 * out x in x kh x kw, out x in x kd x kh x kw) are cut as the options say: a kernel position p is the
 * out x in matrix of the elements o * in * k + i * k + p. Kernels of transposed convolutions have in
 * and out exchanged, which leaves singular values of their slices as they are.
 *
 * Three dimensions may be either a stack of experts (E x out x in) or a one-dimensional convolution
 * (out x in x k). Files do not tell; the rule, in this order: a name that holds "exps", "expert" or
 * "moe" is a stack, one that holds "conv" is a convolution, a leading dimension of 1 is a matrix, two
 * last dimensions of at least 32 are a stack (kernels are shorter), all else is a convolution.
 *
 * Invariant: every item without `skipped` has rows and cols of at least options->least, and its
 * furthest element lies inside its tensor.
 */
#include "model/matrices.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "file/model_internal.h"
#include "model/lora.h"
#include "model/pattern.h"

enum { EXPERT_LEAST = 32 };

/* --- strings and names ------------------------------------------------------------------------- */

char *sonde__format_string(sonde_context *context, const char *format, ...)
{
    char small[1];
    va_list arguments;
    va_start(arguments, format);
    const int length = sonde__vformat(small, sizeof small, format, arguments);
    va_end(arguments);
    if (length < 0) {
        sonde__fail(context, SONDE_ERROR_INTERNAL, "a text could not be formatted");
        return NULL;
    }
    char *const made = sonde__alloc(context, (size_t)length + 1, 1);
    if (!made)
        return NULL;
    va_start(arguments, format);
    sonde__vformat(made, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return made;
}

static bool ends_in(const char *name, const char *ending)
{
    const size_t length = strlen(name), tail = strlen(ending);
    return length >= tail && strcmp(name + length - tail, ending) == 0;
}

static bool holds_any(const char *name, const char *const *words)
{
    for (; *words; words++)
        if (strstr(name, *words))
            return true;
    return false;
}

/* Dictionaries that optimizers keep per parameter, and the names of optimizers' own. */
static bool is_optimizer_state(const char *name)
{
    static const char *const WORDS[] = {"optimizer",       "optimiser",  "exp_avg",
                                        "momentum_buffer", "square_avg", "acc_delta",
                                        "grad_avg",        "opt_state",  NULL};
    return holds_any(name, WORDS);
}

static bool is_bias(const char *name)
{
    return ends_in(name, ".bias") || ends_in(name, "_bias") || strcmp(name, "bias") == 0 ||
           ends_in(name, ".masked_bias") || ends_in(name, ".attn_mask");
}

/*
 * Whether the name of the module that holds the tensor (the last part but "weight") says embedding:
 * "model.embed_tokens.weight", "wte.weight", "token_embd.weight", "shared.weight", "pos_embed".
 * "time_embedding.linear_1.weight" is not one, nor is GPT-NeoX's head "embed_out".
 */
static bool is_embedding(const char *name)
{
    static const char *const WORDS[] = {"embed", "embd", "relative_attention_bias", NULL};
    static const char *const WHOLE[] = {"wte", "wpe", "shared", NULL};
    char part[64];
    size_t end = strlen(name);
    if (ends_in(name, ".weight"))
        end -= strlen(".weight");
    size_t begin = end;
    while (begin > 0 && name[begin - 1] != '.')
        begin--;
    if (end - begin >= sizeof part)
        return false;
    memcpy(part, name + begin, end - begin);
    part[end - begin] = '\0';
    for (const char *const *each = WHOLE; *each; each++)
        if (strcmp(part, *each) == 0)
            return true;
    return holds_any(part, WORDS) && strcmp(part, "embed_out") != 0;
}

/* --- the list ---------------------------------------------------------------------------------- */

sonde_status sonde__matrices_add(sonde__matrices *matrices, const sonde_tensor *tensor,
                                 size_t index, const char *suffix, sonde__matrix **added)
{
    sonde_context *const context = matrices->context;
    if (matrices->count == matrices->capacity) {
        const size_t capacity = matrices->capacity ? 2 * matrices->capacity : 64;
        sonde__matrix *const items =
            sonde__resize(context, matrices->items, capacity, sizeof *items);
        if (!items)
            return sonde_context_error(context)->status;
        matrices->items = items;
        matrices->capacity = capacity;
    }
    sonde__matrix item = {.kind = SONDE_LAYER_DENSE,
                          .number = tensor->number,
                          .dims = tensor->dims,
                          .tensor = index,
                          .slices = 1};
    memcpy(item.dim, tensor->shape, sizeof item.dim);
    item.name = sonde__format_string(context, "%s%s", tensor->name, suffix);
    if (!item.name)
        return sonde_context_error(context)->status;
    matrices->items[matrices->count] = item;
    *added = &matrices->items[matrices->count++];
    return SONDE_OK;
}

sonde_status sonde__matrices_skip(sonde__matrices *matrices, sonde__matrix *item,
                                  const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    item->skipped = sonde__copy_string(matrices->context, text);
    return item->skipped ? SONDE_OK : sonde_context_error(matrices->context)->status;
}

void sonde__matrices_free(sonde__matrices *matrices)
{
    for (size_t i = 0; i < matrices->count; i++) {
        sonde__free(matrices->context, matrices->items[i].name);
        sonde__free(matrices->context, matrices->items[i].skipped);
        sonde__free(matrices->context, matrices->items[i].note);
    }
    sonde__free(matrices->context, matrices->items);
    matrices->items = NULL;
    matrices->count = matrices->capacity = 0;
}

/* --- shapes ------------------------------------------------------------------------------------ */

/* Elements of the dimensions from `from` on. Fits, since it divides the tensor's count. */
static uint64_t product_from(const sonde_tensor *tensor, int from)
{
    uint64_t product = 1;
    for (int d = from; d < tensor->dims; d++)
        product *= (uint64_t)tensor->shape[d];
    return product;
}

typedef struct shape {
    uint64_t rows, cols;
} shape;

static bool is_small(const sonde__matrices *matrices, shape of)
{
    return of.rows < matrices->options->least || of.cols < matrices->options->least;
}

/* One item for the whole tensor, whose matrices are all too small. `what`: " an expert" or "". */
static sonde_status add_small(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index,
                              shape of, const char *what)
{
    sonde__matrix *item = NULL;
    SONDE_TRY(sonde__matrices_add(matrices, tensor, index, "", &item));
    return sonde__matrices_skip(matrices, item, "%llu x %llu%s is too small: fewer than %zu %s",
                                (unsigned long long)of.rows, (unsigned long long)of.cols, what,
                                matrices->options->least,
                                of.rows < matrices->options->least ? "rows" : "columns");
}

static void set_dense(sonde__matrix *item, shape of, uint64_t first)
{
    item->rows = (size_t)of.rows;
    item->cols = (size_t)of.cols;
    item->first = first;
    item->row_step = of.cols;
    item->col_step = 1;
}

/* A matrix of the last two dimensions, all before being 1. */
static sonde_status add_dense(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index)
{
    const shape of = {(uint64_t)tensor->shape[tensor->dims - 2],
                      (uint64_t)tensor->shape[tensor->dims - 1]};
    sonde__matrix *item = NULL;
    if (is_small(matrices, of))
        return add_small(matrices, tensor, index, of, "");
    SONDE_TRY(sonde__matrices_add(matrices, tensor, index, "", &item));
    set_dense(item, of, 0);
    if (is_embedding(tensor->name))
        item->kind = SONDE_LAYER_EMBEDDING;
    return SONDE_OK;
}

static sonde_status add_experts(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index)
{
    const shape of = {(uint64_t)tensor->shape[1], (uint64_t)tensor->shape[2]};
    if (is_small(matrices, of))
        return add_small(matrices, tensor, index, of, " an expert");
    for (int64_t i = 0; i < tensor->shape[0]; i++) {
        char suffix[32];
        sonde__matrix *item = NULL;
        sonde__format(suffix, sizeof suffix, "[%lld]", (long long)i);
        SONDE_TRY(sonde__matrices_add(matrices, tensor, index, suffix, &item));
        item->kind = SONDE_LAYER_EXPERT;
        set_dense(item, of, (uint64_t)i * of.rows * of.cols);
    }
    return SONDE_OK;
}

/* "[i,j]" of position p in a kernel of the dimensions from 2 on. */
static void kernel_suffix(const sonde_tensor *tensor, uint64_t p, char *to, size_t room)
{
    size_t used = (size_t)sonde__format(to, room, "[");
    for (int d = 2; d < tensor->dims && used < room; d++) {
        const uint64_t inner = product_from(tensor, d + 1);
        used +=
            (size_t)sonde__format(to + used, room - used, "%llu%s", (unsigned long long)(p / inner),
                                  d + 1 < tensor->dims ? "," : "]");
        p %= inner;
    }
}

static sonde_status add_kernel(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index,
                               const char *suffix, sonde__matrix **item)
{
    const uint64_t positions = product_from(tensor, 2);
    SONDE_TRY(sonde__matrices_add(matrices, tensor, index, suffix, item));
    (*item)->kind = SONDE_LAYER_CONVOLUTION;
    (*item)->rows = (size_t)tensor->shape[0];
    (*item)->cols = (size_t)tensor->shape[1];
    (*item)->row_step = (uint64_t)tensor->shape[1] * positions;
    (*item)->col_step = positions;
    return SONDE_OK;
}

static sonde_status add_flat(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index)
{
    const shape of = {(uint64_t)tensor->shape[0], product_from(tensor, 1)};
    sonde__matrix *item = NULL;
    if (is_small(matrices, of))
        return add_small(matrices, tensor, index, of, "");
    SONDE_TRY(sonde__matrices_add(matrices, tensor, index, "", &item));
    item->kind = SONDE_LAYER_CONVOLUTION;
    set_dense(item, of, 0);
    return SONDE_OK;
}

static sonde_status add_convolution(sonde__matrices *matrices, const sonde_tensor *tensor,
                                    size_t index)
{
    const sonde_convolution_view view = matrices->options->convolution;
    const shape of = {(uint64_t)tensor->shape[0], (uint64_t)tensor->shape[1]};
    const uint64_t positions = product_from(tensor, 2);
    sonde__matrix *item = NULL;
    if (of.cols == 1) {
        SONDE_TRY(sonde__matrices_add(matrices, tensor, index, "", &item));
        item->kind = SONDE_LAYER_CONVOLUTION;
        return sonde__matrices_skip(matrices, item,
                                    "each filter reads one channel (a depthwise convolution, or "
                                    "grey images): there is no matrix over channels");
    }
    if (view == SONDE_CONVOLUTION_FLAT)
        return add_flat(matrices, tensor, index);
    if (is_small(matrices, of))
        return add_small(matrices, tensor, index, of, positions > 1 ? " a kernel position" : "");
    if (view == SONDE_CONVOLUTION_POOLED || positions == 1) {
        SONDE_TRY(add_kernel(matrices, tensor, index, "", &item));
        item->slices = (size_t)positions;
        return SONDE_OK;
    }
    for (uint64_t p = 0; p < positions; p++) {
        char suffix[96];
        kernel_suffix(tensor, p, suffix, sizeof suffix);
        SONDE_TRY(add_kernel(matrices, tensor, index, suffix, &item));
        item->first = p;
    }
    return SONDE_OK;
}

/* The rule for three dimensions; see the top of the file. */
static sonde_status add_three(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index)
{
    static const char *const STACKED[] = {"exps", "expert", "moe", NULL};
    static const char *const CONVOLUTION[] = {"conv", "Conv", NULL};
    if (holds_any(tensor->name, STACKED))
        return add_experts(matrices, tensor, index);
    if (holds_any(tensor->name, CONVOLUTION))
        return add_convolution(matrices, tensor, index);
    if (tensor->shape[0] == 1)
        return add_dense(matrices, tensor, index);
    if (tensor->shape[1] >= EXPERT_LEAST && tensor->shape[2] >= EXPERT_LEAST)
        return add_experts(matrices, tensor, index);
    return add_convolution(matrices, tensor, index);
}

/* --- what is left out -------------------------------------------------------------------------- */

static bool is_integer(sonde_number number)
{
    return number >= SONDE_NUMBER_I64 && number <= SONDE_NUMBER_BOOL;
}

/* Whether tensor `index` is multiplied by the one of this name when it is read. */
static bool scales(const sonde_model *model, size_t index, const char *name)
{
    sonde_tensor tensor;
    return sonde_model_tensor(model, index, &tensor) == SONDE_OK && tensor.scale &&
           strcmp(tensor.scale, name) == 0;
}

static bool is_scale(const sonde__matrices *matrices, const sonde_tensor *tensor, size_t index)
{
    static const char *const WORDS[] = {"scale", NULL};
    if (tensor->number == SONDE_NUMBER_F8_E8M0)
        return true;
    if (!holds_any(tensor->name, WORDS))
        return false;
    const size_t count = sonde_model_count(matrices->model);
    for (size_t away = 1; away < count; away++) /* it most often stands next to it */
        if ((away <= index && scales(matrices->model, index - away, tensor->name)) ||
            (away < count - index && scales(matrices->model, index + away, tensor->name)))
            return true;
    return false;
}

/* A sentence, or NULL where the tensor may hold a matrix. */
static const char *plain_reason(const sonde__matrices *matrices, const sonde_tensor *tensor,
                                size_t index)
{
    if (!matrices->options->layers && is_optimizer_state(tensor->name))
        return "optimizer state";
    if (tensor->elements == 0)
        return "empty";
    if (tensor->dims == 0)
        return "a single number";
    if (tensor->dims == 1)
        return "a vector, not a matrix";
    if (is_bias(tensor->name))
        return "a bias or a mask, not weights";
    if (is_scale(matrices, tensor, index))
        return "scales of another tensor";
    return NULL;
}

static sonde_status add_skipped(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index,
                                bool *skipped)
{
    const char *const reason = plain_reason(matrices, tensor, index);
    const bool integer = is_integer(tensor->number);
    sonde__matrix *item = NULL;
    *skipped = tensor->tied_to || reason || !tensor->readable || integer || tensor->dims > 5;
    if (!*skipped)
        return SONDE_OK;
    SONDE_TRY(sonde__matrices_add(matrices, tensor, index, "", &item));
    if (tensor->tied_to)
        return sonde__matrices_skip(matrices, item, "the same numbers as %s", tensor->tied_to);
    if (reason)
        return sonde__matrices_skip(matrices, item, "%s", reason);
    if (integer)
        return sonde__matrices_skip(matrices, item, "integers (%s), not weights",
                                    sonde_number_name(tensor->number));
    if (!tensor->readable && sonde__number_find(tensor->number)->reads)
        return sonde__matrices_skip(matrices, item,
                                    "its scale is not understood, and unscaled numbers are wrong");
    if (!tensor->readable)
        return sonde__matrices_skip(matrices, item, "numbers of format %s are not read",
                                    sonde_number_name(tensor->number));
    return sonde__matrices_skip(matrices, item, "%d dimensions: not a known kind of layer",
                                tensor->dims);
}

static sonde_status add_tensor(sonde__matrices *matrices, size_t index)
{
    sonde_tensor tensor;
    bool taken;
    SONDE_TRY(sonde_model_tensor(matrices->model, index, &tensor));
    SONDE_TRY(sonde__lora_add(matrices, &tensor, index, &taken));
    if (taken || !sonde__pattern_matches(matrices->options->layers, tensor.name))
        return SONDE_OK;
    SONDE_TRY(add_skipped(matrices, &tensor, index, &taken));
    if (taken)
        return SONDE_OK;
    if (tensor.dims == 2)
        return add_dense(matrices, &tensor, index);
    if (tensor.dims == 3)
        return add_three(matrices, &tensor, index);
    return add_convolution(matrices, &tensor, index);
}

sonde_status sonde__matrices_find(sonde_context *context, sonde_model *model,
                                  const sonde_survey_options *options, sonde__matrices *matrices)
{
    sonde__matrices made = {.context = context, .model = model, .options = options};
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < sonde_model_count(model) && status == SONDE_OK; i++)
        status = add_tensor(&made, i);
    if (status != SONDE_OK) {
        sonde__matrices_free(&made);
        return status;
    }
    *matrices = made;
    return SONDE_OK;
}
