/* Zip archives: what is read, and that whatever two readers could see differently is refused. */
#include "check.h"
#include "failing.h"
#include "zip_writer.h"

#include "file/zip.h"

static zip_writer writer;
static bool check_begun; /* every archive that opens must hold what begin() wrote */

/* What begin() writes. */
static void check_content(const char *name, const uint8_t *content, size_t size)
{
    const char *expected = strcmp(name, "a/one") == 0   ? "first content"
                           : strcmp(name, "a/two") == 0 ? "second second second second"
                                                        : "";
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(content, expected, size);
}

/* Opens bytes; on success reads every member. */
static sonde_status open_bytes(sonde_context *context, const uint8_t *bytes, size_t size)
{
    sonde__input *input = NULL;
    sonde__zip *zip = NULL;
    sonde_status status = sonde__input_memory(context, "a.zip", bytes, size, &input);
    if (status == SONDE_OK)
        status = sonde__zip_open(context, input, &zip);
    for (size_t i = 0; status == SONDE_OK && i < sonde__zip_count(zip); i++) {
        uint8_t *content = NULL;
        size_t length = 0;
        status = sonde__zip_read(zip, sonde__zip_at(zip, i), 1 << 20, &content, &length);
        if (status == SONDE_OK && check_begun)
            check_content(sonde__zip_at(zip, i)->name, content, length);
        if (status == SONDE_OK)
            sonde__free(context, content);
    }
    sonde__zip_close(zip);
    sonde__input_close(input);
    return status;
}

static void check_refused(const zip_writer *w, sonde_status expected, const char *says)
{
    sonde_context *context = check_context();
    check_status(open_bytes(context, w->bytes, w->size), expected);
    if (!strstr(sonde_context_error(context)->message, says))
        fail_msg("'%s' does not say '%s'", sonde_context_error(context)->message, says);
    assert_string_equal(sonde_context_error(context)->file, "a.zip");
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void check_accepted(const zip_writer *w)
{
    sonde_context *context = check_context();
    check_ok(context, open_bytes(context, w->bytes, w->size));
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* Two stored members and a packed one, not finished. */
static zip_writer *begin(void)
{
    memset(&writer, 0, sizeof writer);
    zip_put(&writer, "a/one", "first content", 13);
    zip_put_as(&writer, "a/two", "second second second second", 27, 8, 0);
    zip_put_as(&writer, "b", "", 0, 0, 8);
    return &writer;
}

static zip_writer *whole(void)
{
    zip_finish(begin());
    return &writer;
}

static void members_are_listed_in_order_found_by_name_and_read(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__input *input = NULL;
    sonde__zip *zip = NULL;
    uint8_t *content = NULL;
    size_t size = 0;
    const zip_writer *w = whole();
    check_ok(context, sonde__input_memory(context, "a.zip", w->bytes, w->size, &input));
    check_ok(context, sonde__zip_open(context, input, &zip));
    assert_int_equal(sonde__zip_count(zip), 3);
    assert_string_equal(sonde__zip_at(zip, 0)->name, "a/one");
    assert_int_equal(sonde__zip_at(zip, 0)->offset, 30 + 5);
    assert_true(sonde__zip_at(zip, 1)->deflated);
    assert_null(sonde__zip_at(zip, 3));
    assert_null(sonde__zip_find(zip, "a"));
    const sonde__zip_member *two = sonde__zip_find(zip, "a/two");
    assert_ptr_equal(two, sonde__zip_at(zip, 1));
    assert_int_equal(two->index, 1);
    check_ok(context, sonde__zip_read(zip, two, 27, &content, &size));
    assert_int_equal(size, 27);
    assert_memory_equal(content, "second second second second", 27);
    sonde__free(context, content);
    check_status(sonde__zip_read(zip, two, 26, &content, &size), SONDE_ERROR_UNSUPPORTED);
    sonde__zip_close(zip);
    sonde__input_close(input);
    sonde_context_free(context);
}

static void an_archive_without_members_is_one(void **state)
{
    (void)state;
    memset(&writer, 0, sizeof writer);
    zip_finish(&writer);
    assert_true(sonde__is_zip(writer.bytes, writer.size));
    check_accepted(&writer);
}

static void zip64_records_are_read_and_must_agree(void **state)
{
    (void)state;
    zip_finish_as(begin(), true, "", 0);
    check_accepted(&writer);
    zip_number(writer.bytes + writer.end + 8, 4, UINT32_MAX); /* both counts from the wide one */
    zip_number(writer.bytes + writer.end + 12, 8, UINT64_MAX);
    check_accepted(&writer);
    zip_number(writer.bytes + writer.end + 10, 2, 2);
    zip_number(writer.bytes + writer.end + 8, 2, 2);
    check_refused(&writer, SONDE_ERROR_FORMAT, "say different things");
    zip_finish_as(begin(), true, "", 0);
    zip_number(writer.bytes + writer.end - 12, 8, UINT64_MAX - 3);
    check_refused(&writer, SONDE_ERROR_FORMAT, "points outside");
    zip_finish_as(begin(), true, "", 0);
    memset(writer.bytes + writer.end - 20 - 32, 0xff, 16); /* entries */
    check_refused(&writer, SONDE_ERROR_FORMAT, "say different things");
    /* A wide record that is needed and missing. */
    zip_finish(begin());
    zip_number(writer.bytes + writer.end + 16, 4, UINT32_MAX);
    check_refused(&writer, SONDE_ERROR_FORMAT, "does not end where");
}

static void a_plain_comment_is_accepted_and_a_second_directory_in_it_is_not(void **state)
{
    (void)state;
    uint8_t end[22] = "PK\5\6";
    zip_finish_as(begin(), false, "made by hand", 12);
    check_accepted(&writer);
    zip_finish_as(begin(), false, end, sizeof end);
    check_refused(&writer, SONDE_ERROR_FORMAT, "two end records");
    zip_finish_as(begin(), false, "xxPK\5\6xx", 8);
    check_refused(&writer, SONDE_ERROR_FORMAT, "does not reach the end");
}

static void bytes_in_front_behind_or_between_are_refused(void **state)
{
    (void)state;
    whole();
    memmove(writer.bytes + 7, writer.bytes, writer.size);
    writer.size += 7;
    check_refused(&writer, SONDE_ERROR_FORMAT, "does not end where");
    /* The same with offsets that count them in. */
    memset(&writer, 0, sizeof writer);
    zip_add_bytes(&writer, "prefix", 6);
    zip_put(&writer, "a", "x", 1);
    zip_finish(&writer);
    check_refused(&writer, SONDE_ERROR_FORMAT, "in front of the first one");
    whole();
    zip_add_bytes(&writer, "tail", 4);
    check_refused(&writer, SONDE_ERROR_FORMAT, "does not reach the end");
    memset(&writer, 0, sizeof writer);
    zip_put(&writer, "a", "x", 1);
    zip_add_bytes(&writer, "between", 7);
    zip_put(&writer, "b", "y", 1);
    zip_finish(&writer);
    check_refused(&writer, SONDE_ERROR_FORMAT, "bytes of no member");
}

static void local_and_central_headers_must_agree(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *what;
    } fields[] = {{6, "flags"},   {8, "method"}, {14, "crc"},
                  {18, "packed"}, {22, "size"},  {30, "name"}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        whole();
        writer.bytes[fields[i].at] ^= 2;
        check_refused(&writer, SONDE_ERROR_FORMAT, "say different things");
    }
    whole();
    writer.bytes[writer.members[1].header] = 'X';
    check_refused(&writer, SONDE_ERROR_FORMAT, "no local header");
}

static void descriptors_must_repeat_the_directory(void **state)
{
    (void)state;
    for (size_t i = 0; i < 16; i++) {
        memset(&writer, 0, sizeof writer);
        zip_put_as(&writer, "a", "content", 7, 0, 8);
        zip_finish(&writer);
        check_accepted(&writer);
        writer.bytes[writer.members[0].data + 7 + i] ^= 1;
        check_refused(&writer, SONDE_ERROR_FORMAT, "descriptor");
    }
}

static void two_members_may_not_share_bytes(void **state)
{
    (void)state;
    whole();
    zip_number(writer.bytes + writer.members[1].central + 42, 4, 0);
    check_refused(&writer, SONDE_ERROR_FORMAT, "overlaps");
}

static void two_members_may_not_have_one_name(void **state)
{
    (void)state;
    memset(&writer, 0, sizeof writer);
    zip_put(&writer, "same", "1", 1);
    zip_put(&writer, "other", "2", 1);
    zip_put(&writer, "same", "3", 1);
    zip_finish(&writer);
    check_refused(&writer, SONDE_ERROR_FORMAT, "two members have this name");
}

static void names_that_could_leave_a_folder_are_refused(void **state)
{
    (void)state;
    static const char *names[] = {"/etc/passwd", "../a", "a/../b", "a/..", "..", "a\\b", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        memset(&writer, 0, sizeof writer);
        zip_put(&writer, names[i], "x", 1);
        zip_finish(&writer);
        check_refused(&writer, SONDE_ERROR_FORMAT, "a name that is empty, absolute");
    }
    whole();
    writer.bytes[writer.members[0].central + 47] = 0;
    check_refused(&writer, SONDE_ERROR_FORMAT, "holds NUL");
    memset(&writer, 0, sizeof writer);
    zip_put(&writer, "..a/b..c/...", "x", 1);
    zip_finish(&writer);
    check_accepted(&writer);
}

static void encryption_unknown_flags_and_methods_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        unsigned flags, method;
        const char *says;
    } cases[] = {{1, 0, "encrypted"},    {1 << 6, 0, "encrypted"},  {1 << 13, 0, "encrypted"},
                 {1 << 5, 0, "unknown"}, {1 << 4, 0, "unknown"},    {1 << 14, 0, "unknown"},
                 {0, 12, "deflate"},     {0, 93, "another method"}, {0, 9, "another method"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&writer, 0, sizeof writer);
        zip_put_as(&writer, "a", "x", 1, cases[i].method, cases[i].flags);
        zip_finish(&writer);
        check_refused(&writer, SONDE_ERROR_UNSUPPORTED, cases[i].says);
    }
    memset(&writer, 0, sizeof writer);
    zip_put_as(&writer, "\xc3\xa9", "xxxxxxxxxxx", 11, 8, 1 << 11 | 1 << 1);
    zip_finish(&writer);
    check_accepted(&writer);
}

static void damaged_content_is_corrupt(void **state)
{
    (void)state;
    whole();
    writer.bytes[writer.members[0].data + 3] ^= 1;
    check_refused(&writer, SONDE_ERROR_CORRUPT, "checksum");
    whole();
    writer.bytes[writer.members[1].data + 3] ^= 1;
    check_refused(&writer, SONDE_ERROR_CORRUPT, "");
}

static void sizes_that_lie_are_refused(void **state)
{
    (void)state;
    /* Packed data that gives fewer, then more bytes than are claimed. */
    for (int step = -1; step <= 1; step += 2) {
        whole();
        const uint64_t size = (uint64_t)(27 + step);
        zip_number(writer.bytes + writer.members[1].header + 22, 4, size);
        zip_number(writer.bytes + writer.members[1].central + 24, 4, size);
        check_refused(&writer, SONDE_ERROR_CORRUPT, "size");
    }
    whole();
    zip_number(writer.bytes + writer.members[1].header + 22, 4, 1u << 30);
    zip_number(writer.bytes + writer.members[1].central + 24, 4, 1u << 30);
    check_refused(&writer, SONDE_ERROR_FORMAT, "more than deflate can hold");
    whole();
    zip_number(writer.bytes + writer.members[0].header + 22, 4, 14);
    zip_number(writer.bytes + writer.members[0].central + 24, 4, 14);
    check_refused(&writer, SONDE_ERROR_FORMAT, "two sizes differ");
}

static void a_count_that_lies_allocates_nothing(void **state)
{
    (void)state;
    zip_finish_as(begin(), true, "", 0);
    zip_number(writer.bytes + writer.end - 20 - 56 + 24, 8, UINT64_C(1) << 40);
    zip_number(writer.bytes + writer.end - 20 - 56 + 32, 8, UINT64_C(1) << 40);
    zip_number(writer.bytes + writer.end + 8, 4, UINT32_MAX);
    sonde_context *context = check_context();
    check_status(open_bytes(context, writer.bytes, writer.size), SONDE_ERROR_FORMAT);
    assert_true(sonde_context_memory_peak(context) < 200000);
    sonde_context_free(context);
}

static void an_archive_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    whole();
    const size_t size = writer.size;
    for (size_t cut = 0; cut < size; cut++) {
        sonde_context *context = check_context();
        /* An exact copy, so that a read past the end is seen. */
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, writer.bytes, cut);
        assert_int_not_equal(open_bytes(context, copy, cut), SONDE_OK);
        assert_int_equal(sonde_context_memory_used(context), 0);
        free(copy);
        sonde_context_free(context);
    }
}

static void no_changed_byte_gives_other_content_under_a_name(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    check_begun = true;
    for (int wide = 0; wide < 2; wide++) {
        zip_finish_as(begin(), wide, "", 0);
        for (size_t i = 0; i < writer.size; i++)
            for (int bit = 0; bit < 8; bit++) {
                writer.bytes[i] ^= (uint8_t)(1 << bit);
                (void)open_bytes(context, writer.bytes, writer.size); /* ends, and frees all */
                assert_int_equal(sonde_context_memory_used(context), 0);
                writer.bytes[i] ^= (uint8_t)(1 << bit);
            }
        check_accepted(&writer);
    }
    check_begun = false;
    sonde_context_free(context);
}

static sonde_status open_and_read(sonde_context *context, void *argument)
{
    const zip_writer *w = argument;
    return open_bytes(context, w->bytes, w->size);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(failing_run(open_and_read, whole()) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_listed_in_order_found_by_name_and_read),
        cmocka_unit_test(an_archive_without_members_is_one),
        cmocka_unit_test(zip64_records_are_read_and_must_agree),
        cmocka_unit_test(a_plain_comment_is_accepted_and_a_second_directory_in_it_is_not),
        cmocka_unit_test(bytes_in_front_behind_or_between_are_refused),
        cmocka_unit_test(local_and_central_headers_must_agree),
        cmocka_unit_test(descriptors_must_repeat_the_directory),
        cmocka_unit_test(two_members_may_not_share_bytes),
        cmocka_unit_test(two_members_may_not_have_one_name),
        cmocka_unit_test(names_that_could_leave_a_folder_are_refused),
        cmocka_unit_test(encryption_unknown_flags_and_methods_are_refused_by_name),
        cmocka_unit_test(damaged_content_is_corrupt),
        cmocka_unit_test(sizes_that_lie_are_refused),
        cmocka_unit_test(a_count_that_lies_allocates_nothing),
        cmocka_unit_test(an_archive_cut_at_any_byte_is_refused),
        cmocka_unit_test(no_changed_byte_gives_other_content_under_a_name),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
