// What the streaming steps of layers share: products of a weight matrix with a few rows, and maps over a row.
//
// A step reads every weight once for each tile of rows, so at batch 1 it runs at the speed of the cache that holds the
// weights; the products therefore follow the rows of a weight as they lie in memory.
#pragma once

#include "armillary.hpp"

namespace {

constexpr int64_t ROW_TILE = 4;  // batch rows that share one reading of the weights

// Memory of one call. Not std::vector: its functions would be merged between the instruction sets.
struct Scratch {
  float* data;
  explicit Scratch(int64_t size) : data(new float[size]) {}
  ~Scratch() { delete[] data; }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline const float* row_of(const float* rows, int64_t at) { return rows ? rows + at : nullptr; }

// out[c * out_stride + r] = Σ_k weight[r][k] · x[c * x_stride + k] for ROWS rows of the weight and COLS inputs.
template <int ROWS, int COLS>
inline void dot_tile(
  const float* weight, const float* x, int64_t x_stride, float* out, int64_t out_stride, int64_t terms
) {
  vec total[ROWS][COLS];
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLS; ++c) total[r][c] = splat(0.0f);
  const auto add = [&](auto read, int64_t k) {
    vec in[COLS];
    for (int c = 0; c < COLS; ++c) in[c] = read(x + c * x_stride + k);
    for (int r = 0; r < ROWS; ++r) {
      const vec w = read(weight + r * terms + k);
      for (int c = 0; c < COLS; ++c) total[r][c] += w * in[c];
    }
  };
  int64_t k = 0;
  for (; k + WIDTH <= terms; k += WIDTH) add([](const float* p) { return load(p); }, k);
  if (k < terms) add([rest = terms - k](const float* p) { return load_part(p, rest); }, k);
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLS; ++c) out[c * out_stride + r] = sum(total[r][c]);
}

template <int COLS>
inline void product_of(
  const float* weight, int64_t rows, int64_t terms, const float* x, int64_t x_stride, float* out, int64_t out_stride
) {
  constexpr int ROWS = 4;
  int64_t r = 0;
  for (; r + ROWS <= rows; r += ROWS)
    dot_tile<ROWS, COLS>(weight + r * terms, x, x_stride, out + r, out_stride, terms);
  for (; r < rows; ++r) dot_tile<1, COLS>(weight + r * terms, x, x_stride, out + r, out_stride, terms);
}

// out[c][r] = Σ_k weight[r][k] · x[c][k], the weight row-major, for at most ROW_TILE inputs.
inline void product(
  const float* weight, int64_t rows, int64_t terms, const float* x, int64_t x_stride, float* out, int64_t out_stride,
  int64_t inputs
) {
  if (inputs == ROW_TILE) return product_of<ROW_TILE>(weight, rows, terms, x, x_stride, out, out_stride);
  for (int64_t c = 0; c < inputs; ++c)
    product_of<1>(weight, rows, terms, x + c * x_stride, x_stride, out + c * out_stride, out_stride);
}

// Calls body(index, read, write) for each vector of a row of `size` values; the last one may be shorter.
template <class Body>
inline void for_vectors(int64_t size, Body body) {
  int64_t i = 0;
  for (; i + WIDTH <= size; i += WIDTH)
    body(i, [](const float* p) { return load(p); }, [](float* p, vec v) { store(p, v); });
  if (const int64_t rest = size - i; rest > 0)
    body(
      i, [rest](const float* p) { return load_part(p, rest); },
      [rest](float* p, vec v) { store_part(p, v, rest); }
    );
}

// log(1 + exp(x)) = max(x, 0) + log1p(t) with t = exp(-|x|), and log1p(t) = 2 artanh(s) with s = t / (2 + t) <= 1/3,
// whose series is cut where the next term is below 1e-8 of the sum. NaN comes through t.
inline vec softplus(vec x) {
  const vec t = exp(-absolute(x));
  const vec s = t / (t + 2.0f), q = s * s;
  vec series = splat(1.0f / 15);
  for (int divisor = 13; divisor > 0; divisor -= 2) series = series * q + 1.0f / static_cast<float>(divisor);
  return maximum(x, splat(0.0f)) + 2.0f * s * series;
}

// silu of the causal depth-wise convolution at the newest token, and the window it leaves for the next one.
// window, next: (taps - 1, channels), oldest token first; no window stands for zeros. weight: (channels, taps).
inline void convolve(
  const float* x, const float* window, const float* weight, const float* bias, float* out, float* next,
  int64_t channels, int64_t taps
) {
  for (int64_t c = 0; c < channels; ++c) out[c] = bias[c] + weight[c * taps + taps - 1] * x[c];
  for (int64_t j = 0; j + 1 < taps; ++j) {
    const float *old = window + j * channels, *newer = j + 2 < taps ? old + channels : x;
    if (window)
      for (int64_t c = 0; c < channels; ++c) out[c] += weight[c * taps + j] * old[c];
    for (int64_t c = 0; c < channels; ++c) next[j * channels + c] = window || newer == x ? newer[c] : 0.0f;
  }
  for_vectors(channels, [&](int64_t i, auto read, auto write) {
    const vec v = read(out + i);
    write(out + i, v * sigmoid(v));
  });
}

}  // namespace
