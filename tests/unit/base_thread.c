/* The pool: every job runs once, sums do not depend on the number of threads, nothing is lost. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/thread.h"
#include "check.h"
#include "failing.h"

enum { ITEMS = 100003, CHUNK = 1000 };

typedef struct summing {
    const double *values;
    double parts[ITEMS / CHUNK + 1];
} summing;

static void sum_range(void *argument, size_t begin, size_t end)
{
    summing *s = argument;
    double sum = 0;
    for (size_t i = begin; i < end; i++)
        sum += s->values[i];
    s->parts[begin / CHUNK] = sum;
}

static void sums_are_the_same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    static double values[ITEMS];
    static summing s;
    sonde_context *context = check_context();
    for (size_t i = 0; i < ITEMS; i++)
        values[i] = sin((double)i) * pow(10, (double)(i % 17) - 8);
    s.values = values;
    double first = 0;
    for (int threads = 0; threads <= 4; threads++) {
        sonde__pool *pool = NULL;
        if (threads > 0)
            check_ok(context, sonde__pool_create(context, threads, false, &pool));
        memset(s.parts, 0, sizeof s.parts);
        sonde__parallel_for(pool, ITEMS, CHUNK, sum_range, &s);
        double total = 0;
        for (size_t i = 0; i < ITEMS / CHUNK + 1; i++)
            total += s.parts[i];
        if (threads == 0)
            first = total;
        assert_memory_equal(&total, &first, sizeof total);
        sonde__pool_free(pool);
    }
    sonde_context_free(context);
}

typedef struct covering {
    atomic_int seen[1000];
    size_t chunk;
} covering;

static void cover_range(void *argument, size_t begin, size_t end)
{
    covering *c = argument;
    assert_true(end > begin && end - begin <= c->chunk && begin % c->chunk == 0);
    for (size_t i = begin; i < end; i++)
        atomic_fetch_add(&c->seen[i], 1);
}

static void each_item_is_handled_once(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__pool *pool = NULL;
    check_ok(context, sonde__pool_create(context, 3, true, &pool));
    static const size_t sizes[] = {0, 1, 2, 7, 999, 1000}, chunks[] = {1, 3, 1000, 5000};
    for (size_t n = 0; n < 6; n++)
        for (size_t c = 0; c < 4; c++) {
            static covering covered;
            memset(&covered, 0, sizeof covered);
            covered.chunk = chunks[c];
            sonde__parallel_for(pool, sizes[n], chunks[c], cover_range, &covered);
            for (size_t i = 0; i < 1000; i++)
                assert_int_equal(atomic_load(&covered.seen[i]), i < sizes[n]);
        }
    sonde__pool_free(pool);
    sonde_context_free(context);
}

static void count_one(void *argument)
{
    atomic_fetch_add((atomic_int *)argument, 1);
}

static void every_job_has_run_after_a_wait(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__pool *pool = NULL;
    atomic_int count = 0;
    check_ok(context, sonde__pool_create(context, 2, true, &pool));
    sonde__pool_wait(pool);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 500; i++)
            check_ok(context, sonde__pool_submit(pool, count_one, &count));
        sonde__pool_wait(pool);
        assert_int_equal(atomic_load(&count), 500 * round);
    }
    for (int i = 0; i < 100; i++)
        check_ok(context, sonde__pool_submit(pool, count_one, &count));
    sonde__pool_free(pool); /* waits too */
    assert_int_equal(atomic_load(&count), 1600);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void pass_gate(void *argument)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    count_one(argument);
}

static void a_loop_does_not_wait_for_a_busy_worker(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__pool *pool = NULL;
    atomic_int count = 0;
    check_ok(context, sonde__pool_create(context, 1, false, &pool));
    pthread_mutex_lock(&gate);
    check_ok(context, sonde__pool_submit(pool, pass_gate, &count));
    static covering covered;
    memset(&covered, 0, sizeof covered);
    covered.chunk = 10;
    sonde__parallel_for(pool, 1000, 10, cover_range, &covered);
    assert_int_equal(atomic_load(&count), 0);
    pthread_mutex_unlock(&gate);
    sonde__pool_wait(pool);
    assert_int_equal(atomic_load(&count), 1);
    sonde__pool_free(pool);
    sonde_context_free(context);
}

typedef struct nested {
    sonde__pool *pool;
    atomic_int count;
} nested;

static void count_range(void *argument, size_t begin, size_t end)
{
    nested *n = argument;
    atomic_fetch_add(&n->count, (int)(end - begin));
}

static void outer_range(void *argument, size_t begin, size_t end)
{
    nested *n = argument;
    for (size_t i = begin; i < end; i++)
        sonde__parallel_for(n->pool, 50, 3, count_range, n);
}

static void loops_may_be_nested(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    nested n = {.count = 0};
    check_ok(context, sonde__pool_create(context, 3, false, &n.pool));
    sonde__parallel_for(n.pool, 40, 1, outer_range, &n);
    assert_int_equal(atomic_load(&n.count), 2000);
    sonde__pool_free(n.pool);
    sonde_context_free(context);
}

static void read_mask(void *argument)
{
    pthread_sigmask(SIG_SETMASK, NULL, argument);
}

static void workers_take_no_signals(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__pool *pool = NULL;
    sigset_t mask, own;
    sigemptyset(&mask);
    check_ok(context, sonde__pool_create(context, 1, false, &pool));
    check_ok(context, sonde__pool_submit(pool, read_mask, &mask));
    sonde__pool_wait(pool);
    assert_int_equal(sigismember(&mask, SIGINT), 1);
    assert_int_equal(sigismember(&mask, SIGTERM), 1);
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_int_equal(sigismember(&own, SIGINT), 0);
    sonde__pool_free(pool);
    sonde_context_free(context);
}

static sonde_status use_pool(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__pool *pool = NULL;
    atomic_int count = 0;
    int submitted = 0;
    sonde_status status = sonde__pool_create(context, 2, false, &pool);
    for (int i = 0; i < 40 && status == SONDE_OK; i++) {
        status = sonde__pool_submit(pool, count_one, &count);
        submitted += status == SONDE_OK;
    }
    sonde__pool_free(pool);
    assert_int_equal(atomic_load(&count), submitted);
    return status;
}

static void a_pool_survives_every_refused_allocation(void **state)
{
    (void)state;
    assert_true(failing_run(use_pool, NULL) >= 3);
}

static void the_clock_goes_on(void **state)
{
    (void)state;
    double before = sonde__seconds();
    usleep(2000);
    double passed = sonde__seconds() - before;
    assert_true(passed >= 0.002 && passed < 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(each_item_is_handled_once),
        cmocka_unit_test(every_job_has_run_after_a_wait),
        cmocka_unit_test(a_loop_does_not_wait_for_a_busy_worker),
        cmocka_unit_test(loops_may_be_nested),
        cmocka_unit_test(workers_take_no_signals),
        cmocka_unit_test(a_pool_survives_every_refused_allocation),
        cmocka_unit_test(the_clock_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
