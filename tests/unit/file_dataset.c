/* Data sets: generated ones, what all share, and the real files where they are at hand. */
#include "base/thread.h"
#include "check.h"
#include "failing.h"
#include "file/dataset.h"

static sonde_context *with_threads(int threads)
{
    sonde_context *context = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.threads = threads;
    assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
    return context;
}

static sonde__data_request request_for(const char *name)
{
    sonde__data_request request;
    sonde__data_request_init(&request);
    request.name = name;
    return request;
}

static void the_list_of_sets_is_complete(void **state)
{
    (void)state;
    int count = 0;
    while (sonde__data_known(count)) {
        assert_true(strlen(sonde__data_known(count)->summary) > 10);
        count++;
    }
    assert_int_equal(count, 10);
    assert_string_equal(sonde__data_known(0)->name, "strokes");
    assert_null(sonde__data_known(-1));
}

static void wrong_requests_are_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for("nothing");
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_NOT_FOUND);
    assert_non_null(strstr(sonde_context_error(context)->message, "'nothing'"));
    request.name = NULL;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_NOT_FOUND);
    request = request_for("mnist");
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_ARGUMENT);
    request.folder = "/nowhere/at/all";
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_NOT_FOUND);
    static const double wrong[] = {-0.1, 1, 2, NAN, INFINITY};
    for (int i = 0; i < 5; i++) {
        request = request_for("strokes");
        request.label_noise = wrong[i];
        check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_RANGE);
    }
    request = request_for("strokes");
    request.difficulty = NAN;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_RANGE);
    request.difficulty = -1;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_RANGE);
    request = request_for("strokes");
    request.classes = 11;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_RANGE);
    request.classes = 1;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_RANGE);
    request = request_for("gauss-d2");
    request.classes = 101;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_RANGE);
    request = request_for("gauss-d2");
    request.train_size = SIZE_MAX / 8;
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_OVERFLOW);
    assert_null(train);
    assert_null(test);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* Picture 37 is the same in sets of any size, drawn by any number of threads. */
static void pictures_depend_on_seed_and_index_alone(void **state)
{
    (void)state;
    uint8_t first[784] = {0};
    for (int variant = 0; variant < 4; variant++) {
        sonde_context *context = with_threads(variant + 1);
        sonde__dataset *train = NULL, *test = NULL;
        sonde__data_request request = request_for("strokes");
        request.train_size = variant % 2 ? 38 : 700;
        request.test_size = 40;
        request.seed = variant == 3 ? 2 : 1;
        check_ok(context, sonde__data_load(context, &request, &train, &test));
        const uint8_t *picture = train->bytes + (size_t)37 * 784;
        if (variant == 0)
            memcpy(first, picture, 784);
        assert_int_equal(memcmp(first, picture, 784) == 0, variant != 3);
        assert_int_equal(train->labels[37], 7);
        assert_true(memcmp(test->bytes + (size_t)37 * 784, picture, 784) != 0);
        assert_true(train->image && !train->flip);
        sonde__dataset_free(context, train);
        sonde__dataset_free(context, test);
        assert_int_equal(sonde_context_memory_used(context), 0);
        sonde_context_free(context);
    }
}

/* The nearest class mean must beat chance by far, and must not be perfect: the task is no table. */
static void digits_can_be_told_apart_but_not_trivially(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for("strokes");
    request.train_size = 3000;
    request.test_size = 1000;
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    static double means[10][784];
    memset(means, 0, sizeof means);
    for (size_t i = 0; i < train->count; i++)
        for (int p = 0; p < 784; p++)
            means[train->labels[i]][p] += train->bytes[i * 784 + (size_t)p] / 300.0;
    int right = 0;
    for (size_t i = 0; i < test->count; i++) {
        int best = 0;
        double least = INFINITY;
        for (int k = 0; k < 10; k++) {
            double distance = 0;
            for (int p = 0; p < 784; p++) {
                double d = means[k][p] - test->bytes[i * 784 + (size_t)p];
                distance += d * d;
            }
            best = distance < least ? k : best;
            least = distance < least ? distance : least;
        }
        right += best == test->labels[i];
    }
    assert_in_range(right, 400, 850);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde_context_free(context);
}

static void normalised_pixels_have_mean_0_and_deviation_1(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for("strokes");
    request.train_size = 500;
    request.test_size = 1;
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    double sum = 0, squares = 0;
    for (size_t i = 0; i < 500; i++) {
        float out[784];
        sonde__dataset_example(train, i, out);
        for (int p = 0; p < 784; p++) {
            sum += (double)out[p];
            squares += (double)out[p] * (double)out[p];
        }
    }
    check_close(sum / 392000, 0, 1e-4, 0, "mean");
    check_close(squares / 392000, 1, 1e-4, 0, "variance");
    assert_true(test->mean[0] == train->mean[0] && test->deviation[0] == train->deviation[0]);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde_context_free(context);
}

/* Class means of the D2 simplex, unit variance, and the shares of the classes. */
static void gauss_d2_has_its_means_and_unit_variance(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for("gauss-d2");
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    assert_int_equal(train->count, 60000);
    assert_int_equal(train->classes, 8);
    assert_int_equal(train->channels, 100);
    assert_false(train->image);
    double sums[8][100] = {{0}}, squares = 0;
    int counts[8] = {0};
    for (size_t i = 0; i < train->count; i++) {
        counts[train->labels[i]]++;
        for (int j = 0; j < 100; j++) {
            double x = (double)train->floats[i * 100 + (size_t)j];
            sums[train->labels[i]][j] += x;
            double mean = j < 8 ? 2.4 * ((j == train->labels[i]) - 0.125) : 0;
            squares += (x - mean) * (x - mean);
        }
    }
    for (int k = 0; k < 8; k++) {
        assert_int_equal(counts[k], 7500);
        for (int j = 0; j < 100; j++)
            check_close(sums[k][j] / 7500, j < 8 ? 2.4 * ((j == k) - 0.125) : 0, 5 / sqrt(7500.0),
                        0, "class mean");
    }
    check_close(squares / 6e6, 1, 5 * sqrt(2 / 6e6), 0, "variance");
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde_context_free(context);
}

/* The Bayes rule for D2 is the largest of the first K coordinates; published: 81.37 % at t = 2.4. */
static void gauss_d2_has_the_published_bayes_accuracy(void **state)
{
    (void)state;
    static const double t[] = {1.2, 2.4, 4.8}, published[] = {0.4520, 0.8137, 0.9978};
    for (int v = 0; v < 3; v++) {
        sonde_context *context = check_context();
        sonde__dataset *train = NULL, *test = NULL;
        sonde__data_request request = request_for("gauss-d2");
        request.difficulty = t[v];
        request.train_size = 8;
        request.test_size = 40000;
        check_ok(context, sonde__data_load(context, &request, &train, &test));
        int right = 0;
        for (size_t i = 0; i < test->count; i++) {
            int best = 0;
            for (int j = 1; j < 8; j++)
                if (test->floats[i * 100 + (size_t)j] > test->floats[i * 100 + (size_t)best])
                    best = j;
            right += best == test->labels[i];
        }
        check_close(right / 40000.0, published[v], 0.011, 0, "Bayes accuracy");
        sonde__dataset_free(context, train);
        sonde__dataset_free(context, test);
        sonde_context_free(context);
    }
}

/* Half of the coordinates at -0.2 and half at -0.2 + delta, other halves for other classes. */
static void gauss_d1_has_half_of_its_coordinates_raised(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for("gauss-d1");
    request.difficulty = 0.6;
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    double sums[8][100] = {{0}};
    for (size_t i = 0; i < train->count; i++)
        for (int j = 0; j < 100; j++)
            sums[train->labels[i]][j] += (double)train->floats[i * 100 + (size_t)j] / 7500;
    for (int k = 0; k < 8; k++) {
        int raised = 0, shared = 0;
        for (int j = 0; j < 100; j++) {
            bool high = sums[k][j] > 0.1;
            check_close(sums[k][j], high ? 0.4 : -0.2, 5 / sqrt(7500.0), 0, "class mean");
            raised += high;
            shared += high && sums[(k + 1) % 8][j] > 0.1;
        }
        assert_int_equal(raised, 50);
        assert_in_range(shared, 10, 40);
    }
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde_context_free(context);
}

static void label_noise_moves_the_asked_share_to_other_classes(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *clean = NULL, *noisy = NULL, *test = NULL, *noisy_test = NULL;
    sonde__data_request request = request_for("gauss-d2");
    request.train_size = 20000;
    request.test_size = 800;
    check_ok(context, sonde__data_load(context, &request, &clean, &test));
    request.label_noise = 0.4;
    check_ok(context, sonde__data_load(context, &request, &noisy, &noisy_test));
    int moved = 0, steps[8] = {0};
    for (size_t i = 0; i < clean->count; i++) {
        assert_in_range(noisy->labels[i], 0, 7);
        int step = (noisy->labels[i] - clean->labels[i] + 8) % 8;
        moved += step != 0;
        steps[step]++;
    }
    check_close(moved / 20000.0, 0.4, 4 * sqrt(0.24 / 20000), 0, "share of moved labels");
    for (int k = 1; k < 8; k++)
        check_close(steps[k] / (double)moved, 1 / 7.0, 0.02, 0, "share of each other class");
    assert_memory_equal(clean->floats, noisy->floats, 20000 * 100 * sizeof(float));
    assert_memory_equal(test->labels, noisy_test->labels, 800 * sizeof(int32_t));
    sonde__dataset_free(context, clean);
    sonde__dataset_free(context, noisy);
    sonde__dataset_free(context, test);
    sonde__dataset_free(context, noisy_test);
    sonde__dataset_free(context, NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static sonde_status load_small(sonde_context *context, void *argument)
{
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for(argument);
    request.train_size = 20;
    request.test_size = 10;
    sonde_status status = sonde__data_load(context, &request, &train, &test);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    return status;
}

static void refused_allocations_leak_nothing(void **state)
{
    (void)state;
    static char names[][16] = {"strokes", "gauss-d1", "gauss-d2"};
    for (int i = 0; i < 3; i++)
        assert_true(failing_run(load_small, names[i]) >= 6);
}

/* --- real files --------------------------------------------------------------------------------- */

static void check_real(const char *name, const char *sub, size_t train_count, int channels,
                       int side, const double *means, const int *histogram)
{
    if (!check_data_folder())
        skip();
    char path[512];
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    sonde__data_request request = request_for(name);
    snprintf(path, sizeof path, "%s/%s", check_data_folder(), sub);
    request.folder = path;
    double before = sonde__seconds();
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    print_message("%s: %.3f s, peak %.1f MB\n", name, sonde__seconds() - before,
                  (double)sonde_context_memory_peak(context) / 1e6);
    assert_int_equal(train->count, train_count);
    assert_int_equal(test->count, 10000);
    assert_int_equal(train->channels, channels);
    assert_int_equal(train->height, side);
    assert_int_equal(train->width, side);
    for (int c = 0; c < channels; c++)
        check_close((double)train->mean[c], means[c], 5e-4, 0, "published mean");
    int counts[10] = {0};
    for (size_t i = 0; i < train->count; i++)
        counts[train->labels[i]]++;
    for (int k = 0; histogram && k < 10; k++)
        assert_int_equal(counts[k], histogram[k]);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    /* Fewer, when asked; then later batches are not even opened. */
    if (channels == 1) {
        sonde_context_free(context);
        return;
    }
    request.train_size = 1000;
    request.test_size = 100;
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    assert_int_equal(train->count, 1000);
    assert_int_equal(test->count, 100);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void mnist_has_its_published_figures(void **state)
{
    (void)state;
    static const int histogram[] = {5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949};
    static const double mean[] = {0.1307};
    check_real("mnist", "mnist", 60000, 1, 28, mean, histogram);
}

static void fashion_mnist_has_its_published_figures(void **state)
{
    (void)state;
    static const int histogram[] = {6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000};
    static const double mean[] = {0.2860};
    check_real("fashion-mnist", "fashion-mnist", 60000, 1, 28, mean, histogram);
}

/* The first three batches; counts and means as numpy finds them. */
static void cifar_10_has_its_batches(void **state)
{
    (void)state;
    static const int histogram[] = {2983, 3023, 3007, 3008, 2999, 2954, 3016, 3042, 2973, 2995};
    static const double mean[] = {0.491565, 0.481962, 0.446056};
    check_real("cifar-10", "cifar-10-30k", 30000, 3, 32, mean, histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_of_sets_is_complete),
        cmocka_unit_test(wrong_requests_are_named),
        cmocka_unit_test(pictures_depend_on_seed_and_index_alone),
        cmocka_unit_test(digits_can_be_told_apart_but_not_trivially),
        cmocka_unit_test(normalised_pixels_have_mean_0_and_deviation_1),
        cmocka_unit_test(gauss_d2_has_its_means_and_unit_variance),
        cmocka_unit_test(gauss_d2_has_the_published_bayes_accuracy),
        cmocka_unit_test(gauss_d1_has_half_of_its_coordinates_raised),
        cmocka_unit_test(label_noise_moves_the_asked_share_to_other_classes),
        cmocka_unit_test(refused_allocations_leak_nothing),
        cmocka_unit_test(mnist_has_its_published_figures),
        cmocka_unit_test(fashion_mnist_has_its_published_figures),
        cmocka_unit_test(cifar_10_has_its_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
