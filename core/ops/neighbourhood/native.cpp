// Neighbourhood attention on the CPU: a tile of WIDTH queries, one a lane, against the box of keys that they share.
//
// An axis with dilation falls apart into chains of tokens that are `dilation` apart; within a chain every window is a
// contiguous run of members, whose ends never move backwards from one query to the next. So the keys of a tile are a
// box, and a lane sees a smaller box in it: the scores of a key for all lanes are one vector, softmax needs no sum
// across lanes, and each of the products (two forward, five backward) is a broadcast times a vector.
//
// Keys and values of the box are copied to thread-local scratch. Gradients of k and v are added to memory by units of
// work that share no key at the same time: heads and chains are apart, and slabs of one chain take turns by colour.
#include "chains.hpp"

#include <omp.h>

#include <cstdlib>
#include <memory>

namespace {

constexpr int BLOCK = 8;                    // keys that are scored at once
constexpr int GROUP = WIDTH == 16 ? 8 : 4;  // rows of a product that are kept in registers, two vectors each
constexpr float INFINITE = std::numeric_limits<float>::infinity();

struct Free {
  void operator()(void* p) const { std::free(p); }
};

std::unique_ptr<float[], Free> floats(int64_t count) {
  const size_t bytes = static_cast<size_t>(up(std::max<int64_t>(count, 1) * 4, 64) * 64);
  return std::unique_ptr<float[], Free>(static_cast<float*>(std::aligned_alloc(64, bytes)));
}

// What a thread needs for one tile. Rows are padded to whole vectors, keys to whole blocks, both with zeros.
struct Scratch {
  int64_t key_pad, value_pad, box;
  std::unique_ptr<float[], Free> keys, values, weights, slopes, bias, slots[MAX_RANK];
  std::unique_ptr<float[], Free> q, q_lanes, up, up_lanes, out_lanes, result;
  std::unique_ptr<int64_t[]> tokens, offsets, places[MAX_RANK];

  Scratch(const Problem& problem, bool backward)
      : key_pad(up_to(problem.key_width)),
        value_pad(up_to(problem.value_width)),
        box(::up(problem.box(), BLOCK) * BLOCK) {
    keys = floats(box * key_pad);
    values = floats(box * value_pad);
    weights = floats(box * WIDTH);
    q = floats(WIDTH * key_pad);
    q_lanes = floats(WIDTH * key_pad);
    result = floats(WIDTH * std::max(key_pad, value_pad));
    for (int a = 0; a < MAX_RANK; ++a) {
      slots[a] = floats(problem.axes[a].box() * WIDTH);
      places[a] = std::make_unique<int64_t[]>(static_cast<size_t>(problem.axes[a].box()));
    }
    if (backward) {
      slopes = floats(box * WIDTH);
      up = floats(WIDTH * value_pad);
      up_lanes = floats(WIDTH * value_pad);
      out_lanes = floats(WIDTH * value_pad);
      if (problem.bias != nullptr) bias = floats(problem.spread() * WIDTH);
    }
    tokens = std::make_unique<int64_t[]>(static_cast<size_t>(box));
    offsets = std::make_unique<int64_t[]>(static_cast<size_t>(box));
  }

  static int64_t up_to(int64_t width) { return ::up(width, WIDTH) * WIDTH; }
};

// A tile: WIDTH queries of one head, and the box of keys that at least one of them sees.
struct Tile {
  int64_t b, head, count;  // keys in the box
  int64_t query[WIDTH];    // token of each lane, -1 for none
  int64_t shape[MAX_RANK];
};

void copy_row(float* to, const float* from, int64_t width, float factor) {
  for (int64_t i = 0; i < width; i += WIDTH) store(to + i, load_part(from + i, width - i) * factor);
}

// One step of turning a square of vectors: blocks of side HALF change places across the diagonal.
template <int HALF>
inline void exchange(vec (&square)[WIDTH]) {
  ivec upper = {}, lower = {};
  for (int lane = 0; lane < WIDTH; ++lane) {
    upper[lane] = lane & HALF ? WIDTH + lane - HALF : lane;
    lower[lane] = lane & HALF ? WIDTH + lane : lane + HALF;
  }
  for (int i = 0; i < WIDTH; ++i) {
    if (i & HALF) continue;
    const vec a = square[i], b = square[i + HALF];
    square[i] = __builtin_shuffle(a, b, upper);
    square[i + HALF] = __builtin_shuffle(a, b, lower);
  }
  if constexpr (HALF > 1) exchange<HALF / 2>(square);
}

// Rows (WIDTH, pad) turned to (pad, WIDTH).
void turn(float* to, const float* from, int64_t pad) {
  for (int64_t at = 0; at < pad; at += WIDTH) {
    vec square[WIDTH];
    for (int i = 0; i < WIDTH; ++i) square[i] = load(from + i * pad + at);
    exchange<WIDTH / 2>(square);
    for (int i = 0; i < WIDTH; ++i) store(to + (at + i) * WIDTH, square[i]);
  }
}

void load_lanes(float* rows, float* lanes, const float* from, const Problem& problem, const Tile& tile, int64_t width,
                int64_t pad, float factor) {
  for (int lane = 0; lane < WIDTH; ++lane) {
    if (tile.query[lane] >= 0)
      copy_row(rows + lane * pad, from + problem.row(tile.b, tile.query[lane], tile.head) * width, width, factor);
    else
      std::fill_n(rows + lane * pad, pad, 0.0f);
  }
  turn(lanes, rows, pad);
}

// One axis of a tile: its lanes' share of the token's index, that of each slot of the box, and for each slot and lane
// 0 where it is in the lane's window and -inf where it is not.
int64_t place_axis(const Problem& problem, int a, const Chain& chain, int64_t origin, Tile& tile, Scratch& scratch) {
  const int64_t stride = problem.axes[a].stride, side = problem.axes[a].lanes, last = chain.members - 1;
  Run runs[WIDTH];  // at each place of the side
  int64_t tokens[WIDTH];
  for (int64_t i = 0; i < side; ++i) {
    runs[i] = chain.window(std::min(origin + i, last));
    tokens[i] = chain.token(std::min(origin + i, last)) * stride;
  }
  const int64_t first = runs[0].start, count = runs[side - 1].end - first;
  ivec from = {}, to = {};
  for (int lane = 0; lane < WIDTH; ++lane) {
    const int32_t i = problem.lane[a][lane];
    from[lane] = static_cast<int32_t>(runs[i].start - first);
    to[lane] = static_cast<int32_t>(runs[i].end - first);
    tile.query[lane] = origin + i > last || tile.query[lane] < 0 ? -1 : tile.query[lane] + tokens[i];
  }
  for (int32_t slot = 0; slot < count; ++slot) {
    const ivec at = ivec{} + slot;
    store(scratch.slots[a].get() + slot * WIDTH, select((at >= from) & (at < to), vec{}, splat(-INFINITE)));
    scratch.places[a][slot] = chain.token(first + slot) * stride;
  }
  tile.shape[a] = count;
  return first - origin + problem.axes[a].window - 1;
}

// Finds the queries and the box of a tile that begins at the members `origin`.
void place(const Problem& problem, const Chain (&chains)[MAX_RANK], const int64_t (&origin)[MAX_RANK], Tile& tile,
           Scratch& scratch) {
  std::fill_n(tile.query, WIDTH, 0);
  int64_t offset[MAX_RANK];
  for (int a = 0; a < MAX_RANK; ++a) offset[a] = place_axis(problem, a, chains[a], origin[a], tile, scratch);
  const int64_t spread1 = problem.axes[1].spread(), spread2 = problem.axes[2].spread();
  const int64_t* places = scratch.places[2].get();
  const float* slots = scratch.slots[2].get();
  int64_t u = 0;
  for (int64_t x = 0; x < tile.shape[0]; ++x)
    for (int64_t y = 0; y < tile.shape[1]; ++y) {
      const int64_t token = scratch.places[0][x] + scratch.places[1][y];
      const int64_t at = ((offset[0] + x) * spread1 + offset[1] + y) * spread2 + offset[2];
      const vec seen = load(scratch.slots[0].get() + x * WIDTH) + load(scratch.slots[1].get() + y * WIDTH);
      for (int64_t z = 0; z < tile.shape[2]; ++z, ++u) {
        scratch.tokens[u] = token + places[z];
        scratch.offsets[u] = at + z;
        store(scratch.weights.get() + u * WIDTH, seen + load(slots + z * WIDTH));
      }
    }
  tile.count = u;
}

// Copies the keys and values of the box. What the mask hides is zero, for 0 * inf would be NaN.
void gather(const Problem& problem, const Tile& tile, Scratch& scratch) {
  const int64_t key_pad = scratch.key_pad, value_pad = scratch.value_pad;
  for (int64_t u = 0; u < tile.count; ++u) {
    const int64_t token = scratch.tokens[u], row = problem.row(tile.b, token, tile.head);
    if (problem.mask != nullptr && !problem.mask[tile.b * problem.tokens + token]) {
      std::fill_n(scratch.keys.get() + u * key_pad, key_pad, 0.0f);
      std::fill_n(scratch.values.get() + u * value_pad, value_pad, 0.0f);
      store(scratch.weights.get() + u * WIDTH, splat(-INFINITE));
    } else {
      copy_row(scratch.keys.get() + u * key_pad, problem.k + row * problem.key_width, problem.key_width, 1.0f);
      copy_row(scratch.values.get() + u * value_pad, problem.v + row * problem.value_width, problem.value_width, 1.0f);
    }
  }
  const int64_t rest = up(tile.count, BLOCK) * BLOCK - tile.count;
  std::fill_n(scratch.keys.get() + tile.count * key_pad, rest * key_pad, 0.0f);
  std::fill_n(scratch.values.get() + tile.count * value_pad, rest * value_pad, 0.0f);
  std::fill_n(scratch.weights.get() + tile.count * WIDTH, rest * WIDTH, -INFINITE);
}

// BLOCK rows (width, stride pad) times the lanes (width, WIDTH).
inline void dot(vec (&sums)[BLOCK], const float* rows, int64_t pad, const float* lanes, int64_t width) {
  for (int i = 0; i < BLOCK; ++i) sums[i] = vec{};
  for (int64_t d = 0; d < width; ++d) {
    const vec lane = load(lanes + d * WIDTH);
    for (int i = 0; i < BLOCK; ++i) sums[i] = fused(splat(rows[i * pad + d]), lane, sums[i]);
  }
}

// sums[g][c] = sum over `count` of weights[n * step + g] * rows[n][c], for GROUP rows g and COLUMNS vectors c.
template <int COLUMNS>
inline void combine(vec (&sums)[GROUP][COLUMNS], const float* weights, int64_t step, int64_t apart, const float* rows,
                    int64_t pad, int64_t count) {
  for (int g = 0; g < GROUP; ++g)
    for (int c = 0; c < COLUMNS; ++c) sums[g][c] = vec{};
  for (int64_t n = 0; n < count; ++n) {
    vec row[COLUMNS];
    for (int c = 0; c < COLUMNS; ++c) row[c] = load(rows + n * pad + c * WIDTH);
    for (int g = 0; g < GROUP; ++g) {
      const vec weight = splat(weights[n * step + g * apart]);
      for (int c = 0; c < COLUMNS; ++c) sums[g][c] = fused(weight, row[c], sums[g][c]);
    }
  }
}

// result (WIDTH, pad) = weights (count, WIDTH) transposed, times rows (count, pad).
template <int COLUMNS>
void combine_keys_part(float* result, const float* weights, const float* rows, int64_t pad, int64_t count, int64_t at) {
  for (int lane = 0; lane < WIDTH; lane += GROUP) {
    vec sums[GROUP][COLUMNS];
    combine<COLUMNS>(sums, weights + lane, WIDTH, 1, rows + at, pad, count);
    for (int g = 0; g < GROUP; ++g)
      for (int c = 0; c < COLUMNS; ++c) store(result + (lane + g) * pad + at + c * WIDTH, sums[g][c]);
  }
}

void combine_keys(float* result, const float* weights, const float* rows, int64_t pad, int64_t count) {
  int64_t at = 0;
  for (; at + 2 * WIDTH <= pad; at += 2 * WIDTH) combine_keys_part<2>(result, weights, rows, pad, count, at);
  if (at < pad) combine_keys_part<1>(result, weights, rows, pad, count, at);
}

// Row tokens[u] of `into` grows by weights (u, WIDTH) times rows (WIDTH, pad).
template <int COLUMNS>
void add_lanes_part(float* into, const int64_t* tokens, int64_t stride, int64_t width, const float* weights,
                    const float* rows, int64_t pad, int64_t count, int64_t at) {
  for (int64_t u = 0; u < count; u += GROUP) {
    vec sums[GROUP][COLUMNS];
    combine<COLUMNS>(sums, weights + u * WIDTH, 1, WIDTH, rows + at, pad, WIDTH);
    for (int g = 0; g < GROUP && u + g < count; ++g)
      for (int c = 0; c < COLUMNS; ++c) {
        const int64_t column = at + c * WIDTH, left = width - column;
        float* to = into + tokens[u + g] * stride + column;
        store_part(to, load_part(to, left) + sums[g][c], left);
      }
  }
}

void add_lanes(float* into, const int64_t* tokens, int64_t stride, int64_t width, const float* weights,
               const float* rows, int64_t pad, int64_t count) {
  int64_t at = 0;
  for (; at + 2 * WIDTH <= pad; at += 2 * WIDTH)
    add_lanes_part<2>(into, tokens, stride, width, weights, rows, pad, count, at);
  if (at < pad) add_lanes_part<1>(into, tokens, stride, width, weights, rows, pad, count, at);
}

// Scores of all keys of the box over the 0 or -inf that lie in `weights`.
inline void score(vec (&sums)[BLOCK], const Problem& problem, const Scratch& scratch, const float* bias, int64_t u,
                  int64_t count) {
  dot(sums, scratch.keys.get() + u * scratch.key_pad, scratch.key_pad, scratch.q_lanes.get(), problem.key_width);
  for (int i = 0; i < BLOCK; ++i) sums[i] += load(scratch.weights.get() + (u + i) * WIDTH);
  if (bias != nullptr)
    for (int i = 0; i < BLOCK && u + i < count; ++i) sums[i] += load(bias + scratch.offsets[u + i] * WIDTH);
}

void forward_tile(const Problem& problem, const Tile& tile, Scratch& scratch, const float* bias, float* out,
                  float* logsum) {
  float* weights = scratch.weights.get();
  const int64_t padded = up(tile.count, BLOCK) * BLOCK, width = problem.value_width;
  vec highest = splat(-INFINITE), total = {};
  for (int64_t u = 0; u < padded; u += BLOCK) {
    vec scores[BLOCK];
    score(scores, problem, scratch, bias, u, tile.count);
    for (int i = 0; i < BLOCK; ++i) {
      highest = maximum(highest, scores[i]);
      store(weights + (u + i) * WIDTH, scores[i]);
    }
  }
  // A lane that sees nothing has -inf everywhere, and -inf - -inf would be NaN.
  highest = select(highest == -INFINITE, vec{}, highest);
  for (int64_t u = 0; u < padded; ++u) {
    const vec weight = exp(load(weights + u * WIDTH) - highest);
    total += weight;
    store(weights + u * WIDTH, weight);
  }
  combine_keys(scratch.result.get(), weights, scratch.values.get(), scratch.value_pad, tile.count);
  for (int lane = 0; lane < WIDTH; ++lane) {
    if (tile.query[lane] < 0) continue;
    const int64_t row = problem.row(tile.b, tile.query[lane], tile.head);
    const float factor = total[lane] == 0.0f ? 0.0f : 1.0f / total[lane];
    const float* from = scratch.result.get() + lane * scratch.value_pad;
    for (int64_t i = 0; i < width; i += WIDTH) store_part(out + row * width + i, load(from + i) * factor, width - i);
    logsum[row] = total[lane] == 0.0f ? INFINITE : highest[lane] + std::log(total[lane]);
  }
}

struct Gradients {
  const float *up, *out, *logsum;
  float *q, *k, *v;
};

void backward_tile(const Problem& problem, const Tile& tile, Scratch& scratch, const float* bias,
                   const Gradients& grads) {
  const int64_t padded = up(tile.count, BLOCK) * BLOCK, width = problem.key_width, value_width = problem.value_width;
  load_lanes(scratch.up.get(), scratch.up_lanes.get(), grads.up, problem, tile, value_width, scratch.value_pad, 1.0f);
  load_lanes(scratch.result.get(), scratch.out_lanes.get(), grads.out, problem, tile, value_width, scratch.value_pad,
             1.0f);
  // Summed in the order of `dot`: where a query sees one key alone, the two cancel to the last bit.
  vec logsum = splat(INFINITE), inner = {};
  for (int64_t d = 0; d < value_width; ++d)
    inner = fused(load(scratch.out_lanes.get() + d * WIDTH), load(scratch.up_lanes.get() + d * WIDTH), inner);
  for (int lane = 0; lane < WIDTH; ++lane)
    if (tile.query[lane] >= 0) logsum[lane] = grads.logsum[problem.row(tile.b, tile.query[lane], tile.head)];
  float *weights = scratch.weights.get(), *slopes = scratch.slopes.get();
  for (int64_t u = 0; u < padded; u += BLOCK) {
    vec scores[BLOCK], products[BLOCK];
    score(scores, problem, scratch, bias, u, tile.count);
    dot(products, scratch.values.get() + u * scratch.value_pad, scratch.value_pad, scratch.up_lanes.get(), value_width);
    for (int i = 0; i < BLOCK; ++i) {
      const vec weight = exp(scores[i] - logsum);
      store(weights + (u + i) * WIDTH, weight);
      store(slopes + (u + i) * WIDTH, weight * (products[i] - inner));
    }
  }
  if (bias != nullptr)
    for (int64_t u = 0; u < tile.count; ++u) {
      float* to = scratch.bias.get() + scratch.offsets[u] * WIDTH;
      store(to, load(to) + load(slopes + u * WIDTH));
    }
  combine_keys(scratch.result.get(), slopes, scratch.keys.get(), scratch.key_pad, tile.count);
  for (int lane = 0; lane < WIDTH; ++lane) {
    if (tile.query[lane] < 0) continue;
    float* to = grads.q + problem.row(tile.b, tile.query[lane], tile.head) * width;
    for (int64_t i = 0; i < width; i += WIDTH)
      store_part(to + i, load(scratch.result.get() + lane * scratch.key_pad + i) * problem.scale, width - i);
  }
  const int64_t origin = problem.row(tile.b, 0, tile.head), heads = problem.heads;
  add_lanes(grads.k + origin * width, scratch.tokens.get(), heads * width, width, slopes, scratch.q.get(),
            scratch.key_pad, tile.count);
  add_lanes(grads.v + origin * value_width, scratch.tokens.get(), heads * value_width, value_width, weights,
            scratch.up.get(), scratch.value_pad, tile.count);
}

// Calls `use` for each offset of the bias and each place that it has in the table by tile offset and lane.
template <typename Use>
void each_offset(const Problem& problem, Use use) {
  const Axis* axes = problem.axes;
  int64_t at = 0, offset[MAX_RANK];
  for (offset[0] = 0; offset[0] < axes[0].spread(); ++offset[0])
    for (offset[1] = 0; offset[1] < axes[1].spread(); ++offset[1])
      for (offset[2] = 0; offset[2] < axes[2].spread(); ++offset[2])
        for (int lane = 0; lane < WIDTH; ++lane, ++at) {
          int64_t index = 0;
          bool exists = true;
          for (int a = 0; a < MAX_RANK; ++a) {
            const int64_t own = offset[a] - problem.lane[a][lane];
            exists = exists && own >= 0 && own < axes[a].offsets();
            index = index * axes[a].offsets() + own;
          }
          if (exists) use(index, at);
        }
}

// Runs all tiles of the units with this colour. `visit(tile, scratch)` is called with queries and box in place.
template <typename Visit>
void run_unit(const Problem& problem, int64_t unit, int64_t colour, Scratch& scratch, Visit visit) {
  const Axis* axes = problem.axes;
  const int64_t slab = unit % problem.slabs, group = unit / problem.slabs % problem.groups;
  Tile tile = {};
  tile.head = unit / (problem.slabs * problem.groups) % problem.heads;
  tile.b = unit / (problem.slabs * problem.groups * problem.heads);
  for (int64_t number = group; number < problem.chains; number += problem.groups) {
    const int64_t residues[MAX_RANK] = {number / (axes[1].chains() * axes[2].chains()),
                                        number / axes[2].chains() % axes[1].chains(), number % axes[2].chains()};
    Chain chains[MAX_RANK];
    for (int a = 0; a < MAX_RANK; ++a) {
      int64_t extent = axes[a].extent;
      if (problem.extents != nullptr && a >= problem.first)
        extent = std::clamp<int64_t>(problem.extents[tile.b * problem.rank + a - problem.first], 0, extent);
      chains[a] = Chain(axes[a], extent, residues[a]);
    }
    const int64_t members = chains[problem.first].members;
    int64_t begin[MAX_RANK] = {}, end[MAX_RANK], origin[MAX_RANK];
    for (int a = 0; a < MAX_RANK; ++a) end[a] = chains[a].members;
    begin[problem.first] = slab * problem.slab;
    end[problem.first] = std::min(members, (slab + 1) * problem.slab);
    // Slabs take turns. The last of a ring meets the first one, which an even number would not keep apart.
    const bool meets = axes[problem.first].periodic && end[problem.first] == members && slab > 0 && slab % 2 == 0;
    if ((meets ? 2 : slab % 2) != colour) continue;
    for (origin[0] = begin[0]; origin[0] < end[0]; origin[0] += axes[0].lanes)
      for (origin[1] = begin[1]; origin[1] < end[1]; origin[1] += axes[1].lanes)
        for (origin[2] = begin[2]; origin[2] < end[2]; origin[2] += axes[2].lanes) {
          place(problem, chains, origin, tile, scratch);
          gather(problem, tile, scratch);
          load_lanes(scratch.q.get(), scratch.q_lanes.get(), problem.q, problem, tile, problem.key_width,
                     scratch.key_pad, problem.scale);
          visit(tile, scratch);
        }
  }
}

// The bias (heads, spread, WIDTH): for each offset between a tile and a key, what each lane adds.
std::unique_ptr<float[], Free> spread_bias(const Problem& problem) {
  if (problem.bias == nullptr) return nullptr;
  auto table = floats(problem.heads * problem.spread() * WIDTH);
  std::fill_n(table.get(), problem.heads * problem.spread() * WIDTH, 0.0f);
  for (int64_t head = 0; head < problem.heads; ++head) {
    const float* from = problem.bias + head * problem.offsets();
    float* to = table.get() + head * problem.spread() * WIDTH;
    each_offset(problem, [&](int64_t index, int64_t at) { to[at] = from[index]; });
  }
  return table;
}

const float* of_head(const std::unique_ptr<float[], Free>& table, const Problem& problem, int64_t head) {
  return table == nullptr ? nullptr : table.get() + head * problem.spread() * WIDTH;
}

}  // namespace

// q, k (batch, *grid, heads, key_width), v (..., value_width), bias (heads, 2K-1, ...) or null, mask (batch, *grid) or
// null, extents (batch, rank) or null; axes (rank, 5): extent, window, dilation, causal, periodic. Writes `out` like v
// and the log of the softmax's denominator (batch, *grid, heads), for the queries within the extents.
ARMILLARY_EXPORT(void, neighbourhood_forward)
(const float* q, const float* k, const float* v, const float* bias, const bool* mask, const int64_t* extents,
 const int64_t* axes, int64_t rank, int64_t batch, int64_t heads, int64_t key_width, int64_t value_width, float scale,
 float* out, float* logsum, int64_t threads) {
  const Problem problem =
      describe(q, k, v, bias, mask, extents, axes, rank, batch, heads, key_width, value_width, scale);
  const auto table = spread_bias(problem);
#pragma omp parallel num_threads(threads)
  {
    Scratch scratch(problem, false);
    for (int64_t colour = 0; colour < problem.colours(); ++colour) {
#pragma omp for schedule(dynamic) nowait
      for (int64_t unit = 0; unit < problem.units(); ++unit)
        run_unit(problem, unit, colour, scratch, [&](const Tile& tile, Scratch& own) {
          forward_tile(problem, tile, own, of_head(table, problem, tile.head), out, logsum);
        });
    }
  }
}

// As above, with the gradient of `out`; adds to grad_k and grad_v, which the caller fills with zeros, writes grad_q for
// the queries within the extents, and grad_bias where there is a bias.
ARMILLARY_EXPORT(void, neighbourhood_backward)
(const float* q, const float* k, const float* v, const float* bias, const bool* mask, const int64_t* extents,
 const int64_t* axes, int64_t rank, int64_t batch, int64_t heads, int64_t key_width, int64_t value_width, float scale,
 const float* up, const float* out, const float* logsum, float* grad_q, float* grad_k, float* grad_v, float* grad_bias,
 int64_t threads) {
  const Problem problem =
      describe(q, k, v, bias, mask, extents, axes, rank, batch, heads, key_width, value_width, scale);
  const Gradients grads = {up, out, logsum, grad_q, grad_k, grad_v};
  const auto table = spread_bias(problem);
  const int64_t offsets = problem.offsets(), units = problem.units();
  auto parts = floats(bias == nullptr ? 0 : units * offsets);
  if (bias != nullptr) std::fill_n(parts.get(), units * offsets, 0.0f);
#pragma omp parallel num_threads(threads)
  {
    Scratch scratch(problem, true);
    for (int64_t colour = 0; colour < problem.colours(); ++colour) {
#pragma omp for schedule(dynamic)
      for (int64_t unit = 0; unit < units; ++unit) {
        if (bias != nullptr) std::fill_n(scratch.bias.get(), problem.spread() * WIDTH, 0.0f);
        run_unit(problem, unit, colour, scratch, [&](const Tile& tile, Scratch& own) {
          backward_tile(problem, tile, own, of_head(table, problem, tile.head), grads);
        });
        if (bias != nullptr) {
          float* part = parts.get() + unit * offsets;
          each_offset(problem, [&](int64_t index, int64_t at) { part[index] += scratch.bias[at]; });
        }
      }
    }
  }
  if (bias == nullptr) return;
  std::fill_n(grad_bias, heads * offsets, 0.0f);
  for (int64_t unit = 0; unit < units; ++unit) {
    float* to = grad_bias + unit / (problem.slabs * problem.groups) % heads * offsets;
    for (int64_t i = 0; i < offsets; ++i) to[i] += parts[unit * offsets + i];
  }
}
