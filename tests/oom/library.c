/*
 * Every public call of the library, with the k-th allocation refused for k = 0, 1, 2, ... until all
 * pass. Each body repeats a call that failed for want of memory once more where the promise is that
 * the handle stays usable.
 */
#include "failing.h"
#include "folder.h"

enum { ROWS = 24, COLS = 60, BATCH = 6, CLASSES = 4, FEATURES = 5 };

static float weights[ROWS * COLS], features[BATCH * FEATURES], logits[BATCH * CLASSES];
static float image[2 * 3 * 5 * 5];
static int64_t labels[BATCH] = {0, 1, 2, 3, 0, 1};

static int fill(void **state)
{
    (void)state;
    uint32_t x = 1;
    float *const arrays[] = {weights, features, logits, image};
    const size_t sizes[] = {ROWS * COLS, BATCH * FEATURES, BATCH * CLASSES, 2 * 3 * 5 * 5};
    for (int a = 0; a < 4; a++)
        for (size_t i = 0; i < sizes[a]; i++) {
            x = x * 1664525u + 1013904223u;
            arrays[a][i] = (float)x / 4294967296.0f - 0.5f;
        }
    return 0;
}

static sonde_head_batch head_batch(void)
{
    sonde_head_batch batch;
    sonde_head_batch_init(&batch);
    batch.features = (sonde_matrix){features, SONDE_F32, BATCH, FEATURES, 0};
    batch.logits = (sonde_matrix){logits, SONDE_F32, BATCH, CLASSES, 0};
    batch.labels = labels;
    return batch;
}

/* --- one call each ----------------------------------------------------------------------------- */

static sonde_status head(sonde_context *context, void *argument)
{
    sonde_head_batch batch = head_batch();
    batch.form = *(const sonde_head_form *)argument;
    sonde_head_report report;
    return sonde_head_gradient(context, &batch, &report);
}

static sonde_status patches(sonde_context *context, void *argument)
{
    (void)argument;
    static float outputs[2 * 9 * CLASSES];
    static int64_t many[18];
    sonde_head_patches geometry;
    sonde_head_patches_init(&geometry);
    geometry.input = image;
    geometry.batch = 2, geometry.channels = 3, geometry.height = 5, geometry.width = 5;
    geometry.kernel_height = geometry.kernel_width = 3;
    sonde_head_batch batch = head_batch();
    batch.logits = (sonde_matrix){outputs, SONDE_F32, 18, CLASSES, 0};
    batch.labels = many;
    sonde_head_report report;
    return sonde_head_gradient_patches(context, &geometry, &batch, &report);
}

static sonde_status keep(sonde_context *context, void *argument)
{
    (void)argument;
    int64_t epochs[8];
    sonde_score scores[8];
    for (int i = 0; i < 8; i++) {
        epochs[i] = i;
        scores[i] = (sonde_score){fabs(i - 4.0), 0, SONDE_LOWER_IS_BETTER, SONDE_VALID};
    }
    const sonde_keep_series series = {8, epochs, scores, scores, NULL};
    sonde_keep_choice choice;
    return sonde_keep_choose(context, &series, NULL, &choice);
}

static sonde_status spectrum(sonde_context *context, void *argument)
{
    (void)argument;
    const sonde_matrix matrix = {weights, SONDE_F32, ROWS, COLS, 0};
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    options.calibrate = false;
    sonde_spectrum_report report;
    double eigenvalues[ROWS];
    return sonde_spectrum(context, &matrix, &options, &report, eigenvalues);
}

static sonde_status judged_values(sonde_context *context, void *argument)
{
    (void)argument;
    const sonde_matrix matrix = {weights, SONDE_F32, ROWS, COLS, 0};
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    options.calibrate = false;
    sonde_spectrum_report report;
    sonde_spectrum_shape_report shape;
    double values[ROWS];
    sonde_status status = sonde_singular_values(context, &matrix, values);
    for (int i = 0; i < ROWS && status == SONDE_OK; i++)
        values[i] *= values[i] / COLS;
    if (status == SONDE_OK)
        status = sonde_spectrum_judge(context, values, ROWS, ROWS, COLS, &options, &report);
    if (status == SONDE_OK)
        status = sonde_spectrum_shape(context, values, ROWS, &report, &shape);
    return status;
}

static sonde_status mastery(sonde_context *context, void *argument)
{
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.examples = *(const uint64_t *)argument;
    sonde_mastery *made = NULL;
    sonde_status status = sonde_mastery_create(context, &options, &made);
    for (int t = 1; t <= 4 && status == SONDE_OK; t++) {
        uint64_t ids[300], known = 0, before = 0, active = 0;
        float losses[300];
        for (int i = 0; i < 300; i++) {
            ids[i] = (uint64_t)(i + 100 * (t - 1));
            losses[i] = 1;
        }
        sonde_mastery_count(made, &before, &active);
        status = sonde_mastery_record(made, ids, losses, 300);
        if (status == SONDE_ERROR_MEMORY) {
            sonde_mastery_count(made, &known, &active);
            assert_int_equal(known, before);
            status = sonde_mastery_record(made, ids, losses, 300); /* memory is there again */
        }
        if (status == SONDE_OK)
            status = sonde_mastery_end_epoch(made, t);
    }
    sonde_mastery_free(made);
    return status;
}

/* --- the steer --------------------------------------------------------------------------------- */

static sonde_status observe(sonde_steer *steer, int64_t epoch)
{
    const sonde_head_batch batch = head_batch();
    const sonde_matrix matrix = {weights, SONDE_F32, ROWS, COLS, 0};
    uint64_t ids[20];
    float losses[20];
    for (int i = 0; i < 20; i++) {
        ids[i] = (uint64_t)i << 32;
        losses[i] = 1 / (float)epoch;
    }
    sonde_status status = sonde_steer_losses(steer, ids, losses, 20);
    if (status == SONDE_OK)
        status = sonde_steer_head(steer, &batch, 0, NULL);
    if (status == SONDE_OK)
        status = sonde_steer_weights(steer, "fc", &matrix);
    return status;
}

static sonde_status save_and_restore(sonde_steer *steer)
{
    static uint8_t bytes[65536];
    size_t size = 0;
    sonde_status status = sonde_steer_save(steer, bytes, sizeof bytes, &size);
    return status == SONDE_OK ? sonde_steer_restore(steer, bytes, size) : status;
}

static sonde_status steer(sonde_context *context, void *argument)
{
    sonde_steer_options options;
    sonde_steer_options_init(&options);
    options.spectrum.calibrate = false;
    options.wait = *(const bool *)argument;
    sonde_steer *made = NULL;
    sonde_decision decision;
    sonde_status status = sonde_steer_create(context, &options, &made);
    for (int64_t epoch = 1; epoch <= 3 && status == SONDE_OK; epoch++) {
        status = observe(made, epoch);
        if (status == SONDE_OK)
            status = sonde_steer_end_epoch(made, epoch, &decision);
        if (status == SONDE_ERROR_MEMORY && made) {
            /* An epoch that could not be ended can be ended again, or observed again. */
            status = observe(made, epoch);
            if (status == SONDE_OK)
                status = sonde_steer_end_epoch(made, epoch, &decision);
        }
        if (status == SONDE_OK && epoch == 2)
            status = save_and_restore(made);
    }
    if (status == SONDE_OK)
        status = sonde_steer_decide(made, &decision);
    sonde_steer_free(made);
    return status;
}

/* --- model files ------------------------------------------------------------------------------- */

static void write_model(const char *name, const char *header, const void *data, size_t size)
{
    uint8_t bytes[1024] = {(uint8_t)strlen(header)};
    assert_true(strlen(header) < 256 && strlen(header) + size + 8 < sizeof bytes);
    memcpy(bytes + 8, header, strlen(header));
    memcpy(bytes + 8 + strlen(header), data, size);
    folder_write(name, bytes, 8 + strlen(header) + size);
}

/* Two models that share a tensor, one of them under a prefix and in f8 with a scale; an index. */
static void write_models(void)
{
    static const float numbers[4] = {1, 2, 3, 4};
    write_model("first.safetensors",
                "{\"a.w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                "\"__metadata__\":{\"format\":\"pt\"}}",
                numbers, 16);
    write_model("second.safetensors",
                "{\"w_scale\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                "\"w\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,2],\"data_offsets\":[8,12]}}",
                numbers, 12);
    static const char index[] = "{\"weight_map\":{\"a.w\":\"first.safetensors\"}}";
    folder_write("model.safetensors.index.json", index, sizeof index - 1);
}

/* One matrix that has a spectrum. */
static void write_matrix(void)
{
    static uint8_t bytes[8 + 128 + sizeof weights];
    char header[129];
    const int length =
        snprintf(header, sizeof header,
                 "{\"w\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]}}", ROWS,
                 COLS, sizeof weights);
    memset(bytes, ' ', sizeof bytes);
    memset(bytes, 0, 8);
    bytes[0] = 128;
    memcpy(bytes + 8, header, (size_t)length);
    memcpy(bytes + 8 + 128, weights, sizeof weights);
    folder_write("matrix.safetensors", bytes, sizeof bytes);
}

static sonde_status list_and_read(sonde_model *model)
{
    sonde_model_info info;
    sonde_tensor tensor;
    double numbers[4];
    const char *key, *value;
    size_t found;
    sonde_status status = SONDE_OK;
    sonde_model_describe(model, &info);
    for (size_t i = 0; i < info.metadata && status == SONDE_OK; i++)
        status = sonde_model_metadata(model, i, &key, &value);
    for (size_t i = 0; i < sonde_model_count(model) && status == SONDE_OK; i++) {
        status = sonde_model_tensor(model, i, &tensor);
        if (status == SONDE_OK)
            status = sonde_model_find(model, tensor.name, &found);
        if (status == SONDE_OK)
            status = sonde_model_read(model, i, 0, tensor.elements, SONDE_F64, numbers);
        if (status == SONDE_ERROR_MEMORY) /* memory is there again */
            status = sonde_model_read(model, i, 0, tensor.elements, SONDE_F64, numbers);
    }
    return status;
}

static sonde_status open_model(sonde_context *context, void *argument)
{
    sonde_model *model = NULL;
    sonde_status status = sonde_model_open(context, argument, NULL, &model);
    if (status == SONDE_OK)
        status = list_and_read(model);
    sonde_model_close(model);
    return status;
}

static sonde_status two_models(sonde_context *context, void *argument)
{
    sonde_model *first = NULL, *second = NULL;
    sonde_comparison *comparison = NULL;
    sonde_tensor_difference difference;
    (void)argument;
    sonde_status status = sonde_model_open(context, folder_path("first.safetensors"), NULL, &first);
    if (status == SONDE_OK)
        status = sonde_model_open(context, folder_path("second.safetensors"), NULL, &second);
    if (status == SONDE_OK)
        status = sonde_compare(context, first, second, &comparison);
    for (size_t i = 0; status == SONDE_OK && i < sonde_comparison_count(comparison); i++)
        status = sonde_comparison_tensor(comparison, i, &difference);
    if (status == SONDE_OK)
        status = sonde_model_convert(second, folder_path("out"));
    sonde_comparison_free(comparison);
    sonde_model_close(second);
    sonde_model_close(first);
    return status;
}

static sonde_status survey(sonde_context *context, void *argument)
{
    sonde_model *model = NULL;
    sonde_survey *made = NULL;
    sonde_layer_spectrum layer;
    sonde_survey_options options;
    sonde_survey_options_init(&options);
    options.spectrum.calibrate = false;
    options.fast = *(const bool *)argument;
    sonde_status status =
        sonde_model_open(context, folder_path("matrix.safetensors"), NULL, &model);
    if (status == SONDE_OK)
        status = sonde_survey_run(context, model, &options, &made);
    /* What a layer has no memory for is its skip, not the survey's end. */
    for (size_t i = 0; status == SONDE_OK && i < sonde_survey_count(made); i++) {
        status = sonde_survey_layer(made, i, &layer);
        if (status == SONDE_OK && layer.skipped)
            status = SONDE_ERROR_MEMORY;
    }
    sonde_survey_free(made);
    sonde_model_close(model);
    return status;
}

/* --- gradient signals -------------------------------------------------------------------------- */

static sonde_matrix square(size_t rows, size_t cols)
{
    return (sonde_matrix){weights, SONDE_F32, rows, cols, 0};
}

static sonde_status test_prediction_variance(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_example_layer layer;
    sonde_example_layer_init(&layer);
    layer.x = square(6, 20);
    layer.dy = square(6, 3);
    layer.rows = 2;
    double norms[3];
    sonde_tpv_trace *trace = NULL;
    sonde_estimate total;
    sonde_score error;
    const sonde_matrix a = square(4, 7), b = {weights + 1, SONDE_F32, 4, 7, 0};
    sonde_status status = sonde_example_norms(context, &layer, norms, NULL);
    if (status == SONDE_OK)
        status = sonde_tpv_trace_create(context, 1, NULL, &trace);
    if (status == SONDE_OK)
        status = sonde_tpv_trace_add(trace, norms, 3);
    if (status == SONDE_OK)
        status = sonde_tpv_trace_read(trace, &total, NULL);
    sonde_tpv_trace_free(trace);
    if (status == SONDE_OK)
        status = sonde_tpv_empirical(context, &a, &b, SONDE_TPV_SUM_OUTPUTS, NULL, &total);
    if (status == SONDE_OK)
        status = sonde_tpv_first_order(context, &a, &b, &error);
    return status;
}

static sonde_status label_noise(sonde_context *context, void *argument)
{
    const sonde_matrix *const train = argument, test = square(5, train->cols);
    sonde_tpv_label_report report;
    return sonde_tpv_label_noise(context, train, &test, NULL, &report);
}

static sonde_status proxies(sonde_context *context, void *argument)
{
    (void)argument;
    const sonde_matrix jacobian = square(BATCH, 40), other = {weights + 7, SONDE_F32, BATCH, 40, 0};
    const double variances[] = {1};
    const sonde_proxy_layer layer = {jacobian, other, other, {0}};
    sonde_proxy_sums sums = {0};
    sonde_score score;
    sonde_nwot *nwot = NULL;
    sonde_status status = sonde_proxy_add_layer(context, &layer, &sums);
    if (status == SONDE_OK)
        status = sonde_proxy_add_fisher(context, &jacobian, 9, &sums);
    if (status == SONDE_OK)
        status = sonde_jacob_cov(context, &jacobian, &score);
    if (status == SONDE_OK)
        status = sonde_epe_nas(context, &jacobian, labels, CLASSES, &score);
    if (status == SONDE_OK)
        status = sonde_zen(context, &jacobian, &other, variances, 1, &score);
    if (status == SONDE_OK)
        status = sonde_nwot_create(context, BATCH, &nwot);
    if (status == SONDE_OK)
        status = sonde_nwot_add(nwot, weights, 40, 40);
    if (status == SONDE_OK)
        status = sonde_nwot_score(nwot, &score);
    if (status == SONDE_ERROR_MEMORY && nwot)
        status = sonde_nwot_score(nwot, &score); /* memory is there again */
    sonde_nwot_free(nwot);
    return status;
}

static sonde_status distillation(sonde_context *context, void *argument)
{
    (void)argument;
    const sonde_matrix teacher = square(BATCH, 40),
                       student = {weights + 7, SONDE_F32, BATCH, 40, 0};
    sonde_score score;
    sonde_status status = sonde_diswot_semantic(context, &teacher, &student, &score);
    for (int mode = 0; mode < 2 && status == SONDE_OK; mode++)
        status =
            sonde_diswot_relation(context, (sonde_diswot_mode)mode, &teacher, &student, &score);
    if (status == SONDE_OK)
        status = sonde_diswot_channels(context, 2, &teacher, &student, &score);
    return status;
}

static sonde_status choice(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_score scores[8], votes[4];
    double x[8], y[8], ranks[4];
    size_t order[4];
    sonde_agreement agreement;
    for (int i = 0; i < 8; i++) {
        scores[i] = (sonde_score){i % 3, 0, SONDE_HIGHER_IS_BETTER, SONDE_VALID};
        x[i] = i, y[i] = i % 5;
    }
    sonde_status status = sonde_choose_rank(context, scores, 4, order, ranks);
    if (status == SONDE_OK)
        status = sonde_choose_vote(context, scores, 2, 4, votes);
    if (status == SONDE_OK)
        status = sonde_choose_agreement(context, x, y, 8, &agreement);
    return status;
}

static sonde_status importances_and_cut(sonde_context *context, void *argument)
{
    (void)argument;
    const sonde_importance_layer layer = {weights, weights + 100, NULL, NULL, 6, 4, 3};
    double scores[6] = {0};
    sonde_cut_unit units[6];
    float single[72];
    bool keep_unit[6], keep_weight[72];
    sonde_cut_report report;
    const sonde_criterion criteria[] = {SONDE_CRITERION_JBR, SONDE_CRITERION_FPGM,
                                        SONDE_CRITERION_WHC};
    sonde_status status = SONDE_OK;
    for (int i = 0; i < 3 && status == SONDE_OK; i++)
        status = sonde_importance_add(context, criteria[i], SONDE_SIDE_OUTPUTS, &layer, scores);
    for (size_t i = 0; i < 6; i++)
        units[i] = (sonde_cut_unit){scores[i], 1, i % 2};
    if (status == SONDE_OK)
        status = sonde_cut(context, units, 6, NULL, keep_unit, &report);
    if (status == SONDE_OK)
        status = sonde_importance_weights(context, SONDE_CRITERION_SNIP, weights, weights + 100, 72,
                                          single);
    const sonde_cut_weights_layer cut = {single, keep_weight, 72};
    if (status == SONDE_OK)
        status = sonde_cut_weights(context, &cut, 1, NULL, &report);
    return status;
}

/* --- the tests --------------------------------------------------------------------------------- */

static void head_gradient(void **state)
{
    (void)state;
    sonde_head_form forms[] = {SONDE_FORM_DIRECT, SONDE_FORM_GRAM};
    for (int f = 0; f < 2; f++)
        assert_true(failing_run(head, &forms[f]) > 3);
    assert_true(failing_run(patches, NULL) > 3);
}

static void keep_choice(void **state)
{
    (void)state;
    assert_true(failing_run(keep, NULL) > 3);
}

static void one_spectrum(void **state)
{
    (void)state;
    assert_true(failing_run(spectrum, NULL) > 0);
    assert_true(failing_run(judged_values, NULL) > 1);
}

static void mastery_of_dense_and_sparse_ids(void **state)
{
    (void)state;
    uint64_t examples[] = {1000, 0};
    for (int i = 0; i < 2; i++)
        assert_true(failing_run(mastery, &examples[i]) > 2);
}

static void a_steered_run(void **state)
{
    (void)state;
    bool wait[] = {false, true};
    for (int i = 0; i < 2; i++)
        assert_true(failing_run(steer, &wait[i]) > 20);
}

static void model_files(void **state)
{
    (void)state;
    write_models();
    static const char *const names[] = {"first.safetensors", "second.safetensors",
                                        "model.safetensors.index.json"};
    for (int i = 0; i < 3; i++)
        assert_true(failing_run(open_model, (void *)(uintptr_t)folder_path(names[i])) > 5);
    folder_delete("second.safetensors"); /* then the index is the folder's one model */
    assert_true(failing_run(open_model, folder) > 5);
    write_models();
    assert_true(failing_run(two_models, NULL) > 10);
}

static void surveys(void **state)
{
    (void)state;
    bool fast[] = {false, true};
    write_matrix();
    for (int i = 0; i < 2; i++)
        assert_true(failing_run(survey, &fast[i]) > 5);
}

static void gradient_signals(void **state)
{
    (void)state;
    sonde_matrix trains[] = {square(4, 30), square(30, 4)};
    assert_true(failing_run(test_prediction_variance, NULL) > 5);
    for (int i = 0; i < 2; i++)
        assert_true(failing_run(label_noise, &trains[i]) > 5);
    assert_true(failing_run(proxies, NULL) > 10);
    assert_true(failing_run(distillation, NULL) > 5);
    assert_true(failing_run(choice, NULL) > 3);
    assert_true(failing_run(importances_and_cut, NULL) > 3);
}

static int begin(void **state)
{
    return fill(state) || folder_make(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_gradient), cmocka_unit_test(keep_choice),
        cmocka_unit_test(one_spectrum),  cmocka_unit_test(mastery_of_dense_and_sparse_ids),
        cmocka_unit_test(a_steered_run), cmocka_unit_test(model_files),
        cmocka_unit_test(surveys),       cmocka_unit_test(gradient_signals),
    };
    return cmocka_run_group_tests(tests, begin, folder_remove);
}
