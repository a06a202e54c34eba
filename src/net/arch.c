/*
 * Named architectures: the table, and the reading of "name:option=value,option=value".
 *
 * To add one: a function that adds operators to a graph (arch_plain.c, arch_resnet.c), declared in
 * arch_table.h, and a line in `table`.
 */
#include "net/arch.h"

#include <string.h>

#include "base/text.h"
#include "net/arch_table.h"

enum {
    KEY_DROPOUT = 1,
    KEY_WIDTHS = 2,
    KEY_SHORTCUT = 4,
    KEY_CELL = 8, /* also `cells`, `channels` and `norm` */
    KEY_BLOCKS = 16,
    KEY_BODY = 32, /* `depth` and `width` */
    KEY_HEADS = 64,
    KEY_PATCH = 128,
    KEY_FACTOR = 256,
    KEY_DENSE = 512, /* `depth`, `growth` and `form` */
    WIDTH_MAX = 1 << 20,
    CELLS_MAX = 1 << 10,
    CHANNELS_MAX = 1 << 12,
    DEPTH_MAX = 1 << 10
};

typedef struct entry {
    sonde__arch_info info;
    sonde__arch_fn build;
    unsigned keys;
    int least; /* smallest height and width that it makes sense for; 0: it reads sequences of ids */
    sonde__arch_request defaults;
} entry;

#define DROPOUT_TEXT "dropout=0 (rate before the last layer)"
#define HIDDEN_TEXT "dropout=0 (rate behind hidden linear layers)"
#define SHORTCUT_TEXT "option=A (shortcuts: A zero padding, B 1x1 convolution), " DROPOUT_TEXT
#define SMALL_TEXT "residual network for small images, 16-32-64 channels"
#define WIDE_TEXT "residual network behind a 3x3 stem, 64-128-256-512 channels"
#define VGG_TEXT "plain 3x3 convolutions, 64 to 512 channels, with batch norm"
#define CELL_TEXT \
    "CELL (a string as |nor_conv_3x3~0|+|...|+|...| or its index 0-15624; else all 3x3), " \
    "cells=5 (a stage), channels=16, norm=plain (as scored by zero-cost-nas; affine: as " \
    "trained), "
#define SMALL sonde__arch_resnet_cifar, KEY_DROPOUT | KEY_SHORTCUT, 8
#define WIDE sonde__arch_resnet, KEY_DROPOUT, 8
#define VGG sonde__arch_vgg, KEY_DROPOUT, 32

static const entry table[] = {
    {{"mlp", "multilayer perceptron with ReLU",
      "widths=512x512 (of hidden layers), dropout=0 (rate behind hidden layers)"},
     sonde__arch_mlp,
     KEY_WIDTHS | KEY_DROPOUT,
     1,
     {.widths = {512, 512}, .width_count = 2}},
    {{"nn1", "the perceptron 1024-512-384-192 of the spectral criterion", HIDDEN_TEXT},
     sonde__arch_mlp,
     KEY_DROPOUT,
     1,
     {.widths = {1024, 512, 384, 192}, .width_count = 4}},
    {{"nn2", "the perceptron 2048-1024-512 of the spectral criterion", HIDDEN_TEXT},
     sonde__arch_mlp,
     KEY_DROPOUT,
     1,
     {.widths = {2048, 1024, 512}, .width_count = 3}},
    {{"lenet", "two 5x5 convolutions and 2450-500, of the spectral criterion", HIDDEN_TEXT},
     sonde__arch_lenet,
     KEY_DROPOUT,
     16,
     {0}},
    {{"mini-alexnet", "5x5 convolutions of 96 and 256 maps and 384-192", HIDDEN_TEXT},
     sonde__arch_mini_alexnet,
     KEY_DROPOUT,
     16,
     {0}},
    {{"cnn", "a good small network: 3x3 convolutions 16-64-128 with batch norm, and 128",
      HIDDEN_TEXT},
     sonde__arch_cnn,
     KEY_DROPOUT,
     8,
     {0}},
    {{"vgg11", VGG_TEXT, DROPOUT_TEXT}, VGG, {.depth = 11}},
    {{"vgg16", VGG_TEXT, DROPOUT_TEXT}, VGG, {.depth = 16}},
    {{"resnet8", SMALL_TEXT, SHORTCUT_TEXT}, SMALL, {.shortcut = 'A', .depth = 8}},
    {{"resnet20", SMALL_TEXT, SHORTCUT_TEXT}, SMALL, {.shortcut = 'A', .depth = 20}},
    {{"resnet32", SMALL_TEXT, SHORTCUT_TEXT}, SMALL, {.shortcut = 'A', .depth = 32}},
    {{"resnet44", SMALL_TEXT, SHORTCUT_TEXT}, SMALL, {.shortcut = 'A', .depth = 44}},
    {{"resnet56", SMALL_TEXT, SHORTCUT_TEXT}, SMALL, {.shortcut = 'A', .depth = 56}},
    {{"resnet18", WIDE_TEXT, DROPOUT_TEXT}, WIDE, {.shortcut = 'B', .depth = 18}},
    {{"resnet34", WIDE_TEXT, DROPOUT_TEXT}, WIDE, {.shortcut = 'B', .depth = 34}},
    {{"s1", "DisWOT's residual networks with three stages of 1, 3, 5 or 7 blocks",
      "BLOCKS (as 333, the default), " DROPOUT_TEXT},
     sonde__arch_s1,
     KEY_BLOCKS | KEY_DROPOUT,
     8,
     {.blocks = {3, 3, 3}}},
    {{"nb201", "the 15,625 cells of NAS-Bench-201", CELL_TEXT DROPOUT_TEXT},
     sonde__arch_nb201,
     KEY_CELL | KEY_DROPOUT,
     8,
     {.cell = {{SONDE__NB201_CONV_3X3, SONDE__NB201_CONV_3X3, SONDE__NB201_CONV_3X3,
                SONDE__NB201_CONV_3X3, SONDE__NB201_CONV_3X3, SONDE__NB201_CONV_3X3}},
      .cells = 5,
      .channels = 16,
      .multiple = 4}},
    {{"mobilenetv2", "inverted residuals with depthwise convolutions, in the form for small images",
      "width=1 (factor of all widths), " DROPOUT_TEXT},
     sonde__arch_mobilenet,
     KEY_FACTOR | KEY_DROPOUT,
     16,
     {.factor = 1}},
    {{"densenet", "three blocks in which every layer sees all before it",
      "depth=40, growth=12, form=plain (bc: with bottleneck and compression), " DROPOUT_TEXT},
     sonde__arch_densenet,
     KEY_DENSE | KEY_DROPOUT,
     8,
     {.depth = 40, .growth = 12}},
    {{"vit-tiny", "vision transformer on patches, mean of the tokens",
      "depth=12, width=192, heads=3, patch=4, " DROPOUT_TEXT},
     sonde__arch_vit,
     KEY_BODY | KEY_HEADS | KEY_PATCH | KEY_DROPOUT,
     1,
     {.depth = 12, .width = 192, .heads = 3, .patch = 4}},
    {{"mlp-mixer", "perceptrons over patches and over channels in turn",
      "depth=8, width=128, patch=4, " DROPOUT_TEXT},
     sonde__arch_mixer,
     KEY_BODY | KEY_PATCH | KEY_DROPOUT,
     1,
     {.depth = 8, .width = 128, .patch = 4}},
    {{"gpt-tiny", "causal transformer that predicts the next character of a text",
      "depth=4, width=128, heads=4, dropout=0 (rate behind embedding, attention and perceptron)"},
     sonde__arch_gpt,
     KEY_BODY | KEY_HEADS | KEY_DROPOUT,
     0,
     {.depth = 4, .width = 128, .heads = 4}},
};

enum { TABLE_SIZE = sizeof table / sizeof *table };

const sonde__arch_info *sonde__arch(int index)
{
    return index >= 0 && index < TABLE_SIZE ? &table[index].info : NULL;
}

enum { COMPARED_MAX = 24 };

/* Levenshtein distance; of long strings only the beginnings are compared. */
static size_t edit_distance(const char *a, size_t a_length, const char *b)
{
    size_t const m = a_length < COMPARED_MAX ? a_length : COMPARED_MAX;
    size_t n = strlen(b), row[COMPARED_MAX + 1];
    n = n < COMPARED_MAX ? n : COMPARED_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

static sonde_status fail_unknown(sonde_context *context, const char *name, size_t length)
{
    int nearest = 0;
    sonde__text names;
    sonde__text_init(&names, context);
    for (int i = 0; i < TABLE_SIZE; i++) {
        sonde__text_format(&names, "%s%s", i > 0 ? ", " : "", table[i].info.name);
        if (edit_distance(name, length, table[i].info.name) <
            edit_distance(name, length, table[nearest].info.name))
            nearest = i;
    }
    sonde_status status = sonde__text_status(&names);
    if (status == SONDE_OK)
        status = sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, NULL, "model", -1,
                                "there is no model '%.*s'; the nearest is '%s' (all: %s)",
                                length < 64 ? (int)length : 64, name, table[nearest].info.name,
                                names.bytes);
    sonde__text_free(&names);
    return status;
}

static const entry *find_entry(const char *name, size_t length)
{
    for (int i = 0; i < TABLE_SIZE; i++)
        if (strlen(table[i].info.name) == length && memcmp(table[i].info.name, name, length) == 0)
            return &table[i];
    return NULL;
}

/* "512x512"; at least one width. */
static sonde_status read_widths(sonde_context *context, const char *value,
                                sonde__arch_request *request)
{
    request->width_count = 0;
    for (const char *at = value;;) {
        int64_t width = 0;
        size_t digits = 0;
        for (; at[digits] >= '0' && at[digits] <= '9' && width <= WIDTH_MAX; digits++)
            width = 10 * width + (at[digits] - '0');
        at += digits;
        if (digits == 0 || (*at != 'x' && *at != '\0') || width < 1 || width > WIDTH_MAX)
            return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "widths", -1,
                                  "widths=%s is not like 512x256, each from 1 to %d", value,
                                  WIDTH_MAX);
        if (request->width_count == SONDE__WIDTHS_MAX)
            return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "widths", -1,
                                  "widths=%s names more than %d layers", value, SONDE__WIDTHS_MAX);
        request->widths[request->width_count++] = (int)width;
        if (*at++ == '\0')
            return SONDE_OK;
    }
}

static sonde_status read_dropout(sonde_context *context, const char *value,
                                 sonde__arch_request *request)
{
    if (!sonde__parse_double(value, &request->dropout) ||
        !(request->dropout >= 0 && request->dropout < 1))
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "dropout", -1,
                              "dropout=%s is not a rate in [0, 1)", value);
    return SONDE_OK;
}

static sonde_status read_shortcut(sonde_context *context, const char *value,
                                  sonde__arch_request *request)
{
    if (strcmp(value, "A") != 0 && strcmp(value, "B") != 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "option", -1,
                              "option=%s is neither A nor B", value);
    request->shortcut = value[0];
    return SONDE_OK;
}

static sonde_status read_blocks(sonde_context *context, const char *value,
                                sonde__arch_request *request)
{
    if (strlen(value) != 3 || strspn(value, "1357") != 3)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "s1", -1,
                              "'%.40s' is no network of S1: three digits, each 1, 3, 5 or 7, as in "
                              "s1:713",
                              value);
    for (int i = 0; i < 3; i++)
        request->blocks[i] = value[i] - '0';
    return SONDE_OK;
}

static sonde_status read_cell(sonde_context *context, const char *value,
                              sonde__arch_request *request)
{
    return sonde__nb201_read(context, value, &request->cell);
}

/* A whole number from 1 to `most`. */
static sonde_status read_count(sonde_context *context, const char *key, const char *value, int most,
                               int *count)
{
    int64_t number = 0;
    if (!sonde__parse_int64(value, &number) || number < 1 || number > most)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, key, -1,
                              "%s=%.40s is not a whole number from 1 to %d", key, value, most);
    *count = (int)number;
    return SONDE_OK;
}

static sonde_status read_cells(sonde_context *context, const char *value,
                               sonde__arch_request *request)
{
    return read_count(context, "cells", value, CELLS_MAX, &request->cells);
}

static sonde_status read_channels(sonde_context *context, const char *value,
                                  sonde__arch_request *request)
{
    return read_count(context, "channels", value, CHANNELS_MAX, &request->channels);
}

static sonde_status read_norm(sonde_context *context, const char *value,
                              sonde__arch_request *request)
{
    if (strcmp(value, "plain") != 0 && strcmp(value, "affine") != 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "norm", -1,
                              "norm=%.40s is neither plain nor affine", value);
    request->affine = value[0] == 'a';
    return SONDE_OK;
}

static sonde_status read_depth(sonde_context *context, const char *value,
                               sonde__arch_request *request)
{
    return read_count(context, "depth", value, DEPTH_MAX, &request->depth);
}

static sonde_status read_width(sonde_context *context, const char *value,
                               sonde__arch_request *request)
{
    return read_count(context, "width", value, CHANNELS_MAX, &request->width);
}

static sonde_status read_heads(sonde_context *context, const char *value,
                               sonde__arch_request *request)
{
    return read_count(context, "heads", value, CHANNELS_MAX, &request->heads);
}

static sonde_status read_patch(sonde_context *context, const char *value,
                               sonde__arch_request *request)
{
    return read_count(context, "patch", value, CHANNELS_MAX, &request->patch);
}

static sonde_status read_growth(sonde_context *context, const char *value,
                                sonde__arch_request *request)
{
    return read_count(context, "growth", value, CHANNELS_MAX, &request->growth);
}

static sonde_status read_factor(sonde_context *context, const char *value,
                                sonde__arch_request *request)
{
    if (!sonde__parse_double(value, &request->factor) ||
        !(request->factor >= 0.1 && request->factor <= 10))
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "width", -1,
                              "width=%.40s is not a factor from 0.1 to 10", value);
    return SONDE_OK;
}

static sonde_status read_form(sonde_context *context, const char *value,
                              sonde__arch_request *request)
{
    if (strcmp(value, "plain") != 0 && strcmp(value, "bc") != 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "form", -1,
                              "form=%.40s is neither plain nor bc", value);
    request->bottleneck = value[0] == 'b';
    return SONDE_OK;
}

typedef sonde_status (*reader)(sonde_context *, const char *, sonde__arch_request *);

/* One "key=value", NUL-terminated, which is cut at its '='; of some models also a bare value. */
static sonde_status read_option(sonde_context *context, const entry *e, char *option,
                                sonde__arch_request *request)
{
    static const struct {
        const char *key;
        unsigned bit;
        reader read;
    } keys[] = {{"dropout", KEY_DROPOUT, read_dropout},
                {"widths", KEY_WIDTHS, read_widths},
                {"option", KEY_SHORTCUT, read_shortcut},
                {"", KEY_CELL, read_cell},
                {"", KEY_BLOCKS, read_blocks},
                {"cells", KEY_CELL, read_cells},
                {"channels", KEY_CELL, read_channels},
                {"norm", KEY_CELL, read_norm},
                {"depth", KEY_BODY | KEY_DENSE, read_depth},
                {"width", KEY_BODY, read_width},
                {"heads", KEY_HEADS, read_heads},
                {"patch", KEY_PATCH, read_patch},
                {"width", KEY_FACTOR, read_factor},
                {"growth", KEY_DENSE, read_growth},
                {"form", KEY_DENSE, read_form}};
    char *equals = strchr(option, '=');
    if (equals)
        *equals = '\0';
    const char *key = equals ? option : "", *value = equals ? equals + 1 : option;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if ((e->keys & keys[i].bit) && (keys[i].key[0] != '\0') == (equals != NULL) &&
            strcmp(key, keys[i].key) == 0)
            return keys[i].read(context, value, request);
    return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, e->info.name, -1,
                          "model %s has no option '%s'%s; it has: %s", e->info.name, option,
                          equals ? "" : " (options are name=value)", e->info.options);
}

/* The part behind the colon, in a copy that may be cut up. */
static sonde_status read_options(sonde_context *context, const entry *e, char *options,
                                 sonde__arch_request *request)
{
    for (char *option = options; option;) {
        char *const comma = strchr(option, ',');
        if (comma)
            *comma = '\0';
        SONDE_TRY(read_option(context, e, option, request));
        option = comma ? comma + 1 : NULL;
    }
    return SONDE_OK;
}

/* Heads that do not divide the width, patches that do not divide the image. */
static sonde_status check_parts(sonde_context *context, const entry *e, sonde__shape input,
                                const sonde__arch_request *request)
{
    if ((e->keys & KEY_HEADS) && request->width % request->heads != 0)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, NULL, "heads", -1,
                              "heads=%d does not divide width=%d", request->heads, request->width);
    int const patch = request->patch;
    if ((e->keys & KEY_PATCH) && (input.height % patch != 0 || input.width % patch != 0))
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, NULL, "patch", -1,
                              "patch=%d does not divide images of %d x %d", patch, input.height,
                              input.width);
    int const layers = 3 * (request->bottleneck ? 2 : 1);
    if ((e->keys & KEY_DENSE) && (request->depth < 4 + layers || (request->depth - 4) % layers))
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "depth", -1,
                              "depth=%d is not 4 more than a multiple of %d", request->depth,
                              layers);
    return SONDE_OK;
}

static sonde_status check_task(sonde_context *context, const entry *e, sonde__shape input,
                               const sonde__arch_request *request)
{
    if (request->classes < 1)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "classes", -1,
                              "%d classes: a model needs at least one", request->classes);
    if (!(request->dropout >= 0 && request->dropout < 1))
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "dropout", -1,
                              "dropout %g is not in [0, 1)", request->dropout);
    if (e->least == 0 && (input.channels != 1 || (input.height != 1 && input.width != 1)))
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, NULL, e->info.name, -1,
                              "model %s reads texts; the data are %d x %d with %d channels",
                              e->info.name, input.height, input.width, input.channels);
    SONDE_TRY(check_parts(context, e, input, request));
    int const multiple = e->defaults.multiple;
    if (multiple > 1 && (input.height % multiple != 0 || input.width % multiple != 0))
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, NULL, e->info.name, -1,
                              "model %s halves images: height and width must be multiples of %d, "
                              "not %d x %d",
                              e->info.name, multiple, input.height, input.width);
    if (input.channels < 1 || input.height < e->least || input.width < e->least)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, NULL, e->info.name, -1,
                              "model %s needs images of at least %d x %d, not %d x %d with %d "
                              "channels",
                              e->info.name, e->least, e->least, input.height, input.width,
                              input.channels);
    return SONDE_OK;
}

static sonde_status build_graph(sonde_context *context, const entry *e, sonde__shape input,
                                const sonde__arch_request *request, sonde__graph **graph)
{
    sonde__graph *made = NULL;
    SONDE_TRY(sonde__graph_create(context, &made));
    sonde__node const x = sonde__graph_input(made, input);
    sonde_status const status = sonde__graph_finish(made, e->build(made, x, request));
    if (status != SONDE_OK) {
        sonde__graph_free(made);
        return status;
    }
    *graph = made;
    return SONDE_OK;
}

sonde_status sonde__arch_build(sonde_context *context, const char *spec, sonde__shape input,
                               int classes, double dropout, sonde__graph **graph)
{
    size_t const length = strcspn(spec, ":");
    const entry *e = find_entry(spec, length);
    if (!e)
        return fail_unknown(context, spec, length);
    sonde__arch_request request = e->defaults;
    request.classes = classes;
    if (spec[length] == ':') {
        char *options = sonde__copy_string(context, spec + length + 1);
        if (!options)
            return SONDE_ERROR_MEMORY;
        sonde_status const status = read_options(context, e, options, &request);
        sonde__free(context, options);
        SONDE_TRY(status);
    }
    if (!(dropout < 0))
        request.dropout = dropout;
    SONDE_TRY(check_task(context, e, input, &request));
    return build_graph(context, e, input, &request, graph);
}
