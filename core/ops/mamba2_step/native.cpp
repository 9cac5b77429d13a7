// One token a row through a whole Mamba-2 layer: projections, convolution, recurrence, gated norm in one pass.
#include "step.hpp"

namespace {

struct Layer {
  const float *in_proj, *conv_weight, *conv_bias, *dt_bias, *A_log, *D, *norm_weight, *out_proj;
  int64_t width, heads, head_width, states, groups, taps;

  int64_t inner() const { return heads * head_width; }
  int64_t channels() const { return inner() + 2 * groups * states; }
  int64_t projected() const { return inner() + channels() + heads; }
};

// h = exp(dt A) h + dt x ⊗ B and y = h C + D x for one row of [x, B, C]; no state stands for zeros. y takes x's place.
inline void recur_row(const Layer& layer, float* signal, float* dt, const float* before, float* after) {
  const int64_t states = layer.states, share = layer.heads / layer.groups;
  const float *B = signal + layer.inner(), *C = B + layer.groups * states;
  const Scratch decay(layer.heads);
  for_vectors(layer.heads, [&](int64_t i, auto read, auto write) {
    const vec step = softplus(read(dt + i) + read(layer.dt_bias + i));
    write(dt + i, step);
    write(decay.data + i, exp(-step * exp(read(layer.A_log + i))));
  });
  for (int64_t h = 0; h < layer.heads; ++h) {
    const float *input = B + h / share * states, *output = C + h / share * states;
    for (int64_t p = 0; p < layer.head_width; ++p) {
      const int64_t row = h * layer.head_width + p;
      const vec drive = splat(dt[h] * signal[row]), kept = splat(decay.data[h]);
      vec read_out = splat(0.0f);
      for_vectors(states, [&](int64_t n, auto read, auto write) {
        const int64_t at = row * states + n;
        vec value = drive * read(input + n);
        if (before) value += kept * read(before + at);
        write(after + at, value);
        read_out += read(output + n) * value;
      });
      signal[row] = sum(read_out) + layer.D[h] * signal[row];
    }
  }
}

// y silu(z) / sqrt(mean of its squares + 1e-5) · weight, in place of y.
inline void gated_norm(float* y, const float* z, const float* weight, int64_t size) {
  vec squares = splat(0.0f);
  for_vectors(size, [&](int64_t i, auto read, auto write) {
    const vec gate = read(z + i), gated = read(y + i) * gate * sigmoid(gate);
    write(y + i, gated);
    squares += gated * gated;
  });
  const vec scale = splat(1.0f / std::sqrt(sum(squares) / static_cast<float>(size) + 1e-5f));
  for_vectors(size, [&](int64_t i, auto read, auto write) { write(y + i, read(y + i) * scale * read(weight + i)); });
}

void step_rows(
  const Layer& layer, const float* u, const float* window, const float* state, float* y, float* next, float* after,
  int64_t rows
) {
  const int64_t inner = layer.inner(), channels = layer.channels(), projected = layer.projected();
  const int64_t window_size = (layer.taps - 1) * channels, state_size = inner * layer.states;
  const Scratch scratch(rows * (projected + channels));
  float *all = scratch.data, *signal = all + rows * projected;
  product(layer.in_proj, projected, layer.width, u, layer.width, all, projected, rows);
  for (int64_t b = 0; b < rows; ++b) {
    float *z = all + b * projected, *mixed = signal + b * channels;
    convolve(
      z + inner, row_of(window, b * window_size), layer.conv_weight, layer.conv_bias, mixed,
      next + b * window_size, channels, layer.taps
    );
    recur_row(
      layer, mixed, z + inner + channels, row_of(state, b * state_size), after + b * state_size
    );
    gated_norm(mixed, z, layer.norm_weight, inner);
  }
  product(layer.out_proj, layer.width, inner, signal, channels, y, layer.width, rows);
}

}  // namespace

// window (b, taps - 1, channels) and state (b, heads, head_width, states) may be null for zeros; next and after have
// their shapes.
ARMILLARY_EXPORT(void, mamba2_step_forward)(
  const float* u, const float* window, const float* state, const float* in_proj, const float* conv_weight,
  const float* conv_bias, const float* dt_bias, const float* A_log, const float* D, const float* norm_weight,
  const float* out_proj, float* y, float* next, float* after, int64_t batch, int64_t width, int64_t heads,
  int64_t head_width, int64_t states, int64_t groups, int64_t taps, int64_t threads
) {
  const Layer layer{
    in_proj, conv_weight, conv_bias, dt_bias, A_log, D, norm_weight, out_proj, width, heads, head_width, states,
    groups, taps
  };
  const int64_t tiles = (batch + ROW_TILE - 1) / ROW_TILE, workers = least(threads, tiles ? tiles : 1);
  const int64_t window_size = (taps - 1) * layer.channels(), state_size = layer.inner() * states;
#pragma omp parallel for num_threads(workers)
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t b = tile * ROW_TILE;
    step_rows(
      layer, u + b * width, row_of(window, b * window_size),
      row_of(state, b * state_size), y + b * width, next + b * window_size, after + b * state_size,
      least(ROW_TILE, batch - b)
    );
  }
}
