/* IDX and CIFAR files: good ones, and one bad file a fault. */
#include <zlib.h>

#include "check.h"
#include "failing.h"
#include "file/dataset.h"
#include "folder.h"

static const uint8_t IMAGES[] = {0, 0, 8, 3,   0,  0,  0,  3,  0,  0,  0,  2,  0,  0,
                                 0, 2, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100};
static const uint8_t LABELS[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9};
enum { IMAGES_SIZE = sizeof IMAGES, LABELS_SIZE = sizeof LABELS };

static void write_gzip(const char *name, const void *bytes, size_t size)
{
    gzFile file = gzopen(folder_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    gzclose(file);
}

static sonde_status load(sonde_context *context, const char *name, sonde__dataset **train,
                         sonde__dataset **test)
{
    sonde__data_request request;
    sonde__data_request_init(&request);
    request.name = name;
    request.folder = folder;
    return sonde__data_load(context, &request, train, test);
}

static void clear_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -f '%s'/*", folder);
    assert_int_equal(system(command), 0);
}

/* Loads what is in the folder; expects the status, a message with `words`, and no leak. */
static void expect(const char *name, sonde_status expected, const char *words, int64_t offset)
{
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde_status status = load(context, name, &train, &test);
    const sonde_error *error = sonde_context_error(context);
    if (status != expected || !strstr(error->message, words) || error->offset != offset)
        fail_msg("%s at %lld (%s), not %s at %lld with '%s'", sonde_status_name(status),
                 (long long)error->offset, error->message, sonde_status_name(expected),
                 (long long)offset, words);
    assert_non_null(strstr(error->message, folder));
    assert_null(train);
    assert_null(test);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) < 1 << 20);
    sonde_context_free(context);
}

static void plain_and_packed_files_give_the_same_set(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        sonde_context *context = check_context();
        sonde__dataset *train = NULL, *test = NULL;
        clear_folder();
        if (variant == 0) {
            folder_write("train-images-idx3-ubyte", IMAGES, IMAGES_SIZE);
            folder_write("train-labels-idx1-ubyte", LABELS, LABELS_SIZE);
        } else if (variant == 1) {
            folder_write("train-images.idx3-ubyte", IMAGES, IMAGES_SIZE);
            write_gzip("train-labels.idx1-ubyte.gz", LABELS, LABELS_SIZE);
        } else {
            write_gzip("train-images-idx3-ubyte.gz", IMAGES, IMAGES_SIZE);
            write_gzip("train-labels-idx1-ubyte.gz", LABELS, LABELS_SIZE);
        }
        check_ok(context, load(context, "mnist", &train, &test));
        assert_null(test);
        assert_int_equal(train->count, 3);
        assert_int_equal(train->channels, 1);
        assert_int_equal(train->height, 2);
        assert_int_equal(train->width, 2);
        assert_int_equal(train->classes, 10);
        assert_true(train->image && !train->flip);
        assert_memory_equal(train->bytes, IMAGES + 16, 12);
        assert_int_equal(train->labels[0], 7);
        assert_int_equal(train->labels[2], 9);
        double mean = 805.0 / 12; /* of the twelve bytes above */
        check_close((double)train->mean[0] * 255, mean, 1e-4, 0, "mean");
        double variance =
            (255 * 255 + 100 + 400 + 900 + 1600 + 2500 + 3600 + 4900 + 6400 + 8100 + 10000) / 12.0 -
            mean * mean;
        check_close((double)train->deviation[0] * 255, sqrt(variance), 1e-3, 0, "deviation");
        float out[4];
        sonde__dataset_example(train, 0, out);
        check_close((double)out[1], (255 - mean) / sqrt(variance), 1e-4, 0, "normalised");
        sonde__dataset_free(context, train);
        assert_int_equal(sonde_context_memory_used(context), 0);
        sonde_context_free(context);
    }
}

static void write_pair(const uint8_t *images, size_t image_size, const uint8_t *labels,
                       size_t label_size)
{
    clear_folder();
    folder_write("train-images-idx3-ubyte", images, image_size);
    folder_write("train-labels-idx1-ubyte", labels, label_size);
}

static void each_fault_is_named(void **state)
{
    (void)state;
    uint8_t images[IMAGES_SIZE + 1] = {0}, labels[LABELS_SIZE + 1] = {0};
    memcpy(images, IMAGES, IMAGES_SIZE);
    memcpy(labels, LABELS, LABELS_SIZE);
    clear_folder();
    expect("mnist", SONDE_ERROR_NOT_FOUND, "train-images-idx3-ubyte", -1);
    folder_write("train-images-idx3-ubyte", images, IMAGES_SIZE);
    expect("mnist", SONDE_ERROR_NOT_FOUND, "train-labels-idx1-ubyte", -1);
    for (size_t cut = 0; cut < IMAGES_SIZE; cut++) {
        write_pair(images, cut, labels, LABELS_SIZE);
        expect("mnist", SONDE_ERROR_TRUNCATED, "train-images", (int64_t)cut);
    }
    for (size_t cut = 0; cut < LABELS_SIZE; cut++) {
        write_pair(images, IMAGES_SIZE, labels, cut);
        expect("mnist", SONDE_ERROR_TRUNCATED, "train-labels", (int64_t)cut);
    }
    write_pair(images, IMAGES_SIZE + 1, labels, LABELS_SIZE);
    expect("mnist", SONDE_ERROR_FORMAT, "28", IMAGES_SIZE);
    write_pair(images, IMAGES_SIZE, labels, LABELS_SIZE + 1);
    expect("mnist", SONDE_ERROR_FORMAT, "11", LABELS_SIZE);
    labels[9] = 10;
    write_pair(images, IMAGES_SIZE, labels, LABELS_SIZE);
    expect("mnist", SONDE_ERROR_RANGE, "example 1 is 10", 9);
    labels[9] = 0;
    labels[7] = 2;
    write_pair(images, IMAGES_SIZE, labels, LABELS_SIZE - 1);
    expect("mnist", SONDE_ERROR_SHAPE, "2 labels for the 3 images", 4);
    labels[7] = 3;
    write_pair(labels, LABELS_SIZE, images, IMAGES_SIZE); /* the files swapped */
    expect("mnist", SONDE_ERROR_FORMAT, "begins with 00 00 08 03", 0);
    images[2] = 0x0d; /* floats */
    write_pair(images, IMAGES_SIZE, labels, LABELS_SIZE);
    expect("mnist", SONDE_ERROR_FORMAT, "begins with 00 00 0d 03", 0);
    images[2] = 8;
    images[11] = 0; /* no rows */
    write_pair(images, IMAGES_SIZE, labels, LABELS_SIZE);
    expect("mnist", SONDE_ERROR_FORMAT, "0 pixels", 8);
}

/* Counts that claim terabytes must cost nothing, packed or not. */
static void lying_counts_allocate_nothing(void **state)
{
    (void)state;
    uint8_t images[IMAGES_SIZE];
    memcpy(images, IMAGES, IMAGES_SIZE);
    memset(images + 4, 0xff, 4);
    images[10] = images[14] = 0x0f;
    write_pair(images, IMAGES_SIZE, LABELS, LABELS_SIZE);
    expect("mnist", SONDE_ERROR_TRUNCATED, "promises", IMAGES_SIZE);
    clear_folder();
    write_gzip("train-images-idx3-ubyte.gz", images, IMAGES_SIZE);
    folder_write("train-labels-idx1-ubyte", LABELS, LABELS_SIZE);
    expect("mnist", SONDE_ERROR_TRUNCATED, "promises", IMAGES_SIZE);
}

static void packed_faults_are_named(void **state)
{
    (void)state;
    uint8_t longer[IMAGES_SIZE + 50000] = {0}, packed[4096];
    memcpy(longer, IMAGES, IMAGES_SIZE);
    clear_folder();
    folder_write("train-labels-idx1-ubyte", LABELS, LABELS_SIZE);
    write_gzip("train-images-idx3-ubyte.gz", longer, sizeof longer);
    expect("mnist", SONDE_ERROR_FORMAT, "unpacks to more than the 28 bytes", -1);
    write_gzip("train-images-idx3-ubyte.gz", IMAGES, IMAGES_SIZE);
    FILE *file = fopen(folder_path("train-images-idx3-ubyte.gz"), "rb");
    size_t size = fread(packed, 1, sizeof packed, file);
    fclose(file);
    folder_write("train-images-idx3-ubyte.gz", packed, size - 3);
    expect("mnist", SONDE_ERROR_TRUNCATED, "ends too early", (int64_t)size - 3);
    folder_write("train-images-idx3-ubyte.gz", packed, 5);
    expect("mnist", SONDE_ERROR_TRUNCATED, "ends too early", 5);
    packed[size - 7] ^= 0x10;
    folder_write("train-images-idx3-ubyte.gz", packed, size);
    expect("mnist", SONDE_ERROR_CORRUPT, "incorrect data check", (int64_t)size - 4);
}

static sonde_status load_idx(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__dataset *train = NULL, *test = NULL;
    sonde_status status = load(context, "mnist", &train, &test);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    return status;
}

static void refused_allocations_leak_nothing(void **state)
{
    (void)state;
    clear_folder();
    write_gzip("train-images-idx3-ubyte.gz", IMAGES, IMAGES_SIZE);
    folder_write("train-labels-idx1-ubyte", LABELS, LABELS_SIZE);
    assert_true(failing_run(load_idx, NULL) >= 10);
}

/* --- CIFAR ------------------------------------------------------------------------------------ */

enum { RECORD = 3073, FINE_RECORD = 3074 };

static void fill_records(uint8_t *bytes, size_t count, size_t label_bytes, unsigned first)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *record = bytes + i * (label_bytes + 3072);
        record[label_bytes - 1] = (uint8_t)((first + i) % 10);
        for (size_t p = 0; p < 3072; p++)
            record[label_bytes + p] = (uint8_t)(first + i + p / 1024 * 50);
    }
}

static void as_many_batches_as_are_there_are_joined(void **state)
{
    (void)state;
    static uint8_t bytes[3 * RECORD];
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    clear_folder();
    fill_records(bytes, 3, 1, 0);
    folder_write("data_batch_1.bin", bytes, sizeof bytes);
    fill_records(bytes, 3, 1, 3);
    write_gzip("data_batch_2.bin.gz", bytes, sizeof bytes);
    fill_records(bytes, 1, 1, 6);
    folder_write("test_batch.bin", bytes, RECORD);
    check_ok(context, load(context, "cifar-10", &train, &test));
    assert_int_equal(train->count, 6);
    assert_int_equal(test->count, 1);
    assert_int_equal(train->channels, 3);
    assert_true(train->flip);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(train->labels[i], i);
        assert_int_equal(train->bytes[i * 3072 + 2048], i + 100);
    }
    check_close((double)train->mean[1] * 255, 52.5, 1e-4, 0, "mean of the second channel");
    assert_true(test->mean[1] == train->mean[1]);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde_context_free(context);
}

static void fine_labels_are_used(void **state)
{
    (void)state;
    static uint8_t bytes[2 * FINE_RECORD];
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    clear_folder();
    fill_records(bytes, 2, 2, 4);
    bytes[0] = 19;
    bytes[1] = 99;
    folder_write("train.bin", bytes, sizeof bytes);
    check_ok(context, load(context, "cifar-100", &train, &test));
    assert_int_equal(train->classes, 100);
    assert_int_equal(train->labels[0], 99);
    assert_int_equal(train->labels[1], 5);
    assert_null(test);
    sonde__dataset_free(context, train);
    sonde_context_free(context);
    bytes[FINE_RECORD + 1] = 100;
    folder_write("train.bin", bytes, sizeof bytes);
    expect("cifar-100", SONDE_ERROR_RANGE, "example 1 is 100", FINE_RECORD + 1);
}

static void bad_records_are_named(void **state)
{
    (void)state;
    static uint8_t bytes[2 * RECORD];
    clear_folder();
    expect("cifar-10", SONDE_ERROR_NOT_FOUND, "data_batch_1.bin", -1);
    fill_records(bytes, 2, 1, 0);
    folder_write("data_batch_1.bin", bytes, sizeof bytes - 1);
    expect("cifar-10", SONDE_ERROR_TRUNCATED, "whole number of records", RECORD);
    folder_write("data_batch_1.bin", bytes, 0);
    expect("cifar-10", SONDE_ERROR_TRUNCATED, "whole number of records", 0);
    bytes[RECORD] = 10;
    folder_write("data_batch_1.bin", bytes, sizeof bytes);
    expect("cifar-10", SONDE_ERROR_RANGE, "example 1 is 10", RECORD);
    bytes[RECORD] = 1;
    folder_write("data_batch_1.bin", bytes, sizeof bytes);
    folder_write("test_batch.bin", bytes, 17);
    expect("cifar-10", SONDE_ERROR_TRUNCATED, "test_batch.bin", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_packed_files_give_the_same_set),
        cmocka_unit_test(each_fault_is_named),
        cmocka_unit_test(lying_counts_allocate_nothing),
        cmocka_unit_test(packed_faults_are_named),
        cmocka_unit_test(refused_allocations_leak_nothing),
        cmocka_unit_test(as_many_batches_as_are_there_are_joined),
        cmocka_unit_test(fine_labels_are_used),
        cmocka_unit_test(bad_records_are_named),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
