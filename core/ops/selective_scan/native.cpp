// The selective scan on a CPU: a vector holds one state of neighbouring channels, so nothing is ever transposed.
//
// Forward: one task is a block of channels of a batch row over the whole length. Backward: one task is a slice of the
// blocks of a group, from the last chunk to the first, so that B's and C's gradients are summed over its blocks in
// cache. How the work is cut depends on the sizes alone: the results are the same for every number of threads.
// The gradient of the state, and of A summed over chunks, wait in their output buffers while other blocks run.
#include <cstdlib>
#include <utility>

#include "armillary.hpp"

namespace {

constexpr int64_t MOST_STATES = 64;
constexpr int64_t AHEAD = 8;  // steps; rows are far apart in memory, and a path's rows in no order a processor guesses

// Rows of one input: channels lie side by side, tokens and batch rows anywhere.
struct Rows {
  const float* start;
  int64_t batch_stride, token_stride;
  const float* at(int64_t batch, int64_t token) const { return start + batch * batch_stride + token * token_stride; }
};

// Which token is visited at a step.
struct Order {
  const int64_t* path;
  int64_t length;
  bool reverse;
  int64_t token(int64_t step) const {
    const int64_t place = reverse ? length - 1 - step : step;
    return path ? path[place] : place;
  }
};

struct Sizes {
  int64_t batch, length, width, groups, states, chunk;
  int64_t share() const { return width / groups; }
  int64_t blocks() const { return (share() + WIDTH - 1) / WIDTH; }  // of a group
  int64_t chunks() const { return (length + chunk - 1) / chunk; }
  int64_t last(int64_t c) const { return (c + 1) * chunk < length ? (c + 1) * chunk : length; }
};

struct Inputs {
  Sizes sizes;
  Order order;
  Rows x, dt, z, B, C;
  const float *A, *D;  // A: (states, width)
};

// Neighbouring channels that share rows of B and C.
struct Block {
  int64_t batch, group, channel, lanes;
  Block(const Sizes& sizes, int64_t batch, int64_t group, int64_t block) : batch(batch), group(group) {
    const int64_t rest = sizes.share() - block * WIDTH;
    channel = group * sizes.share() + block * WIDTH;
    lanes = rest < WIDTH ? rest : WIDTH;
  }
  vec read(const float* row) const { return load_part(row + channel, lanes); }
  vec read(const Rows& rows, int64_t token) const { return read(rows.at(batch, token)); }
  void write(float* row, vec value) const { store_part(row + channel, value, lanes); }
  void fetch(const Rows& rows, int64_t token) const { __builtin_prefetch(rows.at(batch, token) + channel); }
};

// Memory of one thread. Not std::vector: its functions would be merged between the instruction sets.
struct Scratch {
  float* data;
  explicit Scratch(int64_t floats)
      : data(static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(floats / 16 + 1) * 64))) {}
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

inline void fetch_rows(const Inputs& in, const Block& block, int64_t step) {
  const int64_t token = in.order.token(step < in.sizes.length ? step : in.sizes.length - 1);
  block.fetch(in.x, token);
  block.fetch(in.dt, token);
  if (in.z.start) block.fetch(in.z, token);
}

// h_t = exp(dt A) h_{t-1} + dt x B, in place, and C·h: one step of every state. Two sums, since each waits on itself.
inline vec advance(int64_t states, vec dt, vec drive, const vec* A, const float* B, const float* C, vec* h) {
  vec even = splat(0.0f), odd = splat(0.0f);
  int64_t n = 0;
  const auto one = [&](int64_t n) {
    h[n] = exp(dt * A[n]) * h[n] + drive * B[n];
    return C[n] * h[n];
  };
  for (; n + 2 <= states; n += 2) {
    even += one(n);
    odd += one(n + 1);
  }
  if (n < states) even += one(n);
  return even + odd;
}

void forward_block(const Inputs& in, const Block& block, float* y, float* borders, float* state) {
  const Sizes& sizes = in.sizes;
  vec A[MOST_STATES], h[MOST_STATES];
  float* last = state + block.batch * sizes.states * sizes.width;
  for (int64_t n = 0; n < sizes.states; ++n) {
    A[n] = block.read(in.A + n * sizes.width);
    h[n] = block.read(last + n * sizes.width);
  }
  const vec D = in.D ? block.read(in.D) : splat(0.0f);
  for (int64_t c = 0; c < sizes.chunks(); ++c) {
    float* border = borders + (block.batch * sizes.chunks() + c) * sizes.states * sizes.width;
    for (int64_t n = 0; n < sizes.states; ++n) block.write(border + n * sizes.width, h[n]);
    for (int64_t t = c * sizes.chunk; t < sizes.last(c); ++t) {
      fetch_rows(in, block, t + AHEAD);
      const int64_t token = in.order.token(t);
      const vec x = block.read(in.x, token), dt = block.read(in.dt, token);
      const float* B = in.B.at(block.batch, token) + block.group * sizes.states;
      const float* C = in.C.at(block.batch, token) + block.group * sizes.states;
      vec out = advance(sizes.states, dt, dt * x, A, B, C, h);
      if (in.D) out += D * x;
      if (in.z.start) {
        const vec z = block.read(in.z, token);
        out *= z * sigmoid(z);
      }
      block.write(y + (block.batch * sizes.length + token) * sizes.width, out);
    }
  }
  for (int64_t n = 0; n < sizes.states; ++n) block.write(last + n * sizes.width, h[n]);
}

// Where lane i of a fold reads: runs of `half` lanes, alternately of the left and of the right vector, sums of the
// lower and upper halves of runs twice as long.
constexpr int lane_of(int i, int half, int upper) {
  const int inside = i % (2 * half), base = i - inside;
  return inside < half ? base + inside + upper * half : WIDTH + base + inside - half + upper * half;
}

template <int half, int upper, size_t... i>
inline vec pick(vec left, vec right, std::index_sequence<i...>) {
#if defined(__clang__)
  return __builtin_shufflevector(left, right, lane_of(static_cast<int>(i), half, upper)...);
#else
  return __builtin_shuffle(left, right, ivec{lane_of(static_cast<int>(i), half, upper)...});
#endif
}

// Lane i is the sum over the lanes of vector i, for as many vectors as there are lanes: three operations a vector.
template <int count = WIDTH>
inline vec sums(const float* vectors) {
  if constexpr (count == 1) {
    return load(vectors);
  } else {
    constexpr int half = count / 2;
    const auto lanes = std::make_index_sequence<WIDTH>();
    const vec left = sums<half>(vectors), right = sums<half>(vectors + half * WIDTH);
    return pick<half, 0>(left, right, lanes) + pick<half, 1>(left, right, lanes);
  }
}

struct Gradients {
  const Rows y;
  float *x, *dt, *z;    // (batch, length, width)
  float *A, *D, *state;  // (batch, states, width), (batch, width), (batch, states, width)
  float *B, *C;          // (slices, batch, length, groups, states)
};

// Buffers of one chunk: a vector for each step and state, and sums over a slice for each step and state.
struct Chunk {
  float *decays, *states, *B, *C;
};

// The states of a chunk once more, from the one kept at its border; slot 0 of `states` is the border.
void run_again(
  const Inputs& in, const Block& block, int64_t first, int64_t last, const vec* A, const Chunk& to, vec* h
) {
  const int64_t states = in.sizes.states;
  for (int64_t n = 0; n < states; ++n) store(to.states + n * WIDTH, h[n]);
  for (int64_t t = first; t < last; ++t) {
    const int64_t token = in.order.token(t);
    const vec x = block.read(in.x, token), dt = block.read(in.dt, token), drive = dt * x;
    const float* B = in.B.at(block.batch, token) + block.group * states;
    float* decays = to.decays + (t - first) * states * WIDTH;
    float* here = to.states + (t - first + 1) * states * WIDTH;
    for (int64_t n = 0; n < states; ++n) {
      const vec decay = exp(dt * A[n]);
      h[n] = decay * h[n] + drive * B[n];
      store(decays + n * WIDTH, decay);
      store(here + n * WIDTH, h[n]);
    }
  }
}

// λ_t = C_t gy_t + a_{t+1} λ_{t+1}, from the last step of a chunk to the first. `later` holds a_{t+1} λ_{t+1}.
// Each slot of the chunk's buffers is taken over, once its content is used, by what is to be summed over channels:
// decays by λ dt x for the gradient of B, states by gy h for that of C.
void run_back(
  const Inputs& in, const Block& block, int64_t first, int64_t last, const vec* A, const Chunk& at, const Gradients& to,
  vec* later, vec* grad_A, vec* grad_D
) {
  const Sizes& sizes = in.sizes;
  const int64_t states = sizes.states;
  const vec D = in.D ? block.read(in.D) : splat(0.0f);
  for (int64_t t = last - 1; t >= first; --t) {
    const int64_t token = in.order.token(t), row = (block.batch * sizes.length + token) * sizes.width;
    const vec x = block.read(in.x, token), dt = block.read(in.dt, token), drive = dt * x;
    const vec z = in.z.start ? block.read(in.z, token) : splat(0.0f), open = in.z.start ? sigmoid(z) : z;
    const vec grad_out = block.read(to.y, token), grad_y = in.z.start ? grad_out * z * open : grad_out;
    const float* B = in.B.at(block.batch, token) + block.group * states;
    const float* C = in.C.at(block.batch, token) + block.group * states;
    float* decays = at.decays + (t - first) * states * WIDTH;
    float* before = at.states + (t - first) * states * WIDTH;
    float* here = before + states * WIDTH;
    vec y = D * x, driven = splat(0.0f), exponent = splat(0.0f);
    for (int64_t n = 0; n < states; ++n) {
      const vec h = load(here + n * WIDTH), costate = C[n] * grad_y + later[n];
      y += C[n] * h;
      driven += B[n] * costate;
      later[n] = load(decays + n * WIDTH) * costate;
      const vec slope = later[n] * load(before + n * WIDTH);
      exponent += slope * A[n];
      grad_A[n] += slope * dt;
      store(decays + n * WIDTH, costate * drive);
      store(here + n * WIDTH, grad_y * h);
    }
    block.write(to.x + row, dt * driven + D * grad_y);
    block.write(to.dt + row, x * driven + exponent);
    if (in.z.start) block.write(to.z + row, grad_out * y * open * (1.0f + z * (1.0f - open)));
    *grad_D += grad_y * x;
  }
}

// Adds the sums over channels of a chunk's vectors, step by step and state by state.
inline void add_sums(const float* vectors, float* to, int64_t count, bool fresh) {
  for (int64_t i = 0; i < count; i += WIDTH) {
    const vec total = sums(vectors + i * WIDTH);
    store(to + i, fresh ? total : total + load(to + i));
  }
}

// One chunk of one block: adds to the chunk's sums for B and C, and to the block's waiting gradients.
void backward_chunk(
  const Inputs& in, const Block& block, int64_t c, const float* borders, const Chunk& at, const Gradients& to,
  bool fresh
) {
  const Sizes& sizes = in.sizes;
  const int64_t states = sizes.states, width = sizes.width, first = c * sizes.chunk, last = sizes.last(c);
  const int64_t plane = block.batch * states * width;
  const float* border = borders + (block.batch * sizes.chunks() + c) * states * width;
  vec A[MOST_STATES], h[MOST_STATES], later[MOST_STATES], grad_A[MOST_STATES], grad_D = splat(0.0f);
  for (int64_t n = 0; n < states; ++n) {
    A[n] = block.read(in.A + n * width);
    h[n] = block.read(border + n * width);
    later[n] = block.read(to.state + plane + n * width);
    grad_A[n] = splat(0.0f);
  }
  run_again(in, block, first, last, A, at, h);
  run_back(in, block, first, last, A, at, to, later, grad_A, &grad_D);
  // Added once a chunk: the error of a sum grows with the number of its terms.
  for (int64_t n = 0; n < states; ++n) {
    float* total = to.A + plane + n * width;
    block.write(total, block.read(total) + grad_A[n]);
    block.write(to.state + plane + n * width, later[n]);
  }
  float* total = to.D + block.batch * width;
  block.write(total, block.read(total) + grad_D);
  add_sums(at.decays, at.B, (last - first) * states, fresh);
  add_sums(at.states + states * WIDTH, at.C, (last - first) * states, fresh);
}

void backward_slice(
  const Inputs& in, int64_t batch, int64_t group, int64_t slice, int64_t slices, const float* borders, const Chunk& at,
  const Gradients& to
) {
  const Sizes& sizes = in.sizes;
  const int64_t states = sizes.states, begin = slice * sizes.blocks() / slices;
  const int64_t end = (slice + 1) * sizes.blocks() / slices;
  for (int64_t c = sizes.chunks() - 1; c >= 0; --c) {
    const int64_t first = c * sizes.chunk, last = sizes.last(c);
    if (begin == end)
      for (int64_t i = 0; i < (last - first) * states; ++i) at.B[i] = at.C[i] = 0.0f;
    for (int64_t block = begin; block < end; ++block)
      backward_chunk(in, Block(sizes, batch, group, block), c, borders, at, to, block == begin);
    for (int64_t t = first; t < last; ++t) {
      const int64_t token = in.order.token(t);
      const int64_t row = (((slice * sizes.batch + batch) * sizes.length + token) * sizes.groups + group) * states;
      for (int64_t n = 0; n < states; ++n) {
        to.B[row + n] = at.B[(t - first) * states + n];
        to.C[row + n] = at.C[(t - first) * states + n];
      }
    }
  }
}

}  // namespace

// y: (batch, length, width). borders: (batch, chunks, states, width), the state before each chunk.
// state: (batch, states, width), the initial state, replaced by the final one. D, z and path may be null.
ARMILLARY_EXPORT(void, selective_scan_forward)(
  const float* x, int64_t x_batch, int64_t x_token, const float* dt, int64_t dt_batch, int64_t dt_token,
  const float* z, int64_t z_batch, int64_t z_token, const float* B, int64_t B_batch, int64_t B_token,
  const float* C, int64_t C_batch, int64_t C_token, const float* A, const float* D, const int64_t* path,
  int64_t reverse, int64_t batch, int64_t length, int64_t width, int64_t groups, int64_t states, int64_t chunk,
  float* y, float* borders, float* state, int64_t threads
) {
  const Inputs in = {
    {batch, length, width, groups, states, chunk}, {path, length, reverse != 0},
    {x, x_batch, x_token}, {dt, dt_batch, dt_token}, {z, z_batch, z_token}, {B, B_batch, B_token},
    {C, C_batch, C_token}, A, D
  };
  const int64_t blocks = in.sizes.blocks();
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t task = 0; task < batch * groups * blocks; ++task)
    forward_block(
      in, Block(in.sizes, task / (groups * blocks), task / blocks % groups, task % blocks), y, borders, state
    );
}

// grad_state: (batch, states, width), the gradient of the final state, replaced by that of the initial one.
// grad_A (batch, states, width) and grad_D (batch, width) start at zero; grad_B and grad_C are sums over the channels
// of each slice: (slices, batch, length, groups, states).
ARMILLARY_EXPORT(void, selective_scan_backward)(
  const float* x, int64_t x_batch, int64_t x_token, const float* dt, int64_t dt_batch, int64_t dt_token,
  const float* z, int64_t z_batch, int64_t z_token, const float* B, int64_t B_batch, int64_t B_token,
  const float* C, int64_t C_batch, int64_t C_token, const float* A, const float* D, const int64_t* path,
  int64_t reverse, int64_t batch, int64_t length, int64_t width, int64_t groups, int64_t states, int64_t chunk,
  const float* borders, const float* grad_y, int64_t grad_y_batch, int64_t grad_y_token, float* grad_x, float* grad_dt,
  float* grad_z, float* grad_A, float* grad_D, float* grad_state, float* grad_B, float* grad_C, int64_t slices,
  int64_t threads
) {
  const Inputs in = {
    {batch, length, width, groups, states, chunk}, {path, length, reverse != 0},
    {x, x_batch, x_token}, {dt, dt_batch, dt_token}, {z, z_batch, z_token}, {B, B_batch, B_token},
    {C, C_batch, C_token}, A, D
  };
  const Gradients to = {{grad_y, grad_y_batch, grad_y_token}, grad_x, grad_dt, grad_z, grad_A,
                        grad_D, grad_state, grad_B, grad_C};
  // Whole vectors, since the sums over channels are taken WIDTH vectors at a time.
  const int64_t steps = chunk < length ? chunk : length;
  const int64_t vectors = (steps * states + WIDTH - 1) / WIDTH * WIDTH;
#pragma omp parallel num_threads(threads)
  {
    const Scratch scratch((2 * vectors + states) * WIDTH + 2 * vectors);
    float* sums = scratch.data + (2 * vectors + states) * WIDTH;
    const Chunk at = {scratch.data, scratch.data + vectors * WIDTH, sums, sums + vectors};
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < batch * groups * slices; ++task)
      backward_slice(
        in, task / (groups * slices), task / slices % groups, task % slices, slices, borders, at, to
      );
  }
}
