// Depth-wise convolution with taps before and after a token, and an optional SiLU on its inputs.
//
// A task is a block of tokens of one sequence and a few vectors of channels. It copies a tile of rows at a time, through
// the SiLU, into a strip that stays in the first cache, zeros standing where there is no token; so a tap is a row of the
// strip and the loops have no borders. ROWS outputs and up to TAPS weights are kept in registers, and each row of the
// strip is read once for all outputs that it reaches. Tokens a dilation apart are neighbours in that sense.
// Sums for the weights are one partial a block; blocks depend on the shape alone, so the result is the same for any
// number of threads.
#include "vectors.hpp"

namespace {

constexpr int ROWS = 8, TAPS = 8;
constexpr int64_t VECTORS = 4, LANES = VECTORS * WIDTH;  // channels of a task
constexpr int64_t TILE = 64, TILES = 8;                  // tokens of a tile, about, and tiles of a block

// Memory of one task. Not std::vector: its functions would be merged between the instruction sets.
struct Scratch {
  float* data;
  explicit Scratch(int64_t size) : data(new float[size]()) {}
  ~Scratch() { delete[] data; }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

struct Rows {
  const float* data;
  int64_t batch_stride, stride;
  const float* at(int64_t b, int64_t t) const { return data + b * batch_stride + t * stride; }
};

// `ahead` of the taps read later tokens than the one whose output they make.
struct Shape {
  int64_t batch, length, channels, taps, ahead, dilation;

  int64_t group() const { return ROWS * dilation; }
  int64_t tile() const { return (TILE + group() - 1) / group() * group(); }  // whole groups of outputs
  int64_t block() const { return TILES * tile(); }
  int64_t blocks() const { return (length + block() - 1) / block(); }
  int64_t stripes() const { return (channels + LANES - 1) / LANES; }
  int64_t tasks() const { return batch * blocks() * stripes(); }
  int64_t halo() const { return (taps - 1) * dilation; }
  int64_t after() const { return ahead * dilation; }
  int64_t threads(int64_t most) const { return batch * length * channels < SMALL ? 1 : most; }
};

struct Task {
  int64_t b, block, first, last, c, lanes;
  Task(const Shape& s, int64_t index) {
    const int64_t stripe = index % s.stripes(), place = index / s.stripes();
    b = place / s.blocks(), block = place;
    first = place % s.blocks() * s.block(), last = least(first + s.block(), s.length);
    c = stripe * LANES, lanes = least(LANES, s.channels - c);
  }
};

inline vec silu_of(vec x) { return x * sigmoid(x); }

// Tokens `first` to `last` - 1, some of which may lie outside of the sequence.
void fill(const Rows& from, const Task& task, int64_t length, int64_t first, int64_t last, bool silu, float* strip) {
  for (int64_t t = first; t < last; ++t, strip += LANES) {
    const bool real = t >= 0 && t < length;
    const float* row = real ? from.at(task.b, t) + task.c : nullptr;
    for (int64_t v = 0; v < LANES; v += WIDTH) {
      const vec x = real ? load_part(row + v, task.lanes - v) : splat(0.0f);
      store(strip + v, silu ? silu_of(x) : x);
    }
  }
}

// The weights of a task's channels (taps, LANES); flipped, the last tap first.
void fill_weight(const float* weight, const Shape& s, const Task& task, bool flipped, float* strip) {
  for (int64_t j = 0; j < s.taps; ++j)
    for (int64_t v = 0; v < LANES; v += WIDTH) {
      const float* row = weight + (flipped ? s.taps - 1 - j : j) * s.channels + task.c;
      store(strip + j * LANES + v, load_part(row + v, task.lanes - v));
    }
}

// Calls body(tap, std::integral_constant-like count) for stretches of at most TAPS taps.
template <int N>
struct Count {
  static constexpr int value = N;
};

template <class Body>
inline void for_taps(int64_t taps, Body body) {
  int64_t j = 0;
  for (; j + 8 <= taps; j += 8) body(j, Count<8>());
  if (taps & 4) body(j, Count<4>()), j += 4;
  if (taps & 2) body(j, Count<2>()), j += 2;
  if (taps & 1) body(j, Count<1>());
}

// sums_i += Σ_j weight_j row_{i+j} for N taps and ROWS outputs; rows lie `step` numbers apart.
template <int N>
inline void add_taps(const float* rows, int64_t step, const float* weight, vec* sums) {
  vec w[N];
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) w[j] = load(weight + j * LANES);
#pragma GCC unroll 16
  for (int s = 0; s < ROWS + N - 1; ++s) {
    const vec x = load(rows + s * step);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i)
      if (s >= i && s - i < N) sums[i] = fused(w[s - i], x, sums[i]);
  }
}

// total_j += Σ_i grad_i row_{i+j}, likewise.
template <int N>
inline void add_products(const float* rows, const float* grads, int64_t step, vec* totals) {
  vec g[ROWS];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) g[i] = load(grads + i * step);
#pragma GCC unroll 16
  for (int s = 0; s < ROWS + N - 1; ++s) {
    const vec x = load(rows + s * step);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i)
      if (s >= i && s - i < N) totals[s - i] = fused(g[i], x, totals[s - i]);
  }
}

// Calls body(first row of a group of ROWS outputs a dilation apart) until `rows` are done.
template <class Body>
inline void for_groups(const Shape& s, int64_t rows, Body body) {
  for (int64_t start = 0; start < rows; start += s.group())
    for (int64_t phase = 0; phase < s.dilation; ++phase) body(start + phase);
}

// Convolves a strip and hands each output to put(token, channel within the task, value).
template <class Put>
inline void convolve(const Shape& s, const float* strip, const float* weight, int64_t first, int64_t last, Put put) {
  const int64_t step = s.dilation * LANES;
  for (int64_t v = 0; v < LANES; v += WIDTH)
    for_groups(s, last - first, [&](int64_t row) {
      vec sums[ROWS] = {};
      for_taps(s.taps, [&](int64_t j, auto count) {
        add_taps<decltype(count)::value>(strip + row * LANES + j * step + v, step, weight + j * LANES + v, sums);
      });
      for (int i = 0; i < ROWS; ++i)
        if (const int64_t t = first + row + i * s.dilation; t < last) put(t, v, sums[i]);
    });
}

void add_weight(const Shape& s, const float* inputs, const float* grads, int64_t rows, float* total) {
  const int64_t step = s.dilation * LANES;
  for (int64_t v = 0; v < LANES; v += WIDTH)
    for_taps(s.taps, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      vec totals[N];
      for (int k = 0; k < N; ++k) totals[k] = load(total + (j + k) * LANES + v);
      for_groups(s, rows, [&](int64_t row) {
        add_products<N>(inputs + row * LANES + j * step + v, grads + row * LANES + v, step, totals);
      });
      for (int k = 0; k < N; ++k) store(total + (j + k) * LANES + v, totals[k]);
    });
}

}  // namespace

// x is followed by its strides between sequences and between tokens. weight: (taps, channels). y is dense.
ARMILLARY_EXPORT(void, depthwise_conv_forward)(
    const float* x, int64_t x_batch, int64_t x_stride, const float* weight, int64_t batch, int64_t length,
    int64_t channels, int64_t taps, int64_t ahead, int64_t dilation, int64_t silu, float* y, int64_t threads
) {
  const Shape s = {batch, length, channels, taps, ahead, dilation};
  const Rows inputs = {x, x_batch, x_stride};
#pragma omp parallel for num_threads(s.threads(threads))
  for (int64_t index = 0; index < s.tasks(); ++index) {
    const Task task(s, index);
    const Scratch strip((s.tile() + s.halo()) * LANES), own(taps * LANES);
    fill_weight(weight, s, task, false, own.data);
    for (int64_t first = task.first; first < task.last; first += s.tile()) {
      const int64_t last = least(first + s.tile(), task.last), begin = first - s.halo() + s.after();
      const int64_t rows = (last - first + s.group() - 1) / s.group() * s.group();
      fill(inputs, task, length, begin, begin + s.halo() + rows, silu, strip.data);
      convolve(s, strip.data, own.data, first, last, [&](int64_t t, int64_t v, vec value) {
        store_part(y + (task.b * length + t) * channels + task.c + v, value, task.lanes - v);
      });
    }
  }
}

// grad_x is dense, grad_weight: (taps, channels); partial is scratch for one such a block of every sequence.
ARMILLARY_EXPORT(void, depthwise_conv_backward)(
    const float* x, int64_t x_batch, int64_t x_stride, const float* weight, int64_t batch, int64_t length,
    int64_t channels, int64_t taps, int64_t ahead, int64_t dilation, int64_t silu, const float* grad_y,
    int64_t grad_batch, int64_t grad_stride, float* grad_x, float* grad_weight, float* partial, int64_t threads
) {
  const Shape s = {batch, length, channels, taps, ahead, dilation};
  const Rows inputs = {x, x_batch, x_stride}, grads = {grad_y, grad_batch, grad_stride};
#pragma omp parallel for num_threads(s.threads(threads))
  for (int64_t index = 0; index < s.tasks(); ++index) {
    const Task task(s, index);
    const int64_t strip = (s.tile() + s.halo()) * LANES;
    const Scratch met(strip), upstream(strip), own(taps * LANES), total(taps * LANES);
    fill_weight(weight, s, task, true, own.data);
    for (int64_t first = task.first; first < task.last; first += s.tile()) {
      const int64_t last = least(first + s.tile(), task.last);
      const int64_t rows = (last - first + s.group() - 1) / s.group() * s.group();
      // An input reaches `ahead` outputs before it and the others after it: the taps in reverse.
      const int64_t begin = first - s.halo() + s.after(), back = first - s.after();
      fill(inputs, task, length, begin, begin + s.halo() + rows, silu, met.data);
      fill(grads, task, length, back, back + s.halo() + rows, false, upstream.data);
      convolve(s, upstream.data, own.data, first, last, [&](int64_t t, int64_t v, vec value) {
        if (silu) {
          const vec met_x = load_part(inputs.at(task.b, t) + task.c + v, task.lanes - v), gate = sigmoid(met_x);
          value = value * gate * (1.0f + met_x * (1.0f - gate));
        }
        store_part(grad_x + (task.b * length + t) * channels + task.c + v, value, task.lanes - v);
      });
      add_weight(s, met.data, upstream.data + s.after() * LANES, rows, total.data);
    }
    for (int64_t j = 0; j < taps; ++j)
      for (int64_t v = 0; v < LANES; v += WIDTH)
        store_part(
            partial + (task.block * taps + j) * channels + task.c + v, load(total.data + j * LANES + v), task.lanes - v
        );
  }
  const int64_t sums = taps * channels;
  for (int64_t i = 0; i < sums; ++i) {
    double total = 0;
    for (int64_t block = 0; block < batch * s.blocks(); ++block) total += partial[block * sums + i];
    grad_weight[i] = static_cast<float>(total);
  }
}
