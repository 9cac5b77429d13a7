// One token a row through a whole Mamba layer: projections, convolution, scan and gate in one pass.
#include "step.hpp"

namespace {

struct Layer {
  const float *in_proj, *conv_weight, *conv_bias, *x_proj, *dt_proj, *dt_bias, *A_log, *D, *out_proj;
  int64_t width, inner, states, rank, taps;
};

// h = exp(dt A) h + dt x B and y = (C·h + D x) silu(z) for one row; no state stands for zeros. y takes the place of x.
inline void scan_row(
  const Layer& layer, float* x, const float* z, const float* dt, const float* low, const float* before, float* after
) {
  const int64_t states = layer.states;
  const float *B = low + layer.rank, *C = B + states;
  for (int64_t c = 0; c < layer.inner; ++c) {
    const vec step = splat(dt[c]), drive = splat(dt[c] * x[c]);
    vec read_out = splat(0.0f);
    for_vectors(states, [&](int64_t n, auto read, auto write) {
      const int64_t at = c * states + n;
      const vec rate = exp(read(layer.A_log + at));
      vec h = drive * read(B + n);
      if (before) h += exp(-step * rate) * read(before + at);
      write(after + at, h);
      read_out += read(C + n) * h;
    });
    x[c] = sum(read_out) + layer.D[c] * x[c];
  }
  for_vectors(layer.inner, [&](int64_t i, auto read, auto write) {
    const vec gate = read(z + i);
    write(x + i, read(x + i) * gate * sigmoid(gate));
  });
}

void step_rows(
  const Layer& layer, const float* u, const float* window, const float* state, float* y, float* next, float* after,
  int64_t rows
) {
  const int64_t inner = layer.inner, lows = layer.rank + 2 * layer.states;
  const int64_t window_size = (layer.taps - 1) * inner, state_size = inner * layer.states;
  const Scratch scratch(rows * (4 * inner + lows));
  float *projected = scratch.data, *x = projected + rows * 2 * inner, *dt = x + rows * inner,
          *low = dt + rows * inner;
  product(layer.in_proj, 2 * inner, layer.width, u, layer.width, projected, 2 * inner, rows);
  for (int64_t b = 0; b < rows; ++b)
    convolve(
      projected + b * 2 * inner, row_of(window, b * window_size), layer.conv_weight, layer.conv_bias,
      x + b * inner, next + b * window_size, inner, layer.taps
    );
  product(layer.x_proj, lows, inner, x, inner, low, lows, rows);
  product(layer.dt_proj, inner, layer.rank, low, lows, dt, inner, rows);
  for (int64_t b = 0; b < rows; ++b) {
    float* step = dt + b * inner;
    for_vectors(inner, [&](int64_t i, auto read, auto write) {
      write(step + i, softplus(read(step + i) + read(layer.dt_bias + i)));
    });
    scan_row(
      layer, x + b * inner, projected + b * 2 * inner + inner, step, low + b * lows,
      row_of(state, b * state_size), after + b * state_size
    );
  }
  product(layer.out_proj, layer.width, inner, x, inner, y, layer.width, rows);
}

}  // namespace

// window (b, taps - 1, inner) and state (b, inner, states) may be null for zeros; next and after have their shapes.
ARMILLARY_EXPORT(void, mamba_step_forward)(
  const float* u, const float* window, const float* state, const float* in_proj, const float* conv_weight,
  const float* conv_bias, const float* x_proj, const float* dt_proj, const float* dt_bias, const float* A_log,
  const float* D, const float* out_proj, float* y, float* next, float* after, int64_t batch, int64_t width,
  int64_t inner, int64_t states, int64_t rank, int64_t taps, int64_t threads
) {
  const Layer layer{
    in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj, width, inner, states, rank, taps
  };
  const int64_t tiles = (batch + ROW_TILE - 1) / ROW_TILE, workers = least(threads, tiles ? tiles : 1);
#pragma omp parallel for num_threads(workers)
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t b = tile * ROW_TILE, window_size = (taps - 1) * inner, state_size = inner * states;
    step_rows(
      layer, u + b * width, row_of(window, b * window_size),
      row_of(state, b * state_size), y + b * width, next + b * window_size, after + b * state_size,
      least(ROW_TILE, batch - b)
    );
  }
}
