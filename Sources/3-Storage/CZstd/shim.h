#ifndef FORGE_CZSTD_SHIM_H
#define FORGE_CZSTD_SHIM_H

// The literal compression mode is declared only for those who ask for it.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

/// Lets every level code its literals by Huffman's method; by itself zstd stores them as they are at negative levels,
/// which only look for matches. The exponents of weights have few matches and much to gain from Huffman's method.
static inline size_t forge_zstd_always_code_literals(ZSTD_CCtx *context) {
  return ZSTD_CCtx_setParameter(context, ZSTD_c_literalCompressionMode, ZSTD_lcm_huffman);
}

#endif
