// Whatever the compiler's baseline is: SSE2 on x86-64, NEON on arm64.
#define FAMILY(name) baseline_##name
#define FAMILY_NAME "baseline"
#pragma STDC FP_CONTRACT OFF
#include "kernels.inc"
