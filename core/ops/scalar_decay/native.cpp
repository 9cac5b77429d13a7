// The scalar-decay recurrence and its gradients, token after token, with tiles of the state in registers.
//
// On a CPU the recurrence itself has no more arithmetic than its chunked form, and needs no exponentials of sums, no
// copies and no masks: h_t = a_t h_{t-1} + u_t ⊗ w_t, out_t = h_t r_t, lanes along u. One walk serves three times,
// with the parts exchanged: for y (u = x, w = B, r = C) and for the gradient of C (u = B, w = x, r = grad y) in the
// order of time, for that of B (u = C, w = grad y, r = x) against it, where the decay is that of the token after. The
// gradients of x and of the decays need the state and its adjoint together: the states of a chunk are computed again
// from the one before it, which forward keeps. A decay of zero forgets everything, even what is not finite: so a
// border of segments is one. Each sum has one order, whatever the number of threads.
#include <new>

#include "vectors.hpp"

namespace {

constexpr int ROWS = 8;  // rows of the state that a tile holds in registers

// Memory of one task. Not std::vector: its functions would be merged between the instruction sets.
template <class T>
struct Scratch {
  T* data;
  explicit Scratch(int64_t size) : data(static_cast<T*>(::operator new[](size * sizeof(T), std::align_val_t(64)))) {}
  ~Scratch() { ::operator delete[](data, std::align_val_t(64)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// (batch, token, head or group, ...), the last axis dense. Against time: the last token first and a negative stride.
struct Series {
  const float* data;
  int64_t batch_stride, stride, head_stride;
  const float* at(int64_t b, int64_t head) const { return data + b * batch_stride + head * head_stride; }
  const float* at(int64_t b, int64_t t, int64_t head) const { return at(b, head) + t * stride; }
};

template <int COUNT>
inline void forget(float decay, vec* h) {
  if (__builtin_expect(decay == 0, 0))
    for (int i = 0; i < COUNT; ++i) h[i] = splat(0.0f);
}

// One head's inputs from one token on, and the lanes of u and out that a task has.
struct Walk {
  const float *u, *w, *r, *decay;
  int64_t u_stride, w_stride, r_stride, decay_stride, lanes, tokens;
};

// COUNT rows of the state, from `row` on, through some tokens; adds to `out` unless these rows are the first.
template <int COUNT>
inline void walk_rows(const Walk& walk, int64_t row, vec* state, float* out, int64_t out_stride, bool first) {
  const Walk in = walk;
  vec h[COUNT];
  for (int i = 0; i < COUNT; ++i) h[i] = state[row + i];
  for (int64_t t = 0; t < in.tokens; ++t) {
    const vec u = load_part(in.u + t * in.u_stride, in.lanes);
    const float *w = in.w + t * in.w_stride + row, *r = in.r + t * in.r_stride + row;
    const float decay = in.decay[t * in.decay_stride];
    float* mine = out + t * out_stride;
    vec even = first ? splat(0.0f) : load_part(mine, in.lanes), odd = splat(0.0f);
    forget<COUNT>(decay, h);
    for (int i = 0; i < COUNT; ++i) {
      h[i] = fused(u, splat(w[i]), decay * h[i]);
      (i % 2 ? odd : even) = fused(h[i], splat(r[i]), i % 2 ? odd : even);
    }
    store_part(mine, even + odd, in.lanes);
  }
  for (int i = 0; i < COUNT; ++i) state[row + i] = h[i];
}

inline void walk_all(const Walk& walk, int64_t rows, vec* state, float* out, int64_t out_stride, bool first) {
  int64_t row = 0;
  for (; row + ROWS <= rows; row += ROWS) walk_rows<ROWS>(walk, row, state, out, out_stride, first && !row);
  for (; row < rows; ++row) walk_rows<1>(walk, row, state, out, out_stride, first && !row);
}

// What a chunk's gradients go to: of u, of the logarithms of the decays (one number a lane), and the states before
// each of its tokens, COUNT vectors a token.
struct Back {
  const float* grad;  // of out
  int64_t grad_stride, out_stride;
  float* out;
  vec *decays, *before;
};

// COUNT rows of the adjoint, backwards through a chunk, after the states forwards through it.
template <int COUNT>
inline void back_rows(const Walk& walk, const Back& given, int64_t row, const vec* entering, vec* adjoint) {
  const Walk in = walk;
  const Back back = given;
  vec h[COUNT];
  for (int i = 0; i < COUNT; ++i) h[i] = entering[row + i];
  for (int64_t t = 0; t < in.tokens; ++t) {
    const vec u = load_part(in.u + t * in.u_stride, in.lanes);
    const float* w = in.w + t * in.w_stride + row;
    const float decay = in.decay[t * in.decay_stride];
    forget<COUNT>(decay, h);
    for (int i = 0; i < COUNT; ++i) {
      const vec kept = decay * h[i];
      back.before[t * COUNT + i] = kept;
      h[i] = fused(u, splat(w[i]), kept);
    }
  }
  for (int i = 0; i < COUNT; ++i) h[i] = adjoint[row + i];
  for (int64_t t = in.tokens - 1; t >= 0; --t) {
    const vec grad = load_part(back.grad + t * back.grad_stride, in.lanes);
    const float *w = in.w + t * in.w_stride + row, *r = in.r + t * in.r_stride + row;
    const float decay = in.decay[t * in.decay_stride];
    float* mine = back.out + t * back.out_stride;
    vec total = row ? load_part(mine, in.lanes) : splat(0.0f), share = row ? back.decays[t] : splat(0.0f);
    for (int i = 0; i < COUNT; ++i) {
      h[i] = fused(grad, splat(r[i]), h[i]);
      total = fused(h[i], splat(w[i]), total);
      share = fused(h[i], back.before[t * COUNT + i], share);
      h[i] = decay * h[i];
    }
    forget<COUNT>(decay, h);
    store_part(mine, total, in.lanes);
    back.decays[t] = share;
  }
  for (int i = 0; i < COUNT; ++i) adjoint[row + i] = h[i];
}

struct Shape {
  int64_t batch, length, heads, width, groups, states, chunk;
  int64_t share() const { return heads / groups; }
  int64_t chunks() const { return (length + chunk - 1) / chunk; }
  int64_t threads(int64_t most) const { return batch * length * heads * width < SMALL ? 1 : most; }
};

inline void add_lanes(const vec* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) {
    float total = 0;
    for (int lane = 0; lane < WIDTH; ++lane) total += from[i][lane];
    to[i] = total;
  }
}

inline int64_t vectors(int64_t size) { return (size + WIDTH - 1) / WIDTH; }

// Copies rows of a state's columns `lane` to `lane + lanes` into vectors, and back.
inline void read_state(const float* from, int64_t rows, int64_t columns, int64_t lane, vec* state) {
  for (int64_t i = 0; i < rows; ++i) state[i] = load_part(from + i * columns + lane, columns - lane);
}

inline void write_state(const vec* state, int64_t rows, int64_t columns, int64_t lane, float* to) {
  for (int64_t i = 0; i < rows; ++i) store_part(to + i * columns + lane, state[i], columns - lane);
}

// The walk for the gradient of B or C: all heads of a group add up. from: (batch, heads, rows, lanes of u).
void sum_heads(
    const Shape& shape, const Series& u, const Series& w, const Series& r, const Series& decay, const float* from,
    float* out, int64_t out_stride, int64_t b, int64_t group, int64_t lane
) {
  const int64_t share = shape.share(), rows = shape.width, columns = shape.states;
  const Scratch<vec> state(share * rows);
  const int64_t first = b * shape.heads + group * share;
  for (int64_t head = 0; head < share; ++head)
    read_state(from + (first + head) * rows * columns, rows, columns, lane, state.data + head * rows);
  for (int64_t t = 0; t < shape.length; t += shape.chunk)
    for (int64_t k = 0; k < share; ++k) {
      const int64_t head = group * share + k;
      const Walk walk = {u.at(b, t, group) + lane, w.at(b, t, head), r.at(b, t, head), decay.at(b, t, head), u.stride,
                         w.stride, r.stride, decay.stride, least(WIDTH, columns - lane),
                         least(shape.chunk, shape.length - t)};
      walk_all(walk, rows, state.data + k * rows, out + t * out_stride, out_stride, k == 0);
    }
}

inline Series reversed(const Series& series, int64_t length) {
  return {series.data + (length - 1) * series.stride, series.batch_stride, -series.stride, series.head_stride};
}

}  // namespace

// x: (batch, length, heads, width); B, C: (batch, length, groups, states), each followed by its three strides. decay:
// (batch, heads, length), not its logarithm. y like x, dense. state: (batch, heads, states, width), before the first
// token and then after the last; borders: (batch, heads, chunks, states, width), before each chunk.
ARMILLARY_EXPORT(void, scalar_decay_forward)(
    const float* x, int64_t x_batch, int64_t x_token, int64_t x_head, const float* B, int64_t B_batch, int64_t B_token,
    int64_t B_group, const float* C, int64_t C_batch, int64_t C_token, int64_t C_group, const float* decay,
    int64_t batch, int64_t length, int64_t heads, int64_t width, int64_t groups, int64_t states, int64_t chunk,
    float* y, float* state, float* borders, int64_t threads
) {
  const Shape shape = {batch, length, heads, width, groups, states, chunk};
  const Series u = {x, x_batch, x_token, x_head}, w = {B, B_batch, B_token, B_group};
  const Series r = {C, C_batch, C_token, C_group};
  const int64_t parts = vectors(width), size = states * width;
#pragma omp parallel for num_threads(shape.threads(threads))
  for (int64_t task = 0; task < batch * heads * parts; ++task) {
    const int64_t lane = task % parts * WIDTH, row = task / parts, b = row / heads, head = row % heads;
    const int64_t group = head / shape.share();
    const Scratch<vec> h(states);
    read_state(state + row * size, states, width, lane, h.data);
    for (int64_t t = 0; t < length; t += chunk) {
      write_state(h.data, states, width, lane, borders + (row * shape.chunks() + t / chunk) * size);
      const Walk walk = {u.at(b, t, head) + lane, w.at(b, t, group), r.at(b, t, group), decay + row * length + t,
                         u.stride, w.stride, r.stride, 1, least(WIDTH, width - lane), least(chunk, length - t)};
      walk_all(walk, states, h.data, y + ((b * length + t) * heads + head) * width + lane, heads * width, true);
    }
    write_state(h.data, states, width, lane, state + row * size);
  }
}

// Of x, and of the logarithms of the decays, like these; adjoint like the state: the gradient of the last one, then
// of the first.
ARMILLARY_EXPORT(void, scalar_decay_backward_x)(
    const float* x, int64_t x_batch, int64_t x_token, int64_t x_head, const float* B, int64_t B_batch, int64_t B_token,
    int64_t B_group, const float* C, int64_t C_batch, int64_t C_token, int64_t C_group, const float* decay,
    int64_t batch, int64_t length, int64_t heads, int64_t width, int64_t groups, int64_t states, int64_t chunk,
    const float* grad, int64_t grad_batch, int64_t grad_token, int64_t grad_head, const float* borders, float* grad_x,
    float* grad_decay, float* adjoint, int64_t threads
) {
  const Shape shape = {batch, length, heads, width, groups, states, chunk};
  const Series u = {x, x_batch, x_token, x_head}, w = {B, B_batch, B_token, B_group};
  const Series r = {C, C_batch, C_token, C_group};
  const Series g = {grad, grad_batch, grad_token, grad_head};
  const int64_t parts = vectors(width), size = states * width;
  const Scratch<float> partial(batch * heads * parts * length);
#pragma omp parallel for num_threads(shape.threads(threads))
  for (int64_t task = 0; task < batch * heads * parts; ++task) {
    const int64_t lane = task % parts * WIDTH, row = task / parts, b = row / heads, head = row % heads;
    const int64_t group = head / shape.share();
    const Scratch<vec> entering(states), h(states), decays(chunk), before(chunk * ROWS);
    read_state(adjoint + row * size, states, width, lane, h.data);
    for (int64_t i = shape.chunks() - 1; i >= 0; --i) {
      const int64_t t = i * chunk, tokens = least(chunk, length - t);
      read_state(borders + (row * shape.chunks() + i) * size, states, width, lane, entering.data);
      const Walk walk = {u.at(b, t, head) + lane, w.at(b, t, group), r.at(b, t, group), decay + row * length + t,
                         u.stride, w.stride, r.stride, 1, least(WIDTH, width - lane), tokens};
      const Back back = {g.at(b, t, head) + lane, g.stride, heads * width,
                         grad_x + ((b * length + t) * heads + head) * width + lane, decays.data, before.data};
      int64_t k = 0;
      for (; k + ROWS <= states; k += ROWS) back_rows<ROWS>(walk, back, k, entering.data, h.data);
      for (; k < states; ++k) back_rows<1>(walk, back, k, entering.data, h.data);
      add_lanes(decays.data, tokens, partial.data + task * length + t);
    }
    write_state(h.data, states, width, lane, adjoint + row * size);
  }
  for (int64_t row = 0; row < batch * heads; ++row)
    for (int64_t t = 0; t < length; ++t) {
      float total = 0;
      for (int64_t part = 0; part < parts; ++part) total += partial.data[(row * parts + part) * length + t];
      grad_decay[row * length + t] = total;
    }
}

// Of B and C, dense. next: the decays of the tokens after, one after the last. state and adjoint, of the first and of
// the last: (batch, heads, width, states).
ARMILLARY_EXPORT(void, scalar_decay_backward_pairs)(
    const float* x, int64_t x_batch, int64_t x_token, int64_t x_head, const float* B, int64_t B_batch, int64_t B_token,
    int64_t B_group, const float* C, int64_t C_batch, int64_t C_token, int64_t C_group, const float* decay,
    int64_t batch, int64_t length, int64_t heads, int64_t width, int64_t groups, int64_t states, int64_t chunk,
    const float* grad, int64_t grad_batch, int64_t grad_token, int64_t grad_head, const float* next,
    const float* state, const float* adjoint, float* grad_B, float* grad_C, int64_t threads
) {
  const Shape shape = {batch, length, heads, width, groups, states, chunk};
  const Series xs = {x, x_batch, x_token, x_head}, Bs = {B, B_batch, B_token, B_group};
  const Series Cs = {C, C_batch, C_token, C_group}, g = {grad, grad_batch, grad_token, grad_head};
  const Series here = {decay, heads * length, 1, length}, after = {next, heads * length, 1, length};
  const int64_t parts = vectors(states), stride = groups * states;
#pragma omp parallel for num_threads(shape.threads(threads))
  for (int64_t task = 0; task < batch * groups * parts * 2; ++task) {
    const int64_t lane = task / 2 % parts * WIDTH, row = task / 2 / parts, b = row / groups, group = row % groups;
    const int64_t at = b * length * stride + group * states + lane;
    if (task % 2)
      sum_heads(shape, Bs, xs, g, here, state, grad_C + at, stride, b, group, lane);
    else
      sum_heads(shape, reversed(Cs, length), reversed(g, length), reversed(xs, length), reversed(after, length),
                adjoint, grad_B + at + (length - 1) * stride, -stride, b, group, lane);
  }
}
