/*
 * The names of Python objects that a pickle may use, and what each stands for here.
 *
 * It is PyTorch's own list for weights_only=True (torch/_weights_only_unpickler.py), less what makes
 * tensors that have no plain numbers (quantised, sparse, distributed), plus plain NumPy numbers and
 * argparse.Namespace. Invariant: no entry makes anything but a value of pickle.h.
 */
#include "file/pickle_internal.h"

#include <string.h>

#define STORAGE(name, number, width) \
    { \
        "torch", name, SONDE__ROLE_STORAGE, number, width \
    }
#define CUDA_STORAGE(name, number, width) \
    { \
        "torch.cuda", name, SONDE__ROLE_STORAGE, number, width \
    }
#define BOTH(name, number, width) STORAGE(name, number, width), CUDA_STORAGE(name, number, width)
#define BYTES(module, name) \
    { \
        module, name, SONDE__ROLE_STORAGE, 0, 1 \
    }
#define DTYPE(name, number) \
    { \
        "torch", name, SONDE__ROLE_DTYPE, number, 0 \
    }
#define ENTRY(module, name, role) \
    { \
        module, name, SONDE__ROLE_##role, 0, 0 \
    }
#define BUILTIN(name, role) ENTRY("builtins", name, role), ENTRY("__builtin__", name, role)

static const sonde__pickle_global GLOBALS[] = {
    ENTRY("collections", "OrderedDict", DICT),
    ENTRY("collections", "Counter", DICT),
    ENTRY("collections", "defaultdict", DEFAULT_DICT),
    ENTRY("argparse", "Namespace", NAMESPACE),
    BUILTIN("set", SET),
    BUILTIN("frozenset", SET),
    BUILTIN("int", NOTHING),
    BUILTIN("float", NOTHING),
    BUILTIN("str", NOTHING),
    BUILTIN("bool", NOTHING),
    BUILTIN("list", NOTHING),
    BUILTIN("dict", NOTHING),
    BUILTIN("bytes", OTHER),
    BUILTIN("bytearray", OTHER),
    BUILTIN("complex", OTHER),
    ENTRY("_codecs", "encode", ENCODE),

    ENTRY("torch._utils", "_rebuild_tensor", TENSOR_1),
    ENTRY("torch._utils", "_rebuild_tensor_v2", TENSOR_2),
    ENTRY("torch._utils", "_rebuild_tensor_v3", TENSOR_3),
    ENTRY("torch._utils", "_rebuild_parameter", PARAMETER),
    ENTRY("torch._utils", "_rebuild_parameter_with_state", PARAMETER),
    ENTRY("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", FROM_CPU),
    ENTRY("torch._tensor", "_rebuild_from_type_v2", FROM_TYPE),
    ENTRY("torch.tensor", "_rebuild_from_type_v2", FROM_TYPE),
    ENTRY("torch", "Tensor", TENSOR_CLASS),
    ENTRY("torch._tensor", "Tensor", TENSOR_CLASS),
    ENTRY("torch.nn.parameter", "Parameter", TENSOR_CLASS),
    ENTRY("torch.nn.parameter", "Buffer", TENSOR_CLASS),
    ENTRY("torch", "Size", SIZE),
    ENTRY("torch", "device", OTHER),
    ENTRY("torch.serialization", "_get_layout", OTHER),

    BOTH("DoubleStorage", SONDE_NUMBER_F64, 8),
    BOTH("FloatStorage", SONDE_NUMBER_F32, 4),
    BOTH("HalfStorage", SONDE_NUMBER_F16, 2),
    BOTH("BFloat16Storage", SONDE_NUMBER_BF16, 2),
    BOTH("LongStorage", SONDE_NUMBER_I64, 8),
    BOTH("IntStorage", SONDE_NUMBER_I32, 4),
    BOTH("ShortStorage", SONDE_NUMBER_I16, 2),
    BOTH("CharStorage", SONDE_NUMBER_I8, 1),
    BOTH("ByteStorage", SONDE_NUMBER_U8, 1),
    BOTH("BoolStorage", SONDE_NUMBER_BOOL, 1),
    BOTH("ComplexFloatStorage", SONDE_NUMBER_C64, 8),
    BOTH("ComplexDoubleStorage", SONDE_NUMBER_C128, 16),
    STORAGE("QInt8Storage", 0, 0),
    STORAGE("QInt32Storage", 0, 0),
    STORAGE("QUInt8Storage", 0, 0),
    STORAGE("QUInt4x2Storage", 0, 0),
    STORAGE("QUInt2x4Storage", 0, 0),
    BYTES("torch", "UntypedStorage"),
    BYTES("torch.storage", "UntypedStorage"),
    BYTES("torch.storage", "_UntypedStorage"),

    DTYPE("float64", SONDE_NUMBER_F64),
    DTYPE("float32", SONDE_NUMBER_F32),
    DTYPE("float16", SONDE_NUMBER_F16),
    DTYPE("bfloat16", SONDE_NUMBER_BF16),
    DTYPE("float8_e4m3fn", SONDE_NUMBER_F8_E4M3),
    DTYPE("float8_e5m2", SONDE_NUMBER_F8_E5M2),
    DTYPE("float8_e4m3fnuz", SONDE_NUMBER_F8_E4M3FNUZ),
    DTYPE("float8_e5m2fnuz", SONDE_NUMBER_F8_E5M2FNUZ),
    DTYPE("float8_e8m0fnu", SONDE_NUMBER_F8_E8M0),
    DTYPE("int64", SONDE_NUMBER_I64),
    DTYPE("int32", SONDE_NUMBER_I32),
    DTYPE("int16", SONDE_NUMBER_I16),
    DTYPE("int8", SONDE_NUMBER_I8),
    DTYPE("uint64", SONDE_NUMBER_U64),
    DTYPE("uint32", SONDE_NUMBER_U32),
    DTYPE("uint16", SONDE_NUMBER_U16),
    DTYPE("uint8", SONDE_NUMBER_U8),
    DTYPE("bool", SONDE_NUMBER_BOOL),
    DTYPE("complex64", SONDE_NUMBER_C64),
    DTYPE("complex128", SONDE_NUMBER_C128),
    DTYPE("complex32", 0),
    DTYPE("float4_e2m1fn_x2", 0),
    DTYPE("qint8", 0),
    DTYPE("quint8", 0),
    DTYPE("qint32", 0),
    DTYPE("quint4x2", 0),
    DTYPE("quint2x4", 0),
    DTYPE("bits8", 0),
    DTYPE("bits16", 0),
    DTYPE("bits1x8", 0),
    DTYPE("bits2x4", 0),
    DTYPE("bits4x2", 0),

    ENTRY("numpy", "dtype", NUMPY_DTYPE),
    ENTRY("numpy", "ndarray", NOTHING),
    ENTRY("numpy.core.multiarray", "scalar", NUMPY_SCALAR),
    ENTRY("numpy._core.multiarray", "scalar", NUMPY_SCALAR),
    ENTRY("numpy.core.multiarray", "_reconstruct", NUMPY_ARRAY),
    ENTRY("numpy._core.multiarray", "_reconstruct", NUMPY_ARRAY),
    ENTRY("numpy.core.numeric", "_frombuffer", NUMPY_ARRAY),
    ENTRY("numpy._core.numeric", "_frombuffer", NUMPY_ARRAY),
};

static bool same(sonde__pickle_text text, const char *expected)
{
    return text.size == strlen(expected) && memcmp(text.bytes, expected, text.size) == 0;
}

static bool begins(sonde__pickle_text text, const char *expected)
{
    size_t size = strlen(expected);
    return text.size >= size && memcmp(text.bytes, expected, size) == 0;
}

const sonde__pickle_global *sonde__pickle_find_global(sonde__pickle_text module,
                                                      sonde__pickle_text name)
{
    for (size_t i = 0; i < sizeof GLOBALS / sizeof *GLOBALS; i++)
        if (same(name, GLOBALS[i].name) && same(module, GLOBALS[i].module))
            return &GLOBALS[i];
    return NULL;
}

/* What is refused and is no attack. */
const char *sonde__pickle_advice(sonde__pickle_text module, sonde__pickle_text name)
{
    if (begins(module, "__torch__"))
        return "a TorchScript program; load it with torch.jit.load and save its state_dict";
    if (same(name, "_rebuild_qtensor"))
        return "a quantised tensor, which is not read; dequantize it before saving";
    if (begins(name, "_rebuild_sparse"))
        return "a sparse tensor, which is not read; make it dense before saving";
    if (begins(name, "_rebuild_meta"))
        return "a tensor without numbers (device meta)";
    if (begins(module, "torch.nn.modules") || begins(module, "torchvision."))
        return "a class of a whole pickled model; load it where it was made and save its "
               "state_dict";
    if (begins(module, "torch.distributed") || begins(name, "_rebuild_wrapper_subclass"))
        return "a distributed or wrapped tensor; save a full state_dict where it was made";
    return "not data that is read here, and nothing in a file is ever run; load it where it was "
           "made and save its state_dict";
}

static size_t show(char *to, size_t at, sonde__pickle_text text)
{
    for (size_t i = 0; i < text.size && at + 1 < SONDE__PICKLE_NAME; i++) {
        const unsigned char byte = (unsigned char)text.bytes[i];
        to[at++] = (char)(byte < 0x20 || byte >= 0x7f ? '?' : byte);
    }
    return at;
}

void sonde__pickle_show_name(char *to, sonde__pickle_text module, sonde__pickle_text name)
{
    size_t at = show(to, 0, module);
    at = show(to, at, (sonde__pickle_text){".", 1});
    to[show(to, at, name)] = '\0';
}
