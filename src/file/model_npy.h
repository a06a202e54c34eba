/* What .npy files and the members of an .npz share: an array becomes a storage and a tensor. */
#ifndef SONDE_FILE_MODEL_NPY_H
#define SONDE_FILE_MODEL_NPY_H

#include "file/model_internal.h"
#include "file/npy.h"

/* `storage`: of the whole array, header and all; its `skip` and byte order are filled in. */
sonde_status sonde__model_add_npy(sonde_model *model, const char *name, const sonde__npy *array,
                                  sonde__storage *storage);
/* "fc1.npy" becomes "fc1"; a name without that ending stays. */
void sonde__npy_drop_suffix(char *name);

#endif
