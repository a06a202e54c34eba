/* Keyed streams: Random123's known answers, independence, moments, bounds. */
#include "base/random.h"
#include "check.h"

/* kat_vectors of Random123: philox4x32, 10 rounds. */
static void blocks_are_those_of_random123(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], block[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        sonde__stream stream = {.used = 4};
        memcpy(stream.counter, known[i].counter, sizeof stream.counter);
        memcpy(stream.key, known[i].key, sizeof stream.key);
        for (int w = 0; w < 4; w++)
            assert_int_equal(sonde__random_u32(&stream), known[i].block[w]);
    }
}

static void a_stream_depends_on_its_name_alone(void **state)
{
    (void)state;
    sonde__stream a = sonde__stream_open(5, SONDE__RANDOM_TEST, 77);
    uint64_t first = sonde__random_u64(&a);
    for (int i = 0; i < 1000; i++)
        sonde__random_normal(&a);
    sonde__stream b = sonde__stream_open(5, SONDE__RANDOM_TEST, 77);
    assert_true(sonde__random_u64(&b) == first);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void streams_of_other_names_differ(void **state)
{
    (void)state;
    enum { SEEDS = 6, PURPOSES = 9, INDEXES = 50, COUNT = SEEDS * PURPOSES * INDEXES };
    static uint64_t values[COUNT];
    static const uint64_t seeds[SEEDS] = {0, 1, 2, 3, 1ull << 32, UINT64_MAX};
    size_t n = 0;
    for (int s = 0; s < SEEDS; s++)
        for (int p = 1; p <= PURPOSES; p++)
            for (uint64_t i = 0; i < INDEXES; i++) {
                uint64_t index = i < 25 ? i : i << 32;
                sonde__stream stream = sonde__stream_open(seeds[s], (sonde__purpose)p, index);
                values[n++] = sonde__random_u64(&stream);
            }
    qsort(values, COUNT, sizeof *values, compare_u64);
    for (size_t i = 1; i < COUNT; i++)
        assert_true(values[i] != values[i - 1]);
}

/* Neighbouring indexes must not be correlated: 4 sigma of sqrt(1/n). */
static void neighbouring_streams_are_uncorrelated(void **state)
{
    (void)state;
    enum { N = 40000 };
    double sum = 0;
    for (uint64_t i = 0; i < N; i++) {
        sonde__stream a = sonde__stream_open(1, SONDE__RANDOM_TEST, i);
        sonde__stream b = sonde__stream_open(1, SONDE__RANDOM_TEST, i + 1);
        sum += sonde__random_normal(&a) * sonde__random_normal(&b);
    }
    assert_true(fabs(sum / N) < 4 / sqrt((double)N));
}

static void normals_have_the_moments_of_the_law(void **state)
{
    (void)state;
    enum { N = 400000 };
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, 0);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0, before = 0;
    int inside = 0;
    for (int i = 0; i < N; i++) {
        double z = sonde__random_normal(&stream);
        m1 += z;
        m2 += z * z;
        m3 += z * z * z;
        m4 += z * z * z * z;
        lag += z * before;
        before = z;
        inside += fabs(z) < 1;
    }
    double sigma = 1 / sqrt((double)N);
    check_close(m1 / N, 0, 4 * sigma, 0, "mean");
    check_close(m2 / N, 1, 4 * sqrt(2.0) * sigma, 0, "variance");
    check_close(m3 / N, 0, 4 * sqrt(15.0) * sigma, 0, "third moment");
    check_close(m4 / N, 3, 4 * sqrt(96.0) * sigma, 0, "fourth moment");
    check_close(lag / N, 0, 4 * sigma, 0, "lag-one correlation");
    check_close((double)inside / N, 0.6826894921, 0.004, 0, "share within one deviation");
}

static void uniforms_fill_their_interval(void **state)
{
    (void)state;
    sonde__stream stream = sonde__stream_open(9, SONDE__RANDOM_TEST, 1);
    double sum = 0, least = 1, most = 0;
    for (int i = 0; i < 100000; i++) {
        double u = sonde__random_uniform(&stream);
        assert_true(u >= 0 && u < 1);
        sum += u;
        least = u < least ? u : least;
        most = u > most ? u : most;
    }
    check_close(sum / 100000, 0.5, 4 * 0.2887 / sqrt(100000.0), 0, "mean");
    assert_true(least < 1e-3 && most > 1 - 1e-3);
}

static void bounded_draws_are_fair(void **state)
{
    (void)state;
    sonde__stream stream = sonde__stream_open(11, SONDE__RANDOM_TEST, 2);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[sonde__random_below(&stream, 7)]++;
    double chi = 0;
    for (int k = 0; k < 7; k++)
        chi += (counts[k] - 10000.0) * (counts[k] - 10000.0) / 10000.0;
    assert_true(chi < 22.5); /* 99.9 % point at 6 degrees of freedom */
    assert_int_equal(sonde__random_below(&stream, 1), 0);
    /* With the modulus alone a third of these draws would fall on the lower quarter. */
    uint64_t n = 3ull << 62;
    int low = 0;
    for (int i = 0; i < 4000; i++) {
        uint64_t value = sonde__random_below(&stream, n);
        assert_true(value < n);
        low += value < 1ull << 62;
    }
    check_close(low / 4000.0, 1 / 3.0, 0.03, 0, "share of the lower third");
}

static void a_shuffle_is_a_fair_permutation(void **state)
{
    (void)state;
    int places[5][5] = {{0}};
    for (uint64_t r = 0; r < 20000; r++) {
        uint32_t values[5] = {0, 1, 2, 3, 4};
        sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_SHUFFLE, r);
        sonde__random_shuffle(&stream, values, 5);
        unsigned seen = 0;
        for (int i = 0; i < 5; i++) {
            seen |= 1u << values[i];
            places[values[i]][i]++;
        }
        assert_int_equal(seen, 31);
    }
    for (int v = 0; v < 5; v++)
        for (int i = 0; i < 5; i++)
            check_close(places[v][i] / 20000.0, 0.2, 0.012, 0, "share of a value at a place");
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_SHUFFLE, 0);
    sonde__random_shuffle(&stream, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_those_of_random123),
        cmocka_unit_test(a_stream_depends_on_its_name_alone),
        cmocka_unit_test(streams_of_other_names_differ),
        cmocka_unit_test(neighbouring_streams_are_uncorrelated),
        cmocka_unit_test(normals_have_the_moments_of_the_law),
        cmocka_unit_test(uniforms_fill_their_interval),
        cmocka_unit_test(bounded_draws_are_fair),
        cmocka_unit_test(a_shuffle_is_a_fair_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
