/*
 * Transformers with the norm before each part: ViT (Dosovitskiy et al., arXiv 2010.11929; here without
 * a class token, the mean of the tokens is classified) and GPT (Radford et al. 2019; character level,
 * the head is not tied to the embedding). Names of parameters are those of timm and of nanoGPT, so is
 * the initialisation: normal of deviation 0.02, in GPT 0.02 / sqrt(2 depth) before each sum.
 *
 * A block is x + proj(attention(qkv(norm(x)))), then x + fc2(gelu(fc1(norm(x)))), fc1 to 4 width.
 */
#include <math.h>
#include <stdio.h>

#include "net/arch_table.h"

enum { NAME_SIZE = 64 };

static const double DEVIATION = 0.02;

/* What the parts of a block are called, behind the block's own name. */
typedef struct names {
    const char *norm1, *qkv, *proj, *norm2, *fc1, *fc2;
} names;

typedef struct block {
    char prefix[NAME_SIZE / 2];
    const names *parts;
    bool causal;
    double last; /* deviation of the two layers that are added to x */
} block;

static const char *part_name(char *name, const block *b, const char *part)
{
    snprintf(name, NAME_SIZE, "%s.%s", b->prefix, part);
    return name;
}

/* x + dropout(y), y by its last linear layer. */
static sonde__node add_to(sonde__graph *graph, sonde__node x, sonde__node y, const char *name,
                          const block *b, const sonde__arch_request *request)
{
    sonde__graph_set_deviation(graph, b->last);
    y = sonde__graph_token_linear(graph, name, y, request->width, true);
    sonde__graph_set_deviation(graph, DEVIATION);
    if (b->causal && request->dropout > 0)
        y = sonde__graph_dropout(graph, y, request->dropout);
    return sonde__graph_binary(graph, SONDE__OP_ADD, x, y);
}

static sonde__node transformer_block(sonde__graph *graph, sonde__node x, const block *b,
                                     const sonde__arch_request *request)
{
    char name[NAME_SIZE];
    sonde__node y = sonde__graph_token_norm(graph, part_name(name, b, b->parts->norm1), x);
    y = sonde__graph_token_linear(graph, part_name(name, b, b->parts->qkv), y, 3 * request->width,
                                  true);
    y = sonde__graph_attention(graph, y, request->heads, b->causal);
    x = add_to(graph, x, y, part_name(name, b, b->parts->proj), b, request);
    y = sonde__graph_token_norm(graph, part_name(name, b, b->parts->norm2), x);
    y = sonde__graph_token_linear(graph, part_name(name, b, b->parts->fc1), y, 4 * request->width,
                                  true);
    y = sonde__graph_unary(graph, SONDE__OP_GELU, y);
    return add_to(graph, x, y, part_name(name, b, b->parts->fc2), b, request);
}

sonde__node sonde__arch_vit(sonde__graph *graph, sonde__node x, const sonde__arch_request *request)
{
    static const names parts = {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"};
    const int patch = request->patch;
    x = sonde__graph_conv_simple(graph, "patch_embed.proj", x, request->width, patch, patch, 0,
                                 true);
    sonde__graph_set_deviation(graph, DEVIATION);
    x = sonde__graph_positions(graph, "pos_embed", x, 3);
    for (int i = 0; i < request->depth; i++) {
        block b = {.parts = &parts, .last = DEVIATION};
        snprintf(b.prefix, sizeof b.prefix, "blocks.%d", i);
        x = transformer_block(graph, x, &b, request);
    }
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    x = sonde__graph_token_norm(graph, "fc_norm", x);
    return sonde__arch_head(graph, "head", x, request);
}

sonde__node sonde__arch_gpt(sonde__graph *graph, sonde__node x, const sonde__arch_request *request)
{
    static const names parts = {"ln_1", "attn.c_attn", "attn.c_proj",
                                "ln_2", "mlp.c_fc",    "mlp.c_proj"};
    sonde__graph_set_deviation(graph, DEVIATION);
    x = sonde__graph_embedding(graph, "transformer.wte", x, request->classes, request->width);
    x = sonde__graph_positions(graph, "transformer.wpe.weight", x, 2);
    if (request->dropout > 0)
        x = sonde__graph_dropout(graph, x, request->dropout);
    for (int i = 0; i < request->depth; i++) {
        block b = {.parts = &parts,
                   .causal = true,
                   .last = DEVIATION / sqrt(2.0 * (double)request->depth)};
        snprintf(b.prefix, sizeof b.prefix, "transformer.h.%d", i);
        x = transformer_block(graph, x, &b, request);
    }
    x = sonde__graph_token_norm(graph, "transformer.ln_f", x);
    x = sonde__graph_token_linear(graph, "lm_head", x, request->classes, false);
    return sonde__graph_transpose(graph, x);
}
