/*
 * Which format a model file has, by its first bytes, and for zip archives by their members.
 *
 * The name of the file is not asked: what one program takes for harmless by its name another may
 * load by its content. What is known and not read is refused by its own name.
 */
#include <string.h>

#include "file/model_state.h"
#include "file/safetensors_internal.h"
#include "file/zip.h"

enum { HEAD = 512, PREFIX = 8 };

typedef struct signature {
    size_t offset, size;
    const char *bytes, *what;
} signature;

/* Files that people take for models, or that are left where one should be. */
static const signature REFUSED[] = {
    {0, 8, "\x89HDF\r\n\x1a\n",
     "an HDF5 (Keras) file, which is not read; save the weights as safetensors"},
    {257, 5, "ustar",
     "a tar archive, as PyTorch wrote before 0.2; load and save it again with a newer one"},
    {0, 20, "version https://git-",
     "a Git LFS pointer, not the model; fetch it with `git lfs pull`"},
    {0, 2, "\x1f\x8b", "packed with gzip; unpack it first"},
    {0, 6, "7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"},
    {0, 1, "<", "a web page or XML, not a model; was the download what it should be?"},
};

static bool matches(const signature *known, const uint8_t *head, size_t size)
{
    return size >= known->offset + known->size &&
           memcmp(head + known->offset, known->bytes, known->size) == 0;
}

static bool begins(const uint8_t *head, size_t size, const char *bytes, size_t count)
{
    return size >= count && memcmp(head, bytes, count) == 0;
}

static sonde_status read_head(const sonde__input *input, uint8_t *head, size_t *size)
{
    const uint64_t all = sonde__input_size(input);
    *size = all < HEAD ? (size_t)all : HEAD;
    return sonde__input_read(input, NULL, 0, head, *size);
}

/* A length that the file and the format can hold, then '{': a large GGUF file of 123 tensors has one
 * there too. */
static bool is_safetensors(const uint8_t *head, size_t size, uint64_t file_size)
{
    uint64_t length = 0;
    if (size <= PREFIX || head[PREFIX] != '{')
        return false;
    for (size_t i = 0; i < PREFIX; i++)
        length |= (uint64_t)head[i] << (8 * i);
    return length <= file_size - PREFIX && length <= SONDE__SAFETENSORS_HEADER_MAX;
}

static bool is_json(const uint8_t *head, size_t size)
{
    size_t at = 0;
    while (at < size &&
           (head[at] == ' ' || head[at] == '\n' || head[at] == '\r' || head[at] == '\t'))
        at++;
    /* The key or the end comes next; a safetensors header of a length with low byte '{' does not. */
    for (size_t next = at + 1; at < size && head[at] == '{' && next < size; next++)
        if (head[next] == '"' || head[next] == '}')
            return true;
        else if (head[next] != ' ' && head[next] != '\n' && head[next] != '\r' &&
                 head[next] != '\t')
            return false;
    return false;
}

bool sonde__input_is_json(const sonde__input *input)
{
    uint8_t head[HEAD];
    size_t size = 0;
    const uint64_t all = sonde__input_size(input);
    size = all < HEAD ? (size_t)all : HEAD;
    /* Whether the file can be read is asked again, with its error, by who reads it. */
    if (sonde__input_read(input, NULL, 0, head, size) != SONDE_OK)
        return false;
    return is_json(head, size) && !is_safetensors(head, size, all);
}

/* No length of a safetensors header looks like this: it would be over 2^59. */
static bool is_text(const uint8_t *head, size_t size)
{
    if (size < PREFIX)
        return false;
    for (size_t i = 0; i < PREFIX; i++)
        if (!(head[i] >= ' ' && head[i] <= '~') && head[i] != '\t' && head[i] != '\n' &&
            head[i] != '\r')
            return false;
    return true;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static sonde_status fail_kind(const sonde_model *model, const sonde__input *input,
                              sonde_status status, const char *what)
{
    const char *path = sonde__input_path(input);
    return sonde__fail_at(model->context, status, path, NULL, 0, "%s: is %s", path, what);
}

/* PyTorch's archives hold a data.pkl; numpy's hold .npy files alone. */
static sonde_status kind_of_zip(const sonde_model *model, const sonde__input *input,
                                sonde_model_kind *kind)
{
    sonde__zip *zip = NULL;
    SONDE_TRY(sonde__zip_open(model->context, input, &zip));
    bool torch = false, numpy = false, keras = false;
    for (size_t i = 0; i < sonde__zip_count(zip); i++) {
        const char *name = sonde__zip_at(zip, i)->name;
        torch = torch || strcmp(name, "data.pkl") == 0 || ends_with(name, "/data.pkl");
        numpy = numpy || ends_with(name, ".npy");
        keras = keras || ends_with(name, ".weights.h5");
    }
    sonde__zip_close(zip);
    *kind = torch ? SONDE_MODEL_TORCH_ZIP : SONDE_MODEL_NPZ;
    if (torch || numpy)
        return SONDE_OK;
    return fail_kind(model, input, SONDE_ERROR_UNSUPPORTED,
                     keras ? "a Keras archive, which is not read; save the weights as safetensors"
                           : "a zip archive with neither a data.pkl (PyTorch) nor .npy files in "
                             "it");
}

static sonde_status kind_of(const sonde_model *model, const sonde__input *input,
                            sonde_model_kind *kind)
{
    uint8_t head[HEAD];
    size_t size = 0;
    SONDE_TRY(read_head(input, head, &size));
    if (size == 0)
        return fail_kind(model, input, SONDE_ERROR_TRUNCATED, "empty");
    *kind = SONDE_MODEL_SAFETENSORS;
    if (is_safetensors(head, size, sonde__input_size(input)))
        return SONDE_OK;
    if (begins(head, size, "\x93NUMPY", 6))
        *kind = SONDE_MODEL_NPY;
    else if (begins(head, size, "GGUF", 4) || begins(head, size, "FUGG", 4))
        *kind = SONDE_MODEL_GGUF;
    else if (sonde__is_zip(head, size))
        return kind_of_zip(model, input, kind);
    else if (head[0] == 0x80 && !(size > PREFIX && head[PREFIX] == '{')) /* any protocol >= 2 */
        *kind = SONDE_MODEL_TORCH_LEGACY;
    else if (is_json(head, size))
        return fail_kind(model, input, SONDE_ERROR_UNSUPPORTED,
                         "a shard index where a model file should be");
    else
        for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++)
            if (matches(&REFUSED[i], head, size))
                return fail_kind(model, input, SONDE_ERROR_UNSUPPORTED, REFUSED[i].what);
    if (*kind == SONDE_MODEL_SAFETENSORS && is_text(head, size))
        return fail_kind(model, input, SONDE_ERROR_UNSUPPORTED,
                         "text, not a model file (safetensors, PyTorch, npy, npz or GGUF)");
    /* All else is safetensors with something wrong, or nothing that is known: its reader tells. */
    return SONDE_OK;
}

static sonde__model_reader reader_of(sonde_model_kind kind)
{
    switch (kind) {
    case SONDE_MODEL_SAFETENSORS:
        return sonde__model_read_safetensors;
    case SONDE_MODEL_TORCH_ZIP:
        return sonde__model_read_torch_zip;
    case SONDE_MODEL_TORCH_LEGACY:
        return sonde__model_read_torch_legacy;
    case SONDE_MODEL_NPY:
        return sonde__model_read_npy;
    case SONDE_MODEL_NPZ:
        return sonde__model_read_npz;
    case SONDE_MODEL_GGUF:
        return sonde__model_read_gguf;
    }
    return NULL;
}

sonde_status sonde__model_read_input(sonde_model *model, int number)
{
    const sonde__input *input = model->inputs[number];
    sonde_model_kind kind = SONDE_MODEL_SAFETENSORS;
    SONDE_TRY(kind_of(model, input, &kind));
    if (model->kind && model->kind != kind)
        return sonde__fail_at(model->context, SONDE_ERROR_FORMAT, sonde__input_path(input), NULL, 0,
                              "%s: is %s, but the shards before it are %s",
                              sonde__input_path(input), sonde_model_kind_name(kind),
                              sonde_model_kind_name(model->kind));
    model->kind = kind;
    return reader_of(kind)(model, number);
}
