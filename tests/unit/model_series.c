/* Folders of checkpoints as trainers leave them, and probe side files. */
#include "made_model.h"

#include <sys/stat.h>

#include "model/series.h"

static sonde_context *context;
static sonde__series series;

static int set_up(void **state)
{
    context = check_context();
    return folder_make(state);
}

static int tear_down(void **state)
{
    sonde__series_free(&series);
    sonde_context_free(context);
    return folder_remove(state);
}

static void touch(const char *name)
{
    folder_write(name, "x", 1);
}

static void make_sub_folder(const char *name)
{
    assert_int_equal(mkdir(folder_path(name), 0777), 0);
}

static void check_checkpoint(size_t index, const char *name, int64_t epoch)
{
    assert_true(index < series.count);
    assert_string_equal(series.checkpoints[index].path, folder_path(name));
    assert_int_equal(series.checkpoints[index].epoch, epoch);
}

static void numbers_in_names_are_epochs(void **state)
{
    (void)state;
    touch("epoch-0002.safetensors");
    touch("epoch-0010.safetensors");
    touch("epoch-0001.safetensors");
    touch("notes-5.txt");
    touch(".hidden-7.pt");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    assert_int_equal(series.count, 3);
    check_checkpoint(0, "epoch-0001.safetensors", 1);
    check_checkpoint(1, "epoch-0002.safetensors", 2);
    check_checkpoint(2, "epoch-0010.safetensors", 10);
}

static void the_last_number_of_a_name_counts(void **state)
{
    (void)state;
    touch("resnet18-run2-step300.pt");
    touch("resnet18-run2-step20.pt");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    check_checkpoint(0, "resnet18-run2-step20.pt", 20);
    check_checkpoint(1, "resnet18-run2-step300.pt", 300);
}

static void hashes_are_no_numbers(void **state)
{
    (void)state;
    touch("epoch7-12fca82f.pt");
    touch("epoch3-4bfd9763.pt");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    check_checkpoint(0, "epoch3-4bfd9763.pt", 3);
    check_checkpoint(1, "epoch7-12fca82f.pt", 7);
}

static void sub_folders_are_checkpoints_by_their_names(void **state)
{
    (void)state;
    make_sub_folder("checkpoint-1000");
    make_sub_folder("checkpoint-500");
    make_sub_folder("logs");
    touch("checkpoint-1000/model.safetensors");
    touch("checkpoint-1000/optimizer.pt");
    touch("checkpoint-500/model.safetensors");
    touch("checkpoint-500/training_args.bin");
    touch("checkpoint-500.probe.npz");
    touch("checkpoint-1000/model.probe.safetensors");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    assert_int_equal(series.count, 2);
    check_checkpoint(0, "checkpoint-500/model.safetensors", 500);
    check_checkpoint(1, "checkpoint-1000/model.safetensors", 1000);
    assert_string_equal(series.checkpoints[0].probe, folder_path("checkpoint-500.probe.npz"));
    assert_string_equal(series.checkpoints[1].probe,
                        folder_path("checkpoint-1000/model.probe.safetensors"));
}

static void names_without_numbers_are_taken_in_order(void **state)
{
    (void)state;
    touch("late.pt");
    touch("early.pt");
    touch("middle-3.pt");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    check_checkpoint(0, "early.pt", 1);
    check_checkpoint(1, "late.pt", 2);
    check_checkpoint(2, "middle-3.pt", 3);
}

static void numbers_that_are_the_same_do_not_order(void **state)
{
    (void)state;
    touch("step10-fp16.pt");
    touch("step9-fp16.pt");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    check_checkpoint(0, "step9-fp16.pt", 1);
    check_checkpoint(1, "step10-fp16.pt", 2);
}

static void shards_side_files_and_training_state_do_not_count(void **state)
{
    (void)state;
    touch("model-00001-of-00002.safetensors");
    touch("model-00002-of-00002.safetensors");
    touch("model.safetensors.index.json");
    touch("optimizer.pt");
    touch("scheduler.pt");
    touch("rng_state_0.pth");
    touch("training_args.bin");
    touch("model.probe.npz");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    assert_int_equal(series.count, 1);
    check_checkpoint(0, "model.safetensors.index.json", 1);
    assert_string_equal(series.checkpoints[0].probe, folder_path("model.probe.npz"));
}

static void paths_may_come_in_any_order(void **state)
{
    (void)state;
    const char *const paths[] = {"/x/b-2.th", "/x/a-11/model.safetensors", "c-3.pt"};
    check_ok(context, sonde__series_of_paths(context, paths, 3, &series));
    assert_int_equal(series.count, 3);
    assert_string_equal(series.checkpoints[0].path, "/x/b-2.th");
    assert_string_equal(series.checkpoints[1].path, "c-3.pt");
    assert_int_equal(series.checkpoints[2].epoch, 11);
}

static void an_empty_folder_and_a_missing_one_are_not_found(void **state)
{
    (void)state;
    check_status(sonde__series_of_folder(context, folder, &series), SONDE_ERROR_NOT_FOUND);
    assert_non_null(strstr(sonde_context_error(context)->message, "no checkpoint"));
    check_status(sonde__series_of_folder(context, folder_path("none"), &series),
                 SONDE_ERROR_NOT_FOUND);
    assert_int_equal(series.count, 0);
}

/* --- side files --------------------------------------------------------------------------------- */

enum { ROWS = 6, CLASSES = 3, WIDTH = 4 };

/* A checkpoint with a side file of features and logits that are all 1, labels 0, 1, 2, ... */
static void write_probe(made_model *made, int64_t last_label)
{
    float *const features = made_floats(made, "features", SHAPE(ROWS, WIDTH));
    double *const logits = made_doubles(made, "logits", SHAPE(ROWS, CLASSES));
    int64_t *const labels = made_add(made, "labels", SONDE_NUMBER_I64, 8, SHAPE(ROWS));
    for (int i = 0; i < ROWS * WIDTH; i++)
        features[i] = 1;
    for (int i = 0; i < ROWS * CLASSES; i++)
        logits[i] = 1;
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % CLASSES;
    labels[ROWS - 1] = last_label;
    touch("epoch-1.pt");
    made_write(context, made, "epoch-1.probe.safetensors");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
}

static void a_side_file_gives_the_head_gradient(void **state)
{
    (void)state;
    made_model made = {.count = 0};
    sonde_head_report report;
    write_probe(&made, 0);
    check_ok(context, sonde__series_probe(&series, 0, &report));
    made_free(&made);
    /* p = 1/3; labels 0 three times, 1 twice, 2 once. Row k of the gradient is the mean of p - y_k
     * times ones of length 4: (1/3 - 3/6, 1/3 - 2/6, 1/3 - 1/6). */
    check_close(report.loss.value, log(3), 0, 1e-12, "loss");
    check_close(report.raw.value, sqrt(4 * (1 / 36.0 + 0 + 1 / 36.0)), 0, 1e-12, "gradient");
    assert_int_equal(report.head_scaled.validity, SONDE_NOT_MEASURED);
}

static void a_weight_in_the_side_file_scales_the_gradient(void **state)
{
    (void)state;
    made_model made = {.count = 0};
    sonde_head_report report;
    float *const weight = made_floats(&made, "weight", SHAPE(CLASSES, WIDTH));
    weight[5] = 2;
    write_probe(&made, 0);
    check_ok(context, sonde__series_probe(&series, 0, &report));
    made_free(&made);
    check_close(report.head_scaled.value, report.raw.value / 2, 0, 1e-9, "scaled gradient");
}

static void wrong_side_files_are_refused(void **state)
{
    (void)state;
    sonde_head_report report;
    made_model made = {.count = 0};
    write_probe(&made, 9);
    check_status(sonde__series_probe(&series, 0, &report), SONDE_ERROR_RANGE);
    made_free(&made);
    sonde__series_free(&series);
    made_floats(&made, "features", SHAPE(2, 2));
    made_floats(&made, "logits", SHAPE(3, 2));
    made_write(context, &made, "epoch-1.probe.safetensors");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    check_status(sonde__series_probe(&series, 0, &report), SONDE_ERROR_FORMAT);
    assert_non_null(strstr(sonde_context_error(context)->message, "as many rows"));
    made.count--;
    made_write(context, &made, "epoch-1.probe.safetensors");
    check_status(sonde__series_probe(&series, 0, &report), SONDE_ERROR_FORMAT);
    assert_string_equal(sonde_context_error(context)->item, "logits");
    made.count++;
    made_free(&made);
}

static void a_checkpoint_without_side_file_says_so(void **state)
{
    (void)state;
    sonde_head_report report;
    touch("epoch-1.pt");
    check_ok(context, sonde__series_of_folder(context, folder, &series));
    check_status(sonde__series_probe(&series, 0, &report), SONDE_ERROR_NOT_FOUND);
    check_status(sonde__series_probe(&series, 1, &report), SONDE_ERROR_RANGE);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(numbers_in_names_are_epochs),
        EACH(the_last_number_of_a_name_counts),
        EACH(hashes_are_no_numbers),
        EACH(sub_folders_are_checkpoints_by_their_names),
        EACH(names_without_numbers_are_taken_in_order),
        EACH(numbers_that_are_the_same_do_not_order),
        EACH(shards_side_files_and_training_state_do_not_count),
        EACH(paths_may_come_in_any_order),
        EACH(an_empty_folder_and_a_missing_one_are_not_found),
        EACH(a_side_file_gives_the_head_gradient),
        EACH(a_weight_in_the_side_file_scales_the_gradient),
        EACH(wrong_side_files_are_refused),
        EACH(a_checkpoint_without_side_file_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
