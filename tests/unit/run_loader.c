/* Batches and the loader: what comes out is what the data set holds, in order, once each. */
#include "check.h"

#include "base/context.h"
#include "base/thread.h"
#include "run/loader.h"

enum { COUNT = 37, HEIGHT = 6, WIDTH = 5, CHANNELS = 2, AREA = HEIGHT * WIDTH };

typedef struct fixture {
    sonde_context *context;
    sonde__dataset dataset;
    sonde__batcher batcher;
    uint8_t bytes[COUNT * CHANNELS * AREA];
    int32_t labels[COUNT];
    uint32_t indexes[COUNT];
} fixture;

static void fixture_open(fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->context = check_context();
    for (size_t i = 0; i < sizeof(f->bytes); i++)
        f->bytes[i] = (uint8_t)(i * 7 + i / 251);
    for (int i = 0; i < COUNT; i++) {
        f->labels[i] = i % 10;
        f->indexes[i] = (uint32_t)((i * 5) % COUNT);
    }
    f->dataset = (sonde__dataset){.count = COUNT,
                                  .channels = CHANNELS,
                                  .height = HEIGHT,
                                  .width = WIDTH,
                                  .classes = 10,
                                  .rows = 1,
                                  .bytes = f->bytes,
                                  .labels = f->labels,
                                  .mean = {0.25f, 0.5f},
                                  .deviation = {0.5f, 2.0f},
                                  .image = true,
                                  .flip = true};
    sonde__batcher_init(&f->batcher, &f->dataset, 3);
}

static float normalised(const fixture *f, size_t example, int channel, int y, int x)
{
    size_t at = ((example * CHANNELS + (size_t)channel) * HEIGHT + (size_t)y) * WIDTH + (size_t)x;
    return ((float)f->bytes[at] / 255.0f - f->dataset.mean[channel]) /
           f->dataset.deviation[channel];
}

static void bytes_become_normalised_floats(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    float x[2 * CHANNELS * AREA];
    int32_t labels[2];
    const uint32_t indexes[2] = {11, 4};
    sonde__batcher_fill(&f.batcher, indexes, 2, -1, x, labels);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < CHANNELS; c++)
            for (int p = 0; p < AREA; p++)
                check_close(x[(i * CHANNELS + c) * AREA + p],
                            normalised(&f, indexes[i], c, p / WIDTH, p % WIDTH), 0, 0, "pixel");
    assert_int_equal(labels[0], 1);
    assert_int_equal(labels[1], 4);
    sonde_context_free(f.context);
}

/* Whether `out` is the example shifted by (down, right), mirrored or not, padded by byte 0. */
static bool is_view(const fixture *f, size_t example, const float *out, int down, int right,
                    bool mirrored)
{
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                int from_y = y + down, from_x = (mirrored ? WIDTH - 1 - x : x) + right;
                bool inside = from_y >= 0 && from_y < HEIGHT && from_x >= 0 && from_x < WIDTH;
                float wanted = inside ? normalised(f, example, c, from_y, from_x)
                                      : -f->dataset.mean[c] / f->dataset.deviation[c];
                if (out[(c * HEIGHT + y) * WIDTH + x] != wanted)
                    return false;
            }
    return true;
}

static void augmented_examples_are_crops_and_mirror_images(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    float out[CHANNELS * AREA];
    int mirrored = 0, moved = 0;
    for (uint32_t example = 0; example < COUNT; example++) {
        bool found = false;
        sonde__batcher_fill(&f.batcher, &example, 1, 2, out, NULL);
        for (int down = -4; down <= 4 && !found; down++)
            for (int right = -4; right <= 4 && !found; right++)
                for (int mirror = 0; mirror < 2 && !found; mirror++) {
                    found = is_view(&f, example, out, down, right, mirror);
                    mirrored += found && mirror;
                    moved += found && (down || right);
                }
        assert_true(found);
    }
    assert_in_range(mirrored, 5, COUNT - 5);
    assert_in_range(moved, COUNT / 2, COUNT);
    sonde_context_free(f.context);
}

static void augmentation_depends_on_epoch_and_example_alone(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    float together[3 * CHANNELS * AREA], alone[CHANNELS * AREA], later[CHANNELS * AREA];
    const uint32_t indexes[3] = {5, 9, 20};
    int differs = 0;
    sonde__batcher_fill(&f.batcher, indexes, 3, 4, together, NULL);
    for (int i = 0; i < 3; i++) {
        sonde__batcher_fill(&f.batcher, &indexes[i], 1, 4, alone, NULL);
        assert_memory_equal(alone, together + i * CHANNELS * AREA, sizeof(alone));
        sonde__batcher_fill(&f.batcher, &indexes[i], 1, 5, later, NULL);
        differs += memcmp(alone, later, sizeof(alone)) != 0;
    }
    assert_true(differs >= 2);
    f.dataset.flip = false; /* digits: no view may be a mirror image */
    for (uint32_t example = 0; example < COUNT; example++) {
        bool found = false;
        sonde__batcher_fill(&f.batcher, &example, 1, 1, alone, NULL);
        for (int shift = 0; shift < 81 && !found; shift++)
            found = is_view(&f, example, alone, shift / 9 - 4, shift % 9 - 4, false);
        assert_true(found);
    }
    sonde_context_free(f.context);
}

static void every_example_is_in_one_batch(void **state)
{
    (void)state;
    for (size_t examples = 0; examples < 40; examples++)
        for (size_t size = 1; size < 12; size++)
            for (int no_single = 0; no_single < 2; no_single++) {
                size_t count = sonde__batch_count(examples, size, no_single), at = 0, begin, end;
                for (size_t i = 0; i < count; i++) {
                    sonde__batch_span(examples, size, no_single, i, &begin, &end);
                    assert_int_equal(begin, at);
                    assert_in_range(end - begin, 1, size + (no_single ? 1 : 0));
                    if (no_single && size > 1)
                        assert_true(end - begin > 1);
                    at = end;
                }
                if (!(no_single && examples == 1))
                    assert_int_equal(at, examples);
            }
}

static void run_epoch(fixture *f, sonde__loader *loader, size_t count, size_t size, int64_t epoch)
{
    float expected[CHANNELS * AREA];
    size_t seen = 0;
    sonde__batch batch;
    sonde__epoch_plan plan = {.indexes = f->indexes, .count = count, .batch = size, .epoch = epoch};
    sonde__loader_start(loader, &plan);
    while (sonde__loader_next(loader, &batch)) {
        assert_int_equal(batch.begin, seen);
        for (size_t i = 0; i < batch.count; i++, seen++) {
            sonde__batcher_fill(&f->batcher, &f->indexes[seen], 1, epoch, expected, NULL);
            assert_memory_equal(expected, batch.x + i * CHANNELS * AREA, sizeof(expected));
            assert_int_equal(batch.labels[i], f->labels[f->indexes[seen]]);
        }
    }
    assert_int_equal(seen, count);
    assert_false(sonde__loader_next(loader, &batch));
}

static void the_loader_delivers_epochs_in_order(void **state)
{
    (void)state;
    fixture f;
    sonde__loader *loader;
    fixture_open(&f);
    check_ok(f.context, sonde__loader_create(f.context, &f.batcher, 12, &loader));
    for (int64_t epoch = -1; epoch < 20; epoch++) {
        run_epoch(&f, loader, COUNT, 12, epoch);
        run_epoch(&f, loader, 12, 12, epoch);
        run_epoch(&f, loader, 1, 12, epoch);
        run_epoch(&f, loader, 0, 12, epoch);
        run_epoch(&f, loader, COUNT, 1, epoch);
    }
    sonde__loader_free(loader);
    assert_int_equal(sonde_context_memory_used(f.context), 0);
    sonde_context_free(f.context);
}

static void an_epoch_can_be_dropped_at_any_batch(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f);
    for (int taken = 0; taken < 6; taken++) {
        sonde__loader *loader;
        sonde__batch batch;
        sonde__epoch_plan plan = {.indexes = f.indexes, .count = COUNT, .batch = 5, .epoch = 1};
        double begun = sonde__seconds();
        check_ok(f.context, sonde__loader_create(f.context, &f.batcher, 12, &loader));
        sonde__loader_start(loader, &plan);
        for (int i = 0; i < taken; i++)
            assert_true(sonde__loader_next(loader, &batch));
        run_epoch(&f, loader, COUNT, 7, 3); /* a new epoch in the middle of one */
        sonde__loader_start(loader, &plan);
        sonde__loader_free(loader); /* and an end in the middle of one */
        assert_true(sonde__seconds() - begun < 5);
    }
    sonde__loader_free(NULL);
    sonde_context_free(f.context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_normalised_floats),
        cmocka_unit_test(augmented_examples_are_crops_and_mirror_images),
        cmocka_unit_test(augmentation_depends_on_epoch_and_example_alone),
        cmocka_unit_test(every_example_is_in_one_batch),
        cmocka_unit_test(the_loader_delivers_epochs_in_order),
        cmocka_unit_test(an_epoch_can_be_dropped_at_any_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
