/* The one place for compiler extensions. */
#ifndef SONDE_BASE_COMPILER_H
#define SONDE_BASE_COMPILER_H

#if defined(__GNUC__)
#define SONDE_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define SONDE_ASSUME_ALIGNED(pointer, bytes) __builtin_assume_aligned((pointer), (bytes))
/* For loops whose constant arguments must reach the compiler. */
#define SONDE_INLINE static inline __attribute__((always_inline))
#else
#define SONDE_PRINTF(string, first)
#define SONDE_ASSUME_ALIGNED(pointer, bytes) (pointer)
#define SONDE_INLINE static inline
#endif

/* Files are little-endian, and numbers of checkpoints, model files and saved states are copied as they
 * lie in memory. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Sonde is for little-endian machines: on this one every number of a file would be wrong"
#endif

/* Eight doubles that add and multiply as one, in whatever registers the machine has; 64-byte
 * aligned in memory. */
typedef double sonde__vector8 __attribute__((vector_size(64), may_alias));
/* The same where memory is aligned to single doubles only. */
typedef double sonde__loose8 __attribute__((vector_size(64), aligned(8), may_alias));
/* Sixteen floats likewise; aligned to a float. */
typedef float sonde__vector16 __attribute__((vector_size(64), may_alias, aligned(4)));
/* What comparing two of those gives: all bits of a lane, or none. */
typedef int sonde__mask16 __attribute__((vector_size(64), may_alias, aligned(4)));

/* Lanes of two such vectors, the second one's numbered from 8 on, by eight constant numbers. */
#define SONDE_SHUFFLE8(a, b, ...) __builtin_shufflevector((a), (b), __VA_ARGS__)

/* Compiles a static function for several instruction sets and picks at load time (others would be
 * exported from the library, whatever their visibility). Not under sanitizers, whose run time is not
 * up yet when the choice is made. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(SONDE_SANITIZED)
#define SONDE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SONDE_CLONES
#endif

/* Bits that are set in a 64-bit word. */
#define SONDE_COUNT_BITS(word) __builtin_popcountll(word)

/* The same for loops that count bits, which AVX-512 does since 2019. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(SONDE_SANITIZED)
#define SONDE_CLONES_BITS \
    __attribute__((target_clones("arch=icelake-server", "arch=x86-64-v3", "default")))
#else
#define SONDE_CLONES_BITS
#endif

/* What the processor can run: the vectors that AVX2 and AVX-512 kernels are written for. */
#if defined(__GNUC__) && defined(__x86_64__)
static inline int sonde__cpu_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static inline int sonde__cpu_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#else
static inline int sonde__cpu_has_avx2(void)
{
    return 0;
}
static inline int sonde__cpu_has_avx512(void)
{
    return 0;
}
#endif

#endif
