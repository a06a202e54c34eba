/*
 * Which tensors are matrices, by the names and shapes that models in use have: Llama, GPT-2, ViT,
 * Mixtral and GPT-OSS, GGUF, ResNet, wav2vec2, optimizers' states, adapters.
 */
#include "made_model.h"

#include "model/matrices.h"

static sonde_context *context;
static made_model made;
static sonde_model *model;
static sonde_survey_options options;
static sonde__matrices found;

static int set_up(void **state)
{
    (void)state;
    context = check_context();
    sonde_survey_options_init(&options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sonde__matrices_free(&found);
    sonde_model_close(model);
    model = NULL;
    made_free(&made);
    sonde_context_free(context);
    return 0;
}

/* Lists the tensors that were added. */
static void find(void)
{
    sonde__matrices_free(&found);
    sonde_model_close(model);
    model = made_open(context, &made, "model.safetensors");
    check_ok(context, sonde__matrices_find(context, model, &options, &found));
}

static const sonde__matrix *named(const char *name)
{
    for (size_t i = 0; i < found.count; i++)
        if (strcmp(found.items[i].name, name) == 0)
            return &found.items[i];
    fail_msg("there is no layer %s", name);
    return NULL;
}

static void check_layer(const char *name, sonde_layer_kind kind, size_t rows, size_t cols,
                        size_t slices)
{
    const sonde__matrix *const item = named(name);
    if (item->skipped)
        fail_msg("%s is skipped: %s", name, item->skipped);
    assert_string_equal(sonde_layer_kind_name(item->kind), sonde_layer_kind_name(kind));
    assert_int_equal(item->rows, rows);
    assert_int_equal(item->cols, cols);
    assert_int_equal(item->slices, slices);
}

static void check_skipped(const char *name, const char *reason)
{
    const sonde__matrix *const item = named(name);
    if (!item->skipped || !strstr(item->skipped, reason))
        fail_msg("%s: '%s' does not say '%s'", name, item->skipped ? item->skipped : "(measured)",
                 reason);
}

static void names_tell_embeddings_from_dense_layers(void **state)
{
    (void)state;
    const char *const embeddings[] = {"model.embed_tokens.weight",
                                      "transformer.wte.weight",
                                      "wpe.weight",
                                      "tok_embeddings.weight",
                                      "token_embd.weight",
                                      "shared.weight",
                                      "bert.embeddings.word_embeddings.weight",
                                      "block.0.SelfAttention.relative_attention_bias.weight"};
    const char *const dense[] = {"model.layers.0.self_attn.q_proj.weight",
                                 "lm_head.weight",
                                 "time_embedding.linear_1.weight",
                                 "blk.0.attn_q.weight",
                                 "embed_out.weight",
                                 "output.weight"};
    for (size_t i = 0; i < sizeof embeddings / sizeof *embeddings; i++)
        made_floats(&made, embeddings[i], SHAPE(40, 12));
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++)
        made_floats(&made, dense[i], SHAPE(40, 12));
    /* Equal zeros elsewhere in the file are no ties. */
    find();
    for (size_t i = 0; i < sizeof embeddings / sizeof *embeddings; i++)
        check_layer(embeddings[i], SONDE_LAYER_EMBEDDING, 40, 12, 1);
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++)
        check_layer(dense[i], SONDE_LAYER_DENSE, 40, 12, 1);
}

static void what_is_no_matrix_says_why(void **state)
{
    (void)state;
    made_floats(&made, "norm.weight", SHAPE(16));
    made_floats(&made, "scale", SHAPE(-1));
    made_floats(&made, "none.weight", SHAPE(0, 16));
    made_floats(&made, "tiny.weight", SHAPE(40, 9));
    made_floats(&made, "experts.gate_up_proj_bias", SHAPE(32, 64));
    made_floats(&made, "h.0.attn.bias", SHAPE(1, 1, 64, 64));
    made_add(&made, "position_ids", SONDE_NUMBER_I64, 8, SHAPE(16, 16));
    made_add(&made, "mask", SONDE_NUMBER_BOOL, 1, SHAPE(16, 16));
    made_floats(&made, "a.b.c", SHAPE(2, 2, 2, 2, 2));
    find();
    check_skipped("norm.weight", "a vector");
    check_skipped("scale", "a single number");
    check_skipped("none.weight", "empty");
    check_skipped("tiny.weight", "40 x 9 is too small: fewer than 10 columns");
    check_skipped("experts.gate_up_proj_bias", "a bias");
    check_skipped("h.0.attn.bias", "a bias or a mask");
    check_skipped("position_ids", "integers (I64)");
    check_skipped("mask", "integers (BOOL)");
    check_skipped("a.b.c", "too small");
    assert_int_equal(found.count, 9);
}

static void optimizer_states_are_measured_only_where_they_are_asked_for(void **state)
{
    (void)state;
    made_floats(&made, "model.fc.weight", SHAPE(16, 16));
    made_floats(&made, "optimizer.state.0.exp_avg", SHAPE(16, 16));
    made_floats(&made, "state.3.momentum_buffer", SHAPE(16, 16));
    find();
    assert_int_equal(found.count, 3);
    check_skipped("optimizer.state.0.exp_avg", "optimizer state");
    check_skipped("state.3.momentum_buffer", "optimizer state");
    options.layers = "*exp_avg, *.weight";
    find();
    assert_int_equal(found.count, 2);
    check_layer("optimizer.state.0.exp_avg", SONDE_LAYER_DENSE, 16, 16, 1);
}

static void patterns_leave_out_what_does_not_match(void **state)
{
    (void)state;
    made_floats(&made, "a.q.weight", SHAPE(16, 16));
    made_floats(&made, "a.k.weight", SHAPE(16, 16));
    made_floats(&made, "a.norm.weight", SHAPE(16));
    options.layers = "*.q.*";
    find();
    assert_int_equal(found.count, 1);
    check_layer("a.q.weight", SONDE_LAYER_DENSE, 16, 16, 1);
}

static void kernels_are_pooled_flat_or_cut_as_asked(void **state)
{
    (void)state;
    made_floats(&made, "layer1.0.conv1.weight", SHAPE(20, 16, 3, 3));
    made_floats(&made, "downsample.0.weight", SHAPE(32, 16, 1, 1));
    made_floats(&made, "c3d.weight", SHAPE(12, 11, 2, 3, 4));
    made_floats(&made, "depthwise.weight", SHAPE(32, 1, 3, 3));
    made_floats(&made, "stem.weight", SHAPE(64, 3, 7, 7));
    find();
    check_layer("layer1.0.conv1.weight", SONDE_LAYER_CONVOLUTION, 20, 16, 9);
    assert_int_equal(named("layer1.0.conv1.weight")->row_step, 16 * 9);
    assert_int_equal(named("layer1.0.conv1.weight")->col_step, 9);
    check_layer("downsample.0.weight", SONDE_LAYER_CONVOLUTION, 32, 16, 1);
    check_layer("c3d.weight", SONDE_LAYER_CONVOLUTION, 12, 11, 24);
    check_skipped("depthwise.weight", "depthwise");
    check_skipped("stem.weight", "64 x 3 a kernel position is too small: fewer than 10 columns");
    options.convolution = SONDE_CONVOLUTION_FLAT;
    find();
    check_layer("layer1.0.conv1.weight", SONDE_LAYER_CONVOLUTION, 20, 144, 1);
    check_layer("stem.weight", SONDE_LAYER_CONVOLUTION, 64, 147, 1);
    options.convolution = SONDE_CONVOLUTION_SLICES;
    find();
    assert_int_equal(found.count, 9 + 1 + 24 + 2);
    check_layer("layer1.0.conv1.weight[0,0]", SONDE_LAYER_CONVOLUTION, 20, 16, 1);
    check_layer("layer1.0.conv1.weight[2,1]", SONDE_LAYER_CONVOLUTION, 20, 16, 1);
    assert_int_equal(named("layer1.0.conv1.weight[2,1]")->first, 7);
    check_layer("downsample.0.weight", SONDE_LAYER_CONVOLUTION, 32, 16, 1);
    assert_int_equal(named("c3d.weight[1,2,3]")->first, 23);
}

static void three_dimensions_are_experts_or_a_convolution_by_name_and_size(void **state)
{
    (void)state;
    made_floats(&made, "blk.0.ffn_gate_exps.weight", SHAPE(3, 16, 12));
    made_floats(&made, "mlp.experts.gate_up_proj", SHAPE(2, 48, 64));
    made_floats(&made, "stack", SHAPE(2, 32, 33));
    made_floats(&made, "encoder.conv1.weight", SHAPE(40, 20, 3));
    made_floats(&made, "pos_conv_embed.conv.weight_v", SHAPE(64, 48, 128));
    made_floats(&made, "temporal.weight", SHAPE(40, 20, 5));
    made_floats(&made, "vit.pos_embed", SHAPE(1, 50, 24));
    made_floats(&made, "tiny_experts.w", SHAPE(100, 4, 4));
    find();
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.0.ffn_gate_exps.weight[%d]", i);
        check_layer(name, SONDE_LAYER_EXPERT, 16, 12, 1);
        assert_int_equal(named(name)->first, i * 16 * 12);
    }
    check_layer("mlp.experts.gate_up_proj[1]", SONDE_LAYER_EXPERT, 48, 64, 1);
    check_layer("stack[1]", SONDE_LAYER_EXPERT, 32, 33, 1);
    check_layer("encoder.conv1.weight", SONDE_LAYER_CONVOLUTION, 40, 20, 3);
    check_layer("pos_conv_embed.conv.weight_v", SONDE_LAYER_CONVOLUTION, 64, 48, 128);
    check_layer("temporal.weight", SONDE_LAYER_CONVOLUTION, 40, 20, 5);
    check_layer("vit.pos_embed", SONDE_LAYER_EMBEDDING, 50, 24, 1);
    check_skipped("tiny_experts.w", "4 x 4 an expert is too small");
    assert_int_equal(found.count, 3 + 2 + 2 + 5);
}

static void pairs_of_adapters_are_one_layer(void **state)
{
    (void)state;
    made_floats(&made, "base_model.model.l.q.lora_A.weight", SHAPE(4, 30));
    made_floats(&made, "base_model.model.l.q.lora_B.weight", SHAPE(50, 4));
    made_floats(&made, "l.k.lora_A.default.weight", SHAPE(2, 30));
    made_floats(&made, "l.k.lora_B.default.weight", SHAPE(50, 2));
    made_floats(&made, "e.lora_embedding_A", SHAPE(2, 100));
    made_floats(&made, "e.lora_embedding_B", SHAPE(20, 2));
    *made_floats(&made, "lora_unet_mid.alpha", SHAPE(-1)) = 2;
    made_floats(&made, "lora_unet_mid.lora_down.weight", SHAPE(8, 10, 3, 3));
    made_floats(&made, "lora_unet_mid.lora_up.weight", SHAPE(20, 8, 1, 1));
    made_floats(&made, "l.v.lora_A.weight", SHAPE(4, 30));
    made_floats(&made, "l.o.lora_A.weight", SHAPE(4, 30));
    made_floats(&made, "l.o.lora_B.weight", SHAPE(50, 5));
    find();
    assert_int_equal(found.count, 6);
    check_layer("base_model.model.l.q", SONDE_LAYER_LORA, 50, 30, 1);
    assert_int_equal(named("base_model.model.l.q")->lora.rank, 4);
    assert_true(named("base_model.model.l.q")->lora.scale == 1);
    assert_non_null(strstr(named("base_model.model.l.q")->note, "scale 1"));
    check_layer("l.k", SONDE_LAYER_LORA, 50, 30, 1);
    check_layer("e", SONDE_LAYER_LORA, 100, 20, 1);
    assert_true(named("e")->lora.transposed);
    check_layer("lora_unet_mid", SONDE_LAYER_LORA, 20, 90, 1);
    assert_true(named("lora_unet_mid")->lora.scale == 0.25);
    check_skipped("l.v.lora_A.weight", "other factor");
    check_skipped("l.o", "do not fit");
}

static void scales_of_other_tensors_are_no_layers(void **state)
{
    (void)state;
    made_add(&made, "a.weight", SONDE_NUMBER_F8_E4M3, 1, SHAPE(256, 256));
    float *const scale = made_floats(&made, "a.weight_scale_inv", SHAPE(2, 2));
    for (int i = 0; i < 4; i++)
        scale[i] = 1;
    made_floats(&made, "other.scale", SHAPE(16, 16));
    find();
    check_layer("a.weight", SONDE_LAYER_DENSE, 256, 256, 1);
    check_skipped("a.weight_scale_inv", "scales of another tensor");
    check_layer("other.scale", SONDE_LAYER_DENSE, 16, 16, 1);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(names_tell_embeddings_from_dense_layers),
        EACH(what_is_no_matrix_says_why),
        EACH(optimizer_states_are_measured_only_where_they_are_asked_for),
        EACH(patterns_leave_out_what_does_not_match),
        EACH(kernels_are_pooled_flat_or_cut_as_asked),
        EACH(three_dimensions_are_experts_or_a_convolution_by_name_and_size),
        EACH(pairs_of_adapters_are_one_layer),
        EACH(scales_of_other_tensors_are_no_layers),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
