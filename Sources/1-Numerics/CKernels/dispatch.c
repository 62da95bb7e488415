#include <string.h>

#include "include/CKernels.h"

extern const struct ck_table baseline_table;

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

extern const struct ck_table haswell_table;
extern const struct ck_table skylakex_table;

static bool has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

const struct ck_table *ck_table_named(const char *family) {
  __builtin_cpu_init();
  if (strcmp(family, "skylakex") == 0) return has_avx512() ? &skylakex_table : 0;
  if (strcmp(family, "haswell") == 0) return has_avx2() ? &haswell_table : 0;
  return strcmp(family, "baseline") == 0 ? &baseline_table : 0;
}

const char *ck_best_family(void) {
  __builtin_cpu_init();
  if (has_avx512()) return "skylakex";
  return has_avx2() ? "haswell" : "baseline";
}

void ck_flush_denormals(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }

#else

const struct ck_table *ck_table_named(const char *family) {
  return strcmp(family, "baseline") == 0 ? &baseline_table : 0;
}

const char *ck_best_family(void) { return "baseline"; }

void ck_flush_denormals(void) {
#if defined(__aarch64__)
  uint64_t control;
  __asm__ volatile("mrs %0, fpcr" : "=r"(control));
  __asm__ volatile("msr fpcr, %0" : : "r"(control | (1ull << 24)));
#endif
}

#endif
