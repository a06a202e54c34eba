/*
 * Low-rank adapters: which tensors form one, what their product is scaled by, and the layer of a base
 * model that it belongs to. Names alone decide; see lora.h for whose they are.
 *
 * Invariant: of every pair both factors are readable and fit together, or the layer says why not.
 */
#include "model/lora.h"

#include <string.h>

#include "model/pattern.h"

/* --- names ------------------------------------------------------------------------------------- */

typedef struct marker {
    const char *down, *up;
    bool transposed;
} marker;

static const marker MARKERS[] = {
    {"lora_embedding_A", "lora_embedding_B", true},
    {"lora_A", "lora_B", false},
    {"lora_down", "lora_up", false},
    {"lora.down", "lora.up", false},
};

typedef struct role {
    const marker *words;
    bool is_down;
    size_t at; /* where the word begins in the name */
} role;

static const char *last_of(const char *name, const char *word)
{
    const char *last = NULL;
    for (const char *next = strstr(name, word); next; next = strstr(next + 1, word))
        last = next;
    return last;
}

/* The word must be a part of its own: begin the name or follow '.' or '_', and end at '.' or the
 * end. */
static bool find_word(const char *name, const char *word, size_t *at)
{
    const char *const found = last_of(name, word);
    if (!found || (found > name && found[-1] != '.' && found[-1] != '_'))
        return false;
    const char behind = found[strlen(word)];
    *at = (size_t)(found - name);
    return behind == '.' || behind == '\0';
}

static bool find_role(const char *name, role *found)
{
    for (size_t i = 0; i < sizeof MARKERS / sizeof *MARKERS; i++) {
        found->words = &MARKERS[i];
        found->is_down = true;
        if (find_word(name, MARKERS[i].down, &found->at))
            return true;
        found->is_down = false;
        if (find_word(name, MARKERS[i].up, &found->at))
            return true;
    }
    return false;
}

/* The layer's name: what stands before the word, without the point or underscore between. */
static char *layer_name(sonde_context *context, const char *name, const role *of)
{
    const size_t length = of->at > 0 ? of->at - 1 : 0;
    return sonde__format_string(context, "%.*s", (int)length, name);
}

/* --- the pair ---------------------------------------------------------------------------------- */

/* The index of the tensor of this name, or the count of tensors; frees the name. */
static sonde_status find_named(const sonde__matrices *matrices, char *name, size_t *index)
{
    if (!name)
        return sonde_context_error(matrices->context)->status;
    if (sonde_model_find(matrices->model, name, index) != SONDE_OK)
        *index = sonde_model_count(matrices->model);
    sonde__free(matrices->context, name);
    return SONDE_OK;
}

static sonde_status find_partner(const sonde__matrices *matrices, const char *name, const role *of,
                                 size_t *partner)
{
    const char *const here = of->is_down ? of->words->down : of->words->up;
    const char *const there = of->is_down ? of->words->up : of->words->down;
    return find_named(matrices,
                      sonde__format_string(matrices->context, "%.*s%s%s", (int)of->at, name, there,
                                           name + of->at + strlen(here)),
                      partner);
}

static uint64_t elements_behind_first(const sonde_tensor *tensor)
{
    return tensor->shape[0] > 0 ? tensor->elements / (uint64_t)tensor->shape[0] : 0;
}

static bool is_factor(const sonde_tensor *tensor)
{
    return tensor->readable && tensor->dims >= 2 && tensor->elements > 0 &&
           !(tensor->number >= SONDE_NUMBER_I64 && tensor->number <= SONDE_NUMBER_BOOL);
}

/* What is wrong with the two factors (convolutions: down rank x in x kh x kw, up out x rank x 1 x 1),
 * as a sentence, or NULL. */
static const char *factor_problem(const sonde_tensor *down, const sonde_tensor *up)
{
    if (!is_factor(down) || !is_factor(up))
        return "a factor of the adapter is no matrix of numbers that can be read";
    if (elements_behind_first(up) != (uint64_t)down->shape[0])
        return "the two factors of the adapter do not fit together";
    return NULL;
}

/* alpha / rank where the file has the layer's alpha, else 1, unless the options tell. */
static sonde_status set_scale(const sonde__matrices *matrices, const char *layer,
                              sonde__matrix *item)
{
    const double rank = (double)item->lora.rank, asked = matrices->options->adapter_scale;
    sonde_context *const context = matrices->context;
    sonde_tensor tensor;
    size_t index;
    double alpha = 0;
    SONDE_TRY(find_named(matrices, sonde__format_string(context, "%s.alpha", layer), &index));
    const bool known = index < sonde_model_count(matrices->model) &&
                       sonde_model_tensor(matrices->model, index, &tensor) == SONDE_OK &&
                       tensor.elements == 1 && tensor.readable;
    if (known)
        SONDE_TRY(sonde_model_read(matrices->model, index, 0, 1, SONDE_F64, &alpha));
    item->lora.scale = asked != 0 ? asked : known ? alpha / rank : 1;
    if (asked != 0)
        item->note = sonde__format_string(context, "rank %.0f, scale %g as asked", rank, asked);
    else if (known)
        item->note = sonde__format_string(context, "rank %.0f, scale %g (alpha %g)", rank,
                                          item->lora.scale, alpha);
    else
        item->note = sonde__format_string(
            context, "rank %.0f, scale 1: the file does not tell alpha (peft keeps it beside)",
            rank);
    return item->note ? SONDE_OK : sonde_context_error(context)->status;
}

/* --- the base ---------------------------------------------------------------------------------- */

static const char *without_prefix(const char *name, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (strncmp(name, *prefixes, strlen(*prefixes)) == 0)
            return name + strlen(*prefixes);
    return name;
}

/* Equal but for points, which kohya writes as underscores, and a final ".weight" of `name`. */
static bool same_but_points(const char *name, const char *layer)
{
    for (; *name && *layer; name++, layer++)
        if (*name != *layer && !(*name == '.' && *layer == '_'))
            return false;
    return *layer == '\0' && (*name == '\0' || strcmp(name, ".weight") == 0);
}

static bool find_base(const sonde_model *base, const char *layer, size_t *index)
{
    static const char *const PEFT[] = {"base_model.model.", NULL};
    static const char *const KOHYA[] = {"lora_unet_", "lora_te1_", "lora_te2_", "lora_te_", NULL};
    static const char *const FIRST[] = {"model.", "transformer.", NULL};
    const char *const name = without_prefix(without_prefix(layer, PEFT), KOHYA);
    const char *const shorter = without_prefix(name, FIRST);
    sonde_tensor tensor;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < sonde_model_count(base); i++) {
            if (sonde_model_tensor(base, i, &tensor) != SONDE_OK)
                continue;
            *index = i;
            if (same_but_points(tensor.name, name))
                return true;
            if (pass == 1 && same_but_points(without_prefix(tensor.name, FIRST), shorter))
                return true;
        }
    return false;
}

static sonde_status set_base(sonde__matrices *matrices, const char *layer, sonde__matrix *item)
{
    sonde_model *const base = matrices->options->base;
    sonde_tensor tensor;
    size_t index;
    if (!find_base(base, layer, &index))
        return sonde__matrices_skip(matrices, item, "the base model has no tensor for it");
    SONDE_TRY(sonde_model_tensor(base, index, &tensor));
    if (!is_factor(&tensor) || (uint64_t)tensor.shape[0] != item->rows ||
        elements_behind_first(&tensor) != item->cols)
        return sonde__matrices_skip(matrices, item, "%s of the base model is not %zu x %zu numbers",
                                    tensor.name, item->rows, item->cols);
    item->lora.has_base = true;
    item->lora.base = index;
    item->number = tensor.number;
    item->dims = tensor.dims;
    memcpy(item->dim, tensor.shape, sizeof item->dim);
    return SONDE_OK;
}

/* --- the plan ---------------------------------------------------------------------------------- */

static sonde_status plan_pair(sonde__matrices *matrices, sonde__matrix *item, const char *layer,
                              const sonde__lora *pair)
{
    sonde_tensor down, up;
    SONDE_TRY(sonde_model_tensor(matrices->model, pair->down, &down));
    SONDE_TRY(sonde_model_tensor(matrices->model, pair->up, &up));
    const char *const problem = factor_problem(&down, &up);
    if (problem)
        return sonde__matrices_skip(matrices, item, "%s", problem);
    item->lora = *pair;
    item->lora.rank = (size_t)down.shape[0];
    const size_t out = (size_t)up.shape[0], in = (size_t)elements_behind_first(&down);
    item->rows = pair->transposed ? in : out;
    item->cols = pair->transposed ? out : in;
    item->dims = 2;
    item->dim[0] = (int64_t)item->rows;
    item->dim[1] = (int64_t)item->cols;
    SONDE_TRY(set_scale(matrices, layer, item));
    return matrices->options->base ? set_base(matrices, layer, item) : SONDE_OK;
}

static sonde_status add_pair(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index,
                             const role *of, size_t partner)
{
    char *const layer = layer_name(matrices->context, tensor->name, of);
    sonde__matrix *item = NULL;
    if (!layer)
        return sonde_context_error(matrices->context)->status;
    sonde_status status = SONDE_OK;
    if (!sonde__pattern_matches(matrices->options->layers, tensor->name) &&
        !sonde__pattern_matches(matrices->options->layers, layer))
        goto cleanup;
    SONDE_TRY_CLEAN(sonde__matrices_add(matrices, tensor, index, "", &item));
    item->kind = SONDE_LAYER_LORA;
    if (partner >= sonde_model_count(matrices->model)) {
        status = sonde__matrices_skip(matrices, item, "the other factor of the adapter is missing");
        goto cleanup;
    }
    const sonde__lora pair = {.down = of->is_down ? index : partner,
                              .up = of->is_down ? partner : index,
                              .scale = 1,
                              .transposed = of->words->transposed};
    SONDE_TRY_CLEAN(plan_pair(matrices, item, layer, &pair));
    memcpy(item->name, layer, strlen(layer) + 1); /* shorter than the tensor's */
cleanup:
    sonde__free(matrices->context, layer);
    return status;
}

/* Whether the tensor is the scalar alpha of a pair. */
static sonde_status is_alpha(const sonde__matrices *matrices, const sonde_tensor *tensor, bool *is)
{
    static const char ENDING[] = ".alpha";
    const size_t length = strlen(tensor->name), tail = sizeof ENDING - 1;
    size_t found;
    *is = false;
    if (tensor->elements != 1 || length <= tail ||
        strcmp(tensor->name + length - tail, ENDING) != 0)
        return SONDE_OK;
    SONDE_TRY(find_named(matrices,
                         sonde__format_string(matrices->context, "%.*s.lora_down.weight",
                                              (int)(length - tail), tensor->name),
                         &found));
    *is = found < sonde_model_count(matrices->model);
    return SONDE_OK;
}

sonde_status sonde__lora_add(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index,
                             bool *taken)
{
    role of;
    size_t partner;
    *taken = find_role(tensor->name, &of);
    if (!*taken)
        return is_alpha(matrices, tensor, taken);
    SONDE_TRY(find_partner(matrices, tensor->name, &of, &partner));
    if (partner < index)
        return SONDE_OK; /* said there */
    return add_pair(matrices, tensor, index, &of, partner);
}
