// AVX-512 F/BW/CD/DQ/VL: Intel from Skylake-X, AMD from Zen 4.
#if defined(__x86_64__)
#include <math.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#define FAMILY(name) skylakex_##name
#define FAMILY_NAME "skylakex"
#define REGISTER "zmm"
#define REGISTER_LANES 16
#define WIDE_REGISTERS
#define CONVERTS_INTEGERS
#pragma STDC FP_CONTRACT OFF
#include "kernels.inc"
#pragma clang attribute pop
#endif
