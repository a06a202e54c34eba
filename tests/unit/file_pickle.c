/* The pickle interpreter: what each opcode builds, and that nothing but data is ever built. */
#include "check.h"
#include "failing.h"

#include "file/pickle.h"

static sonde_context *context;
static sonde__pickle *pickle;

static int start(void **state)
{
    (void)state;
    context = check_context();
    pickle = NULL;
    return 0;
}

static int finish(void **state)
{
    (void)state;
    sonde__pickle_free(pickle);
    size_t left = sonde_context_memory_used(context);
    sonde_context_free(context);
    return left == 0 ? 0 : -1;
}

static sonde_status read_bytes(const void *bytes, size_t size, bool more, size_t *end)
{
    sonde__pickle_source source = {.path = "a.pt",
                                   .item = "data.pkl",
                                   .offset = 100,
                                   .bytes = bytes,
                                   .size = size,
                                   .more = more};
    sonde__pickle_free(pickle);
    pickle = NULL;
    return sonde__pickle_read(context, &source, &pickle, end);
}

/* The root of a pickle given as a literal. */
#define READ(literal) read_root(literal, sizeof(literal) - 1)
static const sonde__pickle_value *read_root(const char *bytes, size_t size)
{
    size_t end = 0;
    check_ok(context, read_bytes(bytes, size, false, &end));
    assert_int_equal(end, size);
    return sonde__pickle_root(pickle);
}

#define REFUSE(literal, status, says) refuse(literal, sizeof(literal) - 1, status, says)
static void refuse(const char *bytes, size_t size, sonde_status expected, const char *says)
{
    /* An exact copy, so that a read past the end is seen. */
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    check_status(read_bytes(copy, size, false, NULL), expected);
    const sonde_error *error = sonde_context_error(context);
    if (!strstr(error->message, says))
        fail_msg("'%s' does not say '%s'", error->message, says);
    assert_string_equal(error->file, "a.pt");
    assert_string_equal(error->item, "data.pkl");
    assert_true(error->offset >= 100 && error->offset <= 100 + (int64_t)size);
    free(copy);
}

static void check_text(const sonde__pickle_value *value, int kind, const char *text, size_t size)
{
    assert_int_equal(value->kind, kind);
    assert_int_equal(value->as.text.size, size);
    assert_memory_equal(value->as.text.bytes, text, size);
}

static void check_integer(const sonde__pickle_value *value, int kind, int64_t integer)
{
    assert_int_equal(value->kind, kind);
    assert_true(value->as.integer == integer);
}

/* --- values ------------------------------------------------------------------------------------- */

static void integers_of_every_form_have_their_value(void **state)
{
    (void)state;
    const int kind = SONDE__PICKLE_INT;
    check_integer(READ("K\xff."), kind, 255);
    check_integer(READ("M\x34\x12."), kind, 0x1234);
    check_integer(READ("J\xff\xff\xff\xff."), kind, -1);
    check_integer(READ("J\x00\x00\x00\x80."), kind, INT32_MIN);
    check_integer(READ("\x80\x02\x8a\x00."), kind, 0);
    check_integer(READ("\x80\x02\x8a\x01\xff."), kind, -1);
    check_integer(READ("\x80\x02\x8a\x02\xff\x00."), kind, 255);
    check_integer(READ("\x80\x02\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."), kind, INT64_MAX);
    check_integer(READ("\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."), kind, INT64_MIN);
    check_integer(READ("\x80\x02\x8b\x03\x00\x00\x00\x00\x00\x01."), kind, 65536);
    check_integer(READ("I-17\n."), kind, -17);
    check_integer(READ("L9223372036854775807L\n."), kind, INT64_MAX);
    check_integer(READ("L5\n."), kind, 5);
}

static void integers_beyond_64_bits_are_kept_apart(void **state)
{
    (void)state;
    check_text(READ("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."), SONDE__PICKLE_BIG,
               "\x00\x00\x00\x00\x00\x00\x00\x80\x00", 9);
    assert_int_equal(READ("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\xff.")->kind,
                     SONDE__PICKLE_BIG);
    assert_int_equal(READ("L9223372036854775808L\n.")->kind, SONDE__PICKLE_BIG);
    /* Sign bytes that are not needed do not make it large. */
    check_integer(READ("\x8a\x0a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff."), SONDE__PICKLE_INT, -2);
}

static void constants_and_floats_have_their_value(void **state)
{
    (void)state;
    assert_int_equal(READ("N.")->kind, SONDE__PICKLE_NONE);
    check_integer(READ("\x88."), SONDE__PICKLE_BOOL, 1);
    check_integer(READ("\x89."), SONDE__PICKLE_BOOL, 0);
    check_integer(READ("I01\n."), SONDE__PICKLE_BOOL, 1);
    check_integer(READ("I00\n."), SONDE__PICKLE_BOOL, 0);
    assert_true(READ("G\xbf\xf8\x00\x00\x00\x00\x00\x00.")->as.real == -1.5);
    assert_true(READ("F0.125\n.")->as.real == 0.125);
    assert_true(READ("F-1e-3\n.")->as.real == -1e-3);
    assert_true(isinf(READ("F-inf\n.")->as.real));
    assert_true(isnan(READ("Fnan\n.")->as.real));
}

static void strings_of_every_form_have_their_bytes(void **state)
{
    (void)state;
    const int kind = SONDE__PICKLE_STRING;
    check_text(READ("X\x02\x00\x00\x00\xc3\xa9."), kind, "\xc3\xa9", 2);
    check_text(READ("\x8c\x03"
                    "a\0b."),
               kind, "a\0b", 3);
    check_text(READ("\x8d\x01\x00\x00\x00\x00\x00\x00\x00x."), kind, "x", 1);
    check_text(READ("U\x01y."), kind, "y", 1);
    check_text(READ("T\x01\x00\x00\x00z."), kind, "z", 1);
    check_text(READ("Va\\u00e9\\U0001F600\xe9\\n\n."), kind, "a\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9\\n",
               11);
    check_text(READ("S'it\\'s \\x41\\n\\\\'\n."), kind, "it's A\n\\", 8);
    check_text(READ("S\"q'q\"\n."), kind, "q'q", 3);
    check_text(READ("C\x02\xff\xfe."), SONDE__PICKLE_BYTES, "\xff\xfe", 2);
    check_text(READ("B\x01\x00\x00\x00\x00."), SONDE__PICKLE_BYTES, "\x00", 1);
    check_text(READ("\x8e\x00\x00\x00\x00\x00\x00\x00\x00."), SONDE__PICKLE_BYTES, "", 0);
    check_text(READ("\x96\x01\x00\x00\x00\x00\x00\x00\x00q."), SONDE__PICKLE_BYTES, "q", 1);
}

static void containers_of_every_form_have_their_items(void **state)
{
    (void)state;
    assert_int_equal(READ("(K\x01K\x02t.")->as.list.count, 2);
    assert_int_equal(READ("K\x01K\x02K\x03\x87.")->as.list.count, 3);
    assert_int_equal(READ("K\x01\x85.")->kind, SONDE__PICKLE_TUPLE);
    assert_int_equal(READ(").")->as.list.count, 0);
    const sonde__pickle_value *list = READ("](K\x01K\x02"
                                           "eK\x03"
                                           "a.");
    assert_int_equal(list->kind, SONDE__PICKLE_LIST);
    assert_int_equal(list->as.list.count, 3);
    check_integer(list->as.list.items[2], SONDE__PICKLE_INT, 3);
    assert_int_equal(READ("(K\x01l.")->as.list.count, 1);
    assert_int_equal(READ("(t.")->as.list.count, 0);
    assert_int_equal(READ("(d.")->as.list.count, 0);
    const sonde__pickle_value *dict = READ("}(U\x01"
                                           "aK\x01U\x01"
                                           "bK\x02uU\x01"
                                           "aK\x03s.");
    assert_int_equal(dict->as.list.count, 6);
    check_integer(sonde__pickle_get(dict, "a"), SONDE__PICKLE_INT, 3);
    assert_null(sonde__pickle_get(dict, "c"));
    assert_int_equal(READ("(U\x01"
                          "aK\x01"
                          "d.")
                         ->kind,
                     SONDE__PICKLE_DICT);
    assert_int_equal(READ("\x8f(K\x01K\x02\x90.")->as.list.count, 2);
    assert_int_equal(READ("(K\x01\x91.")->kind, SONDE__PICKLE_SET);
}

static void the_memo_gives_back_the_same_value(void **state)
{
    (void)state;
    static const char *forms[] = {"]q\x00h\x00\x86.", "]p3\ng3\n\x86.",
                                  "]r\x02\x00\x00\x00j\x02\x00\x00\x00\x86."};
    const size_t sizes[] = {7, 9, 13};
    for (size_t i = 0; i < 3; i++) {
        const sonde__pickle_value *pair = read_root(forms[i], sizes[i]);
        assert_ptr_equal(pair->as.list.items[0], pair->as.list.items[1]);
    }
    const sonde__pickle_value *pair = READ("(K\x05\x94]\x94h\x01h\x00t.");
    assert_ptr_equal(pair->as.list.items[1], pair->as.list.items[2]);
    check_integer(pair->as.list.items[3], SONDE__PICKLE_INT, 5);
    check_integer(READ("K\x01"
                       "2\x86.")
                      ->as.list.items[1],
                  SONDE__PICKLE_INT, 1);
    check_integer(READ("K\x01K\x02"
                       "0."),
                  SONDE__PICKLE_INT, 1);
    check_integer(READ("K\x01(K\x02K\x03"
                       "1."),
                  SONDE__PICKLE_INT, 1);
}

static void classes_that_are_data_become_data(void **state)
{
    (void)state;
    assert_int_equal(READ("ccollections\nOrderedDict\n)R(K\x01K\x02u}b.")->as.list.count, 2);
    const sonde__pickle_value *old = READ("ccollections\nOrderedDict\n]](U\x01"
                                          "aK\x07"
                                          "ea\x85R.");
    check_integer(sonde__pickle_get(old, "a"), SONDE__PICKLE_INT, 7);
    assert_int_equal(READ("ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R.")->kind,
                     SONDE__PICKLE_DICT);
    assert_int_equal(READ("ccollections\nCounter\n}U\x01"
                          "aK\x02s\x85R.")
                         ->as.list.count,
                     2);
    assert_int_equal(READ("c__builtin__\nset\n](K\x01K\x02"
                          "e\x85R.")
                         ->as.list.count,
                     2);
    assert_int_equal(READ("ctorch\nSize\n(K\x02K\x03t\x85R.")->kind, SONDE__PICKLE_TUPLE);
    check_text(READ("c_codecs\nencode\nX\x03\x00\x00\x00"
                    "a\xc3\xbf"
                    "U\x06latin1\x86R."),
               SONDE__PICKLE_BYTES, "a\xff", 2);
    const sonde__pickle_value *space =
        READ("cargparse\nNamespace\n)\x81}U\x02lrG\x3f\xe0\x00\x00\x00\x00\x00\x00sb.");
    assert_true(sonde__pickle_get(space, "lr")->as.real == 0.5);
    assert_int_equal(READ("\x80\x04\x8c\x05torch\x8c\x06"
                          "device\x93\x8c\x03"
                          "cpu\x85R.")
                         ->kind,
                     SONDE__PICKLE_OTHER);
    assert_int_equal(READ("ctorch\nfloat16\n.")->kind, SONDE__PICKLE_GLOBAL);
}

#define SCALAR(type, bytes) \
    "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02" type "\x89\x88\x87R" bytes "\x86R."

static void numpy_numbers_are_numbers(void **state)
{
    (void)state;
    assert_true(READ(SCALAR("f8", "C\x08\0\0\0\0\0\0\xd0\x3f"))->as.real == 0.25);
    assert_true(READ(SCALAR("f4", "C\x04\0\0\0\x3f"))->as.real == 0.5);
    check_integer(READ(SCALAR("i8", "C\x08\xf7\xff\xff\xff\xff\xff\xff\xff")), SONDE__PICKLE_INT,
                  -9);
    check_integer(READ(SCALAR("i2", "U\x02\xff\xff")), SONDE__PICKLE_INT, -1);
    check_integer(READ(SCALAR("u2", "C\x02\xff\xff")), SONDE__PICKLE_INT, 65535);
    check_integer(READ(SCALAR("b1", "C\x01\x01")), SONDE__PICKLE_BOOL, 1);
    assert_int_equal(READ(SCALAR("f8", "C\x02\0\0"))->kind, SONDE__PICKLE_OTHER);
}

/* --- tensors ------------------------------------------------------------------------------------ */

#define ID(type, count) \
    "(U\x07storagectorch\n" type "\nU\x01" \
    "0U\x03" \
    "cpuK" count "tQ"
#define TENSOR(id, offset, shape, strides) \
    "ctorch._utils\n_rebuild_tensor_v2\n(" id "K" offset "(" shape "t(" strides "t\x89" \
    "ccollections\nOrderedDict\n)RtR."

static void a_tensor_has_its_storage_shape_and_strides(void **state)
{
    (void)state;
    const sonde__pickle_value *value =
        READ(TENSOR(ID("HalfStorage", "\x0c"), "\x02", "K\x02K\x03", "K\x01K\x04"));
    assert_int_equal(value->kind, SONDE__PICKLE_TENSOR);
    const sonde__pickle_tensor *tensor = value->as.tensor;
    assert_int_equal(tensor->number, SONDE_NUMBER_F16);
    assert_int_equal(tensor->dims, 2);
    assert_int_equal(tensor->shape[1], 3);
    assert_int_equal(tensor->strides[1], 4);
    assert_int_equal(tensor->first, 2);
    assert_int_equal(tensor->storage->count, 12);
    assert_int_equal(tensor->storage->width, 2);
    size_t count = 0;
    assert_ptr_equal(sonde__pickle_storages(pickle, &count)[0], tensor->storage);
    assert_int_equal(count, 1);
}

static void tensors_that_leave_their_storage_are_refused(void **state)
{
    (void)state;
    /* 2 + 1 * 1 + 2 * 4 + 1 = 12 elements is the most. */
    REFUSE(TENSOR(ID("HalfStorage", "\x0b"), "\x02", "K\x02K\x03", "K\x01K\x04"),
           SONDE_ERROR_FORMAT, "reach 12 elements of storage '0', which has 11");
    REFUSE(TENSOR(ID("HalfStorage", "\x0c"), "\x0c", "", ""), SONDE_ERROR_FORMAT, "reach 13");
    REFUSE(TENSOR(ID("HalfStorage", "\x0c"), "\x00", "J\xff\xff\xff\xff", "K\x01"),
           SONDE_ERROR_FORMAT, "negative");
    REFUSE(TENSOR(ID("HalfStorage", "\x0c"), "\x00", "K\x02", "J\xff\xff\xff\xff"),
           SONDE_ERROR_FORMAT, "stride that is negative");
    REFUSE(TENSOR(ID("HalfStorage", "\x0c"), "\x00", "K\x02", ""), SONDE_ERROR_FORMAT,
           "same length");
    REFUSE(TENSOR(ID("HalfStorage", "\x0c"), "\x00", "\x8a\x05\0\0\0\0\x01\x8a\x05\0\0\0\0\x01",
                  "\x8a\x05\0\0\0\0\x01K\x01"),
           SONDE_ERROR_FORMAT, "reach past");
    REFUSE(TENSOR(ID("HalfStorage", "\x0c"), "\x00",
                  "K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01",
                  "K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01"),
           SONDE_ERROR_UNSUPPORTED, "9 dimensions");
    /* An expanded and an empty tensor reach nothing. */
    READ(TENSOR(ID("HalfStorage", "\x01"), "\x00", "K\x7fK\x7f", "K\x00K\x00"));
    READ(TENSOR(ID("HalfStorage", "\x01"), "\x01", "K\x00K\x7f", "K\x7fK\x01"));
}

static void number_formats_of_their_own_are_counted_in_bytes(void **state)
{
    (void)state;
#define V3(count, shape, dtype) \
    "ctorch._utils\n_rebuild_tensor_v3\n((U\x07storagectorch.storage\nUntypedStorage\nU\x01" \
    "0U\x03" \
    "cpuK" count "tQK\x00(" shape "t(K\x01t\x89}ctorch\n" dtype "\ntR."
    const sonde__pickle_value *value = READ(V3("\x06", "K\x03", "uint16"));
    assert_int_equal(value->as.tensor->number, SONDE_NUMBER_U16);
    READ(V3("\x07", "K\x03", "uint16"));
    READ(V3("\x03", "K\x03", "float8_e4m3fn"));
    REFUSE(V3("\x05", "K\x03", "uint16"), SONDE_ERROR_FORMAT, "which has 2");
    REFUSE(V3("\x06", "K\x03", "bits16"), SONDE_ERROR_UNSUPPORTED, "torch.bits16");
    REFUSE(V3("\x06", "K\x03", "Size"), SONDE_ERROR_FORMAT, "number format is none");
}

static void quantised_storages_and_foreign_ids_are_refused_by_name(void **state)
{
    (void)state;
    REFUSE(ID("QInt8Storage", "\x01"), SONDE_ERROR_UNSUPPORTED, "torch.QInt8Storage");
    REFUSE("(U\x06moduleK\x01K\x02K\x03K\x04tQ.", SONDE_ERROR_UNSUPPORTED, "persistent id");
    REFUSE("K\x01Q.", SONDE_ERROR_UNSUPPORTED, "persistent id");
    REFUSE("(U\x07storagectorch\nSize\nU\x01"
           "0U\x03"
           "cpuK\x01tQ.",
           SONDE_ERROR_UNSUPPORTED, "persistent id");
    REFUSE("(U\x07storagectorch\nFloatStorage\nK\x01U\x03"
           "cpuK\x01tQ.",
           SONDE_ERROR_FORMAT, "key");
    REFUSE("(U\x07storagectorch\nFloatStorage\nU\x01"
           "0U\x03"
           "cpuJ\xff\xff\xff\xfftQ.",
           SONDE_ERROR_FORMAT, "count");
    REFUSE("(U\x07storagectorch\nDoubleStorage\nU\x01"
           "0U\x03"
           "cpu\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ftQ.",
           SONDE_ERROR_FORMAT, "count");
    REFUSE("(U\x07storagectorch.storage\nUntypedStorage\nU\x01kU\x03"
           "cpuK\x04(U\x01vK\x01K\x01ttQ.",
           SONDE_ERROR_FORMAT, "a view");
    REFUSE("Pline\n.", SONDE_ERROR_UNSUPPORTED, "PERSID");
}

/* --- what must never run ------------------------------------------------------------------------ */

static void every_way_to_a_foreign_name_is_refused_with_it(void **state)
{
    (void)state;
    const sonde_status status = SONDE_ERROR_UNSUPPORTED;
    REFUSE("cos\nsystem\nU\x02id\x85R.", status, "os.system");
    REFUSE("cposix\nsystem\nU\x02id\x85R.", status, "posix.system");
    REFUSE("\x80\x04\x8c\x02os\x8c\x06system\x93.", status, "os.system");
    /* The strings of the name by way of the memo. */
    REFUSE("U\x06systemq\x00"
           "0U\x02osq\x01"
           "0h\x01h\x00\x93.",
           status, "os.system");
    REFUSE("(U\x02idios\nsystem\n.", status, "os.system");
    REFUSE("(ccollections\nOrderedDict\nU\x02ido.", status, "OrderedDict");
    REFUSE("cbuiltins\neval\n.", status, "builtins.eval");
    REFUSE("cbuiltins\ngetattr\n.", status, "builtins.getattr");
    REFUSE("c__builtin__\nexec\n.", status, "__builtin__.exec");
    REFUSE("ctorch\nload\n.", status, "torch.load");
    REFUSE("ctorch.storage\n_load_from_bytes\n.", status, "_load_from_bytes");
    REFUSE("ctorch._utils\nimportlib\n.", status, "torch._utils.importlib");
    REFUSE("ctorch.nn.modules.linear\nLinear\n)\x81.", status, "whole pickled model");
    REFUSE("c__torch__.M\nN\n.", status, "TorchScript");
    REFUSE("ctorch._utils\n_rebuild_qtensor\n.", status, "quantised");
    REFUSE("\x82\x01.", status, "EXT1");
    REFUSE("\x83\x01\x00.", status, "EXT2");
    REFUSE("\x84\x01\x00\x00\x00.", status, "EXT4");
    REFUSE("ctorch\nSize\n)}\x92.", status, "NEWOBJ_EX");
    REFUSE("\x97.", status, "NEXT_BUFFER");
    /* What a terminal would obey is not in the message. */
    REFUSE("cos\x1b[2J\nsys\ttem\n.", status, "os?[2J.sys?tem");
}

static void names_on_the_list_cannot_be_called_for_other_things(void **state)
{
    (void)state;
    const sonde_status status = SONDE_ERROR_UNSUPPORTED;
    REFUSE("cbuiltins\nint\nU\x01"
           "1\x85R.",
           status, "builtins.int");
    REFUSE("ctorch\nFloatStorage\n)R.", status, "torch.FloatStorage");
    REFUSE("cnumpy\nndarray\n)R.", status, "numpy.ndarray");
    REFUSE("ctorch\nFloatStorage\n)\x81.", status, "torch.FloatStorage");
    REFUSE("ccollections\nOrderedDict\nK\x01\x85R.", status, "do not fit");
    REFUSE("ccollections\nOrderedDict\n](K\x01"
           "e\x85R.",
           status, "do not fit");
    REFUSE("ccollections\ndefaultdict\nU\x01x\x85R.", status, "do not fit");
    REFUSE("c_codecs\nencode\nU\x01xU\x05"
           "rot13\x86R.",
           status, "do not fit");
    REFUSE("c_codecs\nencode\nX\x02\x00\x00\x00\xc4\x80U\x06latin1\x86R.", status, "do not fit");
    REFUSE("ctorch._utils\n_rebuild_parameter\nK\x01\x89}\x87R.", status, "do not fit");
    REFUSE("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n)}tR.", status,
           "do not fit");
    REFUSE("}}b.", status, "BUILD");
    REFUSE("K\x01}b.", status, "BUILD");
    REFUSE("cargparse\nNamespace\n)\x81K\x01"
           "b.",
           status, "BUILD");
    REFUSE("K\x01)R.", status, "no name");
    REFUSE("ccollections\nOrderedDict\n]R.", status, "no name");
    REFUSE("K\x01K\x02"
           "a.",
           status, "adds items");
    REFUSE(")K\x02"
           "a.",
           status, "adds items");
}

static void a_tensor_to_be_negated_later_is_refused(void **state)
{
    (void)state;
    REFUSE("ctorch._utils\n_rebuild_tensor_v2\n(" ID("FloatStorage",
                                                     "\x01") "K\x00))\x89}}U\x03negq\x00\x88stR.",
           SONDE_ERROR_UNSUPPORTED, "negated");
    READ("ctorch._utils\n_rebuild_tensor_v2\n(" ID("FloatStorage",
                                                   "\x01") "K\x00))\x89}}U\x03negq\x00\x89stR.");
}

static void a_stream_that_is_broken_is_refused(void **state)
{
    (void)state;
    const sonde_status format = SONDE_ERROR_FORMAT;
    REFUSE("", SONDE_ERROR_TRUNCATED, "STOP");
    REFUSE("K\x01", SONDE_ERROR_TRUNCATED, "STOP");
    REFUSE("\x80", SONDE_ERROR_TRUNCATED, "STOP");
    REFUSE("\x80\x63N.", SONDE_ERROR_UNSUPPORTED, "protocol is 99");
    REFUSE(".", format, "stack");
    REFUSE("K\x01K\x02.", format, "more than one value");
    REFUSE("(K\x01.", format, "more than one value");
    REFUSE("\xff.", format, "0xff is no opcode");
    REFUSE("K\x01\x86.", format, "stack");
    REFUSE("K\x01(\x85.", format, "stack");
    REFUSE("t.", format, "mark");
    REFUSE("(K\x01"
           "d.",
           format, "without value");
    REFUSE("}(K\x01u.", format, "without value");
    REFUSE("h\x00.", format, "never stored");
    REFUSE("q\x00.", format, "stack");
    REFUSE("]r\xff\xff\xff\xff.", format, "4294967295");
    REFUSE("]p99999999999999999999\n.", format, "memo");
    REFUSE("]p-1\n.", format, "memo");
    REFUSE("X\xff\xff\xff\xffx.", SONDE_ERROR_TRUNCATED, "STOP");
    REFUSE("\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.", SONDE_ERROR_TRUNCATED, "STOP");
    REFUSE("\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", SONDE_ERROR_TRUNCATED, "STOP");
    REFUSE("\x8b\xff\xff\xff\xff.", format, "negative length");
    REFUSE("I12x\n.", format, "no integer");
    REFUSE("I\n.", format, "no integer");
    REFUSE("F1.5e\n.", format, "no number");
    REFUSE("F0x10\n.", format, "no number");
    REFUSE("Sabc\n.", format, "quotes");
    REFUSE("S'a\\q'\n.", format, "escape");
    REFUSE("S'a\\'\n.", format, "escape");
    REFUSE("Vx\\u12\n.", format, "escape");
    REFUSE("K\x01K\x02\x93.", format, "no string");
}

static void with_more_to_come_a_cut_stream_records_no_error(void **state)
{
    (void)state;
    static const char whole[] = "\x80\x04\x95\x08\x00\x00\x00\x00\x00\x00\x00(K\x01I5\nt.";
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        check_status(read_bytes(whole, cut, true, NULL), SONDE_ERROR_TRUNCATED);
        assert_int_equal(sonde_context_error(context)->status, SONDE_OK);
    }
    size_t end = 0;
    check_ok(context, read_bytes(whole, sizeof whole, true, &end));
    assert_int_equal(end, sizeof whole - 1);
}

/* --- bounds ------------------------------------------------------------------------------------- */

static void a_million_memo_entries_take_memory_in_proportion(void **state)
{
    (void)state;
    const size_t count = 1000000;
    char *bytes = malloc(5 * count + 2);
    bytes[0] = 'N';
    for (size_t i = 0; i < count; i++) {
        const char put[] = {'r', (char)i, (char)(i >> 8), (char)(i >> 16), 0};
        memcpy(bytes + 1 + 5 * i, put, 5);
    }
    bytes[1 + 5 * count] = '.';
    check_ok(context, read_bytes(bytes, 5 * count + 2, false, NULL));
    assert_true(sonde_context_memory_peak(context) < 40000000);
    free(bytes);
}

static void a_copy_of_copies_stops_at_the_budget(void **state)
{
    (void)state;
    /* A string of 64 KiB that is encoded again and again: 16 GB from 3 MB, were it let. */
    const size_t text = 1 << 16, calls = 1 << 18;
    const char head[] = "c_codecs\nencode\nq\x00", call[] = "h\x01R",
               tail[] = "U\x06latin1\x86q\x01";
    char *bytes = malloc(64 + text + 8 * calls);
    size_t at = 0;
    memcpy(bytes, head, sizeof head - 1);
    at += sizeof head - 1;
    const char length[] = {'X', 0, 0, 1, 0};
    memcpy(bytes + at, length, 5);
    at += 5;
    memset(bytes + at, 'x', text);
    at += text;
    memcpy(bytes + at, tail, sizeof tail - 1);
    at += sizeof tail - 1;
    for (size_t i = 0; i < calls; i++) {
        memcpy(bytes + at, "Rh\x00", 3);
        at += 3;
        memcpy(bytes + at, call, 2);
        at += 2;
    }
    bytes[at++] = 'R';
    bytes[at++] = '.';
    sonde_context_options options;
    sonde_context *small = NULL;
    sonde_context_options_init(&options);
    options.memory_limit = 16 << 20;
    check_ok(context, sonde_context_create(&options, &small));
    sonde__pickle_source source = {.path = "a.pt", .bytes = (uint8_t *)bytes, .size = at};
    sonde__pickle *made = NULL;
    check_status(sonde__pickle_read(small, &source, &made, NULL), SONDE_ERROR_MEMORY);
    assert_int_equal(sonde_context_memory_used(small), 0);
    sonde_context_free(small);
    free(bytes);
}

static sonde_status read_whole(sonde_context *failing, void *argument)
{
    (void)argument;
    static const char bytes[] = "(" ID("FloatStorage", "\x01") "VA\n]q\x00(K\x01K\x02"
                                                               "e}(K\x01K\x02u\x87q\x01t.";
    sonde__pickle_source source = {
        .path = "a.pt", .bytes = (const uint8_t *)bytes, .size = sizeof bytes - 1};
    sonde__pickle *made = NULL;
    sonde_status status = sonde__pickle_read(failing, &source, &made, NULL);
    sonde__pickle_free(made);
    return status;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(failing_run(read_whole, NULL) > 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(integers_of_every_form_have_their_value),
        TEST(integers_beyond_64_bits_are_kept_apart),
        TEST(constants_and_floats_have_their_value),
        TEST(strings_of_every_form_have_their_bytes),
        TEST(containers_of_every_form_have_their_items),
        TEST(the_memo_gives_back_the_same_value),
        TEST(classes_that_are_data_become_data),
        TEST(numpy_numbers_are_numbers),
        TEST(a_tensor_has_its_storage_shape_and_strides),
        TEST(tensors_that_leave_their_storage_are_refused),
        TEST(number_formats_of_their_own_are_counted_in_bytes),
        TEST(quantised_storages_and_foreign_ids_are_refused_by_name),
        TEST(every_way_to_a_foreign_name_is_refused_with_it),
        TEST(names_on_the_list_cannot_be_called_for_other_things),
        TEST(a_tensor_to_be_negated_later_is_refused),
        TEST(a_stream_that_is_broken_is_refused),
        TEST(with_more_to_come_a_cut_stream_records_no_error),
        TEST(a_million_memo_entries_take_memory_in_proportion),
        TEST(a_copy_of_copies_stops_at_the_budget),
        TEST(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
