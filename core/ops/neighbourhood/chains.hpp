// A grid as the kernels of neighbourhood attention walk it: axes, the chains of tokens that dilation makes of them, and
// how the work is cut.
#pragma once

#include "armillary.hpp"

#include <algorithm>

namespace {

constexpr int MAX_RANK = 3;

int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step; }
int64_t gcd(int64_t a, int64_t b) { return b == 0 ? a : gcd(b, a % b); }

struct Run {
  int64_t start, end;  // members of a chain; beyond its ends on a ring
};

// One axis of the padded grid. `lanes` is its side of a tile.
struct Axis {
  int64_t extent, window, dilation;
  bool causal, periodic;
  int64_t stride, lanes, members;  // members of the longest chain, in any row of the batch

  int64_t chains() const { return std::min(dilation, extent); }
  int64_t offsets() const { return 2 * window - 1; }
  // Offsets between the first query of a tile and the keys of its box, for the bias.
  int64_t spread() const { return 2 * window - 2 + lanes; }
  int64_t box() const { return window + lanes - 1; }
};

// The tokens residue, residue + dilation, ... of an axis of `extent` tokens; on a ring they go round until they close.
struct Chain {
  Axis axis;
  int64_t extent, residue, members;

  Chain() = default;
  Chain(const Axis& axis, int64_t extent, int64_t residue) : axis(axis), extent(extent), residue(residue) {
    const int64_t chains = axis.periodic && extent > 0 ? gcd(extent, axis.dilation) : axis.dilation;
    members = residue >= std::min(chains, extent) ? 0
              : axis.periodic                     ? extent / chains
                                                  : up(extent - residue, axis.dilation);
  }

  int64_t token(int64_t member) const {
    const int64_t token = residue + axis.dilation * member;
    return axis.periodic ? ((token % extent) + extent) % extent : token;
  }

  Run window(int64_t member) const {
    const int64_t count = std::min(axis.window, members);
    if (axis.periodic) return {member - count / 2, member - count / 2 + count};
    if (axis.causal) return {std::max<int64_t>(0, member - axis.window + 1), member + 1};
    const int64_t start = std::clamp<int64_t>(member - axis.window / 2, 0, members - count);
    return {start, start + count};
  }
};

// One call: what it is given, how the grid is walked, and how the work is cut into units.
struct Problem {
  const float *q, *k, *v, *bias;
  const bool* mask;
  const int64_t* extents;
  int64_t batch, heads, key_width, value_width, rank, tokens;
  float scale;
  Axis axes[MAX_RANK];  // a grid of lower rank is one token thick along the leading ones
  int64_t first;        // axis of the grid that is the longest in memory; slabs are cut along it
  int64_t chains, groups, slab, slabs;  // of a head: chains, units that share them, members of a slab, slabs
  int32_t lane[MAX_RANK][WIDTH];        // where each lane stands in a tile

  // Slabs of one chain take turns: the odd ones after the even, the last of a ring after both.
  int64_t colours() const { return slabs == 1 ? 1 : 3; }
  int64_t units() const { return batch * heads * groups * slabs; }
  int64_t row(int64_t b, int64_t token, int64_t head) const { return (b * tokens + token) * heads + head; }
  int64_t offsets() const { return axes[0].offsets() * axes[1].offsets() * axes[2].offsets(); }
  int64_t spread() const { return axes[0].spread() * axes[1].spread() * axes[2].spread(); }
  int64_t box() const { return axes[0].box() * axes[1].box() * axes[2].box(); }
};

// Sides of a tile of WIDTH queries with the least work: tiles times the keys in the box of each.
void choose_lanes(Axis (&axes)[MAX_RANK]) {
  int64_t best = -1, sides[MAX_RANK] = {};
  for (int64_t x = 1; x <= WIDTH; x *= 2)
    for (int64_t y = 1; x * y <= WIDTH; y *= 2) {
      const int64_t tried[MAX_RANK] = {x, y, WIDTH / (x * y)};
      int64_t work = 1;
      for (int a = 0; a < MAX_RANK; ++a) {
        const int64_t shared = tried[a] + axes[a].window - 1, members = axes[a].members;
        work *= up(members, tried[a]) * (axes[a].periodic ? shared : std::min(shared, members));
      }
      // Of equal ones the longest along the last axis: its queries lie together in memory.
      if (best < 0 || work < best) {
        best = work;
        std::copy(tried, tried + MAX_RANK, sides);
      }
    }
  for (int a = 0; a < MAX_RANK; ++a) axes[a].lanes = sides[a];
}

void place_lanes(Problem& problem) {
  int64_t inner = WIDTH;
  for (int a = 0; a < MAX_RANK; ++a) {
    inner /= problem.axes[a].lanes;
    for (int lane = 0; lane < WIDTH; ++lane)
      problem.lane[a][lane] = static_cast<int32_t>(lane / inner % problem.axes[a].lanes);
  }
}

// Work is cut by shape alone, never by the number of threads, so that every sum has one order.
void choose_units(Problem& problem) {
  constexpr int64_t enough = 64;
  const int64_t pairs = std::max<int64_t>(1, problem.batch * problem.heads);
  problem.chains = 1;
  for (const Axis& axis : problem.axes) problem.chains *= axis.chains();
  problem.groups = std::min(problem.chains, up(enough, pairs));
  // Two slabs apart share no key if a slab is two windows long.
  const Axis& first = problem.axes[problem.first];
  const int64_t wanted = up(enough, pairs * problem.groups), members = first.members;
  const int64_t length = std::max({2 * first.window, up(members, wanted), int64_t{1}});
  problem.slab = up(length, first.lanes) * first.lanes;
  problem.slabs = std::max<int64_t>(1, up(members, problem.slab));
}

Problem describe(const float* q, const float* k, const float* v, const float* bias, const bool* mask,
                 const int64_t* extents, const int64_t* axes, int64_t rank, int64_t batch, int64_t heads,
                 int64_t key_width, int64_t value_width, float scale) {
  Problem problem = {};
  problem.q = q, problem.k = k, problem.v = v, problem.bias = bias, problem.mask = mask, problem.extents = extents;
  problem.batch = batch, problem.heads = heads, problem.key_width = key_width, problem.value_width = value_width;
  problem.rank = rank, problem.tokens = 1, problem.scale = scale, problem.first = MAX_RANK - rank;
  for (Axis& axis : problem.axes) axis = {1, 1, 1, false, false, 1, 1, 1};
  for (int64_t a = rank - 1; a >= 0; --a) {
    const int64_t* told = axes + 5 * a;
    Axis& axis = problem.axes[problem.first + a];
    axis = {told[0], told[1], told[2], told[3] != 0, told[4] != 0, problem.tokens, 1, 0};
    // The ring of a shorter row may be one chain where that of the whole axis is several.
    axis.members = axis.periodic && extents != nullptr ? axis.extent : Chain(axis, axis.extent, 0).members;
    problem.tokens *= told[0];
  }
  choose_lanes(problem.axes);
  place_lanes(problem);
  choose_units(problem);
  return problem;
}

}  // namespace
