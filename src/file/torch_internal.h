/*
 * What the readers of PyTorch's two file formats share: the walk from the pickled object to tensors
 * with names. They differ in where the numbers of a storage lie.
 */
#ifndef SONDE_FILE_TORCH_INTERNAL_H
#define SONDE_FILE_TORCH_INTERNAL_H

#include "file/model_internal.h"
#include "file/pickle.h"

/* The model's number of the storage that `tensor` is a view of; adds it when it is new. */
typedef sonde_status (*sonde__torch_find_fn)(void *user, const sonde__pickle_value *tensor,
                                             size_t *storage);

/*
 * Adds the tensors of the pickled object under their paths, joined by '.' (a tensor alone: "tensor"),
 * and plain numbers and strings near its root as metadata.
 */
sonde_status sonde__torch_add(sonde_model *model, const sonde__pickle *pickle,
                              sonde__torch_find_fn find, void *user);
/* Two persistent ids of one key must say the same. */
bool sonde__torch_same_storage(const sonde__pickle_storage *a, const sonde__pickle_storage *b);

#endif
