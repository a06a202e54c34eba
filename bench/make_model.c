/*
 * Writes a model file with the matrix shapes of Llama-7B: LAYERS of its 32 blocks and, unless told
 * otherwise, its embedding and head; bf16, safetensors.
 *
 *     bench_make_model FILE [LAYERS [blocks]]      default: 2 layers, with embedding and head
 *
 * Entries are normal with the standard deviation 0.02, plus three planted rank-one spikes a matrix,
 * 1.3, 1.6 and 2.5 times the law's edge, so that a survey has something to find. The same arguments
 * give the same bytes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "file/safetensors.h"

enum { QUANTILES = 65536, SPIKES = 3, WIDTH = 4096, HIDDEN = 11008, WORDS = 32000 };
static const double DEVIATION = 0.02, STRENGTH[SPIKES] = {1.3, 1.6, 2.5};

typedef struct kind {
    const char *name;
    int64_t rows, cols;
} kind;

static const kind BLOCK[] = {{"self_attn.q_proj", WIDTH, WIDTH}, {"self_attn.k_proj", WIDTH, WIDTH},
                             {"self_attn.v_proj", WIDTH, WIDTH}, {"self_attn.o_proj", WIDTH, WIDTH},
                             {"mlp.gate_proj", HIDDEN, WIDTH},   {"mlp.up_proj", HIDDEN, WIDTH},
                             {"mlp.down_proj", WIDTH, HIDDEN}};
enum { KINDS = sizeof BLOCK / sizeof *BLOCK };

typedef struct maker {
    sonde__tensor *tensors;
    char (*names)[64];
    size_t count;
    float *normal;  /* QUANTILES of the normal law */
    size_t current; /* tensor whose spikes are at hand, or SIZE_MAX */
    sonde__stream stream;
    float *left[SPIKES],
        *right[SPIKES]; /* rows with the strength in them, columns of unit length */
} maker;

static void *room(size_t count, size_t size)
{
    void *const made = calloc(count, size);
    if (!made) {
        fprintf(stderr, "memory is exhausted\n");
        exit(1);
    }
    return made;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* A sorted sample stands for the quantiles: close enough to normal for a benchmark. */
static float *normal_table(void)
{
    float *const table = room(QUANTILES, sizeof *table);
    sonde__stream stream = sonde__stream_open(7, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < QUANTILES; i++)
        table[i] = (float)(DEVIATION * sonde__random_normal(&stream));
    qsort(table, QUANTILES, sizeof *table, compare_floats);
    return table;
}

static void add_tensor(maker *made, const char *name, int64_t rows, int64_t cols)
{
    sonde__tensor *const tensor = &made->tensors[made->count];
    snprintf(made->names[made->count], sizeof *made->names, "%s", name);
    *tensor = (sonde__tensor){.name = made->names[made->count++],
                              .number = SONDE_NUMBER_BF16,
                              .dims = 2,
                              .shape = {rows, cols},
                              .bytes = (size_t)(rows * cols) * sizeof(uint16_t)};
}

static void unit_vector(sonde__stream *stream, float *to, size_t n, double length)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        to[i] = (float)sonde__random_normal(stream);
        square += (double)to[i] * (double)to[i];
    }
    for (size_t i = 0; i < n; i++)
        to[i] = (float)(length / sqrt(square) * (double)to[i]);
}

static void begin_tensor(maker *made, size_t index)
{
    const sonde__tensor *const tensor = &made->tensors[index];
    const size_t rows = (size_t)tensor->shape[0], cols = (size_t)tensor->shape[1];
    const double edge = DEVIATION * (sqrt((double)rows) + sqrt((double)cols));
    made->stream = sonde__stream_open(7, SONDE__RANDOM_TEST, index + 1);
    for (int k = 0; k < SPIKES; k++) {
        unit_vector(&made->stream, made->left[k], rows, STRENGTH[k] * edge);
        unit_vector(&made->stream, made->right[k], cols, 1);
    }
    made->current = index;
}

/* Rounds to the nearest, ties to even. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static sonde_status fill(void *user, size_t index, uint64_t offset, void *bytes, size_t size)
{
    maker *const made = user;
    if (index != made->current)
        begin_tensor(made, index);
    const size_t cols = (size_t)made->tensors[index].shape[1];
    uint16_t *const out = bytes;
    size_t row = (size_t)(offset / 2) / cols, col = (size_t)(offset / 2) % cols;
    for (size_t i = 0; i < size / 2; i += 2) { /* columns are an even number */
        const uint32_t word = sonde__random_u32(&made->stream);
        for (size_t j = 0; j < 2; j++) {
            float value = made->normal[j ? word >> 16 : word & 0xffff];
            for (int k = 0; k < SPIKES; k++)
                value += made->left[k][row] * made->right[k][col + j];
            out[i + j] = to_bf16(value);
        }
        col += 2;
        if (col == cols) {
            col = 0;
            row++;
        }
    }
    return SONDE_OK;
}

static void list_tensors(maker *made, size_t layers, bool ends)
{
    char name[64];
    made->tensors = room(layers * KINDS + 2, sizeof *made->tensors);
    made->names = room(layers * KINDS + 2, sizeof *made->names);
    if (ends)
        add_tensor(made, "model.embed_tokens.weight", WORDS, WIDTH);
    for (size_t i = 0; i < layers; i++)
        for (size_t k = 0; k < KINDS; k++) {
            snprintf(name, sizeof name, "model.layers.%zu.%s.weight", i, BLOCK[k].name);
            add_tensor(made, name, BLOCK[k].rows, BLOCK[k].cols);
        }
    if (ends)
        add_tensor(made, "lm_head.weight", WORDS, WIDTH);
}

int main(int count, char **arguments)
{
    const size_t layers = count > 2 ? strtoul(arguments[2], NULL, 10) : 2;
    const bool ends = !(count > 3 && strcmp(arguments[3], "blocks") == 0);
    sonde_context *context = NULL;
    maker made = {.current = SIZE_MAX};
    if (count < 2 || layers > 1000) {
        fprintf(stderr, "usage: bench_make_model FILE [LAYERS [blocks]]\n");
        return 2;
    }
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    list_tensors(&made, layers, ends);
    made.normal = normal_table();
    for (int k = 0; k < SPIKES; k++) {
        made.left[k] = room(WORDS, sizeof(float));
        made.right[k] = room(WORDS, sizeof(float));
    }
    const sonde__safetensors_content content = {made.tensors, made.count, NULL, 0};
    const sonde_status status =
        sonde__safetensors_write_stream(context, arguments[1], &content, fill, &made);
    if (status != SONDE_OK)
        fprintf(stderr, "%s\n", sonde_context_error(context)->message);
    for (int k = 0; k < SPIKES; k++) {
        free(made.left[k]);
        free(made.right[k]);
    }
    free(made.normal);
    free(made.names);
    free(made.tensors);
    sonde_context_free(context);
    return status == SONDE_OK ? 0 : 1;
}
