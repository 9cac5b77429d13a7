// Group rational activation r = P/Q and its gradients, each in one pass over the activations.
//
// x is (rows, groups * share), row-major. Where a group fills a vector, lanes are channels of one group and its
// coefficients are broadcast; narrower groups take lanes across groups, each lane with its own coefficients.
// Coefficient gradients are summed in float32 over a tile, in float64 over a block of rows into `partial`, and over
// the blocks in a second pass. Blocks depend on the shape alone, so the result is the same for any number of threads.
#include "vectors.hpp"

namespace {

constexpr int64_t NUMERATOR = 6, DENOMINATOR = 4, COEFFICIENTS = NUMERATOR + DENOMINATOR;
constexpr int64_t TILE = 1024;  // elements of one group summed in float32

struct Shape {
  int64_t rows, groups, share;
  int64_t width() const { return groups * share; }
};

// Coefficients of the channels in the lanes of a vector: P = Σ a[i] x^i; b is |b| in form A.
struct Lanes {
  vec a[NUMERATOR], b[DENOMINATOR];
};

// P, Q and their derivatives. `inner` is what the absolute value was taken of: x in form A, Σ b x^j in form B.
struct Parts {
  vec p, q, dp, dq, inner;
};

inline vec sign_of(vec v) { return v > 0 ? splat(1.0f) : (v < 0 ? splat(-1.0f) : splat(0.0f)); }

template <bool FORM_B>
inline Lanes lanes_of(const float* numerator, const float* denominator, int64_t group, int64_t numerator_stride) {
  Lanes lanes;
  for (int64_t i = 0; i < NUMERATOR; ++i) lanes.a[i] = splat(numerator[group * numerator_stride + i]);
  for (int64_t j = 0; j < DENOMINATOR; ++j) {
    const float b = denominator[group * DENOMINATOR + j];
    lanes.b[j] = splat(FORM_B ? b : std::fabs(b));
  }
  return lanes;
}

template <bool FORM_B>
inline Lanes lanes_across(
    const float* numerator, const float* denominator, int64_t first, const Shape& shape, int64_t numerator_stride
) {
  Lanes lanes = {};
  for (int64_t lane = 0; lane < WIDTH && first + lane < shape.width(); ++lane) {
    const int64_t group = (first + lane) / shape.share;
    for (int64_t i = 0; i < NUMERATOR; ++i) lanes.a[i][lane] = numerator[group * numerator_stride + i];
    for (int64_t j = 0; j < DENOMINATOR; ++j) {
      const float b = denominator[group * DENOMINATOR + j];
      lanes.b[j][lane] = FORM_B ? b : std::fabs(b);
    }
  }
  return lanes;
}

template <bool FORM_B>
inline vec value(const Lanes& lanes, vec x) {
  vec p = lanes.a[5];
  for (int i = 4; i >= 0; --i) p = fused(p, x, lanes.a[i]);
  const vec u = FORM_B ? x : absolute(x);
  vec s = lanes.b[3];
  for (int j = 2; j >= 0; --j) s = fused(s, u, lanes.b[j]);
  s = s * u;
  return p / (1.0f + (FORM_B ? absolute(s) : s));
}

template <bool FORM_B>
inline Parts parts(const Lanes& lanes, vec x) {
  Parts out;
  out.p = lanes.a[5];
  out.dp = splat(0.0f);
  for (int i = 4; i >= 0; --i) {
    out.dp = fused(out.dp, x, out.p);
    out.p = fused(out.p, x, lanes.a[i]);
  }
  const vec u = FORM_B ? x : absolute(x);
  vec s = lanes.b[3], ds = splat(0.0f);
  for (int j = 2; j >= 0; --j) {
    ds = fused(ds, u, s);
    s = fused(s, u, lanes.b[j]);
  }
  ds = fused(ds, u, s);
  s = s * u;
  out.inner = FORM_B ? s : x;
  out.q = 1.0f + (FORM_B ? absolute(s) : s);
  out.dq = ds * sign_of(out.inner);
  return out;
}

// The gradient of x; adds to the sums of w x^i and of -w r |x|^j (form B: -w r sign(S) x^j), w = grad / Q.
template <bool FORM_B>
inline vec backward(const Lanes& lanes, vec x, vec grad, vec* total) {
  const Parts at = parts<FORM_B>(lanes, x);
  const vec inverse = 1.0f / at.q, r = at.p * inverse, w = grad * inverse;
  const vec x2 = x * x, x3 = x2 * x, x4 = x2 * x2, x5 = x4 * x;
  total[0] += w;
  total[1] = fused(w, x, total[1]);
  total[2] = fused(w, x2, total[2]);
  total[3] = fused(w, x3, total[3]);
  total[4] = fused(w, x4, total[4]);
  total[5] = fused(w, x5, total[5]);
  const vec v = FORM_B ? -w * r * sign_of(at.inner) : -w * r;
  total[6] = fused(v, FORM_B ? x : absolute(x), total[6]);
  total[7] = fused(v, x2, total[7]);
  total[8] = fused(v, FORM_B ? x3 : absolute(x3), total[8]);
  total[9] = fused(v, x4, total[9]);
  return w * (at.dp - r * at.dq);
}

// Calls body(first channel, channels) for each group, or for each vector where groups are narrower than one.
template <class Body>
inline void for_spans(const Shape& shape, Body body) {
  const int64_t step = shape.share >= WIDTH ? shape.share : WIDTH;
  for (int64_t first = 0; first < shape.width(); first += step) body(first, least(step, shape.width() - first));
}

template <bool FORM_B>
inline Lanes lanes_at(
    const float* numerator, const float* denominator, int64_t first, const Shape& shape, int64_t stride
) {
  return shape.share >= WIDTH ? lanes_of<FORM_B>(numerator, denominator, first / shape.share, stride)
                              : lanes_across<FORM_B>(numerator, denominator, first, shape, stride);
}

// Adds the lanes' sums to those of their groups.
inline void flush(const vec* total, double* partial, int64_t first, int64_t channels, const Shape& shape) {
  if (shape.share >= WIDTH) {
    double* mine = partial + first / shape.share * COEFFICIENTS;
    for (int64_t k = 0; k < COEFFICIENTS; ++k) mine[k] += sum(total[k]);
    return;
  }
  for (int64_t lane = 0; lane < channels; ++lane)
    for (int64_t k = 0; k < COEFFICIENTS; ++k)
      partial[(first + lane) / shape.share * COEFFICIENTS + k] += total[k][lane];
}

template <bool FORM_B>
void forward_rows(
    const float* x, const float* numerator, const float* denominator, float* y, const Shape& shape, int64_t stride,
    int64_t rows
) {
  const int64_t tile = most(1, TILE / most(shape.share, WIDTH));
  for (int64_t top = 0; top < rows; top += tile)
    for_spans(shape, [&](int64_t first, int64_t channels) {
      const Lanes lanes = lanes_at<FORM_B>(numerator, denominator, first, shape, stride);
      for (int64_t row = top; row < least(rows, top + tile); ++row) {
        const int64_t at = row * shape.width() + first;
        for_vectors(0, channels, [&](int64_t i, auto read, auto write) {
          write(y + at + i, value<FORM_B>(lanes, read(x + at + i)));
        });
      }
    });
}

template <bool FORM_B>
void backward_rows(
    const float* grad, const float* x, const float* numerator, const float* denominator, float* grad_x,
    double* partial, const Shape& shape, int64_t stride, int64_t rows
) {
  for (int64_t k = 0; k < shape.groups * COEFFICIENTS; ++k) partial[k] = 0;
  const int64_t tile = most(1, TILE / most(shape.share, WIDTH));
  for (int64_t top = 0; top < rows; top += tile)
    for_spans(shape, [&](int64_t first, int64_t channels) {
      const Lanes lanes = lanes_at<FORM_B>(numerator, denominator, first, shape, stride);
      vec total[COEFFICIENTS] = {};
      for (int64_t row = top; row < least(rows, top + tile); ++row) {
        const int64_t at = row * shape.width() + first;
        for_vectors(0, channels, [&](int64_t i, auto read, auto write) {
          write(grad_x + at + i, backward<FORM_B>(lanes, read(x + at + i), read(grad + at + i), total));
        });
      }
      flush(total, partial, first, channels, shape);
    });
}

// The second pass: blocks in their order, and the groups too where they share one numerator.
template <bool FORM_B>
void reduce(
    const double* partial, int64_t blocks, const float* denominator, float* grad_numerator, float* grad_denominator,
    int64_t groups, int64_t stride
) {
  double shared[NUMERATOR] = {};
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t k = 0; k < COEFFICIENTS; ++k) {
      double total = 0;
      for (int64_t block = 0; block < blocks; ++block) total += partial[(block * groups + group) * COEFFICIENTS + k];
      if (k >= NUMERATOR) {
        const int64_t at = group * DENOMINATOR + k - NUMERATOR;
        const float b = denominator[at], sign = b > 0 ? 1.0f : (b < 0 ? -1.0f : 0.0f);
        grad_denominator[at] = static_cast<float>(FORM_B ? total : total * sign);
      } else if (stride) {
        grad_numerator[group * NUMERATOR + k] = static_cast<float>(total);
      } else {
        shared[k] += total;
      }
    }
  for (int64_t k = 0; k < NUMERATOR && !stride; ++k) grad_numerator[k] = static_cast<float>(shared[k]);
}

}  // namespace

// numerator: (1 or groups, 6), numerator_stride 0 or 6; denominator: (groups, 4); block: rows of one block.
ARMILLARY_EXPORT(void, rational_forward)(
    const float* x, const float* numerator, const float* denominator, float* y, int64_t rows, int64_t groups,
    int64_t share, int64_t numerator_stride, int64_t block, int64_t form_b, int64_t threads
) {
  const Shape shape = {rows, groups, share};
  const int64_t blocks = (rows + block - 1) / block, width = shape.width();
  const auto run = form_b ? forward_rows<true> : forward_rows<false>;
#pragma omp parallel for num_threads(rows * width < SMALL ? 1 : threads)
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t at = i * block * width;
    run(x + at, numerator, denominator, y + at, shape, numerator_stride, least(block, rows - i * block));
  }
}

// partial: (blocks, groups, 10) of float64, scratch.
ARMILLARY_EXPORT(void, rational_backward)(
    const float* grad, const float* x, const float* numerator, const float* denominator, float* grad_x,
    float* grad_numerator, float* grad_denominator, double* partial, int64_t rows, int64_t groups, int64_t share,
    int64_t numerator_stride, int64_t block, int64_t form_b, int64_t threads
) {
  const Shape shape = {rows, groups, share};
  const int64_t blocks = (rows + block - 1) / block, width = shape.width();
  const auto run = form_b ? backward_rows<true> : backward_rows<false>;
#pragma omp parallel for num_threads(rows * width < SMALL ? 1 : threads)
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t at = i * block * width;
    run(grad + at, x + at, numerator, denominator, grad_x + at, partial + i * groups * COEFFICIENTS, shape,
        numerator_stride, least(block, rows - i * block));
  }
  const auto finish = form_b ? reduce<true> : reduce<false>;
  finish(partial, blocks, denominator, grad_numerator, grad_denominator, groups, numerator_stride);
}
