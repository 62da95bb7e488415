/// The loops that Swift cannot vectorise, compiled once per CPU kernel family and reached through an explicit table.
///
/// Every family runs the same source with the same 16-lane operations and explicit fused multiply-adds, so all families
/// give the same bits here (OpenBLAS's products are what differs between them). Reductions keep 16 partial sums that are
/// folded in a fixed order; a tail shorter than 16 goes through the same vector code on a padded copy. Hence a result
/// depends neither on the address, nor on an element's place in a vector body or tail.
///
/// All matrices are row-major; `stride` counts elements between rows. Nothing here allocates or keeps state.
#ifndef FORGE_CKERNELS_H
#define FORGE_CKERNELS_H

#include <stdbool.h>
#include <stdint.h>

/// Read-only data; Swift may share it between threads.
#define CK_SENDABLE __attribute__((swift_attr("@Sendable")))

/// The constants of one AdamW step, rounded once from fp64.
struct CK_SENDABLE ck_adamw {
  float decay;              ///< 1 - learning rate * weight decay
  float step_size;          ///< learning rate / (1 - beta1^t)
  float new_first;          ///< 1 - beta1
  float new_second;         ///< 1 - beta2
  float beta2;
  float second_correction;  ///< 1 / sqrt(1 - beta2^t)
  float epsilon;
};

/// Positions whose products are one chain of fused multiply-adds; part of the bits.
#define CK_INNER_BLOCK 256
/// Columns of a packed panel.
#define CK_PANEL 16
/// The largest tile of a product.
#define CK_ROW_TILE 768
#define CK_COLUMN_TILE 512
/// Rows of a tile that are packed at a time.
#define CK_ROW_PART 192
/// Floats of scratch memory for a tile: its sums, and over one block of positions its rows and a part of its columns.
enum {
  CK_PRODUCT_SCRATCH = CK_ROW_TILE * CK_COLUMN_TILE + CK_ROW_PART * (CK_INNER_BLOCK + 16) +
                       (CK_COLUMN_TILE / CK_PANEL) * (CK_INNER_BLOCK + 1) * CK_PANEL
};

/// What a product may leave out, as for causal attention.
enum ck_triangle {
  CK_WHOLE = 0,
  CK_RESULTS_BELOW,    ///< nobody reads c(i, j) where j > i + diagonal
  CK_OPERAND_BELOW,    ///< a(i, k) = 0 where k > i + diagonal
  CK_OPERAND_ABOVE,    ///< a(i, k) = 0 where k < i - diagonal
};

/// A tile of a matrix product, c (+)= a b, of at most CK_ROW_TILE rows and CK_COLUMN_TILE columns.
struct CK_SENDABLE ck_product {
  int64_t rows, columns, inner;
  /// Element (i, k) of a is at a[i * a_row + k * a_step].
  const float *a;
  int64_t a_row, a_step;
  /// Whether rows of a are read as they lie, though their positions are not contiguous.
  bool a_in_place;
  /// Element (k, j) of b is at b[k * b_step + j * b_column]; of a packed b, panels of `[b_panel / 16, 16]`, at
  /// b[j / 16 * b_panel + k * 16 + j % 16].
  const float *b;
  int64_t b_column, b_step;
  /// 0 where b is not packed.
  int64_t b_panel;
  float *c;
  int64_t c_stride;
  bool accumulate;
  /// Of the whole tile; CK_WHOLE unless set.
  enum ck_triangle triangle;
  int64_t diagonal;
};

struct CK_SENDABLE ck_table {
  const char *family;

  /// A tile of a matrix product. An element's sum is a chain of fused multiply-adds from +0, in the order of k, over each
  /// block of CK_INNER_BLOCK positions; the blocks are added one after the other, and their sum to c. So it depends on
  /// nothing else: neither on rows and columns beside it nor on the family.
  void (*product)(const struct ck_product *tile, float *scratch);
  /// Packs b `[count, columns]`, element (k, j) at b[k * step + j * column], into panels of sixteen columns,
  /// `panel` >= 16 * count floats apart: `[panels][count][16]`. Columns that do not exist become 0.
  void (*pack_columns)(int64_t columns, int64_t count, const float *b, int64_t column, int64_t step, float *packed,
                       int64_t panel);

  /// y = x * rstd * w with rstd = (mean(x^2) + epsilon)^(-1/2); x, y `[rows, n]`, w `[n]`, rstd `[rows]`.
  void (*rms_norm_forward)(int64_t rows, int64_t n, const float *x, int64_t x_stride, const float *w, float epsilon,
                           float *y, int64_t y_stride, float *rstd);
  /// dx (+)= the gradient of x; `accumulate` adds to dx instead of replacing it.
  void (*rms_norm_backward_input)(int64_t rows, int64_t n, const float *dy, int64_t dy_stride, const float *x,
                                  int64_t x_stride, const float *w, const float *rstd, float *dx, int64_t dx_stride,
                                  bool accumulate);
  /// dw (+)= sum over rows, in row order, of dy * x * rstd, for columns [0, n).
  void (*rms_norm_backward_weight)(int64_t rows, int64_t n, const float *dy, int64_t dy_stride, const float *x,
                                   int64_t x_stride, const float *rstd, int64_t rstd_stride, float *dw, bool accumulate);

  /// Rotates each row's `heads` heads of `dimension` in place (half-split layout) by its position's row of the tables
  /// cosine, sine `[positions, dimension / 2]`; sign = +1 forward, -1 backward.
  void (*rotate)(int64_t rows, int64_t heads, int64_t dimension, float *x, int64_t stride, const int32_t *positions,
                 const float *cosine, const float *sine, float sign);

  /// Clamps x `[rows, n]` to [-bound, bound] in place; bit i of a row of `outside` `[rows, ceil(n / 32)]` says whether
  /// element i lay outside. Null keeps nothing.
  void (*clamp)(int64_t rows, int64_t n, float bound, float *x, int64_t stride, int32_t *outside);
  /// The gradient of clamp, in place: 0 where the element lay outside.
  void (*clamp_backward)(int64_t rows, int64_t n, const int32_t *outside, float *gradient, int64_t stride);

  /// out = silu(gate) * up, where gate_up `[rows, 2n]` holds gate then up.
  void (*swiglu_forward)(int64_t rows, int64_t n, const float *gate_up, float *out);
  /// Recomputes out and turns gate_up into its own gradient: d_out `[rows, n]`.
  void (*swiglu_backward)(int64_t rows, int64_t n, const float *d_out, float *gate_up_to_gradient, float *out);

  /// One block of attention scores of one query row: columns outside [low, high) become 0, inside exp(s * scale - m')
  /// with the running maximum m' and sum updated (Milakov & Gimelshein 2018). Returns the factor exp(m - m') for what
  /// was accumulated before.
  float (*softmax_online)(int64_t n, int64_t low, int64_t high, float scale, float *scores, float *maximum, float *sum);
  /// p = exp(s * scale - lse) inside [low, high), else 0 (in s); dp becomes scale * p * (dp - delta).
  void (*softmax_backward)(int64_t n, int64_t low, int64_t high, float scale, float lse, float delta, float *scores,
                           float *dp);

  /// In-place softmax of one row; returns its log-sum-exp.
  float (*softmax_row)(int64_t n, float *x);
  /// x = 1 / (1 + exp(-x)) of one row, in place; returns the sum.
  float (*sigmoid_row)(int64_t n, float *x);
  /// Log-sum-exp of one row; with `sum` the row becomes exp(x - maximum), and `sum` what that adds up to.
  float (*log_sum_exp_row)(int64_t n, float *x, float *sum);

  /// The natural logarithm, of no C library.
  float (*logarithm)(float x);
  float (*dot)(int64_t n, const float *a, const float *b);
  double (*sum_of_squares)(int64_t n, const float *x);
  /// y += a * x
  void (*axpy)(int64_t n, float a, const float *x, float *y);
  /// y = a * x
  void (*scale)(int64_t n, float a, const float *x, float *y);
  /// out (+)= sum over rows in row order.
  void (*sum_rows)(int64_t rows, int64_t n, const float *x, int64_t stride, float *out, bool accumulate);

  /// accumulator (+)= round(x * 2^52); `replace` does not read it. Returns false, with the accumulator in an undefined
  /// state, when an element is not finite or |x| >= limit.
  bool (*accumulate_fixed)(int64_t n, const float *x, float limit, int64_t *accumulator, bool replace);
  /// out = accumulator / 2^52
  void (*from_fixed)(int64_t n, const int64_t *accumulator, float *out);
  /// AdamW (Loshchilov & Hutter 2019), PyTorch's order of operations; the gradient is scaled by gradient_scale first.
  void (*adamw)(int64_t n, const struct ck_adamw *settings, float gradient_scale, const float *gradient, float *first,
                float *second, float *parameter);

  /// Does multiply-adds that do not wait for each other, on 16 finite numbers x, and returns how many floating-point
  /// operations they are: nothing that a core computes with floats is faster.
  int64_t (*multiply_adds)(int64_t rounds, float *x);
};

/// The table of a family by name ("skylakex", "haswell", "baseline"), or null when this CPU or build lacks it.
const struct ck_table *ck_table_named(const char *family);

/// The family to use on this CPU, by name: what OpenBLAS should be set to and what the table is looked up by.
/// With AVX-512 products take half the time on a Zen 5, and as long as with AVX2 on a Zen 4, which halves its vectors.
const char *ck_best_family(void);

/// Sets flush-to-zero and denormals-are-zero for the calling thread (every thread alike: part of the bits).
void ck_flush_denormals(void);

#endif
