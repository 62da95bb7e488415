// AVX2 with fused multiply-add: Intel from Haswell, AMD from Zen to Zen 3.
#if defined(__x86_64__)
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define FAMILY(name) haswell_##name
#define FAMILY_NAME "haswell"
#define REGISTER "ymm"
#define REGISTER_LANES 8
#pragma STDC FP_CONTRACT OFF
#include "kernels.inc"
#pragma clang attribute pop
#endif
