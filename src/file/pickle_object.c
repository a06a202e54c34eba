/*
 * Opcodes of a pickle that name, make and fill objects: GLOBAL, REDUCE, NEWOBJ, BUILD, persistent
 * ids. This is where a hostile pickle would act; here a name is looked up in pickle_global.c's
 * list, and a call is one of the functions below.
 */
#include "file/pickle_internal.h"

#include <string.h>

static sonde_status failed(const sonde__unpickler *u)
{
    return sonde_context_error(u->context)->status;
}

static sonde_status refuse(sonde__unpickler *u, const char *how, sonde__pickle_text module,
                           sonde__pickle_text name)
{
    char shown[SONDE__PICKLE_NAME];
    sonde__pickle_show_name(shown, module, name);
    return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED, "%s %s: %s", how, shown,
                                sonde__pickle_advice(module, name));
}

static sonde__pickle_text text_of(const char *string)
{
    return (sonde__pickle_text){string, strlen(string)};
}

static sonde_status refuse_global(sonde__unpickler *u, const char *how,
                                  const sonde__pickle_global *global)
{
    return refuse(u, how, text_of(global->module), text_of(global->name));
}

/* --- names -------------------------------------------------------------------------------------- */

static sonde_status push_global(sonde__unpickler *u, sonde__pickle_text module,
                                sonde__pickle_text name)
{
    sonde__pickle_value *value = NULL;
    const sonde__pickle_global *global = sonde__pickle_find_global(module, name);
    if (!global)
        return refuse(u, "it uses", module, name);
    SONDE_TRY(sonde__pickle_push_new(u, SONDE__PICKLE_GLOBAL, &value));
    value->as.global = global;
    return SONDE_OK;
}

static sonde_status take_name(sonde__unpickler *u, sonde__pickle_text *module,
                              sonde__pickle_text *name)
{
    SONDE_TRY(sonde__pickle_take_line(u, &module->bytes, &module->size));
    return sonde__pickle_take_line(u, &name->bytes, &name->size);
}

static sonde_status op_global(sonde__unpickler *u)
{
    sonde__pickle_text module, name;
    SONDE_TRY(take_name(u, &module, &name));
    return push_global(u, module, name);
}

static sonde_status op_stack_global(sonde__unpickler *u)
{
    sonde__pickle_value *module = NULL, *name = NULL;
    SONDE_TRY(sonde__pickle_pop(u, &name));
    SONDE_TRY(sonde__pickle_pop(u, &module));
    if (module->kind != SONDE__PICKLE_STRING || name->kind != SONDE__PICKLE_STRING)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "a name is looked up that is no string");
    return push_global(u, module->as.text, name->as.text);
}

static sonde_status op_instance(sonde__unpickler *u)
{
    sonde__pickle_text module, name;
    SONDE_TRY(take_name(u, &module, &name));
    return refuse(u, "it makes (INST) an object of", module, name);
}

static sonde_status op_refused(sonde__unpickler *u)
{
    sonde__pickle_value **items = NULL;
    size_t count = 0;
    switch (u->bytes[u->opcode]) {
    case 'o':
        SONDE_TRY(sonde__pickle_pop_mark(u, &items, &count));
        if (count && items[0]->kind == SONDE__PICKLE_GLOBAL)
            return refuse_global(u, "it makes (OBJ) an object of", items[0]->as.global);
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "it makes (OBJ) an object of no class");
    case 0x92:
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "it makes an object with keyword arguments (NEWOBJ_EX); load "
                                    "it where it was made and save its state_dict");
    case 'P':
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "it refers to something outside by a line of text (PERSID)");
    case 0x97:
    case 0x98:
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "it refers to buffers outside of it (NEXT_BUFFER)");
    default:
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "it uses the extension registry of the program that wrote it "
                                    "(EXT1, EXT2, EXT4); save a state_dict there");
    }
}

static sonde_status op_persistent(sonde__unpickler *u)
{
    sonde__pickle_value *id = NULL, *storage = NULL;
    SONDE_TRY(sonde__pickle_pop(u, &id));
    SONDE_TRY(sonde__pickle_make_storage(u, id, &storage));
    return sonde__pickle_push(u, storage);
}

/* --- calls -------------------------------------------------------------------------------------- */

typedef struct call {
    const sonde__pickle_global *global;
    const sonde__pickle_list *arguments;
    sonde__pickle_value *result;
} call;

typedef sonde_status (*make_fn)(sonde__unpickler *u, call *c);

static sonde_status bad_arguments(sonde__unpickler *u, const call *c)
{
    return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                "it calls %s.%s with arguments that do not fit", c->global->module,
                                c->global->name);
}

static const sonde__pickle_value *argument(const call *c, size_t index)
{
    static const sonde__pickle_value none = {.kind = SONDE__PICKLE_NONE};
    return index < c->arguments->count ? c->arguments->items[index] : &none;
}

static sonde_status make(sonde__unpickler *u, call *c, sonde__pickle_kind kind)
{
    c->result = sonde__pickle_new(u, kind);
    return c->result ? SONDE_OK : failed(u);
}

/* The same items under another kind. What is appended later goes into an array of its own. */
static sonde_status make_like(sonde__unpickler *u, call *c, sonde__pickle_kind kind)
{
    SONDE_TRY(make(u, c, kind));
    c->result->as.list = argument(c, 0)->as.list;
    c->result->as.list.room = c->result->as.list.count;
    return SONDE_OK;
}

static sonde_status make_other(sonde__unpickler *u, call *c)
{
    SONDE_TRY(make(u, c, SONDE__PICKLE_OTHER));
    c->result->as.text = text_of(c->global->name);
    return SONDE_OK;
}

/* OrderedDict(), OrderedDict([(key, value), ...]), Counter({...}) */
static sonde_status make_dict(sonde__unpickler *u, call *c)
{
    const sonde__pickle_value *from = argument(c, 0);
    if (c->arguments->count > 1)
        return bad_arguments(u, c);
    if (from->kind == SONDE__PICKLE_DICT) {
        SONDE_TRY(make_like(u, c, SONDE__PICKLE_DICT));
        c->result->marks = SONDE__PICKLE_ATTRIBUTES;
        return SONDE_OK;
    }
    if (c->arguments->count == 1 && from->kind != SONDE__PICKLE_LIST)
        return bad_arguments(u, c);
    SONDE_TRY(make(u, c, SONDE__PICKLE_DICT));
    c->result->marks = SONDE__PICKLE_ATTRIBUTES;
    for (size_t i = 0; c->arguments->count == 1 && i < from->as.list.count; i++) {
        const sonde__pickle_value *pair = from->as.list.items[i];
        if ((pair->kind != SONDE__PICKLE_LIST && pair->kind != SONDE__PICKLE_TUPLE) ||
            pair->as.list.count != 2)
            return bad_arguments(u, c);
        for (size_t k = 0; k < 2; k++)
            SONDE_TRY(sonde__pickle_append(u->pickle, &c->result->as.list, pair->as.list.items[k]));
    }
    return SONDE_OK;
}

/* defaultdict(factory): the factory is one of the list, and never called. */
static sonde_status make_default_dict(sonde__unpickler *u, call *c)
{
    if (c->arguments->count > 1 || (argument(c, 0)->kind != SONDE__PICKLE_NONE &&
                                    argument(c, 0)->kind != SONDE__PICKLE_GLOBAL))
        return bad_arguments(u, c);
    SONDE_TRY(make(u, c, SONDE__PICKLE_DICT));
    c->result->marks = SONDE__PICKLE_ATTRIBUTES;
    return SONDE_OK;
}

static sonde_status make_namespace(sonde__unpickler *u, call *c)
{
    if (c->arguments->count != 0)
        return bad_arguments(u, c);
    SONDE_TRY(make(u, c, SONDE__PICKLE_DICT));
    c->result->marks = SONDE__PICKLE_NAMESPACE;
    return SONDE_OK;
}

static sonde_status make_set(sonde__unpickler *u, call *c)
{
    if (c->arguments->count == 0)
        return make(u, c, SONDE__PICKLE_SET);
    if (c->arguments->count > 1 || argument(c, 0)->kind != SONDE__PICKLE_LIST)
        return bad_arguments(u, c);
    return make_like(u, c, SONDE__PICKLE_SET);
}

/* torch.Size((2, 3)) */
static sonde_status make_size(sonde__unpickler *u, call *c)
{
    if (c->arguments->count != 1 ||
        (argument(c, 0)->kind != SONDE__PICKLE_TUPLE && argument(c, 0)->kind != SONDE__PICKLE_LIST))
        return bad_arguments(u, c);
    return make_like(u, c, SONDE__PICKLE_TUPLE);
}

/* encode(text, "latin1"): UTF-8 of code points below 256 to those bytes. */
static sonde_status make_encoded(sonde__unpickler *u, call *c)
{
    const sonde__pickle_value *from = argument(c, 0), *codec = argument(c, 1);
    if (c->arguments->count != 2 || from->kind != SONDE__PICKLE_STRING ||
        !(sonde__pickle_is_text(codec, "latin1") || sonde__pickle_is_text(codec, "latin-1")))
        return bad_arguments(u, c);
    sonde__pickle_text text = from->as.text;
    char *bytes = sonde__pickle_alloc(u->pickle, text.size + 1, 1);
    if (!bytes)
        return failed(u);
    size_t length = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned byte = (unsigned char)text.bytes[i];
        if (byte >= 0x80) {
            unsigned next = i + 1 < text.size ? (unsigned char)text.bytes[i + 1] : 0;
            if (byte < 0xc2 || byte > 0xc3 || (next & 0xc0) != 0x80)
                return bad_arguments(u, c);
            byte = (byte & 3) << 6 | (next & 0x3f);
            i++;
        }
        bytes[length++] = (char)byte;
    }
    SONDE_TRY(make(u, c, SONDE__PICKLE_BYTES));
    c->result->as.text = (sonde__pickle_text){bytes, length};
    return SONDE_OK;
}

static sonde_status make_tensor(sonde__unpickler *u, call *c)
{
    return sonde__pickle_make_tensor(u, c->global->role, c->arguments, &c->result);
}

/* Parameter(tensor, ...), _rebuild_parameter(tensor, ...): the tensor itself. */
static sonde_status make_parameter(sonde__unpickler *u, call *c)
{
    if (argument(c, 0)->kind != SONDE__PICKLE_TENSOR || c->arguments->count > 4)
        return bad_arguments(u, c);
    SONDE_TRY(make(u, c, SONDE__PICKLE_TENSOR));
    c->result->as.tensor = argument(c, 0)->as.tensor;
    c->result->marks = SONDE__PICKLE_PARAMETER;
    return SONDE_OK;
}

/* (tensor, dtype, device, requires_grad) */
static sonde_status make_from_cpu(sonde__unpickler *u, call *c)
{
    const sonde__pickle_value *tensor = argument(c, 0), *dtype = argument(c, 1);
    if (c->arguments->count != 4 || tensor->kind != SONDE__PICKLE_TENSOR ||
        dtype->kind != SONDE__PICKLE_GLOBAL || dtype->as.global->role != SONDE__ROLE_DTYPE ||
        dtype->as.global->number != tensor->as.tensor->number)
        return bad_arguments(u, c);
    return make_parameter(u, c);
}

/* (function, class, arguments, state): function(*arguments) of a plain tensor class. */
static sonde_status make_from_type(sonde__unpickler *u, call *c)
{
    const sonde__pickle_value *function = argument(c, 0), *type = argument(c, 1);
    const sonde__pickle_value *arguments = argument(c, 2);
    if (c->arguments->count != 4 || function->kind != SONDE__PICKLE_GLOBAL ||
        type->kind != SONDE__PICKLE_GLOBAL || arguments->kind != SONDE__PICKLE_TUPLE ||
        type->as.global->role != SONDE__ROLE_TENSOR_CLASS)
        return bad_arguments(u, c);
    call inner = {function->as.global, &arguments->as.list, NULL};
    switch (function->as.global->role) {
    case SONDE__ROLE_TENSOR_1:
    case SONDE__ROLE_TENSOR_2:
    case SONDE__ROLE_TENSOR_3:
        SONDE_TRY(make_tensor(u, &inner));
        break;
    case SONDE__ROLE_PARAMETER:
        SONDE_TRY(make_parameter(u, &inner));
        break;
    default:
        return bad_arguments(u, c);
    }
    c->result = inner.result;
    return SONDE_OK;
}

/* --- NumPy's plain numbers ---------------------------------------------------------------------- */

/* dtype("f8", False, True) */
static sonde_status make_dtype(sonde__unpickler *u, call *c)
{
    const sonde__pickle_value *name = argument(c, 0);
    if (name->kind != SONDE__PICKLE_STRING && name->kind != SONDE__PICKLE_BYTES)
        return bad_arguments(u, c);
    SONDE_TRY(make(u, c, SONDE__PICKLE_OTHER));
    c->result->as.text = name->as.text;
    c->result->marks = SONDE__PICKLE_NUMPY;
    return SONDE_OK;
}

static sonde_status make_array(sonde__unpickler *u, call *c)
{
    SONDE_TRY(make(u, c, SONDE__PICKLE_OTHER));
    c->result->as.text = text_of("numpy.ndarray");
    c->result->marks = SONDE__PICKLE_NUMPY;
    return SONDE_OK;
}

static uint64_t little_bits(sonde__pickle_text text)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < text.size && i < 8; i++)
        bits |= (uint64_t)(unsigned char)text.bytes[i] << (8 * i);
    return bits;
}

/* Type letter and bytes: i, u, f or b, as in "f8"; false for what stays opaque. */
static bool set_scalar(sonde__pickle_value *value, char letter, sonde__pickle_text raw)
{
    uint64_t bits = little_bits(raw);
    if (letter == 'f' && raw.size == 8) {
        memcpy(&value->as.real, &bits, sizeof bits);
        value->kind = SONDE__PICKLE_FLOAT;
        return true;
    }
    if (letter == 'f' && raw.size == 4) {
        uint32_t half = (uint32_t)bits;
        float single = 0;
        memcpy(&single, &half, sizeof half);
        value->as.real = (double)single;
        value->kind = SONDE__PICKLE_FLOAT;
        return true;
    }
    if ((letter != 'i' && letter != 'u' && letter != 'b') || raw.size > 8 || raw.size == 0)
        return false;
    unsigned unused = 64 - 8 * (unsigned)raw.size;
    if (letter == 'i' && bits >> (63 - unused) & 1)
        bits |= unused ? UINT64_MAX << (64 - unused) : 0;
    if (letter == 'u' && bits > INT64_MAX)
        return false;
    memcpy(&value->as.integer, &bits, sizeof bits);
    value->kind = letter == 'b' ? SONDE__PICKLE_BOOL : SONDE__PICKLE_INT;
    return true;
}

/* scalar(dtype, bytes) */
static sonde_status make_scalar(sonde__unpickler *u, call *c)
{
    const sonde__pickle_value *dtype = argument(c, 0), *raw = argument(c, 1);
    if (c->arguments->count != 2 || dtype->kind != SONDE__PICKLE_OTHER ||
        !(dtype->marks & SONDE__PICKLE_NUMPY) ||
        (raw->kind != SONDE__PICKLE_BYTES && raw->kind != SONDE__PICKLE_STRING))
        return bad_arguments(u, c);
    SONDE_TRY(make_other(u, c));
    sonde__pickle_text name = dtype->as.text;
    if (!(dtype->marks & SONDE__PICKLE_BIG_ENDIAN) && name.size == 2 &&
        (size_t)(name.bytes[1] - '0') == raw->as.text.size)
        (void)set_scalar(c->result, name.bytes[0], raw->as.text);
    return SONDE_OK;
}

/* --- REDUCE, NEWOBJ, BUILD ---------------------------------------------------------------------- */

static const make_fn MAKERS[] = {
    [SONDE__ROLE_DICT] = make_dict,           [SONDE__ROLE_DEFAULT_DICT] = make_default_dict,
    [SONDE__ROLE_NAMESPACE] = make_namespace, [SONDE__ROLE_SET] = make_set,
    [SONDE__ROLE_ENCODE] = make_encoded,      [SONDE__ROLE_OTHER] = make_other,
    [SONDE__ROLE_SIZE] = make_size,           [SONDE__ROLE_TENSOR_CLASS] = make_parameter,
    [SONDE__ROLE_TENSOR_1] = make_tensor,     [SONDE__ROLE_TENSOR_2] = make_tensor,
    [SONDE__ROLE_TENSOR_3] = make_tensor,     [SONDE__ROLE_PARAMETER] = make_parameter,
    [SONDE__ROLE_FROM_TYPE] = make_from_type, [SONDE__ROLE_FROM_CPU] = make_from_cpu,
    [SONDE__ROLE_NUMPY_DTYPE] = make_dtype,   [SONDE__ROLE_NUMPY_SCALAR] = make_scalar,
    [SONDE__ROLE_NUMPY_ARRAY] = make_array,
};

static sonde_status call_global(sonde__unpickler *u, const char *how)
{
    sonde__pickle_value *arguments = NULL, *callee = NULL;
    SONDE_TRY(sonde__pickle_pop(u, &arguments));
    SONDE_TRY(sonde__pickle_pop(u, &callee));
    if (callee->kind != SONDE__PICKLE_GLOBAL || arguments->kind != SONDE__PICKLE_TUPLE)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "%s something that has no name, or with arguments that are no "
                                    "tuple",
                                    how);
    call c = {callee->as.global, &arguments->as.list, NULL};
    const sonde__pickle_role role = c.global->role;
    make_fn maker = role < sizeof MAKERS / sizeof *MAKERS ? MAKERS[role] : NULL;
    if (!maker)
        return refuse_global(u, how, c.global);
    SONDE_TRY(maker(u, &c));
    return sonde__pickle_push(u, c.result);
}

static sonde_status op_reduce(sonde__unpickler *u)
{
    return call_global(u, "it calls");
}

static sonde_status op_new_object(sonde__unpickler *u)
{
    return call_global(u, "it makes an object of");
}

/* The state of a dtype is (version, byte order, ...). */
static void note_byte_order(sonde__pickle_value *dtype, const sonde__pickle_value *state)
{
    if (state->kind == SONDE__PICKLE_TUPLE && state->as.list.count > 1 &&
        sonde__pickle_is_text(state->as.list.items[1], ">"))
        dtype->marks |= SONDE__PICKLE_BIG_ENDIAN;
}

static sonde_status op_build(sonde__unpickler *u)
{
    sonde__pickle_value *state = NULL, *object = NULL;
    SONDE_TRY(sonde__pickle_pop(u, &state));
    SONDE_TRY(sonde__pickle_top(u, &object));
    if (object->marks & SONDE__PICKLE_NAMESPACE && state->kind == SONDE__PICKLE_DICT &&
        object->as.list.count == 0) {
        object->as.list = state->as.list;
        object->as.list.room = object->as.list.count;
        return SONDE_OK;
    }
    if (object->marks & SONDE__PICKLE_NUMPY && object->kind == SONDE__PICKLE_OTHER) {
        note_byte_order(object, state);
        return SONDE_OK;
    }
    if (object->marks & (SONDE__PICKLE_ATTRIBUTES | SONDE__PICKLE_PARAMETER))
        return SONDE_OK;
    return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                "it sets the state (BUILD) of something that has none here; load "
                                "it where it was made and save its state_dict");
}

sonde__pickle_operation sonde__pickle_object(uint8_t opcode)
{
    static const sonde__pickle_operation operations[256] = {
        ['c'] = op_global,   [0x93] = op_stack_global, ['R'] = op_reduce,   [0x81] = op_new_object,
        ['b'] = op_build,    ['Q'] = op_persistent,    ['i'] = op_instance, ['o'] = op_refused,
        ['P'] = op_refused,  [0x82] = op_refused,      [0x83] = op_refused, [0x84] = op_refused,
        [0x92] = op_refused, [0x97] = op_refused,      [0x98] = op_refused,
    };
    return operations[opcode];
}
