/* The context: budget, counters, alignment, sizes told to the allocator, the error record. */
#include <pthread.h>

#include "base/checked.h"
#include "base/context.h"
#include "check.h"
#include "failing.h"

static sonde_context *limited(size_t bytes)
{
    sonde_context *context = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.memory_limit = bytes;
    assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
    return context;
}

static void blocks_are_aligned_and_counted(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    void *blocks[200];
    size_t asked = 0;
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = sonde__alloc(context, i, 3);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], 0xff, 3 * i);
        asked += 3 * i;
        assert_true(sonde_context_memory_used(context) >= asked);
    }
    for (size_t i = 0; i < 200; i++)
        sonde__free(context, blocks[i]);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) >= asked);
    sonde_context_free(context);
}

static void zero_bytes_give_a_valid_block(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    void *a = sonde__alloc(context, 0, 8), *b = sonde__alloc_zero(context, 8, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    a = sonde__resize(context, a, 10, 1);
    assert_non_null(a);
    a = sonde__resize(context, a, 0, 1);
    assert_non_null(a);
    sonde__free(context, a);
    sonde__free(context, b);
    sonde__free(context, NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    assert_null(sonde__alloc(context, SIZE_MAX / 2 + 1, 2));
    assert_int_equal(sonde_context_error(context)->status, SONDE_ERROR_OVERFLOW);
    assert_null(sonde__alloc(context, SIZE_MAX, 1));
    assert_int_equal(sonde_context_error(context)->status, SONDE_ERROR_OVERFLOW);
    char *block = sonde__alloc(context, 4, 1);
    memcpy(block, "abc", 4);
    assert_null(sonde__resize(context, block, SIZE_MAX / 4, 8));
    assert_string_equal(block, "abc");
    sonde__free(context, block);
    size_t out;
    assert_false(sonde__multiply((size_t)1 << 32, (size_t)1 << 32, &out));
    assert_false(sonde__add(SIZE_MAX, 1, &out));
    assert_true(sonde__multiply(0, SIZE_MAX, &out));
    assert_int_equal(out, 0);
    sonde_context_free(context);
}

static void the_budget_is_a_status_and_holds(void **state)
{
    (void)state;
    sonde_context *context = limited(100000);
    char *block = sonde__alloc(context, 60000, 1);
    assert_non_null(block);
    block[0] = 7;
    assert_null(sonde__alloc(context, 60000, 1));
    assert_int_equal(sonde_context_error(context)->status, SONDE_ERROR_MEMORY);
    assert_non_null(strstr(sonde_context_error(context)->message, "100000"));
    assert_null(sonde__resize(context, block, 120000, 1));
    assert_int_equal(block[0], 7);
    block = sonde__resize(context, block, 90000, 1);
    assert_non_null(block);
    block = sonde__resize(context, block, 10, 1);
    assert_non_null(block);
    assert_true(sonde_context_memory_used(context) < 1000);
    assert_true(sonde_context_memory_peak(context) <= 100000);
    sonde__free(context, block);
    sonde_context_free(context);
}

static void a_quiet_failure_leaves_the_record_alone(void **state)
{
    (void)state;
    sonde_context *context = limited(1000);
    sonde__fail(context, SONDE_ERROR_SHAPE, "before");
    assert_null(sonde__alloc_quiet(context, 5000, 1));
    assert_int_equal(sonde_context_error(context)->status, SONDE_ERROR_SHAPE);
    assert_string_equal(sonde_context_error(context)->message, "before");
    sonde_context_free(context);
}

/* Content survives growing and shrinking wherever the allocator puts the block. */
static void resizing_keeps_the_content(void **state)
{
    (void)state;
    failing_allocator allocator;
    failing_init(&allocator, FAILING_NEVER);
    sonde_context *context = failing_context(&allocator);
    static const size_t sizes[] = {1, 63, 64, 65, 1000, 7, 100000, 128, 3, 4096};
    unsigned char *block = NULL;
    size_t kept = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        block = sonde__resize(context, block, sizes[s], 1);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        size_t common = kept < sizes[s] ? kept : sizes[s];
        for (size_t i = 0; i < common; i++)
            assert_int_equal(block[i], (unsigned char)(i * 7 + 1));
        for (size_t i = 0; i < sizes[s]; i++)
            block[i] = (unsigned char)(i * 7 + 1);
        kept = sizes[s];
    }
    sonde__free(context, block);
    failing_finish(&allocator, context, SONDE_OK);
    failing_destroy(&allocator);
}

static void a_refused_shrink_keeps_the_block_whole(void **state)
{
    (void)state;
    failing_allocator allocator;
    failing_init(&allocator, 1);
    sonde_context *context = failing_context(&allocator);
    unsigned char *block = sonde__alloc(context, 5000, 1);
    for (size_t i = 0; i < 5000; i++)
        block[i] = (unsigned char)(i * 11);
    assert_null(sonde__resize(context, block, 900, 1));
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(block[i], (unsigned char)(i * 11));
    sonde__free(context, block);
    failing_finish(&allocator, context, SONDE_ERROR_MEMORY);
    failing_destroy(&allocator);
}

static sonde_status use_memory(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_status status = SONDE_OK;
    char *text = sonde__copy_string(context, "a name");
    int *zeros = sonde__alloc_zero(context, 1000, sizeof *zeros);
    int *more = zeros ? sonde__resize(context, zeros, 5000, sizeof *zeros) : NULL;
    if (more)
        zeros = more;
    if (!text || !more)
        status = sonde_context_error(context)->status;
    sonde__free(context, text);
    sonde__free(context, zeros);
    return status;
}

static void each_refused_allocation_is_reported_and_nothing_leaks(void **state)
{
    (void)state;
    assert_int_equal(failing_run(use_memory, NULL), 3);
}

static void a_context_that_cannot_be_made_is_a_status(void **state)
{
    (void)state;
    failing_allocator allocator;
    failing_init(&allocator, 0);
    sonde_context *context = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.allocate = failing_allocate;
    options.allocate_user = &allocator;
    check_status(sonde_context_create(&options, &context), SONDE_ERROR_MEMORY);
    assert_null(context);
    options.threads = -1;
    check_status(sonde_context_create(&options, &context), SONDE_ERROR_ARGUMENT);
    options.threads = 0;
    options.size = 3;
    check_status(sonde_context_create(&options, &context), SONDE_ERROR_ARGUMENT);
    sonde_context_free(NULL);
    failing_destroy(&allocator);
}

static void *allocate_often(void *argument)
{
    sonde_context *context = argument;
    for (int i = 0; i < 2000; i++) {
        void *block = sonde__alloc_quiet(context, (size_t)(i % 50), 3);
        sonde__free(context, block);
    }
    return NULL;
}

static void counters_balance_over_threads(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_often, context), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) > 0);
    sonde_context_free(context);
}

static void errors_are_copied_and_kept_on_one_line(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    char path[] = "some/file", item[] = "layer";
    assert_int_equal(sonde_context_error(context)->status, SONDE_OK);
    sonde__fail_at(context, SONDE_ERROR_FORMAT, path, item, 42, "%s: two\nlines \x1b[31m", path);
    path[0] = item[0] = 'X';
    const sonde_error *error = sonde_context_error(context);
    assert_int_equal(error->status, SONDE_ERROR_FORMAT);
    assert_string_equal(error->message, "some/file: two?lines ?[31m");
    assert_string_equal(error->file, "some/file");
    assert_string_equal(error->item, "layer");
    assert_int_equal(error->offset, 42);
    /* An error may be wrapped in a new one that quotes it. */
    sonde__fail(context, error->status, "while loading: %s", error->message);
    assert_string_equal(error->message, "while loading: some/file: two?lines ?[31m");
    assert_string_equal(error->file, "");
    assert_int_equal(error->offset, -1);
    sonde_context_free(context);
}

static void long_messages_are_cut_at_a_whole_character(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    char text[10001];
    for (size_t i = 0; i < 10000; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[10000] = '\0';
    sonde__fail_at(context, SONDE_ERROR_FORMAT, text, text, 0, "x%s", text);
    const sonde_error *error = sonde_context_error(context);
    assert_true(strlen(error->file) > 1000 && strlen(error->file) % 2 == 0);
    assert_int_equal((unsigned char)error->item[strlen(error->item) - 1], 0xa9);
    sonde_context_free(context);
}

static void statuses_have_names_and_sentences(void **state)
{
    (void)state;
    assert_string_equal(sonde_status_name(SONDE_ERROR_SHAPE), "SONDE_ERROR_SHAPE");
    assert_string_equal(sonde_status_sentence(SONDE_ERROR_SHAPE), "shapes do not fit together");
    assert_string_equal(sonde_status_name((sonde_status)12345), "SONDE_ERROR_UNKNOWN");
    assert_non_null(sonde_status_sentence((sonde_status)-5));
    assert_string_equal(sonde_validity_sentence(SONDE_VALID), "valid");
    assert_non_null(sonde_validity_sentence((sonde_validity)99));
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", SONDE_VERSION_MAJOR, SONDE_VERSION_MINOR,
             SONDE_VERSION_PATCH);
    assert_string_equal(sonde_version(), version);
}

static void cancelling_is_seen(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    assert_false(sonde__cancelled(context));
    sonde_context_cancel(context);
    assert_true(sonde__cancelled(context));
    assert_true(sonde__threads(context) >= 1);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(zero_bytes_give_a_valid_block),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(the_budget_is_a_status_and_holds),
        cmocka_unit_test(a_quiet_failure_leaves_the_record_alone),
        cmocka_unit_test(resizing_keeps_the_content),
        cmocka_unit_test(a_refused_shrink_keeps_the_block_whole),
        cmocka_unit_test(each_refused_allocation_is_reported_and_nothing_leaks),
        cmocka_unit_test(a_context_that_cannot_be_made_is_a_status),
        cmocka_unit_test(counters_balance_over_threads),
        cmocka_unit_test(errors_are_copied_and_kept_on_one_line),
        cmocka_unit_test(long_messages_are_cut_at_a_whole_character),
        cmocka_unit_test(statuses_have_names_and_sentences),
        cmocka_unit_test(cancelling_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
