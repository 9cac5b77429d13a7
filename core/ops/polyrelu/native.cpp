// PolyReLU and its gradients, each in one pass over the activations.
//
// Gradients of the weights are summed in float32 over a tile, in float64 over a block into `partial`, and over the
// blocks in a second pass. Blocks depend on the size alone, so the result is the same for any number of threads.
#include "vectors.hpp"

namespace {

constexpr int64_t TILE = 1024;  // elements summed in float32
constexpr int POWERS = 3, SUMS = 4;  // w0 to w2 and the bias

// Comparisons with NaN are false, so NaN passes.
inline vec positive(vec v) { return v < 0 ? splat(0.0f) : v; }

inline void backward_tile(
    const float* grad, const float* x, const float* weight, float* grad_x, double* partial, int64_t first, int64_t last
) {
  const vec c1 = splat(weight[2]), c2 = splat(2 * weight[1]), c3 = splat(3 * weight[0]);
  vec total[SUMS] = {};
  for_vectors(first, last, [&](int64_t i, auto read, auto write) {
    const vec v = read(x + i), g = read(grad + i), p = positive(v), gp = g * p;
    total[0] = fused(gp, p * p, total[0]);
    total[1] = fused(gp, p, total[1]);
    total[2] += gp;
    total[3] += g;
    const vec slope = fused(fused(c3, p, c2), p, c1);
    write(grad_x + i, g * (v <= 0 ? splat(0.0f) : slope));
  });
  for (int k = 0; k < SUMS; ++k) partial[k] += sum(total[k]);
}

}  // namespace

// block: elements of one block; weight: (3); bias: (1).
ARMILLARY_EXPORT(void, polyrelu_forward)(
    const float* x, const float* weight, const float* bias, float* y, int64_t size, int64_t block, int64_t threads
) {
  const vec c0 = splat(*bias), c1 = splat(weight[2]), c2 = splat(weight[1]), c3 = splat(weight[0]);
  const int64_t blocks = (size + block - 1) / block;
#pragma omp parallel for num_threads(size < SMALL ? 1 : threads)
  for (int64_t b = 0; b < blocks; ++b)
    for_vectors(b * block, least(size, (b + 1) * block), [&](int64_t i, auto read, auto write) {
      const vec p = positive(read(x + i));
      write(y + i, fused(fused(fused(c3, p, c2), p, c1), p, c0));
    });
}

// partial: (blocks, 4) of float64, scratch.
ARMILLARY_EXPORT(void, polyrelu_backward)(
    const float* grad, const float* x, const float* weight, float* grad_x, float* grad_weight, float* grad_bias,
    double* partial, int64_t size, int64_t block, int64_t threads
) {
  const int64_t blocks = (size + block - 1) / block;
#pragma omp parallel for num_threads(size < SMALL ? 1 : threads)
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t end = least(size, (b + 1) * block);
    double total[SUMS] = {};
    for (int64_t first = b * block; first < end; first += TILE)
      backward_tile(grad, x, weight, grad_x, total, first, least(end, first + TILE));
    for (int k = 0; k < SUMS; ++k) partial[b * SUMS + k] = total[k];
  }
  double total[SUMS] = {};
  for (int64_t b = 0; b < blocks; ++b)
    for (int k = 0; k < SUMS; ++k) total[k] += partial[b * SUMS + k];
  for (int k = 0; k < POWERS; ++k) grad_weight[k] = static_cast<float>(total[k]);
  *grad_bias = static_cast<float>(total[POWERS]);
}
