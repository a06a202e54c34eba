/*
 * The calls of the OpenMP standard that this project uses, for compilers that bring no omp.h or one
 * of another runtime: gcc's header refuses to be read by clang, and the runtime is gcc's for both.
 */
#ifndef SONDE_CLANG_OMP_H
#define SONDE_CLANG_OMP_H

#ifdef __cplusplus
extern "C" {
#endif

int omp_get_max_threads(void);
int omp_get_num_procs(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
int omp_in_parallel(void);
void omp_set_dynamic(int dynamic);
void omp_set_max_active_levels(int levels);
void omp_set_num_threads(int threads);

#ifdef __cplusplus
}
#endif

#endif
