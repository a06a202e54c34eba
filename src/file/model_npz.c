/*
 * .npz (numpy.savez, numpy.savez_compressed): a zip whose members are .npy files. NAME.npy is the
 * tensor NAME.
 *
 * Opening reads the head of each member, and unpacks no more than that of a deflated one: what a
 * member claims to hold is neither believed nor allocated. Members of text or dates are left out with
 * a warning; a member that is no array, or of Python objects, refuses the file.
 */
#include <string.h>
#include <zlib.h>

#include "file/model_npy.h"
#include "file/zip.h"

enum { PIECE = 4096 /* of packed bytes */ };

typedef struct npz {
    sonde_model *model;
    sonde_context *context;
    const sonde__input *input;
    int number;
} npz;

static sonde_status fail(const npz *file, sonde_status status, const sonde__zip_member *member,
                         const char *what)
{
    const char *path = sonde__input_path(file->input);
    return sonde__fail_at(file->context, status, path, member->name, (int64_t)member->offset,
                          "%s: %s: %s", path, member->name, what);
}

/* --- the head of a member --------------------------------------------------------------------------- */

static void *zlib_alloc(void *context, unsigned count, unsigned size)
{
    return sonde__alloc_quiet(context, count, size);
}

static void zlib_free(void *context, void *block)
{
    sonde__free(context, block);
}

/* Until `size` bytes have come out. */
static sonde_status inflate_into(const npz *file, const sonde__zip_member *member, z_stream *stream)
{
    uint8_t piece[PIECE];
    uint64_t taken = 0;
    int result = Z_OK;
    while (result == Z_OK && stream->avail_out > 0 && taken < member->packed) {
        const uint64_t left = member->packed - taken;
        const size_t take = left < PIECE ? (size_t)left : PIECE;
        SONDE_TRY(
            sonde__input_read(file->input, member->name, member->offset + taken, piece, take));
        taken += take;
        stream->next_in = piece;
        stream->avail_in = (uInt)take;
        result = inflate(stream, Z_SYNC_FLUSH);
    }
    if (stream->avail_out > 0)
        return fail(file, result == Z_MEM_ERROR ? SONDE_ERROR_MEMORY : SONDE_ERROR_CORRUPT, member,
                    "its packed data is damaged, or shorter than it claims");
    return SONDE_OK;
}

/* The first `size` bytes of what the member holds. */
static sonde_status member_head(const npz *file, const sonde__zip_member *member, uint8_t *head,
                                size_t size)
{
    if (!member->deflated)
        return sonde__input_read(file->input, member->name, member->offset, head, size);
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = file->context};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return fail(file, SONDE_ERROR_MEMORY, member, "no memory to unpack it");
    stream.next_out = head;
    stream.avail_out = (uInt)size;
    const sonde_status status = inflate_into(file, member, &stream);
    inflateEnd(&stream);
    return status;
}

static sonde_status read_array(const npz *file, const sonde__zip_member *member,
                               const sonde__npy_place *place, size_t size, sonde__npy *array)
{
    uint8_t *head = sonde__alloc(file->context, size, 1);
    if (!head)
        return sonde_context_error(file->context)->status;
    sonde_status status = member_head(file, member, head, size);
    if (status == SONDE_OK)
        status = sonde__npy_parse_header(place, head, size, member->bytes, array);
    sonde__free(file->context, head);
    return status;
}

/* --- members --------------------------------------------------------------------------------------- */

static sonde_status add_array(const npz *file, const sonde__zip_member *member,
                              const sonde__npy *array)
{
    sonde__storage storage = {.input = file->number,
                              .offset = member->offset,
                              .packed = member->packed,
                              .bytes = member->bytes,
                              .deflated = member->deflated,
                              .has_crc = true,
                              .crc = member->crc,
                              .entry = member->name};
    char *name = sonde__copy_string(file->context, member->name);
    if (!name)
        return sonde_context_error(file->context)->status;
    sonde__npy_drop_suffix(name);
    const sonde_status status = sonde__model_add_npy(file->model, name, array, &storage);
    sonde__free(file->context, name);
    return status;
}

static bool is_folder(const sonde__zip_member *member)
{
    const size_t length = strlen(member->name);
    return length > 0 && member->name[length - 1] == '/';
}

static sonde_status read_member(const npz *file, const sonde__zip_member *member)
{
    const sonde__npy_place place = {file->context, sonde__input_path(file->input), member->name,
                                    (int64_t)member->offset, member->deflated};
    uint8_t prefix[SONDE__NPY_PREFIX];
    const size_t got = member->bytes < sizeof prefix ? (size_t)member->bytes : sizeof prefix;
    size_t size = 0;
    sonde__npy array;
    SONDE_TRY(member_head(file, member, prefix, got));
    SONDE_TRY(sonde__npy_header_size(&place, prefix, got, member->bytes, &size));
    SONDE_TRY(read_array(file, member, &place, size, &array));
    if (!sonde__npy_number(&array))
        return sonde__model_warn(file->model, "%s holds text or dates ('%s') and is left out",
                                 member->name, array.type);
    return add_array(file, member, &array);
}

static sonde_status read_members(const npz *file, const sonde__zip *zip)
{
    for (size_t i = 0; i < sonde__zip_count(zip); i++) {
        const sonde__zip_member *member = sonde__zip_at(zip, i);
        if (sonde__cancelled(file->context))
            return sonde__fail(file->context, SONDE_ERROR_CANCELLED, "opening was cancelled");
        if (!is_folder(member))
            SONDE_TRY(read_member(file, member));
    }
    return SONDE_OK;
}

sonde_status sonde__model_read_npz(sonde_model *model, int number)
{
    const npz file = {model, sonde__model_context(model), sonde__model_input(model, number),
                      number};
    sonde__zip *zip = NULL;
    SONDE_TRY(sonde__zip_open(file.context, file.input, &zip));
    const sonde_status status = read_members(&file, zip);
    sonde__zip_close(zip);
    return status;
}
