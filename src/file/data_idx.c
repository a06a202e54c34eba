/*
 * IDX files (MNIST and Fashion-MNIST): big-endian magic and sizes, then bytes.
 *
 *     images: 00 00 08 03, count, rows, columns, count x rows x columns bytes
 *     labels: 00 00 08 01, count, count bytes
 *
 * The header's product must be exactly what the file holds; for gzip it is also the limit to which
 * the content is unpacked.
 */
#include <string.h>

#include "base/checked.h"
#include "file/data_internal.h"

enum { SIDE_MAX = 4096 };

typedef struct idx_header {
    size_t dims, sizes[3];
    size_t bytes; /* of the header */
    size_t total; /* of the file, header included */
} idx_header;

static size_t big_endian(const uint8_t *at)
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | (size_t)at[3];
}

static sonde_status read_header(sonde_context *context, const char *path, const uint8_t *head,
                                size_t size, idx_header *header)
{
    size_t dims = header->dims;
    header->bytes = 4 + 4 * dims;
    if (size < header->bytes)
        return sonde__fail_at(context, SONDE_ERROR_TRUNCATED, path, NULL, (int64_t)size,
                              "%s: ends inside its header, after %zu of %zu bytes", path, size,
                              header->bytes);
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)dims};
    if (memcmp(head, magic, 4) != 0)
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, path, NULL, 0,
                              "%s: begins with %02x %02x %02x %02x, not with 00 00 08 %02x as an "
                              "IDX file of %s does",
                              path, head[0], head[1], head[2], head[3], (unsigned)dims,
                              dims == 3 ? "images" : "labels");
    size_t product = 1;
    bool fits = true;
    for (size_t i = 0; i < dims; i++) {
        header->sizes[i] = big_endian(head + 4 + 4 * i);
        fits = fits && sonde__multiply(product, header->sizes[i], &product);
        if (i > 0 && (header->sizes[i] == 0 || header->sizes[i] > SIDE_MAX))
            return sonde__fail_at(context, SONDE_ERROR_FORMAT, path, NULL, (int64_t)(4 + 4 * i),
                                  "%s: images are %zu pixels wide or high; 1 to %d are possible",
                                  path, header->sizes[i], SIDE_MAX);
    }
    if (!fits || !sonde__add(product, header->bytes, &header->total))
        return sonde__fail_at(context, SONDE_ERROR_OVERFLOW, path, NULL, 4,
                              "%s: the sizes in its header do not fit in memory", path);
    return SONDE_OK;
}

static sonde_status check_total(sonde_context *context, const sonde__source *source,
                                const idx_header *header)
{
    if (source->size < header->total)
        return sonde__fail_at(context, SONDE_ERROR_TRUNCATED, source->path, NULL,
                              (int64_t)source->size,
                              "%s: holds %zu bytes where its header promises %zu; fetch it again",
                              source->path, source->size, header->total);
    if (source->size > header->total)
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, source->path, NULL,
                              (int64_t)header->total,
                              "%s: holds %zu bytes where its header promises %zu", source->path,
                              source->size, header->total);
    return SONDE_OK;
}

/* Unpacks if need be; afterwards source and header agree. */
static sonde_status open_idx(sonde_context *context, sonde__source *source, size_t dims,
                             idx_header *header)
{
    uint8_t head[16];
    size_t size = source->size < sizeof head ? source->size : sizeof head;
    header->dims = dims;
    if (sonde__is_gzip(source->bytes, source->size)) {
        SONDE_TRY(sonde__gunzip_head(context, source, head, sizeof head, &size));
        /* Too short for a header: let the unpacker say whether it is damaged. */
        if (size < 4 + 4 * dims)
            SONDE_TRY(sonde__source_unpack(context, source, sizeof head));
    } else if (size > 0) {
        memcpy(head, source->bytes, size);
    }
    SONDE_TRY(read_header(context, source->path, head, size, header));
    SONDE_TRY(sonde__source_unpack(context, source, header->total));
    return check_total(context, source, header);
}

static sonde_status copy_labels(sonde_context *context, const sonde__source *source, size_t skip,
                                sonde__dataset *dataset)
{
    dataset->labels = sonde__alloc(context, dataset->count, sizeof *dataset->labels);
    if (!dataset->labels)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < dataset->count; i++) {
        uint8_t label = source->bytes[skip + i];
        SONDE_TRY(sonde__check_label(context, source->path, (int64_t)(skip + i), i, label,
                                     dataset->classes));
        dataset->labels[i] = label;
    }
    return SONDE_OK;
}

static sonde_status parse(sonde_context *context, sonde__source *images, sonde__source *labels,
                          sonde__dataset *dataset)
{
    idx_header image_header = {0}, label_header = {0};
    SONDE_TRY(open_idx(context, labels, 1, &label_header));
    SONDE_TRY(open_idx(context, images, 3, &image_header));
    if (image_header.sizes[0] != label_header.sizes[0])
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, labels->path, NULL, 4,
                              "%s: holds %zu labels for the %zu images of %s", labels->path,
                              label_header.sizes[0], image_header.sizes[0], images->path);
    dataset->count = image_header.sizes[0];
    dataset->channels = 1;
    dataset->height = (int)image_header.sizes[1];
    dataset->width = (int)image_header.sizes[2];
    dataset->image = true;
    SONDE_TRY(copy_labels(context, labels, label_header.bytes, dataset));
    /* The file's block becomes the data set's: one move instead of a second block. */
    memmove(images->bytes, images->bytes + image_header.bytes,
            image_header.total - image_header.bytes);
    dataset->bytes = images->bytes;
    images->bytes = NULL;
    return SONDE_OK;
}

sonde_status sonde__idx_parse(sonde_context *context, sonde__source *images, sonde__source *labels,
                              sonde__dataset *dataset)
{
    sonde_status status = parse(context, images, labels, dataset);
    sonde__source_free(context, images);
    sonde__source_free(context, labels);
    return status;
}

static sonde_status load_part(sonde_context *context, const sonde__data_request *request,
                              const char *const *image_names, const char *const *label_names,
                              sonde__dataset **out)
{
    char *image_path = NULL, *label_path = NULL;
    sonde__source images = {0}, labels = {0};
    sonde__dataset *dataset = NULL;
    sonde_status status;
    SONDE_TRY_CLEAN(sonde__source_find(context, request->folder, image_names, &image_path));
    SONDE_TRY_CLEAN(sonde__source_find(context, request->folder, label_names, &label_path));
    SONDE_TRY_CLEAN(sonde__source_read(context, image_path, &images));
    SONDE_TRY_CLEAN(sonde__source_read(context, label_path, &labels));
    SONDE_TRY_CLEAN(sonde__dataset_new(context, request->name, 10, &dataset));
    dataset->flip = strcmp(request->name, "fashion-mnist") == 0;
    SONDE_TRY_CLEAN(sonde__idx_parse(context, &images, &labels, dataset));
    *out = dataset;
    dataset = NULL;
cleanup:
    sonde__dataset_free(context, dataset);
    sonde__source_free(context, &images);
    sonde__source_free(context, &labels);
    sonde__free(context, image_path);
    sonde__free(context, label_path);
    return status;
}

sonde_status sonde__load_idx(sonde_context *context, const sonde__data_request *request,
                             sonde__dataset **train, sonde__dataset **test)
{
    static const char *const train_images[] = {"train-images-idx3-ubyte", "train-images.idx3-ubyte",
                                               NULL};
    static const char *const train_labels[] = {"train-labels-idx1-ubyte", "train-labels.idx1-ubyte",
                                               NULL};
    static const char *const test_images[] = {"t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte",
                                              NULL};
    static const char *const test_labels[] = {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte",
                                              NULL};
    SONDE_TRY(load_part(context, request, train_images, train_labels, train));
    char *path = NULL;
    sonde_status status = sonde__source_find(context, request->folder, test_images, &path);
    sonde__free(context, path);
    if (status == SONDE_ERROR_NOT_FOUND)
        return SONDE_OK; /* a test part is not required */
    SONDE_TRY(status);
    return load_part(context, request, test_images, test_labels, test);
}
