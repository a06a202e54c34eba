/*
 * Which kernels OpenBLAS has picked, and whether the processor could run better ones.
 *
 * OpenBLAS chooses by model number. On a processor that it does not know (newer than the library, or
 * masked by a hypervisor) it falls back to kernels of 2004, three times slower here. It reads its
 * choice from OPENBLAS_CORETYPE once, when it is loaded; so a program can only set that and start
 * itself again, and a user of the library can set it beforehand.
 */
#ifndef SONDE_NUM_BLAS_CORE_H
#define SONDE_NUM_BLAS_CORE_H

/* The value for OPENBLAS_CORETYPE that would serve better, or NULL when the choice is good. */
const char *sonde__blas_better_core(void);

#endif
