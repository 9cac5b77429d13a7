// PolyNorm and its gradients: two sweeps over a row while it lies in the nearest cache, one over memory.
//
// With m_k = mean x^2k and s_k = (m_k + eps)^(-1/2), a row is the cubic w0 s3 x^3 + w1 s2 x^2 + w2 s1 x + bias.
// Gradients of the weights are summed in float32 over a row, in float64 over a block of rows into `partial`, and over
// the blocks in a second pass. Blocks depend on the shape alone, so the result is the same for any number of threads.
#include "vectors.hpp"

namespace {

constexpr int POWERS = 3, SUMS = 4;  // w0 to w2 and the bias

// s_1 to s_3 from the sums of x^2, x^4 and x^6.
inline void scales(const vec* moment, int64_t width, float eps, float* scale) {
  for (int k = 0; k < POWERS; ++k) scale[k] = 1.0f / std::sqrt(sum(moment[k]) / static_cast<float>(width) + eps);
}

inline void forward_row(const float* x, const float* weight, float bias, float* y, int64_t width, float eps) {
  vec moment[POWERS] = {};
  for_vectors(0, width, [&](int64_t i, auto read, auto) {
    const vec v = read(x + i), v2 = v * v, v3 = v2 * v;
    moment[0] += v2;
    moment[1] = fused(v2, v2, moment[1]);
    moment[2] = fused(v3, v3, moment[2]);
  });
  float scale[POWERS];
  scales(moment, width, eps, scale);
  const vec c1 = splat(weight[2] * scale[0]), c2 = splat(weight[1] * scale[1]), c3 = splat(weight[0] * scale[2]);
  for_vectors(0, width, [&](int64_t i, auto read, auto write) {
    const vec v = read(x + i);
    write(y + i, fused(fused(fused(c3, v, c2), v, c1), v, splat(bias)));
  });
}

// grad_x = g (c1 + 2 c2 x + 3 c3 x^2) - (d1 x + 2 d2 x^3 + 3 d3 x^5), where c_k is the row's coefficient of x^k and
// d_k = c_k s_k^2 mean(g x^k) is what the normalisation takes back.
inline void backward_row(
    const float* grad, const float* x, const float* weight, float* grad_x, double* partial, int64_t width, float eps
) {
  vec moment[POWERS] = {}, product[POWERS] = {}, plain = {};
  for_vectors(0, width, [&](int64_t i, auto read, auto) {
    const vec v = read(x + i), g = read(grad + i), v2 = v * v, v3 = v2 * v;
    moment[0] += v2;
    moment[1] = fused(v2, v2, moment[1]);
    moment[2] = fused(v3, v3, moment[2]);
    product[0] = fused(g, v, product[0]);
    product[1] = fused(g, v2, product[1]);
    product[2] = fused(g, v3, product[2]);
    plain += g;
  });
  float scale[POWERS], c[POWERS], d[POWERS];
  scales(moment, width, eps, scale);
  for (int k = 0; k < POWERS; ++k) {
    const float total = sum(product[k]);
    partial[POWERS - 1 - k] += static_cast<double>(scale[k]) * total;
    c[k] = static_cast<float>(k + 1) * weight[POWERS - 1 - k] * scale[k];
    // In this order nothing underflows where the powers do not overflow: s_k^2 alone would.
    d[k] = c[k] * (scale[k] * (scale[k] * total)) / static_cast<float>(width);
  }
  partial[POWERS] += sum(plain);
  for_vectors(0, width, [&](int64_t i, auto read, auto write) {
    const vec v = read(x + i), g = read(grad + i), v2 = v * v;
    const vec slope = fused(fused(splat(c[2]), v, splat(c[1])), v, splat(c[0]));
    const vec taken = fused(fused(splat(d[2]), v2, splat(d[1])), v2, splat(d[0]));
    write(grad_x + i, g * slope - v * taken);
  });
}

}  // namespace

// x, y: (rows, width); weight: (3); bias: (1); block: rows of one block.
ARMILLARY_EXPORT(void, polynorm_forward)(
    const float* x, const float* weight, const float* bias, float* y, int64_t rows, int64_t width, int64_t block,
    float eps, int64_t threads
) {
  const int64_t blocks = (rows + block - 1) / block;
#pragma omp parallel for num_threads(rows * width < SMALL ? 1 : threads)
  for (int64_t i = 0; i < blocks; ++i)
    for (int64_t row = i * block; row < least(rows, (i + 1) * block); ++row)
      forward_row(x + row * width, weight, *bias, y + row * width, width, eps);
}

// partial: (blocks, 4) of float64, scratch.
ARMILLARY_EXPORT(void, polynorm_backward)(
    const float* grad, const float* x, const float* weight, float* grad_x, float* grad_weight, float* grad_bias,
    double* partial, int64_t rows, int64_t width, int64_t block, float eps, int64_t threads
) {
  const int64_t blocks = (rows + block - 1) / block;
#pragma omp parallel for num_threads(rows * width < SMALL ? 1 : threads)
  for (int64_t i = 0; i < blocks; ++i) {
    double total[SUMS] = {};
    for (int64_t row = i * block; row < least(rows, (i + 1) * block); ++row)
      backward_row(grad + row * width, x + row * width, weight, grad_x + row * width, total, width, eps);
    for (int k = 0; k < SUMS; ++k) partial[i * SUMS + k] = total[k];
  }
  double total[SUMS] = {};
  for (int64_t i = 0; i < blocks; ++i)
    for (int k = 0; k < SUMS; ++k) total[k] += partial[i * SUMS + k];
  for (int k = 0; k < POWERS; ++k) grad_weight[k] = static_cast<float>(total[k]);
  *grad_bias = static_cast<float>(total[POWERS]);
}
