// Depth-wise causal convolution with an optional SiLU, one pass over memory each way.
//
// Rows of x, of the history and of the gradient have their channels side by side and any stride between tokens, so a
// part of a wider projection is read where it lies. A task is a block of tokens of one sequence with all channels:
// the few rows that the taps read, and the weights, stay in the first cache. Backward computes again what the SiLU is
// applied to, also for the taps - 1 tokens after the block, which its inputs reach. Sums for weight and bias are one
// partial a block; blocks depend on the shape alone, so the result is the same for any number of threads.
#include "vectors.hpp"

namespace {

constexpr int USUAL = 4;  // taps of nearly every model: their loop is unrolled

// Memory of one task. Not std::vector: its functions would be merged between the instruction sets.
template <class T>
struct Scratch {
  T* data;
  explicit Scratch(int64_t size) : data(new T[size]) {}
  ~Scratch() { delete[] data; }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

struct Rows {
  const float* data;
  int64_t batch_stride, stride;
  const float* at(int64_t b, int64_t t) const { return data + b * batch_stride + t * stride; }
};

// weight: (taps, channels), the last tap is the token itself. No bias, no history and no runs are null.
struct Inputs {
  Rows x, history;
  const float *weight, *bias;
  const int64_t* runs;
  int64_t batch, length, channels, taps, block;

  int64_t blocks() const { return (length + block - 1) / block; }
  int64_t tasks() const { return batch * blocks(); }
  int64_t threads(int64_t most) const { return batch * length * channels < SMALL ? 1 : most; }
  bool same_run(int64_t b, int64_t s, int64_t t) const {
    return !runs || runs[b * length + most(s, 0)] == runs[b * length + t];
  }

  // The rows that the taps of token t read, null where there is none; whether there are all.
  bool window(int64_t b, int64_t t, const float** rows) const {
    bool full = true;
    for (int64_t j = 0; j < taps; ++j) {
      const int64_t s = t - taps + 1 + j;
      const bool real = (s >= 0 || history.data) && same_run(b, s, t);
      rows[j] = !real ? nullptr : s < 0 ? history.at(b, s + taps - 1) : x.at(b, s);
      full = full && real;
    }
    return full;
  }
};

// The rows that the taps meet and their weights. With TAPS they are all there; else there are in.taps, some null.
// A copy, since the compiler must take it that a store of a vector may change what lies elsewhere.
template <int TAPS>
struct Met {
  const float *rows[TAPS], *weight[TAPS];
  Met(const Inputs& in, const float* const* given) {
    for (int j = 0; j < TAPS; ++j) rows[j] = given[j], weight[j] = in.weight + j * in.channels;
  }
  template <class Body>
  void each(Body body) const {
    for (int j = 0; j < TAPS; ++j) body(rows[j], weight[j], j);
  }
};

template <>
struct Met<0> {
  const Inputs& in;
  const float* const* rows;
  Met(const Inputs& inputs, const float* const* given) : in(inputs), rows(given) {}
  template <class Body>
  void each(Body body) const {
    for (int64_t j = 0; j < in.taps; ++j)
      if (rows[j]) body(rows[j], in.weight + j * in.channels, j);
  }
};

// start + Σ_j weight_j row_j at channel c.
template <class Met, class Read>
inline vec sum_of(const Met& met, vec start, int64_t c, Read read) {
  vec total = start;
  met.each([&](const float* row, const float* weight, int64_t) {
    total = fused(read(weight + c), read(row + c), total);
  });
  return total;
}

template <int TAPS>
void forward_row(const Inputs& in, const float* const* rows, bool silu, float* y) {
  const Met<TAPS> met(in, rows);
  const float* bias = in.bias;
  for_vectors(0, in.channels, [=](int64_t c, auto read, auto write) {
    const vec total = sum_of(met, bias ? read(bias + c) : splat(0.0f), c, read);
    write(y + c, silu ? total * sigmoid(total) : total);
  });
}

// The gradient before the SiLU; if asked, adds its share to the sums for the weight (taps, channels), then the bias.
template <int TAPS>
void gradient_row(
    const Inputs& in, const float* const* rows, bool silu, const float* grad_y, float* grad, float* partial
) {
  const Met<TAPS> met(in, rows);
  const float* bias = in.bias;
  const int64_t channels = in.channels, taps = TAPS ? TAPS : in.taps;
  for_vectors(0, channels, [=](int64_t c, auto read, auto write) {
    vec g = read(grad_y + c);
    if (silu) {
      const vec total = sum_of(met, bias ? read(bias + c) : splat(0.0f), c, read), gate = sigmoid(total);
      g = g * gate * (1.0f + total * (1.0f - gate));
    }
    write(grad + c, g);
    if (!partial) return;
    const auto add = [&](int64_t j, vec share) {
      float* mine = partial + j * channels + c;
      write(mine, read(mine) + share);
    };
    met.each([&](const float* row, const float*, int64_t j) { add(j, g * read(row + c)); });
    add(taps, g);
  });
}

template <int TAPS>
void input_row(const Inputs& in, const float* const* grads, float* grad_x) {
  const Met<TAPS> met(in, grads);
  for_vectors(0, in.channels, [=](int64_t c, auto read, auto write) {
    write(grad_x + c, sum_of(met, splat(0.0f), c, read));
  });
}

// Dense: (batch, length, channels), (batch, taps - 1, channels) and (tasks, taps + 1, channels).
struct Gradients {
  float *x, *history, *partial;
};

// One task of backward. The gradients of the latest `taps` tokens before the SiLU are kept in a ring.
void backward_block(const Inputs& in, const Rows& grad_y, bool silu, int64_t task, const Gradients& out) {
  const int64_t b = task / in.blocks(), first = task % in.blocks() * in.block, reach = in.taps - 1;
  const int64_t last = least(first + in.block, in.length);
  float* partial = out.partial + task * (in.taps + 1) * in.channels;
  for (int64_t i = 0; i < (in.taps + 1) * in.channels; ++i) partial[i] = 0;
  const Scratch<float> ring(in.taps * in.channels);
  const Scratch<const float*> rows(in.taps);
  for (int64_t t = first; t < last + reach; ++t) {
    if (t < in.length) {
      const bool usual = in.window(b, t, rows.data) && in.taps == USUAL;
      const auto run = usual ? gradient_row<USUAL> : gradient_row<0>;
      run(in, rows.data, silu, grad_y.at(b, t), ring.data + t % in.taps * in.channels, t < last ? partial : nullptr);
    }
    // Now all is known that input s needs. The first block has the history too.
    const int64_t s = t - reach;
    if (s < first && (first || !out.history)) continue;
    bool full = true;
    for (int64_t j = 0; j < in.taps; ++j) {
      const int64_t reader = s + reach - j;
      const bool real = reader >= 0 && reader < in.length && in.same_run(b, s, reader);
      rows.data[j] = real ? ring.data + reader % in.taps * in.channels : nullptr;
      full = full && real;
    }
    float* mine = s < 0 ? out.history + (b * reach + s + reach) * in.channels
                        : out.x + (b * in.length + s) * in.channels;
    (full && in.taps == USUAL ? input_row<USUAL> : input_row<0>)(in, rows.data, mine);
  }
}

}  // namespace

// Each of x and history is followed by its strides between sequences and between tokens. y is dense.
ARMILLARY_EXPORT(void, causal_conv_forward)(
    const float* x, int64_t x_batch, int64_t x_stride, const float* history, int64_t history_batch,
    int64_t history_stride, const float* weight, const float* bias, const int64_t* runs, int64_t batch, int64_t length,
    int64_t channels, int64_t taps, int64_t block, int64_t silu, float* y, int64_t threads
) {
  const Inputs in = {{x, x_batch, x_stride}, {history, history_batch, history_stride}, weight, bias, runs, batch,
                     length, channels, taps, block};
#pragma omp parallel for num_threads(in.threads(threads))
  for (int64_t task = 0; task < in.tasks(); ++task) {
    const int64_t b = task / in.blocks(), first = task % in.blocks() * block;
    const Scratch<const float*> rows(taps);
    for (int64_t t = first; t < least(first + block, length); ++t) {
      const bool usual = in.window(b, t, rows.data) && taps == USUAL;
      (usual ? forward_row<USUAL> : forward_row<0>)(in, rows.data, silu, y + (b * length + t) * channels);
    }
  }
}

// grad_history may be null; grad_weight: (taps, channels), then the bias; partial is scratch for one such a task.
ARMILLARY_EXPORT(void, causal_conv_backward)(
    const float* x, int64_t x_batch, int64_t x_stride, const float* history, int64_t history_batch,
    int64_t history_stride, const float* weight, const float* bias, const int64_t* runs, int64_t batch, int64_t length,
    int64_t channels, int64_t taps, int64_t block, int64_t silu, const float* grad_y, int64_t grad_batch,
    int64_t grad_stride, float* grad_x, float* grad_history, float* grad_weight, float* partial, int64_t threads
) {
  const Inputs in = {{x, x_batch, x_stride}, {history, history_batch, history_stride}, weight, bias, runs, batch,
                     length, channels, taps, block};
  const Gradients out = {grad_x, grad_history, partial};
  const Rows grad = {grad_y, grad_batch, grad_stride};
#pragma omp parallel for num_threads(in.threads(threads))
  for (int64_t task = 0; task < in.tasks(); ++task) backward_block(in, grad, silu, task, out);
  const int64_t sums = (taps + 1) * channels;
  for (int64_t i = 0; i < sums; ++i) {
    double total = 0;
    for (int64_t task = 0; task < in.tasks(); ++task) total += partial[task * sums + i];
    grad_weight[i] = static_cast<float>(total);
  }
}
