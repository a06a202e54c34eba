/*
 * Every public call of the library, with the k-th allocation refused for k = 0, 1, 2, ... until all
 * pass. Each body repeats a call that failed for want of memory once more where the promise is that
 * the handle stays usable.
 */
#include "failing.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_gradient), cmocka_unit_test(keep_choice),
        cmocka_unit_test(one_spectrum),  cmocka_unit_test(mastery_of_dense_and_sparse_ids),
        cmocka_unit_test(a_steered_run),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
